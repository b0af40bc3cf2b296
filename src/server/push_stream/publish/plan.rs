//! What a publisher location does with the body of a request, once it is complete.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::PublishReplay;
use crate::server::broker::{Broker, Channel, ChannelInfo, NewMessage};
use crate::server::endpoint::notation::AcceptedNotation;
use crate::server::exchange::response::{NO_CACHE, Response, Status};
use crate::server::push_stream::channels_path;
use crate::server::push_stream::channels_path::ChannelRef;
use crate::server::push_stream::explain::{Rejection, explain_line};
use crate::server::push_stream::info;

/// What to do with the body of a request, and how to respond.
pub struct Plan {
    action: Action,
    reply: ReplyTraits,
    /// See [`Plan::argument_alone`].
    argument_alone: Option<Bytes>,
}

/// The parts of a response that do not depend on the message.
pub(in crate::server) struct ReplyTraits {
    pub(in crate::server) notation: AcceptedNotation,
    /// The response has the channel info as its body.
    pub(in crate::server) shows_info: bool,
    pub(in crate::server) headers: Cow<'static, [u8]>,
}

/// What to do with a body.
pub(in crate::server) enum Action {
    Publish {
        channels: SmallVec<[Arc<Channel>; 1]>,
        event_id: Option<Bytes>,
        event_type: Option<Bytes>,
        store: bool,
    },
    Delete {
        ids: SmallVec<[ChannelRef; 1]>,
    },
}

impl Plan {
    pub(in crate::server) fn new(action: Action, reply: ReplyTraits) -> Self {
        Self {
            action,
            reply,
            argument_alone: None,
        }
    }

    /// Records that requests which differ only in this query argument, which names their channels,
    /// have the same plan otherwise.
    pub fn set_argument_alone(&mut self, name: Option<Bytes>) {
        self.argument_alone = name;
    }

    /// The query argument that names the channels, if equal requests may differ in it alone.
    #[must_use]
    pub fn argument_alone(&self) -> Option<&Bytes> {
        self.argument_alone.as_ref()
    }

    /// Turns the plan into one for further messages that are published in the same way. Their
    /// responses carry the header lines `added`. `None` if the plan publishes nothing.
    #[must_use]
    pub fn replay(mut self, added: &[u8]) -> Option<PublishReplay> {
        let Action::Publish {
            event_id,
            event_type,
            store,
            ..
        } = self.action
        else {
            return None;
        };
        let model = NewMessage {
            event_id,
            event_type,
            ..NewMessage::default()
        };
        if !added.is_empty() {
            self.reply.headers.to_mut().extend_from_slice(added);
        }
        Some(PublishReplay::new(model, store, self.reply))
    }

    /// Header lines of every response of the location.
    #[must_use]
    pub fn headers(&self) -> &[u8] {
        &self.reply.headers
    }

    /// Memory held for the request while its body arrives, in bytes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        let action = match &self.action {
            Action::Publish {
                channels,
                event_id,
                event_type,
                ..
            } => {
                let text = |text: &Option<Bytes>| text.as_ref().map_or(0, Bytes::len);
                size_of_val(&channels[..]) + text(event_id) + text(event_type)
            }
            Action::Delete { ids } => channels_path::own_bytes(ids),
        };
        size_of::<Self>() + self.reply.headers.len() + action
    }

    /// Executes the plan on the body and returns the response.
    #[must_use]
    pub fn finish(&self, broker: &Broker, body: Bytes) -> Response {
        match &self.action {
            Action::Delete { ids } => self.delete(broker, ids, &body),
            Action::Publish { .. } if body.is_empty() => {
                Rejection::EmptyBody.response(&self.reply.headers[NO_CACHE.len()..], false)
            }
            Action::Publish {
                channels,
                event_id,
                event_type,
                store,
            } => {
                let message = NewMessage {
                    text: body,
                    event_id: event_id.clone(),
                    event_type: event_type.clone(),
                    ..NewMessage::default()
                };
                self.publish(broker, channels, message, *store)
            }
        }
    }

    fn publish(
        &self,
        broker: &Broker,
        channels: &[Arc<Channel>],
        message: NewMessage,
        store: bool,
    ) -> Response {
        let mut infos: SmallVec<[ChannelInfo; 1]> = SmallVec::new();
        for (channel, message) in message.for_each(channels) {
            match broker.publish(channel, message, store) {
                Ok(info) => infos.push(info),
                Err(_no_room) => return self.reply.respond_out_of_memory(),
            }
        }
        if !self.reply.shows_info {
            return self.reply.respond_without_info();
        }
        if channels.len() > 1 {
            // The request may name a channel twice: report the counts after the last message.
            infos = channels.iter().map(|channel| channel.info()).collect();
        }
        let headers = self.reply.headers.clone();
        info::response(self.reply.notation, &infos, broker, false, headers)
    }

    fn delete(&self, broker: &Broker, ids: &[ChannelRef], body: &Bytes) -> Response {
        let text = Some(body).filter(|body| !body.is_empty());
        let headers = self.reply.headers.clone();
        let mut deleted = false;
        for id in ids {
            match broker.delete(&id.id, text.cloned()) {
                Ok(removed) => deleted |= removed,
                Err(_no_room) => return Response::header_only(Status::INTERNAL, headers),
            }
        }
        if deleted {
            return Response::header_only(Status::OK, headers)
                .with_headers(explain_line("Channel deleted.").as_bytes());
        }
        Response::header_only(Status::NOT_FOUND, headers)
    }
}

impl ReplyTraits {
    pub(in crate::server) fn respond_without_info(&self) -> Response {
        Response::header_only(Status::OK, self.headers.clone())
    }

    pub(in crate::server) fn respond_out_of_memory(&self) -> Response {
        Response::error_page(Status::INTERNAL)
            .with_headers(&self.headers)
            .closing()
    }
}
