//! Log lines that clients can provoke, or a mistake that they have found:
//! at most one in a second, with the number of those that were left out.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::unix_now;

/// One kind of line.
#[derive(Debug)]
pub(super) struct LogThrottle {
    /// The second of the last one.
    last: AtomicU64,
    left_out: AtomicU64,
}

impl LogThrottle {
    pub(super) const fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// Calls `log` with the number of lines that were left out since the last one, unless there was
    /// one in this second.
    pub(super) fn warn(&self, log: impl FnOnce(u64)) {
        self.warn_at(unix_now(), log);
    }

    fn warn_at(&self, now: u64, log: impl FnOnce(u64)) {
        if self.last.swap(now, Ordering::Relaxed) == now {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        } else {
            log(self.left_out.swap(0, Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_line() {
        let rarely = LogThrottle::new();
        let mut lines = Vec::new();
        for now in [7, 7, 7, 8, 9] {
            rarely.warn_at(now, |left_out| lines.push((now, left_out)));
        }
        assert_eq!(lines, [(7, 0), (8, 2), (9, 0)]);
    }
}
