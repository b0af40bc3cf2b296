//! When a silent connection counts as broken. Pure; the clock comes from the caller.
//!
//! An endless connection may be silent for hours because nobody publishes, or because a proxy holds
//! back what comes or a peer has vanished. Servers that send pings show the difference: two pings
//! in a row, with nothing between them, tell their interval. A connection is given up after two and
//! a half intervals. Before an interval is known a silence means nothing, unless the user set a
//! limit, or another mode could be tried and nothing at all has come yet.

use std::time::{Duration, Instant};

/// How long an endless response may bring nothing at all while there is another mode to try: the
/// built-in locations send their first bytes at once and a ping every 10 s.
pub const FIRST_BYTES: Duration = Duration::from_secs(15);
/// A late ping is no broken connection, however short the interval is.
const LEAST_SLACK: Duration = Duration::from_secs(2);
/// Connections in a row without any ping after which a server is taken to send none any more.
const FORGET_AFTER: u32 = 3;

/// What was heard of a connection and of those before it.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// The user's limit; zero for none.
    limit: Option<Duration>,
    /// The time between two pings, once it is known.
    interval: Option<Duration>,
    /// When something was last heard.
    last: Instant,
    /// The last ping, if nothing else came after it.
    last_ping: Option<Instant>,
    /// Something was heard over this connection.
    has_heard: bool,
    /// Pings over this connection.
    pings: u32,
    /// Connections in a row that brought no ping.
    without_pings: u32,
}

impl Silence {
    /// Nothing was heard yet.
    #[must_use]
    pub fn new(limit: Option<Duration>, now: Instant) -> Self {
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

    /// A connection is requested.
    pub fn connecting(&mut self, now: Instant) {
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

    /// The head of a response came.
    pub fn answered(&mut self, now: Instant) {
        self.last = now;
    }

    /// A message came, or something else that is no ping.
    pub fn heard(&mut self, now: Instant) {
        (self.last, self.last_ping, self.has_heard) = (now, None, true);
    }

    /// A ping came. The first one may be the greeting of a response, whose time shows nothing.
    pub fn pinged(&mut self, now: Instant) {
        if let Some(before) = self.last_ping.filter(|_| self.pings > 1) {
            self.interval = self.interval.max(Some(now.duration_since(before)));
        }
        (self.last, self.last_ping, self.has_heard) = (now, Some(now), true);
        self.pings = self.pings.saturating_add(1);
    }

    /// True if nothing but perhaps a head has come over this connection.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.has_heard
    }

    /// How long the connection may be silent; `has_alternative` if another mode could be tried.
    #[must_use]
    pub fn allowed(&self, has_alternative: bool) -> Option<Duration> {
        match (self.limit, self.interval) {
            (Some(limit), _) => Some(limit).filter(|limit| !limit.is_zero()),
            (None, Some(interval)) => Some((interval * 5 / 2).max(interval + LEAST_SLACK)),
            (None, None) => Some(FIRST_BYTES).filter(|_| has_alternative && !self.has_heard),
        }
    }

    /// When the connection is given up if nothing comes.
    #[must_use]
    pub fn deadline(&self, has_alternative: bool) -> Option<Instant> {
        self.last.checked_add(self.allowed(has_alternative)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn two_pings_in_a_row_tell_the_interval() {
        let start = Instant::now();
        let at = |seconds: u32| start + SECOND * seconds;
        let mut silence = Silence::new(None, start);
        silence.connecting(start);
        // The greeting, a ping soon after it, a message between two pings.
        silence.pinged(at(0));
        silence.pinged(at(1));
        silence.heard(at(5));
        silence.pinged(at(11));
        assert_eq!(silence.allowed(false), None);
        silence.pinged(at(21));
        assert_eq!(silence.allowed(false), Some(SECOND * 25));
        silence.connecting(at(30));
        assert_eq!(
            silence.deadline(false),
            Some(at(55)),
            "the next connection is measured by it"
        );
        for _ in 0..FORGET_AFTER {
            silence.connecting(at(60));
        }
        assert_eq!(
            silence.allowed(false),
            None,
            "the server sends no pings any more"
        );
    }

    #[test]
    fn without_pings_only_an_alternative_or_a_limit_ends_a_silence() {
        let start = Instant::now();
        let mut silence = Silence::new(None, start);
        assert_eq!(
            (silence.allowed(false), silence.allowed(true)),
            (None, Some(FIRST_BYTES))
        );
        silence.heard(start);
        assert_eq!(silence.allowed(true), None);
        assert_eq!(
            Silence::new(Some(SECOND), start).allowed(false),
            Some(SECOND)
        );
        assert_eq!(
            Silence::new(Some(Duration::ZERO), start).allowed(true),
            None
        );
    }
}
