//! Who gets in: the bounds on connections, in total and per address, and the shard that takes each
//! of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::broker::{Broker, Charge, Incident};
use super::config::ConnectionLimits;

/// Refusals are told once, and again when there were none for so long.
const QUIET_AFTER: Duration = Duration::from_secs(10);

/// The connections of all shards. Locks are held for a few instructions, and only where there is a
/// limit per address.
pub(super) struct Admission {
    broker: Broker,
    max_connections: AtomicUsize,
    max_per_address: AtomicUsize,
    shards: Vec<AtomicUsize>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    told: RejectionLog,
}

/// A connection that got in; counted until it is dropped.
pub(super) struct Admitted {
    admission: Arc<Admission>,
    shard: usize,
    address: Option<IpAddr>,
    _share: Charge,
}

/// Whether the log knows that connections are refused.
#[derive(Default)]
struct RejectionLog {
    is_refusing: AtomicBool,
    last: Mutex<Option<Instant>>,
}

impl Admission {
    pub(super) fn new(shards: usize, limits: &ConnectionLimits, broker: Broker) -> Arc<Self> {
        Arc::new(Self {
            broker,
            max_connections: AtomicUsize::new(limits.max_connections),
            max_per_address: AtomicUsize::new(limits.max_connections_per_address),
            shards: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            addresses: Mutex::default(),
            told: RejectionLog::default(),
        })
    }

    /// Goes on with the bounds of `limits`; those who are in stay.
    pub(super) fn apply(&self, limits: &ConnectionLimits) {
        self.max_connections
            .store(limits.max_connections, Ordering::Relaxed);
        self.max_per_address
            .store(limits.max_connections_per_address, Ordering::Relaxed);
    }

    /// Counts a connection from `source` (`None` = a unix socket), or says what is in its way.
    pub(super) fn admit(self: &Arc<Self>, source: Option<IpAddr>) -> Result<Admitted, Incident> {
        let admitted = self.try_admit(source);
        match &admitted {
            Ok(_) => self.told.admitted(),
            Err(incident) => self.told.refused(
                *incident,
                self.max_connections.load(Ordering::Relaxed),
                self.max_per_address.load(Ordering::Relaxed),
            ),
        }
        admitted
    }

    fn try_admit(self: &Arc<Self>, source: Option<IpAddr>) -> Result<Admitted, Incident> {
        let counts: Vec<usize> = self
            .shards
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        if counts.iter().sum::<usize>() >= self.max_connections.load(Ordering::Relaxed) {
            self.broker.count(Incident::TooManyConnections);
            return Err(Incident::TooManyConnections);
        }
        let share = self
            .broker
            .charge_connection()
            .map_err(|_| Incident::NoMemoryForConnection)?;
        let max_per_address = self.max_per_address.load(Ordering::Relaxed);
        let address = source.filter(|_| max_per_address > 0);
        if let Some(address) = address {
            let mut addresses = self.addresses.lock();
            let count = addresses.entry(address).or_default();
            if *count >= max_per_address {
                self.broker.count(Incident::TooManyFromAddress);
                return Err(Incident::TooManyFromAddress);
            }
            *count += 1;
        }
        // The shard with the fewest.
        let shard = (0..counts.len())
            .rev()
            .min_by_key(|index| counts[*index])
            .unwrap_or(0);
        self.shards[shard].fetch_add(1, Ordering::Relaxed);
        Ok(Admitted {
            admission: Arc::clone(self),
            shard,
            address,
            _share: share,
        })
    }
}

impl Admitted {
    /// The shard that takes it.
    pub(super) fn shard(&self) -> usize {
        self.shard
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.shards[self.shard].fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut addresses = self.admission.addresses.lock();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
        if addresses.len() * 8 < addresses.capacity() {
            addresses.shrink_to_fit();
        }
    }
}

impl RejectionLog {
    fn refused(&self, incident: Incident, most: usize, per_address: usize) {
        *self.last.lock() = Some(Instant::now());
        if self.is_refusing.swap(true, Ordering::Relaxed) {
            return;
        }
        match incident {
            Incident::TooManyFromAddress => {
                tracing::warn!(
                    limit = per_address,
                    "connections are refused: too many of one address \
                     (--max-connections-per-address)"
                );
            }
            Incident::NoMemoryForConnection => {
                tracing::warn!(
                    "connections are refused: the memory bound is reached (--memory, \
                     --connection-memory)"
                )
            }
            _ => tracing::warn!(
                limit = most,
                "connections are refused: too many at once (--max-connections)"
            ),
        }
    }

    fn admitted(&self) {
        if !self.is_refusing.load(Ordering::Relaxed) {
            return;
        }
        if self
            .last
            .lock()
            .is_none_or(|last| last.elapsed() >= QUIET_AFTER)
        {
            self.is_refusing.store(false, Ordering::Relaxed);
            tracing::info!("connections are no longer refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::server::config::BrokerSettings;

    fn admission(limits: &ConnectionLimits) -> Arc<Admission> {
        Admission::new(
            2,
            limits,
            Broker::new(BrokerSettings::default(), 2, 1000).expect("there is room"),
        )
    }

    fn from(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(127, 0, 0, last).into())
    }

    #[test]
    fn an_address_gets_its_share_and_gives_it_back() {
        let limits = ConnectionLimits {
            max_connections_per_address: 2,
            ..ConnectionLimits::default()
        };
        let admission = admission(&limits);
        let first = admission.admit(from(1)).expect("the first");
        let second = admission.admit(from(1)).expect("the second");
        assert_ne!(first.shard(), second.shard(), "spread over the shards");
        assert_eq!(
            admission.admit(from(1)).err(),
            Some(Incident::TooManyFromAddress)
        );
        let other = admission.admit(from(2)).expect("another address");
        let local: Vec<_> = (0..5)
            .map(|_| admission.admit(None).expect("a unix socket"))
            .collect();
        drop(first);
        assert!(admission.admit(from(1)).is_ok());
        drop((second, other, local));
        assert!(
            admission.addresses.lock().is_empty(),
            "nothing is kept of those who left"
        );
        assert_eq!(admission.broker.memory_used(), 0);
    }

    #[test]
    fn there_are_never_more_than_allowed() {
        let admission = admission(&ConnectionLimits {
            max_connections: 3,
            ..ConnectionLimits::default()
        });
        let mut held: Vec<_> = (0..3)
            .map(|last| admission.admit(from(last)).expect("there is room"))
            .collect();
        assert_eq!(
            admission.admit(None).err(),
            Some(Incident::TooManyConnections)
        );
        held.pop();
        assert!(admission.admit(None).is_ok());
    }
}
