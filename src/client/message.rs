//! A message as a subscriber gets it. How it is read from bytes is in [`super::parse`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use crate::message::{Position, http_date, parse_http_date};
use crate::protocol::{DELETED_ID, GAP_ID, PING_ID, TIMEOUT_ID};

/// A received message; what the server's template does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Number within its channel, or one of the special ids.
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
    /// How many messages the server says that we missed; on messages of that kind only.
    pub gap: Option<Gap>,
}

/// A number of messages that can no longer be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub missed: u64,
    /// There may have been more.
    pub at_least: bool,
}

impl Gap {
    /// True if nothing is known about how many they are.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        self.missed == 0
    }

    /// Reads `N` or `N+`, the value of the header of long-polling and polling answers.
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

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Published by somebody.
    Data,
    /// Keeps the connection open.
    Ping,
    /// Its channel is no more.
    Deleted,
    /// Ends a long-poll that found nothing.
    Timeout,
    /// Tells that messages before the next one are gone.
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

    /// Reads the JSON shape of the built-in locations and of the module's JavaScript client: `id`
    /// and `tag` may be numbers or strings, and all fields but the text and one of `id` and
    /// `channel` may be missing.
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

    /// What the message is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.id {
            Some(PING_ID) => Kind::Ping,
            Some(DELETED_ID) => Kind::Deleted,
            Some(TIMEOUT_ID) => Kind::Timeout,
            Some(GAP_ID) => Kind::Gap(self.gap.unwrap_or(Gap {
                missed: 0,
                at_least: true,
            })),
            _ => Kind::Data,
        }
    }

    /// The known fields as one JSON object on one line; bytes that are not UTF-8 travel as `base64`
    /// instead of `text`.
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

/// The fields in the order in which the server's own objects have them.
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
