//! The counters of a response. Does no I/O.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::json::repaired;

/// Numbers under unknown names; those of nested objects are named `outer.inner`.
pub type Details = BTreeMap<String, Number>;

/// Counters of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Channel id.
    pub channel: String,
    /// Number of messages published so far; the id of the last one.
    pub published_messages: u64,
    /// The server does not report the number of published messages (NHPM and nchan).
    pub hides_published: bool,
    /// Number of stored messages.
    pub stored_messages: u64,
    /// Number of subscriptions.
    pub subscribers: u64,
    /// Other counters of the server.
    pub details: Details,
}

/// Counters of the whole server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The server's name.
    pub hostname: String,
    /// The server's clock, UTC; empty if it is not reported.
    pub time: String,
    /// Channels without the wildcard prefix.
    pub channels: u64,
    /// Channels with the wildcard prefix.
    pub wildcard_channels: u64,
    /// Messages published so far.
    pub published_messages: u64,
    /// Messages stored now.
    pub stored_messages: u64,
    /// Messages removed but not yet freed.
    pub messages_in_trash: u64,
    /// Channels being deleted.
    pub channels_in_delete: u64,
    /// Channels removed but not yet freed.
    pub channels_in_trash: u64,
    /// Open subscriber connections.
    pub subscribers: u64,
    /// Seconds since the server was started.
    pub uptime: u64,
    /// Counters per worker.
    pub by_worker: Vec<WorkerCounters>,
    /// Other counters of the server.
    pub details: Details,
}

/// Counters of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounters {
    /// Process (or shard) number.
    pub pid: String,
    /// Open subscriber connections.
    pub subscribers: u64,
    /// Seconds since the worker was started.
    pub uptime: u64,
}

/// Statistics; the form depends on the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Counters of the whole server.
    Summary(Summary),
    /// Counters of the requested channels.
    Channels(Vec<ChannelInfo>),
}

impl Report {
    /// Parses any of the three JSON forms (push-stream.md, sections 5 and 6), or the text of
    /// `nchan_stub_status`.
    #[must_use]
    pub fn from_json(body: &[u8]) -> Option<Self> {
        let Value::Object(object) = serde_json::from_slice(&repaired(body)?).ok()? else {
            return None;
        };
        if let Some(infos) = object.get("infos") {
            return infos
                .as_array()?
                .iter()
                .map(|info| ChannelInfo::read(info.as_object()?))
                .collect::<Option<_>>()
                .map(Self::Channels);
        }
        if object.contains_key("channel") {
            return ChannelInfo::read(&object).map(|info| Self::Channels(vec![info]));
        }
        Summary::read(&object).map(Self::Summary)
    }
}

impl ChannelInfo {
    fn read(object: &Map<String, Value>) -> Option<Self> {
        const KNOWN: [&str; 6] = [
            "channel",
            "published_messages",
            "published",
            "stored_messages",
            "stored",
            "subscribers",
        ];
        let published =
            number(object, "published_messages").or_else(|| number(object, "published"));
        // The field is required, but may be null.
        object
            .get("published_messages")
            .or_else(|| object.get("published"))?;
        Some(Self {
            channel: object.get("channel")?.as_str()?.to_owned(),
            published_messages: published.unwrap_or(0),
            hides_published: published.is_none(),
            stored_messages: number(object, "stored_messages")
                .or_else(|| number(object, "stored"))?,
            subscribers: number(object, "subscribers")?,
            details: details(object, &KNOWN),
        })
    }
}

impl Summary {
    /// Names and values of the counters.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, u64); 8] {
        [
            ("channels", self.channels),
            ("wildcard_channels", self.wildcard_channels),
            ("subscribers", self.subscribers),
            ("published_messages", self.published_messages),
            ("stored_messages", self.stored_messages),
            ("messages_in_trash", self.messages_in_trash),
            ("channels_in_delete", self.channels_in_delete),
            ("channels_in_trash", self.channels_in_trash),
        ]
    }

    fn read(object: &Map<String, Value>) -> Option<Self> {
        const KNOWN: [&str; 10] = [
            "channels",
            "wildcard_channels",
            "subscribers",
            "published_messages",
            "stored_messages",
            "messages_in_trash",
            "channels_in_delete",
            "channels_in_trash",
            "uptime",
            "by_worker",
        ];
        let text = |name: &str| {
            object
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned()
        };
        let optional = |name: &str| number(object, name).unwrap_or(0);
        let worker = |value: &Value| {
            let worker = value.as_object()?;
            let pid = worker
                .get("pid")
                .map(|pid| pid.as_str().map_or_else(|| pid.to_string(), str::to_owned))?;
            Some(WorkerCounters {
                pid,
                subscribers: number(worker, "subscribers")?,
                uptime: number(worker, "uptime").unwrap_or(0),
            })
        };
        let workers = object
            .get("by_worker")
            .and_then(Value::as_array)
            .map(|list| list.iter().map(worker).collect::<Option<_>>());
        Some(Self {
            hostname: text("hostname"),
            time: text("time"),
            channels: number(object, "channels")?,
            wildcard_channels: optional("wildcard_channels"),
            published_messages: number(object, "published_messages")?,
            stored_messages: number(object, "stored_messages")?,
            messages_in_trash: optional("messages_in_trash"),
            channels_in_delete: optional("channels_in_delete"),
            channels_in_trash: optional("channels_in_trash"),
            subscribers: number(object, "subscribers")?,
            uptime: optional("uptime"),
            by_worker: workers.unwrap_or_else(|| Some(Vec::new()))?,
            details: details(object, &KNOWN),
        })
    }
}

/// Returns a counter; old releases of the module write them as strings.
fn number(object: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = object.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Returns the numbers of `object` under names that are not in `known`.
fn details(object: &Map<String, Value>, known: &[&str]) -> Details {
    let mut found = Details::new();
    for (name, value) in object
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()))
    {
        match value {
            Value::Number(number) => {
                found.insert(name.clone(), number.clone());
            }
            Value::Object(inner) => found.extend(
                details(inner, &[])
                    .into_iter()
                    .map(|(inner, number)| (format!("{name}.{inner}"), number)),
            ),
            _ => {}
        }
    }
    found
}
