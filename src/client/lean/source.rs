//! The local addresses that the connections of `bench` come from: each has its own ports, so that several of them allow for more
//! connections than one.

#![allow(unsafe_code, reason = "no library that is used here sets IP_BIND_ADDRESS_NO_PORT")]

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
    addresses: Vec<IpAddr>,
    next: AtomicUsize,
}

impl Sources {
    /// These addresses, in this order.
    #[must_use]
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        Self(Arc::new(Inner { addresses, next: AtomicUsize::new(0) }))
    }

    /// The system chooses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.addresses.is_empty()
    }

    /// The address of the next connection, of that family; `None` if there is none.
    #[must_use]
    pub fn next(&self, is_ipv4: bool) -> Option<IpAddr> {
        let Inner { addresses, next } = &*self.0;
        let count = addresses.len();
        let first = next.fetch_add(1, Ordering::Relaxed);
        (0..count).map(|step| addresses[first.wrapping_add(step) % count]).find(|address| address.is_ipv4() == is_ipv4)
    }
}

/// Binds a socket to a local address. Its port is chosen when it connects: only then does the system know that a port may serve
/// several connections to different servers, and on Linux it offers only half of the ports before.
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
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, option, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_the_addresses_of_their_family_in_turn() {
        let addresses = ["127.0.0.2", "::1", "127.0.0.3"].map(|text| text.parse().expect("an address"));
        let sources = Sources::new(addresses.to_vec());
        let taken: Vec<_> = (0..3).filter_map(|_| sources.next(true)).collect();
        assert_eq!(taken, [addresses[0], addresses[2], addresses[2]]);
        assert_eq!(sources.next(false), Some(addresses[1]));
        assert_eq!(Sources::default().next(true), None);
    }
}
