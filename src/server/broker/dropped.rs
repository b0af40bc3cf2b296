//! What a channel's store has dropped: how many messages, and where some of them stood, so that a
//! subscriber that comes back with an old cursor can be told how many it missed.
//!
//! Messages that were never stored are not in here: they are for those who are there when they are
//! published.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::mem::size_of;
use std::sync::{Arc, LazyLock};

use super::log::Cursor;
use super::memory::{Charge, MemoryMeter};
use super::message::Message;
use crate::message::Position;

/// Most dropped messages of a channel whose places are remembered (4 KiB). When there are more,
/// older ones are thinned out: the newest cursors are counted exactly, older ones get a lower bound
/// that is at least two thirds of the truth.
pub(super) const MOST_MARKS: usize = 128;

/// The newest marks that are never thinned out. Of the older ones one goes when its neighbours are
/// at most half as far away again as each other, so that every second one is half as far away
/// again: 96 of them reach back over 10^9 messages.
const EXACT_MARKS: u64 = 32;

/// Marks that a record grows by, so that a channel that drops little takes little.
const MARKS_AT_ONCE: usize = 16;

/// How many messages a subscriber misses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// So many.
    pub count: u64,
    /// There may be more: the record does not reach back so far.
    pub at_least: bool,
}

/// The dropped messages of a channel.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    total: u64,
    /// Of the newest one.
    newest: Position,
    /// In the order of publication.
    marks: VecDeque<Mark>,
    /// What `marks` takes from the memory bound, and from the part of it that all records may take.
    charges: Option<(Charge, Charge)>,
}

/// Where a dropped message stood.
#[derive(Clone, Copy, Debug)]
struct Mark {
    position: Position,
    /// Number among the dropped messages, from 1.
    ordinal: u64,
    /// Hash of its event id; 0 if it has none.
    event: u64,
}

/// The meters that records are charged to.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordMeters<'a> {
    pub(super) memory: &'a Arc<MemoryMeter>,
    pub(super) records: &'a Arc<MemoryMeter>,
}

impl Missed {
    fn exactly(count: u64) -> Self {
        Self {
            count,
            at_least: false,
        }
    }

    /// Something is missing, or may be.
    #[must_use]
    pub fn is_gap(self) -> bool {
        self.count > 0 || self.at_least
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Missed) -> Missed {
        Missed {
            count: self.count.saturating_add(other.count),
            at_least: self.at_least || other.at_least,
        }
    }
}

impl Dropped {
    /// Messages dropped so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Notes a message that is dropped now.
    pub(super) fn note(&mut self, message: &Message, meters: RecordMeters<'_>) {
        self.total += 1;
        self.newest = message.position;
        if self.marks.len() >= MOST_MARKS {
            self.thin_out();
        }
        if self.marks.len() == self.marks.capacity() && !self.grow(meters) {
            // Without room for a mark the counts of older cursors become bounds.
            return;
        }
        let event = message
            .event_id
            .as_ref()
            .map_or(0, |event_id| hash(event_id));
        self.marks.push_back(Mark {
            position: message.position,
            ordinal: self.total,
            event,
        });
    }

    /// How many of the dropped messages a subscriber with this cursor has not had.
    ///
    /// A cursor that says "everything" (second 0) is a wish and no place where anybody stood:
    /// nothing is missed.
    pub(super) fn missed(&self, cursor: &Cursor) -> Missed {
        if self.total == 0 {
            return Missed::default();
        }
        if let Some(event) = self.mark_of_event(cursor) {
            return Missed::exactly(self.total - event);
        }
        match (cursor.time, cursor.tag) {
            (None, _) | (Some(0), None | Some(0)) => Missed::default(),
            (Some(time), tag) => {
                let tag = tag.map_or(u32::MAX, |tag| u32::try_from(tag).unwrap_or(u32::MAX));
                self.missed_after(Position::new(time, tag))
            }
        }
    }

    /// The number of the dropped message whose event id the cursor names.
    pub(super) fn mark_of_event(&self, cursor: &Cursor) -> Option<u64> {
        let event = hash(cursor.event_id.as_ref()?);
        self.marks
            .iter()
            .rev()
            .find(|mark| mark.event == event)
            .map(|mark| mark.ordinal)
    }

    fn missed_after(&self, seen: Position) -> Missed {
        if seen >= self.newest {
            return Missed::default();
        }
        let next = self.marks.partition_point(|mark| mark.position <= seen);
        // Where there are no marks, the newest one is known to be missed.
        let next_ordinal = self.marks.get(next).map_or(self.total, |mark| mark.ordinal);
        let before = next.checked_sub(1).map(|index| self.marks[index]);
        match before {
            Some(mark) if mark.position == seen => Missed::exactly(self.total - mark.ordinal),
            _ => Missed {
                count: self.total + 1 - next_ordinal,
                at_least: next_ordinal > before.map_or(0, |mark| mark.ordinal) + 1,
            },
        }
    }

    /// Removes marks whose older neighbour is near enough to the newer one. The first mark stays.
    fn thin_out(&mut self) {
        let ages: Vec<u64> = self
            .marks
            .iter()
            .map(|mark| self.total - mark.ordinal)
            .collect();
        let mut is_kept = [true; MOST_MARKS];
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

    /// Makes room for further marks, if all records together do not take too much.
    fn grow(&mut self, meters: RecordMeters<'_>) -> bool {
        let capacity = (self.marks.capacity() + MARKS_AT_ONCE)
            .max(self.marks.capacity() * 2)
            .min(MOST_MARKS);
        let bytes = (capacity * size_of::<Mark>()) as u64;
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
    /// Keyed, so that nobody can choose ids that are taken for others.
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HASHER.hash_one(event_id).max(1)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Drops messages 1 to `count`, three in each second from 1000 on.
    fn dropped(count: u64, limit: u64) -> Dropped {
        let memory = MemoryMeter::new(1 << 20);
        let records = MemoryMeter::new(limit);
        let mut dropped = Dropped::default();
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
            dropped.note(
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

    fn missed(dropped: &Dropped, time: u64, tag: Option<u64>) -> (u64, bool) {
        let Missed { count, at_least } = dropped.missed(&Cursor {
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
            "all that is stored is not a place"
        );
        let by_event = |id: &'static str| {
            dropped.missed(&Cursor {
                event_id: Some(Bytes::from(id)),
                ..Cursor::default()
            })
        };
        assert_eq!(by_event("e90"), Missed::exactly(10));
        assert_eq!(by_event("unknown"), Missed::default());
        assert_eq!(
            Dropped::default().missed(&Cursor {
                time: Some(5),
                ..Cursor::default()
            }),
            Missed::default()
        );
    }

    #[test]
    fn older_cursors_get_a_lower_bound_and_memory_stays_bounded() {
        const COUNT: u64 = 10_000;
        let dropped = dropped(COUNT, 1 << 20);
        assert!(dropped.marks.len() <= MOST_MARKS && dropped.marks.capacity() <= MOST_MARKS);
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
    fn without_memory_the_newest_one_is_still_known() {
        let dropped = dropped(10, 0);
        assert_eq!(missed(&dropped, 1000, Some(1)), (1, true));
        assert_eq!(missed(&dropped, 1003, Some(1)), (0, false));
    }
}
