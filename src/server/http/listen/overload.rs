//! Connections for which there is no room: they get status 503 at once, before their request is
//! read. They need no memory and no descriptor but the socket itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use crate::server::http::h1::response::OVERLOADED;

/// Most bytes of a request that are discarded: closing a socket with unread bytes could discard the
/// response.
const MAX_UNREAD_BYTES: usize = 64 * 1024;

/// A socket whose connection can be rejected.
pub(in crate::server) trait Rejectable {
    fn set_nonblocking(&self) -> std::io::Result<()>;
    fn shutdown(&self) -> std::io::Result<()>;
}

impl Rejectable for TcpStream {
    fn set_nonblocking(&self) -> std::io::Result<()> {
        TcpStream::set_nonblocking(self, true)
    }

    fn shutdown(&self) -> std::io::Result<()> {
        TcpStream::shutdown(self, Shutdown::Write)
    }
}

impl Rejectable for UnixStream {
    fn set_nonblocking(&self) -> std::io::Result<()> {
        UnixStream::set_nonblocking(self, true)
    }

    fn shutdown(&self) -> std::io::Result<()> {
        UnixStream::shutdown(self, Shutdown::Write)
    }
}

/// Sends the response, if the socket accepts it at once; errors mean that the client has
/// disconnected.
pub(in crate::server) fn send<S: Rejectable>(mut socket: &S)
where
    for<'a> &'a S: Read + Write,
{
    let sent = socket
        .set_nonblocking()
        .and_then(|()| socket.write_all(OVERLOADED))
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
