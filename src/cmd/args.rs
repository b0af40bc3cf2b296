//! Arguments that several commands have, and the forms in which values are written.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, ValueHint};
use reqwest::header::HeaderMap;

use super::profile::{self, Settled, TokenCommand};
use crate::client::{Dialect, Endpoints, Error, Http, Mode, http, unix_socket};
use crate::message::parse_http_date;

/// Last line of `-h`, where `--help` lists more options.
macro_rules! more_options {
    () => {
        "This is a summary: --help shows all options."
    };
}
pub(crate) use more_options;

/// Selection of the server, before the command or after it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub struct Choice {
    /// Server URL [default: http://127.0.0.1:9080]
    ///
    /// The path in the URL is a prefix of all paths. A server on a unix socket is unix:PATH, or
    /// unix:PATH:/PREFIX. [env: PUSHCTL_URL]
    #[arg(short, long, value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// Name of a server in the configuration file
    ///
    /// The command line overrides the environment, which overrides the file: --url or --server,
    /// PUSHCTL_URL, PUSHCTL_SERVER, 'default' in the file. PUSHCTL_TOKEN overrides the token in the
    /// file. [env: PUSHCTL_SERVER]
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub server: Option<String>,
    /// Configuration file with named servers [default: ~/.config/pushctl/config.toml]
    ///
    /// 'pushctl servers --help' describes it. [env: PUSHCTL_CONFIG]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub config_file: Option<PathBuf>,
}

impl Choice {
    /// This choice, completed by `outer`.
    #[must_use]
    pub fn within(&self, outer: &Self) -> Self {
        let named = if self.url.is_some() || self.server.is_some() {
            self
        } else {
            outer
        };
        Self {
            url: named.url.clone(),
            server: named.server.clone(),
            config_file: self
                .config_file
                .clone()
                .or_else(|| outer.config_file.clone()),
        }
    }

    /// True if no option was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.url.is_none() && self.server.is_none() && self.config_file.is_none()
    }
}

/// Options about the server of a request.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct Server {
    #[command(flatten)]
    choice: Choice,
    /// Send this header, or those in @FILE (repeatable)
    ///
    /// HEADER is 'NAME: VALUE'; the file has one per line. Other users can read the command line of
    /// a process: keep passwords and tokens in a file.
    #[arg(short = 'H', long = "header", value_name = "HEADER|@FILE")]
    pub headers: Vec<HeaderArgument>,
    /// Path of the publisher location [default: /pub?id={channel}]
    ///
    /// `{channel}` is replaced by the channel id.
    #[arg(long, value_name = "TEMPLATE", hide_short_help = true)]
    pub pub_path: Option<String>,
    /// Path of the subscriber location [default: by mode, /ev/{channel} and the like]
    ///
    /// `{channel}` is replaced by the channel id.
    #[arg(long, value_name = "TEMPLATE", hide_short_help = true)]
    pub sub_path: Option<String>,
    /// Path of the statistics location [default: /channels-stats?id={channel}]
    ///
    /// `{channel}` is replaced by the channel id.
    #[arg(long, value_name = "TEMPLATE", hide_short_help = true)]
    pub stats_path: Option<String>,
    /// Protocol family of the server [default: detected]
    ///
    /// The default is that of the configuration file, else it is detected from responses. It
    /// selects the default paths: /pub?id={channel} for publishing in all families, /sub/{channel}
    /// and /nchan_stub_status for nchan, /sub?id={channel} for nhpm. nhpm and nchan report the
    /// counters of a channel at its publisher location.
    #[arg(long, value_enum, value_name = "DIALECT", hide_short_help = true)]
    pub dialect: Option<Dialect>,
    /// Settings of the environment and the configuration file; see [`Server::settle`].
    #[arg(skip)]
    settled: Settled,
}

/// A header of the command line. It may be a secret, so `Debug` does not show it.
#[derive(Clone)]
pub struct HeaderArgument(String);

impl From<String> for HeaderArgument {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for HeaderArgument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HeaderArgument(..)")
    }
}

impl Server {
    /// Options for the server of `choice`, without other settings.
    #[must_use]
    pub fn of(choice: Choice, stats_path: Option<String>) -> Self {
        Self {
            choice,
            headers: Vec::new(),
            pub_path: None,
            sub_path: None,
            stats_path,
            dialect: None,
            settled: Settled::default(),
        }
    }

    /// Completes the options from the environment and the configuration file, which do not
    /// override the command line, and returns the URL of the server.
    ///
    /// # Errors
    /// When the configuration file is invalid or the token is not available.
    pub fn settle(&mut self, outer: &Choice) -> anyhow::Result<String> {
        self.settle_with(outer, TokenCommand::Run)
    }

    /// Like [`Server::settle`], with or without running a `token_command`.
    ///
    /// # Errors
    /// As [`Server::settle`].
    pub fn settle_with(
        &mut self,
        outer: &Choice,
        token_command: TokenCommand,
    ) -> anyhow::Result<String> {
        let settled = profile::settle(&self.choice.within(outer), token_command)?;
        let paths = [
            (&mut self.pub_path, &settled.pub_path),
            (&mut self.sub_path, &settled.sub_path),
            (&mut self.stats_path, &settled.stats_path),
        ];
        for (given, settled) in paths {
            if given.is_none() {
                given.clone_from(settled);
            }
        }
        self.dialect = self.dialect.or(settled.dialect);
        self.settled = settled;
        Ok(self.settled.url.clone())
    }

    /// Delivery mode of the configuration file, if it sets one.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.settled.mode
    }

    /// The URLs of the server at `url`.
    ///
    /// # Errors
    /// [`Error::Request`] if `url` is not a URL.
    pub fn endpoints(&self, url: &str) -> Result<Endpoints, Error> {
        let endpoints = Endpoints::new(
            url,
            self.pub_path.as_deref(),
            self.sub_path.as_deref(),
            self.stats_path.as_deref(),
        )?;
        Ok(endpoints.with_dialect(self.dialect))
    }

    /// Headers of every request: those of the command line, and those of the configuration that
    /// they do not override, including the token.
    ///
    /// # Errors
    /// [`Error::Request`] if a header is invalid or a file cannot be read.
    pub fn header_map(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        let mut add = |text: &str, place: &str| {
            let (name, value) = http::parse_header(text)
                .map_err(|reason| Error::Request(format!("cannot use {place}: {reason}")))?;
            headers.append(name, value);
            Ok(())
        };
        for HeaderArgument(argument) in &self.headers {
            let Some(path) = argument.strip_prefix('@') else {
                add(argument, "the header of --header")?;
                continue;
            };
            let text = std::fs::read_to_string(path).map_err(|error| {
                Error::Request(format!(
                    "cannot read the headers in '{path}': {error} (see --header)"
                ))
            })?;
            for (number, line) in text
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim().is_empty())
            {
                add(
                    line,
                    &format!("the header in '{path}', line {}", number + 1),
                )?;
            }
        }
        self.settled.add_headers(&mut headers);
        Ok(headers)
    }

    /// The HTTP client.
    ///
    /// # Errors
    /// [`Error::Request`] if it cannot be set up.
    pub fn client(&self) -> Result<Http, Error> {
        Http::new(
            &self.header_map()?,
            unix_socket::parse(&self.settled.url).map(|(path, _)| Path::new(path)),
        )
    }
}

/// Options about the response of the server.
#[derive(Clone, Debug, Args)]
pub struct ResponseOptions {
    /// Print the result as lines of JSON
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print nothing
    #[arg(short, long)]
    pub quiet: bool,
    /// Time limit for a response
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

/// Parses `500ms`, `5s`, `1m 30s`, or a plain number of seconds.
///
/// # Errors
/// The reason why it is invalid.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string());
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error} (write for example 500ms, 5s or 1m30s)"))
}

/// Parses a size in bytes, such as `65536`, `64k`, `10m` or `1g`.
///
/// # Errors
/// The expected forms.
pub fn size(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number = digits
        .parse::<usize>()
        .ok()
        .filter(|number| *number > 0)
        .and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| "expected a size such as 65536, 64k, 10m or 1g".to_owned())
}

/// Minimum interval between two requests for the same resource, to spare the server.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Parses a duration of at least 100 ms.
///
/// # Errors
/// The reason why it is invalid.
pub fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < SHORTEST_INTERVAL {
        return Err(format!(
            "the minimum is {}",
            humantime::format_duration(SHORTEST_INTERVAL)
        ));
    }
    Ok(interval)
}

/// Parses a point in time into unix seconds: RFC 3339, an HTTP date, unix seconds, or a duration
/// before `now`.
///
/// # Errors
/// The reason why it is invalid.
pub fn since(text: &str, now: u64) -> Result<u64, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text
            .parse()
            .map_err(|_| "the number of seconds is too large".to_owned());
    }
    if let Some(seconds) = parse_http_date(text.as_bytes()) {
        return Ok(seconds);
    }
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(now.saturating_sub(ago.as_secs()));
    }
    let moment = moment(text).ok_or_else(|| {
        "not a time (write for example 2026-11-21T08:00:00Z, 2026-11-21T09:00+01:00, \
         2026-11-21, an HTTP date, unix seconds, or 5m \
         for five minutes ago; without a zone: UTC)"
            .to_owned()
    })?;
    moment
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_secs())
        .map_err(|_| "it is before 1970".to_owned())
}

/// Parses a date with an optional time, optional seconds and an optional zone (default: UTC).
fn moment(text: &str) -> Option<SystemTime> {
    let text = text.trim_end_matches(['Z', 'z']);
    let (date, rest) = text.split_at_checked(10)?;
    if rest.is_empty() {
        return humantime::parse_rfc3339_weak(&format!("{date} 00:00:00")).ok();
    }
    let (time, zone) = rest.split_at(rest.find(['+', '-']).unwrap_or(rest.len()));
    let time = time.trim_end();
    // "T08:00" lacks its seconds.
    let seconds = if time.len() == 6 { ":00" } else { "" };
    let local = humantime::parse_rfc3339_weak(&format!("{date}{time}{seconds}")).ok()?;
    let Some(sign) = zone.get(..1) else {
        return Some(local);
    };
    let digits: String = zone[1..].chars().filter(|letter| *letter != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (u64, u64) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = Duration::from_secs(hours * 3600 + minutes * 60);
    if sign == "+" {
        local.checked_sub(offset)
    } else {
        local.checked_add(offset)
    }
}

/// [`since`] with the clock of this machine.
///
/// # Errors
/// The reason why it is invalid.
pub fn since_now(text: &str) -> Result<u64, String> {
    since(text, crate::message::unix_now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_four_forms() {
        for text in [
            "1994-11-06T08:49:37Z",
            "1994-11-06 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "784111777",
        ] {
            assert_eq!(since(text, 0), Ok(784_111_777), "{text}");
        }
        for text in [
            "1994-11-06T09:49:37+01:00",
            "1994-11-06 04:19:37-0430",
            "1994-11-06T08:49:37",
            "1994-11-06T08:49:37.5Z",
        ] {
            assert_eq!(since(text, 0), Ok(784_111_777), "{text}");
        }
        assert_eq!(since("1994-11-06T09:49+01:00", 0), Ok(784_111_740));
        assert_eq!(since("1994-11-06", 0), Ok(784_080_000));
        for text in [
            "1994-11-06T09:49+1",
            "1994-11-06T09:49+25:00",
            "1994-11-06T",
            "1994-11-06T09",
            "1994-11-0\u{e9}",
        ] {
            assert!(since(text, 0).is_err(), "{text}");
        }
        assert_eq!(since("5m", 1000), Ok(700));
        assert_eq!(since("5m", 10), Ok(0));
        for text in ["", "yesterday", "-5", "99999999999999999999999"] {
            assert!(since(text, 0).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_may_be_plain_seconds() {
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for text in ["", "-1", "inf", "NaN", "5 bananas"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
