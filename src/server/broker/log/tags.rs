//! Positions within one channel: tags that count the messages of a second from 0, and starting
//! points that refer to them. Server-wide positions are resolved from a [`super::Cursor`].

use std::sync::Arc;

use bytes::Bytes;

use super::dropped::MissedCount;
use super::{Cursor, Log, LogCursor};
use crate::message::Position;
use crate::server::broker::message::Message;

/// Starting point of a reader within one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelStart {
    /// At the oldest stored message.
    Oldest,
    /// At the next message to be published.
    Newest,
    /// At the stored message with this number from the oldest, counted from 1; at the newest one if
    /// there are fewer.
    FromOldest(u32),
    /// At the stored message with this number from the newest, counted from 1; at the oldest one if
    /// there are fewer.
    FromNewest(u32),
    /// After the message with this id.
    AfterId(u64),
    /// After the message with this second and channel tag; without a tag, at the first message of
    /// the second.
    After {
        /// Second of the last message seen.
        time: u64,
        /// Its tag in the channel.
        tag: Option<u32>,
    },
}

/// Assigns the tags of one channel.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server::broker) struct TagCounter {
    second: u64,
    /// Tag of the next message in that second.
    next: u32,
    /// A message already has the next tag without having taken it.
    is_used: bool,
    /// Second and tag of the newest message.
    last: Option<(u64, u32)>,
}

impl TagCounter {
    /// The tag of a message of second `time`. A message that does not take its tag shares it with
    /// other such messages, but never with a later one that does.
    pub(in crate::server::broker) fn assign(&mut self, time: u64, takes: bool) -> u32 {
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
    pub(in crate::server::broker) fn last(&self) -> Option<(u64, u32)> {
        self.last
    }
}

impl Log {
    /// True if a stored message, or a dropped one that is still recorded, has this event id.
    pub(in crate::server::broker) fn has_event(&self, event_id: &[u8]) -> bool {
        let has_it = |message: &Arc<Message>| message.event_id.as_deref() == Some(event_id);
        let cursor = || Cursor {
            event_id: Some(Bytes::copy_from_slice(event_id)),
            ..Cursor::default()
        };
        self.stored.iter().any(has_it)
            || self
                .dropped
                .as_ref()
                .is_some_and(|dropped| dropped.ordinal_of_event(&cursor()).is_some())
    }

    /// The id before the oldest stored message.
    pub(super) fn before_oldest(&self) -> u64 {
        self.stored
            .front()
            .map_or(self.last_id, |oldest| oldest.id - 1)
    }

    /// Resolves a starting point. Missing messages are not counted, because protocol families that
    /// use such starting points do not report gaps.
    pub(in crate::server::broker) fn resolve_start(
        &self,
        start: ChannelStart,
    ) -> (LogCursor, MissedCount) {
        let stored = &self.stored;
        let index = match start {
            ChannelStart::Oldest => 0,
            ChannelStart::Newest => stored.len(),
            ChannelStart::AfterId(id) => stored.partition_point(|message| message.id <= id),
            ChannelStart::FromOldest(number) => {
                (number.max(1) as usize - 1).min(stored.len().saturating_sub(1))
            }
            ChannelStart::FromNewest(number) => stored.len().saturating_sub(number as usize),
            ChannelStart::After { time, tag } => stored.partition_point(|message| {
                let at = message.position.time;
                at < time || (at == time && tag.is_some_and(|tag| message.channel_tag <= tag))
            }),
        };
        let from = stored
            .get(index)
            .map_or(self.last_id, |message| message.id - 1);
        let backlog = u32::try_from(stored.len() - index).unwrap_or(u32::MAX);
        (
            LogCursor {
                last_seen: from,
                live_from: self.last_id,
                backlog,
            },
            MissedCount::default(),
        )
    }

    /// The position of the stored message with this second and channel tag.
    pub(in crate::server::broker) fn position_of(&self, time: u64, tag: u32) -> Option<Position> {
        let index = self
            .stored
            .partition_point(|message| (message.position.time, message.channel_tag) < (time, tag));
        let message = self.stored.get(index)?;
        ((message.position.time, message.channel_tag) == (time, tag)).then_some(message.position)
    }

    /// The channel tag of the newest message of second `time` up to the server-wide `tag`; `None`
    /// if there was none. The tag of a message that is gone is inferred from later messages of the
    /// same second.
    pub(in crate::server::broker) fn tag_at(&self, time: u64, tag: u32) -> Option<u32> {
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
            .map(|second| tags.assign(second, true))
            .to_vec();
        assert_eq!(given, [0, 1, 2, 0, 1, 0]);
        assert_eq!(tags.last(), Some((9, 0)));
    }

    #[test]
    fn a_message_that_takes_its_tag_never_shares_it() {
        let mut tags = TagCounter::default();
        assert_eq!(
            [tags.assign(5, false), tags.assign(5, false)],
            [0, 0],
            "nothing is taken"
        );
        assert_eq!(
            [tags.assign(5, true), tags.assign(5, true)],
            [1, 2],
            "a reader at 0 must not pass over them"
        );
        assert_eq!([tags.assign(5, false), tags.assign(5, true)], [3, 4]);
    }
}
