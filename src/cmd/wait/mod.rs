//! `pushctl wait`: polls a server until it is up, or until conditions on its counters hold.

mod condition;
mod counters;

use std::time::Duration;

use clap::ValueHint;
use tokio::time::{Instant, sleep, timeout_at};

use super::exit::{Code, Usage, exit_codes};
use super::{args, output};
use crate::client::{Error, Http};
use condition::CounterCondition;
use counters::{Counters, WaitTarget, poll};

macro_rules! examples {
    () => {
        "Examples:
  pushctl serve & pushctl wait --ready --timeout 10s
  pushctl wait -c news --subscribers '>=1' -t 30s && pushctl pub news hello
  pushctl wait -c jobs -c mail --stored '==0' --timeout 5m"
    };
}

/// Arguments of `wait`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = concat!(examples!(), "\n\n", args::more_options!()),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Channel to check [default: the whole server]
    ///
    /// Repeatable: the conditions must hold for each channel. A channel that does not exist has
    /// counters of 0.
    #[arg(short, long = "channel", value_name = "CHANNEL", value_hint = ValueHint::Other)]
    channels: Vec<String>,
    /// Condition on the number of subscribers: '>=1', '==0', '<5', '!=2'
    #[arg(long, value_name = "CONDITION")]
    subscribers: Option<CounterCondition>,
    /// Condition on the number of stored messages
    #[arg(long, value_name = "CONDITION")]
    stored: Option<CounterCondition>,
    /// Condition on the number of published messages
    #[arg(long, value_name = "CONDITION")]
    published: Option<CounterCondition>,
    /// Wait until the server is up; the default without conditions
    ///
    /// Any response will do, even a rejection, except that of a proxy whose server is down (502,
    /// 503, 504).
    #[arg(long, conflicts_with_all = ["subscribers", "stored", "published"])]
    ready: bool,
    /// Give up after this time, with exit code 6 [default: never]
    #[arg(short, long, value_name = "DURATION", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Interval between two requests; the first ones are faster
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = args::interval)]
    interval: Duration,
    /// Print the last counters as lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) server: args::ServerOptions,
}

/// Pause between the first two requests; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

impl Args {
    /// True if the conditions hold.
    ///
    /// # Errors
    /// [`Error::Request`] if the server does not report a counter: the condition would never hold.
    fn hold(&self, counters: &Counters) -> Result<bool, Error> {
        let published = match (self.published, counters.published) {
            (None, _) => true,
            (Some(condition), Some(published)) => condition.holds(published),
            (Some(_), None) => {
                let text = "cannot wait for --published: NHPM and nchan do not report it for a \
                            channel (see --stored and --subscribers)";
                return Err(Error::Request(text.to_owned()));
            }
        };
        let holds = |condition: Option<CounterCondition>, value| {
            condition.is_none_or(|condition| condition.holds(value))
        };
        Ok(published
            && holds(self.subscribers, counters.subscribers)
            && holds(self.stored, counters.stored))
    }
}

/// Waits until the conditions hold or the time is over.
///
/// # Errors
/// When the server rejects the request for good.
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    if let Some(channel) = args
        .channels
        .iter()
        .find(|channel| channel.contains(['*', '/']) || *channel == "ALL")
    {
        return Err(Usage(format!(
            "cannot wait for '{channel}': name one channel (--channel is repeatable)"
        ))
        .into());
    }
    let endpoints = args.server.endpoints(url)?;
    let channels: Vec<Option<&str>> = if args.channels.is_empty() {
        vec![None]
    } else {
        args.channels
            .iter()
            .map(|channel| Some(channel.as_str()))
            .collect()
    };
    let urls = channels
        .into_iter()
        .map(|channel| Ok((channel, endpoints.statistics(channel)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    let target = WaitTarget {
        endpoints: &endpoints,
        urls: &urls,
    };
    let client = args.server.client()?;
    let stdout = output::Stdout::start()?;
    let mut last = Last::Nothing;
    let deadline = args
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout));
    let wait = wait(&args, &client, &target, &mut last);
    let is_done = match deadline {
        Some(deadline) => timeout_at(deadline, wait)
            .await
            .map_or(Ok(false), |result| result.map(|()| true))?,
        None => wait.await.map(|()| true)?,
    };
    if let (true, Last::Seen(seen)) = (args.json, &last) {
        for counters in seen {
            stdout
                .line(&output::json(counters.to_json().as_bytes()))
                .await?;
        }
    }
    if is_done {
        return Ok(Code::Success);
    }
    let timeout = humantime::format_duration(args.timeout.unwrap_or_default());
    output::note(format_args!(
        "timed out after {timeout}: {}",
        last.describe(&args)
    ));
    Ok(Code::TimedOut)
}

/// Result of the last request.
enum Last {
    Nothing,
    Failed(Error),
    Seen(Vec<Counters>),
}

impl Last {
    fn describe(&self, args: &Args) -> String {
        match self {
            Self::Nothing => "the server did not respond".to_owned(),
            Self::Failed(error) => error.to_string(),
            Self::Seen(seen) => {
                let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
                let named = [
                    ("subscribers", args.subscribers),
                    ("stored", args.stored),
                    ("published", args.published),
                ];
                let wanted: Vec<String> = named
                    .iter()
                    .filter_map(|(name, condition)| {
                        condition.map(|condition| format!("{name} {condition}"))
                    })
                    .collect();
                format!("{} (wanted: {})", seen.join("; "), wanted.join(", "))
            }
        }
    }
}

/// Polls until all conditions hold. `last` has the last result, also when the future is dropped.
async fn wait(
    args: &Args,
    client: &Http,
    target: &WaitTarget<'_>,
    last: &mut Last,
) -> Result<(), Error> {
    let only_ready = [args.subscribers, args.stored, args.published]
        .iter()
        .all(Option::is_none);
    let mut pause = FIRST_PAUSE;
    loop {
        match poll(client, target, only_ready).await {
            Ok(seen) => {
                let mut all = true;
                for counters in &seen {
                    all &= args.hold(counters)?;
                }
                *last = Last::Seen(seen);
                if all {
                    return Ok(());
                }
            }
            // A location without counters will not get them.
            Err(error @ Error::Protocol { .. }) if !only_ready => return Err(error),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => *last = Last::Failed(error),
        }
        sleep(pause).await;
        pause = (pause * 2).min(args.interval);
    }
}
