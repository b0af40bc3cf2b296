//! End of a subscription: deletion of its channels, time-outs, shutdown.

use std::rc::Rc;

use super::follower::Membership;
use super::format::{EndReason, ResumePoint};
use super::shard::ConnectionKey;
use super::slow;
use super::state::{ShardContext, ShardState};
use crate::message::{Position, unix_now};

impl ShardState {
    /// Resume point for a one-shot response without messages. The newest positions are read first:
    /// a message published while this runs is newer, so it is either found due or comes after all
    /// of them.
    fn resume_point(&self, key: ConnectionKey) -> ResumePoint {
        let follower = self.slots.get(key).and_then(|slot| slot.follower.as_ref());
        let Some(follower) = follower.filter(|follower| follower.format.is_one_shot()) else {
            return ResumePoint::default();
        };
        let max_lag = follower.format.slow_consumers().max_lag;
        let positions = |membership: &Membership| {
            let local = &self.channels[membership.channel as usize];
            local.channel.positions(
                local.members[membership.member_index as usize].cursor,
                max_lag,
            )
        };
        let newest = follower
            .memberships
            .iter()
            .map(|membership| positions(membership).1)
            .max()
            .unwrap_or_default();
        let next = follower
            .memberships
            .iter()
            .filter_map(|membership| positions(membership).0)
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
            before_next: next.map(slow::before),
        }
    }

    pub(super) fn send_deleted(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        nth: usize,
        text: &[u8],
    ) {
        if self.is_behind(key, nth) {
            return;
        }
        let mut resume_point = self.resume_point(key);
        let Some(follower) = self.slots[key]
            .follower
            .as_mut()
            .filter(|follower| follower.takes_messages())
        else {
            return;
        };
        let membership = follower.memberships[nth];
        let channel = &self.channels[membership.channel as usize].channel;
        // The messages of a successor come after the end of this channel.
        resume_point.before_next = resume_point
            .before_next
            .into_iter()
            .chain(channel.ended_at())
            .min();
        let mut bytes = Vec::new();
        follower
            .format
            .encode_deletion(&channel.id, text, resume_point, &mut bytes);
        let (bytes, checksum) = follower.format.seal(bytes);
        follower.write_sealed(&Rc::new(bytes), checksum, context.now);
        if follower.format.is_one_shot() {
            follower.has_ended = true;
            self.detach(context, key);
        } else if follower.memberships.len() == 1 || follower.format.ends_with_any_channel() {
            self.end(context, key, EndReason::Deleted);
        } else {
            self.detach_one(context, key, nth);
        }
    }

    /// Ends a subscription with the bytes that its format sends for this reason.
    pub(super) fn end(&mut self, context: ShardContext<'_>, key: ConnectionKey, ending: EndReason) {
        let resume_point = self.resume_point(key);
        let Some(follower) = self.follower(key).filter(|follower| !follower.has_ended) else {
            return;
        };
        if let Some(reason) = ending.incident() {
            tracing::debug!(reason = reason.name(), "ending a subscription");
            context.broker.count(reason);
        }
        follower.outlet.record_ending(ending);
        let mut bytes = Vec::new();
        follower.format.encode_end(ending, resume_point, &mut bytes);
        let (mut bytes, checksum) = follower.format.seal(bytes);
        follower
            .format
            .encode_trailer(follower.checksum.concat(checksum), &mut bytes);
        self.end_with(context, key, bytes);
    }

    /// Ends a subscription with these last bytes.
    pub(super) fn end_with(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        bytes: Vec<u8>,
    ) {
        let Some(follower) = self.follower(key).filter(|follower| !follower.has_ended) else {
            return;
        };
        follower.write(&Rc::new(bytes), context.now);
        follower.has_ended = true;
        self.detach(context, key);
        self.after_write(context, key);
    }
}
