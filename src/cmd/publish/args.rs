//! Arguments of `pub`.

use std::path::PathBuf;

use clap::ValueHint;

use super::options::ManyOptions;
use crate::cmd::args;
use crate::cmd::exit::exit_codes;

macro_rules! examples {
    () => {
        "Examples:
  pushctl pub news 'hello'
  date | pushctl pub news
  pushctl pub news -f report.json --event-type report --require-subscribers 1
  tail -f app.log | pushctl pub logs --lines
  pushctl pub --ndjson -f messages.ndjson --json"
    };
}

/// Arguments of `pub`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = concat!(examples!(), "\n\n", args::more_options!()),
    after_long_help = concat!(
        examples!(),
        "\n  pushctl pub load '{\"n\":{number}}' --template --repeat 1000 --rate 100/s\n\n",
        exit_codes!()
    )
)]
pub struct Args {
    /// Channels to publish to, separated by '/'
    ///
    /// Servers remove an ending of '.b' and a number from a name (the backlog of a subscriber, see
    /// 'pushctl sub').
    #[arg(
        value_name = "CHANNEL",
        required_unless_present_any = ["ndjson", "more_channels"],
        value_hint = ValueHint::Other
    )]
    pub(super) channel: Option<String>,
    /// Message to publish; standard input if absent or '-'
    ///
    /// With -c, a single argument is the message.
    #[arg(value_name = "TEXT", conflicts_with_all = ["file", "lines", "ndjson"])]
    pub(super) text: Option<String>,
    /// Publish the content of this file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: Option<PathBuf>,
    /// Further channel to publish to (repeatable)
    ///
    /// One request publishes to all channels. CHANNEL may then be omitted: 'pushctl pub -c a -c b
    /// hello' publishes 'hello'. Without an argument, or with '-', the message is read from
    /// standard input. With --file, --lines and --ndjson the argument is a channel.
    #[arg(short = 'c', long = "channel", value_name = "CHANNEL", value_hint = ValueHint::Other)]
    pub(super) more_channels: Vec<String>,
    /// Event id, at which clients can resume
    #[arg(long, value_name = "ID")]
    pub(super) event_id: Option<String>,
    /// Event type of the message
    #[arg(long, value_name = "TYPE")]
    pub(super) event_type: Option<String>,
    /// Content type of the message
    #[arg(long, value_name = "TYPE", hide_short_help = true)]
    pub(super) content_type: Option<String>,
    /// Exit with 12 below N subscribers
    ///
    /// N applies to each channel. The message is published nevertheless.
    #[arg(long, value_name = "N")]
    pub(super) require_subscribers: Option<u64>,
    #[command(flatten)]
    pub(super) response: args::ResponseOptions,
    #[command(flatten)]
    pub(super) many: ManyOptions,
    #[command(flatten)]
    pub(crate) server: args::ServerOptions,
}

impl Args {
    /// All channels of the command line, separated by '/' as in a request.
    pub(super) fn channels(&self) -> Option<String> {
        let all: Vec<&str> = self
            .channel
            .iter()
            .chain(&self.more_channels)
            .map(String::as_str)
            .collect();
        (!all.is_empty()).then(|| all.join("/"))
    }

    /// Takes a single argument as the message if `-c` is given and no other source is.
    pub(super) fn take_text(&mut self) {
        if !self.more_channels.is_empty()
            && self.text.is_none()
            && self.file.is_none()
            && !self.is_by_line()
        {
            self.text = self.channel.take();
        }
    }

    pub(super) fn is_by_line(&self) -> bool {
        self.many.lines || self.many.ndjson
    }
}
