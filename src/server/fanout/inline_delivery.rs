//! A publisher that is the only one of its shard delivers what it publishes within its own turn.
//! The task that delivers for all of them would cost two more polls of tasks for each message:
//! 1,000 of 8,900 instructions (callgrind).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::outlet::Outlet;
use super::shard::Shard;
use super::state::Turn;
use crate::server::broker::Incident;

/// Permission to deliver what is published meanwhile; what is left when it ends is delivered as
/// usual.
pub struct Delivering(Shard);

impl Shard {
    /// Lets the caller deliver what it is about to publish, if it is likely to be the only
    /// publisher: with several, [answers that wait](Shard::answer) are better. A turn begins if
    /// `has_waited`: others had the thread since the last one. To be held for no longer than that.
    #[must_use]
    pub fn deliver_alone(&self, outlet: &Rc<Outlet>, has_waited: bool) -> Option<Delivering> {
        let shard = &*self.0;
        if !shard.answers.expects_only(outlet) || !shard.inbox.is_empty() {
            return None;
        }
        let mut state = shard.state.borrow_mut();
        if has_waited {
            state.turn = Turn::default();
        }
        state.rounds.is_empty().then(|| {
            shard.inbox.hold();
            Delivering(self.clone())
        })
    }

    /// After a panic in what the shard does for all its connections: counts it, and lets everything
    /// be looked at again.
    pub fn recover(&self, what: &'static str) {
        self.broker().count(Incident::Panic);
        tracing::error!("{what} goes on after a panic");
        self.revisit_all();
    }
}

impl Delivering {
    /// Serves the rounds of what was published; false if something is left, which is delivered as
    /// usual: there is more to do than one turn takes, or a mistake came in between, which is not
    /// that of the publisher.
    #[must_use]
    pub fn deliver(&self) -> bool {
        let is_done = catch_unwind(AssertUnwindSafe(|| self.0.serve_turn())).unwrap_or_else(|_| {
            self.0.recover("delivery");
            false
        });
        if !is_done {
            self.0.0.inbox.wake();
        }
        is_done
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        self.0.0.inbox.release();
    }
}
