//! One publisher of the load generator: a kept connection with one request at a time.

use std::fmt::Write;
use std::os::fd::OwnedFd;

use super::{Plan, Tally};
use crate::http;
use crate::mark;
use crate::net;

/// A publisher.
pub(super) struct Publisher {
    pub(super) fd: OwnedFd,
    pub(super) connected: bool,
    /// Due time and number of messages of the request in flight.
    pub(super) busy: Option<(u64, u64)>,
    buffer: Vec<u8>,
}

impl Publisher {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            connected: false,
            busy: None,
            buffer: Vec::new(),
        }
    }

    /// Sends messages to channels, each with its number there; false if the connection is broken.
    pub(super) fn send(&mut self, plan: &Plan, due_nanos: u64, messages: &[(usize, u64)]) -> bool {
        let mut body = String::new();
        let (path, kind) = if plan.batch == 0 {
            let (channel, number) = messages[0];
            mark::message(&mut body, due_nanos, number, plan.size);
            (
                plan.publish_path
                    .replace("{ch}", &format!("{}{channel}", plan.channel)),
                "text/plain",
            )
        } else {
            for (channel, number) in messages {
                let _ = write!(
                    body,
                    "{{\"channel\":\"{}{channel}\",\"text\":\"",
                    plan.channel
                );
                mark::message(&mut body, due_nanos, *number, plan.size);
                body.push_str("\"}\n");
            }
            (plan.publish_path.clone(), "application/x-ndjson")
        };
        let length = body.len();
        let headers = &plan.headers;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Type: {kind}\r\n\
                     Content-Length: {length}\r\n\r\n{body}"
        );
        self.busy = Some((due_nanos, messages.len() as u64));
        net::write(&self.fd, request.as_bytes()) == Some(request.len())
    }

    /// Handles received bytes.
    pub(super) fn take(&mut self, bytes: &[u8], now_nanos: u64, tally: &mut Tally) {
        self.buffer.extend_from_slice(bytes);
        while let Some((_, end)) = http::whole(&self.buffer) {
            if !(200..300).contains(&http::status(&self.buffer)) {
                tally.publish_errors += 1;
                if tally.publish_errors == 1 {
                    eprintln!(
                        "a publish failed: {}",
                        String::from_utf8_lossy(&self.buffer[..end.min(400)])
                    );
                }
            }
            self.buffer.drain(..end);
            if let Some((due_nanos, messages)) = self.busy.take() {
                tally.acknowledged += messages;
                tally
                    .publish_latency
                    .saturating_record(now_nanos.saturating_sub(due_nanos) / 1000);
            }
        }
    }
}
