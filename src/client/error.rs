//! What can go wrong between us and a server. Exit codes are made of it in `cmd::exit`.

use std::error::Error as _;
use std::time::Duration;

/// A failed request or connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection could be made.
    #[error("cannot reach {url}: {reason} (start a server with 'pushctl serve', or name one with --url)")]
    Unreachable {
        /// The server, without path.
        url: String,
        /// Why.
        reason: String,
    },
    /// A connection ended before its time.
    #[error("the connection to {url} broke: {reason}")]
    Broken {
        /// What was asked for.
        url: String,
        /// Why.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{url} answered {}{}", status_text(*.status), explanation(*.status, .explain.as_deref()))]
    Status {
        /// What was asked for.
        url: String,
        /// Status code.
        status: u16,
        /// The server's own words, if any.
        explain: Option<String>,
    },
    /// No answer in time.
    #[error("no answer from {url} within {} (see --timeout)", humantime::format_duration(*.after))]
    TimedOut {
        /// What was asked for.
        url: String,
        /// How long we waited.
        after: Duration,
    },
    /// The answer is not what the protocol says.
    #[error("cannot understand the answer of {url}: {reason}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request itself is wrong.
    #[error("{0}")]
    Request(String),
}

impl Error {
    /// True if trying again cannot help: the server understood us and said no, or the request is wrong.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Status { status, .. } => (400..500).contains(status) && !matches!(status, 408 | 409 | 429),
            Self::Request(_) => true,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TimedOut { .. } | Self::Protocol { .. } => false,
        }
    }

    /// Sorts an error of the HTTP stack that came up while asking for `url`.
    #[must_use]
    pub fn from_http(error: &reqwest::Error, url: &reqwest::Url, timeout: Option<Duration>) -> Self {
        let reason = deepest_reason(error);
        if error.is_timeout() {
            return match timeout {
                Some(after) => Self::TimedOut { url: shown(url), after },
                None => Self::Unreachable { url: origin(url), reason: "connection timed out".to_owned() },
            };
        }
        if error.is_connect() {
            return Self::Unreachable { url: origin(url), reason };
        }
        if error.is_builder() {
            return Self::Request(format!("cannot ask for {url}: {reason}"));
        }
        Self::Broken { url: shown(url), reason }
    }
}

/// `url` for a message to the user: without the cursor, which is long and not theirs.
#[must_use]
pub fn shown(url: &reqwest::Url) -> String {
    let Some((path, query)) = url.as_str().split_once('?') else { return url.to_string() };
    let is_cursor = |pair: &&str| ["time=", "tag=", "eventid="].iter().any(|name| pair.starts_with(name));
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_cursor(pair)).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// Scheme, host and port of `url`, as a user would give it.
fn origin(url: &reqwest::Url) -> String {
    let text = url.as_str();
    let host_at = text.find("://").map_or(0, |at| at + 3);
    let end = text[host_at..].find(['/', '?']).map_or(text.len(), |at| host_at + at);
    text[..end].to_owned()
}

/// The innermost cause, in our style: lower case, without error number.
fn deepest_reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    if error.source().is_some() {
        while let Some(inner) = cause.source() {
            cause = inner;
        }
    }
    if let Some(io) = cause.downcast_ref::<std::io::Error>()
        && io.raw_os_error().is_some()
    {
        return io.kind().to_string();
    }
    lower_first(&cause.to_string())
}

/// `text` with a small first letter, unless it starts with an acronym.
#[must_use]
pub fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

fn status_text(status: u16) -> String {
    match reqwest::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()) {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}

fn explanation(status: u16, explain: Option<&str>) -> String {
    match (explain, status) {
        (Some(text), _) => format!(": {}", lower_first(text.trim_end_matches('.'))),
        (None, 401 | 403) => " (the server wants other credentials or another channel, see --header)".to_owned(),
        (None, 404) => " (no such channel or location, see --url and the --…-path options)".to_owned(),
        (None, 405) => " (this location does not take the request, see --url and the --…-path options)".to_owned(),
        (None, 413) => " (the message is too large for this server)".to_owned(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, explain: Option<&str>) -> Error {
        Error::Status { url: "http://h/pub".to_owned(), status, explain: explain.map(str::to_owned) }
    }

    #[test]
    fn refusals_are_final_and_hiccups_are_not() {
        for code in [400, 401, 403, 404, 405, 410, 413] {
            assert!(status(code, None).is_final(), "{code}");
        }
        for code in [302, 408, 409, 429, 500, 502, 503, 504] {
            assert!(!status(code, None).is_final(), "{code}");
        }
    }

    #[test]
    fn the_servers_words_are_part_of_the_text() {
        let text = status(403, Some("Subscriber could not create channels.")).to_string();
        assert_eq!(text, "http://h/pub answered 403 Forbidden: subscriber could not create channels");
    }

    #[test]
    fn the_cursor_is_not_shown() {
        for (url, expected) in [
            ("http://h/lp/a?time=x&tag=1", "http://h/lp/a"),
            ("http://h/lp?id=a&time=x&tag=1&eventid=e", "http://h/lp?id=a"),
            ("http://h/lp/a", "http://h/lp/a"),
        ] {
            assert_eq!(shown(&url.parse().expect("a url")), expected);
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        for url in ["http://h:1/a/b?c", "http://h:1/?c", "http://h:1/"] {
            assert_eq!(origin(&url.parse().expect("a url")), "http://h:1");
        }
    }
}
