//! The memory bound: what messages and channels take together, known to the byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts bytes against a bound.
#[derive(Debug)]
pub(super) struct MemoryMeter {
    limit: u64,
    used: AtomicU64,
}

/// The memory bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory left (the bound is set by --memory or push_stream_shared_memory_size)")]
pub struct OutOfMemory;

impl MemoryMeter {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Takes `bytes` until the returned charge is dropped.
    pub(super) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge, OutOfMemory> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(Charge { meter: Arc::clone(self), bytes }),
            Err(_) => Err(OutOfMemory),
        }
    }

    /// Bytes taken now.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// A share of the memory bound, given back on drop.
#[derive(Debug)]
pub(super) struct Charge {
    meter: Arc<MemoryMeter>,
    bytes: u64,
}

impl Charge {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_comes_back_when_dropped() {
        let meter = MemoryMeter::new(100);
        let held = meter.charge(60).expect("there is room");
        assert_eq!(meter.charge(41).err(), Some(OutOfMemory));
        drop(held);
        assert!(meter.charge(100).is_ok());
        assert!(meter.charge(u64::MAX).is_err());
    }
}
