//! The table of a shard: its connections, the channels with followers on this shard, and the
//! memberships that link the two. It knows neither sockets nor encodings.
//!
//! `attaching` adds memberships, `repair` makes both directions agree after a panic.

mod attaching;
mod repair;
mod slot;

use std::sync::Arc;

use slab::Slab;
use smallvec::SmallVec;

pub(super) use attaching::AttachGuard;
pub(super) use slot::ConnectionSlot;

use super::context::ShardContext;
use super::follower::Follower;
use super::number_map::NumberMap;
use crate::server::broker::{Channel, LogCursor, SubscriptionTraits};
use crate::server::observe::failpoints;

/// Key of a connection in its shard.
pub type ConnectionKey = usize;

/// Connections and followers of one thread, and the channels that they follow.
#[derive(Default)]
pub(super) struct FollowerTable {
    slots: Slab<ConnectionSlot>,
    channels: Slab<LocalChannel>,
    by_number: NumberMap<u32>,
}

/// Link from a follower to one of its channels: indexes of the channel in the shard, and of the
/// follower in the channel's members.
#[derive(Clone, Copy, Debug)]
struct Membership {
    channel: u32,
    member_index: u32,
}

/// A channel with followers on this shard.
struct LocalChannel {
    channel: Arc<Channel>,
    members: SmallVec<[ChannelMember; 1]>,
}

/// A follower's entry in a channel, with its cursor.
#[derive(Clone, Copy)]
pub(super) struct ChannelMember {
    slot: u32,
    /// Index in the follower's memberships.
    membership_index: u32,
    /// Cursor of the follower in this channel. Backlog that the store drops before a slow follower
    /// has read it counts as missed, as live messages do: it was promised when the follower
    /// attached.
    cursor: LogCursor,
}

impl ChannelMember {
    /// Its connection.
    pub(super) fn key(self) -> ConnectionKey {
        self.slot as usize
    }

    /// Index of the channel among those of the follower.
    pub(super) fn nth(self) -> usize {
        self.membership_index as usize
    }

    pub(super) fn cursor(self) -> LogCursor {
        self.cursor
    }
}

/// A channel that a follower follows.
#[derive(Clone, Copy)]
pub(super) struct FollowedChannel<'a> {
    pub(super) channel: &'a Arc<Channel>,
    /// Cursor of the follower.
    pub(super) cursor: LogCursor,
    /// The channel has other followers on this shard.
    pub(super) has_others: bool,
}

impl FollowedChannel<'_> {
    /// True if the follower has not seen the newest message.
    pub(super) fn is_behind(&self) -> bool {
        self.cursor.last_seen < self.channel.last_id()
    }
}

/// A follower with its cursor in one of its channels.
pub(super) struct FollowerAt<'a> {
    pub(super) follower: &'a mut Follower,
    pub(super) cursor: &'a mut LogCursor,
}

/// The connections.
impl FollowerTable {
    /// Adds a connection.
    pub(super) fn open(&mut self) -> ConnectionKey {
        self.slots.insert(ConnectionSlot::default())
    }

    /// Removes a connection without memberships.
    pub(super) fn close(&mut self, key: ConnectionKey) {
        self.slots.try_remove(key);
    }

    /// Number of connections.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// All connections.
    pub(super) fn slots(&self) -> impl Iterator<Item = (ConnectionKey, &ConnectionSlot)> {
        self.slots.iter()
    }

    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut ConnectionSlot> {
        self.slots.iter_mut().map(|(_, slot)| slot)
    }

    pub(super) fn slot(&self, key: ConnectionKey) -> Option<&ConnectionSlot> {
        self.slots.get(key)
    }

    pub(super) fn slot_mut(&mut self, key: ConnectionKey) -> Option<&mut ConnectionSlot> {
        self.slots.get_mut(key)
    }

    pub(super) fn follower(&self, key: ConnectionKey) -> Option<&Follower> {
        self.slots.get(key)?.follower.as_ref()
    }

    pub(super) fn follower_mut(&mut self, key: ConnectionKey) -> Option<&mut Follower> {
        self.slots.get_mut(key)?.follower.as_mut()
    }

    /// Ends the subscription of a connection, which can serve requests again.
    pub(super) fn unsubscribe(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        self.detach(context, key);
        let slot = &mut self.slots[key];
        slot.follower = None;
        slot.set_deadline(None);
    }
}

/// The channels of a follower, and the followers of a channel.
impl FollowerTable {
    /// Index of the channel with this number, if it has followers here.
    pub(super) fn channel_index(&self, number: u64) -> Option<u32> {
        self.by_number.get(&number).copied()
    }

    /// The members of a channel; `None` if it has no followers here.
    pub(super) fn members(&self, channel: u32) -> Option<&[ChannelMember]> {
        self.channels
            .get(channel as usize)
            .map(|local| &local.members[..])
    }

    /// All channels with followers here.
    pub(super) fn channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels.iter().map(|(_, local)| &local.channel)
    }

    /// Number of channels of a follower.
    pub(super) fn channel_count(&self, key: ConnectionKey) -> usize {
        self.slots.get(key).map_or(0, |slot| slot.memberships.len())
    }

    /// Channel `nth` of a follower.
    pub(super) fn followed(&self, key: ConnectionKey, nth: usize) -> Option<FollowedChannel<'_>> {
        let membership = self.slots.get(key)?.memberships.get(nth)?;
        Some(self.followed_by(membership))
    }

    /// The channels of a follower.
    pub(super) fn all_followed(
        &self,
        key: ConnectionKey,
    ) -> impl ExactSizeIterator<Item = FollowedChannel<'_>> {
        let memberships = self
            .slots
            .get(key)
            .map_or(&[][..], |slot| &slot.memberships[..]);
        memberships
            .iter()
            .map(|membership| self.followed_by(membership))
    }

    fn followed_by(&self, membership: &Membership) -> FollowedChannel<'_> {
        let local = &self.channels[membership.channel as usize];
        FollowedChannel {
            channel: &local.channel,
            cursor: local.members[membership.member_index as usize].cursor,
            has_others: local.members.len() > 1,
        }
    }

    /// A follower with its cursor in channel `nth`.
    pub(super) fn follower_at(&mut self, key: ConnectionKey, nth: usize) -> Option<FollowerAt<'_>> {
        let slot = self.slots.get_mut(key)?;
        let follower = slot.follower.as_mut()?;
        let membership = slot.memberships.get(nth)?;
        let local = &mut self.channels[membership.channel as usize];
        Some(FollowerAt {
            follower,
            cursor: &mut local.members[membership.member_index as usize].cursor,
        })
    }

    /// Sets the cursors of a follower in all its channels. Returns the follower.
    pub(super) fn advance_all(
        &mut self,
        key: ConnectionKey,
        cursors: impl Iterator<Item = LogCursor>,
    ) -> Option<&mut Follower> {
        let slot = self.slots.get_mut(key)?;
        let follower = slot.follower.as_mut()?;
        for (membership, cursor) in slot.memberships.iter().zip(cursors) {
            self.channels[membership.channel as usize].members[membership.member_index as usize]
                .cursor = cursor;
        }
        Some(follower)
    }

    /// The channels of a follower, by index, with the id that it has seen in each.
    pub(super) fn last_seen_ids(&self, key: ConnectionKey) -> SmallVec<[(u32, u64); 1]> {
        let Some(slot) = self.slots.get(key) else {
            return SmallVec::new();
        };
        let last_seen = |membership: &Membership| {
            let cursor = self.followed_by(membership).cursor;
            (membership.channel, cursor.last_seen)
        };
        slot.memberships.iter().map(last_seen).collect()
    }

    /// Schedules a round of channel `nth` of a follower.
    pub(super) fn schedule_round(&self, context: ShardContext<'_>, key: ConnectionKey, nth: usize) {
        if let Some(followed) = self.followed(key, nth) {
            context
                .broker
                .schedule_round(followed.channel, context.shard);
        }
    }
}

/// Leaving channels.
impl FollowerTable {
    /// The traits of the subscriptions of a follower on this number of channels.
    fn traits(&self, key: ConnectionKey) -> Option<SubscriptionTraits> {
        let slot = self.slots.get(key)?;
        Some(slot.follower.as_ref()?.traits(slot.memberships.len()))
    }

    /// Removes a follower from all its channels. It receives nothing more.
    pub(super) fn detach(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let Some(traits) = self.traits(key) else {
            return;
        };
        let mut memberships = std::mem::take(&mut self.slots[key].memberships);
        if !memberships.is_empty() {
            context
                .broker
                .counters()
                .count_subscriber(context.shard, false);
        }
        // Removing a member moves another one, possibly of the same follower, so each index is read
        // only when its turn comes.
        for nth in 0..memberships.len() {
            if let Some((moved, index)) = self.remove_member(context, memberships[nth], traits) {
                if moved.key() == key {
                    memberships[moved.nth()].member_index = index;
                } else {
                    self.move_member(moved, index);
                }
            }
        }
    }

    /// Removes a follower of several channels from one of them.
    pub(super) fn detach_one(&mut self, context: ShardContext<'_>, key: ConnectionKey, nth: usize) {
        let Some(traits) = self.traits(key) else {
            return;
        };
        let memberships = &mut self.slots[key].memberships;
        let membership = memberships.swap_remove(nth);
        if let Some(renumbered) = memberships.get(nth).copied() {
            self.channels[renumbered.channel as usize].members[renumbered.member_index as usize]
                .membership_index = nth as u32;
        }
        if let Some((moved, index)) = self.remove_member(context, membership, traits) {
            self.move_member(moved, index);
        }
    }

    fn move_member(&mut self, moved: ChannelMember, index: u32) {
        if let Some(slot) = self.slots.get_mut(moved.key()) {
            slot.memberships[moved.nth()].member_index = index;
        }
    }

    /// Removes a member of a channel. Returns the member that was moved to its index, with that
    /// index.
    fn remove_member(
        &mut self,
        context: ShardContext<'_>,
        membership: Membership,
        traits: SubscriptionTraits,
    ) -> Option<(ChannelMember, u32)> {
        failpoints::point("leaving");
        let local = &mut self.channels[membership.channel as usize];
        let member = local.members.swap_remove(membership.member_index as usize);
        let moved = local.members.get(membership.member_index as usize).copied();
        let channel = Arc::clone(&local.channel);
        context
            .broker
            .subscriptions()
            .detach(&channel, context.shard, traits);
        if local.members.is_empty() {
            self.by_number.remove(&channel.number());
            self.channels.remove(membership.channel as usize);
        } else if member.cursor.last_seen < channel.last_id() {
            // This follower may have been the only one behind: the next round releases the live
            // messages that were held for it.
            context.broker.schedule_round(&channel, context.shard);
        }
        moved.map(|moved| (moved, membership.member_index))
    }
}
