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

    /// The bound.
    pub(super) fn limit(&self) -> u64 {
        self.limit
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

/// A changing share of the memory bound, for bytes that come in from outside: bodies and websocket messages that are not
/// complete.
#[derive(Debug)]
pub struct Reservation {
    meter: Arc<MemoryMeter>,
    charge: Option<Charge>,
}

/// So much may come in without being counted: most requests are small, and connections are limited themselves.
const FREE_BYTES: u64 = 64 * 1024;

impl Reservation {
    pub(super) fn new(meter: &Arc<MemoryMeter>) -> Self {
        Self { meter: Arc::clone(meter), charge: None }
    }

    /// Sees to it that `bytes` are covered.
    ///
    /// # Errors
    /// When the memory bound is reached; then nothing is covered any more.
    pub fn cover(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        let wanted = if bytes <= FREE_BYTES { 0 } else { bytes.div_ceil(FREE_BYTES).saturating_mul(FREE_BYTES) };
        if self.charge.as_ref().map_or(0, Charge::bytes) != wanted {
            self.charge = None;
            self.charge = if wanted > 0 { Some(self.meter.charge(wanted)?) } else { None };
        }
        Ok(())
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
    fn a_reservation_covers_what_is_more_than_a_little() {
        let meter = MemoryMeter::new(200_000);
        let mut reservation = Reservation::new(&meter);
        for (bytes, used) in [(10, 0), (65_536, 0), (65_537, 131_072), (140_000, 196_608), (10, 0)] {
            assert_eq!((reservation.cover(bytes), meter.used()), (Ok(()), used), "{bytes}");
        }
        assert_eq!((reservation.cover(200_001), meter.used()), (Err(OutOfMemory), 0));
    }

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
