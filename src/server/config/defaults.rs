//! Every default, named: those of the module, those of nginx, and the bounds of the built-in
//! configuration.
//!
//! Where the module is unlimited by default, an nginx.conf that sets no limit stays unlimited; the
//! built-in configuration then has a bound that protects memory. Bounds on connections hold for
//! both.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::template::Template;
use super::{
    BrokerSettings, ConnectionLimits, LocationSettings, MemoryAccounting, MessageFormat, Paddings,
    SlowPolicy, TcpSettings, Types,
};

const MEBIBYTE: u64 = 1024 * 1024;

/// Bound on messages, channels, subscribers and connections together, in bytes: an empty server
/// uses none of it, a full one must fit a small machine.
pub const SHARED_MEMORY_SIZE: u64 = 512 * MEBIBYTE;
/// Bound on connections where a configuration file sets a size of shared memory, of which nginx
/// takes nothing for connections: as many as [`MAX_CONNECTIONS`] subscribers take, and as much
/// again.
pub const CONNECTION_MEMORY: u64 = 256 * MEBIBYTE;
/// Stored messages per channel: with the default body limit, more would let one channel take all
/// the memory.
pub const MAX_MESSAGES_STORED_PER_CHANNEL: u64 = 10_000;
/// Bytes of a channel id; ids are repeated in every statistics answer.
pub const MAX_CHANNEL_ID_LENGTH: u64 = 1024;
/// Channels; any subscriber can create one.
pub const MAX_NUMBER_OF_CHANNELS: u64 = 100_000;
/// Subscribers of one channel: as many as there may be connections.
pub const MAX_SUBSCRIBERS_PER_CHANNEL: u64 = 100_000;

/// `push_stream_message_ttl` of the module.
pub const MESSAGE_TTL: Duration = Duration::from_secs(30 * 60);
/// `push_stream_channel_inactivity_time` of the module.
pub const CHANNEL_INACTIVITY_TIME: Duration = Duration::from_secs(30);
/// `push_stream_channel_deleted_message_text` of the module.
pub const CHANNEL_DELETED_MESSAGE_TEXT: &[u8] = b"Channel deleted";
/// `push_stream_ping_message_text` of the module: one space.
pub const PING_MESSAGE_TEXT: &[u8] = b" ";
/// `push_stream_message_template` of the module.
pub const MESSAGE_TEMPLATE: &[u8] = b"~text~";
/// `client_max_body_size` of nginx, in bytes.
pub const CLIENT_MAX_BODY_SIZE: u64 = MEBIBYTE;
/// `default_type` of nginx.
pub const DEFAULT_TYPE: &[u8] = b"text/plain";
/// `types` of nginx: extension and content type.
pub const TYPES: [(&str, &[u8]); 3] = [
    ("html", b"text/html"),
    ("gif", b"image/gif"),
    ("jpg", b"image/jpeg"),
];

/// Connections at once: 2 to 3 KiB each when idle, so below 300 MiB.
pub const MAX_CONNECTIONS: usize = 100_000;
/// Connections of one address: no limit, because behind a proxy all come from one.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 0;
/// Bytes of a request head: nginx's `large_client_header_buffers 4 8k`.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;
/// `client_header_timeout` of nginx.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// `client_body_timeout` of nginx.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes per second of a body: ten times less than the slowest mobile network brings.
pub const MIN_BODY_RATE: u64 = 512;
/// A websocket has as long to answer a ping as a client has to take what is sent to it.
pub const PING_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle connections are probed after this time, so that half-open ones are gone two minutes after
/// the client.
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Time between two probes.
pub const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Probes without an answer.
pub const TCP_KEEPALIVE_PROBES: u32 = 6;
/// Unacknowledged bytes; later than `send_timeout`, which tells slow clients from dead ones.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(120);
/// `keepalive_timeout` of nginx.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(75);
/// Some round trips of a mobile network. (`lingering_timeout` of nginx is 5 s.)
pub const LINGER_TIME: Duration = Duration::from_secs(2);
/// `send_timeout` of nginx.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a websocket message: as much as a posted body.
pub const MAX_WEBSOCKET_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a batch of messages: it takes no memory but that of its messages, so that it bounds the
/// time of a request.
pub const MAX_BATCH_BYTES: u64 = 64 * MEBIBYTE;
/// Channels of one request; a request line of 8 KiB has no room for many more.
pub const MAX_CHANNELS_PER_REQUEST: usize = 1000;
/// A list of the 100,000 channels that there may be takes about a tenth of a second.
pub const MAX_WAITING_LISTS: usize = 32;
/// Bytes per channel that are kept for followers that are behind: some rounds of the largest
/// bodies.
pub const MAX_LAG_BYTES: u64 = 4 * MEBIBYTE;
/// `proxy_read_timeout` of nginx.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer of a back-end: a posted message, or an error page.
pub const MAX_HOOK_BYTES: usize = 1024 * 1024;
/// Requests to back-ends at once, of each shard: every one has a connection of its own.
pub const MAX_HOOKS: usize = 512;
/// Requests to back-ends that nobody waits for, of each shard: those of some thousand subscribers
/// that come or leave at once.
pub const MAX_HOOK_NOTICES: usize = 4096;
/// Time that open connections get at the end of the server.
pub const GRACE: Duration = Duration::from_secs(5);

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: MAX_CONNECTIONS,
            max_connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
            max_header_bytes: MAX_HEADER_BYTES,
            header_timeout: HEADER_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            min_body_rate: MIN_BODY_RATE,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            linger_time: LINGER_TIME,
            send_timeout: SEND_TIMEOUT,
            ping_timeout: PING_TIMEOUT,
            tcp: TcpSettings::default(),
            max_websocket_message_bytes: MAX_WEBSOCKET_MESSAGE_BYTES,
            max_body_bytes: None,
            max_batch_bytes: MAX_BATCH_BYTES,
            real_ip: None,
            max_channels_per_request: MAX_CHANNELS_PER_REQUEST,
            max_waiting_lists: MAX_WAITING_LISTS,
            max_lag_bytes: MAX_LAG_BYTES,
            hook_timeout: HOOK_TIMEOUT,
            max_hook_bytes: MAX_HOOK_BYTES,
            max_hooks: MAX_HOOKS,
            max_hook_notices: MAX_HOOK_NOTICES,
            grace: GRACE,
        }
    }
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            keepalive: TCP_KEEPALIVE,
            keepalive_interval: TCP_KEEPALIVE_INTERVAL,
            keepalive_probes: TCP_KEEPALIVE_PROBES,
            user_timeout: TCP_USER_TIMEOUT,
        }
    }
}

/// The module's defaults: unlimited where it is unlimited. It has none for the memory size; ours is
/// taken.
impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            shared_memory_size: SHARED_MEMORY_SIZE,
            memory_accounting: MemoryAccounting::Process,
            connection_memory: None,
            channel_deleted_message_text: Bytes::from_static(CHANNEL_DELETED_MESSAGE_TEXT),
            channel_inactivity_time: CHANNEL_INACTIVITY_TIME,
            ping_message_text: Bytes::from_static(PING_MESSAGE_TEXT),
            timeout_with_body: false,
            message_ttl: MESSAGE_TTL,
            max_subscribers_per_channel: None,
            max_messages_stored_per_channel: None,
            max_channel_id_length: None,
            max_number_of_channels: None,
            max_number_of_wildcard_channels: None,
            wildcard_channel_prefix: Bytes::new(),
            events_channel_id: Bytes::new(),
            separates_runs: false,
        }
    }
}

/// The module's defaults.
impl Default for LocationSettings {
    fn default() -> Self {
        Self {
            channels_path: None,
            store_messages: false,
            channel_info_on_publish: true,
            authorized_channels_only: false,
            header_template: None,
            message_format: MessageFormat::Template(Template::parse(MESSAGE_TEMPLATE)),
            footer_template: None,
            wildcard_channel_max_qtd: None,
            ping_message_interval: None,
            subscriber_connection_ttl: None,
            longpolling_connection_ttl: None,
            websocket_allow_publish: false,
            last_received_message_time: None,
            last_received_message_tag: None,
            last_event_id: None,
            cursor_headers_as_fallback: false,
            user_agent: None,
            paddings: Paddings::default(),
            allowed_origins: None,
            batch: false,
            allow_connections_to_events_channel: false,
            types: Types::default().into(),
            client_max_body_size: CLIENT_MAX_BODY_SIZE,
            web: Arc::default(),
            slow_consumer: SlowPolicy::Disconnect,
            slow_consumer_bytes: None,
            is_builtin: false,
            gap_notice: false,
            gzip: None,
            nhpm: None,
            nchan: None,
            proxy: None,
        }
    }
}

/// nginx's built-in table.
impl Default for Types {
    fn default() -> Self {
        let by_extension = TYPES
            .iter()
            .map(|(extension, kind)| ((*extension).to_owned(), Bytes::from_static(kind)))
            .collect();
        Self {
            by_extension,
            default_type: Bytes::from_static(DEFAULT_TYPE),
            page_type: Bytes::from_static(b"text/html"),
        }
    }
}
