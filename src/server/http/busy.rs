//! Busy publishers: several who publish at the same time, and those whose next request is on its way before they are asked.

use std::future::poll_fn;

use super::connection::{Over, Requests};

/// Responses of up to so many bytes wait for others of the same turn: they are not counted against the memory meanwhile.
const MAX_WAITING_BYTES: usize = 2 * 1024;

impl Requests<'_> {
    /// The requests in the buffer begin with one that publishes: its response may wait for further ones.
    pub(super) fn publish_comes_next(&self) -> bool {
        self.connection.buffer.starts_with(b"POST ") || self.connection.buffer.starts_with(b"PUT ")
    }

    /// Writes all responses: with those of others, where something was published that waits for the shard's next turn.
    pub(super) async fn flush_with_others(&mut self) -> Result<(), Over> {
        let shard = &self.connection.shard;
        if self.out.len() <= MAX_WAITING_BYTES && shard.is_about_to_deliver() {
            let answer = self.answer.get_or_insert_default();
            shard.answer(&self.connection.outlet, answer, std::mem::take(&mut self.out));
            self.out = poll_fn(|cx| answer.poll_written(cx)).await;
            self.had_others = true;
        }
        self.flush().await
    }

    /// Reads the next request if it came while followers were served: waiting for what is there already would take a call of
    /// the system more for each message. False if there is nothing. Others had the thread before, so that nobody waits for
    /// those who come here again and again.
    pub(super) fn read_before_waiting(&mut self) -> bool {
        std::mem::take(&mut self.had_others) && self.connection.fill_at_once()
    }
}
