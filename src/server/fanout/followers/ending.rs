//! End of a subscription: deletion of its channels, time-outs, shutdown, and eviction.
//!
//! Eviction: a subscriber that is to be the only one waiting on a channel ends the others (NHPM,
//! `push_subscriber_concurrency last`). The order of arrival is decided under the channel's lock
//! when the subscribers attach. A shard ends its followers when it learns of the eviction, at the
//! latest before a later subscriber is added.

use std::rc::Rc;
use std::sync::Arc;

use super::Followers;
use crate::message::{Position, unix_now};
use crate::server::fanout::context::ShardContext;
use crate::server::fanout::encoder::ResumePoint;
use crate::server::fanout::end_reason::EndReason;
use crate::server::fanout::frame::PayloadFrame;
use crate::server::fanout::gaps;
use crate::server::fanout::table::{ConnectionKey, FollowedChannel};

impl Followers {
    /// Resume point for a one-shot response without messages. The newest positions are read first:
    /// a message published while this runs is newer, so it is either found due or comes after all
    /// of them.
    fn resume_point(&self, key: ConnectionKey) -> ResumePoint {
        let Some(follower) = self
            .follower(key)
            .filter(|follower| follower.policy().is_one_shot)
        else {
            return ResumePoint::default();
        };
        let max_lag = follower.policy().slow_consumers.max_lag;
        let positions =
            |followed: FollowedChannel<'_>| followed.channel.positions(followed.cursor, max_lag);
        let newest = self
            .table()
            .all_followed(key)
            .map(|followed| positions(followed).1)
            .max()
            .unwrap_or_default();
        let next = self
            .table()
            .all_followed(key)
            .filter_map(|followed| positions(followed).0)
            .min();
        let second = unix_now();
        let newest = if newest == Position::default() {
            Position::new(second, 0)
        } else {
            newest
        };
        ResumePoint {
            second,
            newest,
            before_next: next.map(gaps::before),
        }
    }

    /// Notifies a follower of the deletion of channel `nth`, once it has the messages before.
    pub(in crate::server::fanout) fn send_deleted(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
        text: &[u8],
    ) {
        let Some(followed) = self
            .table()
            .followed(key, nth)
            .filter(|followed| !followed.is_behind())
        else {
            return;
        };
        let channel = Arc::clone(followed.channel);
        let mut resume_point = self.resume_point(key);
        let table = self.table_mut();
        let has_several_channels = table.channel_count(key) > 1;
        let Some(follower) = table
            .follower_mut(key)
            .filter(|follower| follower.takes_messages())
        else {
            return;
        };
        // The messages of a successor come after the end of this channel.
        resume_point.before_next = resume_point
            .before_next
            .into_iter()
            .chain(channel.ended_at())
            .min();
        follower.send_deletion(&channel.id, text, resume_point, context.now);
        if follower.policy().is_one_shot {
            follower.body_mut().mark_ended();
            table.detach(context, key);
        } else if !has_several_channels || follower.policy().ends_with_any_channel {
            self.end(context, key, EndReason::Deleted);
        } else {
            table.detach_one(context, key, nth);
        }
    }

    /// Ends a subscription with the bytes that its format sends for this reason.
    pub(in crate::server::fanout) fn end(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        ending: EndReason,
    ) {
        let resume_point = self.resume_point(key);
        let Some(follower) = self
            .follower(key)
            .filter(|follower| !follower.body().has_ended())
        else {
            return;
        };
        if let Some(reason) = ending.incident() {
            tracing::debug!(reason = reason.name(), "ending a subscription");
            context.broker.count(reason);
        }
        follower.body().record_ending(ending);
        let last = follower.encode_end(ending, resume_point);
        self.end_with(context, key, &last);
    }

    /// Ends a subscription with this last frame.
    pub(in crate::server::fanout) fn end_with(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        last: &Rc<PayloadFrame>,
    ) {
        let Some(follower) = self
            .follower_mut(key)
            .filter(|follower| !follower.body().has_ended())
        else {
            return;
        };
        follower.write(last, context.now);
        follower.body_mut().mark_ended();
        self.table_mut().detach(context, key);
        self.after_write(context, key);
    }

    /// Ends the followers of a channel on this shard that yield to a new subscriber.
    pub(in crate::server::fanout) fn evict_waiting(
        &mut self,
        context: ShardContext<'_>,
        channel: u64,
    ) {
        let Some(local) = self.table().channel_index(channel) else {
            return;
        };
        // From the last to the first: a member that leaves is replaced by one that was already
        // checked.
        let mut index = self.table().members(local).map_or(0, <[_]>::len);
        while index > 0 {
            index -= 1;
            let Some(member) = self
                .table()
                .members(local)
                .and_then(|members| members.get(index))
            else {
                continue;
            };
            let key = member.key();
            if self
                .follower(key)
                .is_some_and(|follower| follower.policy().yields_to_new)
            {
                self.end(context, key, EndReason::Conflict);
                self.arm(key, context.send_timeout);
            }
        }
    }
}
