//! The log of one channel: its messages and the resolution of cursors to places in it. Pure data, no locks.
//!
//! Two windows over the same messages. `stored` is what new subscribers may ask for; it is bounded by the length and
//! time-to-live limits. `live` is what present followers have not had yet, stored or not; it is empty most of the time
//! because rounds follow publishing closely, and bounded in bytes, so that a follower that does not read holds no memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::memory::{Charge, allocated};
use crate::message::Position;

/// A published message.
#[derive(Debug)]
pub struct Message {
    /// Number of the message in its channel, from 1; also its sequence number in the log.
    pub id: u64,
    /// Its time and tag.
    pub position: Position,
    /// The bytes of the request that published it.
    pub text: Bytes,
    /// `Event-Id` of the publisher.
    pub event_id: Option<Bytes>,
    /// `Event-Type` of the publisher.
    pub event_type: Option<Bytes>,
    /// Releases its share of the memory bound when the last holder lets go.
    pub(super) charge: Charge,
}

impl Message {
    /// Bytes that a message with these parts takes from the memory bound.
    pub(super) fn footprint(text: &Bytes, event_id: Option<&Bytes>, event_type: Option<&Bytes>) -> u64 {
        let of = |part: Option<&Bytes>| part.map_or(0, |part| allocated(part.len()));
        // Two reference counters, and its slots in two queues, which are up to twice as long as what is in them.
        of(Some(text)) + of(event_id) + of(event_type) + allocated(std::mem::size_of::<Self>() + 16) + 32
    }
}

/// Where a subscriber wants to go on (reference section 7.1).
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// Messages after this second, or, with `tag`, after that message of it.
    pub time: Option<u64>,
    /// Tag of the last message seen in second `time`.
    pub tag: Option<u64>,
    /// Event id of the last message seen.
    pub event_id: Option<Bytes>,
}

/// Messages of a channel, in the order of publication.
#[derive(Debug, Default)]
pub(super) struct Log {
    stored: VecDeque<Arc<Message>>,
    live: VecDeque<Arc<Message>>,
    live_bytes: u64,
    last_id: u64,
    last_position: Position,
}

/// Messages read from a log.
#[derive(Debug, Default)]
pub struct Slice {
    /// The messages, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// Id up to which the reader is now served (messages that it is not due are counted as served).
    pub up_to: u64,
    /// Number of messages that were due but are gone.
    pub missed: u64,
    /// The log goes on after this slice, which was cut for its size.
    pub is_cut: bool,
    /// Position up to which the reader is now served: of the newest message of the log, or, where the slice was cut for
    /// its size, of its last message.
    pub horizon: Position,
}

impl Log {
    /// Id of the newest message; 0 if there was none.
    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Number of stored messages.
    pub(super) fn stored_count(&self) -> usize {
        self.stored.len()
    }

    /// Appends a message whose id is `last_id() + 1`. Returns how many stored messages were dropped for the bound.
    pub(super) fn append(&mut self, message: Arc<Message>, window: &Window) -> usize {
        debug_assert_eq!(message.id, self.last_id + 1, "ids are consecutive");
        self.last_id = message.id;
        self.last_position = message.position;
        if window.keep_live {
            self.live_bytes += message.charge.bytes();
            self.live.push_back(Arc::clone(&message));
            while self.live_bytes > window.max_live_bytes && self.live.len() > 1 {
                self.pop_live();
            }
        }
        if !window.store {
            return 0;
        }
        self.stored.push_back(message);
        let excess = self.stored.len().saturating_sub(window.max_stored);
        self.stored.drain(..excess);
        excess
    }

    /// Removes stored messages of second `newest_expired` and before; returns how many.
    pub(super) fn expire(&mut self, newest_expired: u64) -> usize {
        let expired = self.stored.iter().take_while(|message| message.position.time <= newest_expired).count();
        self.stored.drain(..expired);
        if self.stored.is_empty() {
            self.stored.shrink_to_fit();
        }
        expired
    }

    /// Forgets live messages up to id `floor`: every present follower has had them.
    pub(super) fn release_live(&mut self, floor: u64) {
        while self.live.front().is_some_and(|message| message.id <= floor) {
            self.pop_live();
        }
        if self.live.is_empty() && self.live.capacity() > 64 {
            self.live = VecDeque::new();
        }
    }

    fn pop_live(&mut self) {
        if let Some(message) = self.live.pop_front() {
            self.live_bytes -= message.charge.bytes();
        }
    }

    /// Reads the messages after id `from` that a follower is due, up to about `max_bytes` of text (at least one).
    ///
    /// A follower that came when the newest id was `live_from` is due stored messages up to there, and all after it.
    pub(super) fn read(&self, from: u64, live_from: u64, max_bytes: usize) -> Slice {
        let mut reading = self.reading(from, live_from);
        let mut bytes = 0;
        while bytes < max_bytes && reading.next_position().is_some() {
            bytes += reading.take();
        }
        reading.finish()
    }

    /// Begins to read as [`Log::read`] does, message by message.
    pub(super) fn reading(&self, from: u64, live_from: u64) -> Reading<'_> {
        let first_live = self.live.front().map_or(self.last_id + 1, |message| message.id);
        // What is not in the live window any more (or was never meant to be) comes from the stored messages.
        let stored_up_to = (first_live - 1).max(live_from);
        let start = self.stored.partition_point(|message| message.id <= from);
        let from_store = self.stored.range(start..).take_while(move |message| message.id <= stored_up_to);
        let start = self.live.partition_point(|message| message.id <= from.max(stored_up_to));
        let due: Due<'_> = Box::new(from_store.chain(self.live.range(start..)));
        Reading { due: due.peekable(), log: self, live_from, expected: from.max(live_from) + 1, slice: Slice::default() }
    }

    /// Resolves where a new subscriber starts: the id *after* which stored messages are sent; `None` = none of them.
    pub(super) fn resolve(&self, backtrack: u32, cursor: &Cursor) -> Option<u64> {
        if self.stored.is_empty() {
            return None;
        }
        if backtrack > 0 {
            let skipped = self.stored.len().saturating_sub(backtrack as usize);
            return Some(self.stored[skipped].id - 1);
        }
        let by_event_id = cursor
            .event_id
            .as_ref()
            .and_then(|event_id| self.stored.iter().find(|message| message.event_id.as_ref() == Some(event_id)).map(|message| message.id));
        let by_time = cursor.time.and_then(|time| self.first_after(time, cursor.tag));
        match (by_event_id, by_time) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Whatever matches first in the scan of section 7.1 decides: the id after which messages are sent.
    fn first_after(&self, time: u64, tag: Option<u64>) -> Option<u64> {
        let reached = |message: &Arc<Message>| {
            let position = message.position;
            position.time > time || (position.time == time && tag.is_some_and(|tag| u64::from(position.tag) >= tag))
        };
        let index = self.stored.partition_point(|message| !reached(message));
        let message = self.stored.get(index)?;
        let seen = message.position.time == time && tag == Some(u64::from(message.position.tag));
        Some(if seen { message.id } else { message.id - 1 })
    }
}

type Due<'a> = Box<dyn Iterator<Item = &'a Arc<Message>> + 'a>;

/// A reader on its way through a log.
pub(super) struct Reading<'a> {
    due: std::iter::Peekable<Due<'a>>,
    log: &'a Log,
    live_from: u64,
    /// The live message that must come next, if none is missed.
    expected: u64,
    slice: Slice,
}

impl Reading<'_> {
    /// Position of the next message that is due.
    pub(super) fn next_position(&mut self) -> Option<Position> {
        self.due.peek().map(|message| message.position)
    }

    /// Takes the next message; returns about how many bytes it has.
    pub(super) fn take(&mut self) -> usize {
        let Some(message) = self.due.next() else { return 0 };
        if message.id > self.live_from {
            self.slice.missed += message.id - self.expected;
            self.expected = message.id + 1;
        }
        self.slice.messages.push(Arc::clone(message));
        message.text.len() + 64
    }

    /// What was read; it is cut if there is more.
    pub(super) fn finish(mut self) -> Slice {
        if let Some(next) = self.due.peek() {
            // A gap right before the next message is jumped over here and nowhere else.
            if next.id > self.live_from {
                self.slice.missed += next.id - self.expected;
            }
            self.slice.up_to = next.id - 1;
            self.slice.is_cut = true;
            self.slice.horizon = self.slice.messages.last().map(|last| last.position).unwrap_or_default();
            return self.slice;
        }
        self.slice.up_to = self.log.last_id;
        self.slice.horizon = self.log.last_position;
        if self.expected <= self.log.last_id {
            self.slice.missed += self.log.last_id + 1 - self.expected;
        }
        self.slice
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
    /// Most bytes held for followers that are behind.
    pub max_live_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryMeter;
    use super::*;

    fn log(count: u64, window: Window) -> Log {
        let meter = MemoryMeter::new(1 << 20);
        let mut log = Log::default();
        for id in 1..=count {
            let charge = meter.charge(100).expect("the meter has room");
            let position = Position::new(1000 + (id - 1) / 3, ((id - 1) % 3 + 1) as u32);
            let event_id = Some(Bytes::from(format!("e{id}")));
            log.append(Arc::new(Message { id, position, text: Bytes::from("x"), event_id, event_type: None, charge }), &window);
        }
        log
    }

    const ALL: Window = Window { store: true, keep_live: true, max_stored: 100, max_live_bytes: 1000 };

    fn ids(slice: &Slice) -> Vec<u64> {
        slice.messages.iter().map(|message| message.id).collect()
    }

    #[test]
    fn cursors_resolve_as_the_reference_says() {
        let log = log(9, ALL); // seconds 1000, 1001, 1002 with tags 1 to 3
        let at = |time, tag, event: Option<&'static str>| log.resolve(0, &Cursor { time, tag, event_id: event.map(Bytes::from) });
        assert_eq!(at(None, None, None), None);
        assert_eq!(at(None, Some(1), None), None, "a tag without a time");
        assert_eq!(at(Some(1000), None, None), Some(3), "later seconds only");
        assert_eq!(at(Some(1000), Some(2), None), Some(2));
        assert_eq!(at(Some(1000), Some(0), None), Some(0));
        assert_eq!(at(Some(1000), Some(9), None), Some(3), "the tag is beyond that second");
        assert_eq!(at(Some(0), None, None), Some(0));
        assert_eq!(at(Some(1002), Some(3), None), Some(9));
        assert_eq!(at(Some(1003), Some(1), None), None);
        assert_eq!(at(None, None, Some("e4")), Some(4));
        assert_eq!(at(None, None, Some("nobody")), None);
        assert_eq!(at(Some(1000), Some(1), Some("e4")), Some(1), "whichever comes first");
        assert_eq!(log.resolve(2, &Cursor::default()), Some(7));
        assert_eq!(log.resolve(u32::MAX, &Cursor::default()), Some(0));
    }

    #[test]
    fn a_slow_follower_reads_what_is_dropped_from_the_store() {
        let log = log(5, Window { max_stored: 1, ..ALL });
        let slice = log.read(0, 0, 1000);
        assert_eq!((ids(&slice), slice.up_to, slice.missed), (vec![1, 2, 3, 4, 5], 5, 0));
    }

    #[test]
    fn a_follower_beyond_both_windows_is_told_how_much_it_missed() {
        let mut log = log(9, Window { max_stored: 2, max_live_bytes: 300, ..ALL });
        assert_eq!((ids(&log.read(0, 0, 1000)), log.read(0, 0, 1000).missed), (vec![7, 8, 9], 6));
        log.release_live(9);
        let slice = log.read(3, 0, 1000);
        assert_eq!((ids(&slice), slice.missed), (vec![8, 9], 4));
        log.expire(5000);
        let slice = log.read(3, 0, 1000);
        assert_eq!((ids(&slice), slice.missed, slice.up_to), (vec![], 6, 9));
    }

    #[test]
    fn a_gap_before_a_cut_is_counted() {
        let log = log(9, Window { max_stored: 2, max_live_bytes: 300, ..ALL });
        let slice = log.reading(1, 0).finish();
        assert_eq!((ids(&slice), slice.missed, slice.up_to, slice.is_cut), (vec![], 5, 6, true), "2 to 6 are gone");
        let slice = log.reading(6, 0).finish();
        assert_eq!((slice.missed, slice.up_to, slice.is_cut), (0, 6, true));
    }

    #[test]
    fn a_backlog_holds_stored_messages_only_and_misses_nothing() {
        let log = log(5, Window { max_stored: 2, ..ALL });
        let slice = log.read(0, 5, 1000);
        assert_eq!((ids(&slice), slice.missed, slice.up_to), (vec![4, 5], 0, 5));
        let slice = log.read(0, 4, 1000);
        assert_eq!((ids(&slice), slice.missed), (vec![4, 5], 0), "4 is backlog, 5 is live");
    }

    #[test]
    fn slices_are_bounded() {
        let log = log(9, ALL);
        let slice = log.read(0, 0, 100);
        assert_eq!((ids(&slice), slice.up_to, slice.missed), (vec![1, 2], 2, 0));
        assert_eq!(ids(&log.read(2, 0, 1)), [3]);
    }
}
