//! The log of one channel: its messages and the resolution of cursors to places in it. Pure data,
//! no locks.
//!
//! Two windows over the same messages. `stored` is what new subscribers may ask for; it is bounded
//! by the length and time-to-live limits. `live` is what present followers have not had yet, stored
//! or not; it is empty most of the time because rounds follow publishing closely, and bounded in
//! bytes, so that a follower that does not read holds no memory. Each follower has a bound of its
//! own: of the live window it may read as many of the newest bytes as that says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use smallvec::smallvec;

use super::dropped::{Dropped, Missed, RecordMeters};
use super::groups::Group;
use super::memory::{MemoryMeter, sixteenth_of};
use super::message::Message;
use super::reading::{Reading, Slice};
use super::start::TagCounter;
use crate::message::Position;

/// Where a subscriber wants to go on (push-stream.md, section 7.1).
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// Messages after this second, or, with `tag`, after that message of it.
    pub time: Option<u64>,
    /// Tag of the last message seen in second `time`.
    pub tag: Option<u64>,
    /// Event id of the last message seen.
    pub event_id: Option<Bytes>,
    /// An event id whose message was dropped leads to the oldest stored message; otherwise, as in
    /// the module, to none.
    pub finds_dropped: bool,
    /// The place is lost, as was found at this position: all stored messages are newer than it, and
    /// others may be missing.
    pub lost_at: Option<Position>,
}

/// Where a reader stands in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// It has had everything up to this id.
    pub cursor: u64,
    /// Up to this id it is due stored messages only (they are backlog), after it all.
    pub live_from: u64,
    /// Number of backlog messages that it is still due.
    pub backlog: u32,
}

impl Place {
    /// There may be backlog that it is still due.
    #[must_use]
    pub fn is_in_backlog(&self) -> bool {
        self.cursor < self.live_from
    }
}

/// What all logs of a broker share.
#[derive(Debug)]
pub(super) struct LogAccounts {
    /// Bytes held in live windows.
    pub(super) lag_bytes: AtomicU64,
    /// The memory bound.
    pub(super) memory: Arc<MemoryMeter>,
    /// The part of it that may be taken by records of what was dropped.
    pub(super) records: Arc<MemoryMeter>,
}

/// Messages of a channel, in the order of publication.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) stored: VecDeque<Arc<Message>>,
    pub(super) live: VecDeque<Live>,
    live_bytes: u64,
    /// Bytes that ever went through the live window.
    live_end: u64,
    pub(super) last_id: u64,
    pub(super) last_position: Position,
    /// Made when something is dropped.
    pub(super) dropped: Option<Box<Dropped>>,
    pub(super) tags: TagCounter,
    accounts: Arc<LogAccounts>,
    /// Of the channel; counts what is stored.
    group: Option<Arc<Group>>,
}

/// A message in the live window.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) message: Arc<Message>,
    /// Bytes that went through the window before it.
    start: u64,
}

impl LogAccounts {
    /// All records together may take so much of the memory bound: [one part in 16](sixteenth_of).
    pub(super) fn new(memory: &Arc<MemoryMeter>) -> Arc<Self> {
        let records = MemoryMeter::new(sixteenth_of(memory.limit()));
        Arc::new(Self {
            lag_bytes: AtomicU64::new(0),
            memory: Arc::clone(memory),
            records,
        })
    }

    /// The memory bound is another one now.
    pub(super) fn bound(&self, memory: u64) {
        self.records.set_limit(sixteenth_of(memory));
    }
}

impl Log {
    /// An empty log.
    pub(super) fn new(accounts: Arc<LogAccounts>, group: Option<Arc<Group>>) -> Self {
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

    /// The group whose counts this log is part of.
    pub(super) fn group(&self) -> Option<&Group> {
        self.group.as_deref()
    }

    /// Takes what is stored off its group's counts; the group, if it was in one.
    pub(super) fn leave_group(&mut self) -> Option<Arc<Group>> {
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

    /// Appends a message whose id is `last_id() + 1`. Returns how many stored messages were dropped
    /// for the bound.
    pub(super) fn append(&mut self, message: Arc<Message>, window: &Window) -> usize {
        debug_assert_eq!(message.id, self.last_id + 1, "ids are consecutive");
        self.last_id = message.id;
        self.last_position = message.position;
        if window.keep_live {
            let bytes = message.charge.bytes();
            self.live.push_back(Live {
                message: Arc::clone(&message),
                start: self.live_end,
            });
            self.live_end += bytes;
            self.live_bytes += bytes;
            self.accounts.lag_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.bound_live(window.max_live_bytes);
        }
        if window.store {
            if let Some(group) = &self.group {
                group.messages.fetch_add(1, Ordering::Relaxed);
                group
                    .messages_memory
                    .fetch_add(message.charge.bytes(), Ordering::Relaxed);
            }
            self.stored.push_back(message);
        }
        let excess = self.stored.len().saturating_sub(window.max_stored);
        self.drop_stored(excess);
        excess
    }

    /// Whether [`Log::expire`] has anything to do.
    pub(super) fn needs_sweep(&self, newest_expired: u64) -> bool {
        let oldest = self.stored.front();
        oldest.map_or(self.stored.capacity() > 0, |oldest| {
            oldest.is_expired(newest_expired)
        })
    }

    /// Removes stored messages whose time is over, those without a time of their own if they are of
    /// second `newest_expired` or before; returns how many.
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

    /// Notes that a reader had the message of that id; true if it went then, because it was to go
    /// and is the oldest.
    pub(super) fn note_read(&mut self, id: u64) -> bool {
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
        let goes = message.attributes.as_ref().is_some_and(|attributes| {
            let left = attributes
                .goes_when_read
                .map_or(usize::MAX, |left| left as usize);
            self.stored.len() > left && recipients >= attributes.min_recipients
        });
        let goes = goes && self.stored.front().is_some_and(|oldest| oldest.id == id);
        self.drop_stored(usize::from(goes));
        goes
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
            dropped.note(&message, meters);
        }
    }

    /// Forgets live messages up to id `floor`: every present follower has had them.
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

    /// Forgets the oldest live messages beyond `max_bytes`; one stays.
    pub(super) fn bound_live(&mut self, max_bytes: u64) {
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

    /// Where the live window of a follower begins that may be `max_bytes` behind.
    pub(super) fn live_start(&self, max_bytes: u64) -> usize {
        if self.live_bytes <= max_bytes {
            return 0;
        }
        let outside = self
            .live
            .partition_point(|live| self.live_end - live.start > max_bytes);
        outside.min(self.live.len().saturating_sub(1))
    }

    /// Reads the messages that a reader at `place` is due, up to about `max_bytes` of text (at
    /// least one message) and not beyond a gap. It may be `max_lag` bytes behind; what is older is
    /// only there if it is stored.
    pub(super) fn read(&self, place: Place, max_lag: u64, max_bytes: usize) -> Slice {
        if let Some(newest) = self.newest_alone(place) {
            let place = Place {
                cursor: self.last_id,
                ..place
            };
            return Slice {
                messages: smallvec![newest],
                place,
                missed: 0,
                is_cut: false,
                horizon: self.last_position,
            };
        }
        self.read_in_steps(place, max_lag, max_bytes)
    }

    fn read_in_steps(&self, place: Place, max_lag: u64, max_bytes: usize) -> Slice {
        let mut reading = Reading::new(self, place, max_lag);
        let mut bytes = 0;
        while bytes < max_bytes && reading.next_position().is_some() && reading.may_go_on() {
            bytes += reading.take();
        }
        reading.finish()
    }

    /// The newest message, if it is all that a reader at `place` is due: as it is for most of them,
    /// most of the time.
    fn newest_alone(&self, place: Place) -> Option<Arc<Message>> {
        if place.cursor + 1 != self.last_id || place.is_in_backlog() || place.backlog > 0 {
            return None;
        }
        // The live window keeps its newest message, however little a reader may be behind.
        let newest = self
            .live
            .back()
            .map(|live| &live.message)
            .or(self.stored.back());
        newest.filter(|newest| newest.id == self.last_id).cloned()
    }

    /// The place right before the newest message that a reader at `place` is due, and how many come
    /// before it.
    pub(super) fn jump_to_newest(&self, place: Place) -> (Place, u64) {
        let newest_live = self.live.back().map_or(0, |live| live.message.id);
        let newest_stored = self.stored.back().map_or(0, |message| message.id);
        let newest = if newest_live > place.live_from {
            newest_live.max(newest_stored)
        } else {
            newest_stored
        };
        if newest <= place.cursor {
            return (place, 0);
        }
        let is_backlog = newest <= place.live_from;
        let missed_backlog = u64::from(place.backlog) - u64::from(is_backlog && place.backlog > 0);
        let missed_live = (newest - 1).saturating_sub(place.cursor.max(place.live_from));
        let jumped = Place {
            cursor: newest - 1,
            backlog: u32::from(is_backlog),
            ..place
        };
        (jumped, missed_backlog + missed_live)
    }

    /// The position of the next message that a reader at `place` is due; `None` if there is none.
    /// And that of the newest message, due or not.
    pub(super) fn positions(&self, place: Place, max_lag: u64) -> (Option<Position>, Position) {
        (
            Reading::new(self, place, max_lag).next_position(),
            self.last_position,
        )
    }

    /// Resolves where a new reader starts, and how many messages between its cursor and the oldest
    /// stored one are gone.
    pub(super) fn resolve(&self, backtrack: u32, cursor: &Cursor) -> (Place, Missed) {
        let place = |from: u64| {
            let due = self.stored.len() - self.stored.partition_point(|message| message.id <= from);
            Place {
                cursor: from,
                live_from: self.last_id,
                backlog: u32::try_from(due).unwrap_or(u32::MAX),
            }
        };
        if backtrack > 0 {
            let skipped = self.stored.len().saturating_sub(backtrack as usize);
            return (
                place(
                    self.stored
                        .get(skipped)
                        .map_or(self.last_id, |message| message.id - 1),
                ),
                Missed::default(),
            );
        }
        if cursor.lost_at.is_some() {
            return (
                place(self.before_oldest()),
                Missed {
                    count: self.dropped_count(),
                    at_least: true,
                },
            );
        }
        let by_event_id = cursor.event_id.as_ref().and_then(|event_id| {
            self.stored
                .iter()
                .find(|message| message.event_id.as_ref() == Some(event_id))
                .map(|message| message.id)
        });
        let by_time = cursor
            .time
            .and_then(|time| self.first_after(time, cursor.tag));
        let from = match (by_event_id, by_time) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let Some(dropped) = self.dropped.as_ref().filter(|_| by_event_id.is_none()) else {
            return (place(from.unwrap_or(self.last_id)), Missed::default());
        };
        let oldest = self
            .stored
            .front()
            .filter(|_| cursor.finds_dropped && dropped.mark_of_event(cursor).is_some());
        let from = from.or(oldest.map(|oldest| oldest.id - 1));
        (place(from.unwrap_or(self.last_id)), dropped.missed(cursor))
    }

    /// Whatever matches first in the scan of push-stream.md, section 7.1, decides: the id after
    /// which messages are sent.
    fn first_after(&self, time: u64, tag: Option<u64>) -> Option<u64> {
        let reached = |message: &Arc<Message>| {
            let position = message.position;
            position.time > time
                || (position.time == time && tag.is_some_and(|tag| u64::from(position.tag) >= tag))
        };
        let index = self.stored.partition_point(|message| !reached(message));
        let message = self.stored.get(index)?;
        let seen = message.position.time == time && tag == Some(u64::from(message.position.tag));
        Some(if seen { message.id } else { message.id - 1 })
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

/// What `append` does with a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Keep it for subscribers to come.
    pub store: bool,
    /// There are followers that still have to get it.
    pub keep_live: bool,
    /// Most stored messages.
    pub max_stored: usize,
    /// It takes a tag of its channel.
    pub takes_tag: bool,
    /// Most bytes held for followers that are behind.
    pub max_live_bytes: u64,
}

#[cfg(test)]
mod tests;
