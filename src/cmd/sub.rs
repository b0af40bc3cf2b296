//! `pushctl sub`: follows channels and prints their messages.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::exit::{Code, Usage};
use super::{args, output};
use crate::client::subscription::{Channel, Settings};
use crate::client::{Event, Message, Mode, Subscription};

/// Arguments of `sub`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  pushctl sub news\n  pushctl sub news sport --backlog 10 --json\n  pushctl sub jobs --mode lp --count 1 --timeout 30s"
)]
pub struct Args {
    /// Channels to follow; several may also be separated by '/'
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
    /// Time between two requests of mode poll
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = args::duration)]
    interval: Duration,
    #[command(flatten)]
    server: args::Server,
}

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
    let mut subscription = Subscription::new(args.server.client()?, endpoints, settings);
    let follow = follow(&mut subscription, args.count, args.json);
    let Some(timeout) = args.timeout else { return follow.await };
    let deadline = Instant::now().checked_add(timeout).ok_or_else(|| Usage("the time of --timeout is too long".to_owned()))?;
    match timeout_at(deadline, follow).await {
        Ok(result) => result,
        Err(_) if args.count.is_none() => Ok(Code::Success),
        Err(_) => {
            eprintln!("pushctl: fewer messages than --count within {}", humantime::format_duration(timeout));
            Ok(Code::TimedOut)
        }
    }
}

async fn follow(subscription: &mut Subscription, count: Option<u64>, json: bool) -> anyhow::Result<Code> {
    let mut missing = count;
    while let Some(event) = subscription.next().await? {
        match event {
            Event::Message(message) => print(&message, json)?,
            Event::Deleted(channel) => {
                eprintln!("pushctl: channel '{channel}' was deleted");
                continue;
            }
            Event::Retrying(error, delay) => {
                eprintln!("pushctl: {error}; trying again in {:.1} s", delay.as_secs_f32());
                continue;
            }
        }
        missing = missing.map(|missing| missing - 1);
        if missing == Some(0) {
            break;
        }
    }
    Ok(Code::Success)
}

fn print(message: &Message, json: bool) -> std::io::Result<()> {
    if json { output::line(message.to_json().as_bytes()) } else { output::line(&message.text) }
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

fn split_backtrack(name: &str) -> (&str, Option<u64>) {
    match name.rsplit_once(".b") {
        Some((id, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            (id, Some(digits.parse().unwrap_or(u64::from(u32::MAX))))
        }
        _ => (name, None),
    }
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
