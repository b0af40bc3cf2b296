//! What comes over a websocket of nchan, while the connection follows.

use axum::http::header::{CONTENT_TYPE, HeaderValue};

use super::backend::{Ask, Unreachable};
use super::connection::Connection;
use super::hooks::MessageDecision;
use super::pace::ArrivingMessage;
use crate::server::subscriber::{Incoming, Received, Socket};

/// The websocket of a follower.
pub(super) struct OpenSocket {
    pub(super) socket: Box<Socket>,
    /// What a back-end is asked about each message.
    upstream: Option<Box<Result<Ask, Unreachable>>>,
    /// The message that it is to be asked about.
    question: Option<Incoming>,
    /// The time limit of a message that is not complete.
    arriving: ArrivingMessage,
    /// Nothing of what still comes is looked at.
    pub(super) is_over: bool,
}

impl OpenSocket {
    pub(super) fn new(
        socket: Box<Socket>,
        upstream: Option<Box<Result<Ask, Unreachable>>>,
    ) -> Self {
        Self {
            socket,
            upstream,
            question: None,
            arriving: ArrivingMessage::default(),
            is_over: false,
        }
    }

    /// A back-end is to be asked about a message.
    pub(super) fn has_question(&self) -> bool {
        self.question.is_some()
    }
}

impl Connection {
    /// Handles the frames in the buffer.
    pub(super) fn receive_frames(&mut self, open: &mut OpenSocket) {
        let most = self.site.limits.max_websocket_message_bytes;
        let came = self.buffer.len();
        let mut completed_any = false;
        while !open.is_over && open.question.is_none() {
            match open.socket.next(&mut self.buffer, most) {
                None => break,
                Some(Received::Message(message)) => {
                    completed_any = true;
                    if open.upstream.is_some() {
                        open.question = Some(message);
                        break;
                    }
                    if let Some(answer) = open.socket.publish(self.shard.broker(), message) {
                        self.answer_frame(open, answer);
                    }
                }
                Some(answer) => self.answer_frame(open, answer),
            }
        }
        if open.is_over {
            self.buffer.clear();
        }
        if self.buffer.len() < came {
            self.compact();
        }
        // A message may have begun with an empty fragment.
        let begun = usize::from(open.socket.has_begun());
        let pending = if open.is_over {
            0
        } else {
            self.buffer.len() + open.socket.pending_bytes().max(begun)
        };
        self.limit_arrival(&mut open.arriving, pending, completed_any);
    }

    /// Asks a back-end about a message, and does what it says. Others of this client wait.
    pub(super) async fn ask_about(&mut self, open: &mut OpenSocket) {
        let Some(Incoming { text, content_type }) = open.question.take() else {
            return;
        };
        let told = match open.upstream.as_deref() {
            Some(Ok(ask)) => {
                let mut ask = ask.clone();
                if let (Ask::Request(request), Some(value)) = (&mut ask, &content_type)
                    && let Ok(value) = HeaderValue::from_bytes(value)
                {
                    request.headers.insert(CONTENT_TYPE, value);
                }
                self.site.backend.decide(Ok(ask), text.clone()).await
            }
            Some(Err(reason)) => Err(*reason),
            None => Err(Unreachable::Failed),
        };
        let answer = match MessageDecision::of(told, text, content_type) {
            MessageDecision::Publish(text, content_type) => open
                .socket
                .publish(self.shard.broker(), Incoming { text, content_type }),
            MessageDecision::Drop => None,
            MessageDecision::Refuse => Some(Socket::closed(1008, "403 Forbidden")),
            MessageDecision::Down(_) => Some(Socket::closed(1011, "500 Internal Server Error")),
        };
        if let Some(answer) = answer {
            self.answer_frame(open, answer);
        }
    }

    fn answer_frame(&mut self, open: &mut OpenSocket, answer: Received) {
        match answer {
            Received::Message(_) => {}
            Received::Reply(bytes) => self.shard.reply(self.key, bytes),
            Received::Close(bytes) => {
                open.is_over = true;
                open.socket.clear();
                self.shard.end_with(self.key, bytes);
            }
        }
    }
}
