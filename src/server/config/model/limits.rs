//! Limits on connections and on requests to back-ends.

use std::sync::Arc;
use std::time::Duration;

use super::web;

/// Limits on connections. Each has an option of `serve`.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Maximum number of open connections; further ones get 503 and are closed.
    pub max_connections: usize,
    /// Maximum number of open connections per client address; 0 = unlimited. Connections to unix
    /// sockets are not counted.
    pub max_connections_per_address: usize,
    /// Maximum length of a request head in bytes; longer ones get 414 or 400.
    pub max_header_bytes: usize,
    /// Maximum time from the first byte of a request to the end of its head; then the connection is
    /// closed.
    pub header_timeout: Duration,
    /// Maximum time between two reads of a request body or a websocket message; then the connection
    /// is closed.
    pub body_timeout: Duration,
    /// Minimum average rate of a body or websocket message in bytes per second, enforced after
    /// `body_timeout`; 0 = none.
    pub min_body_rate: u64,
    /// Maximum idle time between two requests of a connection (nginx `keepalive_timeout`).
    pub keepalive_timeout: Duration,
    /// Time of a lingering close: after the last response or websocket close frame, input is read
    /// and discarded. A close with unread input would reset the connection, and the client could
    /// lose the response.
    pub linger_time: Duration,
    /// A follower whose socket accepts no data for this time is disconnected (nginx
    /// `send_timeout`).
    pub send_timeout: Duration,
    /// A websocket client that sends nothing for this time after a ping is disconnected; zero =
    /// never.
    pub ping_timeout: Duration,
    /// Detection of dead peers by the kernel.
    pub tcp: TcpSettings,
    /// Maximum length of a websocket message in bytes; longer ones close the connection with code
    /// 1009.
    pub max_websocket_message_bytes: usize,
    /// Maximum length of request bodies in all locations, in bytes; `None` = set by the locations.
    pub max_body_bytes: Option<u64>,
    /// Maximum length of a batch of messages in bytes.
    pub max_batch_bytes: u64,
    /// Proxies that are trusted to set the client address in all locations; `None` = set by the
    /// locations.
    pub real_ip: Option<Arc<web::RealIp>>,
    /// Maximum number of channels in a request.
    pub max_channels_per_request: usize,
    /// Maximum number of different lists of channels that are queued to be built; further ones get
    /// 503.
    pub max_waiting_lists: usize,
    /// Maximum bytes per channel that are retained for slow followers in addition to the stored
    /// messages, unless the location sets its own limit.
    pub max_lag_bytes: u64,
    /// Maximum time for the response of a back-end.
    pub hook_timeout: Duration,
    /// Maximum length of a response of a back-end in bytes.
    pub max_hook_bytes: usize,
    /// Maximum number of concurrent requests to back-ends per shard; further ones wait, for at most
    /// `hook_timeout`.
    pub max_hooks: usize,
    /// Maximum number of pending notices (requests to back-ends whose response is ignored) per
    /// shard; further ones are dropped.
    pub max_hook_notices: usize,
    /// Grace period for open connections and pending notices when the server stops.
    pub grace: Duration,
}

/// TCP options that detect peers which have disappeared. Each has an option of `serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Idle time before the first keep-alive probe (`TCP_KEEPIDLE`); zero = no probes.
    pub keepalive: Duration,
    /// Time between two keep-alive probes (`TCP_KEEPINTVL`).
    pub keepalive_interval: Duration,
    /// Number of unanswered probes after which the connection is closed (`TCP_KEEPCNT`).
    pub keepalive_probes: u32,
    /// Time for the acknowledgement of sent data, after which the connection is closed
    /// (`TCP_USER_TIMEOUT`); zero = the default of the system.
    pub user_timeout: Duration,
}
