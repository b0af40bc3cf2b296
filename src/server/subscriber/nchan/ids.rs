//! The message ids of a subscriber's channels.
//!
//! The id of a message says how far all channels were served when it was sent. Followers get
//! messages in the order of publication, so that this is a matter of the channels alone, and
//! followers of the same channels share their frames. Only one that comes with an id that no stream
//! gave (interval-polls walk through a second in another order) has to remember what it had.

use bytes::Bytes;

use crate::message::Position;
use crate::server::broker::{Broker, Message};
use crate::server::dialect::nchan::message_id::{MessageId, Tags};
use crate::server::fanout::Delivery;

/// Gives messages their ids.
#[derive(Debug)]
pub(super) enum Ids {
    /// There is one channel.
    Single,
    /// There are several.
    Several {
        /// Where they are found.
        broker: Broker,
        /// Their keys, as the request names them.
        keys: Vec<Bytes>,
        /// What the follower had in the second in which it came, if the channels do not say that.
        had: Option<MessageId>,
    },
}

impl Ids {
    /// The ids of a follower that comes with `id`, if it has one.
    pub(super) fn new(broker: &Broker, keys: &[Bytes], id: Option<&MessageId>) -> Self {
        if keys.len() == 1 {
            return Ids::Single;
        }
        let had = id.filter(|id| !is_of_a_stream(broker, keys, id)).cloned();
        Ids::Several {
            broker: broker.clone(),
            keys: keys.to_vec(),
            had,
        }
    }

    /// What makes ids of the same channels differ.
    pub(super) fn detail(&self) -> Vec<u8> {
        match self {
            Ids::Single => Vec::new(),
            Ids::Several { keys, had, .. } => {
                let had = had.as_ref().map(ToString::to_string).unwrap_or_default();
                let mut detail = had.into_bytes();
                for key in keys {
                    detail.extend_from_slice(&(key.len() as u64).to_be_bytes());
                    detail.extend_from_slice(key);
                }
                detail
            }
        }
    }

    /// Bytes of memory that they take.
    pub(super) fn own_bytes(&self) -> usize {
        match self {
            Ids::Single => 0,
            Ids::Several { keys, .. } => {
                keys.iter().map(|key| key.len() + size_of::<Bytes>()).sum()
            }
        }
    }

    /// Goes through messages in their order.
    pub(super) fn walk(&self) -> Walk<'_> {
        Walk {
            ids: self,
            last: None,
        }
    }

    fn of(&self, delivery: &Delivery<'_>, last: Option<&MessageId>) -> MessageId {
        let Message {
            position,
            channel_tag,
            ..
        } = *delivery.message;
        let Ids::Several { broker, keys, had } = self else {
            return MessageId::single(position.time, channel_tag);
        };
        let current = keys
            .iter()
            .position(|key| key == delivery.channel)
            .unwrap_or(0);
        // Within a second only the messages on the way change it: to ask every channel for each of
        // them would take long.
        let mut tags = match last.filter(|last| last.time == position.time) {
            Some(last) => last.tags.clone(),
            None => served(broker, keys, position),
        };
        tags[current] = Some(channel_tag);
        if let Some(had) = had.as_ref().filter(|had| had.time == position.time) {
            tags.iter_mut()
                .zip(&had.tags)
                .for_each(|(tag, had)| *tag = (*tag).max(*had));
        }
        MessageId {
            time: position.time,
            tags,
            current,
        }
    }
}

/// The ids of messages that are sent together.
pub(super) struct Walk<'a> {
    ids: &'a Ids,
    last: Option<MessageId>,
}

impl Walk<'_> {
    /// The id of the next message.
    pub(super) fn next(&mut self, delivery: &Delivery<'_>) -> MessageId {
        let id = self.ids.of(delivery, self.last.as_ref());
        if matches!(self.ids, Ids::Several { .. }) {
            self.last = Some(id.clone());
        }
        id
    }
}

/// The tag of each channel's newest message of that second up to that position.
fn served(broker: &Broker, keys: &[Bytes], position: Position) -> Tags {
    keys.iter()
        .map(|key| broker.find(key)?.tag_at(position.time, position.tag))
        .collect()
}

/// Whether it is what a follower of these channels would be told.
fn is_of_a_stream(broker: &Broker, keys: &[Bytes], id: &MessageId) -> bool {
    let Some(Some(tag)) = id.tags.get(id.current) else {
        return false;
    };
    let channel = keys.get(id.current).and_then(|key| broker.find(key));
    let position = channel.and_then(|channel| channel.position_of(id.time, *tag));
    position.is_some_and(|position| served(broker, keys, position) == id.tags)
}

/// The id of a message that an answer to a poll holds, after `before`.
pub(super) fn after(
    before: Option<&MessageId>,
    channels: usize,
    (number, message): (usize, &Message),
) -> MessageId {
    let time = message.position.time;
    let mut tags = match before.filter(|id| id.time == time) {
        Some(id) => id.tags.clone(),
        None => Tags::from_elem(None, channels),
    };
    tags[number] = Some(message.channel_tag);
    MessageId {
        time,
        tags,
        current: number,
    }
}
