//! Binding addresses, and opening accepted connections, which only their shard registers with a
//! runtime. `accept` has the accept loop.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpStream, UnixStream};

use super::overload;
use super::unix_socket;
use super::unix_socket::UnixPath;
use crate::server::config::{ListenAddress, Listener, TcpSettings};
use crate::server::exchange::request::Endpoints;
use crate::server::fanout::Outlet;

/// Most connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// Most unsent bytes that the kernel buffers for a client. Beyond that a socket is not writable
/// until half of them are sent. Without this bound the kernel buffers megabytes for each client
/// that stalls, and reports a slow one as writable only after a third of them is sent.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 128 * 1024;

/// A bound address.
#[derive(Debug)]
pub(in crate::server) enum Bound {
    Tcp(TcpListener),
    /// The file is removed before the listener is closed, so that its inode number is not reused.
    Unix(UnixPath, UnixListener),
    /// An inherited socket, with its path, which is not removed.
    PassedUnix(UnixListener, PathBuf),
}

/// An accepted connection that has no shard yet.
#[derive(Debug)]
pub(in crate::server) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Bound {
    /// Binds the address of `listener`; connections get `settings`.
    pub(in crate::server) fn bind(listener: &Listener, settings: &TcpSettings) -> io::Result<Self> {
        match &listener.address {
            ListenAddress::Tcp(address) => {
                bind_tcp(*address, listener.accepts_ipv4, settings).map(Bound::Tcp)
            }
            ListenAddress::Unix(path) => {
                unix_socket::bind(path).map(|(listener, path)| Bound::Unix(path, listener))
            }
        }
    }

    /// The bound address, with the port that the system has chosen.
    pub(in crate::server) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Bound::Unix(path, _) => Ok(ListenAddress::Unix(path.path().to_owned())),
            Bound::PassedUnix(_, path) => Ok(ListenAddress::Unix(path.clone())),
        }
    }
}

fn bind_tcp(
    address: SocketAddr,
    accepts_ipv4: bool,
    settings: &TcpSettings,
) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!accepts_ipv4)?;
    }
    apply(settings, &socket)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets options on a listening socket; accepted sockets inherit them without further calls.
pub(in crate::server) fn apply(settings: &TcpSettings, socket: &Socket) -> io::Result<()> {
    if !settings.keepalive.is_zero() {
        let keepalive = TcpKeepalive::new()
            .with_time(settings.keepalive)
            .with_interval(settings.keepalive_interval);
        socket.set_tcp_keepalive(&keepalive.with_retries(settings.keepalive_probes))?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES)?;
    #[cfg(target_os = "linux")]
    if !settings.user_timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(settings.user_timeout))?;
    }
    Ok(())
}

impl Accepted {
    /// Address of the client, for the limit on connections per address. An IPv6 /64 network counts
    /// as one, because a client may have all of its addresses. `None` for a unix socket.
    pub(in crate::server) fn source(&self) -> Option<IpAddr> {
        let Accepted::Tcp(stream) = self else {
            return None;
        };
        Some(match stream.peer_addr().ok()?.ip().to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
            address @ IpAddr::V4(_) => address,
        })
    }

    /// Rejects the connection with status 503, and closes it.
    pub(in crate::server) fn reject(self) {
        match self {
            Accepted::Tcp(stream) => overload::send(&stream),
            Accepted::Unix(stream) => overload::send(&stream),
        }
    }

    /// Registers the connection with the runtime of the calling thread.
    pub(in crate::server) fn open(self) -> io::Result<(Outlet, Endpoints)> {
        match self {
            Accepted::Tcp(stream) => {
                stream.set_nodelay(true)?;
                let remote = stream.peer_addr()?;
                let local = stream.local_addr()?;
                let endpoints = Endpoints {
                    remote_address: remote.ip().to_string(),
                    remote_port: remote.port(),
                    local_address: local.ip().to_string(),
                    local_port: local.port(),
                    ..numbered()
                };
                Ok((Outlet::tcp(TcpStream::from_std(stream)?), endpoints))
            }
            Accepted::Unix(stream) => {
                let endpoints = Endpoints {
                    remote_address: "unix:".to_owned(),
                    local_address: "unix:".to_owned(),
                    ..numbered()
                };
                Ok((Outlet::unix(UnixStream::from_std(stream)?), endpoints))
            }
        }
    }
}

/// Endpoints of a connection that is opened now, with its serial number.
fn numbered() -> Endpoints {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Endpoints {
        serial: LAST.fetch_add(1, Ordering::Relaxed) + 1,
        opened: Some(Instant::now()),
        ..Endpoints::default()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;
    use crate::server::config::Config;

    #[test]
    fn the_ipv6_wildcard_accepts_ipv4_only_if_configured() {
        for accepts_ipv4 in [true, false] {
            let servers = Config::builtin().listeners.remove(0).servers;
            let address = ListenAddress::Tcp((Ipv6Addr::UNSPECIFIED, 0).into());
            let bound = Bound::bind(
                &Listener {
                    accepts_ipv4,
                    ..Listener::new(address, servers)
                },
                &TcpSettings::default(),
            )
            .expect("a bound address");
            let Ok(ListenAddress::Tcp(address)) = bound.address() else {
                panic!("no address of {bound:?}")
            };
            let connected = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, address.port()));
            assert_eq!(connected.is_ok(), accepts_ipv4, "{connected:?}");
        }
    }

    #[test]
    fn accepted_connections_have_the_options_of_their_listener() {
        let settings = TcpSettings {
            keepalive: Duration::from_secs(33),
            keepalive_interval: Duration::from_secs(7),
            keepalive_probes: 4,
            user_timeout: Duration::from_millis(45_500),
        };
        for set in [true, false] {
            let none = TcpSettings {
                keepalive: Duration::ZERO,
                user_timeout: Duration::ZERO,
                ..settings
            };
            let used = if set { settings } else { none };
            let listener =
                bind_tcp((Ipv4Addr::LOCALHOST, 0).into(), false, &used).expect("a bound address");
            let _client = std::net::TcpStream::connect(listener.local_addr().expect("an address"))
                .expect("a connection");
            listener
                .set_nonblocking(false)
                .expect("a listener that waits");
            let accepted = Socket::from(listener.accept().expect("a connection").0);
            assert_eq!(accepted.keepalive().ok(), Some(set));
            if set {
                assert_eq!(accepted.tcp_keepalive_time().ok(), Some(settings.keepalive));
                assert_eq!(
                    accepted.tcp_keepalive_interval().ok(),
                    Some(settings.keepalive_interval)
                );
                assert_eq!(
                    accepted.tcp_keepalive_retries().ok(),
                    Some(settings.keepalive_probes)
                );
            }
            #[cfg(target_os = "linux")]
            assert_eq!(accepted.tcp_notsent_lowat().ok(), Some(MAX_UNSENT_BYTES));
            #[cfg(target_os = "linux")]
            assert_eq!(
                accepted.tcp_user_timeout().ok(),
                Some(Some(settings.user_timeout).filter(|_| set))
            );
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let source = |address: IpAddr| {
            let listener = TcpListener::bind((address, 0)).expect("a loopback");
            let client = std::net::TcpStream::connect(listener.local_addr().expect("an address"))
                .expect("a connection");
            Accepted::Tcp(client).source()
        };
        assert_eq!(
            source(Ipv4Addr::LOCALHOST.into()),
            Some(Ipv4Addr::LOCALHOST.into())
        );
        assert_eq!(
            source(Ipv6Addr::LOCALHOST.into()),
            Some(Ipv6Addr::UNSPECIFIED.into())
        );
    }
}
