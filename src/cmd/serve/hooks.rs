//! Limits on the requests that the hooks of a configuration send to back-ends.

use std::time::Duration;

use super::values::set;
use crate::cmd::args::{duration, size};
use crate::server::config::ConnectionLimits;

/// Options about hooks.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Hooks")]
pub(super) struct HookOptions {
    /// Time limit for a back-end's response [default: 60s]
    ///
    /// For nchan_authorize_request and the other hooks. When it expires, the back-end counts as
    /// unavailable.
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    hook_timeout: Option<Duration>,
    /// Maximum size of a back-end's response [default: 1m]
    ///
    /// A back-end that sends more counts as unavailable.
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>, hide_short_help = true)]
    max_hook_answer: Option<u64>,
    /// Maximum number of concurrent requests to back-ends, per shard [default: 512]
    ///
    /// Further requests wait, within --hook-timeout.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        hide_short_help = true
    )]
    max_hooks: Option<u32>,
    /// Maximum number of queued notifications to back-ends, per shard [default: 4096]
    ///
    /// For nchan_subscribe_request and nchan_unsubscribe_request. Further ones are dropped, counted
    /// and logged. Notifications use up to half of --max-hooks.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        hide_short_help = true
    )]
    max_hook_notices: Option<u32>,
}

impl HookOptions {
    /// Overrides the limits of the configuration.
    pub(super) fn apply(&self, limits: &mut ConnectionLimits) {
        set(&mut limits.hook_timeout, self.hook_timeout);
        set(&mut limits.max_hook_bytes, self.max_hook_answer);
        set(&mut limits.max_hooks, self.max_hooks);
        set(&mut limits.max_hook_notices, self.max_hook_notices);
    }
}
