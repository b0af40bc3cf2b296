//! The trash: counts of messages and channels removed in the last seconds.
//!
//! The module keeps removed objects in memory for a while. We only keep their counts, on the same
//! schedule (push-stream.md, section 6), because monitoring reads them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::memory::Charge;

/// Time for which objects stay in the trash. They leave at the first tick after it.
const STAY: Duration = Duration::from_secs(10);

/// Counts of removed objects.
#[derive(Debug, Default)]
pub(super) struct Trash {
    messages: TrashCounter,
    channels: TrashCounter,
    /// Deleted channels that wait for the next tick.
    in_delete: Vec<DeletedChannel>,
}

/// A deleted channel.
#[derive(Debug)]
pub(super) struct DeletedChannel {
    /// Its id, with the memory charge for it; `None` if there was no memory for the id.
    pub(super) id: Option<(Bytes, Charge)>,
    /// Number of its stored messages.
    pub(super) stored: usize,
}

/// Current counts of the trash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TrashCounts {
    pub(super) messages: u64,
    pub(super) channels: u64,
    pub(super) in_delete: u64,
}

#[derive(Debug, Default)]
struct TrashCounter {
    total: u64,
    /// At most one entry per second.
    batches: VecDeque<(Instant, u64)>,
}

impl TrashCounter {
    fn add(&mut self, count: u64) {
        let now = Instant::now();
        self.total += count;
        match self.batches.back_mut() {
            Some((since, batch)) if now.duration_since(*since) < Duration::from_secs(1) => {
                *batch += count
            }
            _ => self.batches.push_back((now, count)),
        }
    }

    fn sweep(&mut self) {
        while let Some((_, count)) = self
            .batches
            .front()
            .filter(|(since, _)| since.elapsed() > STAY)
        {
            self.total -= count;
            self.batches.pop_front();
        }
    }
}

impl Trash {
    pub(super) fn add_messages(&mut self, count: u64) {
        if count > 0 {
            self.messages.add(count);
        }
    }

    pub(super) fn add_channel(&mut self) {
        self.channels.add(1);
    }

    pub(super) fn add_deleted_channel(&mut self, id: Option<(Bytes, Charge)>, stored: usize) {
        self.in_delete.push(DeletedChannel { id, stored });
    }

    /// Removes what has stayed long enough, then moves the deleted channels to the trash and
    /// returns them.
    pub(super) fn sweep(&mut self) -> Vec<DeletedChannel> {
        self.messages.sweep();
        self.channels.sweep();
        let deleted = std::mem::take(&mut self.in_delete);
        for channel in &deleted {
            self.add_channel();
            self.add_messages(channel.stored as u64);
        }
        deleted
    }

    pub(super) fn counts(&self) -> TrashCounts {
        TrashCounts {
            messages: self.messages.total,
            channels: self.channels.total,
            in_delete: self.in_delete.len() as u64,
        }
    }
}
