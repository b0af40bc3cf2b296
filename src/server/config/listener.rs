//! What is listened on, and which servers answer there.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Config, Endpoint, ListenAddress, Location, Servers, VirtualServer};

/// An address and the servers behind it; see [`Listener::server`].
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where to listen.
    pub address: ListenAddress,
    /// On `[::]`, takes IPv4 connections too (`ipv6only=off`).
    pub accepts_ipv4: bool,
    /// The servers.
    pub servers: Arc<Servers>,
    /// Of a listener on all addresses: the servers of those that have their own.
    pub overrides: Vec<(IpAddr, Arc<Servers>)>,
}

impl Listener {
    /// A listener with the same servers for all connections.
    #[must_use]
    pub fn new(address: ListenAddress, servers: Arc<Servers>) -> Self {
        Self {
            address,
            accepts_ipv4: false,
            servers,
            overrides: Vec::new(),
        }
    }
}

impl Config {
    /// Listens on these addresses instead, each with the servers of all. Of servers with one name,
    /// such as one that only redirects to another port, and for names that no server has, those
    /// with push locations go first.
    pub fn listen_on(&mut self, addresses: impl Iterator<Item = ListenAddress>) {
        let servers = match self.listeners.as_slice() {
            [] => return,
            [only] if only.overrides.is_empty() => Arc::clone(&only.servers),
            [first, ..] => {
                let default = Arc::clone(first.servers.default_server());
                let mut servers = self.servers();
                servers.sort_by_key(|server| !server.has_endpoints());
                let default = servers
                    .iter()
                    .position(|server| Arc::ptr_eq(server, &default) && server.has_endpoints());
                Arc::new(Servers::new(servers, default.unwrap_or(0)))
            }
        };
        self.listeners = addresses
            .map(|address| Listener::new(address, Arc::clone(&servers)))
            .collect();
    }

    /// The servers of all addresses, each once.
    #[must_use]
    pub fn servers(&self) -> Vec<Arc<VirtualServer>> {
        let mut servers: Vec<Arc<VirtualServer>> = Vec::new();
        let overrides = |listener: &Listener| {
            listener
                .overrides
                .iter()
                .flat_map(|(_, servers)| servers.to_vec())
                .collect::<Vec<_>>()
        };
        for server in self
            .listeners
            .iter()
            .flat_map(|listener| listener.servers.iter().cloned().chain(overrides(listener)))
        {
            if !servers.iter().any(|known| Arc::ptr_eq(known, &server)) {
                servers.push(server);
            }
        }
        servers
    }
}

impl VirtualServer {
    /// Whether one of its locations is a push endpoint.
    #[must_use]
    pub fn has_endpoints(&self) -> bool {
        fn any(locations: &[Location]) -> bool {
            locations
                .iter()
                .any(|location| location.endpoint != Endpoint::None || any(&location.nested))
        }
        any(&self.locations)
    }
}
