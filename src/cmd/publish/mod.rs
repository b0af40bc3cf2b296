//! `pushctl pub`: posts one message and prints what the server tells about the channel, or many and
//! what became of them.
//!
//! `input` reads many messages, `many` sends them, `tally` keeps the books, `template` puts
//! counters into texts.

pub mod input;
pub mod many;
pub mod tally;
pub mod template;

use std::io::IsTerminal as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueHint;
use clap::builder::RangedU64ValueParser;
use input::Source;
use reqwest::Url;
use template::{Random, Template};

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
  pushctl pub --ndjson -f messages.ndjson --json
  pushctl pub load '{\"n\":{number},\"at\":\"{time}\"}' --template --repeat 1000 --rate 100/s"
    };
}

/// Arguments of `pub`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = examples!(),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Channel to publish to; several are separated by '/'
    ///
    /// Servers drop an ending '.b' with digits from a name (a backtrack, see 'pushctl sub').
    #[arg(value_name = "CHANNEL", required_unless_present_any = ["ndjson", "more_channels"], value_hint = ValueHint::Other)]
    channel: Option<String>,
    /// Message; standard input if it is absent or '-'. With -c a single argument is the message
    #[arg(value_name = "TEXT", conflicts_with_all = ["file", "lines", "ndjson"])]
    text: Option<String>,
    /// Another channel to publish to (repeatable); all get the message with one request
    ///
    /// With -c CHANNEL may be left out: 'pushctl pub -c a -c b hello' publishes 'hello'. Standard
    /// input is read with '-', without an argument, and where the messages come from elsewhere
    /// (--file, --lines, --ndjson) the argument is a channel.
    #[arg(short = 'c', long = "channel", value_name = "CHANNEL", value_hint = ValueHint::Other)]
    more_channels: Vec<String>,
    /// Send the content of this file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Event id, with which an EventSource resumes
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Event type, by which an EventSource sorts events
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Content type of the message
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Fail with exit code 12 if a channel has fewer subscribers; the message is published
    /// nevertheless
    #[arg(long, value_name = "N")]
    require_subscribers: Option<u64>,
    /// Each line is a message; empty lines are left out, and a CR before the line break is no part
    /// of it
    ///
    /// Over plain http all go through one connection, and requests are sent ahead of their answers;
    /// over https or a proxy each waits for its answer. The first refusal ends the sending; what
    /// was acknowledged is told.
    #[arg(short, long, help_heading = "Many messages")]
    lines: bool,
    /// Each line is an object with "channel", "text" or "base64", "event_id", "event_type"
    ///
    /// Only the text is needed; CHANNEL and the options stand in for what a line does not name.
    /// Otherwise like --lines.
    #[arg(long, help_heading = "Many messages", conflicts_with = "lines")]
    ndjson: bool,
    /// Send everything N times
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Many messages")]
    repeat: u64,
    /// Most messages in a time: 100/s, 5/m or 3/h; as fast as the server answers if absent
    #[arg(long, value_name = "RATE", value_parser = many::rate, help_heading = "Many messages")]
    rate: Option<f64>,
    /// Replace {number}, {number:6}, {number%10}, {time}, {ms}, {random} and {random:100} in texts,
    /// channels and the event id
    ///
    /// {number} is the number of the message or line, with at least 6 digits in {number:6}, and its
    /// remainder in {number%10}; {time} is the time (RFC 3339), {ms} in milliseconds since 1970;
    /// {random} is 16 letters and digits. Other braces stay.
    #[arg(long, help_heading = "Many messages")]
    template: bool,
    /// Go on after a refusal; all are counted, and the exit code is that of the first
    #[arg(long, help_heading = "Many messages")]
    keep_going: bool,
    /// Send again what was not answered when a connection broke; it may be published twice
    #[arg(long, help_heading = "Many messages")]
    retry_unanswered: bool,
    /// Most messages that are sent ahead of their answers
    #[arg(long, value_name = "N", default_value = "512", value_parser = RangedU64ValueParser::<usize>::new().range(1..=65_536), help_heading = "Many messages")]
    in_flight: usize,
    #[command(flatten)]
    answer: args::ResponseOptions,
    #[command(flatten)]
    pub(super) server: args::Server,
}

impl Args {
    /// All channels of the command line, as one request names them.
    fn channels(&self) -> Option<String> {
        let all: Vec<&str> = self
            .channel
            .iter()
            .chain(&self.more_channels)
            .map(String::as_str)
            .collect();
        (!all.is_empty()).then(|| all.join("/"))
    }

    /// With `-c` a single argument is the message, unless that comes from elsewhere.
    fn single_is_text(&mut self) {
        if !self.more_channels.is_empty()
            && self.text.is_none()
            && self.file.is_none()
            && !self.is_by_line()
        {
            self.text = self.channel.take();
        }
    }

    fn is_by_line(&self) -> bool {
        self.lines || self.ndjson
    }
}

/// A message was published, but did not reach enough.
#[derive(Debug, thiserror::Error)]
#[error(
    "a channel has {found} subscribers, fewer than {wanted} (see --require-subscribers; it was \
     published nevertheless)"
)]
pub struct TooFew {
    /// Subscribers of the channel that has fewest.
    pub found: u64,
    /// How many there should be.
    pub wanted: u64,
}

/// Messages to publish, and where to.
pub struct Prepared {
    args: Args,
    source: Source,
    endpoints: Endpoints,
    url: Option<Url>,
}

/// Reads the message, unless there are many. This waits for as long as its source takes, so it
/// comes before signals are taken over.
///
/// # Errors
/// When the arguments are wrong or the message cannot be read.
pub fn prepare(mut args: Args, url: &str) -> anyhow::Result<Prepared> {
    args.single_is_text();
    if args.event_id.is_some() && args.server.dialect.is_some_and(Dialect::is_bare) {
        return Err(Usage(
            "nhpm and nchan give messages ids of their own (leave --event-id out)".to_owned(),
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
    /// Publishes.
    ///
    /// # Errors
    /// When a message was not taken.
    pub async fn run(self) -> anyhow::Result<Code> {
        let Self {
            args,
            source,
            endpoints,
            url,
        } = self;
        match (source, url) {
            (Source::Text(text), Some(url)) if args.repeat == 1 => {
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
    if args.template {
        let mut random = Random::new();
        let mut expand =
            |text: &[u8]| Template::new(text).map(|template| template.expand(1, &mut random));
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
    let answer = publish(&client, &url, publication, args.answer.timeout).await?;
    let answer = unframed_info::translated(&answer, &channels).unwrap_or(answer);
    // A location may be configured to tell nothing.
    let is_silent = answer.trim_ascii().is_empty();
    match statistics::one_line(&answer) {
        _ if args.answer.quiet || (args.answer.json && is_silent) => {}
        Some(line) if args.answer.json => stdout.line(&output::json(&line)).await?,
        None if args.answer.json => {
            output::note("the message was published, but the server's answer is no JSON")
        }
        _ => stdout.text(describe(&answer, &channels).as_bytes()).await?,
    }
    match args.require_subscribers {
        Some(wanted) => {
            let found = fewest_subscribers(&answer)?;
            if found < wanted {
                Err(TooFew { found, wanted }.into())
            } else {
                Ok(Code::Success)
            }
        }
        None => Ok(Code::Success),
    }
}

/// The subscribers of the channel that has fewest.
///
/// # Errors
/// When the server does not tell.
fn fewest_subscribers(answer: &[u8]) -> anyhow::Result<u64> {
    let infos = match Report::from_json(answer) {
        Some(Report::Channels(infos)) => infos,
        _ => Vec::new(),
    };
    let fewest = infos.iter().map(|info| info.subscribers).min();
    fewest.ok_or_else(|| {
        let reason = "it does not tell the subscribers (see --require-subscribers, and \
             push_stream_channel_info_on_publish of the location)";
        Error::Protocol {
            url: "the publisher".to_owned(),
            reason: reason.to_owned(),
        }
        .into()
    })
}

fn source(args: &Args) -> anyhow::Result<Source> {
    let file = args.file.as_deref().filter(|path| *path != Path::new("-"));
    if args.is_by_line() {
        // Told before anything is sent.
        return match file {
            Some(path) => {
                std::fs::File::open(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Ok(Source::File(path.to_owned()))
            }
            None => {
                hint(args, "messages, one per line,");
                Ok(Source::Stdin)
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
    Ok(Source::Text(text))
}

/// Somebody who forgot the message would wait for ever.
fn hint(args: &Args, what: &str) {
    if std::io::stdin().is_terminal() && !args.answer.quiet {
        let channel = args.channels().unwrap_or_else(|| "CHANNEL".to_owned());
        output::note(format_args!(
            "reading {what} from the terminal; end with Ctrl-D, or stop with Ctrl-C and write: \
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

fn describe(answer: &[u8], channel: &str) -> String {
    let infos = match Report::from_json(answer) {
        Some(Report::Channels(infos)) => infos,
        // A location may be configured to tell nothing.
        _ if answer.trim_ascii().is_empty() => {
            return format!("published to {}\n", printable(channel));
        }
        _ => {
            return format!(
                "{}\n",
                printable(String::from_utf8_lossy(answer).trim_end())
            );
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
