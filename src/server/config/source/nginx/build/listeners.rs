//! From the servers of a file to its listeners: one per address. Where a wildcard address has the
//! same port, its listener accepts the connections of the specific addresses as well, and selects
//! the servers by the local address of the connection, as nginx does.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::server::config::source::nginx::files::SourcePlace;
use crate::server::config::source::nginx::listen::Listen;
use crate::server::config::source::nginx::report::Report;
use crate::server::config::{ListenAddress, Listener, Servers, VirtualServer};

/// A server with its addresses, before servers are grouped by address.
#[derive(Debug)]
pub(in crate::server) struct ServerDraft {
    pub(in crate::server) place: SourcePlace,
    pub(in crate::server) listens: Vec<Listen>,
    pub(in crate::server) server: Arc<VirtualServer>,
}

/// The servers of one address.
#[derive(Debug)]
struct AddressGroup {
    address: ListenAddress,
    accepts_ipv4: bool,
    /// In the order of the file.
    servers: Vec<Arc<VirtualServer>>,
    /// Index of the server that is marked as default.
    default: Option<usize>,
}

/// The listeners, in the order of the file.
pub(in crate::server) fn listeners(drafts: Vec<ServerDraft>, report: &mut Report) -> Vec<Listener> {
    let groups = groups(drafts, report);
    let wildcards: Vec<SocketAddr> = groups
        .iter()
        .filter_map(|group| wildcard(&group.address))
        .collect();
    let mut listeners: Vec<Listener> = Vec::new();
    let mut overrides: Vec<(SocketAddr, IpAddr, Arc<Servers>)> = Vec::new();
    for AddressGroup {
        address,
        accepts_ipv4,
        servers,
        default,
    } in groups
    {
        let servers = Arc::new(Servers::new(servers, default.unwrap_or(0)));
        match address {
            ListenAddress::Tcp(own)
                if !own.ip().is_unspecified() && wildcards.contains(&all_addresses(own)) =>
            {
                overrides.push((all_addresses(own), own.ip(), servers));
            }
            address => listeners.push(Listener {
                address,
                accepts_ipv4,
                servers,
                overrides: Vec::new(),
            }),
        }
    }
    for (whole, own, servers) in overrides {
        let listener = listeners
            .iter_mut()
            .find(|listener| listener.address == ListenAddress::Tcp(whole));
        listener
            .into_iter()
            .for_each(|listener| listener.overrides.push((own, Arc::clone(&servers))));
    }
    listeners
}

/// The address, if it is a wildcard.
fn wildcard(address: &ListenAddress) -> Option<SocketAddr> {
    match address {
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => Some(*address),
        _ => None,
    }
}

/// The wildcard address of the same family and port.
fn all_addresses(address: SocketAddr) -> SocketAddr {
    let all = if address.is_ipv4() {
        IpAddr::V4([0; 4].into())
    } else {
        IpAddr::V6([0; 16].into())
    };
    (all, address.port()).into()
}

fn groups(drafts: Vec<ServerDraft>, report: &mut Report) -> Vec<AddressGroup> {
    let mut groups: Vec<AddressGroup> = Vec::new();
    for ServerDraft {
        place,
        listens,
        server,
    } in drafts
    {
        for listen in listens {
            for option in &listen.unsupported {
                report.unsupported(
                    place,
                    &format!("parameter \"{option}\" of \"listen {}\"", listen.text),
                );
            }
            let at = groups
                .iter()
                .position(|group| group.address == listen.address)
                .unwrap_or(groups.len());
            if at == groups.len() {
                groups.push(AddressGroup {
                    address: listen.address,
                    accepts_ipv4: false,
                    servers: Vec::new(),
                    default: None,
                });
            }
            let group = &mut groups[at];
            group.accepts_ipv4 |= listen.accepts_ipv4;
            if listen.is_default && group.default.is_some() {
                report.mistake(
                    place,
                    format!("a duplicate default server for {}", listen.text),
                );
            } else if listen.is_default {
                group.default = Some(group.servers.len());
            }
            group.servers.push(Arc::clone(&server));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::Config;
    use crate::server::config::source::parse;

    fn config(servers: &[&str]) -> Config {
        let servers: String = servers
            .iter()
            .map(|content| format!("server {{ {content} location / {{ }} }}\n"))
            .collect();
        parse(
            "conf",
            format!("events {{}}\nhttp {{\n{servers}}}").as_bytes(),
        )
        .expect("a valid configuration")
        .config
    }

    /// Index in `all` of the selected server.
    fn chosen(
        config: &Config,
        listener: usize,
        local_address: &str,
        host: &str,
        all: &[&Arc<VirtualServer>],
    ) -> Option<usize> {
        let server = config.listeners[listener].server(local_address, || host.to_owned());
        all.iter().position(|other| Arc::ptr_eq(server, other))
    }

    fn addresses(config: &Config) -> Vec<String> {
        config
            .listeners
            .iter()
            .map(|listener| listener.address.to_string())
            .collect()
    }

    #[test]
    fn servers_share_addresses_and_the_default_one_answers_other_names() {
        let config = config(&[
            "listen 9103; server_name A.example;",
            "listen *:9103 default_server; listen [::1]:9104; listen unix:/x.sock; server_name b \
             c;",
        ]);
        assert_eq!(
            addresses(&config),
            ["http://0.0.0.0:9103", "http://[::1]:9104", "unix:/x.sock"]
        );
        let all: Vec<_> = config.listeners[0].servers.iter().collect();
        for (listener, host, expected) in [
            (0, "a.example", 0),
            (0, "b", 1),
            (0, "other", 1),
            (1, "a.example", 1),
            (2, "a.example", 1),
        ] {
            assert_eq!(
                chosen(&config, listener, "", host, &all),
                Some(expected),
                "{listener} {host}"
            );
        }
        assert!(parse("conf", b"events {}\nhttp {}\n").is_err());
    }

    #[test]
    fn a_port_is_bound_once_and_the_local_address_chooses() {
        let config = config(&[
            "listen 127.0.0.1:9103; server_name a;",
            "listen 9103; server_name b;",
            "listen 127.0.0.1:9103; listen 127.0.0.2:9103; listen 127.0.0.1:9104; listen \
             [::1]:9103; server_name c;",
        ]);
        assert_eq!(
            addresses(&config),
            [
                "http://0.0.0.0:9103",
                "http://127.0.0.1:9104",
                "http://[::1]:9103"
            ]
        );
        let listeners = &config.listeners;
        let b = &listeners[0].servers[0];
        let c = &listeners[1].servers[0];
        let a = listeners[0].server("127.0.0.1", || "a".to_owned());
        for (local_address, host, expected) in [
            ("127.0.0.1", "a", 0),
            ("127.0.0.1", "b", 0),
            ("127.0.0.1", "c", 2),
            ("127.0.0.2", "a", 2),
            ("127.0.0.3", "a", 1),
            ("10.0.0.1", "c", 1),
        ] {
            assert_eq!(
                chosen(&config, 0, local_address, host, &[a, b, c]),
                Some(expected),
                "{local_address} {host}"
            );
        }
    }

    #[test]
    fn ipv6only_is_on_unless_a_server_turns_it_off() {
        let config = config(&[
            "listen [::]:1; listen [::]:2;",
            "listen [::]:1 ipv6only=off; listen [::1]:1;",
            "listen [::]:2 ipv6only=on;",
        ]);
        let found: Vec<_> = config
            .listeners
            .iter()
            .map(|listener| (listener.accepts_ipv4, listener.overrides.len()))
            .collect();
        assert_eq!(found, [(true, 1), (false, 0)]);
    }
}
