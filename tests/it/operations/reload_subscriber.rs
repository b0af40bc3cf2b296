//! A subscriber of the reload test with its ledger of received messages.

use super::reload_under_load::Scene;
use crate::support::{DEADLINE, show};
use memchr::memchr;
use memchr::memmem::find;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Streaming,
    EventSource,
    WebSocket,
    LongPolling,
    Polling,
}

impl Mode {
    /// Its location and the word of the directive.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Streaming => ("sub", "streaming"),
            Self::EventSource => ("ev", "eventsource"),
            Self::WebSocket => ("ws", "websocket"),
            Self::LongPolling => ("lp", "long-polling"),
            Self::Polling => ("poll", "polling"),
        }
    }
}

pub(super) struct Subscriber {
    pub(super) mode: Mode,
    pub(super) channel: usize,
    pub(super) socket: TcpStream,
    /// Received bytes of an incomplete message or response.
    pub(super) buffer: Vec<u8>,
    /// Received messages: the ledger, since they are numbered from 0 without a gap.
    pub(super) received: usize,
    /// Cursor of the last poll response.
    pub(super) cursor: (String, String),
    /// A poll is pending.
    pub(super) is_asking: bool,
    /// Number of messages published before the last poll.
    pub(super) asked_at: usize,
}

impl Subscriber {
    pub(super) fn new(address: &str, mode: Mode, channel: usize) -> Self {
        let socket = TcpStream::connect(address).expect("a connection");
        let cursor = ("Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), "W/0".to_owned());
        let mut subscriber = Self {
            mode,
            channel,
            socket,
            buffer: Vec::new(),
            received: 0,
            cursor,
            is_asking: false,
            asked_at: usize::MAX,
        };
        if matches!(mode, Mode::Polling) {
            subscriber
                .socket
                .set_nonblocking(true)
                .expect("a socket that does not wait");
            return subscriber;
        }
        subscriber.ask();
        if !matches!(mode, Mode::LongPolling) {
            subscriber
                .socket
                .set_read_timeout(Some(DEADLINE))
                .expect("a timeout is accepted");
            let end = loop {
                if let Some(end) = find(&subscriber.buffer, b"\r\n\r\n") {
                    break end + 4;
                }
                let mut piece = [0; 1024];
                let length = subscriber.socket.read(&mut piece).expect("an answer");
                assert!(length > 0, "{mode:?}: closed before the answer");
                subscriber.buffer.extend_from_slice(&piece[..length]);
            };
            let status = if mode == Mode::WebSocket {
                "101"
            } else {
                "200"
            };
            assert_eq!(
                &subscriber.buffer[9..12],
                status.as_bytes(),
                "{mode:?}: {}",
                show(&subscriber.buffer)
            );
            subscriber.buffer.drain(..end);
        }
        subscriber
            .socket
            .set_nonblocking(true)
            .expect("a socket that does not wait");
        subscriber
    }

    /// Sends the request.
    pub(super) fn ask(&mut self) {
        let (name, _) = self.mode.names();
        let mut request = format!("GET /{name}/c{} HTTP/1.1\r\nHost: x\r\n", self.channel);
        match self.mode {
            Mode::LongPolling | Mode::Polling => {
                request += &format!(
                    "If-Modified-Since: {}\r\nIf-None-Match: {}\r\n",
                    self.cursor.0, self.cursor.1
                );
            }
            Mode::WebSocket => {
                request += "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                            Sec-WebSocket-Version: 13\r\n";
            }
            Mode::Streaming | Mode::EventSource => {}
        }
        // The request is small, and the server has read earlier ones.
        self.socket
            .write_all((request + "\r\n").as_bytes())
            .unwrap_or_else(|error| panic!("{self:?}: {error}"));
        self.is_asking = true;
    }

    /// Reads available input, and polls again if there are new messages.
    pub(super) fn turn(&mut self, scene: &Scene, piece: &mut [u8]) {
        if self.mode == Mode::Polling && !self.is_asking {
            let published = scene.published[self.channel].load(Ordering::Acquire);
            if published == self.asked_at {
                return;
            }
            self.asked_at = published;
            self.ask();
        }
        match self.socket.read(piece) {
            Ok(0) => panic!("{self:?}: the connection was closed"),
            Ok(length) => self.buffer.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{self:?}: {error}"),
        }
        match self.mode {
            Mode::LongPolling | Mode::Polling => self.take_answers(),
            _ => {
                let taken = self.take_messages(self.buffer.len());
                self.buffer.drain(..taken);
            }
        }
    }

    /// Takes the whole messages of the first bytes of the buffer: `<CHANNEL NUMBER>`, each the next
    /// one. Returns how many bytes that are.
    pub(super) fn take_messages(&mut self, length: usize) -> usize {
        let mut taken = 0;
        while let Some(start) = memchr(b'<', &self.buffer[taken..length]).map(|at| taken + at)
            && let Some(end) = memchr(b'>', &self.buffer[start..length]).map(|at| start + at + 1)
        {
            let expected = format!("<{} {}>", self.channel, self.received);
            assert!(
                &self.buffer[start..end] == expected.as_bytes(),
                "{self:?}: {}",
                show(&self.buffer[start..end])
            );
            self.received += 1;
            taken = end;
        }
        taken
    }

    /// Consumes complete responses in the buffer, and polls again after a long-poll.
    pub(super) fn take_answers(&mut self) {
        while let Some(end) = find(&self.buffer, b"\r\n\r\n").map(|at| at + 4) {
            let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let header = |name: &str| {
                head.lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::to_owned)
            };
            let length = match &head[9..12] {
                "304" => end,
                "200" if header("Transfer-Encoding: chunked").is_some() => {
                    match find(&self.buffer[end..], b"0\r\n\r\n") {
                        Some(at) => end + at + 5,
                        None => return,
                    }
                }
                "200" => {
                    end + header("Content-Length: ")
                        .and_then(|length| length.parse::<usize>().ok())
                        .expect("a length")
                }
                _ => panic!("{self:?}: {head}"),
            };
            if self.buffer.len() < length {
                return;
            }
            assert!(!head.contains("Connection: close"), "{self:?}: {head}");
            self.take_messages(length);
            self.buffer.drain(..length);
            if let (Some(time), Some(tag)) = (header("Last-Modified: "), header("Etag: ")) {
                self.cursor = (time, tag);
            }
            self.is_asking = false;
            if self.mode == Mode::LongPolling {
                self.ask();
            }
        }
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} subscriber of c{} after {} messages, with {}",
            self.mode,
            self.channel,
            self.received,
            show(&self.buffer)
        )
    }
}
