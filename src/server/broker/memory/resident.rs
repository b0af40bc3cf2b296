//! Bound on the resident memory of the process. The allocator retains freed memory, which is good
//! for speed: by itself, glibc returns only what is free at the end of an arena. However, the
//! threads of one arena do not use what is free in another, and large objects do not fit into the
//! gaps between small ones, so together they could take several times their bounds. Above the sum
//! of the bounds, freed memory is therefore returned to the system immediately; below it, when much
//! is unused.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::allocator;

/// Minimum interval between checks, which take some microseconds.
const CHECK_INTERVAL_MILLIS: u64 = 1;

/// Minimum growth of unused memory for which pages are returned below the bound.
const MIN_UNUSED_BYTES: u64 = 4 * 1024 * 1024;

/// A bound on the resident memory of the process. Not enforced on systems without `/proc`.
#[derive(Debug)]
pub(in crate::server::broker) struct ResidentBound {
    limit: AtomicU64,
    /// Resident bytes after the last purge, or fewer if the process has shrunk since.
    unreturnable: AtomicU64,
    started: Instant,
    checked_at: AtomicU64,
    /// Resident bytes that no meter counts: the minimum since pages were last returned.
    unmetered: AtomicI64,
    statm: Option<File>,
}

impl Default for ResidentBound {
    fn default() -> Self {
        // Later the process may be out of descriptors.
        let statm = File::open("/proc/self/statm").ok();
        let resident = statm.as_ref().and_then(read_resident);
        Self {
            limit: AtomicU64::new(u64::MAX),
            unreturnable: AtomicU64::new(0),
            started: Instant::now(),
            checked_at: AtomicU64::new(0),
            unmetered: AtomicI64::new(resident.map_or(i64::MAX, u64::cast_signed)),
            statm,
        }
    }
}

impl ResidentBound {
    /// Sets the bound in bytes.
    pub(in crate::server::broker) fn set(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Returns freed memory to the system if the process is above the bound.
    #[cold]
    pub(super) fn enforce(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due =
            |looked: u64| (now >= looked.saturating_add(CHECK_INTERVAL_MILLIS)).then_some(now);
        if self
            .checked_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
            .is_err()
        {
            return;
        }
        if self.resident().is_some_and(|bytes| self.needs_purge(bytes)) {
            allocator::return_freed_pages();
            self.unreturnable
                .store(self.resident().unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Returns freed memory to the system if much more than the `metered` bytes is resident, as
    /// after thousands of subscribers have left. Below the bound this is not urgent: it is checked
    /// once per housekeeping interval and runs on its own thread, because it takes 100 to 450 ms
    /// for a gibibyte (the latter in gaps of two pages), arena by arena. The threads of an arena
    /// wait for its lock: deliveries paused for 95 ms when 900 MiB of messages were deleted.
    pub(in crate::server::broker) fn return_unused(self: &Arc<Self>, metered: u64) {
        if !self.has_unused(metered) {
            return;
        }
        let bound = Arc::clone(self);
        let release = move || {
            allocator::return_freed_pages();
            bound.unmetered.store(i64::MAX, Ordering::Relaxed);
        };
        // If no thread can be started, the next interval retries.
        let _ = thread::Builder::new()
            .name("release".to_owned())
            .spawn(release);
    }

    /// True if the resident bytes that no meter counts have grown by 4 MiB and by an eighth of the
    /// resident memory since pages were last returned.
    fn has_unused(&self, metered: u64) -> bool {
        let Some(resident) = self.resident() else {
            return false;
        };
        let unmetered = resident.cast_signed().saturating_sub(metered.cast_signed());
        let least = self.unmetered.fetch_min(unmetered, Ordering::Relaxed);
        let tolerated = MIN_UNUSED_BYTES.max(resident / 8).cast_signed();
        unmetered > least.saturating_add(tolerated)
    }

    /// True if a purge is worth its cost: `resident` is above the bound, and more than a 32nd above
    /// the size after the last purge. Pages that small objects still share cannot be returned, and
    /// repeated purges for them would cost every large allocation its page faults.
    fn needs_purge(&self, resident: u64) -> bool {
        let unreturnable = self.unreturnable.fetch_min(resident, Ordering::Relaxed);
        resident
            > self
                .limit
                .load(Ordering::Relaxed)
                .max(unreturnable.saturating_add(unreturnable / 32))
    }

    fn resident(&self) -> Option<u64> {
        self.statm.as_ref().and_then(read_resident)
    }
}

/// Reads the resident bytes from an open `/proc/self/statm`.
fn read_resident(statm: &File) -> Option<u64> {
    let mut text = [0; 128];
    let length = statm.read_at(&mut text, 0).ok()?;
    // In pages: size, resident, ...
    let pages = std::str::from_utf8(&text[..length])
        .ok()?
        .split_ascii_whitespace()
        .nth(1)?;
    pages
        .parse::<u64>()
        .ok()?
        .checked_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_resident_memory_is_read() {
        let bound = ResidentBound::default();
        let before = bound.resident().expect("/proc is mounted");
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = bound.resident().expect("/proc is mounted");
        assert!(after >= before + (48 << 20), "{before} {after}");
        drop(block);
        bound.set(0);
        bound.enforce();
    }

    #[test]
    fn unreturnable_memory_is_purged_again_only_after_growth() {
        let bound = ResidentBound::default();
        bound.set(1000);
        assert!(!bound.needs_purge(1000));
        assert!(bound.needs_purge(1001));
        // The same applies if the last purge ended just below the bound.
        bound.unreturnable.store(992, Ordering::Relaxed);
        assert!(!bound.needs_purge(1023));
        assert!(bound.needs_purge(1024));
        bound.unreturnable.store(1600, Ordering::Relaxed);
        assert!(!bound.needs_purge(1650));
        assert!(bound.needs_purge(1651));
        // The process has shrunk, so the size after the last purge no longer applies.
        assert!(!bound.needs_purge(1200));
        assert!(bound.needs_purge(1238));
        assert!(!bound.needs_purge(900));
        assert!(bound.needs_purge(1001));
    }
}
