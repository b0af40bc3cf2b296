//! The socket of a connection: TCP or unix, read and written without waiting.

use std::io;
use std::task::{Context, Poll};

use tokio::net::{TcpStream, UnixStream};

/// A plain socket. TLS and HTTP/2 subscribers will get variants of their own.
#[derive(Debug)]
pub enum Outlet {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection to a unix socket.
    Unix(UnixStream),
}

impl Outlet {
    /// Reads what is there; `WouldBlock` if nothing is, 0 at the end.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Outlet::Tcp(stream) => stream.try_read(buffer),
            Outlet::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Writes what the socket takes; `WouldBlock` if that is nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Outlet::Tcp(stream) => stream.try_write(bytes),
            Outlet::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Ready when there is something to read, or the end.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Outlet::Tcp(stream) => stream.poll_read_ready(cx),
            Outlet::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when the socket takes bytes.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Outlet::Tcp(stream) => stream.poll_write_ready(cx),
            Outlet::Unix(stream) => stream.poll_write_ready(cx),
        }
    }
}
