//! `pushctl bench`: many subscribers against one server, with proof that every message arrived once
//! and in order.
//!
//! ```text
//! run ── starts ──> share: subscribers here, or workers: processes with a share each ── messages ──> state ── ledger
//!  └── publish: stamps messages with the moment they were due                     books <── closed ──┘
//! books ──> report ──> text, html (chart), compare, check
//! ```
//!
//! `stamp` marks the messages, `clock` is the time all processes share, `series` what happened
//! when, `limits` what the system allows, `machine` where it was measured, `progress` the display
//! meanwhile.

mod books;
mod chart;
mod check;
mod clock;
mod compare;
mod html;
pub mod ledger;
mod limits;
mod machine;
mod progress;
mod publish;
mod report;
mod run;
mod series;
mod share;
pub mod stamp;
mod state;
mod text;
mod workers;

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};

use self::limits::Processes;
use self::report::Report;
use super::assertion::{self, Conditions};
use super::exit::{Code, Usage, exit_codes};
use super::{args, figures, interrupted, output};
use crate::client::Mode;

macro_rules! examples {
    () => {
        "Examples:\n  pushctl bench -n 10000\n  pushctl bench --mode ws --publishers 8 --messages \
         1000 --json\n  pushctl bench -n 1000 --rate 50 --messages 500 --warm-up 5s --assert \
         'p99<50ms,lost=0'\n  pushctl bench -n 1000 --json > old.json; …; pushctl bench -n 1000 \
         --compare old.json --report new.html\n  pushctl bench --url http://nchan.example \
         --pub-path '/pub?id={channel}' --sub-path '/sub/{channel}'"
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
    /// Messages that have not come by then are reported as lost. When an answer does not come, what
    /// was measured until then is reported, and the exit code is 6.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = args::duration)]
    timeout: Duration,
    /// Publish for this time before the measurement begins
    ///
    /// These messages must arrive like all others, but their latency is not counted.
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    warm_up: Option<Duration>,
    /// Connections per second; as fast as the server answers if absent
    #[arg(long, value_name = "N", value_parser = rate)]
    connect_rate: Option<f64>,
    /// Let all subscribers connect at once, without waiting for the answers to others
    #[arg(long, conflicts_with = "connect_rate")]
    storm: bool,
    /// Processes for the subscribers: a number, or auto for as few as the limits of open files and
    /// ports allow
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = Processes::parse)]
    processes: Processes,
    /// Address of this machine to connect from (repeatable; connections take them in turn)
    ///
    /// Each address has its own ports, about 28,000 (net.ipv4.ip_local_port_range). Without it, and
    /// with a server on this machine, as many of 127.0.0.1, 127.0.0.2, ... are used as are needed.
    #[arg(long, value_name = "ADDRESS")]
    bind: Vec<IpAddr>,
    /// Print the result as one line of JSON
    #[arg(long)]
    json: bool,
    /// Write a page with charts, which needs nothing else
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Show the differences from an earlier result of --json
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Conditions that must hold, or the exit code is 8 and the values are told (a comma means
    /// 'and')
    ///
    /// Latencies are min, mean, p50, p90, p99, p99.9 and max, and connect_p99 and the like for
    /// connecting; counts are named as in --json.
    #[arg(long, value_name = "CONDITIONS", value_parser = assertion::parse)]
    assert: Option<Conditions>,
    #[command(flatten)]
    pub(super) server: args::Server,
}

/// The modes that can be measured: a poller only measures its own interval.
fn modes() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(["lp", "ws", "ev", "stream"])
        .try_map(|name| <Mode as clap::ValueEnum>::from_str(&name, false))
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
        return Err(Usage(format!(
            "cannot spread {} subscribers over {} channels (see --channels)",
            args.subscribers, args.channels
        ))
        .into());
    }
    if let Some(part) = workers::own_part()? {
        return tokio::task::LocalSet::new()
            .run_until(workers::work(&args, url, part))
            .await;
    }
    // Whatever is wrong with files and conditions is told before a long run, not after it.
    let old = args.compare.as_deref().map(compare::read).transpose()?;
    if let Some(conditions) = &args.assert {
        check::failures(conditions, &Report::default())?;
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

fn render(report: &Report, old: Option<&Report>, json: bool) -> String {
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

/// Creates the file if it is not there, and leaves it as it is otherwise.
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
        "there is no such folder".to_owned()
    } else {
        error.to_string()
    };
    Usage(format!(
        "cannot write '{}': {reason} (see --report)",
        path.display()
    ))
}
