//! The end of a connection: whether it was a success, when to reconnect, and in which mode.

use super::event::Event;
use super::retry::{Backoff, random};
use super::{Connection, MIN_POLL_WAIT, MODE_FAILURES, STABLE_AFTER, Subscription};
use crate::client::cursor::ResumePoint;
use crate::client::error::Error;
use crate::client::mode::Mode;
use crate::client::url::shown;

impl Subscription {
    /// Handles the regular end of the connection.
    pub(super) fn handle_end(&mut self) -> Result<(), Error> {
        // nchan ends idle streams after a time-out, like long-polls.
        self.has_delivered |= self.is_unframed()
            && self
                .up_since
                .is_some_and(|since| since.elapsed() >= MIN_POLL_WAIT);
        self.has_delivered |= self.finish_if_stable();
        if self.has_delivered {
            self.succeeded();
        }
        let mode_fails = !self.has_delivered
            && self.mode_failures + 1 >= MODE_FAILURES
            && self.settings.modes.len() > 1;
        let endless = !matches!(self.connection.take(), Some(Connection::PollResponse));
        if !endless {
            self.cursor.complete_backlogs();
            self.report_start();
        }
        if mode_fails {
            let url = shown(&self.url(&ResumePoint::default())?);
            return Err(Error::Broken {
                url,
                reason: "it ends repeatedly without a message".to_owned(),
            });
        }
        if !self.has_delivered {
            self.mode_failures += 1;
            // A stream without framing that breaks looks like one that ends.
            self.breaks += u32::from(endless);
        }
        self.pause = match self.mode() {
            // nchan returns one message per poll.
            Mode::Poll if self.is_unframed() && self.has_delivered => None,
            Mode::Poll => Some(self.settings.interval),
            // A server that always closes, or repeats its response, must not be polled in a busy
            // loop.
            _ if !self.has_delivered => Some(self.backoff.record_failure(random())),
            _ if endless => Some(Backoff::default().record_failure(random())),
            _ => None,
        };
        Ok(())
    }

    /// Records the end of a connection. Returns true if it had been up long enough to count as a
    /// success.
    pub(super) fn finish_if_stable(&mut self) -> bool {
        let is_stable = self
            .up_since
            .take()
            .is_some_and(|since| since.elapsed() >= STABLE_AFTER);
        if is_stable {
            self.cursor.complete_backlogs();
            self.report_start();
            self.succeeded();
        }
        is_stable
    }

    pub(super) fn handle_error(&mut self, error: Error) -> Result<Event, Error> {
        self.finish_if_stable();
        self.mode_failures += 1;
        self.breaks += u32::from(matches!(error, Error::Broken { .. }));
        let mut error = error;
        if self.is_mode_error(&error) {
            if matches!(error, Error::Silent { .. }) && !self.has_data_in_mode {
                self.silent_mode.get_or_insert(self.mode);
            }
            self.mode = (self.mode + 1) % self.settings.modes.len();
            (self.mode_works, self.mode_failures, self.has_data_in_mode) = (false, 0, false);
            self.failed_modes += 1;
            if self.failed_modes < self.settings.modes.len() {
                self.first_error.get_or_insert_with(|| error.clone());
                return Ok(Event::ModeFallback(error, self.mode()));
            }
            if self.return_to_silent_mode() {
                return Ok(Event::ModeFallback(error, self.mode()));
            }
            // No mode works: report the error of the preferred one.
            self.failed_modes = 0;
            error = self.first_error.take().unwrap_or(error);
        }
        let delay = self.backoff.record_failure(random());
        let allowed =
            self.settings
                .retries
                .unwrap_or(if self.has_responded { u32::MAX } else { 0 });
        if error.is_final() || self.backoff.failures() > allowed {
            return Err(error);
        }
        self.pause = Some(delay);
        Ok(Event::Retrying(error, delay))
    }

    /// True if another mode may help: the server is reachable and rejects only this kind of
    /// request.
    fn is_mode_error(&self, error: &Error) -> bool {
        let may_help = match error {
            Error::Status { status, .. } => !matches!(status, 401 | 403),
            Error::Protocol { .. }
            | Error::Broken { .. }
            | Error::TimedOut { .. }
            | Error::Silent { .. } => true,
            Error::Unreachable { .. }
            | Error::ProxyUnreachable { .. }
            | Error::Untrusted { .. }
            | Error::WrongScheme { .. }
            | Error::NoChannel { .. }
            | Error::TooLarge { .. }
            | Error::Moved { .. }
            | Error::Request(_) => false,
        };
        // A response without a single byte does not show that the mode works.
        let is_held_back = matches!(error, Error::Silent { .. })
            && !self.has_data_in_mode
            && !self.is_last_resort();
        may_help
            && self.settings.modes.len() > 1
            && (!self.mode_works || is_held_back || self.mode_failures >= MODE_FAILURES)
    }
}
