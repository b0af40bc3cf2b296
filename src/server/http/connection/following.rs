//! A connection while it follows: input from the client, room in the socket, and the end of the
//! subscription.

use std::future::poll_fn;
use std::task::Poll;

use super::socket::ClientSocket;
use super::{Connection, Disconnected};
use crate::server::broker::{Charge, Incident, OutOfMemory};
use crate::server::endpoint::websocket_input::InputAction;
use crate::server::fanout::{EndReason, FollowerEvent, SubscriptionOutcome};
use crate::server::http::client_input::ClientInput;
use crate::server::push_stream::subscribe::websocket::inbound::{Inbound, InboundAction};

/// Most bytes of pipelined requests while a client waits for the response to a long poll; more of
/// them end the connection. They cannot be left in the socket, where they would hide a disconnect.
const MAX_PIPELINED_BYTES: usize = 16 * 1024;

/// Most bytes of a message that a client may send before it answers a close frame.
const MAX_BYTES_BEFORE_CLOSE: usize = 64 * 1024;

/// Why a follower's connection was woken.
enum WakeReason {
    Writable,
    Received,
    Disconnected,
    /// A message of the client is acknowledged, or was rejected; with the reply.
    Acknowledged(Option<InputAction>),
    /// A reload has removed the location.
    LocationRemoved,
    Ended(SubscriptionOutcome),
}

impl Connection {
    /// Follows until the subscription ends. Returns its outcome, and whether the client is expected
    /// to answer the close of a websocket.
    ///
    /// Every follower holds this future while it follows, so its state is kept small.
    pub(in crate::server) fn follow(
        &mut self,
        mut input: ClientInput,
    ) -> impl Future<Output = (SubscriptionOutcome, bool)> {
        self.has_followed = true;
        self.socket.compact();
        let mut requests = self.socket.input().len();
        let mut is_ending = false;
        let logged = self.charge_log();
        async move {
            let outcome = loop {
                self.handle_input(&mut input, &mut requests);
                // Boxed, so that other followers do not hold its state.
                if input.is_blocked() {
                    Box::pin(self.unblock(&mut input)).await;
                }
                if requests > MAX_PIPELINED_BYTES {
                    self.socket.record_end(Incident::TooManyPipelined);
                    break SubscriptionOutcome::Dropped;
                }
                if logged.is_err() {
                    self.socket.record_end(Incident::NoMemoryForPending);
                    break SubscriptionOutcome::Dropped;
                }
                if self.socket.reserve(input.pending_bytes()).is_err() {
                    break SubscriptionOutcome::Dropped;
                }
                match self.wait_for_event(is_ending, &mut input).await {
                    WakeReason::Acknowledged(reply) => self.reply_to_client(&mut input, reply),
                    WakeReason::Writable => self.socket.shard().resume(self.socket.key()),
                    WakeReason::Received => self.socket.shard().record_input(self.socket.key()),
                    WakeReason::LocationRemoved => {
                        is_ending = true;
                        self.socket
                            .shard()
                            .end(self.socket.key(), EndReason::Shutdown);
                    }
                    WakeReason::Disconnected => break SubscriptionOutcome::Dropped,
                    WakeReason::Ended(outcome) => break outcome,
                }
            };
            self.socket.shard().release(self.socket.key());
            if outcome == SubscriptionOutcome::Dropped {
                self.socket.outlet().reset_on_close();
            }
            let expects_close = outcome == SubscriptionOutcome::Closed && input.expects_close();
            (outcome, expects_close)
        }
    }

    /// Waits until the hook has decided about a message of the client, or until messages are
    /// acknowledged, and handles the frames behind them.
    async fn unblock(&mut self, input: &mut ClientInput) {
        match input {
            ClientInput::Discard | ClientInput::Requests { .. } => {}
            ClientInput::WebSocket(websocket) => self.await_replies(&mut **websocket).await,
            ClientInput::NchanWebSocket(websocket) => {
                while websocket.is_blocked() {
                    if websocket.has_pending_message() {
                        self.run_message_hook(websocket).await;
                        self.receive_frames(&mut **websocket);
                    }
                    self.await_replies(&mut **websocket).await;
                }
            }
        }
    }

    /// Sends the reply to a message of a websocket client.
    fn reply_to_client(&mut self, input: &mut ClientInput, reply: Option<InputAction>) {
        match input {
            ClientInput::Discard | ClientInput::Requests { .. } => {}
            ClientInput::WebSocket(websocket) => self.reply_to_frame(&mut **websocket, reply),
            ClientInput::NchanWebSocket(websocket) => {
                self.reply_to_frame(&mut **websocket, reply);
            }
        }
    }

    /// Charges the memory of the access log entry.
    fn charge_log(&self) -> Result<Option<Charge>, OutOfMemory> {
        let log = self.subscription.log.as_ref();
        log.map(|log| {
            self.socket
                .broker()
                .memory()
                .charge_pending(log.own_bytes())
        })
        .transpose()
    }

    /// Handles the input in the buffer; `requests` is the length of the pipelined requests in it.
    fn handle_input(&mut self, input: &mut ClientInput, requests: &mut usize) {
        match input {
            // As in nginx, requests that came with the current one are served afterwards, and later
            // input is discarded.
            ClientInput::Discard if self.socket.input().len() > *requests => {
                self.socket.buffer().truncate(*requests);
                self.socket.compact();
            }
            ClientInput::Discard => {}
            ClientInput::Requests { end_following } => {
                let has_more = self.socket.input().len() > *requests;
                *requests = self.socket.input().len();
                if has_more && std::mem::take(end_following) {
                    self.socket
                        .shard()
                        .end(self.socket.key(), EndReason::Interrupted);
                }
            }
            ClientInput::WebSocket(websocket) => self.receive_frames(&mut **websocket),
            ClientInput::NchanWebSocket(websocket) => self.receive_frames(&mut **websocket),
        }
    }

    /// Waits for the client to answer the close of its websocket (RFC 6455, section 7.1.1): an
    /// answer to a closed connection would reset it, which the client reports as an unclean close.
    /// Ends early when the server stops.
    pub(in crate::server) async fn await_websocket_close(&mut self) {
        let mut inbound = Inbound::default();
        self.linger(|socket| discard_until_close(socket, &mut inbound))
            .await;
    }

    /// Waits for an event of the follower or, unless the subscription `is_ending`, the removal of
    /// its location.
    async fn wait_for_event(&mut self, is_ending: bool, input: &mut ClientInput) -> WakeReason {
        poll_fn(|cx| {
            if let Poll::Ready(reply) = input.poll_reply(cx) {
                return Poll::Ready(WakeReason::Acknowledged(reply));
            }
            let event = self.socket.shard().poll_follower(self.socket.key(), cx);
            if !is_ending
                && !self
                    .socket
                    .slot()
                    .serves(&self.snapshot, self.subscription.location)
            {
                return Poll::Ready(WakeReason::LocationRemoved);
            }
            match std::task::ready!(event) {
                FollowerEvent::Ended(outcome) => Poll::Ready(WakeReason::Ended(outcome)),
                FollowerEvent::Writable => Poll::Ready(WakeReason::Writable),
                FollowerEvent::Readable => self.socket.poll_fill(cx).map(|filled| match filled {
                    Ok(_) => WakeReason::Received,
                    Err(Disconnected) => WakeReason::Disconnected,
                }),
            }
        })
        .await
    }
}

/// Discards frames; returns false at a close frame or invalid input.
fn discard_until_close(socket: &mut ClientSocket, inbound: &mut Inbound) -> bool {
    while let Some(event) = inbound.next(socket.buffer(), MAX_BYTES_BEFORE_CLOSE) {
        if matches!(event, InboundAction::Close(_)) {
            return false;
        }
    }
    socket.compact();
    socket.reserve(inbound.pending_bytes()).is_ok()
}
