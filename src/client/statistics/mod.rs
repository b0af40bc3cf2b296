//! Statistics and channel infos: requests and parsing.
//!
//! Responses are the JSON of the protocol (push-stream.md, sections 5 and 6), or the plain text of
//! nchan's `nchan_stub_status`, which is first converted to the same JSON. Numbers under unknown
//! names are kept as details.

mod ask;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use regex::{Captures, Regex};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

pub use ask::{StatisticsResponse, request_statistics};

use super::{Error, Http, http};

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
    pub by_worker: Vec<Worker>,
    /// Other counters of the server.
    pub details: Details,
}

/// Counters of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worker {
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
            Some(Worker {
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

/// Requests `url` and returns the body unchanged.
///
/// # Errors
/// Any [`Error`]; [`Error::Status`] with 404 if the channel does not exist.
pub async fn fetch(client: &Http, url: &Url, timeout: Duration) -> Result<Vec<u8>, Error> {
    read(get(client, url, timeout).await?, url, timeout).await
}

async fn get(client: &Http, url: &Url, timeout: Duration) -> Result<Response, Error> {
    let mut headers = HeaderMap::new();
    headers.insert("Accept", HeaderValue::from_static("application/json"));
    client
        .request(Method::GET, url, headers, None, Some(timeout))
        .await
}

async fn read(response: Response, url: &Url, timeout: Duration) -> Result<Vec<u8>, Error> {
    if !response.status().is_success() {
        return Err(http::status_error(&response, url));
    }
    http::body(response, url, Some(timeout)).await
}

/// Returns the server's JSON on one line, or `None` if it is not JSON. The module breaks lines
/// between the objects of a list; everything else is unchanged, so that unknown fields are kept.
#[must_use]
pub fn one_line(body: &[u8]) -> Option<Vec<u8>> {
    Some(
        repaired(body)?
            .iter()
            .copied()
            .filter(|byte| !matches!(byte, b'\r' | b'\n'))
            .collect(),
    )
}

/// Returns a line of [`one_line`] with only the channels of these indices, in this order;
/// everything around the list is unchanged.
#[must_use]
pub fn with_channels(line: &[u8], numbers: &[usize]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Group<'a> {
        #[serde(borrow)]
        infos: Vec<&'a RawValue>,
    }
    let line = str::from_utf8(line).ok()?;
    let group: Group<'_> = serde_json::from_str(line).ok()?;
    let (Some(first), Some(last)) = (group.infos.first(), group.infos.last()) else {
        return Some(line.as_bytes().to_vec());
    };
    // The values are slices of the line, so their addresses are the start and end of the list.
    let start = first.get().as_ptr() as usize - line.as_ptr() as usize;
    let end = last.get().as_ptr() as usize - line.as_ptr() as usize + last.get().len();
    let kept: Vec<&str> = numbers
        .iter()
        .filter_map(|number| group.infos.get(*number).map(|info| info.get()))
        .collect();
    Some(
        [&line[..start], kept.join(",").as_str(), &line[end..]]
            .concat()
            .into_bytes(),
    )
}

/// Returns `body` as JSON. The module does not escape channel ids, so one id with special
/// characters breaks the statistics of all channels: then the text between `"channel": "` and the
/// counters is escaped.
fn repaired(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    static INFO: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?s)(\{\s*"channel"\s*:\s*)"(.*?)"(\s*,\s*"published(?:_messages)?"\s*:\s*"?\d+"?\s*,\s*"stored(?:_messages)?"\s*:)"#)
            .expect("the pattern is constant and valid")
    });
    // `IgnoredAny` does not check strings, so UTF-8 is validated separately.
    let is_json = |body: &[u8]| {
        std::str::from_utf8(body)
            .is_ok_and(|body| serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok())
    };
    if is_json(body) {
        return Some(Cow::Borrowed(body));
    }
    let text = String::from_utf8_lossy(body);
    if let Some(summary) = stub_status(&text) {
        return Some(Cow::Owned(summary));
    }
    let escaped = INFO.replace_all(&text, |info: &Captures<'_>| {
        format!("{}{}{}", &info[1], Value::from(&info[2]), &info[3])
    });
    let escaped = escaped.into_owned().into_bytes();
    is_json(&escaped).then_some(Cow::Owned(escaped))
}

/// Converts the text of `nchan_stub_status` (`key: value`, memory in KiB) to JSON with the module's
/// names.
fn stub_status(text: &str) -> Option<Vec<u8>> {
    let mut summary = Map::new();
    for (key, value) in text
        .lines()
        .map(|line| line.split_once(':'))
        .collect::<Option<Vec<_>>>()?
    {
        let key = key.trim().replace(' ', "_");
        let value = value.trim();
        let (key, value) = match (key.as_str(), value.strip_suffix('K')) {
            ("nchan_version", _) => ("hostname".to_owned(), Value::from(format!("nchan {value}"))),
            ("total_published_messages", _) => (
                "published_messages".to_owned(),
                Value::Number(value.parse().ok()?),
            ),
            (_, Some(kibibytes)) => (
                format!("{key}_bytes"),
                Value::from(kibibytes.parse::<u64>().ok()? << 10),
            ),
            (_, None) => (key, Value::Number(value.parse().ok()?)),
        };
        summary.insert(key, value);
    }
    summary
        .contains_key("stored_messages")
        .then(|| Value::Object(summary).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        let single = br#"{"channel": "ch1", "published_messages": 1, "stored_messages": 2, "subscribers": 3}"#;
        let group =
            b"{\"hostname\": \"vm\", \"time\": \"t\", \"channels\": 2, \"wildcard_channels\": 0, \
              \"uptime\": 0, \"infos\": [\r\n]}\r\n";
        let summary = b"{\"hostname\": \"h\", \"time\": \"t\", \"channels\": 0, \
                        \"wildcard_channels\": 0, \"published_messages\": 0, \"stored_messages\": \
                        0, \"messages_in_trash\": 0, \"channels_in_trash\": 0, \"subscribers\": 0, \
                        \"uptime\": 19755, \"by_worker\": [\r\n\
                        {\"pid\": \"21117\", \"subscribers\": 0, \"uptime\": 19755}\r\n]}\r\n";
        assert!(
            matches!(Report::from_json(single), Some(Report::Channels(infos)) if infos[0].stored_messages == 2)
        );
        assert_eq!(Report::from_json(group), Some(Report::Channels(Vec::new())));
        assert!(
            matches!(Report::from_json(summary), Some(Report::Summary(summary)) if summary.by_worker[0].pid == "21117")
        );
        assert_eq!(Report::from_json(b"<html>"), None);
        assert!(!one_line(summary).expect("it is JSON").contains(&b'\n'));
    }

    #[test]
    fn channel_ids_that_break_the_json_are_recovered() {
        for id in [r#"a"b"#, r"a\", "a\nb", "a\u{1}"] {
            let body = format!(
                "{{\"hostname\": \"h\", \"infos\": [\r\n\
                 {{\"channel\": \"good\", \"published_messages\": 1, \"stored_messages\": 1, \
                 \"subscribers\": 1}},\r\n{{\"channel\": \"{id}\", \"published_messages\": 2, \
                 \"stored_messages\": 1, \"subscribers\": 0}}\r\n]}}"
            );
            let Some(Report::Channels(infos)) = Report::from_json(body.as_bytes()) else {
                panic!("{id:?} is not recovered")
            };
            assert_eq!(
                (
                    infos[0].channel.as_str(),
                    infos[1].channel.as_str(),
                    infos[1].published_messages
                ),
                ("good", id, 2)
            );
            assert!(one_line(body.as_bytes()).is_some());
        }
        assert_eq!(one_line(b"<html>"), None);
    }

    #[test]
    fn channel_ids_that_are_not_utf8_become_marks() {
        let body = b"{\"channel\": \"a\xff\", \"published_messages\": 1, \"stored_messages\": 2, \
                     \"subscribers\": 3}";
        let Some(Report::Channels(infos)) = Report::from_json(body) else {
            panic!("the id spoils the report")
        };
        assert_eq!(infos[0].channel, "a\u{fffd}");
        assert!(one_line(body).is_some_and(|line| std::str::from_utf8(&line).is_ok()));
    }

    #[test]
    fn unknown_numbers_are_kept_as_details() {
        let body = br#"{"hostname": "h", "channels": "1", "published_messages": 2, "stored_messages": 0, "subscribers": 3, "memory": {"used": 5, "limit": 9}, "load": 0.5, "note": "x"}"#;
        let Some(Report::Summary(summary)) = Report::from_json(body) else {
            panic!("it is a summary")
        };
        let details: Vec<_> = summary
            .details
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            (summary.channels, details.join(" ").as_str()),
            (1, "load=0.5 memory.limit=9 memory.used=5")
        );
        assert_eq!(Report::from_json(br#"{"error": 1}"#), None);
    }

    #[test]
    fn the_text_of_nchan_is_read() {
        let body = b"total published messages: 7\nstored messages: 3\nshared memory used: 16K\n\
                     channels: 2\nsubscribers: 5\nnchan version: 1.3.6\n";
        let Some(Report::Summary(summary)) = Report::from_json(body) else {
            panic!("it is a summary")
        };
        assert_eq!(
            (
                summary.hostname.as_str(),
                summary.published_messages,
                summary.subscribers
            ),
            ("nchan 1.3.6", 7, 5)
        );
        assert_eq!(
            summary.details["shared_memory_used_bytes"],
            Number::from(16384)
        );
        assert!(one_line(body).is_some());
    }

    #[test]
    fn channels_are_taken_out_of_a_line_as_they_are() {
        let line = br#"{"hostname": "h", "infos": [{"channel": "a", "x":1},{"channel": "b"},{"channel": "c"}], "more": 1}"#;
        let picked = with_channels(line, &[2, 0]).expect("a list");
        assert_eq!(
            String::from_utf8_lossy(&picked),
            r#"{"hostname": "h", "infos": [{"channel": "c"},{"channel": "a", "x":1}], "more": 1}"#
        );
    }
}
