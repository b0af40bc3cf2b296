//! The socket of a connection: followers write to it, connections read requests from it.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::end_reason::EndReason;
use super::tap::{FindHeadEnd, Tap};

use crate::server::broker::Incident;

/// A plain TCP or unix socket.
#[derive(Debug)]
pub struct Outlet {
    socket: StreamSocket,
    /// Record of the written bytes, for the access log.
    tap: RefCell<Option<Box<Tap>>>,
}

#[derive(Debug)]
enum StreamSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The incident as which a socket error is counted; `None` if the client has left.
#[must_use]
pub fn socket_incident(error: &io::Error) -> Option<Incident> {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset => None,
        TimedOut => Some(Incident::TcpTimeout),
        _ => {
            tracing::debug!(%error, "the socket of a connection failed");
            Some(Incident::SocketError)
        }
    }
}

impl Outlet {
    /// Wraps a TCP socket.
    #[must_use]
    pub fn tcp(stream: TcpStream) -> Self {
        Self {
            socket: StreamSocket::Tcp(stream),
            tap: RefCell::default(),
        }
    }

    /// Wraps a unix socket.
    #[must_use]
    pub fn unix(stream: UnixStream) -> Self {
        Self {
            socket: StreamSocket::Unix(stream),
            tap: RefCell::default(),
        }
    }

    /// Starts recording the written bytes.
    pub fn begin_tap(&self, find_head_end: FindHeadEnd) {
        self.tap.replace(Some(Box::new(Tap::new(find_head_end))));
    }

    /// Ends the record and returns it, if there is one.
    pub fn take_tap(&self) -> Option<Box<Tap>> {
        self.tap.take()
    }

    /// Records why the subscription was ended.
    pub(super) fn record_ending(&self, ending: EndReason) {
        if let Some(tap) = &mut *self.tap.borrow_mut() {
            tap.ending = Some(ending);
        }
    }

    /// Writes as much as the socket accepts; `WouldBlock` if that is nothing.
    ///
    /// Calls the system directly, without checking the runtime's readiness first: most sockets have
    /// room, and the readiness state of one that was idle for a while is not in the processor's
    /// caches. Only if the socket is full is the readiness cleared, so that the runtime waits for
    /// it.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &self.socket {
            StreamSocket::Tcp(stream) => send(stream, bytes, SendFlags::NOSIGNAL),
            StreamSocket::Unix(stream) => send(stream, bytes, SendFlags::NOSIGNAL),
        };
        match written {
            Ok(count) => {
                if let Some(tap) = &mut *self.tap.borrow_mut() {
                    tap.record(&bytes[..count]);
                }
            }
            Err(Errno::AGAIN) => self.clear_readiness(Interest::WRITABLE),
            Err(_) => {}
        }
        Ok(written?)
    }

    /// Reads available input; `WouldBlock` if there is none. Does not change the runtime's
    /// readiness.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, _) = match &self.socket {
            StreamSocket::Tcp(stream) => recv(stream, buffer, RecvFlags::empty())?,
            StreamSocket::Unix(stream) => recv(stream, buffer, RecvFlags::empty())?,
        };
        Ok(read)
    }

    /// Reads input when there is some; 0 bytes at the end. A short read is taken as the last one
    /// and saves the system call that would confirm it.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            let read = self.try_read(buffer);
            match &read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.clear_readiness(Interest::READABLE)
                }
                // A close is reported again by the next read.
                Ok(count) if (1..buffer.len()).contains(count) => {
                    self.clear_readiness(Interest::READABLE);
                    return Poll::Ready(read);
                }
                _ => return Poll::Ready(read),
            }
        }
    }

    /// True if there is input, the end, or an error to read. Queries the system, because the
    /// runtime may not have been notified yet.
    pub fn has_input(&self) -> bool {
        let mut byte = [0];
        let peeked = match &self.socket {
            StreamSocket::Tcp(stream) => recv(stream, &mut byte[..], RecvFlags::PEEK),
            StreamSocket::Unix(stream) => recv(stream, &mut byte[..], RecvFlags::PEEK),
        };
        peeked.err() != Some(Errno::AGAIN)
    }

    /// True if the socket accepts data or has failed. Queries the system, as [`Outlet::has_input`]
    /// does.
    pub fn has_room(&self) -> bool {
        let mut socket = match &self.socket {
            StreamSocket::Tcp(stream) => [PollFd::new(stream, PollFlags::OUT)],
            StreamSocket::Unix(stream) => [PollFd::new(stream, PollFlags::OUT)],
        };
        poll(
            &mut socket,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )
        .is_ok_and(|ready| ready > 0)
    }

    /// Clears the runtime's readiness, so that it waits for the socket.
    fn clear_readiness(&self, interest: Interest) {
        let blocked = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        // `try_io` clears the readiness on `WouldBlock` and returns the error.
        let _ = match &self.socket {
            StreamSocket::Tcp(stream) => stream.try_io(interest, blocked),
            StreamSocket::Unix(stream) => stream.try_io(interest, blocked),
        };
    }

    /// Ready when there is input, or at the end.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            StreamSocket::Tcp(stream) => stream.poll_read_ready(cx),
            StreamSocket::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when the socket accepts data.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            StreamSocket::Tcp(stream) => stream.poll_write_ready(cx),
            StreamSocket::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Closes the sending direction. Data from the client can still be read.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match &self.socket {
            StreamSocket::Tcp(stream) => {
                socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)
            }
            StreamSocket::Unix(stream) => {
                socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)
            }
        }
    }

    /// Makes closing the connection discard unsent data. Otherwise the kernel would keep up to some
    /// MB for a client that reads nothing, and the client would not notice the close.
    pub fn reset_on_close(&self) {
        if let StreamSocket::Tcp(stream) = &self.socket {
            // On failure the connection is closed in the ordinary way.
            let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
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

    async fn pair() -> (Outlet, net::UnixStream) {
        let (ours, client) = net::UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a socket");
        let ours = UnixStream::from_std(ours).expect("a runtime");
        ours.writable().await.expect("an empty socket");
        (Outlet::unix(ours), client)
    }

    #[tokio::test]
    async fn a_full_socket_becomes_writable_again() {
        let (outlet, mut client) = pair().await;
        let mut written = 0;
        let error = loop {
            match outlet.try_write(&[b'x'; 4096]) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(
            poll!(poll_fn(|cx| outlet.poll_write_ready(cx))).is_pending(),
            "the runtime knows that the socket is full"
        );
        client
            .read_exact(&mut vec![0; written])
            .expect("what was written");
        poll_fn(|cx| outlet.poll_write_ready(cx))
            .await
            .expect("an empty socket");
        assert_eq!(outlet.try_write(b"y").expect("room"), 1);
    }

    #[tokio::test]
    async fn reading_before_waiting_loses_neither_bytes_nor_the_end() {
        let (outlet, mut client) = pair().await;
        let mut bytes = [0; 8];
        assert_eq!(
            outlet.try_read(&mut bytes).map_err(|error| error.kind()),
            Err(io::ErrorKind::WouldBlock)
        );
        client.write_all(b"one").expect("room");
        assert_eq!(
            (outlet.try_read(&mut bytes).expect("bytes"), &bytes[..3]),
            (3, &b"one"[..])
        );
        assert!(
            poll!(poll_fn(|cx| outlet.poll_read(cx, &mut bytes))).is_pending(),
            "no more input"
        );
        client.write_all(b"two").expect("room");
        assert_eq!(
            poll_fn(|cx| outlet.poll_read(cx, &mut bytes))
                .await
                .expect("bytes"),
            3
        );
        assert_eq!(&bytes[..3], b"two");
        drop(client);
        assert_eq!(outlet.try_read(&mut [0; 8]).expect("the end"), 0);
        assert_eq!(
            poll_fn(|cx| outlet.poll_read(cx, &mut bytes))
                .await
                .expect("the end"),
            0,
            "the end is reported again"
        );
    }
}
