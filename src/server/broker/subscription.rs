//! What a new subscription asks for, and what it gets.

use super::dropped::Missed;
use super::log::{Cursor, Place};
use super::start::Start;

/// What a new subscription asks for.
#[derive(Clone, Copy, Debug)]
pub struct AttachRequest<'a> {
    /// Number of stored messages to begin with, whatever the cursor says; 0 = the cursor decides.
    pub backtrack: u32,
    /// Where it goes on.
    pub cursor: &'a Cursor,
    /// Subscriptions of the same request on this channel, which its limit does not count.
    pub own: u64,
    /// In the terms of this channel, instead of `backtrack` and `cursor`.
    pub start: Option<Start>,
    /// Most subscriptions of the channel, if its location says so.
    pub most: Option<u64>,
    /// Refused if there is a subscription that ends with its first message.
    pub must_be_alone: bool,
    /// Those that wait for their first message end (see [`super::Broker::expel`]).
    pub expels: bool,
    /// How it will leave.
    pub manner: SubscriptionTraits,
}

/// The manner of a subscription: what its end has to know as well.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionTraits {
    /// Bytes that it may be behind.
    pub max_lag: u64,
    /// It ends with its first message.
    pub is_one_shot: bool,
    /// It is one of several of the same follower.
    pub is_one_of_several: bool,
}

/// Why a subscription is refused.
pub(super) enum AttachRejection {
    TooMany,
    NotAlone,
}

/// A new subscription's place in the log.
#[derive(Clone, Copy, Debug)]
pub struct Attachment {
    /// Where it starts.
    pub place: Place,
    /// What is gone between its cursor and there.
    pub missed: Missed,
    /// Those that wait on the same shard have to end: this subscription, or one before it, wants to
    /// be the only one.
    pub expels_here: bool,
    /// Shards that have to hear that theirs have to end, as bits.
    pub(super) expels_on: u64,
}
