//! The client of the recorded exchanges: it reads *until the connection is idle for a while*, like
//! the recording.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use flate2::{Decompress, FlushDecompress};

use crate::support::{Frame, Socket, find, show};

/// Status code, reason and headers.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: u64,
    pub(super) reason: String,
    /// By name in lower case.
    pub(super) headers: BTreeMap<String, String>,
}

/// One connection of a case.
pub(super) struct Client {
    socket: Socket,
    buffer: Vec<u8>,
    chunked: bool,
    length: Option<usize>,
    /// A head received earlier than from the original; it is checked when the original sends it.
    pub(super) early: Option<Head>,
    /// The last chunk was read.
    pub(super) ended: bool,
    /// Of a body in gzip.
    unzip: Option<Decompress>,
    /// The connection was closed.
    pub(super) closed: bool,
}

impl Client {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
            chunked: false,
            length: None,
            early: None,
            ended: false,
            unzip: None,
            closed: false,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.socket
            .write_all(bytes)
            .map_err(|error| format!("cannot send: {error}"))
    }

    pub(super) fn half_close(&self) {
        self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// From now on bytes are read as they are.
    pub(super) fn leave_http(&mut self) {
        self.chunked = false;
    }

    /// The next head, if it arrives in time.
    pub(super) fn head(&mut self, timeout: Duration) -> Result<Option<Head>, String> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let head = parse_head(&self.buffer[..at])?;
                self.buffer.drain(..at + 4);
                self.chunked = head
                    .headers
                    .get("transfer-encoding")
                    .is_some_and(|value| value.contains("chunked"));
                self.length = head
                    .headers
                    .get("content-length")
                    .and_then(|value| value.parse().ok());
                self.ended = false;
                return Ok(Some(head));
            }
            if !self.receive(end) {
                return Ok(None);
            }
        }
    }

    /// The body of a response with that status.
    pub(super) fn body(
        &mut self,
        method: &str,
        status: u64,
        timeout: Duration,
    ) -> Result<Vec<u8>, String> {
        if method == "HEAD" || status == 204 || status == 304 {
            return Ok(Vec::new());
        }
        let end = Instant::now() + timeout;
        if let Some(length) = self.length {
            while self.buffer.len() < length && self.receive(end) {}
            return Ok(self.buffer.drain(..length.min(self.buffer.len())).collect());
        }
        let mut body = Vec::new();
        loop {
            body.extend(self.take()?);
            if self.ended || !self.receive(end) {
                return Ok(body);
            }
        }
    }

    /// Bytes received until the connection is idle for `idle`, the body ends or the connection is
    /// closed.
    pub(super) fn until_idle(&mut self, idle: Duration) -> Result<Vec<u8>, String> {
        let end = Instant::now() + Duration::from_secs(12);
        let mut data = Vec::new();
        loop {
            data.extend(self.take()?);
            if self.ended || Instant::now() > end || !self.receive(Instant::now() + idle) {
                data.extend(self.take()?);
                return Ok(data);
            }
        }
    }

    /// As [`Client::until_idle`], of a body in gzip.
    pub(super) fn unzipped_until_idle(&mut self, idle: Duration) -> Result<Vec<u8>, String> {
        /// Most bytes of one step.
        const ROOM: usize = 64 * 1024;
        let zipped = self.until_idle(idle)?;
        let mut plain = Vec::with_capacity(ROOM);
        let unzip = self.unzip.get_or_insert_with(|| Decompress::new_gzip(15));
        unzip
            .decompress_vec(&zipped, &mut plain, FlushDecompress::Sync)
            .map_err(|error| format!("not in gzip: {error}"))?;
        Ok(plain)
    }

    /// Complete websocket frames received until the connection is idle for `idle`.
    pub(super) fn frames(&mut self, idle: Duration) -> Result<Vec<Frame>, String> {
        while self.receive(Instant::now() + idle) {}
        let mut frames = Vec::new();
        while let Some((frame, length)) = Frame::parse(&self.buffer) {
            self.buffer.drain(..length);
            frames.push(frame);
        }
        Ok(frames)
    }

    /// Waits up to a second for the connection to be closed.
    pub(super) fn wait_for_close(&mut self) {
        let end = Instant::now() + Duration::from_secs(1);
        while self.receive(end) {}
    }

    /// Takes the received content, without chunk framing.
    fn take(&mut self) -> Result<Vec<u8>, String> {
        if !self.chunked {
            return Ok(std::mem::take(&mut self.buffer));
        }
        let mut data = Vec::new();
        while !self.ended
            && let Some(line) = find(&self.buffer, b"\r\n")
        {
            let digits = String::from_utf8_lossy(&self.buffer[..line]);
            let length = usize::from_str_radix(&digits, 16)
                .map_err(|_| format!("a malformed chunk: {}", show(&self.buffer)))?;
            if self.buffer.len() < line + length + 4 {
                break;
            }
            data.extend_from_slice(&self.buffer[line + 2..line + 2 + length]);
            self.buffer.drain(..line + length + 4);
            self.ended = length == 0;
        }
        Ok(data)
    }

    /// Waits for more bytes until `end`; false if none arrived.
    fn receive(&mut self, end: Instant) -> bool {
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
                Ok(0) | Err(_) => self.closed = true,
            }
        }
        false
    }
}

fn parse_head(raw: &[u8]) -> Result<Head, String> {
    let wrong = || format!("a malformed head: {}", show(raw));
    let text = std::str::from_utf8(raw).map_err(|_| wrong())?;
    let mut lines = text.split("\r\n");
    let mut status_line = lines.next().unwrap_or_default().splitn(3, ' ');
    let version = status_line
        .next()
        .filter(|version| version.starts_with("HTTP/1."));
    let status = version
        .and(status_line.next())
        .and_then(|status| status.parse().ok())
        .ok_or_else(wrong)?;
    let reason = status_line.next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        headers.insert(
            name.to_ascii_lowercase(),
            value.strip_prefix(' ').unwrap_or(value).to_owned(),
        );
    }
    Ok(Head {
        status,
        reason,
        headers,
    })
}
