//! Responses of a connection that are not written yet.
//!
//! Write coalescing for publishers: responses wait for those of other publishers of the same turn,
//! and the next request of a fast publisher is read without waiting for an event.

mod read_ahead;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use self::read_ahead::ReadAhead;
use crate::server::exchange::buffer_pool;
use crate::server::fanout::{InlineDelivery, Outlet, PendingReply, Shard};

/// Responses to pipelined requests are collected up to this many bytes before they are written.
pub(in crate::server::http) const MAX_UNWRITTEN_BYTES: usize = 64 * 1024;

/// Responses of up to this many bytes wait for others of the same turn. They are not counted
/// against the memory bound while they wait.
const MAX_WAITING_BYTES: usize = 2 * 1024;

/// Most requests that are answered inline before the thread is yielded, at about 20 µs each.
const MAX_INLINE: u8 = 32;

/// The responses of a connection.
#[derive(Default)]
pub(in crate::server::http) struct Writer {
    /// Responses that are not written yet.
    out: Vec<u8>,
    /// Number of bytes of `out` that are written already.
    written: usize,
    /// Slot for responses that wait for those of other publishers, made when it is first needed.
    pending_reply: Option<Rc<PendingReply>>,
    /// Messages were published here that wait for the next turn of the shard.
    has_published: bool,
    /// Followers were served since the last read: the next request may have arrived.
    may_read_ahead: bool,
    /// Requests that were answered inline since the thread was yielded.
    inline_count: u8,
    read_ahead: ReadAhead,
}

impl Writer {
    /// The buffer to which responses are appended.
    pub(in crate::server::http) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub(in crate::server::http) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Returns whether the responses must be written before the next request is served.
    pub(in crate::server::http) fn is_full(&self) -> bool {
        self.out.len() > MAX_UNWRITTEN_BYTES
    }

    /// Length of the responses.
    pub(in crate::server::http) fn len(&self) -> usize {
        self.out.len()
    }

    /// The responses that were appended when there were `start` bytes.
    pub(in crate::server::http) fn since(&self, start: usize) -> &[u8] {
        &self.out[start..]
    }

    /// Memory of the responses.
    pub(in crate::server::http) fn capacity(&self) -> usize {
        self.out.capacity()
    }

    /// Writes as much as the socket accepts; returns whether that is everything.
    pub(in crate::server::http) fn try_write(&mut self, outlet: &Outlet) -> io::Result<bool> {
        while self.written < self.out.len() {
            match outlet.try_write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        if self.out.capacity() > MAX_UNWRITTEN_BYTES {
            self.out = Vec::new();
        }
        self.out.clear();
        Ok(true)
    }

    /// Before a wait for the next request: the memory of the buffer may be used by others.
    pub(in crate::server::http) fn give_buffer(&mut self) {
        buffer_pool::give(std::mem::take(&mut self.out));
    }

    /// Discards the buffer.
    pub(in crate::server::http) fn clear(&mut self) {
        self.out = Vec::new();
    }

    /// Records whether a published message waits for the shard's next turn.
    pub(in crate::server::http) fn record_published(&mut self, shard: &Shard) {
        self.has_published |= shard.has_pending_delivery();
    }

    /// Lets the responses of a publisher wait for those of others, and writes all of them together,
    /// if its message waits for the shard's next turn. The rest is left.
    pub(in crate::server::http) async fn write_with_others(
        &mut self,
        shard: &Shard,
        outlet: &Rc<Outlet>,
    ) {
        if std::mem::take(&mut self.has_published)
            && self.out.len() <= MAX_WAITING_BYTES
            && shard.has_pending_delivery()
        {
            let pending_reply = self.pending_reply.get_or_insert_default();
            shard.queue_reply(outlet, pending_reply, std::mem::take(&mut self.out));
            self.out = poll_fn(|cx| pending_reply.poll_written(cx)).await;
            self.may_read_ahead = true;
            self.record_wait();
        }
    }

    /// Writes the response to the only active publisher, and delivers its message at once.
    pub(in crate::server::http) fn write_inline(
        &mut self,
        outlet: &Outlet,
        delivering: &InlineDelivery,
    ) {
        // An error recurs when the rest is written.
        let written = outlet.try_write(&self.out).unwrap_or_default();
        self.out.drain(..written);
        self.record_inline(delivering.deliver());
    }

    /// Returns whether the thread was yielded since a request was answered inline.
    pub(in crate::server::http) fn has_waited(&self) -> bool {
        self.inline_count == 0
    }

    /// Records that the thread was yielded.
    pub(in crate::server::http) fn record_wait(&mut self) {
        self.inline_count = 0;
    }

    /// Returns whether the thread must be yielded before the next request.
    pub(in crate::server::http) fn must_yield(&self) -> bool {
        self.inline_count >= MAX_INLINE
    }

    /// Records a request that was answered inline; with `may_read_ahead` its followers were served.
    fn record_inline(&mut self, may_read_ahead: bool) {
        self.has_published = false;
        self.may_read_ahead = may_read_ahead;
        self.inline_count = self.inline_count.saturating_add(1);
    }

    /// Returns whether to try a read before waiting: the next request may have arrived while
    /// followers were served, and waiting for an event would cost one more system call per message.
    pub(in crate::server::http) fn tries_read_ahead(&mut self) -> bool {
        std::mem::take(&mut self.may_read_ahead) && self.read_ahead.is_due()
    }

    /// Records whether such a read had input.
    pub(in crate::server::http) fn record_read_ahead(&mut self, has_input: bool) {
        self.read_ahead.record(has_input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inline_publisher_yields_the_thread_after_some_requests() {
        let mut writer = Writer::default();
        let served = (1..=100).find(|_| {
            writer.record_inline(true);
            writer.must_yield()
        });
        assert_eq!(served, Some(32));
        assert!(!writer.has_waited());
        writer.record_wait();
        assert!(writer.has_waited() && !writer.must_yield());
    }
}
