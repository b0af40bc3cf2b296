//! After a panic: the state of a shard is made whole again. What two places know of a membership
//! has to agree; where it does not, the follower is given up and the entry removed, and the
//! broker's counts are set to what there is.
//!
//! Never needed unless there is a mistake somewhere else, so it may look at everything.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::follower::Membership;
use super::shard::ConnectionKey;
use super::state::{Member, ShardContext, State};
use crate::server::broker::Incident;

impl State {
    /// Does `work` for the connection `key`; if it panics, that connection is dropped and
    /// everything else goes on.
    pub(super) fn isolated(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        work: impl FnOnce(&mut Self),
    ) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            moment.broker.count(Incident::Panic);
            self.drop_broken(moment, key);
        }
    }

    /// Drops the follower whose work panicked, and repairs what it may have left behind.
    pub(super) fn drop_broken(&mut self, moment: ShardContext<'_>, key: ConnectionKey) {
        if let Some(follower) = self.follower(key) {
            follower.give_up();
        }
        self.repair(moment);
        // Its task ends the connection.
        if let Some(slot) = self.slots.get_mut(key) {
            slot.expired = true;
            slot.wake();
        }
    }

    /// Makes the state whole. Followers that are given up lose their memberships.
    pub(super) fn repair(&mut self, moment: ShardContext<'_>) {
        self.give_up_broken_followers();
        let keys: Vec<usize> = self.channels.iter().map(|(local, _)| local).collect();
        for local in keys {
            self.repair_channel(moment, local);
        }
        let following = self
            .slots
            .iter()
            .filter_map(|(_, slot)| slot.follower.as_ref());
        let subscribers = following
            .filter(|follower| !follower.memberships.is_empty())
            .count();
        moment
            .broker
            .set_subscribers(moment.shard, subscribers as u64);
    }

    /// Followers with a membership that no channel knows are given up, and lose all memberships.
    fn give_up_broken_followers(&mut self) {
        let Self {
            slots, channels, ..
        } = self;
        for (key, slot) in slots.iter_mut() {
            let Some(follower) = &mut slot.follower else {
                continue;
            };
            let is_known = |(nth, membership): (usize, &Membership)| {
                let member = channels
                    .get(membership.channel as usize)
                    .and_then(|local| local.members.get(membership.place as usize));
                member
                    .is_some_and(|member| (member.slot as usize, member.nth as usize) == (key, nth))
            };
            let is_broken = !follower.memberships.iter().enumerate().all(is_known);
            if is_broken {
                follower.give_up();
                slot.wake();
            }
            let Some(follower) = &mut slot.follower else {
                continue;
            };
            if follower.ended {
                follower.memberships.clear();
            }
        }
    }

    /// Members that no follower knows are removed; places and counts are set to what is left.
    fn repair_channel(&mut self, moment: ShardContext<'_>, local: usize) {
        let Some(channel) = self.channels.get_mut(local) else {
            return;
        };
        let slots = &mut self.slots;
        let is_known = |member: &Member| {
            let follower = slots
                .get(member.slot as usize)
                .and_then(|slot| slot.follower.as_ref());
            let membership =
                follower.and_then(|follower| follower.memberships.get(member.nth as usize));
            membership.is_some_and(|membership| membership.channel as usize == local)
        };
        channel.members.retain(|member| is_known(member));
        for (place, member) in channel.members.iter().enumerate() {
            let follower = slots
                .get_mut(member.slot as usize)
                .and_then(|slot| slot.follower.as_mut());
            if let Some(membership) =
                follower.and_then(|follower| follower.memberships.get_mut(member.nth as usize))
            {
                membership.place = place as u32;
            }
        }
        channel
            .channel
            .set_followers(moment.shard, channel.members.len());
        if channel.members.is_empty() {
            self.by_number.remove(&channel.channel.number());
            self.channels.remove(local);
        }
    }
}
