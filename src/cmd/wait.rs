//! `pushctl wait`: polls a server until it is up, or until conditions on its counters hold.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueHint;
use reqwest::{Method, Url};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use super::escape::printable;
use super::exit::{Code, Usage, exit_codes};
use super::{args, output};
use crate::client::statistics::{self, Report};
use crate::client::{Endpoints, Error, Http};

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
    pub(super) server: args::Server,
}

/// Pause between the first two requests; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Time limit for a response: a request to a server that hangs is repeated.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CounterCondition {
    operator: Operator,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
    Other,
}

/// Signs of the operators, longer ones first.
const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("==", Operator::Equal),
    ("!=", Operator::Other),
    (">", Operator::Above),
    ("<", Operator::Below),
    ("=", Operator::Equal),
];

impl FromStr for CounterCondition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = OPERATORS.iter().find_map(|(sign, operator)| {
            text.strip_prefix(sign).map(|rest| (*operator, rest.trim()))
        });
        let Some((operator, number)) = found else {
            return Err(format!(
                "write for example '>={}', '==0' or '<5', in quotes",
                text.parse().unwrap_or(1_u64)
            ));
        };
        let number = number.parse().map_err(|_| {
            format!("'{number}' is not a number (write for example '>=1', '==0' or '<5')")
        })?;
        Ok(Self { operator, number })
    }
}

impl fmt::Display for CounterCondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS
            .iter()
            .find(|(_, operator)| *operator == self.operator)
            .map_or("", |(sign, _)| sign);
        write!(formatter, "{sign}{}", self.number)
    }
}

impl CounterCondition {
    fn holds(self, value: u64) -> bool {
        match self.operator {
            Operator::AtLeast => value >= self.number,
            Operator::AtMost => value <= self.number,
            Operator::Above => value > self.number,
            Operator::Below => value < self.number,
            Operator::Equal => value == self.number,
            Operator::Other => value != self.number,
        }
    }
}

/// The counters of a channel or of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counters {
    channel: Option<String>,
    /// `None` if the server does not report it.
    published: Option<u64>,
    stored: u64,
    subscribers: u64,
}

impl Counters {
    fn to_json(&self) -> String {
        let Self {
            channel,
            published,
            stored,
            subscribers,
        } = self;
        json!({
            "channel": channel,
            "published_messages": published,
            "stored_messages": stored,
            "subscribers": subscribers,
        })
        .to_string()
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channel,
            published,
            stored,
            subscribers,
        } = self;
        let name = channel
            .as_deref()
            .map_or_else(|| "the server".to_owned(), printable);
        let plural = if *subscribers == 1 { "" } else { "s" };
        let published = published
            .map(|published| format!("{published} published, "))
            .unwrap_or_default();
        write!(
            formatter,
            "{name}: {published}{stored} stored, {subscribers} subscriber{plural}"
        )
    }
}

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
    let target = Target {
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
    target: &Target<'_>,
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

/// Channels to poll (`None`: the server), with their URLs.
struct Target<'a> {
    endpoints: &'a Endpoints,
    urls: &'a [(Option<&'a str>, Url)],
}

async fn poll(
    client: &Http,
    target: &Target<'_>,
    only_ready: bool,
) -> Result<Vec<Counters>, Error> {
    let mut seen = Vec::new();
    for (channel, url) in target.urls {
        if only_ready {
            let response = client
                .request(
                    Method::GET,
                    url,
                    reqwest::header::HeaderMap::new(),
                    None,
                    Some(RESPONSE_TIMEOUT),
                )
                .await?;
            if matches!(response.status().as_u16(), 502..=504) {
                return Err(crate::client::http::status_error(&response, url));
            }
            continue;
        }
        let empty = Counters {
            channel: channel.map(str::to_owned),
            published: Some(0),
            ..Counters::default()
        };
        let response = match statistics::request_statistics(
            client,
            target.endpoints,
            *channel,
            RESPONSE_TIMEOUT,
        )
        .await
        {
            Ok(response) => response,
            Err(Error::NoChannel {
                hides_published, ..
            }) => {
                seen.push(Counters {
                    published: (!hides_published).then_some(0),
                    ..empty
                });
                continue;
            }
            Err(error) => return Err(error),
        };
        seen.push(match (response.report()?, channel) {
            (Report::Summary(summary), None) => Counters {
                published: Some(summary.published_messages),
                stored: summary.stored_messages,
                subscribers: summary.subscribers,
                ..empty
            },
            (Report::Channels(infos), Some(_)) => match infos.first() {
                Some(info) => {
                    let published = (!info.hides_published).then_some(info.published_messages);
                    Counters {
                        published,
                        stored: info.stored_messages,
                        subscribers: info.subscribers,
                        ..empty
                    }
                }
                None => empty,
            },
            _ => return Err(response.unreadable()),
        });
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare() {
        for (text, holding, failing) in [
            (">=2", 2, 1),
            ("<=2", 2, 3),
            (">2", 3, 2),
            ("<2", 1, 2),
            ("==2", 2, 1),
            ("= 2", 2, 3),
            (" != 2 ", 1, 2),
        ] {
            let condition: CounterCondition = text.parse().expect(text);
            assert!(
                condition.holds(holding) && !condition.holds(failing),
                "{text}"
            );
        }
        assert_eq!(
            "=2".parse::<CounterCondition>()
                .map(|condition| condition.to_string()),
            Ok("==2".to_owned())
        );
    }

    #[test]
    fn a_number_alone_gets_a_hint() {
        assert!(
            "3".parse::<CounterCondition>()
                .expect_err("no operator")
                .contains("'>=3'")
        );
        for text in ["", ">=", "=>1", ">=-1", ">=x"] {
            assert!(text.parse::<CounterCondition>().is_err(), "{text}");
        }
    }
}
