//! The result of a run: the numbers, and their form for machines.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Args;
use super::clock;
use super::machine::Machine;
use super::publish::Posted;
use super::results::{Latencies, Results};
use super::series::Series;
use crate::client::Mode;

/// What was measured. The field names are those of `--json`, and stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    /// Release of this program.
    pub pushctl: String,
    /// When the run ended, UTC.
    pub finished: String,
    /// The server, without credentials.
    pub server: String,
    /// The machine that measured.
    pub machine: Machine,
    /// How messages were delivered.
    pub mode: String,
    /// Subscribers.
    pub subscribers: usize,
    /// Channels they were spread over.
    pub channels: usize,
    /// Publishers.
    pub publishers: usize,
    /// Processes that the subscribers were spread over.
    pub processes: usize,
    /// Messages per channel that were asked for.
    pub messages: u32,
    /// Bytes of a message.
    pub size: usize,
    /// Messages per second that were asked for.
    pub rate: Option<f64>,
    /// Length of the warm-up.
    pub warm_up_seconds: f64,
    /// Messages of the warm-up; they are not measured, but counted as lost if they did not come.
    pub warm_up_published: u64,
    /// Connections per second that were asked for.
    pub connect_rate: Option<f64>,
    /// True if all connected at once.
    pub storm: bool,
    /// Time until the server had all subscribers.
    pub connect_seconds: f64,
    /// Time from when a connection was due to the server's answer.
    pub connect_ms: Latency,
    /// Messages that the server acknowledged.
    pub published: u64,
    /// Time from the first publish to the last acknowledgement.
    pub publish_seconds: f64,
    /// Longest time by which a message was sent after it was due: how far the load fell behind its
    /// rate.
    pub behind_ms: f64,
    /// Acknowledged messages times their subscribers.
    pub expected: u64,
    /// Different messages that arrived, over all subscribers.
    pub delivered: u64,
    /// Time from the first publish to the last delivery.
    pub seconds: f64,
    /// `delivered / seconds`
    pub deliveries_per_second: f64,
    /// Time from when a message was due to its delivery.
    pub latency_ms: Latency,
    /// Messages that never arrived.
    pub lost: u64,
    /// Messages that arrived again.
    pub duplicated: u64,
    /// Messages that arrived after a later one.
    pub reordered: u64,
    /// Messages that arrived, but with another text than was published.
    pub corrupt: u64,
    /// Subscribers whose connection ended.
    pub disconnected: u64,
    /// How many deliveries took how long.
    pub histogram: Vec<Bar>,
    /// Latencies at finer and finer quantiles.
    pub percentiles: Vec<Percentile>,
    /// The course of the measurement.
    pub timeline: Timeline,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Latency {
    /// The shortest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 of 100 are at most this.
    pub p90: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// 999 of 1000 are at most this.
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

/// A bar of the histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Bar {
    /// Latencies above this, in milliseconds,
    pub from_ms: f64,
    /// up to this.
    pub to_ms: f64,
    /// How many there are.
    pub count: u64,
}

/// A point of the curve of percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Percentile {
    /// `0.99` for the 99th percentile.
    pub quantile: f64,
    /// Latency in milliseconds.
    pub ms: f64,
}

/// Numbers for each step of time since the first measured message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Timeline {
    /// Width of a step.
    pub step_seconds: f64,
    /// Messages published.
    pub published: Vec<u64>,
    /// Messages delivered.
    pub delivered: Vec<u64>,
    /// Mean latency of those, in milliseconds.
    pub mean_ms: Vec<f64>,
    /// Longest latency of those, in milliseconds.
    pub max_ms: Vec<f64>,
}

/// What a report is made of, besides the books.
pub(super) struct Measured<'a> {
    pub(super) args: &'a Args,
    pub(super) base: String,
    pub(super) processes: usize,
    /// When the run started, on its clock.
    pub(super) start: u64,
    pub(super) connect_nanos: u64,
    /// When the first measured message was due.
    pub(super) first: u64,
    pub(super) publish_nanos: u64,
}

impl Report {
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

    /// True if every subscriber got every message once, whole and in order.
    #[must_use]
    pub(super) fn is_faultless(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.reordered == 0 && self.corrupt == 0
    }

    /// One line of JSON.
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

    /// The names and values.
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
    /// From the first measured message on; both series begin with the run.
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

/// Bars whose bounds follow each other by 1, 2, 5, 10, so that a long tail is seen as well as the
/// bulk.
fn histogram(latencies: &Latencies) -> Vec<Bar> {
    let bound = |index: i32| {
        [1.0, 1.5, 2.0, 3.0, 5.0, 7.0][index.rem_euclid(6) as usize]
            * 10_f64.powi(index.div_euclid(6))
    };
    let mut bars: Vec<Bar> = Vec::new();
    // A microsecond is below anything that goes over a network.
    let mut index = -18;
    for (nanos, count) in latencies.counts() {
        let ms = nanos as f64 / 1e6;
        while bound(index + 1) < ms {
            index += 1;
            if !bars.is_empty() {
                bars.push(Bar {
                    from_ms: bound(index),
                    to_ms: bound(index + 1),
                    count: 0,
                });
            }
        }
        if bars.is_empty() {
            bars.push(Bar {
                from_ms: if index == -18 { 0.0 } else { bound(index) },
                to_ms: bound(index + 1),
                count: 0,
            });
        }
        if let Some(bar) = bars.last_mut() {
            bar.count += count;
        }
    }
    bars.into_iter()
        .map(|bar| Bar {
            from_ms: rounded(bar.from_ms),
            to_ms: rounded(bar.to_ms),
            count: bar.count,
        })
        .collect()
}

fn percentiles(latencies: &Latencies) -> Vec<Percentile> {
    if latencies.len() == 0 {
        return Vec::new();
    }
    // Nothing finer than one of all deliveries.
    let finest = 1.0 - 1.0 / latencies.len() as f64;
    let coarse = (0..10).map(|tenth| f64::from(tenth) / 10.0);
    let fine = (1..8).flat_map(|digits| {
        [0.25, 0.5, 0.75, 1.0].map(|part| 1.0 - 10_f64.powi(-digits) * (1.0 - 0.9 * part))
    });
    let quantiles = coarse
        .chain(fine.filter(|quantile| *quantile <= finest))
        .chain([1.0]);
    quantiles
        .map(|quantile| Percentile {
            quantile: (quantile * 1e9).round() / 1e9,
            ms: latencies.milliseconds_at(quantile),
        })
        .collect()
}

/// The name of a mode as on the command line.
fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Lp => "lp",
        Mode::Ws => "ws",
        Mode::Ev => "ev",
        Mode::Stream => "stream",
        Mode::Poll => "poll",
    }
}

/// `number` to six places: no clock is better than that.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_everything_once() {
        let mut latencies = Latencies::default();
        [100_000, 120_000, 149_000, 2_500_000, 2_600_000, 90_000_000]
            .iter()
            .for_each(|nanos| latencies.record(*nanos));
        let bars = histogram(&latencies);
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 6);
        assert!(
            bars.windows(2).all(|pair| pair[0].to_ms == pair[1].from_ms),
            "{bars:?}"
        );
        let full: Vec<_> = bars
            .iter()
            .filter(|bar| bar.count > 0)
            .map(|bar| (bar.from_ms, bar.to_ms, bar.count))
            .collect();
        assert_eq!(
            full,
            [
                (0.07, 0.1, 0),
                (0.1, 0.15, 3),
                (2.0, 3.0, 2),
                (70.0, 100.0, 1)
            ][1..]
        );
        assert_eq!(histogram(&Latencies::default()), []);
    }

    #[test]
    fn percentiles_rise_and_end_with_the_longest() {
        let mut latencies = Latencies::default();
        (1..=1000).for_each(|n| latencies.record(n * 1000));
        let curve = percentiles(&latencies);
        assert!(
            curve
                .windows(2)
                .all(|pair| pair[0].quantile < pair[1].quantile && pair[0].ms <= pair[1].ms),
            "{curve:?}"
        );
        assert_eq!(
            curve.last().map(|point| (point.quantile, point.ms)),
            Some((1.0, latencies.max()))
        );
    }
}
