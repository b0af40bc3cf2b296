//! Time limits of a body or a websocket message: between two reads, and by the average rate. Times
//! are [running time](crate::server::fanout::Shard::running_time), so that a pause of the server
//! counts against no client.

use std::time::Duration;

use crate::server::config::ConnectionLimits;

/// The pace at which a body arrives.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Pace {
    since: Duration,
    received: u64,
}

impl Pace {
    /// Starts at the time `now`, without any bytes.
    pub(in crate::server) fn begin(now: Duration) -> Self {
        Self {
            since: now,
            received: 0,
        }
    }

    /// Adds bytes that have arrived.
    pub(in crate::server) fn add(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// Time limit for the next bytes: `body_timeout`, or less if the whole body would be slower
    /// than `min_body_rate`. The first `body_timeout` is not counted in the rate.
    pub(in crate::server) fn left(&self, now: Duration, limits: &ConnectionLimits) -> Duration {
        let timeout = limits.body_timeout;
        let Some(seconds) = self.received.checked_div(limits.min_body_rate) else {
            return timeout;
        };
        let max = timeout.saturating_add(Duration::from_secs(seconds));
        max.saturating_sub(now.saturating_sub(self.since))
            .min(timeout)
    }
}

/// A websocket message of which a part has arrived; empty if there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct ArrivingMessage(Option<Pace>);

impl ArrivingMessage {
    /// Ends the wait for a message; returns its pace.
    pub(in crate::server) fn take(&mut self) -> Option<Pace> {
        self.0.take()
    }

    /// Bytes that had arrived at the last update.
    pub(in crate::server) fn pending(self) -> usize {
        self.0.map_or(0, |pace| {
            usize::try_from(pace.received).unwrap_or(usize::MAX)
        })
    }

    /// Updates the number of bytes that have arrived; with the first bytes the time begins.
    pub(in crate::server) fn with_pending(self, pending: usize, now: Duration) -> Self {
        let since = self.0.map_or(now, |pace| pace.since);
        Self(Some(Pace {
            since,
            received: pending as u64,
        }))
    }

    /// Time limit for the next bytes.
    pub(in crate::server) fn left(
        self,
        now: Duration,
        limits: &ConnectionLimits,
    ) -> Option<Duration> {
        self.0.map(|pace| pace.left(now, limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_the_next_bytes_is_limited_by_time_out_and_rate() {
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
