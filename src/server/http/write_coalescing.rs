//! Busy publishers: several who publish at the same time, and those whose next request is on its
//! way before they are asked.

use std::future::poll_fn;
use std::rc::Rc;

use super::connection::{Disconnected, Requests};
use crate::server::fanout::{InlineDelivery, PendingReply};

/// Responses of up to so many bytes wait for others of the same turn: they are not counted against
/// the memory meanwhile.
const MAX_WAITING_BYTES: usize = 2 * 1024;

/// Most looks for the next request that are left out in a row: one in 32 costs 2 % of a call of the
/// system per message.
const MOST_LEFT_OUT: u8 = 31;

/// Requests that are answered alone before others have the thread, at about 20 µs each.
const MOST_IN_A_ROW: u8 = 32;

/// What a connection knows of itself as a publisher among others.
#[derive(Default)]
pub(super) struct WriteCoalescing {
    /// If its responses waited for others.
    answer: Option<Rc<PendingReply>>,
    /// What was published here waits for the next turn of the shard.
    brought_news: bool,
    /// Its followers were served: the next request may be there already.
    may_go_on: bool,
    /// Requests that were answered alone since others had the thread.
    in_a_row: u8,
    promptness: ReadAhead,
}

impl WriteCoalescing {
    /// Others had the thread since a request was answered alone.
    pub(super) fn has_waited(&self) -> bool {
        self.in_a_row == 0
    }

    /// Notes that others had the thread.
    pub(super) fn note_wait(&mut self) {
        self.in_a_row = 0;
    }

    /// Others are to have the thread before the next request.
    fn has_had_its_share(&self) -> bool {
        self.in_a_row >= MOST_IN_A_ROW
    }

    /// Notes a request that was answered alone; its followers were served if `may_go_on`.
    fn note_alone(&mut self, may_go_on: bool) {
        self.brought_news = false;
        self.may_go_on = may_go_on;
        self.in_a_row = self.in_a_row.saturating_add(1);
    }
}

impl Requests<'_> {
    /// The requests in the buffer begin with one that publishes: its response may wait for further
    /// ones.
    pub(super) fn publish_comes_next(&self) -> bool {
        self.connection.buffer.starts_with(b"POST ") || self.connection.buffer.starts_with(b"PUT ")
    }

    /// Notes whether what was published waits for the shard's next turn.
    pub(super) fn note_news(&mut self) {
        self.busy.brought_news |= self.connection.shard.has_pending_delivery();
    }

    /// Writes all responses: those of publishers with those of others, where what they published
    /// waits for the shard's next turn.
    pub(super) async fn flush_with_others(&mut self) -> Result<(), Disconnected> {
        let shard = &self.connection.shard;
        if std::mem::take(&mut self.busy.brought_news)
            && self.out.len() <= MAX_WAITING_BYTES
            && shard.has_pending_delivery()
        {
            let answer = self.busy.answer.get_or_insert_default();
            shard.queue_reply(
                &self.connection.outlet,
                answer,
                std::mem::take(&mut self.out),
            );
            self.out = poll_fn(|cx| answer.poll_written(cx)).await;
            self.busy.may_go_on = true;
            self.busy.note_wait();
        }
        self.flush().await
    }

    /// Writes the answer to the only publisher, and delivers at once what it published.
    pub(super) fn answer_alone(&mut self, delivering: &InlineDelivery) {
        // A broken socket shows again when the rest is written.
        let written = self
            .connection
            .outlet
            .try_write(&self.out)
            .unwrap_or_default();
        self.out.drain(..written);
        self.busy.note_alone(delivering.deliver());
    }

    /// Reads the next request if it came while followers were served: waiting for what is there
    /// already would take a call of the system more for each message. False if there is nothing.
    pub(super) async fn read_before_waiting(&mut self) -> bool {
        if self.busy.has_had_its_share() {
            // The system is asked for events, too.
            tokio::task::yield_now().await;
            self.busy.note_wait();
        }
        if !std::mem::take(&mut self.busy.may_go_on) || !self.busy.promptness.is_worth_a_look() {
            return false;
        }
        let came = self.begin_at_once();
        self.busy.promptness.note(came);
        came
    }
}

/// Whether a publisher's next request tends to be there when its followers were served. Looking in
/// vain is a call of the system, too, so it is done the more rarely the more often it was in vain.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    /// Looks that are still left out.
    to_skip: u8,
    /// As many were left out before the last look; none if that was lucky.
    skipped: u8,
}

impl ReadAhead {
    fn is_worth_a_look(&mut self) -> bool {
        let is_due = self.to_skip == 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        is_due
    }

    fn note(&mut self, came: bool) {
        self.skipped = if came {
            0
        } else {
            (2 * self.skipped + 1).min(MOST_LEFT_OUT)
        };
        self.to_skip = self.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_alone_leaves_the_thread_to_others_after_some_requests() {
        let mut business = WriteCoalescing::default();
        let served = (1..=100).find(|_| {
            business.note_alone(true);
            business.has_had_its_share()
        });
        assert_eq!(served, Some(32));
        assert!(!business.has_waited());
        business.note_wait();
        assert!(business.has_waited() && !business.has_had_its_share());
    }

    #[test]
    fn looks_in_vain_become_rare_and_a_lucky_one_makes_them_frequent() {
        let mut promptness = ReadAhead::default();
        let looks = |promptness: &mut ReadAhead, came: bool| {
            let look = |_: &usize| promptness.is_worth_a_look() && (promptness.note(came), true).1;
            (0..200).filter(look).count()
        };
        let in_vain = looks(&mut promptness, false);
        assert!((6..=12).contains(&in_vain), "{in_vain}");
        assert!(looks(&mut promptness, true) >= 200 - usize::from(MOST_LEFT_OUT));
    }
}
