//! Repair of a shard's state after a panic. The two directions of a membership have to agree; where
//! they do not, the follower is dropped and the entry removed. The broker's counts are set to the
//! remaining ones.
//!
//! This runs only after a bug elsewhere, so it may scan the whole state.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::follower::Membership;
use super::shard::ConnectionKey;
use super::state::{ChannelMember, ShardContext, ShardState};
use crate::server::broker::Incident;

impl ShardState {
    /// Runs `work` for a connection. If it panics, that connection is dropped and the others
    /// continue.
    pub(super) fn run_isolated(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        work: impl FnOnce(&mut Self),
    ) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            context.broker.count(Incident::Panic);
            self.drop_broken(context, key);
        }
    }

    /// Drops the follower whose work panicked, and repairs the state.
    pub(super) fn drop_broken(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        if let Some(follower) = self.follower(key) {
            follower.abort();
        }
        self.repair(context);
        // The task of the connection ends it.
        if let Some(slot) = self.slots.get_mut(key) {
            slot.has_expired = true;
            slot.wake();
        }
    }

    /// Makes the state consistent. Dropped followers lose their memberships.
    pub(super) fn repair(&mut self, context: ShardContext<'_>) {
        self.drop_broken_followers();
        let keys: Vec<usize> = self.channels.iter().map(|(local, _)| local).collect();
        for local in keys {
            self.repair_channel(context, local);
        }
        let following = self
            .slots
            .iter()
            .filter_map(|(_, slot)| slot.follower.as_ref());
        let subscribers = following
            .filter(|follower| !follower.memberships.is_empty())
            .count();
        context
            .broker
            .set_subscribers(context.shard, subscribers as u64);
    }

    /// Drops followers with a membership that has no member, and clears the memberships of ended
    /// ones.
    fn drop_broken_followers(&mut self) {
        let Self {
            slots, channels, ..
        } = self;
        for (key, slot) in slots.iter_mut() {
            let Some(follower) = &mut slot.follower else {
                continue;
            };
            let has_member = |(nth, membership): (usize, &Membership)| {
                let member = channels
                    .get(membership.channel as usize)
                    .and_then(|local| local.members.get(membership.member_index as usize));
                member.is_some_and(|member| {
                    (member.slot as usize, member.membership_index as usize) == (key, nth)
                })
            };
            let is_broken = !follower.memberships.iter().enumerate().all(has_member);
            if is_broken {
                follower.abort();
                slot.wake();
            }
            let Some(follower) = &mut slot.follower else {
                continue;
            };
            if follower.has_ended {
                follower.memberships.clear();
            }
        }
    }

    /// Removes members without a membership; sets indexes and counts to the remaining ones.
    fn repair_channel(&mut self, context: ShardContext<'_>, local: usize) {
        let Some(channel) = self.channels.get_mut(local) else {
            return;
        };
        let slots = &mut self.slots;
        let has_membership = |member: &ChannelMember| {
            let follower = slots
                .get(member.slot as usize)
                .and_then(|slot| slot.follower.as_ref());
            let membership = follower
                .and_then(|follower| follower.memberships.get(member.membership_index as usize));
            membership.is_some_and(|membership| membership.channel as usize == local)
        };
        channel.members.retain(|member| has_membership(member));
        for (index, member) in channel.members.iter().enumerate() {
            let follower = slots
                .get_mut(member.slot as usize)
                .and_then(|slot| slot.follower.as_mut());
            if let Some(membership) = follower.and_then(|follower| {
                follower
                    .memberships
                    .get_mut(member.membership_index as usize)
            }) {
                membership.member_index = index as u32;
            }
        }
        channel
            .channel
            .set_followers(context.shard, channel.members.len());
        if channel.members.is_empty() {
            self.by_number.remove(&channel.channel.number());
            self.channels.remove(local);
        }
    }
}
