//! How long to wait before the next attempt: exponential back-off with jitter. Pure; randomness
//! comes from the caller.

use std::time::Duration;

/// First delay; small, because most interruptions are a restart or a proxy's time-out.
const FIRST: Duration = Duration::from_millis(250);
/// Longest delay.
const CAP: Duration = Duration::from_secs(10);

/// Counts failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure and returns how long to wait: between half and all of a time that doubles
    /// with each failure.
    ///
    /// The half is for those who lost the same server at the same moment: they come back at
    /// different times.
    pub fn failed(&mut self, random: u64) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let share = (random % 1024) as u32;
        full / 2 + full / 2 * share / 1024
    }

    /// Notes a success: the next failure starts from the first delay.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// A random number, good enough to spread clients.
#[must_use]
pub fn random() -> u64 {
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
        let delays: Vec<Duration> = (0..40).map(|_| backoff.failed(1023)).collect();
        assert!(delays.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(delays[0] <= FIRST && delays[0] > FIRST / 2);
        assert!(delays[1] > FIRST);
        assert!(delays[39] <= CAP && delays[39] > CAP * 9 / 10);
        backoff.succeeded();
        assert_eq!(backoff.failures(), 0);
        assert!(backoff.failed(1023) <= FIRST);
    }

    #[test]
    fn jitter_takes_up_to_half() {
        for random in [0, 1, 511, 1023, u64::MAX] {
            let delay = Backoff::default().failed(random);
            assert!(delay >= FIRST / 2 && delay <= FIRST, "{delay:?}");
        }
    }
}
