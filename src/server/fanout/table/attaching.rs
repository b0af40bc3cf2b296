//! Attaching a follower to the channels of its subscription: to all of them or none.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{ChannelMember, ConnectionKey, FollowerTable, LocalChannel, Membership};
use crate::server::broker::{AttachError, AttachRequest, Attachment, Channel, SubscriptionTraits};
use crate::server::config::model::nhpm::Concurrency;
use crate::server::fanout::context::ShardContext;
use crate::server::fanout::follower::Follower;
use crate::server::fanout::number_map::NumberMap;
use crate::server::fanout::subscription::Subscription;

/// Subscriptions that have no member yet. They are detached when this is dropped.
pub(in crate::server::fanout) struct AttachGuard<'a> {
    context: ShardContext<'a>,
    traits: SubscriptionTraits,
    channels: Vec<(Arc<Channel>, Attachment)>,
}

impl<'a> AttachGuard<'a> {
    /// Opens the subscriptions of a request in the broker. `evict` ends the waiting followers of a
    /// channel on this shard.
    ///
    /// # Errors
    /// When a limit is reached.
    pub(in crate::server::fanout) fn attach(
        context: ShardContext<'a>,
        subscription: &mut Subscription,
        traits: SubscriptionTraits,
        mut evict: impl FnMut(u64),
    ) -> Result<Self, AttachError> {
        let has_several = subscription.channels.len() > 1;
        let mut attached = Self {
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
            let attachment = context.broker.subscriptions().attach(
                &mut requested.channel,
                context.shard,
                request,
            )?;
            // A successor may have replaced a deleted channel.
            let number = requested.channel.number();
            if attachment.evicts_here {
                evict(number);
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

    /// The channels, in the order of the request.
    pub(in crate::server::fanout) fn channels(&self) -> &[(Arc<Channel>, Attachment)] {
        &self.channels
    }
}

impl Drop for AttachGuard<'_> {
    fn drop(&mut self) {
        self.channels.iter().for_each(|(channel, _)| {
            self.context
                .broker
                .subscriptions()
                .detach(channel, self.context.shard, self.traits)
        });
    }
}

impl FollowerTable {
    /// Adds a connection to the members of its channels, which take over the subscriptions of the
    /// guard. Its follower is set afterwards.
    pub(in crate::server::fanout) fn add_members(
        &mut self,
        key: ConnectionKey,
        mut attached: AttachGuard<'_>,
    ) {
        self.slots[key].memberships.clear();
        // Popped one by one, so that the guard detaches exactly those without a member after a
        // panic.
        attached.channels.reverse();
        for nth in 0.. {
            let Some((channel, attachment)) = attached.channels.pop() else {
                break;
            };
            let local = self.local_channel(channel);
            let members = &mut self.channels[local as usize].members;
            self.slots[key].memberships.push(Membership {
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

    /// Turns a connection into a follower.
    pub(in crate::server::fanout) fn set_follower(
        &mut self,
        key: ConnectionKey,
        follower: Follower,
    ) {
        self.slots[key].follower = Some(follower);
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
}
