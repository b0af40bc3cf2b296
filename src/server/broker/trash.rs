//! The trash that statistics show: messages and channels removed in the last seconds.
//!
//! The module keeps removed things in memory for a while; we only keep their number, on the same
//! schedule (push-stream.md, section 6), because monitoring reads it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::memory::Charge;

/// Time that things stay in the trash; they leave at the first tick after it.
const STAY: Duration = Duration::from_secs(10);

/// What was removed, and when.
#[derive(Debug, Default)]
pub(super) struct Trash {
    messages: Counted,
    channels: Counted,
    /// Deleted channels that wait for the next tick.
    in_delete: Vec<Deleted>,
}

/// A deleted channel.
#[derive(Debug)]
pub(super) struct Deleted {
    /// Its id, and what that takes from the memory bound; `None` if there was no room for it.
    pub(super) id: Option<(Bytes, Charge)>,
    /// Number of its stored messages.
    pub(super) stored: usize,
}

/// The numbers in the trash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TrashCounts {
    pub(super) messages: u64,
    pub(super) channels: u64,
    pub(super) in_delete: u64,
}

#[derive(Debug, Default)]
struct Counted {
    total: u64,
    /// One entry for each second at most.
    batches: VecDeque<(Instant, u64)>,
}

impl Counted {
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
        self.in_delete.push(Deleted { id, stored });
    }

    /// Frees what has stayed long enough, then takes over the deleted channels, which are returned.
    pub(super) fn sweep(&mut self) -> Vec<Deleted> {
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
