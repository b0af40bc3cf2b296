//! Statistics and channel infos: asking for them and reading the JSON of the server.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use regex::{Captures, Regex};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::{Error, Http, http};

/// Counters of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ChannelInfo {
    /// Channel id.
    pub channel: String,
    /// Messages published so far; the id of the last one.
    #[serde(alias = "published")]
    pub published_messages: u64,
    /// Messages that a new subscriber could still get.
    #[serde(alias = "stored")]
    pub stored_messages: u64,
    /// Subscriptions.
    pub subscribers: u64,
}

/// Counters of the whole server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Summary {
    /// The server's name.
    pub hostname: String,
    /// The server's clock, UTC.
    pub time: String,
    /// Channels, those with the wildcard prefix not counted.
    pub channels: u64,
    /// Channels with the wildcard prefix.
    #[serde(default)]
    pub wildcard_channels: u64,
    /// Messages published so far.
    pub published_messages: u64,
    /// Messages stored now.
    pub stored_messages: u64,
    /// Messages removed but not yet freed.
    #[serde(default)]
    pub messages_in_trash: u64,
    /// Channels being deleted.
    #[serde(default)]
    pub channels_in_delete: u64,
    /// Channels removed but not yet freed.
    #[serde(default)]
    pub channels_in_trash: u64,
    /// Open subscriber connections.
    pub subscribers: u64,
    /// Seconds since the start.
    pub uptime: u64,
    /// The same per worker.
    #[serde(default)]
    pub by_worker: Vec<Worker>,
}

/// Counters of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Worker {
    /// Process (or shard) number.
    pub pid: String,
    /// Open subscriber connections.
    pub subscribers: u64,
    /// Seconds since its start.
    pub uptime: u64,
}

/// What a server tells: the form depends on what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The whole server.
    Summary(Summary),
    /// The named channels.
    Channels(Vec<ChannelInfo>),
}

#[derive(Deserialize)]
struct Group {
    infos: Vec<ChannelInfo>,
}

impl Report {
    /// Reads any of the three JSON forms (protocol reference, sections 5 and 6).
    #[must_use]
    pub fn from_json(body: &[u8]) -> Option<Self> {
        let body = &repaired(body)?[..];
        if let Ok(group) = serde_json::from_slice::<Group>(body) {
            return Some(Self::Channels(group.infos));
        }
        if let Ok(info) = serde_json::from_slice::<ChannelInfo>(body) {
            return Some(Self::Channels(vec![info]));
        }
        serde_json::from_slice(body).ok().map(Self::Summary)
    }
}

/// Asks for `url` and returns the body as it came.
///
/// # Errors
/// Any [`Error`]; [`Error::Status`] with 404 if there is no such channel.
pub async fn fetch(client: &Http, url: &Url, timeout: Duration) -> Result<Vec<u8>, Error> {
    let mut headers = HeaderMap::new();
    headers.insert("Accept", HeaderValue::from_static("application/json"));
    let response = client.request(Method::GET, url, headers, None, Some(timeout)).await?;
    if !response.status().is_success() {
        return Err(http::status_error(&response, url));
    }
    http::body(response, url, Some(timeout)).await
}

/// The server's JSON on one line, or `None` if it is none. The module breaks lines between the objects of a list; nothing
/// else is touched, so that fields we do not know stay.
#[must_use]
pub fn one_line(body: &[u8]) -> Option<Vec<u8>> {
    Some(repaired(body)?.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect())
}

/// `body` as JSON. The module does not escape channel ids, so one strange id breaks the statistics of all: then what is
/// between `"channel": "` and the counters is escaped.
fn repaired(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    static INFO: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?s)(\{\s*"channel"\s*:\s*)"(.*?)"(\s*,\s*"published(?:_messages)?"\s*:\s*"?\d+"?\s*,\s*"stored(?:_messages)?"\s*:)"#)
            .expect("the pattern is constant and valid")
    });
    // What is ignored is not looked at, so that strings which are not UTF-8 need a look of their own.
    let is_json = |body: &[u8]| std::str::from_utf8(body).is_ok_and(|body| serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok());
    if is_json(body) {
        return Some(Cow::Borrowed(body));
    }
    let text = String::from_utf8_lossy(body);
    let escaped = INFO.replace_all(&text, |info: &Captures<'_>| format!("{}{}{}", &info[1], serde_json::Value::from(&info[2]), &info[3]));
    let escaped = escaped.into_owned().into_bytes();
    is_json(&escaped).then_some(Cow::Owned(escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        let single = br#"{"channel": "ch1", "published_messages": 1, "stored_messages": 2, "subscribers": 3}"#;
        let group =
            b"{\"hostname\": \"vm\", \"time\": \"t\", \"channels\": 2, \"wildcard_channels\": 0, \"uptime\": 0, \"infos\": [\r\n]}\r\n";
        let summary = b"{\"hostname\": \"h\", \"time\": \"t\", \"channels\": 0, \"wildcard_channels\": 0, \"published_messages\": 0, \"stored_messages\": 0, \"messages_in_trash\": 0, \"channels_in_trash\": 0, \"subscribers\": 0, \"uptime\": 19755, \"by_worker\": [\r\n{\"pid\": \"21117\", \"subscribers\": 0, \"uptime\": 19755}\r\n]}\r\n";
        assert!(matches!(Report::from_json(single), Some(Report::Channels(infos)) if infos[0].stored_messages == 2));
        assert_eq!(Report::from_json(group), Some(Report::Channels(Vec::new())));
        assert!(matches!(Report::from_json(summary), Some(Report::Summary(summary)) if summary.by_worker[0].pid == "21117"));
        assert_eq!(Report::from_json(b"<html>"), None);
        assert!(!one_line(summary).expect("it is JSON").contains(&b'\n'));
    }

    #[test]
    fn channel_ids_that_break_the_json_are_recovered() {
        for id in [r#"a"b"#, r"a\", "a\nb", "a\u{1}"] {
            let body = format!(
                "{{\"hostname\": \"h\", \"infos\": [\r\n{{\"channel\": \"good\", \"published_messages\": 1, \"stored_messages\": 1, \"subscribers\": 1}},\r\n{{\"channel\": \"{id}\", \"published_messages\": 2, \"stored_messages\": 1, \"subscribers\": 0}}\r\n]}}"
            );
            let Some(Report::Channels(infos)) = Report::from_json(body.as_bytes()) else { panic!("{id:?} is not recovered") };
            assert_eq!((infos[0].channel.as_str(), infos[1].channel.as_str(), infos[1].published_messages), ("good", id, 2));
            assert!(one_line(body.as_bytes()).is_some());
        }
        assert_eq!(one_line(b"<html>"), None);
    }

    #[test]
    fn channel_ids_that_are_not_utf8_become_marks() {
        let body = b"{\"channel\": \"a\xff\", \"published_messages\": 1, \"stored_messages\": 2, \"subscribers\": 3}";
        let Some(Report::Channels(infos)) = Report::from_json(body) else { panic!("the id spoils the report") };
        assert_eq!(infos[0].channel, "a\u{fffd}");
        assert!(one_line(body).is_some_and(|line| std::str::from_utf8(&line).is_ok()));
    }
}
