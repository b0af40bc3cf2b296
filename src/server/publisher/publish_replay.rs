//! What a publisher does again and again: one message to one channel, with the headers and in the
//! notation of the request before.

use std::sync::Arc;

use bytes::Bytes;

use super::ReplyTraits;
use crate::message::unix_now;
use crate::server::broker::{Broker, Channel, ChannelInfo, NewMessage};
use crate::server::buffer_pool;
use crate::server::response::{self, Head, ResponseContext, Status, USUAL_HEAD_BYTES};

/// A publisher's request without its channel and message.
pub struct PublishReplay {
    /// A message without its text.
    model: NewMessage,
    store: bool,
    manner: ReplyTraits,
    written: Written,
}

/// The head of the answer before: those of the same second and length have the same.
#[derive(Default)]
struct Written {
    second: u64,
    body_bytes: usize,
    head: Vec<u8>,
}

impl PublishReplay {
    pub(super) fn new(model: NewMessage, store: bool, manner: ReplyTraits) -> Self {
        Self {
            model,
            store,
            manner,
            written: Written::default(),
        }
    }

    /// Bytes of memory that it keeps.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        let text = |text: &Option<Bytes>| text.as_ref().map_or(0, Bytes::len);
        let texts = text(&self.model.event_id) + text(&self.model.event_type);
        size_of::<Self>() + texts + 2 * self.manner.headers.len() + USUAL_HEAD_BYTES
    }

    /// Publishes a message to a channel whose id needs no escapes, and appends the answer to `out`;
    /// returns whether the connection can serve another request.
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
            Ok(info) if self.manner.shows_info => self.write_info(&info, connection, out),
            Ok(_) => self.manner.respond_without_info().write(connection, out),
            Err(_no_room) => self.manner.respond_out_of_memory().write(connection, out),
        }
    }

    fn write_info(
        &mut self,
        info: &ChannelInfo,
        connection: ResponseContext,
        out: &mut Vec<u8>,
    ) -> bool {
        let Self {
            manner: ReplyTraits {
                notation, headers, ..
            },
            written,
            ..
        } = self;
        let mut body = buffer_pool::take(0);
        notation.push_single(info, false, &mut body);
        let now = unix_now();
        if (written.second, written.body_bytes) != (now, body.len()) {
            (written.second, written.body_bytes) = (now, body.len());
            written.head.clear();
            Head {
                status: Status::OK,
                content_type: Some(notation.content_type().as_bytes()),
                content_length: Some(body.len() as u64),
                last_modified: None,
                chunked: false,
                keep_alive: connection.keep_alive,
                headers,
            }
            .write(&mut written.head);
        }
        response::push_parts(&written.head, &body, out);
        buffer_pool::give(body);
        connection.keep_alive
    }
}
