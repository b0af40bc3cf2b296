//! Listening addresses and their servers.

use std::net::IpAddr;
use std::sync::Arc;

use crate::server::config::{Config, ListenAddress, Location, Servers, VirtualServer};

/// A listening address and its servers; see [`Listener::server`].
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address.
    pub address: ListenAddress,
    /// A listener on `[::]` also accepts IPv4 connections (`ipv6only=off`).
    pub accepts_ipv4: bool,
    /// The servers.
    pub servers: Arc<Servers>,
    /// Servers for connections to these local addresses, if `address` is a wildcard address and
    /// other `listen` directives name them.
    pub overrides: Vec<(IpAddr, Arc<Servers>)>,
}

impl Listener {
    /// Creates a listener with the same servers for all connections.
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

impl Listener {
    /// Returns the default server for connections to `local_address`.
    pub fn default_server(&self, local_address: &str) -> &Arc<VirtualServer> {
        self.servers_at(local_address).default_server()
    }

    /// Finds the server for a request on a connection to `local_address`; `host` as in
    /// [`Servers::find`].
    pub fn server(
        &self,
        local_address: &str,
        host: impl FnOnce() -> String,
    ) -> &Arc<VirtualServer> {
        let servers = self.servers_at(local_address);
        match &servers[..] {
            [only] => only,
            _ => servers.find(&host()),
        }
    }

    fn servers_at(&self, local_address: &str) -> &Servers {
        if self.overrides.is_empty() {
            return &self.servers;
        }
        let address = local_address.parse::<IpAddr>().ok();
        self.overrides
            .iter()
            .find(|(known, _)| Some(*known) == address)
            .map_or(&self.servers, |(_, servers)| servers)
    }
}

impl Config {
    /// Replaces the listening addresses (`--listen`); each gets the servers of all listeners.
    ///
    /// Among servers with the same name, and as default server, those with push locations take
    /// precedence over, for example, a server that only redirects to another port.
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

    /// Returns the servers of all listeners without duplicates.
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
                .any(|location| location.endpoint().is_push() || any(&location.nested))
        }
        any(&self.locations)
    }
}
