//! The local addresses that the connections of `bench` come from: each has its own ports, so that
//! several of them allow for more connections than one.

#![allow(
    unsafe_code,
    reason = "no library that is used here sets IP_BIND_ADDRESS_NO_PORT"
)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;

/// Local addresses, which connections take in turn; without any the system chooses.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ipv4: Turns,
    ipv6: Turns,
}

/// The addresses of one family. Each family has its own turns: a server with addresses of both is
/// asked about both for each connection.
#[derive(Debug, Default)]
struct Turns {
    addresses: Vec<IpAddr>,
    next: AtomicUsize,
}

impl Turns {
    fn next(&self) -> Option<IpAddr> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.addresses
            .get(turn.checked_rem(self.addresses.len())?)
            .copied()
    }
}

impl Sources {
    /// These addresses, in this order.
    #[must_use]
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        let (ipv4, ipv6) = addresses.into_iter().partition(IpAddr::is_ipv4);
        let turns = |addresses| Turns {
            addresses,
            next: AtomicUsize::new(0),
        };
        Self(Arc::new(Inner {
            ipv4: turns(ipv4),
            ipv6: turns(ipv6),
        }))
    }

    /// The system chooses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.ipv4.addresses.is_empty() && self.0.ipv6.addresses.is_empty()
    }

    /// The address of the next connection, of that family; `None` if there is none.
    #[must_use]
    pub fn next(&self, is_ipv4: bool) -> Option<IpAddr> {
        if is_ipv4 {
            self.0.ipv4.next()
        } else {
            self.0.ipv6.next()
        }
    }
}

/// Binds a socket to a local address. Its port is chosen when it connects: only then does the
/// system know that a port may serve several connections to different servers, and on Linux it
/// offers only half of the ports before.
pub(super) fn bind(socket: &TcpSocket, source: IpAddr) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    choose_port_late(socket)?;
    socket.bind(SocketAddr::new(source, 0))
}

#[cfg(target_os = "linux")]
fn choose_port_late(socket: &TcpSocket) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let option = (&raw const on).cast();
    // SAFETY: the socket is open, and the option is an integer that lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            option,
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_the_addresses_of_their_family_in_turn() {
        let addresses =
            ["127.0.0.2", "::1", "127.0.0.3"].map(|text| text.parse().expect("an address"));
        let sources = Sources::new(addresses.to_vec());
        // A server with an address of each family is asked about both.
        let taken: Vec<_> = (0..3)
            .map(|_| [sources.next(false), sources.next(true)])
            .collect();
        let [first, ipv6, second] = addresses.map(Some);
        assert_eq!(taken, [[ipv6, first], [ipv6, second], [ipv6, first]]);
        assert_eq!(Sources::default().next(true), None);
    }
}
