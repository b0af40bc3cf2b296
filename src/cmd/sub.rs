//! `pushctl sub`: follows channels and prints their messages.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::exit::{Code, Usage, exit_codes};
use super::{args, output};
use crate::client::endpoint::split_backtrack;
use crate::client::subscription::{Channel, Settings};
use crate::client::{Event, Mode, Subscription};

macro_rules! examples {
    () => {
        "Examples:\n  pushctl sub news\n  pushctl sub news sport --backlog 10 --json\n  pushctl sub jobs --mode lp --count 1 --timeout 30s"
    };
}

/// Arguments of `sub`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = examples!(),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Channels to follow; several may also be separated by '/'
    ///
    /// A name that ends in '.b' and digits has a backlog of its own: 'news.b5' is 'news' with its last 5 messages. To
    /// follow a channel whose own name ends so, add '.b0'.
    #[arg(value_name = "CHANNEL", required = true)]
    channels: Vec<String>,
    /// How messages are delivered
    #[arg(short, long, value_enum, default_value = "ev")]
    mode: Mode,
    /// Print all known fields of each message as one line of JSON
    #[arg(long)]
    json: bool,
    /// Start with the last N stored messages of each channel
    #[arg(short, long, value_name = "N", conflicts_with = "since")]
    backlog: Option<u64>,
    /// Start with the messages since TIME: RFC 3339, HTTP date, unix seconds, or a duration ago such as 5m
    #[arg(short, long, value_name = "TIME", value_parser = args::since_now)]
    since: Option<u64>,
    /// Stop after N messages
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop after this time
    ///
    /// With --count this is a failure (exit code 6) if fewer messages came; without, it is the regular end (exit code 0).
    #[arg(short, long, value_name = "DURATION", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Failed attempts in a row after which to give up [default: 0 before the first connection, then unlimited]
    ///
    /// A refusal (401, 403, 404 and most others of 400 to 499) is never tried again.
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Time between two requests of mode poll, at least 100ms
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = args::interval)]
    interval: Duration,
    #[command(flatten)]
    pub(super) server: args::Server,
}

/// Time for a line under way when --timeout ends the run.
const LAST_LINE: Duration = Duration::from_millis(250);

/// Follows until the end that the arguments ask for.
///
/// # Errors
/// When the server refuses, or cannot be reached any more.
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    let endpoints = args.server.endpoints(url)?;
    let settings = Settings {
        mode: args.mode,
        channels: channels(&args.channels, args.backlog)?,
        since: args.since,
        retries: args.retries,
        interval: args.interval,
    };
    // Refuses channels before anything else does.
    endpoints.subscribe(args.mode, &args.channels.join("/"))?;
    let mut subscription = Subscription::new(args.server.client()?, endpoints, settings);
    let stdout = output::Stdout::start()?;
    let follow = follow(&mut subscription, &args, &stdout);
    let Some(timeout) = args.timeout else { return follow.await };
    let deadline = Instant::now().checked_add(timeout).ok_or_else(|| Usage("the time of --timeout is too long".to_owned()))?;
    match timeout_at(deadline, follow).await {
        Ok(result) => result,
        Err(_) => {
            stdout.settle(LAST_LINE).await;
            if args.count.is_none() {
                return Ok(Code::Success);
            }
            output::note(format_args!("fewer messages than --count within {}", humantime::format_duration(timeout)));
            Ok(Code::TimedOut)
        }
    }
}

async fn follow(subscription: &mut Subscription, args: &Args, stdout: &output::Stdout) -> anyhow::Result<Code> {
    let mut missing = args.count;
    while let Some(event) = subscription.next().await? {
        match event {
            Event::Message(message) if args.json => stdout.line(message.to_json().as_bytes()).await?,
            Event::Message(message) => stdout.line(&message.text).await?,
            Event::Deleted(channel) => {
                output::note(format_args!("channel '{channel}' was deleted"));
                continue;
            }
            Event::Retrying(error, delay) => {
                output::note(format_args!("{error}; trying again in {:.1} s", delay.as_secs_f32()));
                continue;
            }
        }
        missing = missing.map(|missing| missing - 1);
        if missing == Some(0) {
            return Ok(Code::Success);
        }
    }
    if let Some(missing) = missing {
        output::note(format_args!("the last channel was deleted {missing} messages before --count"));
        return Ok(Code::Failure);
    }
    Ok(Code::Success)
}

/// The channels, each once: a channel that is named twice would deliver every message twice. A backtrack in the module's
/// spelling (`news.b5`) is understood.
fn channels(names: &[String], backlog: Option<u64>) -> Result<Vec<Channel>, Usage> {
    let mut channels: Vec<Channel> = Vec::new();
    for name in names.iter().flat_map(|name| name.split('/')) {
        let (id, own) = split_backtrack(name);
        if id.is_empty() {
            return Err(Usage(format!("cannot follow '{}': a channel id is empty", names.join(" "))));
        }
        if !channels.iter().any(|channel| channel.id == id) {
            channels.push(Channel { id: id.to_owned(), backlog: own.or(backlog) });
        }
    }
    Ok(channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_followed_once_and_backtracks_are_understood() {
        let names = ["a/b".to_owned(), "b".to_owned(), "c.b3".to_owned(), "d.b".to_owned()];
        let channels = channels(&names, Some(1)).expect("good names");
        let found: Vec<_> = channels.iter().map(|channel| (channel.id.as_str(), channel.backlog)).collect();
        assert_eq!(found, [("a", Some(1)), ("b", Some(1)), ("c", Some(3)), ("d.b", Some(1))]);
        assert!(super::channels(&["a//b".to_owned()], None).is_err());
    }
}
