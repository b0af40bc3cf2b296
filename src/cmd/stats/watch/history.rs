//! Samples of the view: rates are differences between two responses. Does no I/O.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::client::statistics::{ChannelInfo, Summary};

/// Number of samples for the curves: the columns of a wide terminal.
const SAMPLES: usize = 512;

/// A response of the server.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// When the response arrived.
    pub(super) at: Instant,
    /// The server's counters, if available.
    pub(super) summary: Option<Summary>,
    /// The server's channels.
    pub(super) channels: Vec<ChannelInfo>,
    /// The server lists its channels; otherwise they are unknown (NHPM and nchan).
    pub(super) lists_channels: bool,
}

impl Sample {
    /// Subscribers, published and stored messages: of the server, or else the sum of the channels.
    fn totals(&self) -> [u64; 3] {
        let sum = |count: fn(&ChannelInfo) -> u64| self.channels.iter().map(count).sum();
        match &self.summary {
            Some(summary) => [
                summary.subscribers,
                summary.published_messages,
                summary.stored_messages,
            ],
            None => [
                sum(|info| info.subscribers),
                sum(|info| info.published_messages),
                sum(|info| info.stored_messages),
            ],
        }
    }
}

/// Curves and rates.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The latest response.
    pub(super) last: Option<Sample>,
    /// Subscribers over time, the latest at the end.
    pub(super) subscribers: VecDeque<u64>,
    /// Messages published per second over time, in thousandths.
    pub(super) published: VecDeque<u64>,
    /// Stored messages over time.
    pub(super) stored: VecDeque<u64>,
    /// Messages per second of the active channels.
    rates: HashMap<String, f64>,
    /// Messages per second of all channels.
    pub(super) rate: f64,
}

impl History {
    /// Records a response. A counter that decreased means that the server was restarted: then there
    /// is no rate.
    pub(super) fn enter(&mut self, sample: Sample) {
        let [subscribers, published, stored] = sample.totals();
        self.rates.clear();
        self.rate = 0.0;
        if let Some(last) = &self.last {
            let seconds = sample
                .at
                .saturating_duration_since(last.at)
                .max(Duration::from_millis(1))
                .as_secs_f64();
            self.rate = published.saturating_sub(last.totals()[1]) as f64 / seconds;
            let before: HashMap<&str, u64> = last
                .channels
                .iter()
                .map(|info| (info.channel.as_str(), info.published_messages))
                .collect();
            let rate = |info: &ChannelInfo| {
                // A new channel has published all its messages since the last sample.
                let old = before.get(info.channel.as_str()).copied().unwrap_or(0);
                let new = info.published_messages.saturating_sub(old);
                (new > 0).then(|| (info.channel.clone(), new as f64 / seconds))
            };
            self.rates = sample.channels.iter().filter_map(rate).collect();
            push(&mut self.published, (self.rate * 1e3) as u64);
        }
        push(&mut self.subscribers, subscribers);
        push(&mut self.stored, stored);
        self.last = Some(sample);
    }

    /// Messages per second of a channel.
    pub(super) fn rate_of(&self, channel: &str) -> f64 {
        self.rates.get(channel).copied().unwrap_or(0.0)
    }
}

fn push(curve: &mut VecDeque<u64>, value: u64) {
    if curve.len() == SAMPLES {
        curve.pop_front();
    }
    curve.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, counts: &[(&str, u64)]) -> Sample {
        let info = |(channel, published_messages): &(&str, u64)| ChannelInfo {
            channel: (*channel).to_owned(),
            published_messages: *published_messages,
            subscribers: 2,
            ..ChannelInfo::default()
        };
        Sample {
            at,
            summary: None,
            channels: counts.iter().map(info).collect(),
            lists_channels: true,
        }
    }

    #[test]
    fn rates_are_differences_over_time() {
        let mut history = History::default();
        let start = Instant::now();
        history.enter(sample(start, &[("a", 10), ("b", 5)]));
        assert_eq!((history.rate, history.published.len()), (0.0, 0));
        history.enter(sample(
            start + Duration::from_secs(2),
            &[("a", 30), ("b", 5), ("c", 4)],
        ));
        assert_eq!(
            (
                history.rate,
                history.rate_of("a"),
                history.rate_of("b"),
                history.rate_of("c")
            ),
            (12.0, 10.0, 0.0, 2.0)
        );
        history.enter(sample(start + Duration::from_secs(3), &[("a", 1)]));
        assert_eq!(
            (history.rate, history.rate_of("a")),
            (0.0, 0.0),
            "the server was restarted"
        );
        assert_eq!((history.subscribers.len(), history.published.len()), (3, 2));
    }

    #[test]
    fn curves_do_not_grow_for_ever() {
        let mut history = History::default();
        let start = Instant::now();
        (0..2 * SAMPLES as u64)
            .for_each(|n| history.enter(sample(start + Duration::from_secs(n), &[("a", n)])));
        assert_eq!(
            (history.subscribers.len(), history.published.len()),
            (SAMPLES, SAMPLES)
        );
    }
}
