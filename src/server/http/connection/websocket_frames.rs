//! Frames from a websocket client while its connection follows, and the hook that checks the
//! messages of nchan.

use std::future::poll_fn;

use axum::http::header::{CONTENT_TYPE, HeaderValue};

use super::Connection;
use crate::server::endpoint::PublishOutcome;
use crate::server::endpoint::websocket_input::{IncomingMessage, InputAction, WebSocketInput};
use crate::server::http::client_input::{FrameReply, OpenWebSocket};
use crate::server::http::pace::ArrivingMessage;
use crate::server::http::upstream::backend_request::{HookCall, HookError};
use crate::server::http::upstream::message_hook::MessageDecision;
use crate::server::nchan::subscribe::NchanSocket;

impl Connection {
    /// Handles the frames in the buffer.
    pub(super) fn receive_frames<I: WebSocketInput>(&mut self, websocket: &mut OpenWebSocket<I>) {
        let max = self.snapshot.limits.max_websocket_message_bytes;
        let buffered = self.socket.input().len();
        let mut completed_any = false;
        while websocket.takes_frames() {
            match websocket.input().next(self.socket.buffer(), max) {
                None => break,
                Some(InputAction::Publish(message)) => {
                    completed_any = true;
                    if websocket.hook().is_some() {
                        websocket.set_pending_message(message);
                        break;
                    }
                    let reply = websocket.input().publish(self.socket.broker(), message);
                    self.reply_in_order(websocket, reply);
                }
                reply => self.reply_in_order(websocket, PublishOutcome::Ready(reply)),
            }
        }
        if websocket.is_closed() {
            self.socket.buffer().clear();
        }
        if self.socket.input().len() < buffered {
            self.socket.compact();
        }
        let pending = if websocket.is_closed() {
            0
        } else {
            self.socket.input().len() + websocket.input().arriving_bytes()
        };
        self.limit_arrival(websocket.arriving(), pending, completed_any);
    }

    /// Calls the hook about the pending message, and carries out its decision. Further messages of
    /// the client wait.
    pub(super) async fn run_message_hook(&mut self, websocket: &mut OpenWebSocket<NchanSocket>) {
        let Some(IncomingMessage { text, content_type }) = websocket.take_pending_message() else {
            return;
        };
        let response = match websocket.hook() {
            Some(Ok(call)) => {
                let mut call = call.clone();
                if let (HookCall::Request(request), Some(value)) = (&mut call, &content_type)
                    && let Ok(value) = HeaderValue::from_bytes(value)
                {
                    request.headers.insert(CONTENT_TYPE, value);
                }
                self.snapshot
                    .backend
                    .call_without_redirect(Ok(call), text.clone())
                    .await
            }
            Some(Err(reason)) => Err(*reason),
            None => Err(HookError::Failed),
        };
        let reply = match MessageDecision::of(response, text, content_type) {
            MessageDecision::Publish(text, content_type) => websocket
                .input()
                .publish(self.socket.broker(), IncomingMessage { text, content_type }),
            MessageDecision::Drop => PublishOutcome::Ready(None),
            MessageDecision::Reject => {
                PublishOutcome::Ready(Some(NchanSocket::closed(1008, "403 Forbidden")))
            }
            MessageDecision::Failed(_) => {
                let close = NchanSocket::closed(1011, "500 Internal Server Error");
                PublishOutcome::Ready(Some(close))
            }
        };
        self.reply_in_order(websocket, reply);
    }

    /// Waits until further messages of the client may be published, and handles their frames.
    pub(super) async fn await_replies<I: WebSocketInput>(
        &mut self,
        websocket: &mut OpenWebSocket<I>,
    ) {
        while websocket.has_max_unacknowledged() {
            let reply = poll_fn(|cx| websocket.poll_reply(cx)).await;
            self.reply_to_frame(websocket, reply);
            self.receive_frames(websocket);
        }
    }

    /// Sends a reply, behind those to earlier messages that are not acknowledged yet.
    fn reply_in_order<I: WebSocketInput>(
        &mut self,
        websocket: &mut OpenWebSocket<I>,
        reply: FrameReply,
    ) {
        let reply = websocket.push_reply(reply);
        self.reply_to_frame(websocket, reply);
    }

    pub(super) fn reply_to_frame<I: WebSocketInput>(
        &mut self,
        websocket: &mut OpenWebSocket<I>,
        reply: Option<InputAction>,
    ) {
        match reply {
            None | Some(InputAction::Publish(_)) => {}
            Some(InputAction::Reply(bytes)) => self.socket.shard().reply(self.socket.key(), bytes),
            Some(InputAction::Close(bytes)) => {
                websocket.close();
                self.socket.shard().end_with(self.socket.key(), bytes);
            }
        }
    }

    /// Sets the time limit for the rest of a websocket message of which `pending` bytes have
    /// arrived, if there are new ones.
    fn limit_arrival(&self, arriving: &mut ArrivingMessage, pending: usize, completed_any: bool) {
        let before = if completed_any {
            ArrivingMessage::default()
        } else {
            *arriving
        };
        if pending == 0 {
            if arriving.take().is_some() {
                self.socket
                    .shard()
                    .set_input_deadline(self.socket.key(), None);
            }
        } else if before.pending() != pending {
            let now = self.socket.shard().running_time();
            *arriving = before.with_pending(pending, now);
            self.socket
                .shard()
                .set_input_deadline(self.socket.key(), arriving.left(now, &self.snapshot.limits));
        }
    }
}
