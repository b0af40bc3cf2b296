//! A connection while it follows: input from the client, room in the socket, and the end of the
//! subscription.

use std::future::poll_fn;
use std::task::Poll;

use super::nchan_socket::NchanWebSocket;
use super::pace::ArrivingMessage;
use super::{Connection, Disconnected};
use crate::server::broker::Incident;
use crate::server::fanout::{EndReason, FollowerEvent, SubscriptionOutcome};
use crate::server::http::route::FollowMode;
use crate::server::push_stream::subscribe::websocket::WebSocketPublisher;
use crate::server::push_stream::subscribe::websocket::inbound::{Inbound, InboundAction};

/// Most bytes of pipelined requests while a client waits for the response to a long poll; more of
/// them end the connection. They cannot be left in the socket, where they would hide a disconnect.
const MAX_PIPELINED_BYTES: usize = 16 * 1024;

/// Most bytes of a message that a client may send before it answers a close frame.
const MAX_BYTES_BEFORE_CLOSE: usize = 64 * 1024;

/// How input from the client is handled.
enum ClientInput {
    /// It is discarded.
    Ignore,
    /// It is kept as further requests.
    KeepRequests,
    /// It is websocket frames.
    Frames(Box<OpenWebSocket>),
    /// More bytes than these end the wait.
    EndWait(usize),
    /// It is websocket frames of nchan.
    Socket(Box<NchanWebSocket>),
}

/// The websocket of a follower.
struct OpenWebSocket {
    publishing: WebSocketPublisher,
    inbound: Inbound,
    /// Time limit of an incomplete message.
    arriving: ArrivingMessage,
    /// It was closed: further input is discarded.
    is_closed: bool,
}

/// Why a follower's connection was woken.
enum WakeReason {
    Writable,
    Received,
    Disconnected,
    /// A reload has removed the location.
    LocationRemoved,
    Ended(SubscriptionOutcome),
}

impl ClientInput {
    /// Starts with `buffered` bytes of input.
    fn of(mode: FollowMode, buffered: usize) -> Self {
        match mode {
            FollowMode::Stream => ClientInput::Ignore,
            FollowMode::LongPoll(_) => ClientInput::KeepRequests,
            FollowMode::Interruptible => ClientInput::EndWait(buffered),
            FollowMode::Socket(socket, hook) => {
                ClientInput::Socket(Box::new(NchanWebSocket::new(socket, hook)))
            }
            FollowMode::WebSocket(publishing) => {
                let inbound = publishing.inbound();
                ClientInput::Frames(Box::new(OpenWebSocket {
                    inbound,
                    publishing,
                    arriving: ArrivingMessage::default(),
                    is_closed: false,
                }))
            }
        }
    }

    /// Bytes held outside of the connection's buffer.
    fn pending_bytes(&self) -> usize {
        match self {
            ClientInput::Ignore | ClientInput::KeepRequests | ClientInput::EndWait(_) => 0,
            ClientInput::Socket(open) => open.socket.pending_bytes(),
            ClientInput::Frames(websocket) => websocket.inbound.pending_bytes(),
        }
    }

    /// Returns whether it is a websocket that the client has not closed.
    fn expects_close(&self) -> bool {
        match self {
            ClientInput::Ignore | ClientInput::KeepRequests | ClientInput::EndWait(_) => false,
            ClientInput::Socket(open) => !open.is_closed,
            ClientInput::Frames(websocket) => !websocket.is_closed,
        }
    }
}

impl Connection {
    /// Follows until the subscription ends. Returns its outcome, and whether the client is expected
    /// to answer the close of a websocket.
    ///
    /// Every follower holds this future while it follows, so its state is kept small.
    pub(in crate::server) fn follow(
        &mut self,
        mode: FollowMode,
    ) -> impl Future<Output = (SubscriptionOutcome, bool)> {
        self.has_followed = true;
        let mut input = ClientInput::of(mode, self.buffer.len());
        self.compact();
        let mut requests = self.buffer.len();
        let mut is_ending = false;
        let logged = self
            .log
            .as_ref()
            .map(|log| self.shard.broker().charge_pending(log.own_bytes()))
            .transpose();
        async move {
            let outcome = loop {
                if let ClientInput::Socket(socket) = &mut input {
                    self.receive_frames(socket);
                    while socket.has_pending_message() {
                        // Boxed, so that other followers do not hold its state.
                        Box::pin(self.run_message_hook(socket)).await;
                        self.receive_frames(socket);
                    }
                } else {
                    self.handle_input(&mut input, &mut requests);
                }
                if requests > MAX_PIPELINED_BYTES {
                    self.record_end(Incident::TooManyPipelined);
                    break SubscriptionOutcome::Dropped;
                }
                if logged.is_err() {
                    self.record_end(Incident::NoMemoryForPending);
                    break SubscriptionOutcome::Dropped;
                }
                if self.reserve(input.pending_bytes()).is_err() {
                    break SubscriptionOutcome::Dropped;
                }
                match self.wait_for_event(is_ending).await {
                    WakeReason::Writable => self.shard.resume(self.key),
                    WakeReason::Received => self.shard.record_input(self.key),
                    WakeReason::LocationRemoved => {
                        is_ending = true;
                        self.shard.end(self.key, EndReason::Shutdown);
                    }
                    WakeReason::Disconnected => break SubscriptionOutcome::Dropped,
                    WakeReason::Ended(outcome) => break outcome,
                }
            };
            self.shard.release(self.key);
            if outcome == SubscriptionOutcome::Dropped {
                self.outlet.reset_on_close();
            }
            (
                outcome,
                outcome == SubscriptionOutcome::Closed && input.expects_close(),
            )
        }
    }

    /// Handles the input in the buffer; `requests` is the length of the pipelined requests in it.
    fn handle_input(&mut self, input: &mut ClientInput, requests: &mut usize) {
        match input {
            // As in nginx, requests that came with the current one are served afterwards, and later
            // input is discarded.
            ClientInput::Ignore if self.buffer.len() > *requests => {
                self.buffer.truncate(*requests);
                self.compact();
            }
            ClientInput::Ignore => {}
            ClientInput::KeepRequests => *requests = self.buffer.len(),
            ClientInput::Frames(websocket) => self.receive(websocket),
            // Handled by the caller, as it may wait.
            ClientInput::Socket(_) => {}
            ClientInput::EndWait(buffered) => {
                *requests = self.buffer.len();
                if *requests > *buffered {
                    *buffered = usize::MAX;
                    self.shard.end(self.key, EndReason::Interrupted);
                }
            }
        }
    }

    /// Waits for the client to answer the close of its websocket (RFC 6455, section 7.1.1): an
    /// answer to a closed connection would reset it, which the client reports as an unclean close.
    /// Ends early when the server stops.
    pub(in crate::server) async fn await_websocket_close(&mut self) {
        let mut inbound = Inbound::default();
        self.linger(|connection| connection.discard_until_close(&mut inbound))
            .await;
    }

    /// Discards frames; returns false at a close frame or invalid input.
    fn discard_until_close(&mut self, inbound: &mut Inbound) -> bool {
        while let Some(event) = inbound.next(&mut self.buffer, MAX_BYTES_BEFORE_CLOSE) {
            if matches!(event, InboundAction::Close(_)) {
                return false;
            }
        }
        self.compact();
        self.reserve(inbound.pending_bytes()).is_ok()
    }

    /// Waits for an event of the follower or, unless the subscription `is_ending`, the removal of
    /// its location.
    async fn wait_for_event(&mut self, is_ending: bool) -> WakeReason {
        poll_fn(|cx| {
            let event = self.shard.poll_follower(self.key, cx);
            if !is_ending && !self.slot.serves(&self.snapshot, self.location) {
                return Poll::Ready(WakeReason::LocationRemoved);
            }
            match std::task::ready!(event) {
                FollowerEvent::Ended(outcome) => Poll::Ready(WakeReason::Ended(outcome)),
                FollowerEvent::Writable => Poll::Ready(WakeReason::Writable),
                FollowerEvent::Readable => self.poll_fill(cx).map(|filled| match filled {
                    Ok(_) => WakeReason::Received,
                    Err(Disconnected) => WakeReason::Disconnected,
                }),
            }
        })
        .await
    }

    /// Handles the websocket frames in the buffer.
    fn receive(&mut self, websocket: &mut OpenWebSocket) {
        let max = self.snapshot.limits.max_websocket_message_bytes;
        let buffered = self.buffer.len();
        let mut completed_any = false;
        while !websocket.is_closed {
            match websocket.inbound.next(&mut self.buffer, max) {
                None => break,
                Some(InboundAction::Text(text)) => {
                    completed_any = true;
                    if websocket
                        .publishing
                        .publish(self.shard.broker(), text)
                        .is_err()
                    {
                        self.hang_up(websocket, Vec::new());
                    }
                }
                Some(InboundAction::Reply(bytes)) => self.shard.reply(self.key, bytes),
                Some(InboundAction::Close(bytes)) => self.hang_up(websocket, bytes),
            }
        }
        if websocket.is_closed {
            self.buffer.clear();
        }
        if self.buffer.len() < buffered {
            self.compact();
        }
        let pending = if websocket.is_closed {
            0
        } else {
            self.buffer.len() + websocket.inbound.pending_bytes()
        };
        self.limit_arrival(&mut websocket.arriving, pending, completed_any);
    }

    /// Sets the time limit for the rest of a websocket message of which `pending` bytes have
    /// arrived, if there are new ones.
    pub(in crate::server) fn limit_arrival(
        &self,
        arriving: &mut ArrivingMessage,
        pending: usize,
        completed_any: bool,
    ) {
        let before = if completed_any {
            ArrivingMessage::default()
        } else {
            *arriving
        };
        if pending == 0 {
            if arriving.take().is_some() {
                self.shard.set_input_deadline(self.key, None);
            }
        } else if before.pending() != pending {
            let now = self.shard.running_time();
            *arriving = before.with_pending(pending, now);
            self.shard
                .set_input_deadline(self.key, arriving.left(now, &self.snapshot.limits));
        }
    }

    /// Closes a websocket with these last bytes; further input is read and discarded.
    fn hang_up(&mut self, websocket: &mut OpenWebSocket, bytes: Vec<u8>) {
        websocket.is_closed = true;
        websocket.inbound = Inbound::default();
        self.shard.end_with(self.key, bytes);
    }
}
