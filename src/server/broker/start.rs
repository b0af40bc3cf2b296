//! Positions in the terms of one channel: tags that count its messages of a second from 0, and
//! where a reader starts by them. Positions of the whole server are the business of
//! [`super::Cursor`].

use std::sync::Arc;

use bytes::Bytes;

use super::channel::Channel;
use super::dropped::Missed;
use super::log::{Cursor, Log, Place};
use super::message::Message;
use crate::message::Position;

/// Where a reader of one channel starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest stored message.
    Oldest,
    /// With the next message that is published.
    Newest,
    /// With the stored message of that number from the oldest, from 1; the newest one if there are
    /// fewer.
    FromOldest(u32),
    /// With the stored message of that number from the newest, from 1; the oldest one if there are
    /// fewer.
    FromNewest(u32),
    /// With the next message after that id.
    AfterId(u64),
    /// After the message of that second that has that tag in its channel; without a tag, with the
    /// second's first one.
    After {
        /// Second.
        time: u64,
        /// Tag of the last message seen in it.
        tag: Option<u32>,
    },
}

/// Hands out the tags of one channel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TagCounter {
    second: u64,
    /// Of the next message in that second.
    next: u32,
    /// A message had it already without taking it.
    is_used: bool,
    /// Of the newest message.
    last: Option<(u64, u32)>,
}

impl TagCounter {
    /// The tag of a message of second `time`. One that does not take it leaves it to others that do
    /// not take it either.
    pub(super) fn next(&mut self, time: u64, takes: bool) -> u32 {
        if time != self.second {
            *self = Self {
                second: time,
                ..Self::default()
            };
        }
        if takes && self.is_used {
            self.next = self.next.saturating_add(1);
            self.is_used = false;
        }
        let tag = self.next;
        if takes {
            self.next = tag.saturating_add(1);
        } else {
            self.is_used = true;
        }
        self.last = Some((time, tag));
        tag
    }

    /// Second and tag of the newest message.
    pub(super) fn last(&self) -> Option<(u64, u32)> {
        self.last
    }
}

impl Channel {
    /// Whether one of its messages, stored or dropped, is known to have that event id.
    #[must_use]
    pub fn knows_event(&self, event_id: &[u8]) -> bool {
        let state = self.lock();
        let has_it = |message: &Arc<Message>| message.event_id.as_deref() == Some(event_id);
        let cursor = || Cursor {
            event_id: Some(Bytes::copy_from_slice(event_id)),
            ..Cursor::default()
        };
        state.log.stored.iter().any(has_it)
            || state
                .log
                .dropped
                .as_ref()
                .is_some_and(|dropped| dropped.mark_of_event(&cursor()).is_some())
    }
}

impl Log {
    /// The id after which all stored messages come.
    pub(super) fn before_oldest(&self) -> u64 {
        self.stored
            .front()
            .map_or(self.last_id, |oldest| oldest.id - 1)
    }

    /// Resolves where a reader starts. What it misses is not counted: who asks in these terms is
    /// not told of gaps.
    pub(super) fn resolve_start(&self, start: Start) -> (Place, Missed) {
        let stored = &self.stored;
        let index = match start {
            Start::Oldest => 0,
            Start::Newest => stored.len(),
            Start::AfterId(id) => stored.partition_point(|message| message.id <= id),
            Start::FromOldest(number) => {
                (number.max(1) as usize - 1).min(stored.len().saturating_sub(1))
            }
            Start::FromNewest(number) => stored.len().saturating_sub(number as usize),
            Start::After { time, tag } => stored.partition_point(|message| {
                let at = message.position.time;
                at < time || (at == time && tag.is_some_and(|tag| message.channel_tag <= tag))
            }),
        };
        let from = stored
            .get(index)
            .map_or(self.last_id, |message| message.id - 1);
        let backlog = u32::try_from(stored.len() - index).unwrap_or(u32::MAX);
        (
            Place {
                cursor: from,
                live_from: self.last_id,
                backlog,
            },
            Missed::default(),
        )
    }

    /// The position of the stored message of that second that has that tag.
    pub(super) fn position_of(&self, time: u64, tag: u32) -> Option<Position> {
        let index = self
            .stored
            .partition_point(|message| (message.position.time, message.channel_tag) < (time, tag));
        let message = self.stored.get(index)?;
        ((message.position.time, message.channel_tag) == (time, tag)).then_some(message.position)
    }

    /// The tag of the newest message of second `time` with a position up to `tag` of the server;
    /// `None` if there was none. One that is gone is known by those that came after it in the same
    /// second.
    pub(super) fn tag_at(&self, time: u64, tag: u32) -> Option<u32> {
        let is_before =
            |message: &Message| (message.position.time, message.position.tag) <= (time, tag);
        let in_second = |message: &Message| message.position.time == time;
        let stored_end = self.stored.partition_point(|message| is_before(message));
        let live_end = self.live.partition_point(|live| is_before(&live.message));
        let before = [
            stored_end.checked_sub(1).map(|index| &self.stored[index]),
            live_end
                .checked_sub(1)
                .map(|index| &self.live[index].message),
        ];
        let newest = before
            .into_iter()
            .flatten()
            .filter(|message| in_second(message))
            .map(|message| message.channel_tag)
            .max();
        if newest.is_some() {
            return newest;
        }
        let after = [
            self.stored.get(stored_end),
            self.live.get(live_end).map(|live| &live.message),
        ];
        let next = after
            .into_iter()
            .flatten()
            .filter(|message| in_second(message))
            .map(|message| message.channel_tag)
            .min();
        if let Some(next) = next {
            return next.checked_sub(1);
        }
        let is_last = (self.last_position.time, self.last_position.tag) <= (time, tag);
        self.tags
            .last()
            .filter(|(second, _)| is_last && *second == time)
            .map(|(_, last)| last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_count_from_0_in_each_second() {
        let mut tags = TagCounter::default();
        let given: Vec<u32> = [5, 5, 5, 6, 6, 9]
            .map(|second| tags.next(second, true))
            .to_vec();
        assert_eq!(given, [0, 1, 2, 0, 1, 0]);
        assert_eq!(tags.last(), Some((9, 0)));
    }

    #[test]
    fn a_tag_that_was_shown_is_never_a_later_message_s_that_takes_it() {
        let mut tags = TagCounter::default();
        assert_eq!(
            [tags.next(5, false), tags.next(5, false)],
            [0, 0],
            "nothing is taken"
        );
        assert_eq!(
            [tags.next(5, true), tags.next(5, true)],
            [1, 2],
            "a reader at 0 must not pass over them"
        );
        assert_eq!([tags.next(5, false), tags.next(5, true)], [3, 4]);
    }
}
