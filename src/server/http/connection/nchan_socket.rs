//! Websockets of nchan while their connection follows: frames from the client, and the hook that
//! checks messages.

use axum::http::header::{CONTENT_TYPE, HeaderValue};

use super::Connection;
use super::pace::ArrivingMessage;
use crate::server::http::upstream::backend_request::{HookCall, HookError};
use crate::server::http::upstream::message_hook::MessageDecision;
use crate::server::nchan::subscribe::{Incoming, Received, Socket};

/// The websocket of a follower.
pub(in crate::server) struct NchanWebSocket {
    pub(in crate::server) socket: Box<Socket>,
    /// The hook that checks each message.
    hook: Option<Box<Result<HookCall, HookError>>>,
    /// The message that waits for the hook.
    pending_message: Option<Incoming>,
    /// Time limit of an incomplete message.
    arriving: ArrivingMessage,
    /// It was closed: further input is discarded.
    pub(in crate::server) is_closed: bool,
}

impl NchanWebSocket {
    pub(in crate::server) fn new(
        socket: Box<Socket>,
        hook: Option<Box<Result<HookCall, HookError>>>,
    ) -> Self {
        Self {
            socket,
            hook,
            pending_message: None,
            arriving: ArrivingMessage::default(),
            is_closed: false,
        }
    }

    /// Returns whether a message waits for the hook.
    pub(in crate::server) fn has_pending_message(&self) -> bool {
        self.pending_message.is_some()
    }
}

impl Connection {
    /// Handles the frames in the buffer.
    pub(in crate::server) fn receive_frames(&mut self, open: &mut NchanWebSocket) {
        let max = self.snapshot.limits.max_websocket_message_bytes;
        let buffered = self.buffer.len();
        let mut completed_any = false;
        while !open.is_closed && open.pending_message.is_none() {
            match open.socket.next(&mut self.buffer, max) {
                None => break,
                Some(Received::Message(message)) => {
                    completed_any = true;
                    if open.hook.is_some() {
                        open.pending_message = Some(message);
                        break;
                    }
                    if let Some(reply) = open.socket.publish(self.shard.broker(), message) {
                        self.reply_to_frame(open, reply);
                    }
                }
                Some(reply) => self.reply_to_frame(open, reply),
            }
        }
        if open.is_closed {
            self.buffer.clear();
        }
        if self.buffer.len() < buffered {
            self.compact();
        }
        // A message that begins with an empty fragment has no pending bytes yet.
        let begun = usize::from(open.socket.has_begun());
        let pending = if open.is_closed {
            0
        } else {
            self.buffer.len() + open.socket.pending_bytes().max(begun)
        };
        self.limit_arrival(&mut open.arriving, pending, completed_any);
    }

    /// Calls the hook about the pending message, and carries out its decision. Further messages of
    /// the client wait.
    pub(in crate::server) async fn run_message_hook(&mut self, open: &mut NchanWebSocket) {
        let Some(Incoming { text, content_type }) = open.pending_message.take() else {
            return;
        };
        let response = match open.hook.as_deref() {
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
            MessageDecision::Publish(text, content_type) => open
                .socket
                .publish(self.shard.broker(), Incoming { text, content_type }),
            MessageDecision::Drop => None,
            MessageDecision::Reject => Some(Socket::closed(1008, "403 Forbidden")),
            MessageDecision::Failed(_) => Some(Socket::closed(1011, "500 Internal Server Error")),
        };
        if let Some(reply) = reply {
            self.reply_to_frame(open, reply);
        }
    }

    fn reply_to_frame(&mut self, open: &mut NchanWebSocket, reply: Received) {
        match reply {
            Received::Message(_) => {}
            Received::Reply(bytes) => self.shard.reply(self.key, bytes),
            Received::Close(bytes) => {
                open.is_closed = true;
                open.socket.clear();
                self.shard.end_with(self.key, bytes);
            }
        }
    }
}
