//! When a subscription reconnects, and when it gives up. Does no I/O.

use std::time::{Duration, Instant};

use super::event::Event;
use super::retry::{Backoff, random};
use super::timers::MIN_POLL_WAIT;
use crate::client::error::Error;
use crate::client::mode::Mode;

/// A connection that was up for this long counts as a success, even without messages.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// The state of the current connection, and the delay before the next attempt.
pub(super) struct Reconnect {
    backoff: Backoff,
    /// Maximum number of failed attempts in a row; `None` means none before the first response and
    /// unlimited afterwards.
    retries: Option<u32>,
    /// Delay between two polls.
    interval: Duration,
    /// Delay before the next attempt.
    pause: Option<Duration>,
    /// True once the server has responded.
    has_responded: bool,
    /// When the current connection was established.
    up_since: Option<Instant>,
    /// True if the current connection was useful: it delivered something new, or a time-out.
    is_success: bool,
}

impl Reconnect {
    pub(super) fn new(retries: Option<u32>, interval: Duration) -> Self {
        Self {
            backoff: Backoff::default(),
            retries,
            interval,
            pause: None,
            has_responded: false,
            up_since: None,
            is_success: false,
        }
    }

    /// Takes the delay before the next attempt.
    pub(super) fn take_pause(&mut self) -> Option<Duration> {
        self.pause.take()
    }

    /// Records that a request is sent.
    pub(super) fn record_request(&mut self) {
        self.is_success = false;
    }

    /// Records a response.
    pub(super) fn record_response(&mut self) {
        self.has_responded = true;
    }

    /// Records that the connection is established.
    pub(super) fn record_connection(&mut self) {
        self.up_since = Some(Instant::now());
    }

    /// Records that the connection delivered nothing, although it was up for a long time.
    pub(super) fn record_silence(&mut self) {
        self.up_since = None;
    }

    /// Records whether the connection was useful; once is enough.
    pub(super) fn record_use(&mut self, is_success: bool) {
        self.is_success |= is_success;
    }

    /// Records a success: the next failure has the first delay again.
    pub(super) fn record_success(&mut self) {
        self.backoff.record_success();
    }

    /// True if the current connection was useful.
    pub(super) fn is_success(&self) -> bool {
        self.is_success
    }

    /// True if the current connection has been up for as long as a time-out of the server.
    pub(super) fn has_waited(&self) -> bool {
        self.up_since
            .is_some_and(|since| since.elapsed() >= MIN_POLL_WAIT)
    }

    /// Records the end of a connection. Returns true if it had been up long enough to count as a
    /// success.
    pub(super) fn take_stable(&mut self) -> bool {
        self.up_since
            .take()
            .is_some_and(|since| since.elapsed() >= STABLE_AFTER)
    }

    /// Sets the delay after the regular end of a connection.
    pub(super) fn pause_after_end(&mut self, mode: Mode, is_endless: bool, is_unframed: bool) {
        self.pause = match mode {
            // nchan returns one message per poll.
            Mode::Poll if is_unframed && self.is_success => None,
            Mode::Poll => Some(self.interval),
            // A server that always closes, or repeats its response, must not be polled in a busy
            // loop.
            _ if !self.is_success => Some(self.backoff.record_failure(random())),
            _ if is_endless => Some(Backoff::default().record_failure(random())),
            _ => None,
        };
    }

    /// Sets the delay after a failure.
    ///
    /// # Errors
    /// Returns the error if it is final or there were more failures than permitted.
    pub(super) fn retry_after(&mut self, error: Error) -> Result<Event, Error> {
        let delay = self.backoff.record_failure(random());
        let allowed = self
            .retries
            .unwrap_or(if self.has_responded { u32::MAX } else { 0 });
        if error.is_final() || self.backoff.failures() > allowed {
            return Err(error);
        }
        self.pause = Some(delay);
        Ok(Event::Retrying(error, delay))
    }
}
