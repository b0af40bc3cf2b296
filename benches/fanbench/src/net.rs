//! Non-blocking sockets and one epoll set. No HTTP here.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    self as sys, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt,
};

/// Events of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end.
    Read,
    /// Connected or writable; also the events of `Read`.
    Write,
    /// Only that the peer has closed; nothing is read.
    Hangup,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN | EventFlags::RDHUP,
            Self::Write => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP,
            Self::Hangup => EventFlags::RDHUP,
        }
    }
}

/// A socket with an event.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The token of the registration.
    pub token: u64,
    /// Writable.
    pub writable: bool,
    /// The peer has closed.
    pub hangup: bool,
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// This number of bytes.
    Bytes(usize),
    /// No data at present.
    Nothing,
    /// The connection has ended, orderly or not.
    End,
}

/// The watched sockets.
pub struct Net {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Net {
    /// An empty set.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(4096),
        })
    }

    /// Watches a socket; closing it ends that.
    ///
    /// # Errors
    /// Those of `epoll_ctl`.
    pub fn watch(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            EventData::new_u64(token),
            interest.flags(),
        )?)
    }

    /// Changes the events of interest.
    ///
    /// # Errors
    /// Those of `epoll_ctl`.
    pub fn change(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            fd,
            EventData::new_u64(token),
            interest.flags(),
        )?)
    }

    /// Waits for events, for at most this long, and stores them in `ready`.
    ///
    /// # Errors
    /// Those of `epoll_wait`.
    pub fn wait(&mut self, at_most: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = rustix::event::Timespec {
            tv_sec: at_most.as_secs().cast_signed(),
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().map(|event| {
            let flags = event.flags;
            Ready {
                token: event.data.u64(),
                writable: flags.contains(EventFlags::OUT),
                hangup: flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR),
            }
        }));
        Ok(())
    }
}

/// Starts to connect, from `source` if given; the socket becomes writable when it is connected.
///
/// # Errors
/// Returns an error if there is no descriptor or port left, or the peer refuses the connection.
pub fn connect(address: SocketAddrV4, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
    connect_with(address, source, None)
}

/// Like [`connect`], with a receive buffer of about this many bytes.
///
/// # Errors
/// As for [`connect`].
pub fn connect_with(
    address: SocketAddrV4,
    source: Option<Ipv4Addr>,
    receive_buffer: Option<usize>,
) -> io::Result<OwnedFd> {
    let fd = sys::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    if let Some(bytes) = receive_buffer {
        sockopt::set_socket_recv_buffer_size(&fd, bytes)?;
    }
    if let Some(source) = source {
        sys::bind(&fd, &SocketAddrV4::new(source, 0))?;
    }
    match sys::connect(&fd, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}

/// Reads the available data.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Got {
    match sys::recv(fd, buffer, RecvFlags::empty()) {
        Ok((0, _)) => Got::End,
        Ok((count, _)) => Got::Bytes(count),
        Err(Errno::AGAIN | Errno::INTR) => Got::Nothing,
        Err(_) => Got::End,
    }
}

/// Writes as much as possible; `None` if the connection is broken.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Option<usize> {
    match sys::send(fd, bytes, SendFlags::NOSIGNAL) {
        Ok(count) => Some(count),
        Err(Errno::AGAIN | Errno::INTR) => Some(0),
        Err(_) => None,
    }
}

/// Makes `close` reset the connection.
pub fn reset_on_close(fd: impl AsFd) {
    // A connection that has ended needs no reset.
    let _ = sockopt::set_socket_linger(fd, Some(Duration::ZERO));
}
