//! A connection of a case: received heads, bodies and frames.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::support::{Frame, Socket, find};

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u64,
    pub(super) reason: String,
    /// By name in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// A connection.
pub(super) struct Conn {
    socket: Socket,
    pub(super) buffer: Vec<u8>,
    pub(super) is_over: bool,
    /// Requests without a response so far.
    pub(super) waiting: usize,
}

impl Conn {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
            is_over: false,
            waiting: 0,
        }
    }

    /// Sends; the server may have answered and closed before it has all.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// Reads until `is_ready`, the end, or the time limit; returns whether it is ready.
    pub(super) fn until(&mut self, within: Duration, is_ready: impl Fn(&[u8]) -> bool) -> bool {
        let end = Instant::now() + within;
        let mut piece = [0; 65536];
        while !is_ready(&self.buffer) && !self.is_over && Instant::now() < end {
            self.socket
                .set_read_timeout(end.saturating_duration_since(Instant::now()));
            match self.socket.read(&mut piece) {
                Ok(count @ 1..) => self.buffer.extend_from_slice(&piece[..count]),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Ok(0) | Err(_) => self.is_over = true,
            }
        }
        is_ready(&self.buffer)
    }

    /// A head, without a body yet.
    pub(super) fn head(&mut self, within: Duration) -> Result<Option<Response>, String> {
        if !self.until(within, |buffer| find(buffer, b"\r\n\r\n").is_some()) {
            return Ok(None);
        }
        let end = find(&self.buffer, b"\r\n\r\n").unwrap_or(0);
        let head: String = self.buffer.drain(..end + 4).map(char::from).collect();
        let mut lines = head.trim_end().split("\r\n");
        let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
        let version = first.next();
        let status = first.next();
        let reason = first.next().unwrap_or_default().to_owned();
        let status = status
            .filter(|_| version.is_some_and(|version| version.starts_with("HTTP/1.")))
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| format!("a malformed head: {head:?}"))?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers
            .map(|(name, value)| {
                (
                    name.to_ascii_lowercase(),
                    value.strip_prefix(' ').unwrap_or(value).to_owned(),
                )
            })
            .collect();
        Ok(Some(Response {
            status,
            reason,
            headers,
            body: Vec::new(),
        }))
    }

    /// A complete response.
    pub(super) fn response(
        &mut self,
        method: &str,
        within: Duration,
    ) -> Result<Option<Response>, String> {
        let Some(mut response) = self.head(within)? else {
            return Ok(None);
        };
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return Ok(Some(response));
        }
        let length = response
            .headers
            .get("content-length")
            .and_then(|value| value.parse::<usize>().ok());
        self.until(within, |buffer| {
            length.is_some_and(|length| buffer.len() >= length)
        });
        let length = length.unwrap_or(self.buffer.len()).min(self.buffer.len());
        response.body = self.buffer.drain(..length).collect();
        Ok(Some(response))
    }

    /// The next frame.
    pub(super) fn frame(&mut self, within: Duration) -> Option<Frame> {
        self.until(within, |buffer| Frame::parse(buffer).is_some());
        let (frame, length) = Frame::parse(&self.buffer)?;
        self.buffer.drain(..length);
        Some(frame)
    }
}
