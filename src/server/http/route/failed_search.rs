//! Requests for which a regular expression failed: it is unknown whether the rules allow them.

use super::{NextStep, Router};
use crate::server::config::expression::regex_pattern;
use crate::server::config::expression::regex_pattern::SearchFailure;
use crate::server::observe::log_throttle::LogThrottle;

/// Throttled, because clients choose the text that is searched.
static WARNINGS: LogThrottle = LogThrottle::new();

/// Returns `next`, or a response with status 500 if a regular expression failed during routing.
pub(super) fn unless_failed(router: &Router<'_>, next: NextStep) -> NextStep {
    let Some(SearchFailure { pattern, reason }) = regex_pattern::take_failure() else {
        return next;
    };
    if matches!(next, NextStep::Follow(..)) {
        router.shard.release(router.key);
    }
    WARNINGS.warn(|suppressed| {
        tracing::error!(
            %pattern,
            reason,
            suppressed,
            "a regular expression failed, responding with 500"
        );
    });
    NextStep::internal_error()
}
