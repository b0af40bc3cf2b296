//! Detection of silent connections. Does no I/O; the caller passes the time.
//!
//! An endless connection may be silent for hours because there are no messages, or because a proxy
//! buffers the response, or because the peer has vanished. With servers that send pings these cases
//! differ: the time between two consecutive pings is their interval, and a connection counts as
//! broken after two and a half intervals without data. Before the interval is known a silence is no
//! error, unless the user set a limit, or another mode can be tried and no data has arrived yet.

use std::time::{Duration, Instant};

/// How long an endless response may be without data while another mode can be tried: the built-in
/// locations send their first bytes at once and a ping every 10 s.
pub(super) const FIRST_BYTES: Duration = Duration::from_secs(15);
/// Minimum tolerance for a late ping, for short intervals.
const LEAST_SLACK: Duration = Duration::from_secs(2);
/// Number of connections in a row without a ping after which the interval is discarded.
const FORGET_AFTER: u32 = 3;

/// When data arrived on the current connection and on those before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// Limit set by the user; zero for none.
    limit: Option<Duration>,
    /// Time between two pings, once it is known.
    interval: Option<Duration>,
    /// When data last arrived.
    last: Instant,
    /// When the last ping arrived, if no other data arrived after it.
    last_ping: Option<Instant>,
    /// Data arrived on this connection.
    has_heard: bool,
    /// Number of pings on this connection.
    pings: u32,
    /// Connections in a row without a ping.
    without_pings: u32,
}

impl Silence {
    /// Creates the state before the first connection.
    #[must_use]
    pub(super) fn new(limit: Option<Duration>, now: Instant) -> Self {
        Self {
            limit,
            interval: None,
            last: now,
            last_ping: None,
            has_heard: false,
            pings: 0,
            without_pings: 0,
        }
    }

    /// Records that a connection is requested.
    pub(super) fn record_request(&mut self, now: Instant) {
        (self.last, self.last_ping, self.has_heard) = (now, None, false);
        self.without_pings = if self.pings == 0 {
            self.without_pings + 1
        } else {
            0
        };
        self.pings = 0;
        if self.without_pings >= FORGET_AFTER {
            self.interval = None;
        }
    }

    /// Records a response head.
    pub(super) fn record_response(&mut self, now: Instant) {
        self.last = now;
    }

    /// Records a message, or other data that is not a ping.
    pub(super) fn record_data(&mut self, now: Instant) {
        (self.last, self.last_ping, self.has_heard) = (now, None, true);
    }

    /// Records a ping. The first one may be the greeting of a response, which is not periodic.
    pub(super) fn record_ping(&mut self, now: Instant) {
        if let Some(before) = self.last_ping.filter(|_| self.pings > 1) {
            self.interval = self.interval.max(Some(now.duration_since(before)));
        }
        (self.last, self.last_ping, self.has_heard) = (now, Some(now), true);
        self.pings = self.pings.saturating_add(1);
    }

    /// True if no data after the head arrived on this connection.
    #[must_use]
    pub(super) fn is_total(&self) -> bool {
        !self.has_heard
    }

    /// Returns how long the connection may be silent; `has_alternative` if another mode can be
    /// tried.
    #[must_use]
    pub(super) fn limit_with(&self, has_alternative: bool) -> Option<Duration> {
        match (self.limit, self.interval) {
            (Some(limit), _) => Some(limit).filter(|limit| !limit.is_zero()),
            (None, Some(interval)) => Some((interval * 5 / 2).max(interval + LEAST_SLACK)),
            (None, None) => Some(FIRST_BYTES).filter(|_| has_alternative && !self.has_heard),
        }
    }

    /// Returns when the connection counts as broken if no data arrives.
    #[must_use]
    pub(super) fn deadline(&self, has_alternative: bool) -> Option<Instant> {
        self.last.checked_add(self.limit_with(has_alternative)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn two_consecutive_pings_define_the_interval() {
        let start = Instant::now();
        let at = |seconds: u32| start + SECOND * seconds;
        let mut silence = Silence::new(None, start);
        silence.record_request(start);
        // The greeting, a ping soon after it, a message between two pings.
        silence.record_ping(at(0));
        silence.record_ping(at(1));
        silence.record_data(at(5));
        silence.record_ping(at(11));
        assert_eq!(silence.limit_with(false), None);
        silence.record_ping(at(21));
        assert_eq!(silence.limit_with(false), Some(SECOND * 25));
        silence.record_request(at(30));
        assert_eq!(
            silence.deadline(false),
            Some(at(55)),
            "the next connection is measured by it"
        );
        for _ in 0..FORGET_AFTER {
            silence.record_request(at(60));
        }
        assert_eq!(
            silence.limit_with(false),
            None,
            "the server sends no pings any more"
        );
    }

    #[test]
    fn without_pings_only_an_alternative_or_a_limit_ends_a_silence() {
        let start = Instant::now();
        let mut silence = Silence::new(None, start);
        assert_eq!(
            (silence.limit_with(false), silence.limit_with(true)),
            (None, Some(FIRST_BYTES))
        );
        silence.record_data(start);
        assert_eq!(silence.limit_with(true), None);
        assert_eq!(
            Silence::new(Some(SECOND), start).limit_with(false),
            Some(SECOND)
        );
        assert_eq!(
            Silence::new(Some(Duration::ZERO), start).limit_with(true),
            None
        );
    }
}
