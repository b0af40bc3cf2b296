//! The addresses of the servers of a group: those that the file names, and those that its host
//! names stand for now.
//!
//! Which of them a request goes to is chosen by `balancer`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::server::config::upstream::{ServerAddress, Upstream, UpstreamServer};
use crate::server::time_limit::within;

/// Which peer of a group it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PeerId {
    /// Number of the server.
    pub(super) server: usize,
    pub(super) address: PeerAddress,
}

/// What is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PeerAddress {
    /// TCP
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// What the names of a group stand for now.
pub(super) struct Resolved {
    pub(super) ids: Vec<PeerId>,
    /// Numbers of the servers whose names could not be resolved.
    pub(super) unresolved: Vec<usize>,
}

/// Every address of every server.
pub(super) async fn resolve(upstream: &Upstream, limit: Duration) -> Resolved {
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
                        tracing::debug!(name, ?error, "cannot resolve a back-end");
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
