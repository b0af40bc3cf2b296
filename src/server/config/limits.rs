//! Bounds on what connections and requests to back-ends may use.

use std::sync::Arc;
use std::time::Duration;

use super::web;

/// Bounds on what connections may use. Every one has an option of `serve`.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Most connections at once; a further one is answered with 503 and closed.
    pub max_connections: usize,
    /// Most connections of one address at once; 0 = no limit. Those to unix sockets do not count.
    pub max_connections_per_address: usize,
    /// Most bytes of a request line and headers; more is answered 414 or 400.
    pub max_header_bytes: usize,
    /// Time from the first byte of a request to the end of its headers; then the connection is
    /// closed.
    pub header_timeout: Duration,
    /// Longest time without a byte of a request body or a websocket message; then the connection is
    /// closed.
    pub body_timeout: Duration,
    /// Bytes per second that a body or websocket message has to come with on average, after
    /// `body_timeout`; 0 = no limit.
    pub min_body_rate: u64,
    /// Longest time between two requests of a connection (nginx `keepalive_timeout`).
    pub keepalive_timeout: Duration,
    /// How long what a client sends is still read, and thrown away, after the last answer of its
    /// connection, or the close of its websocket. An end that is not waited for could take these
    /// away from it.
    pub linger_time: Duration,
    /// A follower whose socket takes nothing for so long is dropped (nginx `send_timeout`).
    pub send_timeout: Duration,
    /// A websocket that sends nothing for so long after a ping is dropped; zero = never.
    pub ping_timeout: Duration,
    /// How the kernel notices that a client is gone.
    pub tcp: TcpSettings,
    /// Most bytes of one websocket message, or frame; more closes the connection with code 1009.
    pub max_websocket_message_bytes: usize,
    /// Largest request body in every location; `None` = what the locations say.
    pub max_body_bytes: Option<u64>,
    /// Largest batch of messages in one request.
    pub max_batch_bytes: u64,
    /// Proxies that are believed about the client's address, whatever the locations say; `None` =
    /// what they say.
    pub real_ip: Option<Arc<web::RealIp>>,
    /// Most channels that one request may name.
    pub max_channels_per_request: usize,
    /// Most lists of channels, of those that differ, which may wait until others are made; a
    /// further one is answered with 503.
    pub max_waiting_lists: usize,
    /// Most bytes kept per channel for live followers that are behind, beyond the stored messages,
    /// where the location says nothing else.
    pub max_lag_bytes: u64,
    /// Longest time that a back-end of hooks may take for an answer.
    pub hook_timeout: Duration,
    /// Most bytes of an answer of a back-end.
    pub max_hook_bytes: usize,
    /// Most requests to back-ends at once, of each shard; further ones wait, within the same time.
    pub max_hooks: usize,
    /// Most requests to back-ends that nobody waits for, pending at once, of each shard; further
    /// ones are dropped.
    pub max_hook_notices: usize,
    /// Time that open connections, and requests to back-ends that nobody waits for, get at the end
    /// of the server.
    pub grace: Duration,
}

/// How the kernel notices that a client is gone without a word. Every one has an option of `serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// A connection without traffic is probed after this time (TCP_KEEPIDLE); zero = never.
    pub keepalive: Duration,
    /// Time between two probes (TCP_KEEPINTVL).
    pub keepalive_interval: Duration,
    /// The connection is broken after so many probes without an answer (TCP_KEEPCNT).
    pub keepalive_probes: u32,
    /// The connection is broken when what was sent is not acknowledged for so long
    /// (TCP_USER_TIMEOUT); zero = the system's own time.
    pub user_timeout: Duration,
}
