//! The deadlines of a wait: backlogs, a missing response, and a silent connection. Does no I/O.

use std::time::{Duration, Instant};

use super::silence::{FIRST_BYTES, Silence};
use crate::client::message::{Message, MessageKind};
use crate::client::mode::Mode;

/// A poll response without messages that took this long is the server's time-out. A faster one must
/// not be repeated at once.
pub(super) const MIN_POLL_WAIT: Duration = Duration::from_secs(1);

/// What happens at the next deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The server had enough time to send a backlog.
    Backlogs,
    /// Reports to the user that no response arrives.
    Notice,
    /// The connection counts as broken.
    Silence,
}

/// When the last request was sent and data arrived, and which timers have fired.
pub(super) struct Timers {
    silence: Silence,
    /// When the last subscription request was sent.
    requested_at: Instant,
    /// The timer for outstanding backlogs has not fired.
    awaits_backlogs: bool,
    /// The missing response was reported to the user.
    has_reported_waiting: bool,
}

impl Timers {
    /// Timers with a limit for silence (see [`Silence::new`]); `awaits_backlogs` if the caller
    /// wants to know the start even if a backlog is missing.
    pub(super) fn new(silence: Option<Duration>, awaits_backlogs: bool) -> Self {
        let now = Instant::now();
        Self {
            silence: Silence::new(silence, now),
            requested_at: now,
            awaits_backlogs,
            has_reported_waiting: false,
        }
    }

    /// Records that a subscription request is sent.
    pub(super) fn record_request(&mut self) {
        self.requested_at = Instant::now();
        self.silence.record_request(self.requested_at);
    }

    /// Records a response head.
    pub(super) fn record_response(&mut self) {
        self.silence.record_response(Instant::now());
    }

    /// Records messages of a connection. Without messages it was a ping or a greeting in modes
    /// whose messages arrive whole.
    pub(super) fn record_messages(&mut self, messages: &[Message], mode: Mode) {
        let now = Instant::now();
        let is_ping = match messages {
            [] => matches!(mode, Mode::Ev | Mode::Ws),
            _ => messages
                .iter()
                .all(|message| message.kind() == MessageKind::Ping),
        };
        if is_ping {
            self.silence.record_ping(now);
        } else {
            self.silence.record_data(now);
        }
    }

    /// Records bytes of an incomplete message.
    pub(super) fn record_bytes(&mut self) {
        self.silence.record_data(Instant::now());
    }

    /// Records that the server had enough time to send a backlog.
    pub(super) fn record_backlog_wait(&mut self) {
        self.awaits_backlogs = false;
    }

    /// Records that the missing response was reported.
    pub(super) fn record_notice(&mut self) {
        self.has_reported_waiting = true;
    }

    /// True if the last request took as long as a time-out of the server.
    pub(super) fn has_waited(&self) -> bool {
        self.requested_at.elapsed() >= MIN_POLL_WAIT
    }

    /// Returns the timer that fires first; `is_pending` if there is no response yet,
    /// `has_alternative` if another mode can be tried instead of a silent one.
    pub(super) fn next(
        &self,
        mode: Mode,
        is_pending: bool,
        has_alternative: bool,
    ) -> Option<(Instant, Timer)> {
        let backlogs = self
            .awaits_backlogs
            .then(|| (self.requested_at + MIN_POLL_WAIT, Timer::Backlogs));
        let is_endless = matches!(mode, Mode::Ev | Mode::Ws | Mode::Stream);
        let waits_for_head = is_endless && is_pending && !self.has_reported_waiting;
        let notice = waits_for_head.then(|| (self.requested_at + FIRST_BYTES, Timer::Notice));
        let silence = self
            .silence
            .deadline(has_alternative)
            .filter(|_| is_endless)
            .map(|due| (due, Timer::Silence));
        // A silence that ends the wait first is reported by its own error.
        let notice = notice.filter(|(due, _)| silence.is_none_or(|(silence, _)| *due < silence));
        [backlogs, notice, silence]
            .into_iter()
            .flatten()
            .min_by_key(|(due, _)| *due)
    }

    /// Returns the duration of a silence that ended a connection, for its error.
    pub(super) fn silent_time(&self, has_alternative: bool) -> Duration {
        let after = self
            .silence
            .limit_with(has_alternative)
            .unwrap_or(Duration::ZERO);
        // A limit derived from pings is not exact.
        if after > Duration::from_secs(1) {
            Duration::from_secs(after.as_secs())
        } else {
            after
        }
    }

    /// True if no data after the head arrived on this connection.
    pub(super) fn is_silence_total(&self) -> bool {
        self.silence.is_total()
    }
}
