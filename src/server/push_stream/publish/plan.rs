//! What a publisher location does with the body of a request, once it is complete.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::check_publish_channel;
use crate::server::broker::{Broker, Channel, ChannelInfo, NewMessage};
use crate::server::endpoint::notation::AcceptedNotation;
use crate::server::exchange::response::{HeaderList, NO_CACHE, Response, Status};
use crate::server::push_stream::channels_path;
use crate::server::push_stream::channels_path::ChannelRef;
use crate::server::push_stream::explain::{Rejection, explain_line};
use crate::server::push_stream::info;

/// What to do with the body of a request, and how to respond.
pub struct Plan {
    action: Action,
    reply: ReplyTraits,
    /// See [`Plan::channel_argument`].
    channel_argument: Option<Bytes>,
}

/// The parts of a response that do not depend on the message.
pub(in crate::server) struct ReplyTraits {
    pub(in crate::server) notation: AcceptedNotation,
    /// The response has the channel info as its body.
    pub(in crate::server) shows_info: bool,
    pub(in crate::server) headers: HeaderList,
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
    pub(in crate::server) fn new(
        action: Action,
        reply: ReplyTraits,
        channel_argument: Option<Bytes>,
    ) -> Self {
        Self {
            action,
            reply,
            channel_argument,
        }
    }

    /// The query argument that names the channels of a message, if nothing else does.
    #[must_use]
    pub fn channel_argument(&self) -> Option<&Bytes> {
        match self.action {
            Action::Publish { .. } => self.channel_argument.as_ref(),
            Action::Delete { .. } => None,
        }
    }

    /// Directs the plan to another channel, which the argument names without escapes. Returns false
    /// if the channel does not exist or does not accept messages.
    #[must_use]
    pub fn redirect(&mut self, broker: &Broker, id: &[u8]) -> bool {
        let Action::Publish { channels, .. } = &mut self.action else {
            return false;
        };
        let found = broker
            .find(id)
            .filter(|channel| !channel.is_events && check_publish_channel(broker, id).is_ok());
        *channels = found.into_iter().collect();
        !channels.is_empty()
    }

    /// Releases the channels; the plan can be directed to another one.
    pub fn release_channels(&mut self) {
        if let Action::Publish { channels, .. } = &mut self.action {
            channels.clear();
        }
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
        if let [channel] = channels {
            return match broker.publish(channel, message, store) {
                Ok(info) => self.respond_with(std::slice::from_ref(&info), broker),
                Err(_no_room) => self.reply.respond_out_of_memory(),
            };
        }
        for (channel, message) in message.for_each(channels) {
            if broker.publish(channel, message, store).is_err() {
                return self.reply.respond_out_of_memory();
            }
        }
        // The request may name a channel twice: report the counts after the last message.
        let infos: Vec<ChannelInfo> = channels.iter().map(|channel| channel.info()).collect();
        self.respond_with(&infos, broker)
    }

    /// The response to published messages, with the state of their channels.
    fn respond_with(&self, infos: &[ChannelInfo], broker: &Broker) -> Response {
        if !self.reply.shows_info {
            return self.reply.respond_without_info();
        }
        let headers = self.reply.headers.clone();
        info::response(self.reply.notation, infos, broker, false, headers)
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
