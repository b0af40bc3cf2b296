//! Reading the next request of a publisher before waiting for an event.

/// Most read-ahead attempts that are skipped in a row: one attempt in 32 costs 2 % of a system call
/// per message.
const MAX_SKIPPED: u8 = 31;

/// Decides whether to try a read before waiting. A failed attempt costs a system call, so that
/// attempts back off exponentially while they fail.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    /// Attempts to skip before the next one.
    to_skip: u8,
    /// Attempts that were skipped before the last one; 0 if that one succeeded.
    skipped: u8,
}

impl ReadAhead {
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.to_skip == 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        is_due
    }

    pub(super) fn record(&mut self, has_input: bool) {
        self.skipped = if has_input {
            0
        } else {
            (2 * self.skipped + 1).min(MAX_SKIPPED)
        };
        self.to_skip = self.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_attempts_back_off_and_a_successful_one_ends_that() {
        let mut read_ahead = ReadAhead::default();
        let count_attempts = |read_ahead: &mut ReadAhead, has_input: bool| {
            let mut attempts = 0;
            for _ in 0..200 {
                if read_ahead.is_due() {
                    read_ahead.record(has_input);
                    attempts += 1;
                }
            }
            attempts
        };
        let failed = count_attempts(&mut read_ahead, false);
        assert!((6..=12).contains(&failed), "{failed}");
        assert!(count_attempts(&mut read_ahead, true) >= 200 - usize::from(MAX_SKIPPED));
    }
}
