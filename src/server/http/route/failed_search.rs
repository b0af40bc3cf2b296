//! Requests that a regular expression could not be applied to: nobody knows what the rules say
//! about them.

use super::{Next, Router};
use crate::server::config::regex_pattern::{self, SearchFailure};
use crate::server::log_throttle::LogThrottle;
use crate::server::response::{Response, Status};

/// Clients choose what is searched, so that they must not fill the log.
static FAILED_SEARCHES: LogThrottle = LogThrottle::new();

impl Router<'_> {
    /// What was found to be done, or 500 if a regular expression failed on the way.
    pub(super) fn unless_failed(&self, next: Next) -> Next {
        let Some(SearchFailure { pattern, reason }) = regex_pattern::take_failure() else {
            return next;
        };
        if matches!(next, Next::Follow(..)) {
            self.shard.release(self.key);
        }
        FAILED_SEARCHES.warn(|left_out| {
            tracing::error!(%pattern, reason, left_out, "a regular expression failed, and the \
                                                         request was answered with 500");
        });
        Next::Respond(Response::error_page(Status::INTERNAL).closing())
    }
}
