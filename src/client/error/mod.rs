//! Errors of requests to a server. `cmd::exit` maps them to exit codes.

mod reason;

use std::time::Duration;

use reqwest::Url;

use super::{proxy, unix_socket};
pub use reason::{io_reason, lower_first};

/// A failed request or connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The connection could not be established.
    #[error(
        "cannot reach {url}: {reason} (start a server with 'pushctl serve', or name one with --url)"
    )]
    Unreachable {
        /// The server's URL without a path.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The connection through the proxy of the environment could not be established.
    #[error(
        "cannot reach {url} through the proxy {proxy} of {variable}: {reason} (unset {variable}, \
         or add the host to NO_PROXY)"
    )]
    ProxyUnreachable {
        /// The server's URL without a path.
        url: String,
        /// The proxy's URL, without credentials.
        proxy: String,
        /// The environment variable that names the proxy.
        variable: &'static str,
        /// The cause.
        reason: String,
    },
    /// The server's certificate is not trusted.
    #[error("cannot trust the certificate of {url}: {reason}")]
    Untrusted {
        /// The server's URL without a path.
        url: String,
        /// The cause and the remedy.
        reason: String,
    },
    /// The server speaks plain HTTP where TLS was requested, or the reverse.
    #[error("cannot use {url}: {reason}")]
    WrongScheme {
        /// The server's URL without a path.
        url: String,
        /// The protocol of the server and the remedy.
        reason: String,
    },
    /// The location exists and has no such channel.
    #[error("channel '{channel}' does not exist ({url})")]
    NoChannel {
        /// URL of the request.
        url: String,
        /// Channel id.
        channel: String,
        /// The server does not report the number of published messages (NHPM and nchan).
        hides_published: bool,
    },
    /// The connection ended too early.
    #[error("the connection to {url} broke: {reason}")]
    Broken {
        /// URL of the request.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The server responded with an error status.
    #[error(
        "{url} returned {}{}",
        status_text(*.status),
        explanation(*.status, .explain.as_deref())
    )]
    Status {
        /// URL of the request.
        url: String,
        /// Status code.
        status: u16,
        /// The server's explanation, if any.
        explain: Option<String>,
    },
    /// The server responded with a redirect. Redirects are not followed: most of them would turn a
    /// POST into a GET, and the user's headers would be sent to another host.
    #[error(
        "{url} returned {}{}",
        status_text(*.status),
        redirect_hint(.location.as_deref(), .server.as_deref())
    )]
    Moved {
        /// URL of the request.
        url: String,
        /// Status code.
        status: u16,
        /// Target of the redirect, without credentials.
        location: Option<String>,
        /// The server to set with `--url`, if the path of the target is the same.
        server: Option<String>,
    },
    /// No response in time.
    #[error("no response from {url} within {} (see \
             --timeout)", humantime::format_duration(*.after))]
    TimedOut {
        /// URL of the request.
        url: String,
        /// The time-out.
        after: Duration,
    },
    /// An endless connection delivered no data for too long.
    #[error(
        "no data from {url} for {}, not even a ping (see --silence-timeout)",
        humantime::format_duration(*.after)
    )]
    Silent {
        /// URL of the request.
        url: String,
        /// Time without data.
        after: Duration,
    },
    /// The response does not follow the protocol.
    #[error("unexpected response from {url}: {reason}")]
    Protocol {
        /// URL of the request.
        url: String,
        /// What is wrong with the response.
        reason: String,
    },
    /// A message, a line, an event or a response exceeds the size limit.
    #[error(
        "{url} sent more than {} at once (see --max-message-size of 'sub')",
        super::http::size(*.limit)
    )]
    TooLarge {
        /// URL of the request.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The request is invalid.
    #[error("{0}")]
    Request(String),
}

impl Error {
    /// True if a retry cannot help: the server rejected the request, or the request is invalid.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                (400..500).contains(status) && !matches!(status, 408 | 409 | 429)
            }
            Self::Request(_)
            | Self::Moved { .. }
            | Self::Untrusted { .. }
            | Self::WrongScheme { .. }
            | Self::NoChannel { .. }
            | Self::TooLarge { .. } => true,
            _ => false,
        }
    }

    /// Returns the error of a response to `url`, with its explanation.
    #[must_use]
    pub fn of_status(
        url: &Url,
        status: u16,
        explain: Option<String>,
        location: Option<&str>,
    ) -> Self {
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Self::Status {
                url: shown_with_proxy(url),
                status,
                explain,
            };
        }
        let target = location.and_then(|location| url.join(location).ok());
        let server = target
            .as_ref()
            .filter(|target| target.path() == url.path())
            .map(origin);
        Self::Moved {
            url: shown(url),
            status,
            location: target.as_ref().map(shown),
            server,
        }
    }

    /// Adds, to the error of a missing location (404, 405), the option that sets another path.
    #[must_use]
    pub fn with_path_option(self, option: &str) -> Self {
        match self {
            Self::Status {
                url,
                status: status @ (404 | 405),
                explain: None,
            } => {
                let explain = format!(
                    "no such location (set the server's path with {option}, or another server with \
                     --url)"
                );
                Self::Status {
                    url,
                    status,
                    explain: Some(explain),
                }
            }
            other => other,
        }
    }

    /// Extends the error of push-stream's statistics: NHPM or nchan have none at `own` either.
    #[must_use]
    pub(super) fn without_unframed_statistics(self, own: &Url) -> Self {
        match self {
            Self::Status {
                url,
                status,
                explain: None,
            } => {
                let explain = format!(
                    "no such location, and no counters of NHPM or nchan at {} (set the server's \
                     path with --stats-path, or another server with --url)",
                    shown(own)
                );
                Self::Status {
                    url,
                    status,
                    explain: Some(explain),
                }
            }
            other => other,
        }
    }

    /// Maps an error of the HTTP stack during a request for `url`.
    #[must_use]
    pub fn from_http(error: &reqwest::Error, url: &Url, timeout: Option<Duration>) -> Self {
        let reason = reason::innermost_cause(error);
        if error.is_timeout() {
            return match timeout {
                Some(after) => Self::TimedOut {
                    url: shown(url),
                    after,
                },
                None => Self::connect_error(error, url, "connection timed out".to_owned()),
            };
        }
        if error.is_connect() {
            return Self::connect_error(error, url, reason);
        }
        if error.is_builder() {
            return Self::Request(format!("cannot request {}: {reason}", shown(url)));
        }
        // `reqwest` has no predicate for this kind. Its usual cause is a service with another
        // protocol.
        if reason.starts_with("invalid HTTP") {
            let reason = format!(
                "it is not an HTTP response: {reason} (is another service running there, or does \
                 it require https?)"
            );
            return Self::Protocol {
                url: shown_with_proxy(url),
                reason,
            };
        }
        Self::Broken {
            url: shown_with_proxy(url),
            reason,
        }
    }

    /// Returns the error of plain HTTP on a port for TLS.
    pub(super) fn wants_https(url: &Url) -> Self {
        let url = origin(url);
        let https = url.replacen("http", "https", 1);
        Self::WrongScheme {
            url,
            reason: format!("the server does not speak plain HTTP (use --url {https})"),
        }
    }

    fn not_https(url: String) -> Self {
        let reason = format!(
            "the server does not speak TLS (use --url {})",
            url.replacen("https", "http", 1)
        );
        Self::WrongScheme { url, reason }
    }

    /// Maps an error of connection establishment.
    fn connect_error(error: &reqwest::Error, url: &Url, reason: String) -> Self {
        let url_text = origin(url);
        match reason::tls_error(error) {
            Some(rustls::Error::InvalidCertificate(error)) => {
                return Self::Untrusted {
                    url: url_text,
                    reason: reason::describe_certificate_error(error),
                };
            }
            Some(rustls::Error::InvalidMessage(_)) => return Self::not_https(url_text),
            None if reason == "tls handshake eof" => return Self::not_https(url_text),
            _ => {}
        }
        match proxy::of(url) {
            Some(proxy) => Self::ProxyUnreachable {
                url: url_text,
                proxy: proxy.url,
                variable: proxy.variable,
                reason,
            },
            None => Self::Unreachable {
                url: url_text,
                reason,
            },
        }
    }
}

/// Arguments whose values are shown: those that usually contain channel ids.
const CHANNEL_ARGUMENTS: [&str; 5] = ["id", "ch", "chan", "channel", "channels"];
/// Arguments that are omitted: the position is long and not set by the user.
const CURSOR_ARGUMENTS: [&str; 3] = ["time", "tag", "eventid"];

/// Formats `url` for a message to the user: without credentials and position. Other arguments are
/// shown without their values unless they contain channel ids, because they may be keys.
#[must_use]
pub fn shown(url: &Url) -> String {
    let url = without_user(url);
    let text = unix_socket::shown(&url, url.as_str());
    let Some((path, query)) = text.split_once('?') else {
        return text;
    };
    let kept: Vec<String> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| !CURSOR_ARGUMENTS.contains(name))
        .map(
            |(name, value)| match CHANNEL_ARGUMENTS.contains(&name) || value.is_empty() {
                true => format!("{name}={value}"),
                false => format!("{name}=..."),
            },
        )
        .collect();
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
}

/// Like [`shown`], with the proxy that may have sent the response.
fn shown_with_proxy(url: &Url) -> String {
    match proxy::of(url) {
        Some(proxy) => format!(
            "{} (through the proxy {} of {})",
            shown(url),
            proxy.url,
            proxy.variable
        ),
        None => shown(url),
    }
}

/// Formats an invalid URL of the user without parts that may be credentials or keys.
#[must_use]
pub fn shown_text(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest
        .split_once('?')
        .map_or_else(|| rest.to_owned(), |(path, _)| format!("{path}?..."));
    if scheme.is_empty() {
        rest
    } else {
        format!("{scheme}://{rest}")
    }
}

/// Scheme, host and port of `url`, as a user would write them.
#[must_use]
pub fn origin(url: &Url) -> String {
    let mut url = without_user(url);
    url.set_path("");
    url.set_query(None);
    unix_socket::shown(&url, url.as_str().trim_end_matches('/'))
}

fn without_user(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail for URLs without host, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    url
}

fn status_text(status: u16) -> String {
    match reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|code| code.canonical_reason())
    {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}

fn redirect_hint(location: Option<&str>, server: Option<&str>) -> String {
    match (location, server) {
        (Some(location), Some(server)) => format!(" to {location} (use --url {server})"),
        (Some(location), None) => format!(" to {location} (see --url and the --…-path options)"),
        (None, _) => " (see --url and the --…-path options)".to_owned(),
    }
}

fn explanation(status: u16, explain: Option<&str>) -> String {
    match (explain, status) {
        (Some(text), _) => format!(": {}", lower_first(text.trim_end_matches('.'))),
        (None, 401) => " (the server requires credentials: use a URL with USER:PASSWORD@, \
                        --header or a token)"
            .to_owned(),
        (None, 403) => " (the server rejects this address, these credentials or this channel; see \
                        --allow-from of 'serve')"
            .to_owned(),
        (None, 404) => {
            " (no such channel or location, see --url and the --…-path options)".to_owned()
        }
        (None, 405) => {
            " (this location does not accept the request, see --url and the --…-path options)"
                .to_owned()
        }
        (None, 413) => " (the message is too large for this server)".to_owned(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, explain: Option<&str>) -> Error {
        Error::Status {
            url: "http://h/pub".to_owned(),
            status,
            explain: explain.map(str::to_owned),
        }
    }

    #[test]
    fn refusals_are_final_and_hiccups_are_not() {
        for code in [400, 401, 403, 404, 405, 410, 413] {
            assert!(status(code, None).is_final(), "{code}");
        }
        for code in [408, 409, 429, 500, 502, 503, 504] {
            assert!(!status(code, None).is_final(), "{code}");
        }
    }

    #[test]
    fn the_servers_words_are_part_of_the_text() {
        let text = status(403, Some("Subscriber could not create channels.")).to_string();
        assert_eq!(
            text,
            "http://h/pub returned 403 Forbidden: subscriber could not create channels"
        );
    }

    #[test]
    fn the_cursor_is_not_shown() {
        for (url, expected) in [
            ("http://h/lp/a?time=x&tag=1", "http://h/lp/a"),
            (
                "http://h/lp?id=a&time=x&tag=1&eventid=e",
                "http://h/lp?id=a",
            ),
            ("http://h/lp/a", "http://h/lp/a"),
        ] {
            assert_eq!(shown(&url.parse().expect("a url")), expected);
        }
    }

    #[test]
    fn credentials_and_keys_are_not_shown() {
        for (url, expected) in [
            ("http://me:secret@h:1/pub?id=a", "http://h:1/pub?id=a"),
            (
                "http://secret@h/pub?key=secret&ch=a%20b&x=",
                "http://h/pub?key=...&ch=a%20b&x=",
            ),
            ("http://h/ev/a@b", "http://h/ev/a@b"),
        ] {
            assert_eq!(shown(&url.parse().expect("a url")), expected);
        }
        assert_eq!(
            shown_text("http://me:sec/ret@h:x/?key=secret"),
            "http://h:x/?..."
        );
        assert_eq!(shown_text("me:secret@[::1"), "[::1");
    }

    #[test]
    fn a_redirect_tells_where_to_and_what_to_do() {
        let url: Url = "http://u:p@h/pub?id=a".parse().expect("a url");
        let text = |location| Error::of_status(&url, 301, None, location).to_string();
        assert_eq!(
            text(Some("https://h/pub?id=a")),
            "http://h/pub?id=a returned 301 Moved Permanently to https://h/pub?id=a (use --url \
             https://h)"
        );
        assert_eq!(
            text(Some("/login")),
            "http://h/pub?id=a returned 301 Moved Permanently to http://h/login (see --url and the \
             --…-path options)"
        );
        assert_eq!(
            text(None),
            "http://h/pub?id=a returned 301 Moved Permanently (see --url and the --…-path options)"
        );
        assert!(Error::of_status(&url, 302, None, None).is_final());
    }

    #[test]
    fn an_origin_has_no_path() {
        for url in [
            "http://h:1/a/b?c",
            "http://h:1/?c",
            "http://h:1/",
            "http://u:p@h:1/a",
        ] {
            assert_eq!(origin(&url.parse().expect("a url")), "http://h:1");
        }
    }
}
