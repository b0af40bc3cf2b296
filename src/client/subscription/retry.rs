//! Delay before the next attempt: exponential back-off with jitter. Does no I/O; the caller passes
//! the randomness.

use std::time::Duration;

/// First delay; short, because most interruptions are a restart or a time-out of a proxy.
const FIRST: Duration = Duration::from_millis(250);
/// Maximum delay.
const CAP: Duration = Duration::from_secs(10);

/// Counts consecutive failures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Records a failure and returns the delay: between half of and the whole of a time that
    /// doubles with each failure.
    ///
    /// The jitter spreads the reconnects of clients that lost a server at the same moment.
    pub(super) fn record_failure(&mut self, random: u64) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let share = (random % 1024) as u32;
        full / 2 + full / 2 * share / 1024
    }

    /// Records a success: the next failure has the first delay again.
    pub(super) fn record_success(&mut self) {
        self.failures = 0;
    }

    /// Number of failures since the last success.
    #[must_use]
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

/// A random number, good enough to spread clients.
#[must_use]
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_ten_seconds_and_start_again_after_success() {
        let mut backoff = Backoff::default();
        let delays: Vec<Duration> = (0..40).map(|_| backoff.record_failure(1023)).collect();
        assert!(delays.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(delays[0] <= FIRST && delays[0] > FIRST / 2);
        assert!(delays[1] > FIRST);
        assert!(delays[39] <= CAP && delays[39] > CAP * 9 / 10);
        backoff.record_success();
        assert_eq!(backoff.failures(), 0);
        assert!(backoff.record_failure(1023) <= FIRST);
    }

    #[test]
    fn jitter_takes_up_to_half() {
        for random in [0, 1, 511, 1023, u64::MAX] {
            let delay = Backoff::default().record_failure(random);
            assert!(delay >= FIRST / 2 && delay <= FIRST, "{delay:?}");
        }
    }
}
