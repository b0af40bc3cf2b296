//! Batches: many messages in one request, an extension of pushctl. The body is NDJSON, one message
//! per line.
//!
//! ```text
//! {"channel":"ch1","text":"hello"}
//! {"channel":"ch2","base64":"/w==","event_id":"7","event_type":"news"}
//! ```
//!
//! | status | body |
//! |---|---|
//! | 200 | `{"published": N}` |
//! | 400, 403, 413, 500 of the first line that fails | `{"published": N, "error": ERROR}` |
//!
//! `ERROR` is `{"line": L, "status": S, "reason": "…"}`.
//!
//! Lines are published in order as they arrive. The first invalid line ends the batch; the messages
//! before it stay published. With an engine that acknowledges later, up to 256 lines are in flight
//! together: lines behind one that the engine rejects may be published, too, and are counted.
//! `channel` has the syntax of `?id=` without percent-encoding, and is optional if `?id=` names a
//! channel. Blank lines are skipped. No sockets: `http` reads the body.

mod line;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use self::line::BatchLine;
use super::rejection_for;
use crate::server::access::grant::{Action, Grant};
use crate::server::broker::{
    Broker, Channel, ChannelInfo, NewMessage, PendingTickets, StoreOptions, Tickets,
};
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::observe::limits_log::Limit;
use crate::server::push_stream::channels_path;
use crate::server::push_stream::channels_path::ChannelRef;
use crate::server::push_stream::explain::Rejection;
use crate::server::push_stream::permission;

/// Maximum number of lines published before other connections get a turn (about half a
/// millisecond).
const LINES_PER_TURN: usize = 256;

/// Maximum number of bytes processed before other connections get a turn.
const BYTES_PER_TURN: usize = 256 * 1024;

/// Maximum number of lines that wait for their acknowledgement together.
const MAX_UNACKNOWLEDGED: usize = 256;

/// The limits on one line.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Maximum number of channels that a line may name.
    pub max_channels: usize,
    /// Maximum length of a line, in bytes.
    pub max_line_bytes: usize,
}

/// A batch whose lines are arriving.
#[derive(Debug)]
pub struct Batch {
    grant: Grant,
    /// Channels of lines without `channel`.
    default_ids: SmallVec<[ChannelRef; 1]>,
    store: bool,
    headers: HeaderList,
    limits: BatchLimits,
    /// Bytes received and not yet published.
    pending: Vec<u8>,
    /// Length of the prefix of `pending` that is known to contain no line end.
    scanned: usize,
    /// Number of lines read.
    lines: u64,
    published: u64,
    /// The channel of the last line, which the next line often names, too.
    last: Option<Arc<Channel>>,
    /// Lines that are not acknowledged, with their numbers, in order.
    unacknowledged: VecDeque<(u64, PendingTickets<ChannelInfo>)>,
    /// The first line that was not acknowledged, with its number.
    failed: Option<(u64, Failure)>,
}

/// Why a batch ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Status of the response.
    pub status: Status,
    /// Reason, for the response.
    pub reason: String,
}

/// How far the received bytes were processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The turn is over; there may be more complete lines.
    Yield,
    /// Lines have to be acknowledged first ([`Batch::acknowledge`]).
    Wait,
    /// All complete lines are published.
    Done,
}

impl Failure {
    /// Creates a failure with a reason.
    #[must_use]
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status: Status(status),
            reason: reason.into(),
        }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let text = rejection.text().filter(|text| !text.is_empty());
        Self {
            status: rejection.status(),
            reason: text
                .unwrap_or("no memory left (the bound is set by --memory)")
                .to_owned(),
        }
    }
}

impl Batch {
    /// Creates a batch; `default_ids` are the channels that the request names, `headers` the header
    /// lines of its response.
    #[must_use]
    pub fn new(
        grant: Grant,
        default_ids: SmallVec<[ChannelRef; 1]>,
        store: bool,
        headers: HeaderList,
        limits: BatchLimits,
    ) -> Self {
        Self {
            grant,
            default_ids,
            store,
            headers,
            limits,
            pending: Vec::new(),
            scanned: 0,
            lines: 0,
            published: 0,
            last: None,
            unacknowledged: VecDeque::new(),
            failed: None,
        }
    }

    /// The buffer to which the caller appends further bytes of the body.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Memory of the bytes that wait for the end of their line, in bytes.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.capacity()
    }

    /// Memory held for the request while lines arrive, in bytes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        size_of::<Self>() + self.headers.byte_len() + channels_path::own_bytes(&self.default_ids)
    }

    /// Publishes complete lines, for at most one turn. With `at_end`, the last line needs no line
    /// end.
    ///
    /// # Errors
    /// The first line that is invalid or rejected; it ends the batch.
    pub fn publish(&mut self, broker: &Broker, at_end: bool) -> Result<Progress, Failure> {
        let pending = std::mem::take(&mut self.pending);
        let mut at = 0;
        let mut progress = Progress::Yield;
        for _ in 0..LINES_PER_TURN {
            if self.unacknowledged.len() >= MAX_UNACKNOWLEDGED {
                progress = Progress::Wait;
                break;
            }
            let end = memchr::memchr(b'\n', &pending[self.scanned.max(at)..])
                .map(|end| self.scanned.max(at) + end);
            let line = &pending[at..end.unwrap_or(pending.len())];
            if line.len() > self.limits.max_line_bytes {
                self.lines += 1;
                Limit::Body.log();
                return Err(Failure::new(
                    413,
                    format!(
                        "the line is longer than {} bytes (--max-body-size)",
                        self.limits.max_line_bytes
                    ),
                ));
            }
            if end.is_none() && (!at_end || line.is_empty()) {
                self.scanned = line.len();
                progress = Progress::Done;
                break;
            }
            self.scanned = 0;
            self.line(broker, line)?;
            at = end.map_or(pending.len(), |end| end + 1);
            if at > BYTES_PER_TURN {
                break;
            }
        }
        self.pending = pending;
        self.pending.drain(..at);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        Ok(progress)
    }

    fn line(&mut self, broker: &Broker, line: &[u8]) -> Result<(), Failure> {
        self.lines += 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        let BatchLine { channel, message } = BatchLine::parse(line)?;
        let tickets = match channel {
            Some(channel) => {
                self.publish_to(broker, &channels_path::split(Bytes::from(channel)), message)?
            }
            None => {
                let ids = std::mem::take(&mut self.default_ids);
                let result = self.publish_to(broker, &ids, message);
                self.default_ids = ids;
                result?
            }
        };
        match tickets {
            Tickets::Ready(result) => {
                result.map_err(rejection_for)?;
                self.published += 1;
            }
            Tickets::Pending(tickets) => self.unacknowledged.push_back((self.lines, tickets)),
        }
        Ok(())
    }

    fn publish_to(
        &mut self,
        broker: &Broker,
        ids: &[ChannelRef],
        message: NewMessage,
    ) -> Result<Tickets, Failure> {
        if ids.is_empty() {
            return Err(Rejection::NoChannelId.into());
        }
        if ids.len() > self.limits.max_channels {
            return Err(Rejection::TooManyIds.into());
        }
        let mut channels: SmallVec<[Arc<Channel>; 1]> = SmallVec::new();
        for ChannelRef { id, .. } in ids {
            let channel = match self.last.take().filter(|last| last.id == *id) {
                Some(last) => last,
                None => {
                    permission::check(&self.grant, Action::Publish, broker, id)?;
                    let channel = broker.find_or_create(id);
                    channel.map_err(|error| rejection_for(error.into()))?
                }
            };
            channels.push(channel);
        }
        let options = StoreOptions::new(self.store);
        let tickets = broker.publish_to_all(&channels, message, options);
        self.last = channels.pop();
        Ok(tickets)
    }

    /// Waits until at most half of the lines that may wait together are not acknowledged.
    ///
    /// # Errors
    /// The first line that was not acknowledged; it ends the batch.
    pub async fn acknowledge(&mut self) -> Result<(), Failure> {
        while self.unacknowledged.len() > MAX_UNACKNOWLEDGED / 2 {
            self.acknowledge_next().await;
        }
        self.failed
            .clone()
            .map_or(Ok(()), |(_, failure)| Err(failure))
    }

    /// Waits until all lines are acknowledged or have failed. Returns the result of the batch, of
    /// which `read` is the result of reading and publishing its lines: the line that failed first
    /// counts. Lines that were published together with it may follow it.
    ///
    /// # Errors
    /// The first line that failed.
    pub async fn settle(&mut self, read: Result<(), Failure>) -> Result<(), Failure> {
        while !self.unacknowledged.is_empty() {
            self.acknowledge_next().await;
        }
        let Some((line, failure)) = self.failed.take() else {
            return read;
        };
        self.lines = line;
        Err(failure)
    }

    async fn acknowledge_next(&mut self) {
        let Some((line, tickets)) = self.unacknowledged.pop_front() else {
            return;
        };
        match tickets.settle().await {
            Ok(_) => self.published += 1,
            Err(error) if self.failed.is_none() => {
                self.failed = Some((line, rejection_for(error).into()));
            }
            Err(_) => {}
        }
    }

    /// The response to the batch.
    #[must_use]
    pub fn response(&self, failure: Option<&Failure>) -> Response {
        let (status, body) = match failure {
            None => (Status::OK, serde_json::json!({"published": self.published})),
            Some(Failure { status, reason }) => {
                let line = self.lines.max(1);
                let error = serde_json::json!({"line": line, "status": status.0, "reason": reason});
                (
                    *status,
                    serde_json::json!({"published": self.published, "error": error}),
                )
            }
        };
        Response::sized(
            status,
            "application/json",
            self.headers.clone(),
            format!("{body}\r\n").into_bytes(),
        )
    }

    /// Counts the next line as failed, if the body ends with an error before the line is complete.
    pub fn fail_next_line(&mut self) {
        self.lines += 1;
    }
}
