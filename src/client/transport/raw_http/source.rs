//! Local addresses for the connections of `bench`: each has its own port range, so several
//! addresses allow more connections.

#![allow(
    unsafe_code,
    reason = "no library that is used here sets IP_BIND_ADDRESS_NO_PORT"
)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;

/// Local addresses, used in turn; if empty, the system chooses.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<SourcePools>);

#[derive(Debug, Default)]
struct SourcePools {
    ipv4: AddressPool,
    ipv6: AddressPool,
}

/// The addresses of one family. Each family has its own counter: for a server with addresses of
/// both families, each connection requests one of each.
#[derive(Debug, Default)]
struct AddressPool {
    addresses: Vec<IpAddr>,
    next: AtomicUsize,
}

impl AddressPool {
    fn next(&self) -> Option<IpAddr> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.addresses
            .get(turn.checked_rem(self.addresses.len())?)
            .copied()
    }
}

impl Sources {
    /// Creates a set of addresses, which are used in this order.
    #[must_use]
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        let (ipv4, ipv6) = addresses.into_iter().partition(IpAddr::is_ipv4);
        let turns = |addresses| AddressPool {
            addresses,
            next: AtomicUsize::new(0),
        };
        Self(Arc::new(SourcePools {
            ipv4: turns(ipv4),
            ipv6: turns(ipv6),
        }))
    }

    /// True if the system chooses the address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.ipv4.addresses.is_empty() && self.0.ipv6.addresses.is_empty()
    }

    /// Returns the local address of the next connection; `None` if there is none of this family.
    #[must_use]
    pub fn next(&self, is_ipv4: bool) -> Option<IpAddr> {
        if is_ipv4 {
            self.0.ipv4.next()
        } else {
            self.0.ipv6.next()
        }
    }
}

/// Binds a socket to a local address. The port is chosen when it connects: only then can the system
/// share a port between connections to different servers, and on Linux it offers only half of the
/// ports at `bind`.
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
