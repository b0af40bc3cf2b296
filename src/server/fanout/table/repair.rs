//! Repair of the table after a panic. The two directions of a membership have to agree; where they
//! do not, the follower is dropped and the entry removed. The broker's counts are set to the
//! remaining ones.
//!
//! This runs only after a bug elsewhere, so it may scan the whole table.

use super::{ChannelMember, FollowerTable, Membership};
use crate::server::fanout::context::ShardContext;

impl FollowerTable {
    /// Makes the table consistent. Dropped followers lose their memberships.
    pub(in crate::server::fanout) fn repair(&mut self, context: ShardContext<'_>) {
        self.drop_broken_followers();
        let keys: Vec<usize> = self.channels.iter().map(|(local, _)| local).collect();
        for local in keys {
            self.repair_channel(context, local);
        }
        let subscribers = self
            .slots
            .iter()
            .filter(|(_, slot)| !slot.memberships.is_empty())
            .count();
        context
            .broker
            .counters()
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
                slot.memberships.clear();
                continue;
            };
            let has_member = |(nth, membership): (usize, &Membership)| {
                let member = channels
                    .get(membership.channel as usize)
                    .and_then(|local| local.members.get(membership.member_index as usize));
                member.is_some_and(|member| (member.key(), member.nth()) == (key, nth))
            };
            if !slot.memberships.iter().enumerate().all(has_member) {
                follower.body_mut().abort();
                slot.wake();
            }
            if slot
                .follower()
                .is_some_and(|follower| follower.body().has_ended())
            {
                slot.memberships.clear();
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
            let membership = slots
                .get(member.key())
                .and_then(|slot| slot.memberships.get(member.nth()));
            membership.is_some_and(|membership| membership.channel as usize == local)
        };
        channel.members.retain(|member| has_membership(member));
        for (index, member) in channel.members.iter().enumerate() {
            let membership = slots
                .get_mut(member.key())
                .and_then(|slot| slot.memberships.get_mut(member.nth()));
            if let Some(membership) = membership {
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
