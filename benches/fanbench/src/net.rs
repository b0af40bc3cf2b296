//! Sockets that do not block and one epoll set that watches them. Knows nothing of HTTP.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    self as sys, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt,
};

/// What a socket is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end.
    Read,
    /// The connection is there, or bytes can be written; and what `Read` is for.
    Write,
    /// Only that the other side is gone: nothing is read.
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

/// A socket that something happened to.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// What the socket was registered with.
    pub token: u64,
    /// It takes bytes.
    pub writable: bool,
    /// The other side is gone.
    pub hangup: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Nothing at present.
    Nothing,
    /// The connection is at its end, orderly or not.
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

    /// Watches a socket from now on; closing it ends that.
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

    /// Watches for something else.
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

    /// Waits for events, at most that long, and puts them into `ready`.
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

/// Begins a connection, from `source` if given; it is there when the socket is writable.
///
/// # Errors
/// When there is no descriptor or port left, or the connection is refused at once.
pub fn connect(address: SocketAddrV4, source: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
    connect_with(address, source, None)
}

/// As [`connect`], with a receive buffer of about that many bytes.
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

/// Reads what is there.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Got {
    match sys::recv(fd, buffer, RecvFlags::empty()) {
        Ok((0, _)) => Got::End,
        Ok((count, _)) => Got::Bytes(count),
        Err(Errno::AGAIN | Errno::INTR) => Got::Nothing,
        Err(_) => Got::End,
    }
}

/// Writes as much as the socket takes; `None` when it is broken.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Option<usize> {
    match sys::send(fd, bytes, SendFlags::NOSIGNAL) {
        Ok(count) => Some(count),
        Err(Errno::AGAIN | Errno::INTR) => Some(0),
        Err(_) => None,
    }
}

/// Makes `close` reset the connection instead of ending it in order.
pub fn reset_on_close(fd: impl AsFd) {
    // A connection that is gone already needs no reset.
    let _ = sockopt::set_socket_linger(fd, Some(Duration::ZERO));
}
