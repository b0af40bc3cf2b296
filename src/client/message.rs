//! A message as received by a subscriber. [`super::parse`] reads it from bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use crate::message::{Position, http_date, parse_http_date};
use crate::protocol::{DELETED_ID, GAP_ID, PING_ID, TIMEOUT_ID};

/// Maximum size in bytes of a message and of a poll response.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A received message; fields that the server's template does not include are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Number within the channel, or one of the special ids.
    pub id: Option<i64>,
    /// Channel id.
    pub channel: Option<String>,
    /// The payload.
    pub text: Vec<u8>,
    /// Second of publication.
    pub time: Option<u64>,
    /// Number within that second.
    pub tag: Option<u32>,
    /// The publisher's event id.
    pub event_id: Option<String>,
    /// The publisher's event type (eventsource only).
    pub event_type: Option<String>,
    /// Number of lost messages; only on messages of that kind.
    pub gap: Option<Gap>,
}

/// The number of lost messages of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Number of lost messages.
    pub missed: u64,
    /// There may be more.
    pub at_least: bool,
}

impl Gap {
    /// True if the number is unknown.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        self.missed == 0
    }

    /// Parses `N` or `N+`, the header of poll responses.
    #[must_use]
    pub fn from_header(value: &str) -> Option<Self> {
        let (digits, at_least) = value
            .strip_suffix('+')
            .map_or((value, false), |digits| (digits, true));
        digits
            .trim()
            .parse()
            .ok()
            .filter(|missed| *missed > 0 || at_least)
            .map(|missed| Self { missed, at_least })
    }
}

impl std::fmt::Display for Gap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = match (self.missed, self.at_least) {
            (0, _) => return formatter.write_str("an unknown number of messages was missed"),
            (1, false) => "message was missed",
            (1, true) => "message at least was missed",
            (_, false) => "messages were missed",
            (_, true) => "messages at least were missed",
        };
        write!(formatter, "{} {words}", self.missed)
    }
}

/// The purpose of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A published message.
    Data,
    /// Keeps the connection open.
    Ping,
    /// The channel was deleted.
    Deleted,
    /// Ends a long-poll without messages.
    Timeout,
    /// Messages before the next one are lost.
    Gap(Gap),
}

impl Message {
    /// A message of which only the text is known.
    #[must_use]
    pub fn raw(text: &[u8]) -> Self {
        Self {
            text: text.to_vec(),
            ..Self::default()
        }
    }

    /// Reads the JSON of the built-in locations and of the module's JavaScript client: `id` and
    /// `tag` are numbers or strings; the text and one of `id` and `channel` are required.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let text = match (fields.get("text"), fields.get("base64")) {
            (Some(Value::String(text)), _) => text.clone().into_bytes(),
            (Some(other), _) => other.to_string().into_bytes(),
            (None, Some(Value::String(text))) => STANDARD.decode(text).ok()?,
            (None, _) => return None,
        };
        let id = fields.get("id").and_then(integer);
        let channel = fields
            .get("channel")
            .and_then(Value::as_str)
            .filter(|channel| !channel.is_empty())
            .map(str::to_owned);
        if !fields.contains_key("id") && !fields.contains_key("channel") {
            return None;
        }
        let time = fields.get("time").and_then(|time| match time {
            Value::String(date) => parse_http_date(date.as_bytes()).or_else(|| date.parse().ok()),
            other => other.as_u64(),
        });
        let tag = fields
            .get("tag")
            .and_then(integer)
            .and_then(|tag| u32::try_from(tag).ok());
        let string = |name: &str| {
            fields
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let missed = fields
            .get("missed")
            .and_then(Value::as_u64)
            .filter(|_| id == Some(GAP_ID));
        let at_least = fields
            .get("at_least")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let gap = missed.map(|missed| Gap { missed, at_least });
        Some(Self {
            id,
            channel,
            text,
            time,
            tag,
            event_id: string("eventid"),
            event_type: string("eventtype"),
            gap,
        })
    }

    /// Time and tag, if both are known.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Some(Position::new(self.time?, self.tag?))
    }

    /// The purpose of the message, from its id.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        match self.id {
            Some(PING_ID) => MessageKind::Ping,
            Some(DELETED_ID) => MessageKind::Deleted,
            Some(TIMEOUT_ID) => MessageKind::Timeout,
            Some(GAP_ID) => MessageKind::Gap(self.gap.unwrap_or(Gap {
                missed: 0,
                at_least: true,
            })),
            _ => MessageKind::Data,
        }
    }

    /// Formats the known fields as one JSON object on one line. A text that is not UTF-8 becomes
    /// `base64` instead of `text`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = std::str::from_utf8(&self.text).ok();
        let line = Line {
            id: self.id,
            channel: self.channel.as_deref(),
            text,
            missed: self.gap.map(|gap| gap.missed),
            at_least: self.gap.filter(|gap| gap.at_least).map(|_| true),
            base64: text.is_none().then(|| STANDARD.encode(&self.text)),
            tag: self.tag,
            time: self.time.map(http_date),
            eventid: self.event_id.as_deref(),
            eventtype: self.event_type.as_deref(),
        };
        serde_json::to_string(&line).expect("strings and numbers always make JSON")
    }
}

/// The fields in the order of the server's own objects.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eventid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eventtype: Option<&'a str>,
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}
