//! The result of a run: its values and their JSON form.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::args::Args;
use super::clock;
use super::distribution::{Bar, Percentile, histogram, percentiles, rounded};
use super::machine::Machine;
use super::publish::Posted;
use super::results::{Latencies, Results};
use super::series::Series;
use crate::client::mode::Mode;

/// The result of a run. The field names are those of `--json`, and are stable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct BenchReport {
    /// Version of this program.
    pub pushctl: String,
    /// End of the run, UTC.
    pub finished: String,
    /// The server's URL, without credentials.
    pub server: String,
    /// The measuring machine.
    pub machine: Machine,
    /// Delivery mode.
    pub mode: String,
    /// Number of subscribers.
    pub subscribers: usize,
    /// Number of channels.
    pub channels: usize,
    /// Number of publishers.
    pub publishers: usize,
    /// Number of processes of the subscribers.
    pub processes: usize,
    /// Number of messages per channel, as requested.
    pub messages: u32,
    /// Size of a message in bytes.
    pub size: usize,
    /// Messages per second, as requested.
    pub rate: Option<f64>,
    /// Duration of the warm-up.
    pub warm_up_seconds: f64,
    /// Messages of the warm-up; they are not measured, but count as lost if they did not arrive.
    pub warm_up_published: u64,
    /// Connections per second, as requested.
    pub connect_rate: Option<f64>,
    /// True if all subscribers connected at once.
    pub storm: bool,
    /// Time until the server had all subscribers.
    pub connect_seconds: f64,
    /// Time from when a connection was due to the server's response.
    pub connect_ms: Latency,
    /// Messages that the server acknowledged.
    pub published: u64,
    /// Time from the first publish to the last acknowledgement.
    pub publish_seconds: f64,
    /// Maximum delay between due time and sending: how far the load fell behind its rate.
    pub behind_ms: f64,
    /// Acknowledged messages times their subscribers.
    pub expected: u64,
    /// Distinct messages that arrived, over all subscribers.
    pub delivered: u64,
    /// Time from the first publish to the last delivery.
    pub seconds: f64,
    /// `delivered / seconds`
    pub deliveries_per_second: f64,
    /// Time from when a message was due to its delivery.
    pub latency_ms: Latency,
    /// Messages that did not arrive.
    pub lost: u64,
    /// Messages that arrived more than once.
    pub duplicated: u64,
    /// Messages that arrived after a later one.
    pub reordered: u64,
    /// Messages that arrived with a different text.
    pub corrupt: u64,
    /// Subscribers whose connection ended.
    pub disconnected: u64,
    /// Histogram of delivery latencies.
    pub histogram: Vec<Bar>,
    /// Latencies at increasing quantiles.
    pub percentiles: Vec<Percentile>,
    /// Values over time.
    pub timeline: Timeline,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Latency {
    /// Minimum.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    /// Maximum.
    pub max: f64,
}

/// Values per interval since the first measured message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Timeline {
    /// Width of an interval.
    pub step_seconds: f64,
    /// Number of messages published.
    pub published: Vec<u64>,
    /// Number of messages delivered.
    pub delivered: Vec<u64>,
    /// Mean latency in milliseconds.
    pub mean_ms: Vec<f64>,
    /// Maximum latency in milliseconds.
    pub max_ms: Vec<f64>,
}

/// Parameters and times of a run, as input of the report.
pub(super) struct Measured<'a> {
    pub(super) args: &'a Args,
    pub(super) base: String,
    pub(super) processes: usize,
    /// Start of the run, on its clock.
    pub(super) start: u64,
    pub(super) connect_nanos: u64,
    /// Due time of the first measured message.
    pub(super) first: u64,
    pub(super) publish_nanos: u64,
}

impl BenchReport {
    pub(super) fn new(
        measured: &Measured<'_>,
        books: &Results,
        posted: &Posted,
        warm_up_published: u64,
    ) -> Self {
        let args = measured.args;
        let seconds = clock::seconds(books.last_delivery.saturating_sub(measured.first));
        Self {
            pushctl: env!("CARGO_PKG_VERSION").to_owned(),
            finished: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            server: measured.base.clone(),
            machine: Machine::here(),
            mode: mode_name(args.mode).to_owned(),
            subscribers: args.subscribers,
            channels: args.channels,
            publishers: args.publishers,
            processes: measured.processes,
            messages: args.messages,
            size: args.size,
            rate: args.rate,
            warm_up_seconds: args.warm_up.map_or(0.0, |time| time.as_secs_f64()),
            warm_up_published,
            connect_rate: args.connect_rate,
            storm: args.storm,
            connect_seconds: rounded(clock::seconds(measured.connect_nanos)),
            connect_ms: Latency::of(&books.connecting),
            published: posted.total(),
            publish_seconds: rounded(clock::seconds(measured.publish_nanos)),
            behind_ms: rounded(posted.behind.get() as f64 / 1e6),
            expected: posted.expected(args.subscribers),
            delivered: books.delivered,
            seconds: rounded(seconds),
            deliveries_per_second: if seconds > 0.0 {
                rounded(books.delivered as f64 / seconds)
            } else {
                0.0
            },
            latency_ms: Latency::of(&books.latency),
            lost: books.lost,
            duplicated: books.duplicated,
            reordered: books.reordered,
            corrupt: books.corrupt,
            disconnected: books.disconnected,
            histogram: histogram(&books.latency),
            percentiles: percentiles(&books.latency),
            timeline: Timeline::new(
                measured.first - measured.start,
                &books.series,
                &posted.series.borrow(),
            ),
        }
    }

    /// True if every subscriber received every message once, whole and in order.
    #[must_use]
    pub(super) fn is_faultless(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.reordered == 0 && self.corrupt == 0
    }

    /// Formats the report as one line of JSON.
    #[must_use]
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and strings always make JSON")
    }
}

impl Latency {
    fn of(latencies: &Latencies) -> Self {
        let at = |quantile| latencies.milliseconds_at(quantile);
        Self {
            min: latencies.min(),
            mean: rounded(latencies.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: latencies.max(),
        }
    }

    /// Names and values of the percentiles.
    #[must_use]
    pub(super) fn values(&self) -> [(&'static str, f64); 7] {
        [
            ("min", self.min),
            ("mean", self.mean),
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p99_9),
            ("max", self.max),
        ]
    }
}

impl Timeline {
    /// Starts at the first measured message; both series start with the run.
    fn new(first: u64, delivered: &Series, published: &Series) -> Self {
        let width = delivered.width_nanos.max(published.width_nanos);
        let delivered = delivered.clone().widened(width);
        let published = published.clone().widened(width);
        let skipped = (first / width) as usize;
        let delivered = delivered.steps.get(skipped..).unwrap_or(&[]);
        let published = published.steps.get(skipped..).unwrap_or(&[]);
        let milliseconds = |nanos: f64| rounded(nanos / 1e6);
        Self {
            step_seconds: clock::seconds(width),
            published: published.iter().map(|step| step.count).collect(),
            delivered: delivered.iter().map(|step| step.count).collect(),
            mean_ms: delivered
                .iter()
                .map(|step| milliseconds(step.sum_nanos as f64 / step.count.max(1) as f64))
                .collect(),
            max_ms: delivered
                .iter()
                .map(|step| milliseconds(step.max_nanos as f64))
                .collect(),
        }
    }
}

/// The name of a mode on the command line.
fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Lp => "lp",
        Mode::Ws => "ws",
        Mode::Ev => "ev",
        Mode::Stream => "stream",
        Mode::Poll => "poll",
    }
}
