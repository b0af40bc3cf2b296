//! The state of a shard: its connections and followers, and which channels they follow.
//!
//! `rounds` and `round` deliver to them; `shard` is the handle through which connections come here.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use slab::Slab;
use smallvec::SmallVec;

use super::follower::{Channels, Concurrency, Follower, Membership, Subscription};
use super::frames::Frames;
use super::outlet::Outlet;
use super::pending::PendingShares;
use super::rounds::Rounds;
use super::shard::ConnectionKey;
use super::slow;
use super::timers::{Millis, NEVER, Timers};
use crate::server::broker::{
    AttachError, AttachRequest, Attachment, Broker, Channel, Place, SubscriptionTraits,
};
use crate::server::failpoints;

/// Connections, followers, and the channels that are followed here.
#[derive(Default)]
pub(super) struct State {
    pub(super) slots: Slab<Slot>,
    pub(super) channels: Slab<LocalChannel>,
    pub(super) by_number: NumberMap<u32>,
    pub(super) frames: Frames,
    pub(super) rounds: Rounds,
    /// What was done since others had the thread.
    pub(super) turn: Turn,
    pub(super) pending_shares: PendingShares,
    pub(super) timers: Timers,
    /// A deadline was entered that is the earliest of all: whoever sleeps until the next one has to
    /// be told.
    pub(super) deadline_moved: bool,
}

/// A map by the numbers of channels.
pub(super) type NumberMap<T> = HashMap<u64, T, BuildHasherDefault<NumberHasher>>;

/// Spreads the numbers of channels. The broker gives them one after the other, so nobody can choose
/// them to collide.
#[derive(Clone, Copy, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Not for numbers; a hasher must have it.
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What a shard does before it lets others have the thread.
#[derive(Clone, Copy, Default)]
pub(super) struct Turn {
    pub(super) followers: usize,
    pub(super) bytes: usize,
    /// Channels that were looked at for followers of several.
    pub(super) channels: usize,
}

/// Followers of a turn: at 2 to 3 µs each about half a millisecond.
const FOLLOWERS_PER_TURN: usize = 256;

/// Bytes written in a turn: the kernel copies them, at about 5 GB/s.
const BYTES_PER_TURN: usize = 2 * 1024 * 1024;

/// Channels that are looked at in a turn, at 20 to 50 ns each.
const CHANNELS_PER_TURN: usize = 16 * 1024;

impl Turn {
    pub(super) fn is_over(self) -> bool {
        self.followers >= FOLLOWERS_PER_TURN
            || self.bytes >= BYTES_PER_TURN
            || self.channels >= CHANNELS_PER_TURN
    }
}

/// A connection, between requests or following.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) waker: Option<Waker>,
    /// Of a connection between or in requests.
    pub(super) deadline: Option<Millis>,
    pub(super) expired: bool,
    pub(super) follower: Option<Follower>,
}

/// A channel with followers on this shard.
pub(super) struct LocalChannel {
    pub(super) channel: Arc<Channel>,
    pub(super) members: SmallVec<[Member; 1]>,
}

/// A follower of a channel and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) slot: u32,
    /// Which of the follower's memberships this is.
    pub(super) nth: u32,
    /// Where it stands. Backlog that is dropped from the store before a slow reader came to it is
    /// missed like live messages that are not kept any more: it was promised when the follower
    /// came.
    pub(super) place: Place,
}

/// Subscriptions that no member stands for yet: given back where it does not come to that.
struct Opened<'a> {
    moment: ShardContext<'a>,
    manner: SubscriptionTraits,
    places: Vec<(Arc<Channel>, Attachment)>,
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.places.iter().for_each(|(channel, _)| {
            self.moment
                .broker
                .detach(channel, self.moment.shard, self.manner)
        });
    }
}

/// What the deliveries of one moment have in common.
#[derive(Clone, Copy)]
pub(super) struct ShardContext<'a> {
    pub(super) broker: &'a Broker,
    pub(super) shard: usize,
    pub(super) now: Millis,
    pub(super) send_timeout: Millis,
    pub(super) ping_timeout: Millis,
}

impl Slot {
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

impl State {
    pub(super) fn follower(&mut self, key: ConnectionKey) -> Option<&mut Follower> {
        self.slots.get_mut(key)?.follower.as_mut()
    }

    /// Enters the connection's next deadline.
    pub(super) fn arm(&mut self, key: ConnectionKey, send_timeout: Millis) {
        let Some(slot) = self.slots.get(key) else {
            return;
        };
        let due = match &slot.follower {
            Some(follower) if follower.outcome.is_none() => follower.due(send_timeout),
            Some(_) => NEVER,
            None => slot.deadline.filter(|_| !slot.expired).unwrap_or(NEVER),
        };
        self.deadline_moved |= self.timers.arm(key, due);
    }

    pub(super) fn attach(
        &mut self,
        moment: ShardContext<'_>,
        key: ConnectionKey,
        outlet: Rc<Outlet>,
        mut subscription: Subscription,
    ) -> Result<Channels, AttachError> {
        let mut follower = Follower::new(outlet, &subscription, moment.now);
        let manner = SubscriptionTraits {
            is_one_of_several: subscription.channels.len() > 1,
            ..follower.manner()
        };
        let must_be_alone = subscription.concurrency == Concurrency::First;
        let expels = subscription.concurrency == Concurrency::Last;
        let mut opened = Opened {
            moment,
            manner,
            places: Vec::with_capacity(subscription.channels.len()),
        };
        // A request may name thousands of channels, so they are not compared with each other.
        let is_several = subscription.channels.len() > 1;
        let mut own_on = NumberMap::default();
        for wanted in &mut subscription.channels {
            let own = own_on.get(&wanted.channel.number()).copied().unwrap_or(0);
            let backtrack = wanted.backtrack;
            let start = wanted.start;
            let most = wanted.max_subscribers;
            let wish = AttachRequest {
                backtrack,
                cursor: &subscription.cursor,
                own,
                start,
                most,
                must_be_alone,
                expels,
                manner,
            };
            let attachment = moment
                .broker
                .attach(&mut wanted.channel, moment.shard, wish)?;
            if attachment.expels_here {
                self.expel(moment, wanted.channel.number());
            }
            if is_several {
                *own_on.entry(wanted.channel.number()).or_default() += 1;
            }
            opened
                .places
                .push((Arc::clone(&wanted.channel), attachment));
        }
        let gaps = slow::gaps_at_attach(
            moment,
            &opened.places,
            manner.max_lag,
            subscription.cursor.lost_at,
        );
        opened.places.reverse();
        for nth in 0.. {
            let Some((channel, attachment)) = opened.places.pop() else {
                break;
            };
            let local = self.local_channel(channel);
            let members = &mut self.channels[local as usize].members;
            follower.memberships.push(Membership {
                channel: local,
                place: members.len() as u32,
            });
            members.push(Member {
                slot: key as u32,
                nth,
                place: attachment.place,
            });
        }
        if !follower.memberships.is_empty() {
            moment.broker.count_subscriber(moment.shard, true);
        }
        failpoints::point("attaching");
        let mut head = std::mem::take(&mut subscription.head);
        let mut notice = Vec::new();
        let is_answer =
            slow::tell(&follower.format, &gaps, &mut notice) && follower.format.is_one_shot();
        let (notice, sum) = follower.format.seal(notice);
        follower.sum = follower.format.opening().then(sum);
        head.extend_from_slice(&notice);
        if !head.is_empty() {
            follower.write(&Rc::new(head), moment.now);
        }
        follower.ended = is_answer;
        self.slots[key].follower = Some(follower);
        if is_answer {
            self.detach(moment, key);
            self.after_write(moment, key);
            return Ok(subscription.channels);
        }
        self.begin(moment, key, subscription.merges_backlog);
        Ok(subscription.channels)
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

    /// Takes a follower off all its channels; it gets nothing more.
    pub(super) fn detach(&mut self, moment: ShardContext<'_>, key: ConnectionKey) {
        let Some(follower) = self.follower(key) else {
            return;
        };
        let manner = follower.manner();
        let memberships = std::mem::take(&mut follower.memberships);
        if !memberships.is_empty() {
            moment.broker.count_subscriber(moment.shard, false);
        }
        // Places move while members are removed, so each one is looked up when its turn comes.
        let mut memberships = memberships;
        for nth in 0..memberships.len() {
            if let Some((moved, place)) = self.remove_member(moment, memberships[nth], manner) {
                if moved.slot as usize == key {
                    memberships[moved.nth as usize].place = place;
                } else {
                    self.move_member(moved, place);
                }
            }
        }
    }

    /// Takes a follower off one of its channels, of several.
    pub(super) fn detach_one(&mut self, moment: ShardContext<'_>, key: ConnectionKey, nth: usize) {
        let Some(follower) = self.follower(key) else {
            return;
        };
        let manner = follower.manner();
        let membership = follower.memberships.swap_remove(nth);
        if let Some(renumbered) = follower.memberships.get(nth).copied() {
            self.channels[renumbered.channel as usize].members[renumbered.place as usize].nth =
                nth as u32;
        }
        if let Some((moved, place)) = self.remove_member(moment, membership, manner) {
            self.move_member(moved, place);
        }
    }

    fn move_member(&mut self, moved: Member, place: u32) {
        if let Some(follower) = self.follower(moved.slot as usize) {
            follower.memberships[moved.nth as usize].place = place;
        }
    }

    /// Removes a member of a channel; returns the member that took its place.
    fn remove_member(
        &mut self,
        moment: ShardContext<'_>,
        membership: Membership,
        manner: SubscriptionTraits,
    ) -> Option<(Member, u32)> {
        failpoints::point("leaving");
        let local = &mut self.channels[membership.channel as usize];
        let member = local.members.swap_remove(membership.place as usize);
        let moved = local.members.get(membership.place as usize).copied();
        let channel = Arc::clone(&local.channel);
        moment.broker.detach(&channel, moment.shard, manner);
        if local.members.is_empty() {
            self.by_number.remove(&channel.number());
            self.channels.remove(membership.channel as usize);
        } else if member.place.cursor < channel.last_id() {
            // What was kept for this follower alone can be let go.
            moment.broker.revisit(&channel, moment.shard);
        }
        moved.map(|moved| (moved, membership.place))
    }

    /// Removes all of a subscription.
    pub(super) fn leave(&mut self, moment: ShardContext<'_>, key: ConnectionKey) {
        self.detach(moment, key);
        let slot = &mut self.slots[key];
        slot.follower = None;
        slot.deadline = None;
        slot.expired = false;
    }
}
