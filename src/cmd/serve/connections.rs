//! Options about connections and requests: limits, time-outs and TCP.

use std::time::Duration;

use super::values::{at_least_one_second, duration, set, size_or_zero};
use crate::cmd::args::size;
use crate::server::config::{ConnectionLimits, TcpSettings};

/// Limits on connections and requests.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits and memory")]
pub(super) struct LimitOptions {
    /// Maximum number of connections [default: 100000]
    ///
    /// A further one gets 503 and is closed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_connections: Option<u32>,
    /// Maximum number of connections per client address; 0: unlimited [default: 0]
    ///
    /// A further one gets 503 and is closed. A /64 network of IPv6 counts as one address. Unix
    /// sockets are exempt. Behind a proxy all connections have the address of the proxy.
    #[arg(long, value_name = "N", hide_short_help = true)]
    max_connections_per_address: Option<u32>,
    /// Maximum size of a published message [default: 1m]
    ///
    /// A larger one gets 413.
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>)]
    max_body_size: Option<u64>,
    /// Maximum size of a batch of messages in one request; a larger one gets 413 [default: 64m]
    ///
    /// --max-body-size limits each message of the batch.
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>, hide_short_help = true)]
    max_batch_size: Option<u64>,
    /// Maximum size of a WebSocket message or frame from a client [default: 4m]
    ///
    /// A larger one closes the connection with code 1009.
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>, hide_short_help = true)]
    max_websocket_message_size: Option<u64>,
    /// Maximum size of a request line with its headers; more gets 400 or 414 [default: 32k]
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>, hide_short_help = true)]
    max_header_size: Option<u64>,
}

impl LimitOptions {
    /// Overrides the limits of the configuration.
    pub(super) fn apply(&self, limits: &mut ConnectionLimits) {
        limits.max_body_bytes = self.max_body_size.or(limits.max_body_bytes);
        set(&mut limits.max_batch_bytes, self.max_batch_size);
        set(
            &mut limits.max_websocket_message_bytes,
            self.max_websocket_message_size,
        );
        set(&mut limits.max_header_bytes, self.max_header_size);
        set(&mut limits.max_connections, self.max_connections);
        set(
            &mut limits.max_connections_per_address,
            self.max_connections_per_address,
        );
    }
}

/// Time-outs of requests and connections.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Time-outs")]
pub(super) struct TimeoutOptions {
    /// Close a connection whose request headers take longer [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    header_timeout: Option<Duration>,
    /// Close a connection that stalls for this long within a request body [default: 60s]
    ///
    /// Also applies within a WebSocket message.
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    body_timeout: Option<Duration>,
    /// Minimum rate of a request body in bytes per second; 0: none [default: 512]
    ///
    /// Close a connection whose request body or WebSocket message is slower than this on average,
    /// after the first --body-timeout. nginx has no such limit; the default with a configuration
    /// file is 0.
    #[arg(long, value_name = "SIZE", value_parser = size_or_zero, hide_short_help = true)]
    min_body_rate: Option<u64>,
    /// Close a connection that is idle between requests for this long [default: 75s]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    keepalive_timeout: Option<Duration>,
    /// Wait this long for the client to close first; 0: do not wait [default: 2s]
    ///
    /// Starts after the last response of a connection, or the close of a WebSocket. Up to 4 MiB
    /// from the client are read and discarded; the connection still counts towards
    /// --max-connections. Closing at once could discard the last response before the client has
    /// read it.
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    linger_time: Option<Duration>,
    /// Disconnect a WebSocket that is silent for this long after a ping; 0: never [default: 60s]
    ///
    /// Suspended while the client accepts no data (see --send-timeout). Does not apply to
    /// locations with a message template, which behave like the module.
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    ping_timeout: Option<Duration>,
    /// Grace period for open connections when the server stops [default: 5s]
    ///
    /// Applies to SIGTERM and SIGINT. After SIGQUIT, requests are limited by their own time-outs
    /// only.
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    grace: Option<Duration>,
}

impl TimeoutOptions {
    /// Overrides the time-outs of the configuration.
    pub(super) fn apply(&self, limits: &mut ConnectionLimits) {
        set(&mut limits.header_timeout, self.header_timeout);
        set(&mut limits.body_timeout, self.body_timeout);
        set(&mut limits.min_body_rate, self.min_body_rate);
        set(&mut limits.keepalive_timeout, self.keepalive_timeout);
        set(&mut limits.linger_time, self.linger_time);
        set(&mut limits.ping_timeout, self.ping_timeout);
        set(&mut limits.grace, self.grace);
    }
}

/// Detection of vanished clients by the kernel.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TCP")]
pub(super) struct TcpOptions {
    /// Idle time before the first TCP keep-alive probe; 0: no probes [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    tcp_keepalive: Option<Duration>,
    /// Interval between TCP keep-alive probes, at least 1s [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = at_least_one_second, hide_short_help = true)]
    tcp_keepalive_interval: Option<Duration>,
    /// Unanswered probes before the connection is closed [default: 6]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=127),
        hide_short_help = true
    )]
    tcp_keepalive_probes: Option<u32>,
    /// Close a connection with data unacknowledged for this long; 0: system default [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    tcp_user_timeout: Option<Duration>,
}

impl TcpOptions {
    /// Overrides the settings of the configuration.
    pub(super) fn apply(&self, tcp: &mut TcpSettings) {
        set(&mut tcp.keepalive, self.tcp_keepalive);
        set(&mut tcp.keepalive_interval, self.tcp_keepalive_interval);
        set(&mut tcp.keepalive_probes, self.tcp_keepalive_probes);
        set(&mut tcp.user_timeout, self.tcp_user_timeout);
    }
}
