//! The benches: one file each. Each is bounded in count and time, and terminates the servers that
//! it started.

pub mod attach_storm;
pub mod backlog;
pub mod batch;
pub mod fairness;
pub mod fanout;
pub mod hold;
pub mod idle_memory;
pub mod load;
pub mod many_channels;
pub mod publish;
pub mod slow_consumers;
