//! `pushctl pub`: publishes one message and prints the counters of the channel, or many messages
//! and prints a summary.
//!
//! `input` reads many messages, `posting` builds their requests, `many` sends them, `tally` counts
//! the results, `template` expands placeholders in texts.

pub mod input;
pub mod many;
mod options;
mod posting;
pub mod tally;
pub mod template;

use std::io::IsTerminal as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueHint;
use input::InputSource;
use reqwest::Url;
use template::{PayloadTemplate, Random};

use super::escape::printable;
use super::exit::{Code, Usage, exit_codes};
use super::{args, interruptible, output};
use crate::client::publish::{Publication, publish};
use crate::client::statistics::{self, Report};
use crate::client::{Dialect, Endpoints, Error, MAX_MESSAGE_BYTES, unframed_info};

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
    channel: Option<String>,
    /// Message to publish; standard input if absent or '-'
    ///
    /// With -c, a single argument is the message.
    #[arg(value_name = "TEXT", conflicts_with_all = ["file", "lines", "ndjson"])]
    text: Option<String>,
    /// Publish the content of this file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Further channel to publish to (repeatable)
    ///
    /// One request publishes to all channels. CHANNEL may then be omitted: 'pushctl pub -c a -c b
    /// hello' publishes 'hello'. Without an argument, or with '-', the message is read from
    /// standard input. With --file, --lines and --ndjson the argument is a channel.
    #[arg(short = 'c', long = "channel", value_name = "CHANNEL", value_hint = ValueHint::Other)]
    more_channels: Vec<String>,
    /// Event id, at which clients can resume
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Event type of the message
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Content type of the message
    #[arg(long, value_name = "TYPE", hide_short_help = true)]
    content_type: Option<String>,
    /// Exit with 12 below N subscribers
    ///
    /// N applies to each channel. The message is published nevertheless.
    #[arg(long, value_name = "N")]
    require_subscribers: Option<u64>,
    #[command(flatten)]
    response: args::ResponseOptions,
    #[command(flatten)]
    many: options::ManyOptions,
    #[command(flatten)]
    pub(super) server: args::Server,
}

impl Args {
    /// All channels of the command line, separated by '/' as in a request.
    fn channels(&self) -> Option<String> {
        let all: Vec<&str> = self
            .channel
            .iter()
            .chain(&self.more_channels)
            .map(String::as_str)
            .collect();
        (!all.is_empty()).then(|| all.join("/"))
    }

    /// Takes a single argument as the message if `-c` is given and no other source is.
    fn take_text(&mut self) {
        if !self.more_channels.is_empty()
            && self.text.is_none()
            && self.file.is_none()
            && !self.is_by_line()
        {
            self.text = self.channel.take();
        }
    }

    fn is_by_line(&self) -> bool {
        self.many.lines || self.many.ndjson
    }
}

/// A message was published to a channel with too few subscribers.
#[derive(Debug, thiserror::Error)]
#[error(
    "a channel has {found} subscribers, fewer than {wanted} (see --require-subscribers; the \
     message is published nevertheless)"
)]
pub struct TooFew {
    /// Lowest number of subscribers of a channel.
    pub found: u64,
    /// Required number.
    pub wanted: u64,
}

/// Messages to publish, and their destination.
pub struct Prepared {
    args: Args,
    source: InputSource,
    endpoints: Endpoints,
    url: Option<Url>,
}

/// Reads the message, unless there are many. Blocks until its source ends, so it must be called
/// before signal handlers are installed.
///
/// # Errors
/// When the arguments are invalid or the message cannot be read.
pub fn prepare(mut args: Args, url: &str) -> anyhow::Result<Prepared> {
    args.take_text();
    if args.event_id.is_some() && args.server.dialect.is_some_and(Dialect::is_unframed) {
        return Err(Usage(
            "NHPM and nchan assign the ids of messages (omit --event-id)".to_owned(),
        )
        .into());
    }
    let endpoints = args.server.endpoints(url)?;
    let url = args
        .channels()
        .map(|channels| endpoints.publish(&channels))
        .transpose()?;
    let source = source(&args)?;
    many::check(&args, &source)?;
    Ok(Prepared {
        args,
        source,
        endpoints,
        url,
    })
}

impl Prepared {
    /// Publishes the messages.
    ///
    /// # Errors
    /// When a message was rejected.
    pub async fn run(self) -> anyhow::Result<Code> {
        let Self {
            args,
            source,
            endpoints,
            url,
        } = self;
        match (source, url) {
            (InputSource::Text(text), Some(url)) if args.many.repeat == 1 => {
                interruptible(one(&args, text, &endpoints, url)).await
            }
            (source, url) => many::run(&args, source, &endpoints, url).await,
        }
    }
}

async fn one(
    args: &Args,
    mut text: Vec<u8>,
    endpoints: &Endpoints,
    mut url: Url,
) -> anyhow::Result<Code> {
    let stdout = output::Stdout::start()?;
    let client = args.server.client()?;
    let mut event_id = args.event_id.clone();
    let channels = args.channels().unwrap_or_default();
    if args.many.template {
        let mut random = Random::new();
        let mut expand = |text: &[u8]| {
            PayloadTemplate::new(text).map(|template| template.expand(1, &mut random))
        };
        text = expand(&text)?;
        event_id = event_id
            .map(|id| expand(id.as_bytes()).map(|id| String::from_utf8_lossy(&id).into_owned()))
            .transpose()?;
        url = endpoints.publish(&String::from_utf8_lossy(&expand(channels.as_bytes())?))?;
    }
    let publication = Publication {
        text,
        event_id,
        event_type: args.event_type.clone(),
        content_type: args.content_type.clone(),
    };
    let body = publish(&client, &url, publication, args.response.timeout).await?;
    let body = unframed_info::to_push_stream(&body, &channels).unwrap_or(body);
    // A location may be configured to send an empty response.
    let is_silent = body.trim_ascii().is_empty();
    match statistics::one_line(&body) {
        _ if args.response.quiet || (args.response.json && is_silent) => {}
        Some(line) if args.response.json => stdout.line(&output::json(&line)).await?,
        None if args.response.json => {
            output::note("the message was published, but the response of the server is not JSON")
        }
        _ => stdout.text(describe(&body, &channels).as_bytes()).await?,
    }
    match args.require_subscribers {
        Some(wanted) => {
            let found = fewest_subscribers(&body)?;
            if found < wanted {
                Err(TooFew { found, wanted }.into())
            } else {
                Ok(Code::Success)
            }
        }
        None => Ok(Code::Success),
    }
}

/// Lowest number of subscribers of the channels.
///
/// # Errors
/// When the server does not report it.
fn fewest_subscribers(body: &[u8]) -> anyhow::Result<u64> {
    let infos = match Report::from_json(body) {
        Some(Report::Channels(infos)) => infos,
        _ => Vec::new(),
    };
    let fewest = infos.iter().map(|info| info.subscribers).min();
    fewest.ok_or_else(|| {
        let reason = "it does not report the subscribers (see --require-subscribers, and \
             push_stream_channel_info_on_publish of the location)";
        Error::Protocol {
            url: "the publisher".to_owned(),
            reason: reason.to_owned(),
        }
        .into()
    })
}

fn source(args: &Args) -> anyhow::Result<InputSource> {
    let file = args.file.as_deref().filter(|path| *path != Path::new("-"));
    if args.is_by_line() {
        // Reported before anything is sent.
        return match file {
            Some(path) => {
                std::fs::File::open(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Ok(InputSource::File(path.to_owned()))
            }
            None => {
                hint(args, "messages, one per line,");
                Ok(InputSource::Stdin)
            }
        };
    }
    let text = match (file, args.text.as_deref()) {
        (Some(path), _) => {
            let file = std::fs::File::open(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            read(file).with_context(|| format!("cannot read {}", path.display()))?
        }
        (None, Some(text)) if text != "-" => text.as_bytes().to_vec(),
        _ => {
            hint(args, "the message");
            read(std::io::stdin().lock()).context("cannot read standard input")?
        }
    };
    Ok(InputSource::Text(text))
}

/// Prints what is read from a terminal: a user who forgot the message would wait forever.
fn hint(args: &Args, what: &str) {
    if std::io::stdin().is_terminal() && !args.response.quiet {
        let channel = args.channels().unwrap_or_else(|| "CHANNEL".to_owned());
        output::note(format_args!(
            "reading {what} from the terminal; end with Ctrl-D, or stop with Ctrl-C and run: \
             pushctl pub {channel} 'the message'"
        ));
    }
}

fn read(source: impl std::io::Read) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    source
        .take(MAX_MESSAGE_BYTES as u64 + 1)
        .read_to_end(&mut text)?;
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(Usage(format!(
            "the message is larger than {} MiB",
            MAX_MESSAGE_BYTES >> 20
        ))
        .into());
    }
    Ok(text)
}

fn describe(body: &[u8], channel: &str) -> String {
    let infos = match Report::from_json(body) {
        Some(Report::Channels(infos)) => infos,
        // A location may be configured to send an empty response.
        _ if body.trim_ascii().is_empty() => {
            return format!("published to {}\n", printable(channel));
        }
        _ => {
            return format!("{}\n", printable(String::from_utf8_lossy(body).trim_end()));
        }
    };
    let line = |info: &statistics::ChannelInfo| {
        let stored = info.stored_messages;
        let subscribers = info.subscribers;
        // NHPM and nchan do not report how many there were.
        let published = if info.hides_published {
            String::new()
        } else {
            format!("{} ", info.published_messages)
        };
        let plural = if subscribers == 1 { "" } else { "s" };
        format!(
            "{}: {published}published, {stored} stored, {subscribers} subscriber{plural}\n",
            printable(&info.channel)
        )
    };
    infos.iter().map(line).collect()
}
