//! Busy publishers: several who publish at the same time, and those whose next request is on its way before they are asked.

use std::future::poll_fn;

use super::connection::{Over, Requests};
use crate::server::fanout::Delivering;

/// Responses of up to so many bytes wait for others of the same turn: they are not counted against the memory meanwhile.
const MAX_WAITING_BYTES: usize = 2 * 1024;

/// Most looks for the next request that are left out in a row.
const MOST_LEFT_OUT: u8 = 31;

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
            self.may_go_on = true;
        }
        self.flush().await
    }

    /// Writes the answer to the only publisher, and delivers at once what it published.
    pub(super) fn answer_alone(&mut self, delivering: &Delivering) {
        // A broken socket shows again when the rest is written.
        let written = self.connection.outlet.try_write(&self.out).unwrap_or_default();
        self.out.drain(..written);
        self.may_go_on = delivering.deliver();
    }

    /// Reads the next request if it came while followers were served: waiting for what is there already would take a call of
    /// the system more for each message. False if there is nothing. Others had the thread before, or what was done since then is
    /// little, so that nobody waits for those who come here again and again.
    pub(super) fn read_before_waiting(&mut self) -> bool {
        if !std::mem::take(&mut self.may_go_on) || !self.promptness.is_worth_a_look() {
            return false;
        }
        let came = self.connection.fill_at_once();
        self.promptness.note(came);
        came
    }
}

/// Whether a publisher's next request tends to be there when its followers were served. Looking in vain is a call of the system,
/// too, so it is done the more rarely the more often it was in vain.
#[derive(Debug, Default)]
pub(super) struct Promptness {
    /// Looks that are left out before the next one.
    left_out: u8,
    /// As many were left out before the last one, if that was in vain.
    rareness: u8,
}

impl Promptness {
    fn is_worth_a_look(&mut self) -> bool {
        let is_due = self.left_out == 0;
        self.left_out = self.left_out.saturating_sub(1);
        is_due
    }

    fn note(&mut self, came: bool) {
        self.rareness = if came { 0 } else { (2 * self.rareness + 1).min(MOST_LEFT_OUT) };
        self.left_out = self.rareness;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_in_vain_become_rare_and_a_lucky_one_makes_them_frequent() {
        let mut promptness = Promptness::default();
        let looks = |promptness: &mut Promptness, came: bool| {
            let look = |_: &usize| promptness.is_worth_a_look() && (promptness.note(came), true).1;
            (0..200).filter(look).count()
        };
        let in_vain = looks(&mut promptness, false);
        assert!((6..=12).contains(&in_vain), "{in_vain}");
        assert!(looks(&mut promptness, true) >= 200 - usize::from(MOST_LEFT_OUT));
    }
}
