//! Reading a log message by message, from a place up to its head or to the next gap.

use std::collections::{VecDeque, vec_deque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::log::{Live, Log, Place};
use super::message::Message;
use crate::message::Position;

/// Messages read from a log, without a gap between them.
#[derive(Debug, Default)]
pub struct Slice {
    /// The messages, oldest first.
    pub messages: SmallVec<[Arc<Message>; 1]>,
    /// Where the reader stands after them (messages that it is not due are counted as served).
    pub place: Place,
    /// Number of messages before these that were due but are gone.
    pub missed: u64,
    /// The log goes on after this slice, which was cut for its size or ends at a gap.
    pub is_cut: bool,
    /// Position up to which the reader is now served: of the newest message of the log, or, where
    /// the slice was cut, of its last message.
    pub horizon: Position,
}

/// What a reader is due: stored messages, then live ones.
struct Due<'a> {
    stored: vec_deque::Iter<'a, Arc<Message>>,
    /// Newer ones come from the live window.
    stored_up_to: u64,
    live: vec_deque::Iter<'a, Live>,
}

impl<'a> Iterator for Due<'a> {
    type Item = &'a Arc<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        match self
            .stored
            .next()
            .filter(|message| message.id <= self.stored_up_to)
        {
            None => {
                self.stored = vec_deque::Iter::default();
                self.live.next().map(|live| &live.message)
            }
            stored => stored,
        }
    }
}

/// Where the messages behind id `cursor` begin.
///
/// Most readers are close to the newest message, and most ids follow one another: then one look is
/// enough, while a search would look at messages that have not been touched for long.
fn first_behind(stored: &VecDeque<Arc<Message>>, cursor: u64) -> usize {
    let Some(newest) = stored.back().filter(|newest| newest.id > cursor) else {
        return stored.len();
    };
    let likely = usize::try_from(newest.id - cursor)
        .ok()
        .and_then(|due| stored.len().checked_sub(due));
    likely
        .filter(|at| stored[*at].id == cursor + 1)
        .unwrap_or_else(|| stored.partition_point(|message| message.id <= cursor))
}

/// A reader on its way through a log.
pub(super) struct Reading<'a> {
    due: std::iter::Peekable<Due<'a>>,
    log: &'a Log,
    place: Place,
    /// Backlog messages that are not there any more. What is dropped from the store goes from its
    /// front, so they are missing before the first one that is left.
    missed_backlog: u64,
    /// Backlog messages that are still there.
    backlog: u32,
    /// The live message that must come next, if none is missed.
    expected: u64,
    slice: Slice,
}

impl<'a> Reading<'a> {
    /// Begins at `place`. The reader may be `max_lag` bytes behind.
    pub(super) fn new(log: &'a Log, place: Place, max_lag: u64) -> Self {
        let Place {
            cursor, live_from, ..
        } = place;
        let live_start = log.live_start(max_lag);
        let first_live = log
            .live
            .get(live_start)
            .map_or(log.last_id + 1, |live| live.message.id);
        // What is not in the live window any more (or was never meant to be) comes from the stored
        // messages.
        let stored_up_to = (first_live - 1).max(live_from);
        let start = first_behind(&log.stored, cursor);
        let backlog = if cursor < live_from {
            let end = log
                .stored
                .partition_point(|message| message.id <= live_from);
            u32::try_from(end - start).unwrap_or(u32::MAX)
        } else {
            0
        };
        let stored = log.stored.range(start..);
        let start = log
            .live
            .partition_point(|live| live.message.id <= cursor.max(stored_up_to));
        let due = Due {
            stored,
            stored_up_to,
            live: log.live.range(start..),
        };
        let missed_backlog = u64::from(place.backlog.saturating_sub(backlog));
        let expected = cursor.max(live_from) + 1;
        Reading {
            due: due.peekable(),
            log,
            place,
            missed_backlog,
            backlog,
            expected,
            slice: Slice::default(),
        }
    }

    /// Position of the next message that is due.
    pub(super) fn next_position(&mut self) -> Option<Position> {
        self.due.peek().map(|message| message.position)
    }

    /// Number of messages that are missing right before the next one, or before the end.
    fn gap(&mut self) -> u64 {
        let live = match self.due.peek() {
            Some(next) if next.id > self.place.live_from => next.id - self.expected,
            Some(_) => 0,
            None => (self.log.last_id + 1).saturating_sub(self.expected),
        };
        self.missed_backlog + live
    }

    /// True if the next message may be taken into the same slice: a gap stands at the beginning of
    /// a slice only.
    pub(super) fn may_go_on(&mut self) -> bool {
        self.slice.messages.is_empty() || self.gap() == 0
    }

    /// True if messages are missing right before the next one.
    pub(super) fn is_at_gap(&mut self) -> bool {
        self.gap() > 0
    }

    /// Takes the next message; returns its weight.
    pub(super) fn take(&mut self) -> usize {
        self.slice.missed += self.gap();
        self.missed_backlog = 0;
        let Some(message) = self.due.next() else {
            return 0;
        };
        if message.id > self.place.live_from {
            self.expected = message.id + 1;
        } else {
            self.backlog = self.backlog.saturating_sub(1);
        }
        self.slice.messages.push(Arc::clone(message));
        message.weight()
    }

    /// What was read; it is cut if there is more.
    pub(super) fn finish(mut self) -> Slice {
        let is_empty = self.slice.messages.is_empty();
        let gap = self.gap();
        let live_from = self.place.live_from;
        let next = self.due.peek().map(|next| next.id);
        let cursor = match next {
            // The gap is told together with the message after it.
            Some(_) if is_empty && gap > 0 => self.place.cursor,
            Some(next) if next <= live_from => next - 1,
            Some(_) => self.expected - 1,
            None if !is_empty && gap > 0 => self.expected - 1,
            None => {
                self.slice.missed += gap;
                self.slice.place = Place {
                    cursor: self.log.last_id,
                    backlog: 0,
                    ..self.place
                };
                self.slice.horizon = self.log.last_position;
                return self.slice;
            }
        };
        let backlog = if cursor == self.place.cursor {
            self.place.backlog
        } else {
            self.backlog
        };
        self.slice.place = Place {
            cursor,
            backlog,
            ..self.place
        };
        self.slice.is_cut = true;
        self.slice.horizon = self
            .slice
            .messages
            .last()
            .map(|last| last.position)
            .unwrap_or_default();
        self.slice
    }
}
