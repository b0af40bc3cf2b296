//! A connection while it follows: what the client sends, what the socket takes, and the end.

use std::future::poll_fn;
use std::task::Poll;

use bytes::BytesMut;

use super::connection::{Connection, Over};
use crate::server::fanout::{FollowerEvent, Outcome};
use crate::server::subscriber::websocket::Publishing;
use crate::server::subscriber::websocket::inbound::{Event, Inbound};

/// Most bytes that a client may send ahead while it waits for a long-poll answer or a stream; they are read as requests
/// afterwards. More stay in its socket.
const MAX_PIPELINED_BYTES: usize = 16 * 1024;

/// The websocket of a follower.
struct WebSocket {
    publishing: Publishing,
    inbound: Inbound,
}

/// What a follower's connection does next.
enum Woken {
    Writable,
    Received,
    Left,
    Ended(Outcome),
}

impl Connection {
    /// Follows until the subscription ends; true if the connection serves requests again.
    pub(super) async fn follow(&mut self, publishing: Option<Publishing>) -> bool {
        let mut websocket = publishing.map(|publishing| Box::new(WebSocket { publishing, inbound: Inbound::default() }));
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        let outcome = loop {
            if let Some(websocket) = &mut websocket {
                self.receive(websocket);
            }
            match self.woken(websocket.is_some()).await {
                Woken::Writable => self.shard.resume(self.key),
                Woken::Received => {}
                Woken::Left => break Outcome::Dropped,
                Woken::Ended(outcome) => break outcome,
            }
        };
        self.shard.release(self.key);
        outcome == Outcome::Finished
    }

    async fn woken(&mut self, is_websocket: bool) -> Woken {
        poll_fn(|cx| {
            // A websocket's buffer is bounded by its largest message, for which `receive` sees to it.
            let reading = is_websocket || self.buffer.len() < MAX_PIPELINED_BYTES;
            match std::task::ready!(self.shard.poll_follower(self.key, reading, cx)) {
                FollowerEvent::Ended(outcome) => Poll::Ready(Woken::Ended(outcome)),
                FollowerEvent::Writable => Poll::Ready(Woken::Writable),
                FollowerEvent::Readable => self.poll_fill(cx).map(|filled| match filled {
                    Ok(_) => Woken::Received,
                    Err(Over) => Woken::Left,
                }),
            }
        })
        .await
    }

    /// Handles the websocket frames in the buffer.
    fn receive(&mut self, websocket: &mut WebSocket) {
        while let Some(event) = websocket.inbound.next(&mut self.buffer, self.site.limits.max_websocket_message_bytes) {
            match event {
                Event::Text(text) => {
                    if websocket.publishing.publish(self.shard.broker(), text).is_err() {
                        self.shard.end_with(self.key, Vec::new());
                    }
                }
                Event::Reply(bytes) => self.shard.reply(self.key, bytes),
                Event::Close(bytes) => {
                    self.shard.end_with(self.key, bytes);
                    self.buffer = BytesMut::new();
                    return;
                }
            }
        }
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}
