//! The results of one process, in a form that can be serialised and summed exactly. Does no I/O.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::series::Series;

/// Longest recorded latency: one hour. Longer ones count as this.
const MAX_NANOS: u64 = 3600 * 1_000_000_000;

/// Latencies in nanoseconds, to three digits.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(
            Histogram::new_with_max(MAX_NANOS, 3)
                .expect("three digits of an hour in nanoseconds are representable"),
        )
    }
}

impl Latencies {
    pub(super) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("all histograms have the same bounds");
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Returns the latency at a quantile, in milliseconds.
    pub(super) fn milliseconds_at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }

    pub(super) fn min(&self) -> f64 {
        if self.0.is_empty() {
            0.0
        } else {
            self.0.min() as f64 / 1e6
        }
    }

    pub(super) fn max(&self) -> f64 {
        self.0.max() as f64 / 1e6
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.mean() / 1e6
    }

    /// Returns the recorded values in nanoseconds with their counts.
    pub(super) fn counts(&self) -> Vec<(u64, u64)> {
        self.0
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect()
    }
}

/// Serialised as values with counts: all histograms have the same bounds, so nothing is lost.
impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.counts().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latencies = Self::default();
        for (nanos, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            latencies.0.saturating_record_n(nanos, count);
        }
        Ok(latencies)
    }
}

/// The results of one process, or of all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Results {
    /// Distinct messages that arrived, without the warm-up.
    pub(super) delivered: u64,
    /// Messages that did not arrive, including the warm-up.
    pub(super) lost: u64,
    /// Messages that arrived more than once.
    pub(super) duplicated: u64,
    /// Messages that arrived after a later one.
    pub(super) reordered: u64,
    /// Messages that arrived damaged.
    pub(super) corrupt: u64,
    /// Subscribers whose connection ended.
    pub(super) disconnected: u64,
    /// Time of the last delivery, in nanoseconds of the run's clock.
    pub(super) last_delivery: u64,
    /// Time from when a message was due to its delivery.
    pub(super) latency: Latencies,
    /// Time from the start of a connection to the server's response.
    pub(super) connecting: Latencies,
    /// Deliveries over time.
    pub(super) series: Series,
}

impl Results {
    /// Adds the results of another process.
    pub(super) fn merge(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.disconnected += other.disconnected;
        self.last_delivery = self.last_delivery.max(other.last_delivery);
        self.latency.merge(&other.latency);
        self.connecting.merge(&other.connecting);
        self.series.merge(other.series);
    }
}

/// Progress of a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Subscribers whose request was sent.
    pub(super) requested: usize,
    /// Subscribers with a response.
    pub(super) responded: usize,
    /// Distinct messages that arrived, without the warm-up.
    pub(super) delivered: u64,
    /// Distinct messages of the warm-up that arrived.
    pub(super) warmed: u64,
    /// Subscribers whose connection ended.
    pub(super) disconnected: u64,
}

impl Tally {
    /// Returns the sum of both.
    pub(super) fn plus(self, other: &Self) -> Self {
        Self {
            requested: self.requested + other.requested,
            responded: self.responded + other.responded,
            delivered: self.delivered + other.delivered,
            warmed: self.warmed + other.warmed,
            disconnected: self.disconnected + other.disconnected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_survive_the_way_between_processes() {
        let mut all = Latencies::default();
        let mut parts = [Latencies::default(), Latencies::default()];
        for n in 1..20_000_u64 {
            let nanos = n * n * 7919 % 10_000_000_000;
            all.record(nanos);
            parts[(n % 2) as usize].record(nanos);
        }
        let mut merged = Latencies::default();
        for part in parts {
            let sent = serde_json::to_string(&part).expect("numbers make JSON");
            merged.merge(&serde_json::from_str(&sent).expect("what was written is read"));
        }
        assert_eq!((merged.counts(), merged.len()), (all.counts(), all.len()));
        for quantile in [0.0, 0.5, 0.99, 0.999, 1.0] {
            assert_eq!(
                merged.milliseconds_at(quantile),
                all.milliseconds_at(quantile),
                "{quantile}"
            );
        }
        assert_eq!((merged.max(), merged.min()), (all.max(), all.min()));
    }
}
