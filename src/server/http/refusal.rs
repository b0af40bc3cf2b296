//! What a client sees for whose connection there is no room: 503 at once, before it is asked what
//! it wants.
//!
//! No memory and no descriptor is taken for it but the socket itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

/// The whole answer.
const ANSWER: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n\
                        Connection: close\r\n\r\n";

/// Most bytes of a request that are thrown away: closing a socket with unread bytes could cost the
/// client the answer.
const MAX_UNREAD_BYTES: usize = 64 * 1024;

/// A socket that can be refused.
pub(super) trait Refusable {
    fn set_nonblocking(&self) -> std::io::Result<()>;
    fn shutdown(&self) -> std::io::Result<()>;
}

impl Refusable for TcpStream {
    fn set_nonblocking(&self) -> std::io::Result<()> {
        TcpStream::set_nonblocking(self, true)
    }

    fn shutdown(&self) -> std::io::Result<()> {
        TcpStream::shutdown(self, Shutdown::Write)
    }
}

impl Refusable for UnixStream {
    fn set_nonblocking(&self) -> std::io::Result<()> {
        UnixStream::set_nonblocking(self, true)
    }

    fn shutdown(&self) -> std::io::Result<()> {
        UnixStream::shutdown(self, Shutdown::Write)
    }
}

/// Sends the answer, if the socket takes it at once; a client that is gone already needs none.
pub(super) fn send<S: Refusable>(mut socket: &S)
where
    for<'a> &'a S: Read + Write,
{
    let sent = socket
        .set_nonblocking()
        .and_then(|()| socket.write_all(ANSWER))
        .and_then(|()| socket.shutdown());
    let mut buffer = [0; 4096];
    let mut unread = 0;
    while sent.is_ok() && unread < MAX_UNREAD_BYTES {
        match socket.read(&mut buffer) {
            Ok(count @ 1..) => unread += count,
            Ok(0) | Err(_) => break,
        }
    }
}
