//! Replay of publishers' requests: one message to one channel, with the headers and the format of
//! an earlier request; `http::replay` finds channel and message.

use std::sync::Arc;

use bytes::Bytes;

use super::ReplyTraits;
use crate::message::unix_now;
use crate::server::broker::{Broker, Channel, ChannelInfo, NewMessage};
use crate::server::exchange::buffer_pool;
use crate::server::exchange::response;
use crate::server::exchange::response::{Head, ResponseContext, Status, USUAL_HEAD_BYTES};
use crate::server::push_stream::info::push_single;

/// A publisher's request without its channel and message.
pub struct PublishReplay {
    /// The message without its text.
    model: NewMessage,
    store: bool,
    traits: ReplyTraits,
    cached: CachedHead,
}

/// The head of the last response, which is reused in the same second for the same length.
#[derive(Default)]
struct CachedHead {
    second: u64,
    body_bytes: usize,
    head: Vec<u8>,
}

impl PublishReplay {
    pub(in crate::server) fn new(model: NewMessage, store: bool, traits: ReplyTraits) -> Self {
        Self {
            model,
            store,
            traits,
            cached: CachedHead::default(),
        }
    }

    /// Bytes of memory.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        let text = |text: &Option<Bytes>| text.as_ref().map_or(0, Bytes::len);
        let texts = text(&self.model.event_id) + text(&self.model.event_type);
        size_of::<Self>() + texts + 2 * self.traits.headers.len() + USUAL_HEAD_BYTES
    }

    /// Publishes a message to a channel whose id needs no escapes, and appends the response to
    /// `out`. Returns whether the connection can serve another request.
    pub fn publish(
        &mut self,
        broker: &Broker,
        channel: &Arc<Channel>,
        text: Bytes,
        connection: ResponseContext,
        out: &mut Vec<u8>,
    ) -> bool {
        let message = NewMessage {
            text,
            ..self.model.clone()
        };
        match broker.publish(channel, message, self.store) {
            Ok(info) if self.traits.shows_info => self.write_info(&info, connection, out),
            Ok(_) => self.traits.respond_without_info().write(connection, out),
            Err(_out_of_memory) => self.traits.respond_out_of_memory().write(connection, out),
        }
    }

    /// Appends the response with the state of the channel.
    fn write_info(
        &mut self,
        info: &ChannelInfo,
        connection: ResponseContext,
        out: &mut Vec<u8>,
    ) -> bool {
        let Self {
            traits: ReplyTraits {
                notation, headers, ..
            },
            cached,
            ..
        } = self;
        let mut body = buffer_pool::take(0);
        push_single(notation.notation, info, false, &mut body);
        let now = unix_now();
        if (cached.second, cached.body_bytes) != (now, body.len()) {
            (cached.second, cached.body_bytes) = (now, body.len());
            cached.head.clear();
            Head {
                status: Status::OK,
                content_type: Some(notation.content_type.as_bytes()),
                content_length: Some(body.len() as u64),
                last_modified: None,
                chunked: false,
                keep_alive: connection.keep_alive,
                headers,
            }
            .write(&mut cached.head);
        }
        response::push_parts(&cached.head, &body, out);
        buffer_pool::give(body);
        connection.keep_alive
    }
}
