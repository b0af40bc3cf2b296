//! Options about channels, their stored messages, and subscribers that fall behind.

use std::time::Duration;

use super::values::{duration, set, whole_seconds};
use crate::cmd::args::size;
use crate::server::config::{BrokerSettings, ConnectionLimits, SlowPolicy};

/// Options about messages and channels.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Messages and channels")]
pub(super) struct ChannelOptions {
    /// Lifetime of a stored message [default: 30m]
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    message_ttl: Option<Duration>,
    /// Stored messages per channel [default: 10000]
    ///
    /// A further message replaces the oldest one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_stored_messages: Option<u64>,
    /// Delete an unused channel after this time [default: 30s]
    ///
    /// A channel is unused without stored messages, publications and subscribers.
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    channel_inactivity: Option<Duration>,
    /// Maximum number of channels; a further one gets 403 [default: 100000]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        hide_short_help = true
    )]
    max_channels: Option<u64>,
    /// Maximum length of a channel id in bytes; a longer one gets 400 [default: 1024]
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = clap::value_parser!(u64).range(1..),
        hide_short_help = true
    )]
    max_channel_id_length: Option<u64>,
    /// Maximum number of channels in a request; more get 400 [default: 1000]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        hide_short_help = true
    )]
    max_channels_per_request: Option<u32>,
    /// Maximum number of subscribers of a channel; a further one gets 403 [default: 100000]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        hide_short_help = true
    )]
    max_subscribers_per_channel: Option<u64>,
    /// Maximum number of queued channel lists; a further one gets 503 [default: 32]
    ///
    /// Channel lists are `?id=ALL` and `?id=PREFIX*` at /channels-stats. They are built one at a
    /// time, off the shard threads. Equal lists in the queue share one place and one response.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        hide_short_help = true
    )]
    max_waiting_lists: Option<u32>,
    /// Maximum number of unacknowledged publishes; a further one gets 503 [default: 65536]
    ///
    /// A message is acknowledged when the engine has it; the memory engine acknowledges at once.
    /// Nothing is published with the 503. The messages count as incoming requests (see --memory).
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        hide_short_help = true
    )]
    max_pending_publishes: Option<u64>,
    /// Maximum time for the acknowledgement of a publish; then 503 [default: 10s]
    ///
    /// The message may have been published or not. A WebSocket is closed instead.
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    publish_timeout: Option<Duration>,
}

impl ChannelOptions {
    /// Overrides the settings of the configuration.
    pub(super) fn apply(&self, broker: &mut BrokerSettings, limits: &mut ConnectionLimits) {
        set(&mut broker.message_ttl, self.message_ttl);
        set(&mut broker.channel_inactivity_time, self.channel_inactivity);
        broker.max_messages_stored_per_channel = self
            .max_stored_messages
            .or(broker.max_messages_stored_per_channel);
        broker.max_number_of_channels = self.max_channels.or(broker.max_number_of_channels);
        broker.max_channel_id_length = self.max_channel_id_length.or(broker.max_channel_id_length);
        broker.max_subscribers_per_channel = self
            .max_subscribers_per_channel
            .or(broker.max_subscribers_per_channel);
        set(
            &mut limits.max_channels_per_request,
            self.max_channels_per_request,
        );
        set(&mut limits.max_waiting_lists, self.max_waiting_lists);
        set(
            &mut broker.max_pending_publishes,
            self.max_pending_publishes,
        );
        set(&mut broker.publish_timeout, self.publish_timeout);
    }
}

/// Options about slow consumers.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Slow consumers")]
pub(super) struct SlowConsumerOptions {
    /// Maximum lag of a subscriber [default: 4m]
    ///
    /// Messages that are no longer stored are kept, up to this size per channel, for subscribers
    /// that have not received them yet.
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>)]
    max_lag: Option<u64>,
    /// Policy at that lag: disconnect, skip or latest [default: disconnect]
    ///
    /// disconnect closes the connection. skip resumes with the oldest available message, latest
    /// with the newest one; both report the number of missed messages to the subscriber. For the
    /// built-in locations; the directive in a configuration is pushctl_slow_consumer.
    #[arg(
        long,
        value_name = "POLICY",
        value_parser = slow_policy,
        conflicts_with_all = ["nginx_conf", "config"]
    )]
    slow_consumer: Option<SlowPolicy>,
    /// Disconnect a client that accepts no data for this long [default: 60s]
    ///
    /// A client that reads slowly stays connected: about 64 KiB within this time are enough.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    send_timeout: Option<Duration>,
}

impl SlowConsumerOptions {
    /// Policy of the built-in locations.
    pub(super) fn policy(&self) -> SlowPolicy {
        self.slow_consumer.unwrap_or_default()
    }

    /// Overrides the limits of the configuration.
    pub(super) fn apply(&self, limits: &mut ConnectionLimits) {
        set(&mut limits.max_lag_bytes, self.max_lag);
        set(&mut limits.send_timeout, self.send_timeout);
    }
}

fn slow_policy(text: &str) -> Result<SlowPolicy, String> {
    SlowPolicy::from_name(text).ok_or_else(|| {
        format!(
            "expected {}",
            SlowPolicy::NAMES.map(|(name, _)| name).join(", ")
        )
    })
}
