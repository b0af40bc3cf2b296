//! `pushctl pub`: posts one message and prints what the server tells about the channel.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::exit::{Code, Usage, exit_codes};
use super::output::printable;
use super::{args, output};
use crate::client::MAX_MESSAGE_BYTES;
use crate::client::publish::{Publication, publish};
use crate::client::statistics::{self, Report};

macro_rules! examples {
    () => {
        "Examples:\n  pushctl pub news 'hello'\n  date | pushctl pub news\n  pushctl pub news -f report.json --event-type report"
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
    #[arg(value_name = "CHANNEL")]
    channel: String,
    /// Message; standard input if it is absent or '-'
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    text: Option<String>,
    /// Send the content of this file
    #[arg(short, long, value_name = "FILE")]
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
    /// Time to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = args::duration)]
    timeout: Duration,
    /// Print the server's answer as one line of JSON
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    pub(super) server: args::Server,
}

/// A message to publish, read.
pub struct Prepared {
    args: Args,
    text: Vec<u8>,
    url: reqwest::Url,
}

/// Reads the message. This waits for as long as its source takes, so it comes before signals are taken over.
///
/// # Errors
/// When the arguments are wrong or the message cannot be read.
pub fn prepare(args: Args, url: &str) -> anyhow::Result<Prepared> {
    let url = args.server.endpoints(url)?.publish(&args.channel)?;
    let text = message(&args)?;
    Ok(Prepared { args, text, url })
}

impl Prepared {
    /// Publishes.
    ///
    /// # Errors
    /// When the message was not taken.
    pub async fn run(self) -> anyhow::Result<Code> {
        let Self { args, text, url } = self;
        let stdout = output::Stdout::start()?;
        let client = args.server.client()?;
        let publication = Publication { text, event_id: args.event_id, event_type: args.event_type, content_type: args.content_type };
        let answer = publish(&client, &url, publication, args.timeout).await?;
        // A location may be configured to tell nothing.
        let is_silent = answer.trim_ascii().is_empty();
        match statistics::one_line(&answer) {
            _ if args.quiet || (args.json && is_silent) => {}
            Some(line) if args.json => stdout.line(&line).await?,
            None if args.json => output::note("the message was published, but the server's answer is no JSON"),
            _ => stdout.text(describe(&answer, &args.channel).as_bytes()).await?,
        }
        Ok(Code::Success)
    }
}

fn message(args: &Args) -> anyhow::Result<Vec<u8>> {
    match (&args.file, args.text.as_deref()) {
        (Some(path), _) if path != Path::new("-") => {
            let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            read(file).with_context(|| format!("cannot read {}", path.display()))
        }
        (None, Some(text)) if text != "-" => Ok(text.as_bytes().to_vec()),
        _ => read(std::io::stdin().lock()).context("cannot read standard input"),
    }
}

fn read(source: impl std::io::Read) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_MESSAGE_BYTES as u64 + 1).read_to_end(&mut text)?;
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(Usage(format!("the message is larger than {} MiB", MAX_MESSAGE_BYTES >> 20)).into());
    }
    Ok(text)
}

fn describe(answer: &[u8], channel: &str) -> String {
    let infos = match Report::from_json(answer) {
        Some(Report::Channels(infos)) => infos,
        // A location may be configured to tell nothing.
        _ if answer.trim_ascii().is_empty() => return format!("published to {}\n", printable(channel)),
        _ => return format!("{}\n", printable(String::from_utf8_lossy(answer).trim_end())),
    };
    let line = |info: &statistics::ChannelInfo| {
        let (published, stored, subscribers) = (info.published_messages, info.stored_messages, info.subscribers);
        let plural = if subscribers == 1 { "" } else { "s" };
        format!("{}: {published} published, {stored} stored, {subscribers} subscriber{plural}\n", printable(&info.channel))
    };
    infos.iter().map(line).collect()
}
