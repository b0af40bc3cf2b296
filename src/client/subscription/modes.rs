//! The delivery modes of a subscription: which one is used, and when the next one is tried. Does no
//! I/O.

use super::event::Event;
use crate::client::error::Error;
use crate::client::mode::Mode;

/// A mode that worked and then failed this often in a row, without a message, gives way to the next
/// one.
const MODE_FAILURES: u32 = 3;

/// The modes of a subscription in the order of preference.
#[derive(Debug)]
pub(super) struct ModeSelection {
    modes: Vec<Mode>,
    /// Index of the current mode.
    index: usize,
    /// Modes that failed one after the other.
    failed_modes: usize,
    first_error: Option<Error>,
    /// True once the current mode had a response.
    works: bool,
    /// Failures of the current mode since its last message.
    failures: u32,
    /// The current mode delivered more than a response head.
    has_data: bool,
    /// Index of the first mode that had a response and stayed silent: the fallback if no other mode
    /// works.
    silent: Option<usize>,
    /// The subscription returned to `silent`: all others failed.
    has_returned_to_silent: bool,
}

impl ModeSelection {
    /// Starts with the first of `modes`.
    pub(super) fn new(modes: Vec<Mode>) -> Self {
        Self {
            modes,
            index: 0,
            failed_modes: 0,
            first_error: None,
            works: false,
            failures: 0,
            has_data: false,
            silent: None,
            has_returned_to_silent: false,
        }
    }

    /// The mode of the next request.
    pub(super) fn current(&self) -> Mode {
        self.modes[self.index]
    }

    /// True if the current mode is long-polling or polling.
    pub(super) fn is_poll(&self) -> bool {
        matches!(self.current(), Mode::Lp | Mode::Poll)
    }

    /// True if there is another mode.
    fn has_others(&self) -> bool {
        self.modes.len() > 1
    }

    /// Replaces all modes by one.
    pub(super) fn restrict_to(&mut self, mode: Mode) {
        self.modes = vec![mode];
        self.index = 0;
    }

    /// True if another mode can be tried instead of a silent one.
    pub(super) fn has_alternative(&self) -> bool {
        self.has_others() && !self.is_last_resort() && !self.has_data
    }

    /// True if the current mode is silent and all others have failed.
    fn is_last_resort(&self) -> bool {
        self.has_returned_to_silent && self.silent == Some(self.index)
    }

    /// True if one more end without a message is a failure of the mode.
    pub(super) fn is_near_failure(&self) -> bool {
        self.failures + 1 >= MODE_FAILURES && self.has_others()
    }

    /// Records a success of the connection.
    pub(super) fn record_success(&mut self) {
        self.failures = 0;
    }

    /// Records a failure of the connection.
    pub(super) fn record_failure(&mut self) {
        self.failures += 1;
    }

    /// Records a response without messages that ends a poll.
    pub(super) fn record_empty_response(&mut self) {
        self.works = true;
    }

    /// Records a response with messages, or the head of a stream.
    pub(super) fn record_response(&mut self) {
        // A proxy may hold back a stream that delivers nothing.
        let may_be_held_back =
            matches!(self.current(), Mode::Ev | Mode::Stream) && self.has_others();
        self.has_data |= !may_be_held_back;
        // After a mode that works, the silent one may be tried again.
        self.has_returned_to_silent &= may_be_held_back;
        self.works = true;
        if self.has_data {
            self.forget_failed_modes();
        }
    }

    /// Records data of a connection.
    pub(super) fn record_data(&mut self) {
        self.has_data = true;
        self.has_returned_to_silent = false;
        self.forget_failed_modes();
    }

    fn forget_failed_modes(&mut self) {
        self.failed_modes = 0;
        self.first_error = None;
    }

    /// Selects the next mode if it may help, and returns the event of the change.
    ///
    /// # Errors
    /// Returns the error to report if no other mode is tried: `error`, or that of the preferred
    /// mode if none works.
    pub(super) fn fall_back(&mut self, error: Error) -> Result<Event, Error> {
        if !self.is_mode_error(&error) {
            return Err(error);
        }
        if matches!(error, Error::Silent { .. }) && !self.has_data {
            self.silent.get_or_insert(self.index);
        }
        self.index = (self.index + 1) % self.modes.len();
        self.works = false;
        self.failures = 0;
        self.has_data = false;
        self.failed_modes += 1;
        if self.failed_modes < self.modes.len() {
            self.first_error.get_or_insert_with(|| error.clone());
            return Ok(Event::ModeFallback(error, self.current()));
        }
        if self.return_to_silent() {
            return Ok(Event::ModeFallback(error, self.current()));
        }
        // No mode works: report the error of the preferred one.
        self.failed_modes = 0;
        Err(self.first_error.take().unwrap_or(error))
    }

    /// Returns to the mode that responded and stayed silent, if all others have failed; once until
    /// data arrives.
    fn return_to_silent(&mut self) -> bool {
        let Some(silent) = self.silent.filter(|_| !self.has_returned_to_silent) else {
            return false;
        };
        self.index = silent;
        self.has_returned_to_silent = true;
        self.forget_failed_modes();
        true
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
        let is_held_back =
            matches!(error, Error::Silent { .. }) && !self.has_data && !self.is_last_resort();
        may_help
            && self.has_others()
            && (!self.works || is_held_back || self.failures >= MODE_FAILURES)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn silent() -> Error {
        Error::Silent {
            url: String::new(),
            after: Duration::from_secs(15),
        }
    }

    fn missing() -> Error {
        Error::Status {
            url: String::new(),
            status: 404,
            explain: None,
        }
    }

    #[test]
    fn the_error_of_the_preferred_mode_is_reported_if_none_works() {
        let mut modes = ModeSelection::new(vec![Mode::Ws, Mode::Lp]);
        let broken = Error::Broken {
            url: String::new(),
            reason: "x".to_owned(),
        };
        assert_eq!(
            modes.fall_back(broken.clone()),
            Ok(Event::ModeFallback(broken.clone(), Mode::Lp))
        );
        assert_eq!(modes.fall_back(missing()), Err(broken));
        assert_eq!(modes.current(), Mode::Ws);
        let rejected = Error::Status {
            url: String::new(),
            status: 403,
            explain: None,
        };
        assert_eq!(modes.fall_back(rejected.clone()), Err(rejected));
    }

    #[test]
    fn a_silent_mode_is_tried_once_more_after_all_others_failed() {
        let mut modes = ModeSelection::new(vec![Mode::Ev, Mode::Lp]);
        modes.record_response();
        assert!(modes.has_alternative());
        assert!(modes.fall_back(silent()).is_ok());
        assert_eq!(
            modes.fall_back(missing()),
            Ok(Event::ModeFallback(missing(), Mode::Ev))
        );
        modes.record_response();
        assert!(!modes.has_alternative(), "it is the last resort");
        assert_eq!(modes.fall_back(silent()), Err(silent()));
        modes.record_data();
        assert!(!modes.has_alternative());
    }

    #[test]
    fn a_mode_that_worked_gives_way_after_three_failures() {
        let mut modes = ModeSelection::new(vec![Mode::Ws, Mode::Lp]);
        modes.record_response();
        for _ in 1..MODE_FAILURES {
            modes.record_failure();
            assert!(modes.fall_back(missing()).is_err());
        }
        assert!(modes.is_near_failure());
        modes.record_failure();
        assert!(modes.fall_back(missing()).is_ok());
        assert_eq!(modes.current(), Mode::Lp);
        assert!(modes.is_poll());
    }
}
