//! Addresses of the servers of an upstream: literal ones, and those to which its host names
//! resolve. `balancer` chooses among them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::time_limit::within;
use crate::server::config::model::upstream::{ServerAddress, Upstream, UpstreamServer};

/// Identity of a peer in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct PeerId {
    /// Index of the server in the upstream.
    pub(in crate::server) server: usize,
    pub(in crate::server) address: PeerAddress,
}

/// Address to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::server) enum PeerAddress {
    /// TCP
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Result of resolving the names of an upstream.
pub(in crate::server) struct Resolved {
    pub(in crate::server) ids: Vec<PeerId>,
    /// Indexes of the servers whose names could not be resolved.
    pub(in crate::server) unresolved: Vec<usize>,
}

/// Resolves all servers, each name for at most `limit`.
pub(in crate::server) async fn resolve(upstream: &Upstream, limit: Duration) -> Resolved {
    let mut ids = Vec::new();
    let mut unresolved = Vec::new();
    for (server, UpstreamServer { address, .. }) in upstream.servers.iter().enumerate() {
        let mut add = |address| ids.push(PeerId { server, address });
        match address {
            ServerAddress::Ip(address) => add(PeerAddress::Tcp(*address)),
            ServerAddress::Unix(path) => add(PeerAddress::Unix(path.clone())),
            ServerAddress::Name(name, port) => {
                match within(limit, tokio::net::lookup_host((name.as_str(), *port))).await {
                    Some(Ok(addresses)) => {
                        addresses.for_each(|address| add(PeerAddress::Tcp(address)))
                    }
                    failed => {
                        let error = failed.map(Result::err);
                        tracing::debug!(name, ?error, "cannot resolve the name of a back-end");
                        unresolved.push(server);
                    }
                }
            }
        }
    }
    Resolved { ids, unresolved }
}

impl std::fmt::Display for PeerAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}
