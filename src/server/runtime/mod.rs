//! The running server: its main loop, reloads, and the threads of its shards.

pub(in crate::server) mod admission;
pub(in crate::server) mod generation;
pub(in crate::server) mod running;
pub(in crate::server) mod server;
pub(in crate::server) mod shard_thread;
pub(in crate::server) mod shards;
