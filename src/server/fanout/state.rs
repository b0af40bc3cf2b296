//! State of a shard: its connections, its followers, and the channels that they follow.
//!
//! `round_queue` and `round` deliver messages to the followers. `shard` is the handle that
//! connections use.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use slab::Slab;
use smallvec::SmallVec;

use super::follower::{Channels, Follower, Membership, Subscription};
use super::frame_cache::FrameCache;
use super::outlet::Outlet;
use super::pending_charges::PendingCharges;
use super::round_queue::RoundQueue;
use super::shard::ConnectionKey;
use super::slow;
use super::timers::{Millis, NEVER, Timers};
use crate::server::broker::{
    AttachError, AttachRequest, Attachment, Broker, Channel, LogCursor, SubscriptionTraits,
};
use crate::server::config::model::nhpm::Concurrency;
use crate::server::observe::failpoints;

/// Connections and followers of one thread, and the channels that they follow.
#[derive(Default)]
pub(super) struct ShardState {
    pub(super) slots: Slab<ConnectionSlot>,
    pub(super) channels: Slab<LocalChannel>,
    pub(super) by_number: NumberMap<u32>,
    pub(super) frames: FrameCache,
    pub(super) rounds: RoundQueue,
    /// Work done since the shard last yielded the thread.
    pub(super) turn: TurnUsage,
    pub(super) pending_charges: PendingCharges,
    pub(super) timers: Timers,
    /// The earliest deadline has moved forward, so the timer task has to be notified.
    pub(super) deadline_moved: bool,
}

/// A map keyed by channel number.
pub(super) type NumberMap<T> = HashMap<u64, T, BuildHasherDefault<NumberHasher>>;

/// Hasher of channel numbers. A multiplication is enough: the broker assigns the numbers
/// consecutively, so clients cannot choose them to collide.
#[derive(Clone, Copy, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Required by the trait; channel numbers only use `write_u64`.
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Work done in a turn. A turn ends, and the shard yields the thread, when any of the limits is
/// reached.
#[derive(Clone, Copy, Default)]
pub(super) struct TurnUsage {
    pub(super) followers: usize,
    pub(super) bytes: usize,
    /// Channels checked for followers of more than one channel.
    pub(super) channels: usize,
}

/// Followers served in a turn. At 2 to 3 µs each this takes about half a millisecond.
const FOLLOWERS_PER_TURN: usize = 256;

/// Bytes written in a turn. The kernel copies them at about 5 GB/s.
const BYTES_PER_TURN: usize = 2 * 1024 * 1024;

/// Channels checked in a turn, at 20 to 50 ns each.
const CHANNELS_PER_TURN: usize = 16 * 1024;

impl TurnUsage {
    pub(super) fn is_over(self) -> bool {
        self.followers >= FOLLOWERS_PER_TURN
            || self.bytes >= BYTES_PER_TURN
            || self.channels >= CHANNELS_PER_TURN
    }
}

/// A connection: idle, in a request, or with a follower.
#[derive(Default)]
pub(super) struct ConnectionSlot {
    pub(super) waker: Option<Waker>,
    /// Deadline of a connection without a follower.
    pub(super) deadline: Option<Millis>,
    pub(super) has_expired: bool,
    pub(super) follower: Option<Follower>,
}

/// A channel with followers on this shard.
pub(super) struct LocalChannel {
    pub(super) channel: Arc<Channel>,
    pub(super) members: SmallVec<[ChannelMember; 1]>,
}

/// A follower's entry in a channel, with its cursor.
#[derive(Clone, Copy)]
pub(super) struct ChannelMember {
    pub(super) slot: u32,
    /// Index in the follower's memberships.
    pub(super) membership_index: u32,
    /// Cursor of the follower in this channel. Backlog that the store drops before a slow follower
    /// has read it counts as missed, as live messages do: it was promised when the follower
    /// attached.
    pub(super) cursor: LogCursor,
}

/// Subscriptions that have no member yet. The guard detaches them when it is dropped.
struct AttachGuard<'a> {
    context: ShardContext<'a>,
    traits: SubscriptionTraits,
    channels: Vec<(Arc<Channel>, Attachment)>,
}

impl Drop for AttachGuard<'_> {
    fn drop(&mut self) {
        self.channels.iter().for_each(|(channel, _)| {
            self.context
                .broker
                .detach(channel, self.context.shard, self.traits)
        });
    }
}

/// The shard, its broker and its time-outs, with the time at which the current piece of work began.
#[derive(Clone, Copy)]
pub(super) struct ShardContext<'a> {
    pub(super) broker: &'a Broker,
    pub(super) shard: usize,
    pub(super) now: Millis,
    pub(super) send_timeout: Millis,
    pub(super) ping_timeout: Millis,
}

impl ConnectionSlot {
    pub(super) fn remember(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl ShardState {
    pub(super) fn follower(&mut self, key: ConnectionKey) -> Option<&mut Follower> {
        self.slots.get_mut(key)?.follower.as_mut()
    }

    /// Enters the connection's next deadline into the timers.
    pub(super) fn arm(&mut self, key: ConnectionKey, send_timeout: Millis) {
        let Some(slot) = self.slots.get(key) else {
            return;
        };
        let due = match &slot.follower {
            Some(follower) if follower.outcome.is_none() => follower.due(send_timeout),
            Some(_) => NEVER,
            None => slot.deadline.filter(|_| !slot.has_expired).unwrap_or(NEVER),
        };
        self.deadline_moved |= self.timers.arm(key, due);
    }

    /// Subscribes a connection, writes the head of its response and starts delivering to it.
    ///
    /// # Errors
    /// When a limit is reached. The connection then has no subscription and nothing was written.
    pub(super) fn attach(
        &mut self,
        context: ShardContext<'_>,
        key: ConnectionKey,
        outlet: Rc<Outlet>,
        mut subscription: Subscription,
    ) -> Result<Channels, AttachError> {
        let mut follower = Follower::new(outlet, &subscription, context.now);
        let traits = SubscriptionTraits {
            is_one_of_several: subscription.channels.len() > 1,
            ..follower.traits()
        };
        let attached = self.attach_channels(context, &mut subscription, traits)?;
        let gaps = slow::gaps_at_attach(
            context,
            &attached.channels,
            traits.max_lag,
            subscription.cursor.lost_at,
        );
        self.add_members(&mut follower, key, attached);
        if !follower.memberships.is_empty() {
            context.broker.count_subscriber(context.shard, true);
        }
        failpoints::point("attaching");
        let is_complete = follower.write_head(&mut subscription, &gaps, context.now);
        self.slots[key].follower = Some(follower);
        if is_complete {
            self.detach(context, key);
            self.after_write(context, key);
        } else {
            self.start_follower(context, key, subscription.merges_backlog);
        }
        Ok(subscription.channels)
    }

    /// Opens the subscriptions of a request in the broker: all of them or none.
    fn attach_channels<'a>(
        &mut self,
        context: ShardContext<'a>,
        subscription: &mut Subscription,
        traits: SubscriptionTraits,
    ) -> Result<AttachGuard<'a>, AttachError> {
        let has_several = subscription.channels.len() > 1;
        let mut attached = AttachGuard {
            context,
            traits,
            channels: Vec::with_capacity(subscription.channels.len()),
        };
        // A map, because a request may name thousands of channels, and comparing each with all
        // others would be quadratic.
        let mut own_by_number = NumberMap::default();
        for requested in &mut subscription.channels {
            let number = requested.channel.number();
            let request = AttachRequest {
                backtrack: requested.backtrack,
                cursor: &subscription.cursor,
                own_subscriptions: own_by_number.get(&number).copied().unwrap_or(0),
                start: requested.start,
                max_subscribers: requested.max_subscribers,
                must_be_only: subscription.concurrency == Concurrency::First,
                evicts_waiting: subscription.concurrency == Concurrency::Last,
                traits,
            };
            let attachment =
                context
                    .broker
                    .attach(&mut requested.channel, context.shard, request)?;
            // A successor may have replaced a deleted channel.
            let number = requested.channel.number();
            if attachment.evicts_here {
                self.evict_waiting(context, number);
            }
            if has_several {
                *own_by_number.entry(number).or_default() += 1;
            }
            attached
                .channels
                .push((Arc::clone(&requested.channel), attachment));
        }
        Ok(attached)
    }

    /// Adds a follower to the members of its channels, which take over the subscriptions of the
    /// guard.
    fn add_members(
        &mut self,
        follower: &mut Follower,
        key: ConnectionKey,
        mut attached: AttachGuard<'_>,
    ) {
        // Popped one by one, so that the guard detaches exactly those without a member after a
        // panic.
        attached.channels.reverse();
        for nth in 0.. {
            let Some((channel, attachment)) = attached.channels.pop() else {
                break;
            };
            let local = self.local_channel(channel);
            let members = &mut self.channels[local as usize].members;
            follower.memberships.push(Membership {
                channel: local,
                member_index: members.len() as u32,
            });
            members.push(ChannelMember {
                slot: key as u32,
                membership_index: nth,
                cursor: attachment.cursor,
            });
        }
    }

    fn local_channel(&mut self, channel: Arc<Channel>) -> u32 {
        let number = channel.number();
        if let Some(local) = self.by_number.get(&number) {
            return *local;
        }
        let local = self.channels.insert(LocalChannel {
            channel,
            members: SmallVec::new(),
        }) as u32;
        self.by_number.insert(number, local);
        local
    }

    /// Removes a follower from all its channels. It receives nothing more.
    pub(super) fn detach(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        let Some(follower) = self.follower(key) else {
            return;
        };
        let traits = follower.traits();
        let memberships = std::mem::take(&mut follower.memberships);
        if !memberships.is_empty() {
            context.broker.count_subscriber(context.shard, false);
        }
        // Removing a member moves another one, possibly of the same follower, so each index is read
        // only when its turn comes.
        let mut memberships = memberships;
        for nth in 0..memberships.len() {
            if let Some((moved, index)) = self.remove_member(context, memberships[nth], traits) {
                if moved.slot as usize == key {
                    memberships[moved.membership_index as usize].member_index = index;
                } else {
                    self.move_member(moved, index);
                }
            }
        }
    }

    /// Removes a follower of several channels from one of them.
    pub(super) fn detach_one(&mut self, context: ShardContext<'_>, key: ConnectionKey, nth: usize) {
        let Some(follower) = self.follower(key) else {
            return;
        };
        let traits = follower.traits();
        let membership = follower.memberships.swap_remove(nth);
        if let Some(renumbered) = follower.memberships.get(nth).copied() {
            self.channels[renumbered.channel as usize].members[renumbered.member_index as usize]
                .membership_index = nth as u32;
        }
        if let Some((moved, index)) = self.remove_member(context, membership, traits) {
            self.move_member(moved, index);
        }
    }

    fn move_member(&mut self, moved: ChannelMember, index: u32) {
        if let Some(follower) = self.follower(moved.slot as usize) {
            follower.memberships[moved.membership_index as usize].member_index = index;
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
        context.broker.detach(&channel, context.shard, traits);
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

    /// Ends a subscription; the connection can serve requests again.
    pub(super) fn unsubscribe(&mut self, context: ShardContext<'_>, key: ConnectionKey) {
        self.detach(context, key);
        let slot = &mut self.slots[key];
        slot.follower = None;
        slot.deadline = None;
        slot.has_expired = false;
    }
}
