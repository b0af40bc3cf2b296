//! The plain socket of a connection. Its follower writes to it; the connection reads from it what
//! the client sends.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::format::Ending;
use super::tap::Tap;

use crate::server::broker::Incident;

/// Where what is for a client goes, and where what it sends comes from. TLS and HTTP/2 subscribers
/// will get variants of their own.
#[derive(Debug)]
pub struct Outlet {
    socket: Socket,
    /// Records what is written, where that is logged.
    tap: RefCell<Option<Box<Tap>>>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// As what the error of a socket is counted; `None` = the client has left.
#[must_use]
pub fn failure(error: &io::Error) -> Option<Incident> {
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
    /// A TCP connection.
    #[must_use]
    pub fn tcp(stream: TcpStream) -> Self {
        Self {
            socket: Socket::Tcp(stream),
            tap: RefCell::default(),
        }
    }

    /// A connection to a unix socket.
    #[must_use]
    pub fn unix(stream: UnixStream) -> Self {
        Self {
            socket: Socket::Unix(stream),
            tap: RefCell::default(),
        }
    }

    /// From now on records what is written.
    pub fn begin_tap(&self) {
        self.tap.replace(Some(Box::default()));
    }

    /// Ends the record, if there is one.
    pub fn take_tap(&self) -> Option<Box<Tap>> {
        self.tap.take()
    }

    /// Records why the follower is ended.
    pub(super) fn record_ending(&self, ending: Ending) {
        if let Some(tap) = &mut *self.tap.borrow_mut() {
            tap.ending = Some(ending);
        }
    }

    /// Writes what the socket takes; `WouldBlock` if that is nothing.
    ///
    /// The runtime is not asked before, and told only if the socket is full, so that it waits for
    /// it: most sockets are not, and what it knows of one that was quiet for a while is far from
    /// the processor.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &self.socket {
            Socket::Tcp(stream) => send(stream, bytes, SendFlags::NOSIGNAL),
            Socket::Unix(stream) => send(stream, bytes, SendFlags::NOSIGNAL),
        };
        match written {
            Ok(count) => {
                if let Some(tap) = &mut *self.tap.borrow_mut() {
                    tap.record(&bytes[..count]);
                }
            }
            Err(Errno::AGAIN) => self.note_block(Interest::WRITABLE),
            Err(_) => {}
        }
        Ok(written?)
    }

    /// Reads what is there already; `WouldBlock` if that is nothing. The runtime does not hear of
    /// it.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, _) = match &self.socket {
            Socket::Tcp(stream) => recv(stream, buffer, RecvFlags::empty())?,
            Socket::Unix(stream) => recv(stream, buffer, RecvFlags::empty())?,
        };
        Ok(read)
    }

    /// Reads what is there; nothing at the end. A short read is taken as the last one, without
    /// asking again.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            let read = self.try_read(buffer);
            match &read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.note_block(Interest::READABLE)
                }
                // The end is seen again by whoever asks again.
                Ok(count) if (1..buffer.len()).contains(count) => {
                    self.note_block(Interest::READABLE);
                    return Poll::Ready(read);
                }
                _ => return Poll::Ready(read),
            }
        }
    }

    /// Whether there is something to read, the end, or an error. Asks the system: the runtime may
    /// not have heard of it yet.
    pub fn has_input(&self) -> bool {
        let mut byte = [0];
        let peeked = match &self.socket {
            Socket::Tcp(stream) => recv(stream, &mut byte[..], RecvFlags::PEEK),
            Socket::Unix(stream) => recv(stream, &mut byte[..], RecvFlags::PEEK),
        };
        peeked.err() != Some(Errno::AGAIN)
    }

    /// Whether the socket takes bytes, or is broken. Asks the system, as [`Outlet::has_input`]
    /// does.
    pub fn has_room(&self) -> bool {
        let mut socket = match &self.socket {
            Socket::Tcp(stream) => [PollFd::new(stream, PollFlags::OUT)],
            Socket::Unix(stream) => [PollFd::new(stream, PollFlags::OUT)],
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

    /// Tells the runtime that it has to wait for the socket.
    fn note_block(&self, interest: Interest) {
        let blocked = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        // The error comes back: the runtime has heard of it.
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.try_io(interest, blocked),
            Socket::Unix(stream) => stream.try_io(interest, blocked),
        };
    }

    /// Ready when there is something to read, or the end.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
            Socket::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when the socket takes bytes.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.socket {
            Socket::Tcp(stream) => stream.poll_write_ready(cx),
            Socket::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Tells the client that nothing more will come; what it still sends can be read.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => {
                socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)
            }
            Socket::Unix(stream) => {
                socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)
            }
        }
    }

    /// Lets the end of the connection throw away what its client has not taken. Otherwise the
    /// kernel would keep that, up to some MB, for a client that takes nothing, and the client would
    /// never hear of the end.
    pub fn reset_on_close(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            // If it fails the connection ends as others do.
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
        ours.set_nonblocking(true).expect("a socket of its own");
        let ours = UnixStream::from_std(ours).expect("a runtime");
        ours.writable().await.expect("an empty socket");
        (Outlet::unix(ours), client)
    }

    #[tokio::test]
    async fn a_full_socket_is_waited_for() {
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
            "there is nothing more"
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
            "the end is seen again"
        );
    }
}
