//! The context of a piece of work of a shard.

use super::timers::Millis;
use crate::server::broker::Broker;

/// The shard, its broker and its time-outs, with the time at which the current piece of work began.
#[derive(Clone, Copy)]
pub(super) struct ShardContext<'a> {
    pub(super) broker: &'a Broker,
    pub(super) shard: usize,
    pub(super) now: Millis,
    pub(super) send_timeout: Millis,
    pub(super) ping_timeout: Millis,
}
