//! How fast a body or a websocket message has to come: the time between two reads, and bytes per
//! second on average. Times are [served time](crate::server::fanout::Shard::served_time), so that a
//! pause of the server counts against nobody.

use std::time::Duration;

use crate::server::config::ConnectionLimits;

/// How a body comes in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    since: Duration,
    received: u64,
}

impl Pace {
    /// Nothing has come at the time `now`.
    pub(super) fn begin(now: Duration) -> Self {
        Self {
            since: now,
            received: 0,
        }
    }

    /// Further bytes have come.
    pub(super) fn add(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// How long the next bytes may take: `body_timeout`, and less if the body as a whole would be
    /// slower than `min_body_rate`, not counting the first `body_timeout`.
    pub(super) fn left(&self, now: Duration, limits: &ConnectionLimits) -> Duration {
        let timeout = limits.body_timeout;
        let Some(seconds) = self.received.checked_div(limits.min_body_rate) else {
            return timeout;
        };
        let most = timeout.saturating_add(Duration::from_secs(seconds));
        most.saturating_sub(now.saturating_sub(self.since))
            .min(timeout)
    }
}

/// A websocket message of which a part has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ArrivingMessage(Option<Pace>);

impl ArrivingMessage {
    /// Nothing is awaited any more; what was.
    pub(super) fn take(&mut self) -> Option<Pace> {
        self.0.take()
    }

    /// Bytes that were here when it was looked at last.
    pub(super) fn pending(self) -> usize {
        self.0.map_or(0, |pace| {
            usize::try_from(pace.received).unwrap_or(usize::MAX)
        })
    }

    /// The same with so many bytes; it begins now if there were none.
    pub(super) fn of(self, pending: usize, now: Duration) -> Self {
        let since = self.0.map_or(now, |pace| pace.since);
        Self(Some(Pace {
            since,
            received: pending as u64,
        }))
    }

    /// How long the next bytes may take.
    pub(super) fn left(self, now: Duration, limits: &ConnectionLimits) -> Option<Duration> {
        self.0.map(|pace| pace.left(now, limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_time_between_two_reads_and_no_more_than_its_rate_allows() {
        let seconds = Duration::from_secs;
        let mut limits = ConnectionLimits {
            body_timeout: seconds(10),
            min_body_rate: 100,
            ..ConnectionLimits::default()
        };
        let mut pace = Pace::begin(seconds(1000));
        pace.add(500);
        for (now, left) in [
            (1000, 10),
            (1005, 10),
            (1006, 9),
            (1014, 1),
            (1015, 0),
            (1100, 0),
            (999, 10),
        ] {
            assert_eq!(pace.left(seconds(now), &limits), seconds(left), "{now}");
        }
        limits.min_body_rate = 0;
        assert_eq!(pace.left(seconds(2000), &limits), seconds(10));
    }
}
