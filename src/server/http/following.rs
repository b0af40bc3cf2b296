//! A connection while it follows: what the client sends, what the socket takes, and the end.

use std::future::poll_fn;
use std::task::Poll;

use super::connection::{Connection, Disconnected};
use super::nchan_socket::OpenSocket;
use super::pace::ArrivingMessage;
use super::route::Following;
use crate::server::broker::Incident;
use crate::server::fanout::{EndReason, FollowerEvent, SubscriptionOutcome};
use crate::server::subscriber::websocket::WebSocketPublisher;
use crate::server::subscriber::websocket::inbound::{Inbound, InboundAction};

/// Most bytes of requests that a client may send ahead while it waits for a long-poll answer; with
/// more the connection ends. (They cannot be left in the socket, where they would hide that the
/// client went away.)
const MAX_PIPELINED_BYTES: usize = 16 * 1024;

/// Most bytes of a message that may come before a client answers that its websocket was closed.
const MAX_BYTES_BEFORE_CLOSE: usize = 64 * 1024;

/// What is done with what the client sends.
enum Incoming {
    Ignore,
    KeepRequests,
    Frames(Box<WebSocket>),
    /// More bytes than these end the wait.
    EndWait(usize),
    Socket(Box<OpenSocket>),
}

/// The websocket of a follower.
struct WebSocket {
    publishing: WebSocketPublisher,
    inbound: Inbound,
    /// The time limit of a message that is not complete.
    arriving: ArrivingMessage,
    /// Nothing of what still comes is looked at.
    is_over: bool,
}

/// What woke a follower's connection.
enum Woken {
    Writable,
    Received,
    Left,
    /// What it follows was taken out of the configuration.
    Unserved,
    Ended(SubscriptionOutcome),
}

impl Incoming {
    /// What it is at the beginning, when so many bytes have come already.
    fn of(following: Following, came: usize) -> Self {
        match following {
            Following::Stream => Incoming::Ignore,
            Following::LongPoll(_) => Incoming::KeepRequests,
            Following::Interruptible => Incoming::EndWait(came),
            Following::Socket(socket, upstream) => {
                Incoming::Socket(Box::new(OpenSocket::new(socket, upstream)))
            }
            Following::WebSocket(publishing) => {
                let inbound = publishing.inbound();
                Incoming::Frames(Box::new(WebSocket {
                    inbound,
                    publishing,
                    arriving: ArrivingMessage::default(),
                    is_over: false,
                }))
            }
        }
    }

    /// Bytes that are kept beside the connection's buffer.
    fn pending_bytes(&self) -> usize {
        match self {
            Incoming::Ignore | Incoming::KeepRequests | Incoming::EndWait(_) => 0,
            Incoming::Socket(open) => open.socket.pending_bytes(),
            Incoming::Frames(websocket) => websocket.inbound.pending_bytes(),
        }
    }

    /// It is a websocket whose client has not closed it.
    fn may_answer_close(&self) -> bool {
        match self {
            Incoming::Ignore | Incoming::KeepRequests | Incoming::EndWait(_) => false,
            Incoming::Socket(open) => !open.is_over,
            Incoming::Frames(websocket) => !websocket.is_over,
        }
    }
}

impl Connection {
    /// Follows until the subscription ends; tells whether the client is to answer a websocket's
    /// close.
    ///
    /// Every follower has such a future for as long as it follows, so that little is kept in it.
    pub(super) fn follow(
        &mut self,
        following: Following,
    ) -> impl Future<Output = (SubscriptionOutcome, bool)> {
        self.has_followed = true;
        let mut incoming = Incoming::of(following, self.buffer.len());
        self.compact();
        let mut requests = self.buffer.len();
        let mut is_told = false;
        let logged = self
            .log
            .as_ref()
            .map(|log| self.shard.broker().charge_pending(log.kept_bytes()))
            .transpose();
        async move {
            let outcome = loop {
                match &mut incoming {
                    // Requests that came with the one that follows are served afterwards, as nginx
                    // does.
                    Incoming::Ignore if self.buffer.len() > requests => {
                        self.buffer.truncate(requests);
                        self.compact();
                    }
                    Incoming::Ignore => {}
                    Incoming::KeepRequests => requests = self.buffer.len(),
                    Incoming::Frames(websocket) => self.receive(websocket),
                    Incoming::Socket(open) => {
                        self.receive_frames(open);
                        while open.has_question() {
                            // Boxed, so that others do not carry its state.
                            Box::pin(self.ask_about(open)).await;
                            self.receive_frames(open);
                        }
                    }
                    Incoming::EndWait(came) => {
                        requests = self.buffer.len();
                        if requests > *came {
                            *came = usize::MAX;
                            self.shard.end(self.key, EndReason::Interrupted);
                        }
                    }
                }
                if requests > MAX_PIPELINED_BYTES {
                    self.record_end(Incident::TooManyPipelined);
                    break SubscriptionOutcome::Dropped;
                }
                if logged.is_err() {
                    self.record_end(Incident::NoMemoryForPending);
                    break SubscriptionOutcome::Dropped;
                }
                if self.cover(incoming.pending_bytes()).is_err() {
                    break SubscriptionOutcome::Dropped;
                }
                match self.woken(is_told).await {
                    Woken::Writable => self.shard.resume(self.key),
                    Woken::Received => self.shard.record_input(self.key),
                    Woken::Unserved => {
                        is_told = true;
                        self.shard.end(self.key, EndReason::Shutdown);
                    }
                    Woken::Left => break SubscriptionOutcome::Dropped,
                    Woken::Ended(outcome) => break outcome,
                }
            };
            self.shard.release(self.key);
            if outcome == SubscriptionOutcome::Dropped {
                self.outlet.reset_on_close();
            }
            (
                outcome,
                outcome == SubscriptionOutcome::Closed && incoming.may_answer_close(),
            )
        }
    }

    /// Lets the client of a websocket that was closed from here answer that (RFC 6455, section
    /// 7.1.1): an answer that comes to a closed connection resets it, and the client takes that for
    /// an unclean end. What it sends before is thrown away. When the server ends, nobody waits.
    pub(super) async fn await_answer_to_close(&mut self) {
        let mut inbound = Inbound::default();
        self.linger(|connection| connection.goes_on_without_answer(&mut inbound))
            .await;
    }

    /// Throws away what came but for the answer to a close, or what cannot be understood: false
    /// then.
    fn goes_on_without_answer(&mut self, inbound: &mut Inbound) -> bool {
        while let Some(event) = inbound.next(&mut self.buffer, MAX_BYTES_BEFORE_CLOSE) {
            if matches!(event, InboundAction::Close(_)) {
                return false;
            }
        }
        self.compact();
        self.cover(inbound.pending_bytes()).is_ok()
    }

    /// Waits; for the end of the location, too, unless it `is_told` of that already.
    async fn woken(&mut self, is_told: bool) -> Woken {
        poll_fn(|cx| {
            let event = self.shard.poll_follower(self.key, cx);
            if !is_told && !self.place.serves(&self.site, self.followed) {
                return Poll::Ready(Woken::Unserved);
            }
            match std::task::ready!(event) {
                FollowerEvent::Ended(outcome) => Poll::Ready(Woken::Ended(outcome)),
                FollowerEvent::Writable => Poll::Ready(Woken::Writable),
                FollowerEvent::Readable => self.poll_fill(cx).map(|filled| match filled {
                    Ok(_) => Woken::Received,
                    Err(Disconnected) => Woken::Left,
                }),
            }
        })
        .await
    }

    /// Handles the websocket frames in the buffer.
    fn receive(&mut self, websocket: &mut WebSocket) {
        let most = self.site.limits.max_websocket_message_bytes;
        let came = self.buffer.len();
        let mut completed_any = false;
        while !websocket.is_over {
            match websocket.inbound.next(&mut self.buffer, most) {
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
        if websocket.is_over {
            self.buffer.clear();
        }
        if self.buffer.len() < came {
            self.compact();
        }
        let pending = if websocket.is_over {
            0
        } else {
            self.buffer.len() + websocket.inbound.pending_bytes()
        };
        self.limit_arrival(&mut websocket.arriving, pending, completed_any);
    }

    /// Sets the time within which more has to come of a websocket message of which `pending` bytes
    /// are here, if any came.
    pub(super) fn limit_arrival(
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
            *arriving = before.of(pending, now);
            self.shard
                .set_input_deadline(self.key, arriving.left(now, &self.site.limits));
        }
    }

    /// Ends a websocket with these last bytes; what the client still sends is read and thrown away.
    fn hang_up(&mut self, websocket: &mut WebSocket, bytes: Vec<u8>) {
        websocket.is_over = true;
        websocket.inbound = Inbound::default();
        self.shard.end_with(self.key, bytes);
    }
}
