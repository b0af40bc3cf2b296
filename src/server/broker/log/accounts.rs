//! Memory accounting shared by the logs of a broker.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::server::broker::memory::{MemoryMeter, sixteenth_of};

/// Accounts that all logs of a broker share.
#[derive(Debug)]
pub(in crate::server::broker) struct LogAccounts {
    /// Bytes held in live windows.
    pub(in crate::server::broker) lag_bytes: AtomicU64,
    /// Meter of the memory bound.
    pub(super) memory: Arc<MemoryMeter>,
    /// Meter of the part that records of dropped messages may use.
    pub(super) records: Arc<MemoryMeter>,
}

impl LogAccounts {
    /// Records of dropped messages may use [a sixteenth](sixteenth_of) of the memory bound.
    pub(in crate::server::broker) fn new(memory: &Arc<MemoryMeter>) -> Arc<Self> {
        let records = MemoryMeter::new(sixteenth_of(memory.limit()));
        Arc::new(Self {
            lag_bytes: AtomicU64::new(0),
            memory: Arc::clone(memory),
            records,
        })
    }

    /// Applies another memory bound.
    pub(in crate::server::broker) fn bound(&self, memory: u64) {
        self.records.set_limit(sixteenth_of(memory));
    }
}
