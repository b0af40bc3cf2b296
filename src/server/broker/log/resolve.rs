//! Resolution of a client's cursor to the cursor of a new reader.

use std::sync::Arc;

use super::dropped::MissedCount;
use super::{Cursor, Log, LogCursor};
use crate::server::broker::message::Message;

impl Log {
    /// Resolves the cursor of a new reader. Also returns the number of messages that are gone
    /// between the client's cursor and the oldest stored message.
    pub(in crate::server::broker) fn resolve(
        &self,
        backtrack: u32,
        cursor: &Cursor,
    ) -> (LogCursor, MissedCount) {
        let (last_seen, missed) = self.resolve_id(backtrack, cursor);
        let due = self.stored.len()
            - self
                .stored
                .partition_point(|message| message.id <= last_seen);
        let resolved = LogCursor {
            last_seen,
            live_from: self.last_id,
            backlog: u32::try_from(due).unwrap_or(u32::MAX),
        };
        (resolved, missed)
    }

    /// The id after which a new reader starts, and the number of messages that it misses.
    fn resolve_id(&self, backtrack: u32, cursor: &Cursor) -> (u64, MissedCount) {
        if backtrack > 0 {
            let skipped = self.stored.len().saturating_sub(backtrack as usize);
            let oldest = self.stored.get(skipped);
            return (
                oldest.map_or(self.last_id, |message| message.id - 1),
                MissedCount::default(),
            );
        }
        if cursor.lost_at.is_some() {
            return (
                self.before_oldest(),
                MissedCount {
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
            return (from.unwrap_or(self.last_id), MissedCount::default());
        };
        let oldest = self
            .stored
            .front()
            .filter(|_| cursor.finds_dropped && dropped.ordinal_of_event(cursor).is_some());
        let from = from.or(oldest.map(|oldest| oldest.id - 1));
        (from.unwrap_or(self.last_id), dropped.missed(cursor))
    }

    /// The id after which messages are sent: that of the first match in the scan of
    /// push-stream.md, section 7.1.
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
