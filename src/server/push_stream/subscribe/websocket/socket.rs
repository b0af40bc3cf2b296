//! The websocket of a push-stream client: checks its frames, and publishes the texts that it sends.

use bytes::BytesMut;

use super::WebSocketPublisher;
use super::inbound::{Inbound, InboundAction};
use crate::server::broker::{Broker, Tickets};
use crate::server::endpoint::PublishOutcome;
use crate::server::endpoint::websocket_input::{IncomingMessage, InputAction, WebSocketInput};

/// The websocket of a push-stream client.
#[derive(Debug)]
pub struct PushStreamSocket {
    publisher: WebSocketPublisher,
    inbound: Inbound,
}

impl PushStreamSocket {
    pub(super) fn new(publisher: WebSocketPublisher, inbound: Inbound) -> Self {
        Self { publisher, inbound }
    }
}

impl WebSocketInput for PushStreamSocket {
    fn next(&mut self, buffer: &mut BytesMut, max_message: usize) -> Option<InputAction> {
        Some(match self.inbound.next(buffer, max_message)? {
            // A boxed slice has no spare capacity, which the memory limit would not count.
            InboundAction::Text(text) => InputAction::Publish(IncomingMessage {
                text: text.into_boxed_slice().into(),
                content_type: None,
            }),
            InboundAction::Reply(bytes) => InputAction::Reply(bytes),
            InboundAction::Close(bytes) => InputAction::Close(bytes),
        })
    }

    fn publish(
        &self,
        broker: &Broker,
        message: IncomingMessage,
    ) -> PublishOutcome<Option<InputAction>> {
        // A limit is reached, or the outcome is unknown.
        let close = |failed: bool| failed.then(|| InputAction::Close(Vec::new()));
        match self.publisher.publish(broker, message.text) {
            Tickets::Ready(result) => PublishOutcome::Ready(close(result.is_err())),
            Tickets::Pending(tickets) => {
                PublishOutcome::pending(async move { close(tickets.settle().await.is_err()) })
            }
        }
    }

    fn pending_bytes(&self) -> usize {
        self.inbound.pending_bytes()
    }

    fn discard(&mut self) {
        self.inbound = Inbound::default();
    }
}
