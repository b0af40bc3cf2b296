//! What a publisher does again and again: one message to one channel, with the headers and in the notation of the request before.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::server::broker::{Broker, Channel, NewMessage};
use crate::server::dialect::push_stream::info::Notation;
use crate::server::response::{Connection, Head, Response, Status};
use crate::server::spare;

/// Room for the info of a channel but for its id.
const ROOM_FOR_INFO: usize = 128;

/// A publisher's request without its channel and message.
pub struct Repeatable {
    /// A message without its text.
    pub(super) model: NewMessage,
    pub(super) store: bool,
    pub(super) notation: Notation,
    pub(super) shows_info: bool,
    pub(super) headers: Cow<'static, [u8]>,
}

impl Repeatable {
    /// Publishes a message to a channel whose id needs no escapes, and appends the answer to `out`; returns whether the connection
    /// can serve another request.
    pub fn publish(&self, broker: &Broker, channel: &Arc<Channel>, text: Bytes, connection: Connection, out: &mut Vec<u8>) -> bool {
        let message = NewMessage { text, ..self.model.clone() };
        let info = match broker.publish(channel, message, self.store) {
            Ok(info) if self.shows_info => info,
            Ok(_) => return Response::header_only(Status::OK, self.headers.clone()).write(connection, out),
            Err(_no_room) => return Response::error_page(Status::INTERNAL).with_headers(&self.headers).closing().write(connection, out),
        };
        let mut body = spare::take(ROOM_FOR_INFO + info.id.len());
        self.notation.push_single(&info, false, &mut body);
        Head {
            status: Status::OK,
            content_type: Some(self.notation.content_type().as_bytes()),
            content_length: Some(body.len() as u64),
            last_modified: None,
            chunked: false,
            keep_alive: connection.keep_alive,
            headers: &self.headers,
        }
        .write_with(&body, out);
        spare::give(body);
        connection.keep_alive
    }
}
