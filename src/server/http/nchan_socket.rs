//! What comes over a websocket of nchan, while the connection follows.

use super::connection::Connection;
use crate::server::subscriber::{Received, Socket};

/// The websocket of a follower.
pub(super) struct OpenSocket {
    pub(super) socket: Box<Socket>,
    /// A message has begun and has to be completed in time.
    is_expecting: bool,
    /// Nothing of what still comes is looked at.
    is_over: bool,
}

impl OpenSocket {
    pub(super) fn new(socket: Box<Socket>) -> Self {
        Self { socket, is_expecting: false, is_over: false }
    }
}

impl Connection {
    /// Handles the frames in the buffer.
    pub(super) fn receive_frames(&mut self, open: &mut OpenSocket) {
        let most = self.site.limits.max_websocket_message_bytes;
        let came = self.buffer.len();
        let mut completed_any = false;
        while !open.is_over {
            match open.socket.next(&mut self.buffer, most) {
                None => break,
                Some(Received::Message(message)) => {
                    completed_any = true;
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
        let is_expecting = self.buffer.len() + open.socket.pending_bytes() > 0 && !open.is_over;
        // The time is that of one message: the next one, if it has begun, gets its own.
        if is_expecting != open.is_expecting || (is_expecting && completed_any) {
            open.is_expecting = is_expecting;
            self.shard.expect_more(self.key, is_expecting.then_some(self.site.limits.body_timeout));
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
