//! `pushctl bench`: many subscribers against one server, with proof that every message arrived once and in order.
//!
//! `run` does the work, `state` is what its tasks share, `stamp` marks the messages, `ledger` keeps the books, `report`
//! shows the result.

pub mod ledger;
pub mod report;
mod run;
pub mod stamp;
mod state;

use std::time::Duration;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};

use super::exit::{Code, Usage, exit_codes};
use super::{args, interrupted, output};
use crate::client::Mode;

macro_rules! examples {
    () => {
        "Examples:\n  pushctl bench -n 10000\n  pushctl bench --mode ws --publishers 8 --messages 1000 --json\n  pushctl bench -n 1000 --rate 50 --messages 500"
    };
}

/// Arguments of `bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = examples!(),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Subscribers
    #[arg(short = 'n', long, value_name = "N", default_value = "100", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    subscribers: usize,
    /// How messages are delivered
    #[arg(short, long, default_value = "ev", value_parser = modes())]
    mode: Mode,
    /// Channels over which the subscribers are spread
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    channels: usize,
    /// Messages per channel
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    messages: u32,
    /// Messages per second over all publishers; as fast as the server answers if absent
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value = "100", value_parser = RangedU64ValueParser::<usize>::new().range(stamp::STAMP_BYTES as u64..=16 << 20))]
    size: usize,
    /// Publishers, each with one message in flight
    #[arg(long, value_name = "N", default_value = "1", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    publishers: usize,
    /// Time for all to connect, for the answer to each message, and again for all to be delivered
    ///
    /// Messages that have not come by then are reported as lost. When an answer does not come, what was measured until then
    /// is reported, and the exit code is 6.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = args::duration)]
    timeout: Duration,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) server: args::Server,
}

/// The modes that can be measured: a poller only measures its own interval.
fn modes() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(["lp", "ws", "ev", "stream"]).try_map(|name| <Mode as clap::ValueEnum>::from_str(&name, false))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(rate),
        _ => Err("it is no number of messages per second".to_owned()),
    }
}

/// Measures and prints the result.
///
/// # Errors
/// When the run could not be made; a faulty server is no error but [`Code::Faulty`].
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    if args.channels > args.subscribers {
        return Err(
            Usage(format!("cannot spread {} subscribers over {} channels (see --channels)", args.subscribers, args.channels)).into()
        );
    }
    let Some(outcome) = tokio::task::LocalSet::new().run_until(run::run(&args, url)).await? else { return Ok(Code::Interrupted) };
    let report = outcome.report;
    let text = if args.json { report.to_json() + "\n" } else { report.to_text() };
    let stdout = output::Stdout::start()?;
    tokio::select! {
        written = stdout.text(text.as_bytes()) => written?,
        result = interrupted() => return result.map(|()| Code::Interrupted),
    }
    if let Some(error) = outcome.unanswered {
        output::note(&error);
        return Ok(Code::TimedOut);
    }
    Ok(if report.is_faultless() { Code::Success } else { Code::Faulty })
}
