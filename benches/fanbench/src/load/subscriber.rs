//! One subscriber of the load generator: its request, and the received bytes.

use std::os::fd::OwnedFd;

use super::{Mode, Plan, Tally};
use crate::http;
use crate::mark::Scanner;
use crate::net;

/// State of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Connecting.
    Connecting,
    /// The request was sent.
    Requesting,
    /// Receiving messages.
    Open,
    /// Disconnected.
    Closed,
}

/// A subscriber.
pub(super) struct Subscriber {
    pub(super) fd: Option<OwnedFd>,
    pub(super) state: State,
    /// Its mode, as an index into the plan's.
    pub(super) mode: usize,
    pub(super) channel: usize,
    /// It does not read.
    pub(super) stuck: bool,
    pub(super) scanner: Scanner,
    buffer: Vec<u8>,
    /// `Last-Modified` and `Etag` of the last response.
    cursor: Option<(String, String)>,
}

impl Subscriber {
    /// `published` is the number of the newest message of each channel.
    pub(super) fn new(
        fd: OwnedFd,
        number: usize,
        plan: &Plan,
        published: impl Fn(usize) -> u64,
    ) -> Self {
        let mut scanner = Scanner::default();
        scanner.skip_to(published(number % plan.channels).saturating_sub(plan.backlog));
        Self {
            fd: Some(fd),
            state: State::Connecting,
            mode: number % plan.modes.len(),
            channel: number % plan.channels,
            stuck: number < plan.stuck,
            scanner,
            buffer: Vec::new(),
            cursor: None,
        }
    }

    /// Sends its request; false if that fails.
    pub(super) fn ask(&mut self, plan: &Plan) -> bool {
        let (mode, path) = &plan.modes[self.mode];
        let path = path.replace("{ch}", &format!("{}{}", plan.channel, self.channel));
        let special = match (mode, &self.cursor) {
            (Mode::Ws, _) => WEBSOCKET.to_owned(),
            (Mode::Sse, _) => "Accept: text/event-stream\r\n".to_owned(),
            (Mode::Lp, Some((time, tag))) => format!(
                "If-Modified-Since: {time}\r\n\
                                                      If-None-Match: {tag}\r\n"
            ),
            _ => String::new(),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n\
                               {}{special}\r\n",
            plan.headers
        );
        self.state = if *mode == Mode::Lp {
            State::Open
        } else {
            State::Requesting
        };
        self.fd
            .as_ref()
            .is_some_and(|fd| net::write(fd, request.as_bytes()) == Some(request.len()))
    }

    /// Handles received bytes; false if the subscriber was rejected.
    pub(super) fn take(
        &mut self,
        plan: &Plan,
        bytes: &[u8],
        now_nanos: u64,
        tally: &mut Tally,
    ) -> bool {
        tally.bytes += bytes.len() as u64;
        if plan.modes[self.mode].0 == Mode::Lp {
            return self.take_answer(plan, bytes, now_nanos, tally);
        }
        if self.state != State::Requesting {
            count(&mut self.scanner, bytes, now_nanos, tally);
            return true;
        }
        self.buffer.extend_from_slice(bytes);
        let Some(head) = http::head_end(&self.buffer) else {
            return true;
        };
        let buffer = std::mem::take(&mut self.buffer);
        if !matches!(http::status(&buffer), 200 | 101) {
            eprintln!(
                "a subscriber was rejected: {}",
                String::from_utf8_lossy(&buffer)
            );
            return false;
        }
        self.state = State::Open;
        // Data after the head is not counted for a subscriber that does not read: it is not
        // expected, and starts anywhere in the messages of several publishers.
        if !self.stuck {
            count(&mut self.scanner, &buffer[head..], now_nanos, tally);
        }
        true
    }

    fn take_answer(
        &mut self,
        plan: &Plan,
        bytes: &[u8],
        now_nanos: u64,
        tally: &mut Tally,
    ) -> bool {
        self.buffer.extend_from_slice(bytes);
        while let Some((head, end)) = http::whole(&self.buffer) {
            let status = http::status(&self.buffer);
            if !matches!(status, 200 | 304) {
                eprintln!(
                    "a poll was rejected: {}",
                    String::from_utf8_lossy(&self.buffer[..head])
                );
                return false;
            }
            count(&mut self.scanner, &self.buffer[head..end], now_nanos, tally);
            let value = |name| {
                http::header(&self.buffer[..head], name)
                    .unwrap_or_default()
                    .to_owned()
            };
            self.cursor = Some((value("last-modified"), value("etag")));
            self.buffer.drain(..end);
            if !self.ask(plan) {
                return false;
            }
        }
        true
    }
}

fn count(scanner: &mut Scanner, bytes: &[u8], now_nanos: u64, tally: &mut Tally) {
    let Tally {
        faults,
        delivered,
        latency,
        ..
    } = tally;
    scanner.read(bytes, faults, |due| {
        *delivered += 1;
        latency.saturating_record(now_nanos.saturating_sub(due) / 1000);
    });
}

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Sec-WebSocket-Version: 13\r\n";
