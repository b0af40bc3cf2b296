//! Arguments of `bench`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};

use super::limits::Processes;
use super::stamp;
use crate::client::Mode;
use crate::cmd::args;
use crate::cmd::assertion::{self, Conditions};
use crate::cmd::exit::exit_codes;

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
    pub(super) subscribers: usize,
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
    pub(super) channels: usize,
    /// Delivery mode
    #[arg(short, long, default_value = "ev", value_parser = modes())]
    pub(super) mode: Mode,
    /// Number of messages per channel
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        value_parser = clap::value_parser!(u32).range(1..=100_000_000)
    )]
    pub(super) messages: u32,
    /// Size of a message in bytes
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "100",
        value_parser = RangedU64ValueParser::<usize>::new()
            .range(stamp::STAMP_BYTES as u64..=16 << 20)
    )]
    pub(super) size: usize,
    /// Messages per second in total [default: unlimited]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Number of publishers
    ///
    /// Each has one message in flight.
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000)
    )]
    pub(super) publishers: usize,
    /// Publish for this long before the measurement
    ///
    /// These messages must arrive like all others, but their latency is not counted.
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    pub(super) warm_up: Option<Duration>,
    /// Time limit of each phase
    ///
    /// Limits the time to connect all subscribers, the time for the response to each message, and
    /// the time until all messages are delivered. Messages that have not arrived by then are
    /// reported as lost. If a response is missing, the measurements up to then are reported and the
    /// exit code is 6.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = args::duration)]
    pub(super) timeout: Duration,
    /// Connections per second [default: as fast as the server accepts them]
    #[arg(
        long,
        value_name = "N",
        value_parser = rate,
        help_heading = "Connections",
        hide_short_help = true
    )]
    pub(super) connect_rate: Option<f64>,
    /// Connect all subscribers at once, without waiting for responses
    #[arg(
        long,
        conflicts_with = "connect_rate",
        help_heading = "Connections",
        hide_short_help = true
    )]
    pub(super) storm: bool,
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
    pub(super) processes: Processes,
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
    pub(super) bind: Vec<IpAddr>,
    /// Print the result as one line of JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Write a self-contained HTML page with charts
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    pub(super) report: Option<PathBuf>,
    /// Compare with an earlier result of --json
    #[arg(long, value_name = "OLD.json", help_heading = "Output")]
    pub(super) compare: Option<PathBuf>,
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
    pub(super) assert: Option<Conditions>,
    #[command(flatten)]
    pub(crate) server: args::ServerOptions,
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
