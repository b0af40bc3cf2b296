//! The results of a run: counts and latencies.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::mark::Faults;

/// Counts of a run.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Time of the run.
    pub wall: Duration,
    /// Messages sent.
    pub published: u64,
    /// Messages whose request was acknowledged.
    pub acknowledged: u64,
    /// Requests that failed.
    pub publish_errors: u64,
    /// Messages received.
    pub delivered: u64,
    /// Messages expected.
    pub expected: u64,
    /// Faults in the numbers.
    pub faults: Faults,
    /// There was one publisher, so the order is checked.
    pub is_ordered: bool,
    /// Bytes received.
    pub bytes: u64,
    /// Connections of subscribers that the server closed.
    pub closed: u64,
    /// Subscribers that were rejected.
    pub refused: u64,
    /// Reconnects of stuck subscribers.
    pub returned: u64,
    /// Time from when a message was due to its arrival, in microseconds.
    pub latency: Histogram<u64>,
    /// Time from when a publish was due to its response, in microseconds.
    pub publish_latency: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || {
            let mut histogram =
                Histogram::new_with_max(3_600_000_000, 2).expect("the bounds are valid");
            histogram.auto(true);
            histogram
        };
        Self {
            wall: Duration::ZERO,
            published: 0,
            acknowledged: 0,
            publish_errors: 0,
            delivered: 0,
            expected: 0,
            faults: Faults::default(),
            is_ordered: false,
            bytes: 0,
            closed: 0,
            refused: 0,
            returned: 0,
            latency: histogram(),
            publish_latency: histogram(),
        }
    }
}

impl Tally {
    /// A quantile of the latency in milliseconds.
    #[must_use]
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// A quantile of the publish latency in milliseconds.
    #[must_use]
    pub fn publish_ms(&self, quantile: f64) -> f64 {
        self.publish_latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// The faults; empty if there were none.
    #[must_use]
    pub fn faults(&self) -> String {
        let missing = self.expected.saturating_sub(self.delivered);
        let counts = [
            (missing, "missing"),
            (self.faults.lost, "lost"),
            (self.faults.repeated, "repeated"),
            (
                if self.is_ordered {
                    self.faults.reordered
                } else {
                    0
                },
                "reordered",
            ),
            (self.publish_errors, "publish errors"),
            (self.refused, "refused"),
            (self.closed, "closed"),
        ];
        let wrong: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        wrong.join(", ")
    }
}
