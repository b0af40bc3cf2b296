//! What the process may have resident. Freed memory stays with the allocator for a while, which is
//! good for speed; but what one kind of object gave back does not serve another kind at once, so
//! that together they could take several times the bounds. Above the sum of the bounds freed memory
//! is returned to the system without delay.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::server::allocator;

/// The least time between two looks, which take some microseconds.
const BETWEEN_LOOKS_MILLIS: u64 = 1;

/// A bound on the resident memory of the process. Not enforced where the system has no `/proc`.
#[derive(Debug)]
pub(super) struct ResidentBound {
    limit: AtomicU64,
    /// What the last purge left, or less if the process has shrunk since.
    unreturnable: AtomicU64,
    started: Instant,
    looked_at: AtomicU64,
    /// Opened at the start: later the process may have no descriptor left.
    statm: Option<File>,
}

impl Default for ResidentBound {
    fn default() -> Self {
        Self {
            limit: AtomicU64::new(u64::MAX),
            unreturnable: AtomicU64::new(0),
            started: Instant::now(),
            looked_at: AtomicU64::new(0),
            statm: File::open("/proc/self/statm").ok(),
        }
    }
}

impl ResidentBound {
    /// Sets the bound in bytes.
    pub(super) fn set(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Returns freed memory to the system if the process is above the bound.
    #[cold]
    pub(super) fn enforce(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = |looked: u64| (now >= looked.saturating_add(BETWEEN_LOOKS_MILLIS)).then_some(now);
        if self
            .looked_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
            .is_err()
        {
            return;
        }
        if self.resident().is_some_and(|bytes| self.needs_purge(bytes)) {
            allocator::purge();
            self.unreturnable
                .store(self.resident().unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Whether a purge is worth its cost: `resident` is above the bound, and more than a 32nd above
    /// what the last purge left. Pages that small objects still share cannot be returned, and
    /// purging for them again and again would cost every large allocation its page faults.
    fn needs_purge(&self, resident: u64) -> bool {
        let unreturnable = self.unreturnable.fetch_min(resident, Ordering::Relaxed);
        resident
            > self
                .limit
                .load(Ordering::Relaxed)
                .max(unreturnable.saturating_add(unreturnable / 32))
    }

    fn resident(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        // Pages: size, resident, ...
        let pages = std::str::from_utf8(&text[..length])
            .ok()?
            .split_ascii_whitespace()
            .nth(1)?;
        pages
            .parse::<u64>()
            .ok()?
            .checked_mul(rustix::param::page_size() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_resident_memory_is_known() {
        let bound = ResidentBound::default();
        let before = bound.resident().expect("/proc is there");
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = bound.resident().expect("/proc is there");
        assert!(after >= before + (48 << 20), "{before} {after}");
        drop(block);
        bound.set(0);
        bound.enforce();
    }

    #[test]
    fn memory_that_a_purge_cannot_return_is_purged_again_only_after_growth() {
        let bound = ResidentBound::default();
        bound.set(1000);
        assert!(!bound.needs_purge(1000));
        assert!(bound.needs_purge(1001));
        // Just below the bound it is the same.
        bound.unreturnable.store(992, Ordering::Relaxed);
        assert!(!bound.needs_purge(1023));
        assert!(bound.needs_purge(1024));
        bound.unreturnable.store(1600, Ordering::Relaxed);
        assert!(!bound.needs_purge(1650));
        assert!(bound.needs_purge(1651));
        // The process has shrunk: what was measured then no longer holds.
        assert!(!bound.needs_purge(1200));
        assert!(bound.needs_purge(1238));
        assert!(!bound.needs_purge(900));
        assert!(bound.needs_purge(1001));
    }
}
