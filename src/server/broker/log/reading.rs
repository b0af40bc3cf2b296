//! Reads a log message by message, from a cursor to its head or to the next gap.

use std::collections::{VecDeque, vec_deque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::{LiveMessage, Log, LogCursor};
use crate::message::Position;
use crate::server::broker::message::Message;

/// Messages read from a log, without a gap between them.
#[derive(Debug, Default)]
pub struct LogSlice {
    /// The messages, oldest first.
    pub messages: SmallVec<[Arc<Message>; 1]>,
    /// Cursor of the reader after these messages. Messages that are not due count as seen.
    pub cursor: LogCursor,
    /// Number of messages before these that were due and are no longer available.
    pub missed: u64,
    /// The log continues after this slice, which ends at its size limit or at a gap.
    pub is_cut: bool,
    /// Position up to which the reader is served: that of the newest message or, if the slice is
    /// cut, that of its last message.
    pub horizon: Position,
}

/// The messages that are due to a reader: stored ones, then live ones.
struct DueMessages<'a> {
    stored: vec_deque::Iter<'a, Arc<Message>>,
    /// Messages after this id come from the live window.
    stored_up_to: u64,
    live: vec_deque::Iter<'a, LiveMessage>,
}

impl<'a> Iterator for DueMessages<'a> {
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

/// Index of the first message after id `last_seen`.
///
/// Most readers are close to the newest message, and most ids are consecutive. A single probe is
/// enough then, while a binary search would touch messages that have left the processor's caches.
fn index_after(stored: &VecDeque<Arc<Message>>, cursor: u64) -> usize {
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

/// A reader in the middle of a log.
pub(in crate::server::broker) struct LogReader<'a> {
    due: std::iter::Peekable<DueMessages<'a>>,
    log: &'a Log,
    cursor: LogCursor,
    /// Number of backlog messages that the store has dropped. The store drops from its front, so
    /// they are missing before the first one left.
    missed_backlog: u64,
    /// Number of backlog messages that are still stored.
    backlog: u32,
    /// Id of the next live message if none is missing.
    expected: u64,
    slice: LogSlice,
}

impl<'a> LogReader<'a> {
    /// Starts at `cursor`. The reader may be `max_lag` bytes behind.
    pub(in crate::server::broker) fn new(log: &'a Log, cursor: LogCursor, max_lag: u64) -> Self {
        let LogCursor {
            last_seen,
            live_from,
            ..
        } = cursor;
        let live_start = log.live_start(max_lag);
        let first_live = log
            .live
            .get(live_start)
            .map_or(log.last_id + 1, |live| live.message.id);
        // Messages that have left the live window, or never were in it, are read from the store.
        let stored_up_to = (first_live - 1).max(live_from);
        let start = index_after(&log.stored, last_seen);
        let backlog = if last_seen < live_from {
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
            .partition_point(|live| live.message.id <= last_seen.max(stored_up_to));
        let due = DueMessages {
            stored,
            stored_up_to,
            live: log.live.range(start..),
        };
        let missed_backlog = u64::from(cursor.backlog.saturating_sub(backlog));
        let expected = last_seen.max(live_from) + 1;
        LogReader {
            due: due.peekable(),
            log,
            cursor,
            missed_backlog,
            backlog,
            expected,
            slice: LogSlice::default(),
        }
    }

    /// Position of the next due message.
    pub(in crate::server::broker) fn next_position(&mut self) -> Option<Position> {
        self.due.peek().map(|message| message.position)
    }

    /// Number of messages missing before the next one, or before the end.
    fn gap(&mut self) -> u64 {
        let live = match self.due.peek() {
            Some(next) if next.id > self.cursor.live_from => next.id - self.expected,
            Some(_) => 0,
            None => (self.log.last_id + 1).saturating_sub(self.expected),
        };
        self.missed_backlog + live
    }

    /// True if the next message may be added to the slice: a slice has gaps only before its first
    /// message.
    pub(super) fn can_continue(&mut self) -> bool {
        self.slice.messages.is_empty() || self.gap() == 0
    }

    /// True if messages are missing before the next one.
    pub(in crate::server::broker) fn is_at_gap(&mut self) -> bool {
        self.gap() > 0
    }

    /// Takes the next message. Returns its weight.
    pub(in crate::server::broker) fn take(&mut self) -> usize {
        self.slice.missed += self.gap();
        self.missed_backlog = 0;
        let Some(message) = self.due.next() else {
            return 0;
        };
        if message.id > self.cursor.live_from {
            self.expected = message.id + 1;
        } else {
            self.backlog = self.backlog.saturating_sub(1);
        }
        self.slice.messages.push(Arc::clone(message));
        message.weight()
    }

    /// The slice of the messages taken; it is cut if more are due.
    pub(in crate::server::broker) fn finish(mut self) -> LogSlice {
        let is_empty = self.slice.messages.is_empty();
        let gap = self.gap();
        let live_from = self.cursor.live_from;
        let next = self.due.peek().map(|next| next.id);
        let last_seen = match next {
            // The gap is reported together with the message after it.
            Some(_) if is_empty && gap > 0 => self.cursor.last_seen,
            Some(next) if next <= live_from => next - 1,
            Some(_) => self.expected - 1,
            None if !is_empty && gap > 0 => self.expected - 1,
            None => {
                self.slice.missed += gap;
                self.slice.cursor = LogCursor {
                    last_seen: self.log.last_id,
                    backlog: 0,
                    ..self.cursor
                };
                self.slice.horizon = self.log.last_position;
                return self.slice;
            }
        };
        let backlog = if last_seen == self.cursor.last_seen {
            self.cursor.backlog
        } else {
            self.backlog
        };
        self.slice.cursor = LogCursor {
            last_seen,
            backlog,
            ..self.cursor
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
