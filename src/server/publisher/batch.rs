//! Many messages in one request (an extension of ours): the body is NDJSON, one message per line.
//!
//! ```text
//! {"channel":"ch1","text":"hello"}
//! {"channel":"ch2","base64":"/w==","event_id":"7","event_type":"news"}
//! ```
//!
//! | status | body |
//! |---|---|
//! | 200 | `{"published": N}` |
//! | that of the first line that fails: 400, 403, 413, 500 | `{"published": N, "error": {"line": L, "status": S, "reason": "…"}}` |
//!
//! Lines are published in their order as they arrive; the first bad one ends the batch, and what
//! came before stays published. `channel` means what `?id=` means, but is not percent-encoded; it
//! may be left out where `?id=` names one. Blank lines are skipped. Knows no sockets: `http` brings
//! the bytes.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use smallvec::SmallVec;

use super::{may_change, refusal_of};
use crate::server::broker::{Broker, Channel, NewMessage};
use crate::server::dialect::push_stream::channels_path::{self, ChannelRef};
use crate::server::dialect::push_stream::explain::Refusal;
use crate::server::limits_log::Limit;
use crate::server::response::{Response, Status};

/// Lines of one batch that are published in a row; then others have their turn (about half a
/// millisecond).
const LINES_PER_TURN: usize = 256;

/// Bytes of lines that are read in a row, for the same reason.
const BYTES_PER_TURN: usize = 256 * 1024;

/// A batch that is coming in.
#[derive(Debug)]
pub struct Batch {
    /// Channels of lines that name none.
    pub(super) default_ids: SmallVec<[ChannelRef; 1]>,
    pub(super) store: bool,
    pub(super) headers: Cow<'static, [u8]>,
    /// Most channels of a line.
    pub(super) max_channels: usize,
    /// Most bytes of a line.
    pub(super) max_line_bytes: usize,
    /// Bytes that came and are not published.
    pending: Vec<u8>,
    /// So many of them are known to hold no line end.
    scanned: usize,
    /// Lines that were looked at.
    lines: u64,
    published: u64,
    /// The channel of the last line: the next one often has the same.
    last: Option<Arc<Channel>>,
}

/// Why a batch ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Status of the answer.
    pub status: Status,
    /// In words.
    pub reason: String,
}

/// What became of the bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Others should have a turn; there may be more lines.
    Yield,
    /// All complete lines are published.
    Done,
}

/// A line. Fields that it does not have are mistakes: a misspelt one must not get lost.
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
    /// A failure in words.
    #[must_use]
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status: Status(status),
            reason: reason.into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.text().filter(|text| !text.is_empty());
        Self {
            status: refusal.status(),
            reason: text
                .unwrap_or("no memory left (the bound is set by --memory)")
                .to_owned(),
        }
    }
}

impl Batch {
    /// A batch for a location with these settings; `default_ids` are the channels that the request
    /// names.
    #[must_use]
    pub fn new(
        default_ids: SmallVec<[ChannelRef; 1]>,
        store: bool,
        headers: Cow<'static, [u8]>,
        (max_channels, max_line_bytes): (usize, usize),
    ) -> Self {
        let pending = Vec::new();
        let last = None;
        Self {
            default_ids,
            store,
            headers,
            max_channels,
            max_line_bytes,
            pending,
            scanned: 0,
            lines: 0,
            published: 0,
            last,
        }
    }

    /// Where further bytes of the body go.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Memory of the bytes that wait for the end of their line.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.capacity()
    }

    /// Bytes of memory that it keeps of the request while lines come in.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        size_of::<Self>() + self.headers.len() + channels_path::own_bytes(&self.default_ids)
    }

    /// Publishes complete lines, as many as a turn has; with `at_end`, the last one needs no line
    /// end.
    ///
    /// # Errors
    /// The first line that is wrong or is refused; the batch is over then.
    pub fn publish(&mut self, broker: &Broker, at_end: bool) -> Result<Progress, Failure> {
        let pending = std::mem::take(&mut self.pending);
        let mut at = 0;
        let mut progress = Progress::Yield;
        for _ in 0..LINES_PER_TURN {
            let end = memchr::memchr(b'\n', &pending[self.scanned.max(at)..])
                .map(|end| self.scanned.max(at) + end);
            let line = &pending[at..end.unwrap_or(pending.len())];
            if line.len() > self.max_line_bytes {
                self.lines += 1;
                Limit::Body.log();
                return Err(Failure::new(
                    413,
                    format!(
                        "the line is longer than {} bytes (--max-body-size)",
                        self.max_line_bytes
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
        let text =
            match (text, base64) {
                (Some(text), None) => Bytes::from(text),
                (None, Some(base64)) => Bytes::from(STANDARD.decode(base64).map_err(|error| {
                    Failure::new(400, format!("\"base64\" is not valid: {error}"))
                })?),
                (Some(_), Some(_)) => {
                    return Err(Failure::new(400, "there are both \"text\" and \"base64\""));
                }
                (None, None) => {
                    return Err(Failure::new(
                        400,
                        "there is neither \"text\" nor \"base64\"",
                    ));
                }
            };
        if text.is_empty() {
            return Err(Refusal::EmptyBody.into());
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
            return Err(Refusal::NoChannelId.into());
        }
        if ids.len() > self.max_channels {
            return Err(Refusal::TooManyIds.into());
        }
        let mut channels: SmallVec<[Arc<Channel>; 1]> = SmallVec::new();
        for ChannelRef { id, .. } in ids {
            let channel = match self.last.take().filter(|last| last.id == *id) {
                Some(last) => last,
                None => {
                    may_change(broker, id)?;
                    if broker.is_events_channel(id) {
                        return Err(Refusal::EventsChannel.into());
                    }
                    broker.find_or_create(id).map_err(refusal_of)?
                }
            };
            channels.push(channel);
        }
        for (channel, message) in message.for_each(&channels) {
            broker
                .publish(channel, message, self.store)
                .map_err(refusal_of)?;
        }
        self.last = channels.pop();
        Ok(())
    }

    /// The answer to the batch.
    #[must_use]
    pub fn response(&self, failure: Option<&Failure>) -> Response {
        let (status, body) = match failure {
            None => (Status::OK, serde_json::json!({"published": self.published})),
            Some(Failure { status, reason }) => {
                let error = serde_json::json!({"line": self.lines.max(1), "status": status.0, "reason": reason});
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

    /// The line that would have come next failed before it was complete.
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
    // A list would be taken for the values of the fields.
    if !line.starts_with('{') {
        return Err(Failure::new(400, "the line is no JSON object"));
    }
    serde_json::from_str(line).map_err(|error| {
        let text = error.to_string();
        let what = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(what, _)| what);
        Failure::new(400, format!("{what} (column {})", error.column()))
    })
}

/// What else comes in a header, and what event streams carry on a line: it must not break one.
fn header(name: &str, value: Option<String>) -> Result<Option<Bytes>, Failure> {
    match value.filter(|value| !value.is_empty()) {
        Some(value) if value.contains(['\r', '\n', '\0']) => Err(Failure::new(
            400,
            format!("\"{name}\" has a line break or NUL"),
        )),
        value => Ok(value.map(Bytes::from)),
    }
}
