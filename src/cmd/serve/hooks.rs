//! The bounds on requests to back-ends that hooks of a configuration make.

use std::time::Duration;

use super::size;
use crate::cmd::args::duration;
use crate::server::config::ConnectionLimits;

/// Their options.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct HookOptions {
    /// Time for the answer of a back-end of hooks (nchan_authorize_request and the like); then the
    /// request is answered as if it were down [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    hook_timeout: Option<Duration>,
    /// Bytes of an answer of a back-end of hooks; with a larger one it counts as down [default: 1m]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_hook_answer: Option<u64>,
    /// Requests to back-ends of hooks at once, of each shard; further ones wait within
    /// --hook-timeout [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_hooks: Option<u32>,
    /// Notices to back-ends (nchan_subscribe_request and nchan_unsubscribe_request) that may wait,
    /// of each shard; further ones are dropped, counted and logged. Half of --max-hooks is theirs
    /// [default: 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_hook_notices: Option<u32>,
}

impl HookOptions {
    /// Sets what is given.
    pub(super) fn apply(&self, limits: &mut ConnectionLimits) {
        if let Some(timeout) = self.hook_timeout {
            limits.hook_timeout = timeout;
        }
        if let Some(bytes) = self.max_hook_answer {
            limits.max_hook_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(most) = self.max_hooks {
            limits.max_hooks = most as usize;
        }
        if let Some(most) = self.max_hook_notices {
            limits.max_hook_notices = most as usize;
        }
    }
}
