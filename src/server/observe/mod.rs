//! Logs: of errors, of requests, to files, syslog and standard error.

pub(in crate::server) mod access_log;
pub mod error_log;
pub(in crate::server) mod failpoints;
pub(in crate::server) mod hostname;
pub(in crate::server) mod limits_log;
pub(in crate::server) mod log_throttle;
pub mod panics;
pub(in crate::server) mod syslog;
