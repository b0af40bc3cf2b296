//! Inline delivery: a replayed publish, if it is the only one of its shard, delivers its message
//! itself, within its own turn. The shared delivery task would cost two more task polls for each
//! message: 1,000 of 8,900 instructions (callgrind).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::Shard;
use crate::server::broker::Incident;
use crate::server::fanout::outlet::Outlet;

/// Permission to deliver the messages that are published while it exists. Messages left when it is
/// dropped are delivered by the task.
pub struct InlineDelivery(Shard);

impl Shard {
    /// Permits the caller to deliver the messages that it is about to publish, if it is likely to
    /// be the only publisher. With several publishers, [queued replies](Shard::queue_reply) are
    /// more efficient. `has_waited` starts a new turn: other tasks had the thread since the last
    /// one. The permission must not be held across an await.
    #[must_use]
    pub fn begin_inline_delivery(
        &self,
        outlet: &Rc<Outlet>,
        has_waited: bool,
    ) -> Option<InlineDelivery> {
        let shard = &*self.0;
        if !shard.replies.expects_single(outlet) || !shard.inbox.is_empty() {
            return None;
        }
        let mut state = shard.state.borrow_mut();
        if has_waited {
            state.sender().begin_turn();
        }
        state.is_idle().then(|| {
            shard.inbox.hold();
            InlineDelivery(self.clone())
        })
    }

    /// Recovers from a panic in a task that serves all connections of the shard: counts it and
    /// schedules a round of every channel.
    pub fn recover_from_panic(&self, what: &'static str) {
        self.broker().count(Incident::Panic);
        tracing::error!("{what} continues after a panic");
        self.schedule_all_rounds();
    }
}

impl InlineDelivery {
    /// Runs the rounds of the published messages. Returns false if the delivery task has to
    /// continue: the messages take more than one turn, or a panic occurred in the delivery, for
    /// which the publisher is not to blame.
    #[must_use]
    pub fn deliver(&self) -> bool {
        let is_done = catch_unwind(AssertUnwindSafe(|| self.0.serve_turn())).unwrap_or_else(|_| {
            self.0.recover_from_panic("delivery");
            false
        });
        if !is_done {
            self.0.0.inbox.wake();
        }
        is_done
    }
}

impl Drop for InlineDelivery {
    fn drop(&mut self) {
        self.0.0.inbox.release();
    }
}
