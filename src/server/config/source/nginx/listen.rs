//! The `listen` directive: addresses, ports, unix sockets and their options.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::server::config::ListenAddress;

/// Port of an address without one.
const DEFAULT_PORT: u16 = 80;
/// Port of a server without `listen` if the process may not use the default one.
const UNPRIVILEGED_PORT: u16 = 8000;
/// Options without effect: socket tuning is left to the system.
const IGNORED_OPTIONS: [&str; 10] = [
    "backlog",
    "bind",
    "reuseport",
    "deferred",
    "rcvbuf",
    "sndbuf",
    "fastopen",
    "so_keepalive",
    "accept_filter",
    "setfib",
];
/// Options that are not supported.
const UNSUPPORTED_OPTIONS: [&str; 4] = ["ssl", "http2", "spdy", "proxy_protocol"];
/// Options of a UDP port for HTTP/3; `http3` is the name that test versions of nginx had for it.
const QUIC_OPTIONS: [&str; 2] = ["quic", "http3"];

/// One `listen` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Listen {
    pub(in crate::server) address: ListenAddress,
    /// The address as written in the file, for messages.
    pub(in crate::server) text: String,
    pub(in crate::server) is_default: bool,
    /// `ipv6only=off`
    pub(in crate::server) accepts_ipv4: bool,
    /// Whether it is a UDP port for HTTP/3, which must not be opened for TCP.
    pub(in crate::server) is_quic: bool,
    /// Unsupported options.
    pub(in crate::server) unsupported: Vec<String>,
}

impl Listen {
    fn new(address: ListenAddress, text: String) -> Self {
        Self {
            address,
            text,
            is_default: false,
            accepts_ipv4: false,
            is_quic: false,
            unsupported: Vec::new(),
        }
    }
}

/// Parses the arguments of `listen`; a range of ports is several addresses.
pub(in crate::server) fn parse(arguments: &[Vec<u8>]) -> Result<Vec<Listen>, String> {
    let (address, options) = arguments
        .split_first()
        .ok_or("no address in \"listen\" directive")?;
    let text = String::from_utf8_lossy(address).into_owned();
    let addresses = addresses(&text)?;
    let listen = with_options(Listen::new(addresses[0].clone(), text), options)?;
    Ok(addresses
        .into_iter()
        .map(|address| Listen {
            address,
            ..listen.clone()
        })
        .collect())
}

fn with_options(mut listen: Listen, options: &[Vec<u8>]) -> Result<Listen, String> {
    for option in options {
        let option = String::from_utf8_lossy(option);
        let name = option.split('=').next().unwrap_or_default();
        if matches!(name, "default_server" | "default") {
            listen.is_default = true;
        } else if name == "ipv6only" {
            listen.accepts_ipv4 = match option.as_ref() {
                "ipv6only=on" => false,
                "ipv6only=off" => true,
                _ => {
                    return Err(format!(
                        "invalid ipv6only flags \"{}\"",
                        option.trim_start_matches("ipv6only=")
                    ));
                }
            };
        } else if QUIC_OPTIONS.contains(&name) {
            listen.is_quic = true;
        } else if UNSUPPORTED_OPTIONS.contains(&name) {
            listen.unsupported.push(name.to_owned());
        } else if !IGNORED_OPTIONS.contains(&name) {
            return Err(format!("invalid parameter \"{option}\""));
        }
    }
    Ok(listen)
}

/// The default of a server without `listen`: port 80, or 8000 without privileges, as in nginx.
pub(in crate::server) fn fallback() -> Listen {
    let port = if rustix::process::geteuid().is_root() {
        DEFAULT_PORT
    } else {
        UNPRIVILEGED_PORT
    };
    let address = ListenAddress::Tcp((Ipv4Addr::UNSPECIFIED, port).into());
    Listen::new(address, format!("*:{port}"))
}

/// The addresses of a `listen`, one at least.
fn addresses(text: &str) -> Result<Vec<ListenAddress>, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(format!("no path in the unix domain socket \"{text}\""));
        }
        return Ok(vec![ListenAddress::Unix(PathBuf::from(path))]);
    }
    let is_port = text.starts_with(|first: char| first.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
    let (host, ports) = match text.rsplit_once(':') {
        _ if is_port => ("*", ports(text, text)?),
        Some((host, ports)) if !ports.ends_with(']') => (host, self::ports(ports, text)?),
        _ => (text, DEFAULT_PORT..=DEFAULT_PORT),
    };
    let first = socket_address(host, *ports.start(), text)?;
    Ok(ports
        .map(|port| ListenAddress::Tcp(SocketAddr::new(first.ip(), port)))
        .collect())
}

fn socket_address(host: &str, port: u16, text: &str) -> Result<SocketAddr, String> {
    let not_found = || format!("host not found in \"{text}\" of the \"listen\" directive");
    let address: SocketAddr = if host == "*" {
        (Ipv4Addr::UNSPECIFIED, port).into()
    } else if let Some(host) = host.strip_prefix('[') {
        let host: Ipv6Addr = host
            .strip_suffix(']')
            .and_then(|host| host.parse().ok())
            .ok_or_else(not_found)?;
        (host, port).into()
    } else if cfg!(fuzzing) {
        // A fuzzer must not query name servers.
        (host.parse::<Ipv4Addr>().map_err(|_| not_found())?, port).into()
    } else {
        (host, port)
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .ok_or_else(not_found)?
    };
    Ok(address)
}

/// A port, or the first and the last one of a range.
fn ports(digits: &str, text: &str) -> Result<RangeInclusive<u16>, String> {
    let Some((first, last)) = digits.split_once('-') else {
        let port = port(digits, text)?;
        return Ok(port..=port);
    };
    let ports = port(first, text)?..=port(last, text)?;
    if ports.is_empty() {
        return Err(format!(
            "invalid port range in \"{text}\" of the \"listen\" directive"
        ));
    }
    Ok(ports)
}

fn port(digits: &str, text: &str) -> Result<u16, String> {
    let port = digits.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("invalid port in \"{text}\" of the \"listen\" directive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Listen>, String> {
        parse(
            &text
                .split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect::<Vec<_>>(),
        )
    }

    fn parsed(text: &str) -> Result<Listen, String> {
        all(text).map(|mut listens| {
            assert_eq!(listens.len(), 1, "{text}");
            listens.remove(0)
        })
    }

    #[test]
    fn a_range_of_ports_is_several_addresses() {
        for (text, expected) in [
            (
                "8000-8002",
                &["0.0.0.0:8000", "0.0.0.0:8001", "0.0.0.0:8002"][..],
            ),
            (
                "127.0.0.1:81-82 default_server",
                &["127.0.0.1:81", "127.0.0.1:82"],
            ),
            ("[::1]:81-81", &["[::1]:81"]),
            ("*:65534-65535", &["0.0.0.0:65534", "0.0.0.0:65535"]),
        ] {
            let listens = all(text).expect(text);
            let expected: Vec<_> = expected
                .iter()
                .map(|address| ListenAddress::Tcp(address.parse().expect("an address")))
                .collect();
            assert_eq!(
                listens
                    .iter()
                    .map(|listen| listen.address.clone())
                    .collect::<Vec<_>>(),
                expected,
                "{text}"
            );
            assert!(
                listens
                    .iter()
                    .all(|listen| listen.is_default == text.contains("default_server")),
                "{text}"
            );
        }
        for text in [
            "82-81",
            "0-2",
            "80-65536",
            "80-",
            "127.0.0.1:80-",
            "127.0.0.1:-80",
            "80-81-82",
        ] {
            let error = all(text).expect_err(text);
            assert!(error.contains("port"), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_are_parsed_in_all_forms() {
        for (text, expected) in [
            ("127.0.0.1:9103", "127.0.0.1:9103"),
            ("8080", "0.0.0.0:8080"),
            ("*:8080", "0.0.0.0:8080"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("[::]", "[::]:80"),
            ("127.0.0.1:1 backlog=64 reuseport", "127.0.0.1:1"),
        ] {
            let address = parsed(text).map(|listen| listen.address);
            assert_eq!(
                address,
                Ok(ListenAddress::Tcp(expected.parse().expect("an address"))),
                "{text}"
            );
        }
        let unix = parsed("unix:/run/push.sock default_server").expect("valid");
        assert_eq!(
            (unix.address, unix.is_default),
            (ListenAddress::Unix("/run/push.sock".into()), true)
        );
        assert!(parsed("[::]:80 ipv6only=off").is_ok_and(|listen| listen.accepts_ipv4));
        assert!(parsed("[::]:80 ipv6only=on").is_ok_and(|listen| !listen.accepts_ipv4));
        for text in ["443 quic reuseport", "[::]:443 reuseport quic", "443 http3"] {
            assert!(parsed(text).is_ok_and(|listen| listen.is_quic), "{text}");
        }
        assert_eq!(parsed("443 ssl").expect("valid").unsupported, ["ssl"]);
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        for text in [
            "0",
            "127.0.0.1:0",
            "127.0.0.1:99999",
            "127.0.0.1:x",
            "[::1:80",
            "unix:",
            "80 nonsense",
            "[::]:80 ipv6only=maybe",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
