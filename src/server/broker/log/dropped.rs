//! The messages that a channel's store has dropped: their number, and the positions of some of
//! them, so that a subscriber that resumes with an old cursor learns how many it has missed.
//!
//! Messages that were never stored are not recorded: only followers present at the publication
//! receive them.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::mem::size_of;
use std::sync::{Arc, LazyLock};

use super::Cursor;
use crate::message::Position;
use crate::server::broker::memory::{Charge, MemoryMeter};
use crate::server::broker::message::Message;

/// Maximum number of dropped messages whose positions are recorded for a channel (4 KiB). Beyond it
/// older marks are thinned out: for the newest cursors the count is exact, for older ones it is a
/// lower bound of at least two thirds.
const MAX_MARKS: usize = 128;

/// Number of newest marks that are never thinned out. Of the older ones, a mark is removed if its
/// neighbours' ages differ by a factor of at most 1.5. Ages of every second mark then grow by at
/// least that factor, so 96 marks reach back over 10^9 messages.
const EXACT_MARKS: u64 = 32;

/// Growth of a record in marks, so that a channel that drops few messages uses little memory.
const MARKS_AT_ONCE: usize = 16;

/// Number of messages that a subscriber misses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MissedCount {
    /// The number, or a lower bound.
    pub count: u64,
    /// There may be more, because the record does not reach back far enough.
    pub at_least: bool,
}

/// The dropped messages of a channel.
#[derive(Debug, Default)]
pub(super) struct DroppedMessages {
    total: u64,
    /// Position of the newest dropped message.
    newest: Position,
    /// In the order of publication.
    marks: VecDeque<DroppedMark>,
    /// Charges for `marks`: to the memory bound, and to the part of it that all records may use.
    charges: Option<(Charge, Charge)>,
}

/// Position of a dropped message.
#[derive(Clone, Copy, Debug)]
struct DroppedMark {
    position: Position,
    /// Number among the dropped messages, from 1.
    ordinal: u64,
    /// Hash of its event id; 0 without an event id.
    event: u64,
}

/// The meters that records are charged to.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordMeters<'a> {
    pub(super) memory: &'a Arc<MemoryMeter>,
    pub(super) records: &'a Arc<MemoryMeter>,
}

impl MissedCount {
    fn exactly(count: u64) -> Self {
        Self {
            count,
            at_least: false,
        }
    }

    /// True if messages are missing or may be.
    #[must_use]
    pub fn is_gap(self) -> bool {
        self.count > 0 || self.at_least
    }

    /// Total of two channels; a lower bound if either is one.
    #[must_use]
    pub fn plus(self, other: MissedCount) -> MissedCount {
        MissedCount {
            count: self.count.saturating_add(other.count),
            at_least: self.at_least || other.at_least,
        }
    }
}

impl DroppedMessages {
    /// Number of messages dropped so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Records a message that is being dropped.
    pub(super) fn record(&mut self, message: &Message, meters: RecordMeters<'_>) {
        self.total += 1;
        self.newest = message.position;
        if self.marks.len() >= MAX_MARKS {
            self.thin_out();
        }
        if self.marks.len() == self.marks.capacity() && !self.grow(meters) {
            // Without room for a mark, the counts for older cursors become lower bounds.
            return;
        }
        let event = message
            .event_id
            .as_ref()
            .map_or(0, |event_id| hash(event_id));
        self.marks.push_back(DroppedMark {
            position: message.position,
            ordinal: self.total,
            event,
        });
    }

    /// The number of dropped messages that a subscriber with this cursor has not had.
    ///
    /// A cursor that requests everything (second 0) is not the position of a reader, so nothing is
    /// missed.
    pub(super) fn missed(&self, cursor: &Cursor) -> MissedCount {
        if self.total == 0 {
            return MissedCount::default();
        }
        if let Some(event) = self.ordinal_of_event(cursor) {
            return MissedCount::exactly(self.total - event);
        }
        match (cursor.time, cursor.tag) {
            (None, _) | (Some(0), None | Some(0)) => MissedCount::default(),
            (Some(time), tag) => {
                let tag = tag.map_or(u32::MAX, |tag| u32::try_from(tag).unwrap_or(u32::MAX));
                self.missed_after(Position::new(time, tag))
            }
        }
    }

    /// The number of the dropped message whose event id the cursor names.
    pub(super) fn ordinal_of_event(&self, cursor: &Cursor) -> Option<u64> {
        let event = hash(cursor.event_id.as_ref()?);
        self.marks
            .iter()
            .rev()
            .find(|mark| mark.event == event)
            .map(|mark| mark.ordinal)
    }

    fn missed_after(&self, seen: Position) -> MissedCount {
        if seen >= self.newest {
            return MissedCount::default();
        }
        let next = self.marks.partition_point(|mark| mark.position <= seen);
        // Without a newer mark, at least the newest dropped message is missed.
        let next_ordinal = self.marks.get(next).map_or(self.total, |mark| mark.ordinal);
        let before = next.checked_sub(1).map(|index| self.marks[index]);
        match before {
            Some(mark) if mark.position == seen => MissedCount::exactly(self.total - mark.ordinal),
            _ => MissedCount {
                count: self.total + 1 - next_ordinal,
                at_least: next_ordinal > before.map_or(0, |mark| mark.ordinal) + 1,
            },
        }
    }

    /// Removes marks whose older neighbour is close enough to the newer one. The first mark stays.
    fn thin_out(&mut self) {
        let ages: Vec<u64> = self
            .marks
            .iter()
            .map(|mark| self.total - mark.ordinal)
            .collect();
        let mut is_kept = [true; MAX_MARKS];
        let mut newer = 0;
        for index in (1..ages.len()).rev() {
            is_kept[index] = ages[index] <= EXACT_MARKS || ages[index - 1] > newer + newer / 2;
            if is_kept[index] {
                newer = ages[index];
            }
        }
        if is_kept.iter().all(|kept| *kept) {
            is_kept[1] = false;
        }
        let mut kept = is_kept.iter();
        self.marks.retain(|_| kept.next().is_none_or(|kept| *kept));
    }

    /// Makes room for more marks, unless all records together use too much memory.
    fn grow(&mut self, meters: RecordMeters<'_>) -> bool {
        let capacity = (self.marks.capacity() + MARKS_AT_ONCE)
            .max(self.marks.capacity() * 2)
            .min(MAX_MARKS);
        let bytes = (capacity * size_of::<DroppedMark>()) as u64;
        let (Ok(memory), Ok(record)) = (meters.memory.charge(bytes), meters.records.charge(bytes))
        else {
            return false;
        };
        self.marks.reserve_exact(capacity - self.marks.len());
        self.charges = Some((memory, record));
        true
    }
}

fn hash(event_id: &[u8]) -> u64 {
    /// Keyed, so that clients cannot choose colliding ids.
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HASHER.hash_one(event_id).max(1)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Drops messages 1 to `count`, three in each second from 1000 on.
    fn dropped(count: u64, limit: u64) -> DroppedMessages {
        let memory = MemoryMeter::new(1 << 20);
        let records = MemoryMeter::new(limit);
        let mut dropped = DroppedMessages::default();
        for id in 1..=count {
            let event_id = (id % 2 == 0).then(|| Bytes::from(format!("e{id}")));
            let charge = memory.charge(1).expect("the meter has room");
            let message = Message {
                id,
                position: position(id),
                text: Bytes::new(),
                event_id,
                event_type: None,
                attributes: None,
                channel_tag: 0,
                recipients: 0.into(),
                charge,
            };
            dropped.record(
                &message,
                RecordMeters {
                    memory: &memory,
                    records: &records,
                },
            );
        }
        dropped
    }

    fn position(id: u64) -> Position {
        Position::new(1000 + (id - 1) / 3, ((id - 1) % 3 + 1) as u32)
    }

    fn missed(dropped: &DroppedMessages, time: u64, tag: Option<u64>) -> (u64, bool) {
        let MissedCount { count, at_least } = dropped.missed(&Cursor {
            time: Some(time),
            tag,
            ..Cursor::default()
        });
        (count, at_least)
    }

    #[test]
    fn cursors_in_the_record_are_counted_exactly() {
        let dropped = dropped(100, 1 << 20);
        assert_eq!(missed(&dropped, 1000, Some(1)), (99, false));
        assert_eq!(
            missed(&dropped, 1000, None),
            (97, false),
            "the whole second was seen"
        );
        assert_eq!(missed(&dropped, 1000, Some(0)), (100, false));
        assert_eq!(
            missed(&dropped, 999, None),
            (100, false),
            "the record reaches back to the first message"
        );
        assert_eq!(missed(&dropped, 1032, Some(3)), (1, false));
        assert_eq!(missed(&dropped, 1033, Some(1)), (0, false));
        assert_eq!(missed(&dropped, 2000, None), (0, false));
        assert_eq!(
            missed(&dropped, 0, None),
            (0, false),
            "a request for all stored messages is not a position"
        );
        let by_event = |id: &'static str| {
            dropped.missed(&Cursor {
                event_id: Some(Bytes::from(id)),
                ..Cursor::default()
            })
        };
        assert_eq!(by_event("e90"), MissedCount::exactly(10));
        assert_eq!(by_event("unknown"), MissedCount::default());
        assert_eq!(
            DroppedMessages::default().missed(&Cursor {
                time: Some(5),
                ..Cursor::default()
            }),
            MissedCount::default()
        );
    }

    #[test]
    fn older_cursors_get_a_lower_bound_and_memory_stays_bounded() {
        const COUNT: u64 = 10_000;
        let dropped = dropped(COUNT, 1 << 20);
        assert!(dropped.marks.len() <= MAX_MARKS && dropped.marks.capacity() <= MAX_MARKS);
        for id in 1..=COUNT {
            let truth = COUNT - id;
            let (count, at_least) = missed(
                &dropped,
                position(id).time,
                Some(u64::from(position(id).tag)),
            );
            assert!(
                count <= truth && (at_least || count == truth),
                "{id}: {count} of {truth}"
            );
            assert!(truth >= 32 || !at_least, "{id} is among the newest");
            assert!(count * 3 >= truth * 2, "{id}: {count} is far from {truth}");
        }
        assert_eq!(
            missed(&dropped, 5, None),
            (COUNT, false),
            "the first mark stays"
        );
    }

    #[test]
    fn without_memory_the_newest_position_is_still_recorded() {
        let dropped = dropped(10, 0);
        assert_eq!(missed(&dropped, 1000, Some(1)), (1, true));
        assert_eq!(missed(&dropped, 1003, Some(1)), (0, false));
    }
}
