//! The result of a run, for people and for machines.

use serde::Serialize;

use crate::cmd::table::Table;

/// What was measured. The field names are those of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How messages were delivered.
    pub mode: &'static str,
    /// Subscribers.
    pub subscribers: usize,
    /// Channels they were spread over.
    pub channels: usize,
    /// Publishers.
    pub publishers: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages per second that were asked for.
    pub rate: Option<f64>,
    /// Time until the server had all subscribers.
    pub connect_seconds: f64,
    /// Messages that the server acknowledged.
    pub published: u64,
    /// Time from the first publish to the last acknowledgement.
    pub publish_seconds: f64,
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
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
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

impl Report {
    /// True if every subscriber got every message once, whole and in order.
    #[must_use]
    pub fn is_faultless(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.reordered == 0 && self.corrupt == 0
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and strings always make JSON")
    }

    /// A table of names and values.
    #[must_use]
    pub fn to_text(&self) -> String {
        let latency = &self.latency_ms;
        let mut table = Table::default();
        let rows = [
            ("mode", self.mode.to_owned()),
            ("subscribers", self.subscribers.to_string()),
            ("channels", self.channels.to_string()),
            ("publishers", self.publishers.to_string()),
            ("connected in", format!("{:.3} s", self.connect_seconds)),
            ("published", format!("{} in {:.3} s", self.published, self.publish_seconds)),
            ("delivered", format!("{} of {} in {:.3} s", self.delivered, self.expected, self.seconds)),
            ("deliveries per second", format!("{:.0}", self.deliveries_per_second)),
            ("latency p50", format!("{:.3} ms", latency.p50)),
            ("latency p90", format!("{:.3} ms", latency.p90)),
            ("latency p99", format!("{:.3} ms", latency.p99)),
            ("latency p99.9", format!("{:.3} ms", latency.p99_9)),
            ("latency max", format!("{:.3} ms", latency.max)),
            ("lost", self.lost.to_string()),
            ("duplicated", self.duplicated.to_string()),
            ("reordered", self.reordered.to_string()),
            ("corrupt", self.corrupt.to_string()),
            ("disconnected", self.disconnected.to_string()),
        ];
        for (name, value) in rows {
            table.row(&[name.to_owned(), value]);
        }
        table.render()
    }
}
