//! Fan-out: brings followers from their cursors to the heads of their channels, one shard per
//! thread.
//!
//! This module only moves bytes. A [`Format`] of the subscriber modes encodes messages; HTTP is
//! handled in `server::http`.

mod deadlines;
mod encode;
mod ending;
mod eviction;
mod follower;
mod format;
mod frame_cache;
mod inline_delivery;
mod multi_channel;
mod outlet;
mod pending_charges;
mod pending_replies;
mod repair;
mod round;
mod round_queue;
mod shard;
mod slow;
mod state;
mod tap;
mod timers;

#[cfg(test)]
mod tests;

pub use self::follower::{ChannelRequest, Channels, Subscription, SubscriptionOutcome};
pub use crate::server::config::model::nhpm::Concurrency;
pub use deadlines::Interruption;
pub use format::{
    Checksum, Delivery, DeliveryBatch, EndReason, Format, Gap, ResumePoint, SlowConsumerSettings,
};
pub use inline_delivery::InlineDelivery;
pub use outlet::{Outlet, socket_incident};
pub use pending_replies::PendingReply;
pub use shard::{ConnectionKey, FollowerEvent, FollowerTimeouts, Shard};
pub use tap::Tap;
