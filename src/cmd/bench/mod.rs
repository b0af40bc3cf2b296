//! `pushctl bench`: many subscribers on one server, with a check that every message arrived once
//! and in order.
//!
//! ```text
//! run ── pool: subscribers here, or worker processes ── messages ──> state ── ledger
//!  └── publish: stamps messages with their due time         results <── collected ──┘
//! results ──> report ──> text, html (chart), compare, check
//! ```
//!
//! `stamp` marks the messages, `clock` is the time that all processes share, `series` counts over
//! time, `limits` reads the limits of the system, `machine` describes the measuring machine,
//! `progress` is the live display.

mod chart;
mod check;
mod clock;
mod compare;
mod detection;
mod distribution;
mod html;
pub mod ledger;
mod limits;
mod machine;
mod pool;
mod progress;
mod publish;
mod report;
mod results;
mod run;
mod series;
mod server;
pub mod stamp;
mod state;
mod subscribers;
mod text;
mod workers;

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};

use self::limits::Processes;
use self::report::BenchReport;
use super::assertion::{self, Conditions};
use super::exit::{Code, Usage, exit_codes};
use super::{args, figures, interrupted, output};
use crate::client::Mode;

macro_rules! examples {
    () => {
        "Examples:
  pushctl bench -n 10000
  pushctl bench --mode ws --publishers 8 --messages 1000 --json
  pushctl bench -n 1000 --rate 50 --warm-up 5s --assert 'p99<50ms,lost=0'
  pushctl bench -n 1000 --json > old.json
  pushctl bench -n 1000 --compare old.json --report new.html
  pushctl bench --url http://nchan.example --sub-path '/sub/{channel}'"
    };
}

/// Arguments of `bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = concat!(examples!(), "\n\n", args::more_options!()),
    after_long_help = concat!(examples!(), "\n\n", exit_codes!())
)]
pub struct Args {
    /// Number of subscribers
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value = "100",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000)
    )]
    subscribers: usize,
    /// Number of channels
    ///
    /// Subscribers are assigned to them in turn.
    #[arg(
        short,
        long,
        value_name = "N",
        default_value = "1",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000)
    )]
    channels: usize,
    /// Delivery mode
    #[arg(short, long, default_value = "ev", value_parser = modes())]
    mode: Mode,
    /// Number of messages per channel
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        value_parser = clap::value_parser!(u32).range(1..=100_000_000)
    )]
    messages: u32,
    /// Size of a message in bytes
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "100",
        value_parser = RangedU64ValueParser::<usize>::new()
            .range(stamp::STAMP_BYTES as u64..=16 << 20)
    )]
    size: usize,
    /// Messages per second in total [default: unlimited]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Number of publishers
    ///
    /// Each has one message in flight.
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000)
    )]
    publishers: usize,
    /// Publish for this long before the measurement
    ///
    /// These messages must arrive like all others, but their latency is not counted.
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    warm_up: Option<Duration>,
    /// Time limit of each phase
    ///
    /// Limits the time to connect all subscribers, the time for the response to each message, and
    /// the time until all messages are delivered. Messages that have not arrived by then are
    /// reported as lost. If a response is missing, the measurements up to then are reported and the
    /// exit code is 6.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = args::duration)]
    timeout: Duration,
    /// Connections per second [default: as fast as the server accepts them]
    #[arg(
        long,
        value_name = "N",
        value_parser = rate,
        help_heading = "Connections",
        hide_short_help = true
    )]
    connect_rate: Option<f64>,
    /// Connect all subscribers at once, without waiting for responses
    #[arg(
        long,
        conflicts_with = "connect_rate",
        help_heading = "Connections",
        hide_short_help = true
    )]
    storm: bool,
    /// Number of processes for the subscribers
    ///
    /// auto uses as few as the limits of open files and ports allow.
    #[arg(
        long,
        value_name = "N|auto",
        default_value = "auto",
        value_parser = Processes::parse,
        help_heading = "Connections",
        hide_short_help = true
    )]
    processes: Processes,
    /// Local address to connect from (repeatable; used in turn)
    ///
    /// Each address has its own ports, about 28,000 (net.ipv4.ip_local_port_range). The default for
    /// a server on this machine is as many of 127.0.0.1, 127.0.0.2, ... as are needed.
    #[arg(
        long,
        value_name = "ADDRESS",
        help_heading = "Connections",
        hide_short_help = true
    )]
    bind: Vec<IpAddr>,
    /// Print the result as one line of JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Write a self-contained HTML page with charts
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    report: Option<PathBuf>,
    /// Compare with an earlier result of --json
    #[arg(long, value_name = "OLD.json", help_heading = "Output")]
    compare: Option<PathBuf>,
    /// Exit with 8 unless 'p99<50ms,lost=0' holds
    ///
    /// A comma means 'and'. The values that violate a condition are reported. Latencies are min,
    /// mean, p50, p90, p99, p99.9 and max, with the prefix connect_ for connecting; counters have
    /// their names of --json.
    #[arg(
        long,
        value_name = "CONDITIONS",
        value_parser = assertion::parse,
        help_heading = "Output"
    )]
    assert: Option<Conditions>,
    #[command(flatten)]
    pub(super) server: args::Server,
}

/// The modes that can be measured: polling would only measure its own interval.
fn modes() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(["lp", "ws", "ev", "stream"])
        .try_map(|name| <Mode as clap::ValueEnum>::from_str(&name, false))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(rate),
        _ => Err("it is not a number per second".to_owned()),
    }
}

/// Measures and prints the result.
///
/// # Errors
/// Returns an error if the run fails; faults of the server are no error but [`Code::Faulty`].
pub async fn run(args: Args, url: &str) -> anyhow::Result<Code> {
    if args.channels > args.subscribers {
        return Err(Usage(format!(
            "cannot spread {} subscribers over {} channels (see --channels)",
            args.subscribers, args.channels
        ))
        .into());
    }
    if let Some(part) = workers::part_of_this_process()? {
        return tokio::task::LocalSet::new()
            .run_until(workers::work(&args, url, part))
            .await;
    }
    // Errors in files and conditions are reported before a long run, not after it.
    let old = args.compare.as_deref().map(compare::read).transpose()?;
    if let Some(conditions) = &args.assert {
        check::failures(conditions, &BenchReport::default())?;
    }
    if let Some(path) = &args.report {
        check_writable(path)?;
    }
    let Some(outcome) = tokio::task::LocalSet::new()
        .run_until(run::run(&args, url))
        .await?
    else {
        return Ok(Code::Interrupted);
    };
    let report = outcome.report;
    let text = render(&report, old.as_ref(), args.json);
    let stdout = output::Stdout::start()?;
    tokio::select! {
        written = stdout.text(text.as_bytes()) => written?,
        result = interrupted() => return result.map(|()| Code::Interrupted),
    }
    if let Some(path) = &args.report {
        std::fs::write(path, html::page(&report)).map_err(|error| unwritable(path, &error))?;
    }
    if outcome.is_interrupted {
        output::note(format_args!(
            "interrupted: {} published, {} delivered",
            report.published, report.delivered
        ));
        return Ok(Code::Interrupted);
    }
    let failures = args.assert.as_ref().map_or(Ok(Vec::new()), |conditions| {
        check::failures(conditions, &report)
    })?;
    for failure in &failures {
        output::note(format_args!("assertion failed: {failure}"));
    }
    if let Some(error) = outcome.unanswered {
        output::note(format_args!("{error:#}"));
        return Ok(Code::TimedOut);
    }
    Ok(if report.is_faultless() && failures.is_empty() {
        Code::Success
    } else {
        Code::Faulty
    })
}

fn render(report: &BenchReport, old: Option<&BenchReport>, json: bool) -> String {
    let unicode = figures::is_unicode();
    match (json, old) {
        (true, None) => report.to_json() + "\n",
        (true, Some(old)) => {
            // The comparison is one more field of the object.
            let line = report.to_json();
            let open = line.strip_suffix('}').unwrap_or(&line);
            format!("{open},\"compared\":{}}}\n", compare::to_json(old, report))
        }
        (false, None) => text::render(report, unicode),
        (false, Some(old)) => format!(
            "{}\n{}",
            text::render(report, unicode),
            compare::to_text(old, report, unicode)
        ),
    }
}

/// Creates the file if it does not exist; existing content is kept until the report is written.
fn check_writable(path: &Path) -> Result<(), Usage> {
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    opened.map(drop).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Usage {
    let reason = if error.kind() == ErrorKind::NotFound {
        "no such directory".to_owned()
    } else {
        error.to_string()
    };
    Usage(format!(
        "cannot write '{}': {reason} (see --report)",
        path.display()
    ))
}
