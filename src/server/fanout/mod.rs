//! The fan-out: shards that bring their followers from their cursors to the heads of their
//! channels.
//!
//! Moves bytes and knows no HTTP: what the bytes look like is the business of a [`Format`].

mod answers;
mod deadlines;
mod expulsion;
mod follower;
mod format;
mod frames;
mod inline_delivery;
mod multi_channel;
mod outlet;
mod pending;
mod repair;
mod round;
mod rounds;
mod shard;
mod slow;
mod state;
mod tap;
mod timers;

#[cfg(test)]
mod tests;

pub use answers::PendingReply;
pub use deadlines::Interruption;
pub use follower::{ChannelRequest, Channels, Concurrency, Outcome, Subscription};
pub use format::{Batch, Delivery, Ending, Format, Gap, SlowConsumers, Standing, Sum};
pub use inline_delivery::Delivering;
pub use outlet::{Outlet, failure};
pub use shard::{ConnectionKey, FollowerEvent, Shard};
pub use tap::Tap;
