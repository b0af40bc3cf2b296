//! nginx-push-stream-module.

pub mod channels_path;
