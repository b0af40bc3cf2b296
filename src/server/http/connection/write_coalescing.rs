//! Write coalescing for publishers: responses wait for those of other publishers of the same turn,
//! and the next request of a fast publisher is read without waiting for an event.

use std::future::poll_fn;
use std::rc::Rc;

use super::Disconnected;
use super::requests::Requests;
use crate::server::fanout::{InlineDelivery, PendingReply};

/// Responses of up to this many bytes wait for others of the same turn. They are not counted
/// against the memory bound while they wait.
const MAX_WAITING_BYTES: usize = 2 * 1024;

/// Most read-ahead attempts that are skipped in a row: one attempt in 32 costs 2 % of a system call
/// per message.
const MAX_SKIPPED: u8 = 31;

/// Most requests that are answered inline before the thread is yielded, at about 20 µs each.
const MAX_INLINE: u8 = 32;

/// The state of a connection as a publisher among others.
#[derive(Default)]
pub(in crate::server) struct WriteCoalescing {
    /// Slot for responses that wait, made when it is first needed.
    pending_reply: Option<Rc<PendingReply>>,
    /// Messages were published here that wait for the next turn of the shard.
    has_published: bool,
    /// Followers were served since the last read: the next request may have arrived.
    may_read_ahead: bool,
    /// Requests that were answered inline since the thread was yielded.
    inline_count: u8,
    read_ahead: ReadAhead,
}

impl WriteCoalescing {
    /// Returns whether the thread was yielded since a request was answered inline.
    pub(in crate::server) fn has_waited(&self) -> bool {
        self.inline_count == 0
    }

    /// Records that the thread was yielded.
    pub(in crate::server) fn record_wait(&mut self) {
        self.inline_count = 0;
    }

    /// Returns whether the thread must be yielded before the next request.
    fn must_yield(&self) -> bool {
        self.inline_count >= MAX_INLINE
    }

    /// Records a request that was answered inline; with `may_read_ahead` its followers were served.
    fn record_inline(&mut self, may_read_ahead: bool) {
        self.has_published = false;
        self.may_read_ahead = may_read_ahead;
        self.inline_count = self.inline_count.saturating_add(1);
    }
}

impl Requests<'_> {
    /// Returns whether the next request in the buffer publishes, so that responses may wait for
    /// its response.
    pub(in crate::server) fn publish_comes_next(&self) -> bool {
        self.connection.buffer.starts_with(b"POST ") || self.connection.buffer.starts_with(b"PUT ")
    }

    /// Records whether a published message waits for the shard's next turn.
    pub(in crate::server) fn record_published(&mut self) {
        self.coalescing.has_published |= self.connection.shard.has_pending_delivery();
    }

    /// Writes all responses: those of publishers together with others, if their messages wait for
    /// the shard's next turn.
    pub(in crate::server) async fn flush_with_others(&mut self) -> Result<(), Disconnected> {
        let shard = &self.connection.shard;
        if std::mem::take(&mut self.coalescing.has_published)
            && self.out.len() <= MAX_WAITING_BYTES
            && shard.has_pending_delivery()
        {
            let pending_reply = self.coalescing.pending_reply.get_or_insert_default();
            shard.queue_reply(
                &self.connection.outlet,
                pending_reply,
                std::mem::take(&mut self.out),
            );
            self.out = poll_fn(|cx| pending_reply.poll_written(cx)).await;
            self.coalescing.may_read_ahead = true;
            self.coalescing.record_wait();
        }
        self.flush().await
    }

    /// Writes the response to the only active publisher, and delivers its message at once.
    pub(in crate::server) fn respond_inline(&mut self, delivering: &InlineDelivery) {
        // An error recurs when the rest is written.
        let written = self
            .connection
            .outlet
            .try_write(&self.out)
            .unwrap_or_default();
        self.out.drain(..written);
        self.coalescing.record_inline(delivering.deliver());
    }

    /// Reads the next request if it has arrived while followers were served: waiting for an event
    /// would cost one more system call per message. Returns whether there was input.
    pub(in crate::server) async fn read_before_waiting(&mut self) -> bool {
        if self.coalescing.must_yield() {
            // Yielding also polls for events.
            tokio::task::yield_now().await;
            self.coalescing.record_wait();
        }
        if !std::mem::take(&mut self.coalescing.may_read_ahead)
            || !self.coalescing.read_ahead.is_due()
        {
            return false;
        }
        let has_input = self.try_begin();
        self.coalescing.read_ahead.record(has_input);
        has_input
    }
}

/// Decides whether to try a read before waiting. A failed attempt costs a system call, so that
/// attempts back off exponentially while they fail.
#[derive(Debug, Default)]
pub(in crate::server) struct ReadAhead {
    /// Attempts to skip before the next one.
    to_skip: u8,
    /// Attempts that were skipped before the last one; 0 if that one succeeded.
    skipped: u8,
}

impl ReadAhead {
    fn is_due(&mut self) -> bool {
        let is_due = self.to_skip == 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        is_due
    }

    fn record(&mut self, has_input: bool) {
        self.skipped = if has_input {
            0
        } else {
            (2 * self.skipped + 1).min(MAX_SKIPPED)
        };
        self.to_skip = self.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inline_publisher_yields_the_thread_after_some_requests() {
        let mut coalescing = WriteCoalescing::default();
        let served = (1..=100).find(|_| {
            coalescing.record_inline(true);
            coalescing.must_yield()
        });
        assert_eq!(served, Some(32));
        assert!(!coalescing.has_waited());
        coalescing.record_wait();
        assert!(coalescing.has_waited() && !coalescing.must_yield());
    }

    #[test]
    fn failed_attempts_back_off_and_a_successful_one_ends_that() {
        let mut read_ahead = ReadAhead::default();
        let count_attempts = |read_ahead: &mut ReadAhead, has_input: bool| {
            let mut attempts = 0;
            for _ in 0..200 {
                if read_ahead.is_due() {
                    read_ahead.record(has_input);
                    attempts += 1;
                }
            }
            attempts
        };
        let failed = count_attempts(&mut read_ahead, false);
        assert!((6..=12).contains(&failed), "{failed}");
        assert!(count_attempts(&mut read_ahead, true) >= 200 - usize::from(MAX_SKIPPED));
    }
}
