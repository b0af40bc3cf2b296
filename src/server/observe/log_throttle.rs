//! Rate limit for log lines that clients can trigger: one line per second, with the number of
//! suppressed ones.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::unix_now;

/// Rate limit of one kind of line.
#[derive(Debug)]
pub(in crate::server) struct LogThrottle {
    /// Second of the last line.
    last: AtomicU64,
    suppressed: AtomicU64,
}

impl LogThrottle {
    pub(in crate::server) const fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Calls `log` with the number of lines that were suppressed since the last one, unless there
    /// was one in the current second.
    pub(in crate::server) fn warn(&self, log: impl FnOnce(u64)) {
        self.warn_at(unix_now(), log);
    }

    fn warn_at(&self, now: u64, log: impl FnOnce(u64)) {
        if self.last.swap(now, Ordering::Relaxed) == now {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        } else {
            log(self.suppressed.swap(0, Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_one_line_per_second_is_logged() {
        let throttle = LogThrottle::new();
        let mut lines = Vec::new();
        for now in [7, 7, 7, 8, 9] {
            throttle.warn_at(now, |suppressed| lines.push((now, suppressed)));
        }
        assert_eq!(lines, [(7, 0), (8, 2), (9, 0)]);
    }
}
