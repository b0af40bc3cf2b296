//! The memory bounds: what messages, channels, subscribers and connections take.
//!
//! Charges are estimates of what the allocator really takes, a little on the high side; a test
//! compares them with the memory of the process. Where a file sets the size of a module's shared
//! memory, messages and channels are charged what they take there (see [`MemoryAccounting`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::resident::ResidentBound;
use super::{Broker, Incident};
use crate::server::config::{BrokerSettings, MemoryAccounting};

/// Counts bytes against a bound.
#[derive(Debug)]
pub(super) struct MemoryMeter {
    limit: AtomicU64,
    used: AtomicU64,
    /// What the process may have resident, if this meter counts a part of that.
    resident: Option<Arc<ResidentBound>>,
    /// The resident memory is checked when `used` passes a multiple of 2 to this power on its way
    /// up.
    check_bits: AtomicU32,
}

/// The bounds that follow from the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of messages, channels and subscribers, in the units in which they are charged.
    pub(super) memory: u64,
    /// Of connections, if they have their own.
    pub(super) connections: u64,
    /// Of what is coming in.
    pub(super) incoming: u64,
    /// What `memory` may take of the process.
    memory_bytes: u64,
}

/// Bodies and websocket messages that are coming in may take at least this, however small the store
/// is.
const MIN_INCOMING_BYTES: u64 = 8 * 1024 * 1024;

/// The program itself, stacks and caches.
const PROGRAM_BYTES: u64 = 8 * 1024 * 1024;

impl Bounds {
    pub(super) fn of(settings: &BrokerSettings) -> Self {
        let memory = settings.shared_memory_size;
        let (memory_bytes, incoming) = match settings.memory_accounting {
            // Measured: with the program, and with what the allocator adds, both together stay
            // below twice the memory.
            MemoryAccounting::Process => (memory, memory / 2),
            // See the smallest channel in `Channel::footprint`.
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

    /// What all may take together: above that freed memory has to go back to the system.
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

/// Bytes that an allocation of `bytes` takes, with what the allocator adds.
pub(super) const fn allocated(bytes: usize) -> u64 {
    // Size classes are an eighth apart at most, and small ones a few words; nothing takes nothing.
    if bytes == 0 {
        0
    } else {
        (bytes + bytes / 16 + 16) as u64
    }
}

/// What the records of logs, and what is remembered of requests, may take of the memory bound each,
/// and what connections may take beyond it.
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

    /// A meter of memory that counts towards what is resident.
    pub(super) fn within(limit: u64, resident: &Arc<ResidentBound>) -> Arc<Self> {
        let meter = Self {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            resident: Some(Arc::clone(resident)),
            check_bits: AtomicU32::new(check_bits(limit)),
        };
        Arc::new(meter)
    }

    /// Takes `bytes` until the returned charge is dropped.
    pub(super) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge, OutOfMemory> {
        self.take(bytes, 0)?;
        Ok(Charge {
            meter: Arc::clone(self),
            bytes,
        })
    }

    /// As [`MemoryMeter::charge`], for what may go beyond the bound by `reserve`.
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

    /// The bound.
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets another bound. What is taken beyond it stays; nothing more is given until enough has
    /// come back.
    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
        if self.resident.is_some() {
            self.check_bits.store(check_bits(limit), Ordering::Relaxed);
        }
    }

    /// Bytes taken now.
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

/// A share of the memory bound, given back on drop.
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

/// What a connection takes: its task, its place in the shard, what the runtime keeps of its socket.
/// Measured: 1,230 to 1,340 bytes with a subscription on one channel, by mode.
const CONNECTION_BYTES: u64 = 1216;

/// What a connection takes beside that while it serves requests and does not follow. Measured: 840
/// bytes more than with a subscription, while it waits for its next request. What a request takes
/// that waits for its body is less than the step in which that is covered.
const REQUESTS_BYTES: u64 = 960;

/// What a subscription takes beside its connection.
const SUBSCRIPTION_BYTES: u64 = 64;

/// What each channel of a subscription takes. Measured: 14 bytes where others follow the channel,
/// 500 with the channel itself, which is charged for on its own.
const MEMBERSHIP_BYTES: u64 = 64;

/// Connections may go beyond the bound by a sixteenth of it, and at least by this: a full server
/// must still show its statistics and let channels be deleted.
const MIN_RESERVE_BYTES: u64 = 1024 * 1024;

fn reserve_of(limit: u64) -> u64 {
    sixteenth_of(limit).max(MIN_RESERVE_BYTES)
}

impl Broker {
    /// The share of a connection, whether it follows or not. There is room for its requests, too.
    ///
    /// # Errors
    /// When the memory bound and the reserve for connections are used up.
    pub fn connection_share(&self) -> Result<Charge, OutOfMemory> {
        let _room = self.requests_share()?;
        self.reserved(CONNECTION_BYTES)
    }

    /// The share of a connection while it serves requests.
    ///
    /// # Errors
    /// When the memory bound and the reserve for connections are used up.
    pub fn requests_share(&self) -> Result<Charge, OutOfMemory> {
        self.reserved(REQUESTS_BYTES)
    }

    fn reserved(&self, bytes: u64) -> Result<Charge, OutOfMemory> {
        let meter = self.connection_meter();
        let charge = meter.charge_reserve(bytes, reserve_of(meter.limit()));
        charge.inspect_err(|_| self.count(Incident::NoMemoryForConnection))
    }

    /// The meter of connections and of what waits for their sockets.
    fn connection_meter(&self) -> &Arc<MemoryMeter> {
        let connections = &self.0.connections;
        if connections.limit() > 0 {
            connections
        } else {
            &self.0.memory
        }
    }

    /// The share of a subscription on so many channels, whose format keeps `own` bytes of its
    /// request.
    ///
    /// # Errors
    /// When the memory bound is reached.
    pub fn subscription_share(&self, channels: usize, own: usize) -> Result<Charge, OutOfMemory> {
        self.0.charge(
            SUBSCRIPTION_BYTES + MEMBERSHIP_BYTES.saturating_mul(channels as u64) + allocated(own),
        )
    }

    /// A changing share of the bound on connections: see [`Broker::reservation`] for what comes in.
    #[must_use]
    pub fn reservation_of_connections(&self) -> Reservation {
        Reservation::new(self.connection_meter())
    }

    /// The share of a request that a connection remembers, to answer others like it with less work:
    /// of the bound, and of the part of it that is for these. They must not take the room of what
    /// somebody needs.
    ///
    /// # Errors
    /// When either is used up.
    pub fn remembered_share(&self, bytes: usize) -> Result<[Charge; 2], OutOfMemory> {
        let bytes = allocated(bytes);
        Ok([
            self.0.remembered.charge(bytes)?,
            self.connection_meter().charge(bytes)?,
        ])
    }

    /// The share of bytes that wait for a subscriber's socket, or are kept for a connection.
    ///
    /// # Errors
    /// When the memory bound is reached.
    pub fn pending_share(&self, bytes: usize) -> Result<Charge, OutOfMemory> {
        self.connection_meter().charge(allocated(bytes))
    }
}

/// A changing share of the memory bound, for bytes that wait: heads, bodies and websocket messages
/// that are not complete, requests that came too early, answers that the socket does not take.
#[derive(Debug)]
pub struct Reservation(Charge);

/// Reservations change in steps of so many bytes.
const STEP_BYTES: u64 = 4096;

impl Reservation {
    pub(super) fn new(meter: &Arc<MemoryMeter>) -> Self {
        Self(Charge {
            meter: Arc::clone(meter),
            bytes: 0,
        })
    }

    /// Sees to it that `bytes` are covered.
    ///
    /// # Errors
    /// When the memory bound is reached; then nothing is covered any more.
    pub fn cover(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
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

    /// Covers nothing any more.
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
    fn a_reservation_covers_what_waits_in_steps() {
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
                (reservation.cover(bytes), meter.used()),
                (Ok(()), used),
                "{bytes}"
            );
        }
        assert_eq!(
            (reservation.cover(200_001), meter.used()),
            (Err(OutOfMemory), 0)
        );
        assert_eq!(
            (reservation.cover(usize::MAX), meter.used()),
            (Err(OutOfMemory), 0)
        );
        reservation.cover(5).expect("there is room");
        drop(reservation);
        assert_eq!(meter.used(), 0);
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

    #[test]
    fn a_smaller_bound_gives_nothing_until_enough_came_back() {
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
    fn the_reserve_is_for_those_who_may_use_it() {
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
