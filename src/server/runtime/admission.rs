//! Admission of connections: limits in total and per client address, and the choice of the shard.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::server::broker::{Broker, Charge, Incident};
use crate::server::config::ConnectionLimits;

/// Rejections are logged as one episode, which ends when there were none for this time.
const QUIET_AFTER: Duration = Duration::from_secs(10);

/// The connection counts of all shards. The lock is taken only if there is a limit per address,
/// and held for a few instructions.
pub(in crate::server) struct Admission {
    broker: Broker,
    max_connections: AtomicUsize,
    max_per_address: AtomicUsize,
    shards: Vec<AtomicUsize>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    rejections: RejectionLog,
}

/// An admitted connection; counted until it is dropped.
pub(in crate::server) struct Admitted {
    admission: Arc<Admission>,
    shard: usize,
    address: Option<IpAddr>,
    _share: Charge,
}

/// Logs the beginning and the end of each episode of rejections.
#[derive(Default)]
struct RejectionLog {
    is_rejecting: AtomicBool,
    last_rejection: Mutex<Option<Instant>>,
}

impl Admission {
    pub(in crate::server) fn new(
        shards: usize,
        limits: &ConnectionLimits,
        broker: Broker,
    ) -> Arc<Self> {
        Arc::new(Self {
            broker,
            max_connections: AtomicUsize::new(limits.max_connections),
            max_per_address: AtomicUsize::new(limits.max_connections_per_address),
            shards: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            addresses: Mutex::default(),
            rejections: RejectionLog::default(),
        })
    }

    /// Replaces the limits. Present connections are not affected.
    pub(in crate::server) fn apply(&self, limits: &ConnectionLimits) {
        self.max_connections
            .store(limits.max_connections, Ordering::Relaxed);
        self.max_per_address
            .store(limits.max_connections_per_address, Ordering::Relaxed);
    }

    /// Admits a connection from `source` (`None` = a unix socket).
    ///
    /// # Errors
    /// The limit that rejects it; the incident has been counted and logged.
    pub(in crate::server) fn admit(
        self: &Arc<Self>,
        source: Option<IpAddr>,
    ) -> Result<Admitted, Incident> {
        let admitted = self.try_admit(source);
        match &admitted {
            Ok(_) => self.rejections.record_admission(),
            Err(incident) => self.rejections.record_rejection(
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
            .memory()
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
        // The shard with the fewest connections.
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
    /// Index of the shard that serves the connection.
    pub(in crate::server) fn shard(&self) -> usize {
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
    fn record_rejection(&self, incident: Incident, max_connections: usize, max_per_address: usize) {
        *self.last_rejection.lock() = Some(Instant::now());
        if self.is_rejecting.swap(true, Ordering::Relaxed) {
            return;
        }
        match incident {
            Incident::TooManyFromAddress => {
                tracing::warn!(
                    limit = max_per_address,
                    "rejecting connections: too many from one address \
                     (--max-connections-per-address)"
                );
            }
            Incident::NoMemoryForConnection => {
                tracing::warn!(
                    "rejecting connections: memory limit reached (--memory, --connection-memory)"
                )
            }
            _ => tracing::warn!(
                limit = max_connections,
                "rejecting connections: too many open connections (--max-connections)"
            ),
        }
    }

    fn record_admission(&self) {
        if !self.is_rejecting.load(Ordering::Relaxed) {
            return;
        }
        if self
            .last_rejection
            .lock()
            .is_none_or(|last| last.elapsed() >= QUIET_AFTER)
        {
            self.is_rejecting.store(false, Ordering::Relaxed);
            tracing::info!("accepting all connections again");
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
    fn connections_of_an_address_are_limited_and_released() {
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
            "no entry is left of closed connections"
        );
        assert_eq!(admission.broker.counters().memory_used(), 0);
    }

    #[test]
    fn connections_are_limited_in_total() {
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
