//! Ports of the loopback address.

use std::net::TcpListener;

/// A port of 127.0.0.1 that was bound and closed again: nothing listens there.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
