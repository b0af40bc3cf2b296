//! The log of one channel: its messages, and the resolution of cursors. Pure data without locks.
//!
//! The log has two windows over the same messages. `stored` is for new subscribers; the limits on
//! length and time to live apply to it. `live` holds the messages, stored or not, that some
//! follower has not received yet. It is usually empty, because rounds follow publishing closely,
//! and it is bounded in bytes, so that a follower that reads nothing does not accumulate memory.
//! Each follower has its own bound: it may read at most that many of the newest bytes of the live
//! window.

mod accounts;
mod cursor;
mod dropped;
mod reading;
mod resolve;
mod tags;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::smallvec;

pub(super) use accounts::LogAccounts;
pub use cursor::{Cursor, LogCursor};
pub use dropped::MissedCount;
pub(super) use reading::LogReader;
pub use reading::LogSlice;
pub use tags::ChannelStart;

use self::dropped::{DroppedMessages, RecordMeters};
use self::tags::TagCounter;
use super::groups::ChannelGroup;
use super::message::Message;
use crate::message::Position;

/// Messages of a channel, in the order of publication.
#[derive(Debug)]
pub(super) struct Log {
    stored: VecDeque<Arc<Message>>,
    live: VecDeque<LiveMessage>,
    live_bytes: u64,
    /// Bytes that ever passed through the live window.
    live_end: u64,
    last_id: u64,
    last_position: Position,
    /// Created with the first dropped message.
    dropped: Option<Box<DroppedMessages>>,
    pub(super) tags: TagCounter,
    accounts: Arc<LogAccounts>,
    /// Group of the channel, which counts its stored messages.
    group: Option<Arc<ChannelGroup>>,
}

/// A message in the live window.
#[derive(Debug)]
struct LiveMessage {
    message: Arc<Message>,
    /// Bytes that passed through the window before it.
    start: u64,
}

/// Options for appending a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct AppendOptions {
    /// Store it for future subscribers.
    pub store: bool,
    /// Keep it for the current followers.
    pub keep_live: bool,
    /// Maximum number of stored messages.
    pub max_stored: usize,
    /// It takes a tag of its channel.
    pub takes_channel_tag: bool,
    /// Maximum number of bytes held for followers that are behind.
    pub max_live_bytes: u64,
}

impl Log {
    pub(super) fn new(accounts: Arc<LogAccounts>, group: Option<Arc<ChannelGroup>>) -> Self {
        if let Some(group) = &group {
            group.channels.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            stored: VecDeque::new(),
            live: VecDeque::new(),
            live_bytes: 0,
            live_end: 0,
            last_id: 0,
            last_position: Position::default(),
            dropped: None,
            tags: TagCounter::default(),
            accounts,
            group,
        }
    }

    /// The group of the channel, if it is in one.
    pub(super) fn group(&self) -> Option<&ChannelGroup> {
        self.group.as_deref()
    }

    /// Removes the stored messages from the counts of the group. Returns the group, if there was
    /// one.
    pub(super) fn leave_group(&mut self) -> Option<Arc<ChannelGroup>> {
        let group = self.group.take()?;
        let bytes: u64 = self
            .stored
            .iter()
            .map(|message| message.charge.bytes())
            .sum();
        group
            .messages
            .fetch_sub(self.stored.len() as u64, Ordering::Relaxed);
        group.messages_memory.fetch_sub(bytes, Ordering::Relaxed);
        Some(group)
    }

    /// Id of the newest message; 0 if there was none.
    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Number of stored messages.
    pub(super) fn stored_count(&self) -> usize {
        self.stored.len()
    }

    /// Number of messages that were stored once and are gone.
    pub(super) fn dropped_count(&self) -> u64 {
        self.dropped.as_ref().map_or(0, |dropped| dropped.total())
    }

    /// Bytes in the live window.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Appends a message whose id is `last_id() + 1`. Returns the number of stored messages dropped
    /// because of the limit.
    pub(super) fn append(&mut self, message: Arc<Message>, options: &AppendOptions) -> usize {
        debug_assert_eq!(message.id, self.last_id + 1, "ids are consecutive");
        self.last_id = message.id;
        self.last_position = message.position;
        if options.keep_live {
            let bytes = message.charge.bytes();
            self.live.push_back(LiveMessage {
                message: Arc::clone(&message),
                start: self.live_end,
            });
            self.live_end += bytes;
            self.live_bytes += bytes;
            self.accounts.lag_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.limit_live(options.max_live_bytes);
        }
        if options.store {
            if let Some(group) = &self.group {
                group.messages.fetch_add(1, Ordering::Relaxed);
                group
                    .messages_memory
                    .fetch_add(message.charge.bytes(), Ordering::Relaxed);
            }
            self.stored.push_back(message);
        }
        let excess = self.stored.len().saturating_sub(options.max_stored);
        self.drop_stored(excess);
        excess
    }

    /// True if [`Log::expire`] would change the log.
    pub(super) fn needs_sweep(&self, newest_expired: u64) -> bool {
        let oldest = self.stored.front();
        oldest.map_or(self.stored.capacity() > 0, |oldest| {
            oldest.is_expired(newest_expired)
        })
    }

    /// Removes expired messages. Without their own expiry time, messages of second `newest_expired`
    /// and before are expired. Returns the number of removed messages.
    pub(super) fn expire(&mut self, newest_expired: u64) -> usize {
        let expired = self
            .stored
            .iter()
            .take_while(|message| message.is_expired(newest_expired))
            .count();
        self.drop_stored(expired);
        if self.stored.is_empty() {
            self.stored.shrink_to_fit();
        }
        expired
    }

    /// Records that a reader had the message with this id. Returns true if the message was deleted
    /// by that, because its attributes ask for it and it is the oldest.
    pub(super) fn record_read(&mut self, id: u64) -> bool {
        let Some(message) = self
            .stored
            .get(self.stored.partition_point(|message| message.id < id))
            .filter(|message| message.id == id)
        else {
            return false;
        };
        let recipients = message
            .recipients
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let is_deleted = message.attributes.as_ref().is_some_and(|attributes| {
            let min_stored = attributes
                .delete_when_read
                .map_or(usize::MAX, |count| count as usize);
            self.stored.len() > min_stored && recipients >= attributes.min_recipients
        });
        let is_deleted = is_deleted && self.stored.front().is_some_and(|oldest| oldest.id == id);
        self.drop_stored(usize::from(is_deleted));
        is_deleted
    }

    fn drop_stored(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let dropped = self.dropped.get_or_insert_default();
        let meters = RecordMeters {
            memory: &self.accounts.memory,
            records: &self.accounts.records,
        };
        for message in self.stored.drain(..count) {
            if let Some(group) = &self.group {
                group.messages.fetch_sub(1, Ordering::Relaxed);
                group
                    .messages_memory
                    .fetch_sub(message.charge.bytes(), Ordering::Relaxed);
            }
            dropped.record(&message, meters);
        }
    }

    /// Releases live messages up to id `floor`, which every follower has received.
    pub(super) fn release_live(&mut self, floor: u64) {
        let before = self.live_bytes;
        while self
            .live
            .front()
            .is_some_and(|live| live.message.id <= floor)
        {
            self.pop_live();
        }
        self.account_release(before);
        if self.live.is_empty() && self.live.capacity() > 64 {
            self.live = VecDeque::new();
        }
    }

    /// Releases the oldest live messages beyond `max_bytes`, except the newest message.
    pub(super) fn limit_live(&mut self, max_bytes: u64) {
        let before = self.live_bytes;
        while self.live_bytes > max_bytes && self.live.len() > 1 {
            self.pop_live();
        }
        self.account_release(before);
    }

    fn pop_live(&mut self) {
        if let Some(live) = self.live.pop_front() {
            self.live_bytes -= live.message.charge.bytes();
        }
    }

    fn account_release(&self, before: u64) {
        if before > self.live_bytes {
            self.accounts
                .lag_bytes
                .fetch_sub(before - self.live_bytes, Ordering::Relaxed);
        }
    }

    /// Index at which the live window of a follower begins that may be `max_bytes` behind.
    fn live_start(&self, max_bytes: u64) -> usize {
        if self.live_bytes <= max_bytes {
            return 0;
        }
        let outside = self
            .live
            .partition_point(|live| self.live_end - live.start > max_bytes);
        outside.min(self.live.len().saturating_sub(1))
    }

    /// Reads the messages that are due to a reader, up to about `max_bytes` of text (at least one
    /// message) and not across a gap. The reader may be `max_lag` bytes behind; it gets older
    /// messages only if they are stored.
    pub(super) fn read(&self, cursor: LogCursor, max_lag: u64, max_bytes: usize) -> LogSlice {
        if let Some(newest) = self.single_due_message(cursor) {
            let cursor = LogCursor {
                last_seen: self.last_id,
                ..cursor
            };
            return LogSlice {
                messages: smallvec![newest],
                cursor,
                missed: 0,
                is_cut: false,
                horizon: self.last_position,
            };
        }
        self.read_in_steps(cursor, max_lag, max_bytes)
    }

    fn read_in_steps(&self, cursor: LogCursor, max_lag: u64, max_bytes: usize) -> LogSlice {
        let mut reading = LogReader::new(self, cursor, max_lag);
        let mut bytes = 0;
        while bytes < max_bytes && reading.next_position().is_some() && reading.can_continue() {
            bytes += reading.take();
        }
        reading.finish()
    }

    /// The newest message, if it is the only one that is due to a reader. This is the common case,
    /// which needs no search.
    fn single_due_message(&self, cursor: LogCursor) -> Option<Arc<Message>> {
        if cursor.last_seen + 1 != self.last_id || cursor.is_in_backlog() || cursor.backlog > 0 {
            return None;
        }
        // The live window keeps its newest message, whatever the reader's lag limit is.
        let newest = self
            .live
            .back()
            .map(|live| &live.message)
            .or(self.stored.back());
        newest.filter(|newest| newest.id == self.last_id).cloned()
    }

    /// The cursor right before the newest message that is due to a reader, and the number of due
    /// messages that it skips.
    pub(super) fn skip_to_newest(&self, cursor: LogCursor) -> (LogCursor, u64) {
        let newest_live = self.live.back().map_or(0, |live| live.message.id);
        let newest_stored = self.stored.back().map_or(0, |message| message.id);
        let newest = if newest_live > cursor.live_from {
            newest_live.max(newest_stored)
        } else {
            newest_stored
        };
        if newest <= cursor.last_seen {
            return (cursor, 0);
        }
        let is_backlog = newest <= cursor.live_from;
        let missed_backlog =
            u64::from(cursor.backlog) - u64::from(is_backlog && cursor.backlog > 0);
        let missed_live = (newest - 1).saturating_sub(cursor.last_seen.max(cursor.live_from));
        let jumped = LogCursor {
            last_seen: newest - 1,
            backlog: u32::from(is_backlog),
            ..cursor
        };
        (jumped, missed_backlog + missed_live)
    }

    /// Position of the next message that is due to a reader, if there is one, and position of the
    /// newest message.
    pub(super) fn positions(
        &self,
        cursor: LogCursor,
        max_lag: u64,
    ) -> (Option<Position>, Position) {
        (
            LogReader::new(self, cursor, max_lag).next_position(),
            self.last_position,
        )
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.accounts
            .lag_bytes
            .fetch_sub(self.live_bytes, Ordering::Relaxed);
        if let Some(group) = self.leave_group() {
            group.channels.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
