//! The push-stream dialect: statuses, header spellings, bodies and cursor syntax of
//! nginx-push-stream-module 0.6.0.

pub mod channels_path;
pub mod cors;
pub mod cursor;
pub mod explain;
mod id_escape;
pub mod info;
pub mod publish;
pub mod render;
pub mod statistics;
pub mod subscribe;
pub mod summary;
