//! Arguments that several commands have.

mod durations;
mod value_enums;
mod values;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use reqwest::header::HeaderMap;

use super::profile::{self, ServerChoice, Settled, TokenCommand};
use crate::client::mode::Mode;
use crate::client::transport::http;
use crate::client::url::unix_socket;
use crate::client::{Dialect, Endpoints, Error, Http};

pub(crate) use durations::{PlainSeconds, parse_duration};
pub use values::{duration, interval, since, since_now, size};

/// Last line of `-h`, where `--help` lists more options.
macro_rules! more_options {
    () => {
        "This is a summary: --help shows all options."
    };
}
pub(crate) use more_options;

/// Options about the server of a request.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerOptions {
    #[command(flatten)]
    choice: ServerChoice,
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
    /// Settings of the environment and the configuration file; see [`ServerOptions::settle`].
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

impl ServerOptions {
    /// Options for the server of `choice`, without other settings.
    #[must_use]
    pub fn of(choice: ServerChoice, stats_path: Option<String>) -> Self {
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
    pub fn settle(&mut self, outer: &ServerChoice) -> anyhow::Result<String> {
        self.settle_with(outer, TokenCommand::Run)
    }

    /// Like [`ServerOptions::settle`], with or without running a `token_command`.
    ///
    /// # Errors
    /// As [`ServerOptions::settle`].
    pub fn settle_with(
        &mut self,
        outer: &ServerChoice,
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
