//! Input of a websocket client: the interface between the connection, which reads frames, and the
//! protocol families, which define what they mean.

use bytes::{Bytes, BytesMut};

use super::outcome::PublishOutcome;
use crate::server::broker::Broker;

/// What the connection has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputAction {
    /// Publish this message.
    Publish(IncomingMessage),
    /// Send these bytes.
    Reply(Vec<u8>),
    /// Send these bytes and close.
    Close(Vec<u8>),
}

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingMessage {
    /// Its text or bytes.
    pub text: Bytes,
    /// Its content type.
    pub content_type: Option<Bytes>,
}

/// The input of a websocket: its state, and what is done with messages.
pub trait WebSocketInput {
    /// Consumes complete frames at the front of `buffer`; `None` if more bytes are needed.
    fn next(&mut self, buffer: &mut BytesMut, max_message: usize) -> Option<InputAction>;

    /// Publishes a message. The outcome is the reply, if there is one.
    fn publish(
        &self,
        broker: &Broker,
        message: IncomingMessage,
    ) -> PublishOutcome<Option<InputAction>>;

    /// Memory of an incomplete message, in bytes.
    fn pending_bytes(&self) -> usize;

    /// The same for its time limit; not 0 while a message is incomplete.
    fn arriving_bytes(&self) -> usize {
        self.pending_bytes()
    }

    /// Discards an incomplete message.
    fn discard(&mut self);
}
