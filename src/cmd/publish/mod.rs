//! `pushctl pub`: publishes one message and prints the counters of the channel, or many messages
//! and prints a summary.
//!
//! `input` reads many messages, `posting` builds their requests, `many` sends them, `tally` counts
//! the results, `template` expands placeholders in texts.

mod args;
mod channel_info;
pub mod input;
pub mod many;
mod options;
mod posting;
pub mod tally;
pub mod template;

use std::io::IsTerminal as _;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use input::InputSource;
use reqwest::Url;
use template::{PayloadTemplate, Random};

use super::exit::{Code, TooFewSubscribers, Usage};
use super::output;
use super::runtime::interruptible;
use crate::client::publish::{Publication, publish};
use crate::client::statistics;
use crate::client::{Dialect, Endpoints};
use channel_info::{describe, fewest_subscribers};

use crate::client::message::MAX_MESSAGE_BYTES;
use crate::client::statistics::unframed_info;
pub use args::Args;

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
                Err(TooFewSubscribers { found, wanted }.into())
            } else {
                Ok(Code::Success)
            }
        }
        None => Ok(Code::Success),
    }
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
