//! Errors of requests to a server. `cmd::exit` maps them to exit codes.

mod reason;

use std::time::Duration;

use reqwest::Url;

use crate::client::url::proxy::{self, shown_with_proxy};
use crate::client::url::{origin, shown};

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
        self::size(*.limit)
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

/// Formats a limit in bytes.
#[must_use]
pub fn size(bytes: usize) -> String {
    match bytes {
        bytes if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests;
