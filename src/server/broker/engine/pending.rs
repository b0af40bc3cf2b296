//! The bound on what an engine has accepted and not carried out yet: its number
//! (`--max-pending-publishes`) and its memory, which is charged like incoming bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::server::broker::{Broker, Charge, Incident, PublishError};
use crate::server::observe::limits_log::Limit;

/// The number of pending requests of a broker.
#[cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "the memory engine has no pending requests")
)]
#[derive(Clone, Debug, Default)]
pub(super) struct PendingRequests(Arc<AtomicU64>);

/// A pending request: counted and charged until it is dropped.
#[derive(Debug)]
pub(super) struct PendingRequest {
    _count: PendingCount,
    _charge: Charge,
}

/// One of the pending requests.
#[derive(Debug)]
struct PendingCount(PendingRequests);

#[cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "the memory engine has no pending requests")
)]
impl PendingRequests {
    /// Counts a request to the engine and charges its memory.
    ///
    /// # Errors
    /// When either has no room left.
    pub(super) fn enter(
        &self,
        broker: &Broker,
        bytes: u64,
    ) -> Result<PendingRequest, PublishError> {
        let max = broker.settings().max_pending_publishes;
        let room = |count: u64| Some(count + 1).filter(|count| *count <= max);
        let counted = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        if counted.is_err() {
            Limit::PendingPublishes.log();
            return Err(PublishError::TooManyPending);
        }
        let count = PendingCount(self.clone());
        let charge = broker.0.incoming.charge(bytes);
        let charge = charge.inspect_err(|_| broker.count(Incident::NoMemoryForIncoming))?;
        Ok(PendingRequest {
            _count: count,
            _charge: charge,
        })
    }
}

impl Drop for PendingCount {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
