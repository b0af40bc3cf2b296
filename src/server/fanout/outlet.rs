//! The two halves of a plain socket: the inlet is the connection's own, the outlet is shared with its follower.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// The reading half of a connection.
#[derive(Debug)]
pub enum Inlet {
    /// Of a TCP connection.
    Tcp(tcp::OwnedReadHalf),
    /// Of a connection to a unix socket.
    Unix(unix::OwnedReadHalf),
}

/// The writing half. TLS and HTTP/2 subscribers will get variants of their own.
#[derive(Debug)]
pub enum Outlet {
    /// Of a TCP connection.
    Tcp(tcp::OwnedWriteHalf),
    /// Of a connection to a unix socket.
    Unix(unix::OwnedWriteHalf),
}

/// Splits a TCP connection.
#[must_use]
pub fn split_tcp(stream: TcpStream) -> (Inlet, Outlet) {
    let (read, write) = stream.into_split();
    (Inlet::Tcp(read), Outlet::Tcp(write))
}

/// Splits a connection to a unix socket.
#[must_use]
pub fn split_unix(stream: UnixStream) -> (Inlet, Outlet) {
    let (read, write) = stream.into_split();
    (Inlet::Unix(read), Outlet::Unix(write))
}

impl Inlet {
    /// Reads what is there already; `WouldBlock` if that is nothing. The runtime does not hear of it.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, _) = match self {
            Inlet::Tcp(stream) => recv(stream.as_ref(), buffer, RecvFlags::empty())?,
            Inlet::Unix(stream) => recv(stream.as_ref(), buffer, RecvFlags::empty())?,
        };
        Ok(read)
    }

    /// Reads what is there into `buffer`; nothing at the end. A short read is taken as the last one, without asking again.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Inlet::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Inlet::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Outlet {
    /// Writes what the socket takes; `WouldBlock` if that is nothing.
    ///
    /// The runtime is not asked before, and told only if the socket is full, so that it waits for it: most sockets are not, and
    /// what it knows of one that was quiet for a while is far from the processor.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Outlet::Tcp(stream) => send(stream.as_ref(), bytes, SendFlags::NOSIGNAL),
            Outlet::Unix(stream) => send(stream.as_ref(), bytes, SendFlags::NOSIGNAL),
        };
        match (written, self) {
            (Err(Errno::AGAIN), Outlet::Tcp(stream)) => stream.as_ref().try_io(Interest::WRITABLE, || Err(Errno::AGAIN.into())),
            (Err(Errno::AGAIN), Outlet::Unix(stream)) => stream.as_ref().try_io(Interest::WRITABLE, || Err(Errno::AGAIN.into())),
            (written, _) => Ok(written?),
        }
    }

    /// Ready when there is something to read, or the end.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Outlet::Tcp(stream) => stream.as_ref().poll_read_ready(cx),
            Outlet::Unix(stream) => stream.as_ref().poll_read_ready(cx),
        }
    }

    /// Ready when the socket takes bytes.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Outlet::Tcp(stream) => stream.as_ref().poll_write_ready(cx),
            Outlet::Unix(stream) => stream.as_ref().poll_write_ready(cx),
        }
    }

    /// Tells the client that nothing more will come; what it still sends can be read.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Outlet::Tcp(stream) => socket2::SockRef::from(stream.as_ref()).shutdown(std::net::Shutdown::Write),
            Outlet::Unix(stream) => socket2::SockRef::from(stream.as_ref()).shutdown(std::net::Shutdown::Write),
        }
    }

    /// Lets the end of the connection throw away what its client has not taken. Otherwise the kernel would keep that, up to some
    /// MB, for a client that takes nothing, and the client would never hear of the end.
    pub fn reset_on_close(&self) {
        if let Outlet::Tcp(stream) = self {
            // If it fails the connection ends as others do.
            let _ = socket2::SockRef::from(stream.as_ref()).set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::unix::net;

    use futures_util::poll;

    use super::*;

    async fn pair() -> (Inlet, Outlet, net::UnixStream) {
        let (ours, client) = net::UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a socket of its own");
        let ours = UnixStream::from_std(ours).expect("a runtime");
        ours.writable().await.expect("an empty socket");
        let (inlet, outlet) = split_unix(ours);
        (inlet, outlet, client)
    }

    #[tokio::test]
    async fn a_full_socket_is_waited_for() {
        let (_inlet, outlet, mut client) = pair().await;
        let mut written = 0;
        let error = loop {
            match outlet.try_write(&[b'x'; 4096]) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(poll!(poll_fn(|cx| outlet.poll_write_ready(cx))).is_pending(), "the runtime knows that the socket is full");
        client.read_exact(&mut vec![0; written]).expect("what was written");
        poll_fn(|cx| outlet.poll_write_ready(cx)).await.expect("an empty socket");
        assert_eq!(outlet.try_write(b"y").expect("room"), 1);
    }

    #[tokio::test]
    async fn reading_before_waiting_loses_neither_bytes_nor_the_end() {
        let (mut inlet, _outlet, mut client) = pair().await;
        let mut bytes = [0; 8];
        assert_eq!(inlet.try_read(&mut bytes).map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        client.write_all(b"one").expect("room");
        assert_eq!((inlet.try_read(&mut bytes).expect("bytes"), &bytes[..3]), (3, &b"one"[..]));
        let mut buffer = ReadBuf::new(&mut bytes);
        assert!(poll!(poll_fn(|cx| inlet.poll_read(cx, &mut buffer))).is_pending(), "there is nothing more");
        client.write_all(b"two").expect("room");
        poll_fn(|cx| inlet.poll_read(cx, &mut buffer)).await.expect("bytes");
        assert_eq!(buffer.filled(), b"two");
        drop(client);
        assert_eq!(inlet.try_read(&mut [0; 8]).expect("the end"), 0);
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| inlet.poll_read(cx, &mut buffer)).await.expect("the end");
        assert!(buffer.filled().is_empty(), "the end is seen again");
    }
}
