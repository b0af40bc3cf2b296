//! How a connection of a subscription ends: whether it was a good one, when the next is made, and
//! in which mode.

use super::{Connection, Event, MODE_FAILURES, SETTLED, Subscription, WAITED};
use crate::client::cursor::Sent;
use crate::client::error::shown;
use crate::client::retry::{Backoff, random};
use crate::client::{Error, Mode};

impl Subscription {
    /// The connection came to its regular end.
    pub(super) fn ended(&mut self) -> Result<(), Error> {
        // nchan ends streams after a while without messages, as it ends long-polls.
        self.fruitful |=
            self.is_bare() && self.up_since.is_some_and(|since| since.elapsed() >= WAITED);
        self.fruitful |= self.settled();
        if self.fruitful {
            self.succeeded();
        }
        let works_not = !self.fruitful
            && self.mode_failures + 1 >= MODE_FAILURES
            && self.settings.modes.len() > 1;
        let endless = !matches!(self.connection.take(), Some(Connection::Answer));
        if !endless {
            self.cursor.backlogs_came();
            self.tell_start();
        }
        if works_not {
            let url = shown(&self.url(&Sent::default())?);
            return Err(Error::Broken {
                url,
                reason: "it ends again and again without a message".to_owned(),
            });
        }
        if !self.fruitful {
            self.mode_failures += 1;
            // A stream without framing that breaks looks like one that ends.
            self.broken += u32::from(endless);
        }
        self.pause = match self.mode() {
            // nchan gives one message at a time.
            Mode::Poll if self.is_bare() && self.fruitful => None,
            Mode::Poll => Some(self.settings.interval),
            // A server that only ever hangs up, or answers the same again, must not be asked in a
            // circle.
            _ if !self.fruitful => Some(self.backoff.failed(random())),
            _ if endless => Some(Backoff::default().failed(random())),
            _ => None,
        };
        Ok(())
    }

    /// Notes the end of a connection; true if it had been good.
    pub(super) fn settled(&mut self) -> bool {
        let settled = self
            .up_since
            .take()
            .is_some_and(|since| since.elapsed() >= SETTLED);
        if settled {
            self.cursor.backlogs_came();
            self.tell_start();
            self.succeeded();
        }
        settled
    }

    pub(super) fn failed(&mut self, error: Error) -> Result<Event, Error> {
        self.settled();
        self.mode_failures += 1;
        self.broken += u32::from(matches!(error, Error::Broken { .. }));
        let mut error = error;
        if self.is_of_the_mode(&error) {
            if matches!(error, Error::Silent { .. }) && !self.has_heard_in_mode {
                self.silent_mode.get_or_insert(self.mode);
            }
            self.mode = (self.mode + 1) % self.settings.modes.len();
            (self.mode_works, self.mode_failures, self.has_heard_in_mode) = (false, 0, false);
            self.fallen += 1;
            if self.fallen < self.settings.modes.len() {
                self.first_error.get_or_insert_with(|| error.clone());
                return Ok(Event::Falling(error, self.mode()));
            }
            if self.returns_to_silent_mode() {
                return Ok(Event::Falling(error, self.mode()));
            }
            // None of them works: what the preferred one said counts.
            self.fallen = 0;
            error = self.first_error.take().unwrap_or(error);
        }
        let delay = self.backoff.failed(random());
        let allowed = self
            .settings
            .retries
            .unwrap_or(if self.answered { u32::MAX } else { 0 });
        if error.is_final() || self.backoff.failures() > allowed {
            return Err(error);
        }
        self.pause = Some(delay);
        Ok(Event::Retrying(error, delay))
    }

    /// True if another mode may help: the server is there and takes us, but not like this.
    fn is_of_the_mode(&self, error: &Error) -> bool {
        let may_help = match error {
            Error::Status { status, .. } => !matches!(status, 401 | 403),
            Error::Protocol { .. }
            | Error::Broken { .. }
            | Error::TimedOut { .. }
            | Error::Silent { .. } => true,
            Error::Unreachable { .. }
            | Error::Behind { .. }
            | Error::Untrusted { .. }
            | Error::WrongScheme { .. }
            | Error::NoChannel { .. }
            | Error::TooLarge { .. }
            | Error::Moved { .. }
            | Error::Request(_) => false,
        };
        // A response that never brought a byte is no sign that the mode works.
        let is_held_back = matches!(error, Error::Silent { .. })
            && !self.has_heard_in_mode
            && !self.is_last_resort();
        may_help
            && self.settings.modes.len() > 1
            && (!self.mode_works || is_held_back || self.mode_failures >= MODE_FAILURES)
    }
}
