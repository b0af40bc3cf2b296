//! Subscriptions: opening, ending, and the position at which they start.

use std::sync::Arc;

use super::Channel;
use crate::server::broker::log::{ChannelStart, Cursor, LogCursor, MissedCount};
use crate::server::broker::{AttachError, Broker};
use crate::server::observe::limits_log::Limit;

/// Parameters of a new subscription.
#[derive(Clone, Copy, Debug)]
pub struct AttachRequest<'a> {
    /// Number of stored messages to start with; 0 = start at the cursor.
    pub backtrack: u32,
    /// Position from which the subscriber resumes.
    pub cursor: &'a Cursor,
    /// Number of subscriptions of the same request on this channel, which do not count towards its
    /// limit.
    pub own_subscriptions: u64,
    /// Start within this channel; overrides `backtrack` and `cursor`.
    pub start: Option<ChannelStart>,
    /// The location's limit on subscriptions of the channel.
    pub max_subscribers: Option<u64>,
    /// Reject the subscription if a one-shot subscription exists.
    pub must_be_only: bool,
    /// End the one-shot subscriptions that exist (see [`super::ChannelRequests::evict_waiting`]).
    pub evicts_waiting: bool,
    /// Traits of the subscription, which [`Subscriptions::detach`] needs as well.
    pub traits: SubscriptionTraits,
}

/// Traits of a subscription that its channel counts.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionTraits {
    /// Bytes that the follower may be behind.
    pub max_lag: u64,
    /// The first message ends the subscription.
    pub is_one_shot: bool,
    /// The follower has subscriptions to other channels, too.
    pub is_one_of_several: bool,
}

/// Why the channel rejects a subscription.
pub(super) enum AttachRejection {
    TooMany,
    AlreadySubscribed,
}

/// A new subscription.
#[derive(Clone, Copy, Debug)]
pub struct Attachment {
    /// Cursor at which it starts.
    pub cursor: LogCursor,
    /// Number of messages that are gone between the client's cursor and there.
    pub missed: MissedCount,
    /// The waiting one-shot followers of the same shard have to end, because this subscriber or an
    /// earlier one replaces them.
    pub evicts_here: bool,
    /// Other shards whose waiting one-shot followers have to end, as bits.
    pub(super) evicts_on: u64,
}

/// Opens and ends subscriptions.
#[derive(Clone, Copy, Debug)]
pub struct Subscriptions<'a> {
    pub(in crate::server::broker) broker: &'a Broker,
}

impl Subscriptions<'_> {
    /// Opens a subscription to `channel` for a follower of `shard`. If the channel was deleted,
    /// `channel` is replaced by its successor.
    ///
    /// # Errors
    /// When the limit of subscribers is reached, another subscriber is waiting and this one has to
    /// be the only one, or a successor cannot be created.
    pub fn attach(
        &self,
        channel: &mut Arc<Channel>,
        shard: usize,
        request: AttachRequest<'_>,
    ) -> Result<Attachment, AttachError> {
        let limit = [
            self.broker.settings().max_subscribers_per_channel,
            request.max_subscribers,
        ]
        .into_iter()
        .flatten()
        .min();
        let max_subscriptions = limit
            .unwrap_or(u64::MAX)
            .saturating_add(request.own_subscriptions);
        loop {
            match channel.attach(shard, request, max_subscriptions) {
                Ok(Ok(attachment)) => {
                    self.broker.0.notify_shards(channel, attachment.evicts_on);
                    self.broker.emit_for(channel, "client_subscribed");
                    return Ok(attachment);
                }
                Ok(Err(AttachRejection::TooMany)) => {
                    Limit::Subscribers.log();
                    return Err(AttachError::TooManySubscribers);
                }
                Ok(Err(AttachRejection::AlreadySubscribed)) => {
                    return Err(AttachError::AlreadySubscribed);
                }
                Err(_gone) => *channel = self.broker.find_or_create(&channel.id)?,
            }
        }
    }

    /// Ends a subscription that [`Subscriptions::attach`] opened with these traits.
    pub fn detach(&self, channel: &Arc<Channel>, shard: usize, traits: SubscriptionTraits) {
        channel.detach(shard, traits);
        self.broker.emit_for(channel, "client_unsubscribed");
    }
}
