//! Listening: binds addresses and opens connections, which are registered with a runtime only by
//! their shard. Accepting is in `accept`.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpStream, UnixStream};

use super::refusal;
use super::unix_socket::{self, UnixPath};
use crate::server::config::{ListenAddress, Listener, TcpSettings};
use crate::server::fanout::Outlet;
use crate::server::request::Endpoints;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// Most bytes that the kernel keeps for a client beside what is on its way to it. Beyond that a
/// socket is full, and it is writable again with half of it gone: without this bound it keeps
/// megabytes for each client that stalls, and says nothing of one that reads slowly before a third
/// of them is gone.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 128 * 1024;

/// A bound address.
#[derive(Debug)]
pub(in crate::server) enum Bound {
    Tcp(TcpListener),
    /// Its file goes before the listener, which keeps the number of the file from being used again.
    Unix(UnixPath, UnixListener),
    /// A socket that came from elsewhere, with its path, which is not ours to remove.
    PassedUnix(UnixListener, PathBuf),
}

/// A connection on its way to its shard.
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

    /// The address as it is: with the port that the system chose.
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

/// Sets the options on a listening socket: accepted ones inherit them, without a call for each.
pub(super) fn apply(settings: &TcpSettings, socket: &Socket) -> io::Result<()> {
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
    /// The address of the client, for the limit on connections per address: an IPv6 network counts
    /// as one, because a client may have all of its addresses. `None` of a unix socket.
    pub(in crate::server) fn source(&self) -> Option<IpAddr> {
        let Accepted::Tcp(stream) = self else {
            return None;
        };
        Some(match stream.peer_addr().ok()?.ip().to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
            address @ IpAddr::V4(_) => address,
        })
    }

    /// Tells the client that there is no room for it, and closes the connection.
    pub(in crate::server) fn refuse(self) {
        match self {
            Accepted::Tcp(stream) => refusal::send(&stream),
            Accepted::Unix(stream) => refusal::send(&stream),
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

/// A connection that is opened now, with its number.
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
    fn all_ipv6_addresses_take_ipv4_connections_only_if_told() {
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
