//! The URLs for publishing, subscribing and statistics, built from one base URL and path templates.
//! Does no I/O.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use super::dialect::Dialect;
use super::error::Error;
use super::mode::Mode;
use super::url::unix_socket;
use super::url::{shown, shown_text};

/// Path template of publishers: the built-in location, as in the sample configuration of
/// nginx-push-stream-module.
pub const PUBLISH_PATH: &str = "/pub?id={channel}";
/// Path template of statistics.
pub const STATISTICS_PATH: &str = "/channels-stats?id={channel}";
/// Path of nchan's counters; those of a channel are at its publisher location.
pub const STUB_STATUS_PATH: &str = "/nchan_stub_status";

/// The URLs of one server. They may contain credentials, which `Debug` omits.
#[derive(Clone)]
pub struct Endpoints {
    base: String,
    publish: String,
    subscribe: Option<String>,
    statistics: String,
    /// True if the user set the path of the statistics.
    has_statistics: bool,
    dialect: Option<Dialect>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Endpoints")
            .field("base", &self.base())
            .finish_non_exhaustive()
    }
}

impl Endpoints {
    /// Creates the endpoints from the server's URL (`http` if no scheme is given; a path is kept as
    /// prefix) and the user's path templates.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if `base` is not the URL of an HTTP server.
    pub fn new(
        base: &str,
        publish: Option<&str>,
        subscribe: Option<&str>,
        statistics: Option<&str>,
    ) -> Result<Self, Error> {
        let full = match unix_socket::parse(base) {
            Some(("", _)) => {
                let text = "cannot use the server's url 'unix:': the path of the socket is missing \
                            (write --url unix:PATH)";
                return Err(Error::Request(text.to_owned()));
            }
            Some((path, prefix)) => unix_socket::url(path, prefix),
            None if base.contains("://") => base.to_owned(),
            None => format!("http://{base}"),
        };
        let full = match full.split_once("://") {
            Some(("ws", rest)) => format!("http://{rest}"),
            Some(("wss", rest)) => format!("https://{rest}"),
            _ => full,
        };
        let seen = shown_text(base);
        let url = Url::parse(&full).map_err(|error| {
            Error::Request(format!(
                "cannot read the server's url '{seen}': {error} (see --url)"
            ))
        })?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(Error::Request(format!(
                "cannot use the server's url '{seen}': it is not http, https or unix:PATH (see \
                 --url)"
            )));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Error::Request(format!(
                "cannot use the server's url '{seen}': it has arguments (see --url and the \
                 --…-path options)"
            )));
        }
        let template = |given: Option<&str>, default: &str| with_channel(given.unwrap_or(default));
        Ok(Self {
            base: full.trim_end_matches('/').to_owned(),
            publish: template(publish, PUBLISH_PATH),
            subscribe: subscribe.map(|path| {
                if path.contains("{channel}") {
                    path.to_owned()
                } else {
                    format!("{}/{{channel}}", path.trim_end_matches('/'))
                }
            }),
            statistics: template(statistics, STATISTICS_PATH),
            has_statistics: statistics.is_some(),
            dialect: None,
        })
    }

    /// Sets the protocol family, which determines the default paths.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Option<Dialect>) -> Self {
        self.dialect = dialect;
        self
    }

    /// True if the user set the path of subscribers.
    #[must_use]
    pub fn has_subscriber_path(&self) -> bool {
        self.subscribe.is_some()
    }

    /// Keeps the current subscriber path whatever protocol family is set later.
    #[must_use]
    pub fn with_fixed_subscriber_path(mut self) -> Self {
        if self.subscribe.is_none() {
            self.subscribe = self.dialect.and_then(usual_subscriber).map(str::to_owned);
        }
        self
    }

    /// The protocol family of the server, if known.
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// Returns the URL of the counters of NHPM and nchan: of a channel at its publisher location,
    /// of the server at nchan's stub status. `None` if the server is push-stream, or the user set
    /// the path of statistics.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the template is not a valid URL.
    pub fn unframed_statistics(&self, channel: Option<&str>) -> Result<Option<Url>, Error> {
        if self.dialect == Some(Dialect::PushStream) || (self.has_statistics && channel.is_none()) {
            return Ok(None);
        }
        match channel {
            Some(channel) if self.has_statistics => self.statistics(Some(channel)).map(Some),
            Some(channel) => self.publish(channel).map(Some),
            None => self.expand(STUB_STATUS_PATH, "").map(Some),
        }
    }

    /// The option that sets the path of [`Endpoints::unframed_statistics`] of a channel.
    #[must_use]
    pub fn unframed_statistics_option(&self) -> &'static str {
        if self.has_statistics {
            "--stats-path"
        } else {
            "--pub-path"
        }
    }

    /// The server's URL without credentials, for messages to the user.
    #[must_use]
    pub fn base(&self) -> String {
        Url::parse(&self.base).map_or_else(
            |_| shown_text(&self.base),
            |url| {
                shown(&url)
                    .trim_end_matches('/')
                    .trim_end_matches(':')
                    .to_owned()
            },
        )
    }

    /// Returns the URL for publishing to `channels` (several separated by `/`).
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the template is not a valid URL, or `channels` has an invalid
    /// channel id.
    pub fn publish(&self, channels: &str) -> Result<Url, Error> {
        check_ids(channels)?;
        self.expand(&self.publish, channels)
    }

    /// Returns the URL for following `channels` (several separated by `/`, with backtracks) in
    /// `mode`.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the template is not a valid URL.
    pub fn subscribe(&self, mode: Mode, channels: &str) -> Result<Url, Error> {
        let built_in = match mode {
            _ if let Some(usual) = self.dialect.and_then(usual_subscriber) => usual,
            Mode::Ev => "/ev/{channel}",
            Mode::Ws => "/ws/{channel}",
            Mode::Lp => "/lp/{channel}",
            Mode::Poll => "/poll/{channel}",
            Mode::Stream => "/sub/{channel}",
        };
        check_ids(channels)?;
        self.expand(self.subscribe.as_deref().unwrap_or(built_in), channels)
    }

    /// Returns the URL of the statistics of `channels` (names, `prefix*` or `ALL`), or of the
    /// summary.
    ///
    /// # Errors
    /// Returns [`Error::Request`] if the template is not a valid URL.
    pub fn statistics(&self, channels: Option<&str>) -> Result<Url, Error> {
        match channels {
            Some(channels) => {
                check_ids(channels)?;
                self.expand(&self.statistics, channels)
            }
            None => {
                let mut url = self.expand(&self.statistics, "")?;
                // A request without a channel returns the summary.
                let rest: Vec<String> = url
                    .query()
                    .unwrap_or("")
                    .split('&')
                    .filter(|pair| !pair.ends_with('='))
                    .map(str::to_owned)
                    .collect();
                let rest = rest.join("&");
                url.set_query((!rest.is_empty()).then_some(rest.as_str()));
                Ok(url)
            }
        }
    }

    fn expand(&self, template: &str, channels: &str) -> Result<Url, Error> {
        let (before, after) = template.split_once("{channel}").unwrap_or((template, ""));
        let slash = if before.starts_with('/') { "" } else { "/" };
        let in_query = before.contains('?');
        let is_unframed = self.dialect.is_some_and(Dialect::is_unframed);
        let ids = channels.split('/').map(|id| {
            if is_dots(id) && !in_query && !is_unframed {
                format!("{id}.b0")
            } else {
                id.to_owned()
            }
        });
        let channels = encode(&ids.collect::<Vec<_>>().join("/"), in_query || is_unframed);
        let text = format!("{}{slash}{before}{channels}{after}", self.base);
        let refuse = |error| {
            Error::Request(format!(
                "cannot use '{}': {error} (see --url and the --…-path options)",
                shown_text(&text)
            ))
        };
        Url::parse(&text).map_err(refuse)
    }
}

/// Default subscriber path of the other protocol families.
fn usual_subscriber(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::PushStream => None,
        Dialect::Nhpm => Some("/sub?id={channel}"),
        Dialect::Nchan => Some("/sub/{channel}"),
    }
}

/// Rejects ids that the protocol cannot carry (push-stream.md, section 2): servers cut an id at
/// a question mark, and merge the slashes around an empty id.
fn check_ids(channels: &str) -> Result<(), Error> {
    let problem = if channels
        .split('/')
        .any(|id| split_backtrack(id).0.is_empty())
    {
        "a channel id is empty"
    } else if channels.contains('?') {
        "servers cut a channel id at its question mark"
    } else {
        return Ok(());
    };
    Err(Error::Request(format!(
        "cannot use the channel '{channels}': {problem}"
    )))
}

/// URL parsers normalise paths: these ids would leave the path, so a backtrack of 0 is appended.
fn is_dots(id: &str) -> bool {
    matches!(id, "." | "..")
}

/// Splits a channel of a path, `x.b5`, into its id and its backtrack (push-stream.md, section
/// 2).
#[must_use]
pub fn split_backtrack(name: &str) -> (&str, Option<u64>) {
    match name.rsplit_once(".b") {
        Some((id, digits))
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            (id, Some(digits.parse().unwrap_or(u64::from(u32::MAX))))
        }
        _ => (name, None),
    }
}

fn with_channel(template: &str) -> String {
    match (template.contains("{channel}"), template.contains('?')) {
        (true, _) => template.to_owned(),
        (false, true) => format!("{template}&id={{channel}}"),
        (false, false) => format!("{template}?id={{channel}}"),
    }
}

/// The characters of channel ids that are encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'*')
    .remove(b':')
    .remove(b'@')
    .remove(b',')
    .remove(b'!');

/// Percent-encodes channel ids. A `%` in a path is encoded twice, because servers decode a capture
/// of an already decoded path a second time (push-stream.md, section 2).
fn encode(channels: &str, in_query: bool) -> String {
    if in_query {
        utf8_percent_encode(channels, ENCODED).to_string()
    } else {
        utf8_percent_encode(&channels.replace('%', "%25"), ENCODED).to_string()
    }
}

#[cfg(test)]
mod tests;
