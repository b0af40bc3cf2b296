//! The numbers of the server: counted without locks, read by statistics.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::Broker;

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
    /// Subscriber connections.
    pub(super) subscribers: AtomicU64,
}

/// What became of a follower that was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slowness {
    /// It fell out of what is kept and was dropped.
    Disconnected,
    /// It went on with the oldest message that is kept.
    Skipped,
    /// It went on with the newest message.
    Latest,
    /// Its socket took nothing for the send time-out, and it was dropped.
    TimedOut,
}

/// The numbers of the whole server.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Channels, without wildcard ones.
    pub channels: u64,
    /// Wildcard channels.
    pub wildcard_channels: u64,
    /// Messages published since the start, without events.
    pub published: u64,
    /// Messages stored now, without events.
    pub stored: u64,
    /// Messages removed in the last seconds.
    pub messages_in_trash: u64,
    /// Deleted channels that wait for the next tick.
    pub channels_in_delete: u64,
    /// Channels removed in the last seconds.
    pub channels_in_trash: u64,
    /// What concerns the shards one by one.
    pub shards: Vec<ShardSummary>,
    /// Time since the start.
    pub uptime: Duration,
    /// Further numbers, by name, in the order in which they are shown. Names that were published
    /// once stay.
    pub details: Vec<(&'static str, u64)>,
}

/// The numbers of a shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardSummary {
    /// Id of its thread; 0 until it runs.
    pub thread_id: u32,
    /// Its subscriber connections.
    pub subscribers: u64,
}

impl Broker {
    /// Notes the thread on which a shard runs.
    pub fn note_thread(&self, shard: usize, thread_id: u32) {
        self.0.counters.shards[shard]
            .thread_id
            .store(thread_id, Ordering::Relaxed);
    }

    /// Counts a subscriber connection of `shard`, or its end.
    pub fn count_subscriber(&self, shard: usize, opened: bool) {
        let counter = &self.0.counters.shards[shard].subscribers;
        if opened {
            counter.fetch_add(1, Ordering::Relaxed)
        } else {
            counter.fetch_sub(1, Ordering::Relaxed)
        };
    }

    /// Counts a follower that was too slow, and the messages that it missed.
    pub fn count_slow(&self, slowness: Slowness, missed: u64) {
        let counters = &self.0.counters;
        let followers = match slowness {
            Slowness::Disconnected => &counters.slow_disconnected,
            Slowness::Skipped => &counters.slow_skipped,
            Slowness::Latest => &counters.slow_latest,
            Slowness::TimedOut => &counters.slow_timed_out,
        };
        followers.fetch_add(1, Ordering::Relaxed);
        counters.missed_live.fetch_add(missed, Ordering::Relaxed);
    }

    /// Counts messages that a subscriber missed because its cursor was older than what is kept.
    pub fn count_missed_at_resume(&self, missed: u64) {
        self.0
            .counters
            .missed_at_resume
            .fetch_add(missed, Ordering::Relaxed);
    }

    /// Sets the number of subscriber connections of `shard`, which a panic may have left wrong.
    pub fn set_subscribers(&self, shard: usize, count: u64) {
        self.0.counters.shards[shard]
            .subscribers
            .store(count, Ordering::Relaxed);
    }

    /// The numbers of the whole server.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let counters = &self.0.counters;
        let trash = self.0.trash.lock().counts();
        Summary {
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
        details.extend(self.incidents());
        details
    }

    /// Bytes that are taken from the memory bound now.
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
