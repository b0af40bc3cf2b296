//! What the process may have resident. Freed memory stays with the allocator for a while, which is good for speed; but what one
//! kind of object gave back does not serve another kind at once, so that together they could take several times the bounds.
//! Above the sum of the bounds freed memory is returned to the system without delay.

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
    started: Instant,
    looked_at: AtomicU64,
    /// Opened at the start: later the process may have no descriptor left.
    statm: Option<File>,
}

impl Default for ResidentBound {
    fn default() -> Self {
        let (limit, looked_at) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
        Self { limit, started: Instant::now(), looked_at, statm: File::open("/proc/self/statm").ok() }
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
        if self.looked_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_err() {
            return;
        }
        if self.resident().is_some_and(|bytes| bytes > self.limit.load(Ordering::Relaxed)) {
            allocator::purge();
        }
    }

    fn resident(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        // Pages: size, resident, ...
        let pages = std::str::from_utf8(&text[..length]).ok()?.split_ascii_whitespace().nth(1)?;
        pages.parse::<u64>().ok()?.checked_mul(rustix::param::page_size() as u64)
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
}
