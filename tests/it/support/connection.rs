//! A raw HTTP/1.x client: sends any bytes, reads heads and bodies and keeps the exact bytes.
//!
//! Reads wait up to [`DEADLINE`] and then panic with the received bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::response::{Framing, Head, Response};
use super::{DEADLINE, Frame, Socket, find, show};

/// A connection to the server.
pub(crate) struct Connection {
    socket: Socket,
    /// Bytes that arrived and were not taken yet.
    buffer: Vec<u8>,
    /// Content of the current response, without chunk framing, that was not taken yet.
    content: Vec<u8>,
    framing: Framing,
    closed: bool,
}

impl Connection {
    /// A client on a connected socket.
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
            content: Vec::new(),
            framing: Framing::Ended,
            closed: false,
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket
            .write_all(bytes.as_ref())
            .expect("the server takes what is sent");
    }

    /// Sends bytes; false if the server has closed the connection.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends a request with `Host`, the given headers, and `Content-Length` if there is a body.
    pub(crate) fn send_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut bytes = (request + "\r\n").into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        self.send(bytes);
    }

    /// Sends a request and reads the complete response.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Response {
        self.send_request(method, path, headers, body);
        if method == "HEAD" {
            Response {
                head: self.read_head(),
                body: Vec::new(),
            }
        } else {
            self.read_response()
        }
    }

    /// Reads a complete response.
    pub(crate) fn read_response(&mut self) -> Response {
        let head = self.read_head();
        Response {
            head,
            body: self.read_body(),
        }
    }

    /// Reads the next head.
    pub(crate) fn read_head(&mut self) -> Head {
        self.try_read_head().unwrap_or_else(|| {
            panic!(
                "the connection was closed before a complete head: {}",
                show(&self.buffer)
            )
        })
    }

    /// Reads the next head; `None` when the server closes the connection instead.
    pub(crate) fn try_read_head(&mut self) -> Option<Head> {
        while find(&self.buffer, b"\r\n\r\n").is_none() {
            if !self.receive("a response head") {
                return None;
            }
        }
        let end = find(&self.buffer, b"\r\n\r\n").expect("the loop found it") + 4;
        let head = Head::parse(&self.buffer[..end]);
        self.buffer.drain(..end);
        self.content.clear();
        self.framing = head.framing();
        Some(head)
    }

    /// Reads the rest of the body, however it ends.
    pub(crate) fn read_body(&mut self) -> Vec<u8> {
        while self.framing != Framing::Ended {
            self.read_piece("the end of the body");
        }
        std::mem::take(&mut self.content)
    }

    /// Reads content up to and including `needle`.
    pub(crate) fn read_until(&mut self, needle: &[u8]) -> Vec<u8> {
        self.try_read_until(needle).unwrap_or_else(|| {
            panic!(
                "the body ended before {:?}: {}",
                show(needle),
                show(&self.content)
            )
        })
    }

    /// Reads content up to and including `needle`; `None` when the body ends before.
    pub(crate) fn try_read_until(&mut self, needle: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.content, needle) {
                return Some(self.content.drain(..at + needle.len()).collect());
            }
            if self.framing == Framing::Ended {
                return None;
            }
            self.read_piece("more of the body");
        }
    }

    /// Reads one websocket frame.
    pub(crate) fn read_frame(&mut self) -> Frame {
        self.try_read_frame().unwrap_or_else(|| {
            panic!(
                "the connection was closed before a complete frame: {}",
                show(&self.buffer)
            )
        })
    }

    /// Reads one websocket frame; `None` when the connection is closed instead.
    pub(crate) fn try_read_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = Frame::parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !self.receive("a websocket frame") {
                return None;
            }
        }
    }

    /// Reads everything up to the end of the connection, without parsing it.
    pub(crate) fn read_to_close(&mut self) -> Vec<u8> {
        while self.receive("the end of the connection") {}
        std::mem::take(&mut self.buffer)
    }

    /// Reads up to the end of the connection; an error if it is reset.
    pub(crate) fn read_to_end(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.buffer);
        self.socket.set_read_timeout(DEADLINE);
        self.socket.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Checks that the server closes the connection without sending anything more.
    pub(crate) fn expect_close(&mut self) {
        let rest = self.read_to_close();
        assert!(
            rest.is_empty(),
            "bytes before the end of the connection: {}",
            show(&rest)
        );
    }

    /// Whether the server closes the connection within that time; received bytes are kept.
    pub(crate) fn closed_within(&mut self, time: Duration) -> bool {
        while self.receive_within(time) {}
        self.closed
    }

    /// Whether there is unread input, or the end.
    pub(crate) fn has_received(&mut self) -> bool {
        !self.buffer.is_empty() || self.receive_within(Duration::from_millis(1)) || self.closed
    }

    /// Closes the sending direction.
    pub(crate) fn half_close(&mut self) {
        self.socket.shutdown(Shutdown::Write);
    }

    /// Moves one piece of the body (a chunk, or the received part of a plain body) to `content`.
    fn read_piece(&mut self, what: &str) {
        match self.framing {
            Framing::Ended => {}
            Framing::Chunked => self.read_chunk_piece(what),
            Framing::UntilClose => {
                if self.buffer.is_empty() && !self.receive(what) {
                    self.framing = Framing::Ended;
                }
                self.content.append(&mut self.buffer);
            }
            Framing::Length(0) => self.framing = Framing::Ended,
            Framing::Length(left) => {
                assert!(
                    !self.buffer.is_empty() || self.receive(what),
                    "closed {left} bytes before the end of the body"
                );
                let taken = left.min(self.buffer.len());
                self.content.extend(self.buffer.drain(..taken));
                self.framing = if taken == left {
                    Framing::Ended
                } else {
                    Framing::Length(left - taken)
                };
            }
        }
    }

    fn read_chunk_piece(&mut self, what: &str) {
        loop {
            if let Some((data, length)) = chunk(&self.buffer) {
                if data.is_empty() {
                    self.framing = Framing::Ended;
                }
                self.content.extend_from_slice(data);
                self.buffer.drain(..length);
                return;
            }
            assert!(
                self.receive(what),
                "closed within a chunked body: {} {}",
                show(&self.content),
                show(&self.buffer)
            );
        }
    }

    /// Waits for more bytes; false when the connection is closed.
    fn receive(&mut self, what: &str) -> bool {
        let before = self.buffer.len();
        let more = self.receive_within(DEADLINE);
        let waiting = !more && !self.closed;
        assert!(
            !waiting,
            "waited {DEADLINE:?} in vain for {what}; so far: {} {}",
            show(&self.content),
            show(&self.buffer)
        );
        more && self.buffer.len() > before
    }

    /// Waits for more bytes for `timeout`; false if none arrived or the connection is closed.
    fn receive_within(&mut self, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        let mut piece = [0; 65536];
        while !self.closed {
            self.socket
                .set_read_timeout(end.saturating_duration_since(Instant::now()));
            match self.socket.read(&mut piece) {
                Ok(count @ 1..) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return true;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return false;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // An orderly end and a reset look the same to a client that waits for bytes.
                Ok(0) | Err(_) => self.closed = true,
            }
        }
        false
    }
}

/// The data of the first chunk and the length of the chunk; `None` while it is incomplete.
fn chunk(buffer: &[u8]) -> Option<(&[u8], usize)> {
    let line = find(buffer, b"\r\n")?;
    let digits = std::str::from_utf8(&buffer[..line])
        .ok()
        .filter(|text| text.len() < 16);
    let length = digits
        .and_then(|text| usize::from_str_radix(text, 16).ok())
        .unwrap_or_else(|| panic!("a malformed chunk: {}", show(buffer)));
    let end = line + 2 + length;
    let framed = buffer.get(line + 2..end + 2)?;
    assert!(
        framed.ends_with(b"\r\n"),
        "a chunk without its line end: {}",
        show(buffer)
    );
    Some((&framed[..length], end + 2))
}
