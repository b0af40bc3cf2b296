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
//! before it stay published. `channel` has the syntax of `?id=` without percent-encoding, and is
//! optional if `?id=` names a channel. Blank lines are skipped. No sockets: `http` reads the body.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use smallvec::SmallVec;

use super::{check_publish_channel, rejection_for};
use crate::server::broker::{Broker, Channel, NewMessage};
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::observe::limits_log::Limit;
use crate::server::push_stream::channels_path;
use crate::server::push_stream::channels_path::ChannelRef;
use crate::server::push_stream::explain::Rejection;

/// Maximum number of lines published before other connections get a turn (about half a
/// millisecond).
const LINES_PER_TURN: usize = 256;

/// Maximum number of bytes processed before other connections get a turn.
const BYTES_PER_TURN: usize = 256 * 1024;

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
    /// All complete lines are published.
    Done,
}

/// A line. Unknown fields are rejected, so that a misspelt one is not lost silently.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    channel: Option<String>,
    text: Option<String>,
    base64: Option<String>,
    event_id: Option<String>,
    event_type: Option<String>,
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
        default_ids: SmallVec<[ChannelRef; 1]>,
        store: bool,
        headers: HeaderList,
        limits: BatchLimits,
    ) -> Self {
        Self {
            default_ids,
            store,
            headers,
            limits,
            pending: Vec::new(),
            scanned: 0,
            lines: 0,
            published: 0,
            last: None,
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
        size_of::<Self>() + self.headers.len() + channels_path::own_bytes(&self.default_ids)
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
        let Line {
            channel,
            text,
            base64,
            event_id,
            event_type,
        } = parse(line)?;
        let text = match (text, base64) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(base64)) => Bytes::from(
                STANDARD
                    .decode(base64)
                    .map_err(|error| Failure::new(400, format!("invalid \"base64\": {error}")))?,
            ),
            (Some(_), Some(_)) => {
                return Err(Failure::new(
                    400,
                    "the line has both \"text\" and \"base64\"",
                ));
            }
            (None, None) => {
                return Err(Failure::new(
                    400,
                    "the line has neither \"text\" nor \"base64\"",
                ));
            }
        };
        if text.is_empty() {
            return Err(Rejection::EmptyBody.into());
        }
        let message = NewMessage {
            text,
            event_id: header("event_id", event_id)?,
            event_type: header("event_type", event_type)?,
            ..NewMessage::default()
        };
        match channel {
            Some(channel) => {
                self.publish_to(broker, &channels_path::split(Bytes::from(channel)), message)?
            }
            None => {
                let ids = std::mem::take(&mut self.default_ids);
                let result = self.publish_to(broker, &ids, message);
                self.default_ids = ids;
                result?;
            }
        }
        self.published += 1;
        Ok(())
    }

    fn publish_to(
        &mut self,
        broker: &Broker,
        ids: &[ChannelRef],
        message: NewMessage,
    ) -> Result<(), Failure> {
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
                    check_publish_channel(broker, id)?;
                    if broker.is_events_channel(id) {
                        return Err(Rejection::EventsChannel.into());
                    }
                    broker.find_or_create(id).map_err(rejection_for)?
                }
            };
            channels.push(channel);
        }
        for (channel, message) in message.for_each(&channels) {
            broker
                .publish(channel, message, self.store)
                .map_err(rejection_for)?;
        }
        self.last = channels.pop();
        Ok(())
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

fn parse(line: &[u8]) -> Result<Line, Failure> {
    let line = std::str::from_utf8(line).map_err(|error| {
        Failure::new(
            400,
            format!("the line is not UTF-8 after {} bytes", error.valid_up_to()),
        )
    })?;
    // serde would read a list as the values of the fields.
    if !line.starts_with('{') {
        return Err(Failure::new(400, "the line is not a JSON object"));
    }
    serde_json::from_str(line).map_err(|error| {
        let text = error.to_string();
        let what = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(what, _)| what);
        Failure::new(400, format!("{what} (column {})", error.column()))
    })
}

/// Checks a value that event streams write as one line, and that a header carries otherwise: it
/// must not contain a line break.
fn header(name: &str, value: Option<String>) -> Result<Option<Bytes>, Failure> {
    match value.filter(|value| !value.is_empty()) {
        Some(value) if value.contains(['\r', '\n', '\0']) => Err(Failure::new(
            400,
            format!("\"{name}\" contains a line break or NUL"),
        )),
        value => Ok(value.map(Bytes::from)),
    }
}
