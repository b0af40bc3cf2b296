//! Message ids for subscribers of several channels.
//!
//! The id of a message states how far each channel was delivered when the message was sent.
//! Followers receive messages in the order of publication, so that the id depends on the channels
//! alone, and followers of the same channels share frames. The exception is a follower that starts
//! with an id that no stream sends (interval-polls deliver a second in another order): its ids must
//! include what it received before.

use bytes::Bytes;

use crate::message::Position;
use crate::server::broker::{Broker, Message};
use crate::server::fanout::Delivery;
use crate::server::nchan::message_id::{MessageId, Tags};

/// Assigns ids to messages.
#[derive(Debug)]
pub(super) enum MessageIds {
    /// One channel.
    Single,
    /// Several channels.
    Multiple {
        /// The broker of the channels.
        broker: Broker,
        /// Their keys, in the order of the request.
        keys: Vec<Bytes>,
        /// The id with which the follower started, if no stream sends it.
        had: Option<MessageId>,
    },
}

impl MessageIds {
    /// Creates the ids of a follower that starts with `id`.
    pub(super) fn new(broker: &Broker, keys: &[Bytes], id: Option<&MessageId>) -> Self {
        if keys.len() == 1 {
            return MessageIds::Single;
        }
        let had = id.filter(|id| !is_of_a_stream(broker, keys, id)).cloned();
        MessageIds::Multiple {
            broker: broker.clone(),
            keys: keys.to_vec(),
            had,
        }
    }

    /// Encodes everything on which the ids depend, for the key of the format.
    pub(super) fn detail(&self) -> Vec<u8> {
        match self {
            MessageIds::Single => Vec::new(),
            MessageIds::Multiple { keys, had, .. } => {
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

    /// Memory held, in bytes.
    pub(super) fn own_bytes(&self) -> usize {
        match self {
            MessageIds::Single => 0,
            MessageIds::Multiple { keys, .. } => {
                keys.iter().map(|key| key.len() + size_of::<Bytes>()).sum()
            }
        }
    }

    /// Starts a sequence of messages that are sent together.
    pub(super) fn sequence(&self) -> IdSequence<'_> {
        IdSequence {
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
        let MessageIds::Multiple { broker, keys, had } = self else {
            return MessageId::single(position.time, channel_tag);
        };
        let current = keys
            .iter()
            .position(|key| key == delivery.channel)
            .unwrap_or(0);
        // Within a second only the messages of the sequence change the tags. Querying every channel
        // for each message would be slow.
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

/// Assigns ids to messages that are sent together, in order.
pub(super) struct IdSequence<'a> {
    ids: &'a MessageIds,
    last: Option<MessageId>,
}

impl IdSequence<'_> {
    /// The id of the next message.
    pub(super) fn next(&mut self, delivery: &Delivery<'_>) -> MessageId {
        let id = self.ids.of(delivery, self.last.as_ref());
        if matches!(self.ids, MessageIds::Multiple { .. }) {
            self.last = Some(id.clone());
        }
        id
    }
}

/// The tag of each channel's newest message in the second of `position`, up to that position.
fn served(broker: &Broker, keys: &[Bytes], position: Position) -> Tags {
    keys.iter()
        .map(|key| broker.find(key)?.tag_at(position.time, position.tag))
        .collect()
}

/// Whether a stream of these channels would send this id.
fn is_of_a_stream(broker: &Broker, keys: &[Bytes], id: &MessageId) -> bool {
    let Some(Some(tag)) = id.tags.get(id.current) else {
        return false;
    };
    let channel = keys.get(id.current).and_then(|key| broker.find(key));
    let position = channel.and_then(|channel| channel.position_of(id.time, *tag));
    position.is_some_and(|position| served(broker, keys, position) == id.tags)
}

/// The id of a message in the response to a poll, if the previous id was `before`.
pub(super) fn after(
    before: Option<&MessageId>,
    channels: usize,
    number: usize,
    message: &Message,
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
