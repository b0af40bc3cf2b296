//! Listening sockets inherited from the parent process (systemd's socket activation).
//!
//! They stay open while the process runs, used or not: a reload may add their address, or remove it
//! and add it again.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::unix::net::UnixListener;

use socket2::SockRef;

use super::listener;
use super::listener::Bound;
use crate::server::config::{ListenAddress, Listener, TcpSettings};

/// An inherited listening socket.
#[derive(Debug)]
pub struct InheritedSocket {
    address: ListenAddress,
    socket: ListeningSocket,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why an inherited socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritedSocketError {
    /// It is not in the listening state.
    #[error("it is not a listening socket")]
    NotListening,
    /// The socket has no path.
    #[error("it is a unix socket without a path")]
    NoPath,
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl InheritedSocket {
    /// Takes over a TCP socket.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn tcp(socket: TcpListener) -> Result<Self, InheritedSocketError> {
        if !SockRef::from(&socket).is_listener()? {
            return Err(InheritedSocketError::NotListening);
        }
        socket.set_nonblocking(true)?;
        Ok(Self {
            address: ListenAddress::Tcp(socket.local_addr()?),
            socket: ListeningSocket::Tcp(socket),
        })
    }

    /// Takes over a unix socket.
    ///
    /// # Errors
    /// When it does not listen, or has no path.
    pub fn unix(socket: UnixListener) -> Result<Self, InheritedSocketError> {
        if !SockRef::from(&socket).is_listener()? {
            return Err(InheritedSocketError::NotListening);
        }
        socket.set_nonblocking(true)?;
        let path = socket
            .local_addr()?
            .as_pathname()
            .ok_or(InheritedSocketError::NoPath)?
            .to_owned();
        Ok(Self {
            address: ListenAddress::Unix(path),
            socket: ListeningSocket::Unix(socket),
        })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Finds the socket for `listener`: the one with its address, or for `0.0.0.0` one for `[::]`
    /// with the same port that accepts IPv4 as well, which systemd opens for a bare port.
    pub(in crate::server) fn find<'a>(all: &'a [Self], listener: &Listener) -> Option<&'a Self> {
        all.iter()
            .find(|passed| passed.address == listener.address)
            .or_else(|| all.iter().find(|passed| passed.covers(&listener.address)))
    }

    fn covers(&self, wanted: &ListenAddress) -> bool {
        let (ListenAddress::Tcp(own), ListenAddress::Tcp(wanted)) = (&self.address, wanted) else {
            return false;
        };
        let is_all = |address: IpAddr| address.is_unspecified();
        let (ListeningSocket::Tcp(socket), true) =
            (&self.socket, own.is_ipv6() && wanted.is_ipv4())
        else {
            return false;
        };
        own.port() == wanted.port()
            && is_all(own.ip())
            && is_all(wanted.ip())
            && SockRef::from(socket)
                .only_v6()
                .is_ok_and(|only_ipv6| !only_ipv6)
    }

    /// Duplicates the socket for a listener; its connections get `settings`.
    pub(in crate::server) fn bound(&self, settings: &TcpSettings) -> io::Result<Bound> {
        match &self.socket {
            ListeningSocket::Tcp(socket) => {
                let socket = socket.try_clone()?;
                listener::apply(settings, &SockRef::from(&socket))?;
                Ok(Bound::Tcp(socket))
            }
            ListeningSocket::Unix(socket) => {
                let ListenAddress::Unix(path) = &self.address else {
                    return Err(io::ErrorKind::InvalidInput.into());
                };
                Ok(Bound::PassedUnix(socket.try_clone()?, path.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::server::config::Config;

    fn listener(address: ListenAddress) -> Listener {
        Listener::new(address, Config::builtin().listeners.remove(0).servers)
    }

    #[test]
    fn a_socket_for_all_addresses_is_one_for_ipv4_too_unless_it_refuses_that() {
        for only_ipv6 in [false, true] {
            let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None)
                .expect("a socket");
            socket.set_only_v6(only_ipv6).expect("an option");
            socket
                .bind(&std::net::SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())
                .expect("a free port");
            socket.listen(1).expect("a listener");
            let passed = [InheritedSocket::tcp(socket.into()).expect("it listens")];
            let ListenAddress::Tcp(address) = *passed[0].address() else {
                panic!("{passed:?}")
            };
            let found = |ip: IpAddr, port| {
                InheritedSocket::find(&passed, &listener(ListenAddress::Tcp((ip, port).into())))
                    .is_some()
            };
            assert!(found(Ipv6Addr::UNSPECIFIED.into(), address.port()));
            assert_eq!(
                found(Ipv4Addr::UNSPECIFIED.into(), address.port()),
                !only_ipv6
            );
            assert!(!found(Ipv4Addr::LOCALHOST.into(), address.port()));
            assert!(!found(Ipv4Addr::UNSPECIFIED.into(), address.port() ^ 1));
        }
    }

    #[test]
    fn a_socket_that_does_not_listen_is_refused() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        assert!(matches!(
            InheritedSocket::tcp(socket.into()),
            Err(InheritedSocketError::NotListening)
        ));
    }
}
