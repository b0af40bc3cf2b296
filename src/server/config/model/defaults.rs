//! All default values: those of the module, those of nginx, and the limits of the built-in
//! configuration.
//!
//! Where the module is unlimited by default, so is an nginx.conf that sets no limit; the built-in
//! configuration has a limit that protects memory. Limits on connections apply to both.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::template::Template;
use crate::server::config::{
    BrokerSettings, ConnectionLimits, Endpoint, EngineChoice, LocationSettings, MemoryAccounting,
    MessageFormat, Paddings, SlowPolicy, TcpSettings, Types,
};

const MEBIBYTE: u64 = 1024 * 1024;

/// Memory limit for messages, channels, subscribers and connections together, in bytes. It is not
/// allocated in advance, and a full server fits a small machine.
pub const SHARED_MEMORY_SIZE: u64 = 512 * MEBIBYTE;
/// Memory limit for connections, in bytes, if a configuration file sets a size of shared memory,
/// which nginx does not use for connections: twice the memory of [`MAX_CONNECTIONS`] subscribers.
pub const CONNECTION_MEMORY: u64 = 256 * MEBIBYTE;
/// Stored messages per channel. With the default body limit, a higher value would let one channel
/// use all the memory.
pub const MAX_MESSAGES_STORED_PER_CHANNEL: u64 = 10_000;
/// Maximum length of a channel id in bytes; statistics responses repeat the ids.
pub const MAX_CHANNEL_ID_LENGTH: u64 = 1024;
/// Maximum number of channels; any subscriber can create one.
pub const MAX_NUMBER_OF_CHANNELS: u64 = 100_000;
/// Subscribers per channel: the same as [`MAX_CONNECTIONS`].
pub const MAX_SUBSCRIBERS_PER_CHANNEL: u64 = 100_000;

/// Publishes that the engine has not acknowledged: about 1 KiB each besides the message.
pub const MAX_PENDING_PUBLISHES: u64 = 65_536;
/// Time for the acknowledgement of a publish. Longer than an engine takes to find another node.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Open connections: 2 to 3 KiB each when idle, so below 300 MiB in total.
pub const MAX_CONNECTIONS: usize = 100_000;
/// Connections per client address: unlimited, because all clients of a proxy share its address.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 0;
/// Length of a request head in bytes: nginx's `large_client_header_buffers 4 8k`.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;
/// `client_header_timeout` of nginx.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// `client_body_timeout` of nginx.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Minimum rate of a body in bytes per second: a tenth of the slowest mobile networks.
pub const MIN_BODY_RATE: u64 = 512;
/// Time for the pong of a websocket client: the same as [`SEND_TIMEOUT`].
pub const PING_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle time before the first keep-alive probe. With the interval and the number of probes,
/// half-open connections are closed two minutes after their client has disappeared.
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Time between two keep-alive probes.
pub const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Unacknowledged keep-alive probes before the connection is closed.
pub const TCP_KEEPALIVE_PROBES: u32 = 6;
/// Time for the acknowledgement of sent bytes. Longer than [`SEND_TIMEOUT`], so that slow clients
/// are reported as such and not as dead ones.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(120);
/// `keepalive_timeout` of nginx.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(75);
/// Time for a lingering close: several round trips of a mobile network. (`lingering_timeout` of
/// nginx is 5 s.)
pub const LINGER_TIME: Duration = Duration::from_secs(2);
/// `send_timeout` of nginx.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum length of a websocket message in bytes.
pub const MAX_WEBSOCKET_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Maximum length of a batch of messages in bytes. A batch takes no memory beyond its messages, so
/// this limits the duration of a request.
pub const MAX_BATCH_BYTES: u64 = 64 * MEBIBYTE;
/// Channels per request; a request line of 8 KiB has no room for many more.
pub const MAX_CHANNELS_PER_REQUEST: usize = 1000;
/// Queued lists of channels. A list of [`MAX_NUMBER_OF_CHANNELS`] takes about 0.1 s.
pub const MAX_WAITING_LISTS: usize = 32;
/// Bytes per channel that are retained for slow followers: several rounds of the largest bodies.
pub const MAX_LAG_BYTES: u64 = 4 * MEBIBYTE;
/// `proxy_read_timeout` of nginx.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum length of a back-end response in bytes: a replacement for a message, or an error page.
pub const MAX_HOOK_BYTES: usize = 1024 * 1024;
/// Concurrent requests to back-ends per shard; each has its own connection.
pub const MAX_HOOKS: usize = 512;
/// Pending notices to back-ends per shard: several thousand subscribers that come or leave at once.
pub const MAX_HOOK_NOTICES: usize = 4096;
/// Time for open connections to finish when the server stops.
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

/// The module's defaults, except for the memory size, which the module requires.
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
            max_pending_publishes: MAX_PENDING_PUBLISHES,
            publish_timeout: PUBLISH_TIMEOUT,
            engine: EngineChoice::Memory,
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
            endpoint: Endpoint::None,
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
