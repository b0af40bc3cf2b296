//! Counters of the server: updated without locks, read by statistics.

mod incidents;

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

pub use incidents::Incident;
pub(super) use incidents::Incidents;

use super::Inner;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) channels: AtomicU64,
    pub(super) wildcard_channels: AtomicU64,
    pub(super) created: AtomicU64,
    pub(super) published: AtomicU64,
    pub(super) stored: AtomicI64,
    pub(super) slow_disconnected: AtomicU64,
    pub(super) slow_skipped: AtomicU64,
    pub(super) slow_latest: AtomicU64,
    pub(super) slow_timed_out: AtomicU64,
    pub(super) missed_live: AtomicU64,
    pub(super) missed_at_resume: AtomicU64,
    pub(super) shards: Vec<ShardCounters>,
}

#[derive(Debug, Default)]
pub(super) struct ShardCounters {
    pub(super) thread_id: AtomicU32,
    /// Number of subscriber connections.
    pub(super) subscribers: AtomicU64,
}

/// Outcome for a follower that was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowConsumerOutcome {
    /// It fell out of the log and was dropped.
    Disconnected,
    /// It continued with the oldest available message.
    Skipped,
    /// It continued with the newest message.
    Latest,
    /// Its socket accepted no data within the send time-out, and it was dropped.
    TimedOut,
}

/// Counters of the whole server.
#[derive(Clone, Debug)]
pub struct BrokerSummary {
    /// Number of channels, without wildcard channels.
    pub channels: u64,
    /// Number of wildcard channels.
    pub wildcard_channels: u64,
    /// Messages published since the start, without events.
    pub published: u64,
    /// Messages stored, without events.
    pub stored: u64,
    /// Messages removed in the last seconds.
    pub messages_in_trash: u64,
    /// Deleted channels that wait for the next tick.
    pub channels_in_delete: u64,
    /// Channels removed in the last seconds.
    pub channels_in_trash: u64,
    /// Counters of each shard.
    pub shards: Vec<ShardSummary>,
    /// Time since the start.
    pub uptime: Duration,
    /// Further counters by name, in display order. Published names are stable.
    pub details: Vec<(&'static str, u64)>,
}

/// Counters of a shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardSummary {
    /// Id of its thread; 0 until it runs.
    pub thread_id: u32,
    /// Number of its subscriber connections.
    pub subscribers: u64,
}

/// The counters of a broker.
#[derive(Clone, Copy, Debug)]
pub struct BrokerCounters<'a>(pub(super) &'a Inner);

impl BrokerCounters<'_> {
    /// Records the thread on which a shard runs.
    pub fn record_thread(&self, shard: usize, thread_id: u32) {
        self.0.counters.shards[shard]
            .thread_id
            .store(thread_id, Ordering::Relaxed);
    }

    /// Counts a new subscriber connection of `shard` (`opened`), or the end of one.
    pub fn count_subscriber(&self, shard: usize, opened: bool) {
        let counter = &self.0.counters.shards[shard].subscribers;
        if opened {
            counter.fetch_add(1, Ordering::Relaxed)
        } else {
            counter.fetch_sub(1, Ordering::Relaxed)
        };
    }

    /// Counts a follower that was too slow, with the number of messages that it missed.
    pub fn count_slow(&self, slowness: SlowConsumerOutcome, missed: u64) {
        let counters = &self.0.counters;
        let followers = match slowness {
            SlowConsumerOutcome::Disconnected => &counters.slow_disconnected,
            SlowConsumerOutcome::Skipped => &counters.slow_skipped,
            SlowConsumerOutcome::Latest => &counters.slow_latest,
            SlowConsumerOutcome::TimedOut => &counters.slow_timed_out,
        };
        followers.fetch_add(1, Ordering::Relaxed);
        counters.missed_live.fetch_add(missed, Ordering::Relaxed);
    }

    /// Counts messages that a subscriber missed because its cursor was older than the stored
    /// messages.
    pub fn count_missed_at_resume(&self, missed: u64) {
        self.0
            .counters
            .missed_at_resume
            .fetch_add(missed, Ordering::Relaxed);
    }

    /// Sets the number of subscriber connections of `shard`, to repair it after a panic.
    pub fn set_subscribers(&self, shard: usize, count: u64) {
        self.0.counters.shards[shard]
            .subscribers
            .store(count, Ordering::Relaxed);
    }

    /// The current counters of the whole server.
    #[must_use]
    pub fn summary(&self) -> BrokerSummary {
        let counters = &self.0.counters;
        let trash = self.0.trash.lock().counts();
        BrokerSummary {
            channels: counters.channels.load(Ordering::Relaxed),
            wildcard_channels: counters.wildcard_channels.load(Ordering::Relaxed),
            published: counters.published.load(Ordering::Relaxed),
            stored: counters
                .stored
                .load(Ordering::Relaxed)
                .max(0)
                .unsigned_abs(),
            messages_in_trash: trash.messages,
            channels_in_delete: trash.in_delete,
            channels_in_trash: trash.channels,
            shards: counters.shards.iter().map(ShardCounters::summary).collect(),
            uptime: self.0.started.elapsed(),
            details: self.details(),
        }
    }

    fn details(&self) -> Vec<(&'static str, u64)> {
        let Counters {
            slow_disconnected,
            slow_skipped,
            slow_latest,
            slow_timed_out,
            missed_live,
            missed_at_resume,
            ..
        } = &self.0.counters;
        let counted = [
            ("slow_disconnected", slow_disconnected),
            ("slow_skipped", slow_skipped),
            ("slow_latest", slow_latest),
            ("slow_timed_out", slow_timed_out),
            ("missed_live", missed_live),
            ("missed_at_resume", missed_at_resume),
            ("lag_bytes", &self.0.accounts.lag_bytes),
        ];
        let mut details: Vec<_> = counted
            .iter()
            .map(|(name, counter)| (*name, counter.load(Ordering::Relaxed)))
            .collect();
        let memory = &self.0.memory;
        let incoming = &self.0.incoming;
        details.extend([
            ("memory_used", memory.used()),
            ("memory_limit", memory.limit()),
        ]);
        details.extend([
            ("incoming_used", incoming.used()),
            ("incoming_limit", incoming.limit()),
        ]);
        let connections = &self.0.connections;
        details.extend([
            ("connection_memory_used", connections.used()),
            ("connection_memory_limit", connections.limit()),
        ]);
        details.extend(self.0.incidents.list());
        details
    }

    /// Bytes in use of the memory bound.
    #[must_use]
    pub fn memory_used(&self) -> u64 {
        self.0.memory.used()
    }
}

impl ShardCounters {
    fn summary(&self) -> ShardSummary {
        ShardSummary {
            thread_id: self.thread_id.load(Ordering::Relaxed),
            subscribers: self.subscribers.load(Ordering::Relaxed),
        }
    }
}
