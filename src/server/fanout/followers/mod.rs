//! The followers of a shard: their table, their deadlines, and the memory of their unsent bytes.
//! Handles what a write, a deadline or a gap leads to; `ending` ends subscriptions.
//!
//! The frame sender delivers messages to them.

mod ending;

use crate::server::broker::{Incident, SlowConsumerOutcome};
use crate::server::config::SlowPolicy;
use crate::server::fanout::context::ShardContext;
use crate::server::fanout::end_reason::EndReason;
use crate::server::fanout::follower::Follower;
use crate::server::fanout::pending_charges::PendingCharges;
use crate::server::fanout::policy::UnansweredPing;
use crate::server::fanout::subscription::SubscriptionOutcome;
use crate::server::fanout::table::{ConnectionKey, FollowerTable};
use crate::server::fanout::timers::{Millis, Timers};
use crate::server::observe::failpoints;

/// The followers of a shard, and its connections without a follower.
#[derive(Default)]
pub(super) struct Followers {
    table: FollowerTable,
    timers: Timers,
    pending_charges: PendingCharges,
}

impl Followers {
    pub(super) fn table(&self) -> &FollowerTable {
        &self.table
    }

    pub(super) fn table_mut(&mut self) -> &mut FollowerTable {
        &mut self.table
    }

    pub(super) fn follower(&self, key: ConnectionKey) -> Option<&Follower> {
        self.table.follower(key)
    }

    pub(super) fn follower_mut(&mut self, key: ConnectionKey) -> Option<&mut Follower> {
        self.table.follower_mut(key)
    }

    /// Enters the connection's next deadline into the timers.
    pub(super) fn arm(&mut self, key: ConnectionKey, send_timeout: Millis) {
        if let Some(slot) = self.table.slot(key) {
            self.timers.arm(key, slot.due(send_timeout));
        }
    }

    /// When the next connection expires.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.timers.next()
    }

    /// Takes a connection whose deadline has expired at `now`. The caller arms it again.
    pub(super) fn take_due(&mut self, now: Millis) -> Option<ConnectionKey> {
        self.timers.pop(now)
    }

    /// True if the earliest deadline has moved forward since the last call.
    pub(super) fn take_moved_deadline(&mut self) -> bool {
        self.timers.take_moved_forward()
    }

    /// Extends the deadlines that limit clients. The timers notice it when the old deadlines
    /// expire.
    pub(super) fn extend_limits(&mut self, by: Millis) {
        self.table
            .slots_mut()
            .for_each(|slot| slot.extend_limits(by));
    }

    /// Handles the outcome of a write: the end of the follower, or a full socket. To be called
    /// after every write to a follower.
    pub(super) fn after_write(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let Some(follower) = self.table.follower_mut(key) else {
            return;
        };
        let body = follower.body_mut();
        body.settle();
        if body.is_blocked()
            && body
                .charge_pending(&mut self.pending_charges, context.broker)
                .is_err()
        {
            body.abort_for(Incident::NoMemoryForPending);
        }
        if body.outcome().is_none() && !body.is_blocked() {
            return;
        }
        if body.outcome() == Some(SubscriptionOutcome::Dropped) {
            if let Some(reason) = body.take_incident() {
                tracing::debug!(reason = reason.name(), "dropping a subscriber");
                context.broker.count(reason);
            }
            self.table.detach(context, key);
        }
        if let Some(slot) = self.table.slot(key) {
            slot.wake();
        }
        self.arm(key, context.send_timeout);
    }

    /// Ends a subscription whose client did not answer a ping, in the way of its format.
    pub(super) fn end_unanswered(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let ends_with_notice = self.follower(key).is_some_and(|follower| {
            matches!(follower.policy().unanswered_ping, UnansweredPing::End(_))
        });
        if !ends_with_notice {
            return self.drop_follower(context, key, Incident::UnansweredPing);
        }
        tracing::debug!(
            reason = Incident::UnansweredPing.name(),
            "ending a subscription"
        );
        context.broker.count(Incident::UnansweredPing);
        self.end(context, key, EndReason::UnansweredPing);
    }

    pub(super) fn ping(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        failpoints::point("ping");
        if let Some(follower) = self.follower_mut(key) {
            follower.ping(context);
            self.after_write(context, key);
        }
    }

    /// Drops a follower for this reason.
    pub(super) fn drop_follower(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        reason: Incident,
    ) {
        if let Some(follower) = self.follower_mut(key) {
            follower.body_mut().abort_for(reason);
            self.after_write(context, key);
        }
    }

    /// Drops a slow follower: its socket accepted no data for too long, or it is further behind
    /// than the stored messages and `max_lag` reach.
    pub(super) fn drop_slow(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        slowness: SlowConsumerOutcome,
        missed: u64,
    ) {
        let Some(follower) = self.follower_mut(key) else {
            return;
        };
        follower.body_mut().abort();
        context.broker.counters().count_slow(slowness, missed);
        tracing::debug!(missed, "dropping a slow subscriber");
        self.after_write(context, key);
    }

    /// Applies the policy to a follower before it gets messages behind a gap. Returns false if it
    /// is dropped.
    pub(super) fn survives_gap(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        missed: u64,
    ) -> bool {
        let Some(follower) = self.follower(key) else {
            return false;
        };
        let slowness = match follower.policy().slow_consumers.policy {
            SlowPolicy::Disconnect => {
                self.drop_slow(context, key, SlowConsumerOutcome::Disconnected, missed);
                return false;
            }
            SlowPolicy::Skip => SlowConsumerOutcome::Skipped,
            SlowPolicy::Latest => SlowConsumerOutcome::Latest,
        };
        context.broker.counters().count_slow(slowness, missed);
        tracing::debug!(missed, "a slow subscriber misses messages");
        true
    }

    /// Ends the subscription of a connection, which can serve requests again.
    pub(super) fn unsubscribe(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        self.table.unsubscribe(context, key);
    }

    /// Drops the follower whose work panicked, and repairs the table.
    pub(super) fn drop_broken(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        if let Some(follower) = self.follower_mut(key) {
            follower.body_mut().abort();
        }
        self.table.repair(context);
        // The task of the connection ends it.
        if let Some(slot) = self.table.slot_mut(key) {
            slot.expire();
        }
    }
}
