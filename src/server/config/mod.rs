//! The configuration: one model of typed locations, filled by several sources (built-in,
//! nginx.conf).
//!
//! The model says *what* a location does; how it is done is the business of `publisher`,
//! `subscriber` and `statistics`. Facts and defaults: push-stream.md, section 15.

pub mod base64;
pub mod browsers;
pub mod builtin;
pub mod compression;
pub mod condition;
pub mod defaults;
mod escape;
pub mod expression;
pub mod limits;
pub mod listener;
pub mod logs;
pub mod map;
pub mod names;
pub mod nchan;
pub mod nginx;
pub mod nhpm;
pub mod padding;
pub mod path;
pub mod pattern;
pub mod proxy;
pub mod regex_pattern;
pub mod rewrite;
pub mod secure_link;
pub mod template;
pub mod tls;
pub mod upstream;
pub mod users;
pub mod variables;
pub mod web;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use browsers::BrowserAccess;
pub use builtin::BuiltinOptions;
pub use compression::GzipSettings;
pub use condition::{Condition, LocationChoice, Return, RewriteEnd, RewriteFrame, RewriteStep};
pub use expression::{Expression, VariableNames, Variables};
pub use limits::{ConnectionLimits, TcpSettings};
pub use listener::Listener;
pub use logs::{ErrorLog, LogTarget};
pub use map::{Map, MapVariable};
pub use names::{ServerName, Servers};
pub use nchan::NchanSettings;
pub use nhpm::NhpmSettings;
pub use padding::{Padding, Paddings};
pub use path::{normalise, normalise_with_slashes};
pub use pattern::{Locations, Pattern};
pub use proxy::ProxySettings;
pub use regex_pattern::{Captures, RegexPattern};
pub use rewrite::Rewrite;
pub use secure_link::SecureLink;
pub use template::MessageFormat;
pub use upstream::{Upstream, Upstreams};
pub use web::WebSettings;

/// Everything that `serve` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is listened on, each with the servers that answer there; never empty.
    pub listeners: Vec<Listener>,
    /// Number of shards (threads that hold connections); 0 = one per core.
    pub shards: usize,
    /// Bounds on what connections may use.
    pub limits: ConnectionLimits,
    /// Settings of the broker, the same for all locations.
    pub broker: BrokerSettings,
    /// What there is once in a process.
    pub process: ProcessSettings,
}

/// What there is once in a process, whatever its servers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// `server_tokens off` somewhere: answers do not tell the version.
    pub hides_version: bool,
    /// `error_log`; none = stderr.
    pub error_logs: Vec<ErrorLog>,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// A `server` block: names and locations.
#[derive(Debug, Default)]
pub struct VirtualServer {
    /// Names to match with the Host header; empty = requests without one.
    pub names: Vec<ServerName>,
    /// Locations, in the order of the file; see [`VirtualServer::locate`].
    pub locations: Locations,
    /// True for the built-in configuration: it also serves the welcome page.
    pub welcome: bool,
    /// What pages of browsers may do; `None` = the configuration decides that itself, as in nginx.
    pub browser_access: Option<Arc<BrowserAccess>>,
    /// `set`, `if` and `return` of the server, which come before its locations.
    pub steps: Vec<RewriteStep>,
    /// Of requests that no location takes.
    pub settings: Arc<LocationSettings>,
    /// `underscores_in_headers on`: `$http_a_b` is also the header `A_B`.
    pub has_underscores: bool,
    /// `merge_slashes off`: `//` stays in paths.
    pub keeps_slashes: bool,
}

/// A location: which requests it takes and what it does with them.
#[derive(Debug)]
pub struct Location {
    /// The requests it takes.
    pub pattern: Pattern,
    /// What it is.
    pub endpoint: Endpoint,
    /// Its settings, inherited values included.
    pub settings: Arc<LocationSettings>,
    /// `set`, `if` and `return` in their order; see [`Location::choose`].
    pub steps: Vec<RewriteStep>,
    /// Locations inside this one.
    pub nested: Locations,
}

/// What a location is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// No push endpoint: answers with a file, or 404.
    None,
    /// `push_stream_channels_statistics`
    Statistics,
    /// `push_stream_publisher`
    Publisher {
        /// True in `admin` mode, which may delete channels.
        admin: bool,
    },
    /// `push_stream_subscriber`
    Subscriber(SubscriberMode),
    /// `push_publisher` of NHPM.
    NhpmPublisher,
    /// `push_subscriber` of NHPM.
    NhpmSubscriber {
        /// It takes what is there and does not wait.
        interval_poll: bool,
    },
    /// `nchan_publisher`, `nchan_subscriber` and `nchan_pubsub`.
    Nchan(nchan::Roles),
    /// `nchan_group_location`
    NchanGroup(nchan::GroupMethods),
    /// `nchan_stub_status`
    NchanStubStatus,
    /// `nchan_subscriber_info`
    NchanSubscriberInfo,
}

/// How a subscriber location delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubscriberMode {
    /// One endless response.
    Streaming,
    /// What is there, at once.
    Polling,
    /// What is there, or the next message.
    LongPolling,
    /// An endless `text/event-stream`.
    EventSource,
    /// RFC 6455 frames.
    WebSocket,
}

/// Settings of a location (push-stream.md, section 15, contexts H, S, L), resolved through all
/// levels.
#[derive(Clone, Debug)]
pub struct LocationSettings {
    /// `channels_path`; always present on the three endpoint types.
    pub channels_path: Option<Expression>,
    /// `store_messages`
    pub store_messages: bool,
    /// `channel_info_on_publish`
    pub channel_info_on_publish: bool,
    /// `authorized_channels_only`
    pub authorized_channels_only: bool,
    /// `header_template`; `None` = not given.
    pub header_template: Option<Bytes>,
    /// `message_template`, or the built-in JSON encoder.
    pub message_format: MessageFormat,
    /// `footer_template`; `None` = not given.
    pub footer_template: Option<Bytes>,
    /// `wildcard_channel_max_qtd`; `None` = unlimited.
    pub wildcard_channel_max_qtd: Option<u64>,
    /// `ping_message_interval`
    pub ping_message_interval: Option<Duration>,
    /// `subscriber_connection_ttl`
    pub subscriber_connection_ttl: Option<Duration>,
    /// `longpolling_connection_ttl`, with its default (`subscriber_connection_ttl`) applied.
    pub longpolling_connection_ttl: Option<Duration>,
    /// `websocket_allow_publish`
    pub websocket_allow_publish: bool,
    /// `last_received_message_time`; `None` = the request header. An empty value counts as set.
    pub last_received_message_time: Option<Expression>,
    /// `last_received_message_tag`, likewise.
    pub last_received_message_tag: Option<Expression>,
    /// `last_event_id`, likewise.
    pub last_event_id: Option<Expression>,
    /// If the three arguments above evaluate to nothing, the request header is used after all. Off
    /// for the module's configurations (a set directive replaces its header), on for the built-in
    /// locations.
    pub cursor_headers_as_fallback: bool,
    /// `user_agent`; `None` = the request header.
    pub user_agent: Option<Expression>,
    /// `padding_by_user_agent`
    pub paddings: Paddings,
    /// `allowed_origins`
    pub allowed_origins: Option<Expression>,
    /// `pushctl_batch` (an extension of ours): bodies of [`crate::protocol::BATCH_TYPE`] are many
    /// messages.
    pub batch: bool,
    /// `allow_connections_to_events_channel`
    pub allow_connections_to_events_channel: bool,
    /// Content types of the response by extension of the request's path.
    pub types: Arc<Types>,
    /// Largest request body in bytes; 0 = unlimited by the location (the memory ceiling still
    /// holds).
    pub client_max_body_size: u64,
    /// Access, added headers, files and logs.
    pub web: Arc<WebSettings>,
    /// `pushctl_slow_consumer`: what becomes of followers that are too far behind.
    pub slow_consumer: SlowPolicy,
    /// `pushctl_slow_consumer_bytes`; `None` = [`ConnectionLimits::max_lag_bytes`].
    pub slow_consumer_bytes: Option<u64>,
    /// One of pushctl's own locations, which differ from the module's where that is unsafe or loses
    /// messages: streams that no proxy may buffer, positions as ids of events, checked callbacks of
    /// JSONP.
    pub is_builtin: bool,
    /// `pushctl_gap_notice`: subscribers are told of messages that they miss.
    pub gap_notice: bool,
    /// The `gzip` directives; `None` = off.
    pub gzip: Option<Arc<GzipSettings>>,
    /// Of a location of NHPM.
    pub nhpm: Option<Arc<NhpmSettings>>,
    /// Of a location of nchan.
    pub nchan: Option<Arc<NchanSettings>>,
    /// Of a location that stands for a back-end.
    pub proxy: Option<Arc<ProxySettings>>,
}

/// What becomes of a follower that falls out of what is kept for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowPolicy {
    /// It is dropped; coming back with its cursor is its own business.
    #[default]
    Disconnect,
    /// It goes on with the oldest message that is kept.
    Skip,
    /// It goes on with the newest message.
    Latest,
}

impl SlowPolicy {
    /// The names, as they are written in configurations.
    pub const NAMES: [(&'static str, SlowPolicy); 3] = [
        ("disconnect", SlowPolicy::Disconnect),
        ("skip", SlowPolicy::Skip),
        ("latest", SlowPolicy::Latest),
    ];

    /// The policy of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, policy)| *policy)
    }
}

impl LocationSettings {
    /// Messages are JSON objects of our own, so everything around them is escaped as it should be,
    /// too.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.message_format == MessageFormat::Json
    }
}

/// nginx's `types` and `default_type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types {
    /// Extension in lower case, without dot, to content type.
    pub by_extension: Vec<(String, Bytes)>,
    /// For everything else.
    pub default_type: Bytes,
    /// Of error pages.
    pub page_type: Bytes,
}

impl Types {
    /// The content type of a request for `path`, by the extension of its last part (push-stream.md,
    /// section 8).
    #[must_use]
    pub fn of(&self, path: &[u8]) -> Bytes {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let extension = memchr::memrchr(b'.', name).map(|dot| &name[dot + 1..]);
        let known = extension.and_then(|extension| {
            self.by_extension
                .iter()
                .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(extension))
        });
        known.map_or_else(
            || self.default_type.clone(),
            |(_, content_type)| content_type.clone(),
        )
    }
}

/// What messages, channels and subscribers are charged against the memory bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryAccounting {
    /// What they take of the process: the bound is the one of the process.
    #[default]
    Process,
    /// At most what they take of the modules' shared memory: a size that was chosen for nginx has
    /// room for as much here. The smallest objects take up to 4 times as much of the process.
    SharedMemory,
}

/// Settings of the broker (push-stream.md, section 15, context H).
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// `shared_memory_size` in bytes: bound on messages, channels and subscribers together, and on
    /// connections unless they have their own.
    pub shared_memory_size: u64,
    /// What they are charged.
    pub memory_accounting: MemoryAccounting,
    /// Bound on connections and on what waits for their sockets, in bytes; `None` = part of
    /// `shared_memory_size`.
    pub connection_memory: Option<u64>,
    /// `channel_deleted_message_text`
    pub channel_deleted_message_text: Bytes,
    /// `channel_inactivity_time`
    pub channel_inactivity_time: Duration,
    /// `ping_message_text`
    pub ping_message_text: Bytes,
    /// `timeout_with_body`
    pub timeout_with_body: bool,
    /// `message_ttl`
    pub message_ttl: Duration,
    /// `max_subscribers_per_channel`; `None` = unlimited.
    pub max_subscribers_per_channel: Option<u64>,
    /// `max_messages_stored_per_channel`; `None` = unlimited.
    pub max_messages_stored_per_channel: Option<u64>,
    /// `max_channel_id_length` in bytes; `None` = unlimited.
    pub max_channel_id_length: Option<u64>,
    /// `max_number_of_channels`; `None` = unlimited.
    pub max_number_of_channels: Option<u64>,
    /// `max_number_of_wildcard_channels`; `None` = unlimited.
    pub max_number_of_wildcard_channels: Option<u64>,
    /// `wildcard_channel_prefix`; empty = there are no wildcard channels.
    pub wildcard_channel_prefix: Bytes,
    /// `events_channel_id`; empty = none.
    pub events_channel_id: Bytes,
    /// Positions are newer than those of a run of the server that has ended in the same second; off
    /// where tags of a second begin with 1 in any case, as in the module.
    pub separates_runs: bool,
}
