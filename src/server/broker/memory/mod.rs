//! Memory bounds: meters, charges and reservations.
//!
//! Charges are estimates of the allocator's actual usage, rounded up a little; a test compares them
//! with the memory of the process. If a configuration sets the size of a module's shared memory,
//! messages and channels are charged their size there (see [`MemoryAccounting`]).

mod allocator;
mod connections;
mod resident;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub use connections::BrokerMemory;
pub(super) use resident::ResidentBound;

use crate::server::config::{BrokerSettings, MemoryAccounting};

/// Counts bytes against a bound.
#[derive(Debug)]
pub(super) struct MemoryMeter {
    limit: AtomicU64,
    used: AtomicU64,
    /// The bound on resident memory, if this meter counts a part of it.
    resident: Option<Arc<ResidentBound>>,
    /// The resident memory is checked when `used` grows past a multiple of 2 to this power.
    check_bits: AtomicU32,
}

/// The bounds derived from the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryBounds {
    /// For messages, channels and subscribers, in the unit of their charges.
    pub(super) memory: u64,
    /// For connections, if they have a separate bound; otherwise 0.
    pub(super) connections: u64,
    /// For incoming bodies and websocket messages.
    pub(super) incoming: u64,
    /// Process memory that the charges of `memory` correspond to.
    memory_bytes: u64,
}

/// Minimum for incoming bodies and websocket messages, however small the store is.
const MIN_INCOMING_BYTES: u64 = 8 * 1024 * 1024;

/// The program itself, stacks and caches.
const PROGRAM_BYTES: u64 = 8 * 1024 * 1024;

impl MemoryBounds {
    pub(super) fn of(settings: &BrokerSettings) -> Self {
        let memory = settings.shared_memory_size;
        let (memory_bytes, incoming) = match settings.memory_accounting {
            // Measured: messages and incoming data, with the program and the allocator's overhead,
            // stay below twice `memory`.
            MemoryAccounting::Process => (memory, memory / 2),
            // The factor covers the smallest channel; see `Channel::footprint`.
            MemoryAccounting::SharedMemory => (memory.saturating_mul(4), memory),
        };
        let connections = settings.connection_memory.unwrap_or(0);
        Self {
            memory,
            connections,
            incoming: incoming.max(MIN_INCOMING_BYTES),
            memory_bytes,
        }
    }

    /// Sum of all bounds. Above it, freed memory has to be returned to the system.
    pub(super) fn resident(&self) -> u64 {
        let reserve = reserve_of(if self.connections > 0 {
            self.connections
        } else {
            self.memory
        });
        let parts = [
            self.memory_bytes,
            self.connections,
            self.incoming,
            reserve,
            PROGRAM_BYTES,
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// The memory bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no memory left (the bound is set by --memory, push_stream_shared_memory_size, \
     nchan_shared_memory_size or --connection-memory)"
)]
pub struct OutOfMemory;

/// Memory of an allocation of `bytes`, with the overhead of the allocator.
pub(super) const fn allocated(bytes: usize) -> u64 {
    // glibc adds 8 bytes and rounds up to 16; the sixteenth is for fragmentation. Measured: full of
    // messages of 1 to 1,000 bytes, the process takes 0.81 to 0.92 of the charges beyond its size
    // at the start. Empty allocations are free.
    if bytes == 0 {
        0
    } else {
        (bytes + bytes / 16 + 16) as u64
    }
}

/// A sixteenth: the share of records of dropped messages, that of cached requests, and the amount
/// by which connections may exceed the bound.
pub(super) const fn sixteenth_of(memory: u64) -> u64 {
    memory / 16
}

impl MemoryMeter {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            resident: None,
            check_bits: AtomicU32::new(63),
        })
    }

    /// A meter whose bytes count towards the resident memory.
    pub(super) fn within(limit: u64, resident: &Arc<ResidentBound>) -> Arc<Self> {
        let meter = Self {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            resident: Some(Arc::clone(resident)),
            check_bits: AtomicU32::new(check_bits(limit)),
        };
        Arc::new(meter)
    }

    /// Charges `bytes` until the returned charge is dropped.
    pub(super) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge, OutOfMemory> {
        self.take(bytes, 0)?;
        Ok(Charge {
            meter: Arc::clone(self),
            bytes,
        })
    }

    /// As [`MemoryMeter::charge`], for uses that may exceed the bound by `reserve`.
    pub(super) fn charge_reserve(
        self: &Arc<Self>,
        bytes: u64,
        reserve: u64,
    ) -> Result<Charge, OutOfMemory> {
        self.take(bytes, reserve)?;
        Ok(Charge {
            meter: Arc::clone(self),
            bytes,
        })
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets another bound. Existing charges stay; new ones fail until enough memory has been
    /// released.
    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
        if self.resident.is_some() {
            self.check_bits.store(check_bits(limit), Ordering::Relaxed);
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64, reserve: u64) -> Result<(), OutOfMemory> {
        let most = self.limit().saturating_add(reserve);
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= most);
        let before = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| OutOfMemory)?;
        if (before ^ (before + bytes)) >> self.check_bits.load(Ordering::Relaxed) != 0
            && let Some(resident) = &self.resident
        {
            resident.enforce();
        }
        Ok(())
    }
}

/// About a 64th of the limit, and at least 256 KiB.
fn check_bits(limit: u64) -> u32 {
    (limit / 64).max(256 * 1024).ilog2()
}

/// Memory charged to a bound; released on drop.
#[derive(Debug)]
pub struct Charge {
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

/// Minimum by which connections may exceed the bound: a full server must still show statistics and
/// accept deletions. The reserve is a sixteenth of the bound if that is more.
const MIN_RESERVE_BYTES: u64 = 1024 * 1024;

pub(super) fn reserve_of(limit: u64) -> u64 {
    sixteenth_of(limit).max(MIN_RESERVE_BYTES)
}

/// Memory of varying size charged to a bound, for buffers: incomplete heads, bodies and websocket
/// messages, pipelined requests, and responses that the socket does not accept.
#[derive(Debug)]
pub struct Reservation(Charge);

/// Granularity of reservations.
const STEP_BYTES: u64 = 4096;

impl Reservation {
    pub(super) fn new(meter: &Arc<MemoryMeter>) -> Self {
        Self(Charge {
            meter: Arc::clone(meter),
            bytes: 0,
        })
    }

    /// Grows or shrinks the reservation to cover `bytes`.
    ///
    /// # Errors
    /// When the memory bound is reached; the reservation is then released.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        let charge = &mut self.0;
        let wanted = (bytes as u64)
            .div_ceil(STEP_BYTES)
            .saturating_mul(STEP_BYTES);
        if wanted > charge.bytes {
            if let Err(error) = charge.meter.take(wanted - charge.bytes, 0) {
                self.release();
                return Err(error);
            }
        } else if wanted < charge.bytes {
            charge
                .meter
                .used
                .fetch_sub(charge.bytes - wanted, Ordering::Relaxed);
        }
        charge.bytes = wanted;
        Ok(())
    }

    /// Releases all of the reservation.
    pub fn release(&mut self) {
        if self.0.bytes > 0 {
            self.0
                .meter
                .used
                .fetch_sub(std::mem::take(&mut self.0.bytes), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_grows_and_shrinks_in_steps() {
        let meter = MemoryMeter::new(200_000);
        let mut reservation = Reservation::new(&meter);
        for (bytes, used) in [
            (0, 0),
            (1, 4096),
            (4096, 4096),
            (4097, 8192),
            (140_000, 143_360),
            (10, 4096),
            (0, 0),
            (9, 4096),
        ] {
            assert_eq!(
                (reservation.reserve(bytes), meter.used()),
                (Ok(()), used),
                "{bytes}"
            );
        }
        assert_eq!(
            (reservation.reserve(200_001), meter.used()),
            (Err(OutOfMemory), 0)
        );
        assert_eq!(
            (reservation.reserve(usize::MAX), meter.used()),
            (Err(OutOfMemory), 0)
        );
        reservation.reserve(5).expect("there is room");
        drop(reservation);
        assert_eq!(meter.used(), 0);
    }

    #[test]
    fn a_charge_is_released_on_drop() {
        let meter = MemoryMeter::new(100);
        let held = meter.charge(60).expect("there is room");
        assert_eq!(meter.charge(41).err(), Some(OutOfMemory));
        drop(held);
        assert!(meter.charge(100).is_ok());
        assert!(meter.charge(u64::MAX).is_err());
    }

    #[test]
    fn a_smaller_bound_rejects_charges_until_enough_is_released() {
        let meter = MemoryMeter::new(100);
        let first = meter.charge(60).expect("there is room");
        let second = meter.charge(40).expect("there is room");
        meter.set_limit(50);
        assert_eq!(
            (meter.charge(1).err(), meter.used()),
            (Some(OutOfMemory), 100)
        );
        drop(first);
        assert!(meter.charge(10).is_ok());
        drop(second);
        meter.set_limit(200);
        assert!(meter.charge(200).is_ok());
    }

    #[test]
    fn only_uses_with_a_reserve_exceed_the_bound() {
        let meter = MemoryMeter::new(100);
        let full = meter.charge(100).expect("there is room");
        let beyond = meter.charge_reserve(20, 20).expect("there is a reserve");
        assert_eq!(meter.charge_reserve(1, 20).err(), Some(OutOfMemory));
        drop(full);
        assert_eq!(
            (meter.used(), meter.charge(81).err()),
            (20, Some(OutOfMemory))
        );
        drop(beyond);
    }
}
