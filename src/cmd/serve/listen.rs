//! `--listen`: replaces the addresses of the configuration, for all of its servers or for those of
//! one address.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::server::config::{Config, ListenAddress, Listener, Servers, VirtualServer};

/// A value of `--listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenOption {
    /// The address of the configuration whose servers listen here; `None` = all servers.
    replaces: Option<Replaced>,
    address: ListenAddress,
}

/// An address of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Replaced {
    Address(ListenAddress),
    /// A port of any address.
    Port(u16),
}

impl std::fmt::Display for Replaced {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Replaced::Address(ListenAddress::Tcp(address)) => address.fmt(out),
            Replaced::Address(ListenAddress::Unix(path)) => write!(out, "unix:{}", path.display()),
            Replaced::Port(port) => port.fmt(out),
        }
    }
}

/// Parses `ADDR` or `OLD=NEW`.
pub(super) fn parse(text: &str) -> Result<ListenOption, String> {
    let Some((old, new)) = text.split_once('=') else {
        return Ok(ListenOption {
            replaces: None,
            address: address(text)?,
        });
    };
    let replaces = match old.parse::<u16>() {
        Ok(port) => Replaced::Port(port),
        Err(_) => Replaced::Address(address(old)?),
    };
    Ok(ListenOption {
        replaces: Some(replaces),
        address: address(new)?,
    })
}

fn address(text: &str) -> Result<ListenAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() {
            Err("missing path of the socket after 'unix:'".to_owned())
        } else {
            Ok(ListenAddress::Unix(path.into()))
        };
    }
    if let Ok(port) = text.parse::<u16>() {
        return Ok(ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], port))));
    }
    let text = text
        .replacen("localhost:", "127.0.0.1:", 1)
        .replacen("*:", "0.0.0.0:", 1);
    text.parse().map(ListenAddress::Tcp).map_err(|_| {
        "expected ADDRESS:PORT such as 127.0.0.1:9080 or [::1]:9080, a PORT, or unix:PATH"
            .to_owned()
    })
}

/// Replaces the addresses of a configuration. The error names an address that it lacks.
pub(super) fn apply(options: &[ListenOption], config: &mut Config) -> Result<(), String> {
    let mut listeners = Vec::new();
    for option in options {
        if let Some(replaced) = &option.replaces {
            listeners.push(replacing(replaced, option.address.clone(), config)?);
        }
    }
    let everywhere = options
        .iter()
        .filter(|option| option.replaces.is_none())
        .map(|option| option.address.clone());
    config.listen_on(everywhere);
    config.listeners.extend(listeners);
    Ok(())
}

/// A listener with the servers of an address of the configuration.
fn replacing(
    replaced: &Replaced,
    address: ListenAddress,
    config: &Config,
) -> Result<Listener, String> {
    let is_it = |known: &ListenAddress| match (replaced, known) {
        (Replaced::Port(port), ListenAddress::Tcp(known)) => known.port() == *port,
        (Replaced::Port(_), ListenAddress::Unix(_)) => false,
        (Replaced::Address(address), known) => address == known,
    };
    let mut found = Vec::new();
    for listener in &config.listeners {
        if is_it(&listener.address) {
            found.push(Arc::clone(&listener.servers));
        }
        let ListenAddress::Tcp(whole) = &listener.address else {
            continue;
        };
        let own = listener
            .overrides
            .iter()
            .filter(|(own, _)| is_it(&ListenAddress::Tcp((*own, whole.port()).into())));
        found.extend(own.map(|(_, servers)| Arc::clone(servers)));
    }
    match found.as_slice() {
        [servers] => Ok(Listener::new(address, Arc::clone(servers))),
        [] => Err(format!(
            "--listen {replaced}=...: the configuration does not listen on {replaced}"
        )),
        _ => Err(format!(
            "--listen {replaced}=...: the configuration has more than one address with port \
             {replaced} (use ADDRESS:PORT)"
        )),
    }
}

/// Warns of each server with push locations that requests no longer reach.
pub(super) fn warn_about_hidden(before: &Config, after: &Config) {
    for server in before
        .servers()
        .iter()
        .filter(|server| server.has_endpoints() && !is_reachable(server, after))
    {
        let is_its = |listener: &&Listener| {
            all_servers(listener)
                .any(|servers| servers.iter().any(|known| Arc::ptr_eq(known, server)))
        };
        let address = before
            .listeners
            .iter()
            .find(is_its)
            .map(|listener| listener.address.to_string())
            .unwrap_or_default();
        let name = server
            .names
            .first()
            .map_or_else(|| "without a name".to_owned(), |name| format!("\"{name}\""));
        tracing::warn!(
            "--listen hides a server with push locations ({name}, {address} in the configuration): \
             give each address of the \
             configuration its own with --listen OLD=NEW (pushctl check --front prints them)"
        );
    }
}

/// The servers of a listener, including those of single addresses.
fn all_servers(listener: &Listener) -> impl Iterator<Item = &Arc<Servers>> {
    std::iter::once(&listener.servers).chain(listener.overrides.iter().map(|(_, servers)| servers))
}

/// True if a server handles one of its names, or is the default server of a listener.
fn is_reachable(server: &Arc<VirtualServer>, config: &Config) -> bool {
    config
        .listeners
        .iter()
        .flat_map(all_servers)
        .any(|servers| {
            let is_it = |known: &Arc<VirtualServer>| Arc::ptr_eq(known, server);
            let is_first = |name: &str| {
                let same = servers
                    .iter()
                    .find(|known| known.names.iter().any(|other| other.to_string() == name));
                same.is_some_and(is_it)
            };
            is_it(servers.default_server())
                || (servers.iter().any(is_it)
                    && server.names.iter().any(|name| is_first(&name.to_string())))
        })
}
