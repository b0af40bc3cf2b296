//! The broker server.

pub mod broker;
pub mod config;
pub mod dialect;
pub mod fanout;
pub mod publisher;
pub mod request;
pub mod response;
pub mod statistics;
pub mod subscriber;

use std::sync::OnceLock;

/// What the `Server` header and error pages say.
pub const SERVER: &str = concat!("pushctl/", env!("CARGO_PKG_VERSION"));

/// The name of this machine, as statistics show it.
#[must_use]
pub fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// Seconds since the Unix epoch as `2026-11-21T00:12:27`, in UTC.
#[must_use]
pub fn iso_time(unix_seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.trim_end_matches('Z').to_owned()
}
