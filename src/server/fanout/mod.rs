//! Fan-out: brings followers from their cursors to the heads of their channels, one shard per
//! thread.
//!
//! This module only moves bytes. An [`Encoder`] of the subscriber modes encodes messages as
//! payload, which the outlets of the followers frame, and a [`FollowerPolicy`] says how its
//! followers are treated; HTTP is handled in `server::http`.

mod body_outlet;
mod context;
mod encode;
mod encoder;
mod end_reason;
mod follower;
mod follower_deadlines;
mod followers;
mod format;
mod frame;
mod frame_cache;
mod frame_sender;
mod gaps;
mod number_map;
mod outlet;
mod pauses;
mod pending_charges;
mod pending_replies;
mod policy;
mod round_queue;
mod shard;
mod state;
mod subscription;
mod table;
mod tap;
mod timers;
mod turn;

#[cfg(test)]
mod tests;

pub use crate::server::config::model::nhpm::Concurrency;
pub use encoder::{Delivery, DeliveryBatch, Encoder, Gap, ResumePoint};
pub use end_reason::EndReason;
pub use format::Format;
pub use frame::PayloadBuffer;
pub use outlet::{Outlet, socket_incident};
pub use pending_replies::PendingReply;
pub use policy::{FollowerPolicy, SlowConsumerSettings, UnansweredPing};
pub use shard::{FollowerEvent, FollowerTimeouts, InlineDelivery, Interruption, Shard};
pub use subscription::{ChannelRequest, Channels, Opening, Subscription, SubscriptionOutcome};
pub use table::ConnectionKey;
pub use tap::Tap;
