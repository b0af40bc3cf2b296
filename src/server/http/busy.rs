//! Busy publishers: several who publish at the same time, and those whose next request is on its way before they are asked.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;

use super::connection::{Over, Requests};
use crate::server::publisher::Plan;
use crate::server::response::Response;

/// Responses of up to so many bytes wait for others of the same turn: they are not counted against the memory meanwhile.
const MAX_WAITING_BYTES: usize = 2 * 1024;

impl Requests<'_> {
    /// Carries out what a publisher wants, with the body of its request.
    pub(super) fn publish(&mut self, plan: &Plan, body: Bytes) -> Response {
        let shard = &self.connection.shard;
        self.is_among_others |= !self.brought_news && shard.is_about_to_deliver();
        let response = plan.finish(shard.broker(), body);
        self.brought_news |= shard.is_about_to_deliver();
        response
    }

    /// The requests in the buffer begin with one that publishes: its response may wait for further ones.
    pub(super) fn publish_comes_next(&self) -> bool {
        self.connection.buffer.starts_with(b"POST ") || self.connection.buffer.starts_with(b"PUT ")
    }

    /// Writes all responses; those of publishers after the others of the same turn, and their followers, had the thread. Whoever waits
    /// for several answers and messages is woken 0.8 times per message then, with eight publishers, and not 1.2 times.
    pub(super) async fn flush_with_others(&mut self) -> Result<(), Over> {
        if std::mem::take(&mut self.is_among_others) && self.out.len() <= MAX_WAITING_BYTES {
            let_others_run().await;
        }
        self.flush().await
    }

    /// After a publisher was answered and its followers were served: reads what came meanwhile, false if that is nothing. Waiting for
    /// what is there already would take a call of the system more for each message.
    pub(super) async fn read_before_waiting(&mut self) -> bool {
        let_others_run().await;
        self.connection.fill_at_once()
    }
}

/// Lets all tasks run that can. `tokio::task::yield_now` would ask the system for events first. The runtime does that after 61
/// polls at the latest, so nobody is kept waiting by those who come here again and again.
async fn let_others_run() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
