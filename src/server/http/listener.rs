//! Listening: binds addresses and accepts connections, which are registered with a runtime only by their shard.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpStream, UnixStream};

use crate::server::config::{ListenAddress, Listener};
use crate::server::fanout::{Inlet, Outlet, split_tcp, split_unix};
use crate::server::request::Endpoints;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// Time until accepting is tried again when the system lacks something.
const PAUSE_AFTER_ERROR: std::time::Duration = std::time::Duration::from_millis(100);

/// A bound address.
#[derive(Debug)]
pub(in crate::server) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, UnixPath),
}

/// The path of a unix socket, which is removed with its listener.
#[derive(Debug)]
pub(in crate::server) struct UnixPath(PathBuf);

impl Drop for UnixPath {
    fn drop(&mut self) {
        // Somebody else may have removed it, which is as good.
        drop(std::fs::remove_file(&self.0));
    }
}

/// A connection on its way to its shard.
#[derive(Debug)]
pub(in crate::server) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Bound {
    /// Binds the address of `listener`. The file of a unix socket that nobody listens on any more is replaced.
    pub(in crate::server) fn bind(listener: &Listener) -> io::Result<Self> {
        match &listener.address {
            ListenAddress::Tcp(address) => bind_tcp(*address, listener.accepts_ipv4).map(Bound::Tcp),
            ListenAddress::Unix(path) => bind_unix(path).map(|listener| Bound::Unix(listener, UnixPath(path.clone()))),
        }
    }

    /// The address as it is: with the port that the system chose.
    pub(in crate::server) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Bound::Unix(_, path) => Ok(ListenAddress::Unix(path.0.clone())),
        }
    }

    /// Accepts connections for ever; gives each to `take`, in turn.
    pub(in crate::server) async fn accept_all(self, mut take: impl AsyncFnMut(Accepted)) -> io::Result<()> {
        let listener = match self {
            Bound::Tcp(listener) => Listening::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Bound::Unix(listener, path) => Listening::Unix(tokio::net::UnixListener::from_std(listener)?, path),
        };
        let mut complained = false;
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    complained = false;
                    take(accepted).await;
                }
                // The client went away before it was accepted, or a signal came: not our concern.
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    // A lack of descriptors or memory is waited out, with one line in the log for each lack.
                    if !complained {
                        complained = true;
                        tracing::warn!(%error, "cannot accept connections; trying again until it works");
                    }
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }
}

/// A listener that is registered with the accepting runtime.
enum Listening {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener, #[allow(dead_code, reason = "held for its drop")] UnixPath),
}

impl Listening {
    /// Accepts a connection and takes it from the accepting runtime again: it will live on a shard's.
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listening::Tcp(listener) => listener.accept().await?.0.into_std().map(Accepted::Tcp),
            Listening::Unix(listener, _) => listener.accept().await?.0.into_std().map(Accepted::Unix),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionReset)
}

fn bind_tcp(address: SocketAddr, accepts_ipv4: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!accepts_ipv4)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_stale = || std::os::unix::net::UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale() => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Accepted {
    /// Registers the connection with the runtime of the calling thread.
    pub(in crate::server) fn open(self) -> io::Result<((Inlet, Outlet), Endpoints)> {
        match self {
            Accepted::Tcp(stream) => {
                stream.set_nodelay(true)?;
                let (remote, local) = (stream.peer_addr()?, stream.local_addr()?);
                let endpoints = Endpoints {
                    remote_address: remote.ip().to_string(),
                    remote_port: remote.port(),
                    local_address: local.ip().to_string(),
                    local_port: local.port(),
                };
                Ok((split_tcp(TcpStream::from_std(stream)?), endpoints))
            }
            Accepted::Unix(stream) => {
                let endpoints = Endpoints { remote_address: "unix:".to_owned(), local_address: "unix:".to_owned(), ..Endpoints::default() };
                Ok((split_unix(UnixStream::from_std(stream)?), endpoints))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::server::config::Config;

    #[test]
    fn all_ipv6_addresses_take_ipv4_connections_only_if_told() {
        for accepts_ipv4 in [true, false] {
            let servers = Config::builtin().listeners.remove(0).servers;
            let address = ListenAddress::Tcp((Ipv6Addr::UNSPECIFIED, 0).into());
            let bound = Bound::bind(&Listener { accepts_ipv4, ..Listener::new(address, servers) }).expect("a bound address");
            let Ok(ListenAddress::Tcp(address)) = bound.address() else { panic!("no address of {bound:?}") };
            let connected = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, address.port()));
            assert_eq!(connected.is_ok(), accepts_ipv4, "{connected:?}");
        }
    }
}
