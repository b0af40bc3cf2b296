//! A subscription, as the subscriber modes request it from a shard, and how it ended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::format::Format;
use crate::server::broker::{Channel, ChannelStart, Cursor};
use crate::server::config::model::nhpm::Concurrency;
use crate::server::exchange::checksum::Checksum;
use crate::server::exchange::response::{Framing, SubscriptionHead};

/// A subscription, resolved from a subscriber's request.
pub struct Subscription {
    /// The channels in the order of the request. A channel may occur twice.
    pub channels: Channels,
    /// Position from which the subscriber resumes.
    pub cursor: Cursor,
    /// Encoding of its messages, and the policy for it.
    pub format: Rc<Format>,
    /// What is sent at once; `None` if whole responses are sent. Boxed, because a subscription is
    /// moved several times.
    pub opening: Option<Box<Opening>>,
    /// Framing of the payload.
    pub framing: Framing,
    /// The connection serves further requests after the subscription.
    pub keeps_connection: bool,
    /// The subscription ends after this time.
    pub time_to_live: Option<Duration>,
    /// Time without a write after which the subscriber is pinged.
    pub ping_interval: Option<Duration>,
    /// Merge the stored messages of several channels by position, so that every message is a valid
    /// cursor for all of them. Otherwise the backlogs are sent channel by channel, in the order of
    /// the request.
    pub merges_backlog: bool,
    /// Every message restarts `time_to_live`.
    pub restarts_ttl: bool,
    /// How it competes with other subscribers that wait for a single message.
    pub concurrency: Concurrency,
}

/// The begin of the response to a subscription.
pub struct Opening {
    /// The head of the response.
    pub head: SubscriptionHead,
    /// First payload, in pieces.
    pub pieces: Vec<Bytes>,
    /// Checksum of the first payload before it was compressed; only of compressed formats.
    pub checksum: Checksum,
}

impl Opening {
    /// A head without payload.
    #[must_use]
    pub fn new(head: SubscriptionHead) -> Self {
        Self {
            head,
            pieces: Vec::new(),
            checksum: Checksum::default(),
        }
    }
}

impl Subscription {
    /// A subscription without an opening and without time limits.
    #[must_use]
    pub fn new(channels: Channels, cursor: Cursor, format: Rc<Format>) -> Self {
        Self {
            channels,
            cursor,
            format,
            opening: None,
            framing: Framing::Raw,
            keeps_connection: false,
            time_to_live: None,
            ping_interval: None,
            merges_backlog: false,
            restarts_ttl: false,
            concurrency: Concurrency::Broadcast,
        }
    }
}

/// The channels of a subscriber. A channel may occur twice.
pub type Channels = SmallVec<[ChannelRequest; 1]>;

/// One channel of a subscription.
#[derive(Clone, Debug)]
pub struct ChannelRequest {
    /// The channel to follow.
    pub channel: Arc<Channel>,
    /// Number of stored messages to start with; 0 = start at the cursor.
    pub backtrack: u32,
    /// Start within this channel; overrides `backtrack` and the cursor.
    pub start: Option<ChannelStart>,
    /// Limit on the channel's subscribers that the location of this one sets.
    pub max_subscribers: Option<u64>,
}

impl ChannelRequest {
    /// A request for a channel that starts at the subscription's cursor.
    #[must_use]
    pub fn new(channel: Arc<Channel>) -> Self {
        Self {
            channel,
            backtrack: 0,
            start: None,
            max_subscribers: None,
        }
    }
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionOutcome {
    /// Everything was sent; the connection can serve another request.
    Finished,
    /// Everything was sent; the connection is to be closed.
    Closed,
    /// The connection failed or was dropped; it is to be closed at once.
    Dropped,
}
