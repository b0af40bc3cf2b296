//! The configuration model: listeners, servers and typed locations with their settings.
//!
//! The model describes what a location does; `publisher`, `subscriber`, `statistics` and `http`
//! implement it. Facts and defaults: push-stream.md, section 15.
//!
//! | modules | content |
//! |---|---|
//! | [`builtin`], [`nginx`] | the sources: built-in configuration; nginx.conf and TOML |
//! | [`listener`], [`names`], [`pattern`], [`path`] | from an address and a request to a location |
//! | [`expression`], [`variables`], [`map`], [`regex_pattern`] | values with variables |
//! | [`rewrite_phase`], [`condition`], [`rewrite`] | `set`, `if`, `rewrite`, `return` |
//! | [`web`], [`clients`], [`secure_link`], [`users`], [`browsers`] | access control, files |
//! | [`template`], [`padding`], [`compression`], [`nhpm`], [`nchan`] | push locations |
//! | [`proxy`], [`upstream`], [`tls`] | back-ends of hooks |
//! | [`limits`], [`logs`], [`defaults`] | limits, logs, all default values |

pub mod expression;
pub mod model;
pub mod source;

use crate::server::config::model::nchan;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::expression::condition::Condition;
pub use self::expression::map::{Map, MapVariable};
pub use self::expression::path::{normalise, normalise_with_slashes};
pub use self::expression::regex_pattern::{Captures, RegexPattern};
pub use self::expression::rewrite::Rewrite;
pub use self::expression::rewrite_phase::{
    LocationChoice, Return, RewriteEnd, RewriteFrame, RewriteStep,
};
pub use self::expression::secure_link::SecureLink;
pub use self::model::browsers::BrowserAccess;
pub use self::model::compression::GzipSettings;
pub use self::model::limits::{ConnectionLimits, TcpSettings};
pub use self::model::listener::Listener;
pub use self::model::logs::{ErrorLog, LogTarget};
pub use self::model::names::{ServerName, Servers};
pub use self::model::nchan::NchanSettings;
pub use self::model::nhpm::NhpmSettings;
pub use self::model::padding::{Padding, Paddings};
pub use self::model::pattern::{Locations, Pattern};
pub use self::model::proxy::ProxySettings;
pub use self::model::template::MessageFormat;
pub use self::model::upstream::{Upstream, Upstreams};
pub use self::model::web::WebSettings;
pub use self::source::builtin::BuiltinOptions;
pub use expression::{Expression, VariableNames, Variables};

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The listening addresses with their servers; never empty.
    pub listeners: Vec<Listener>,
    /// Number of shards (threads that hold connections); 0 = one per core.
    pub shards: usize,
    /// Limits on connections and on requests to back-ends.
    pub limits: ConnectionLimits,
    /// Settings of the broker, shared by all locations.
    pub broker: BrokerSettings,
    /// Process-wide settings.
    pub process: ProcessSettings,
}

/// Process-wide settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// `server_tokens off` on any level: responses do not show the version.
    pub hides_version: bool,
    /// `error_log`; empty = stderr.
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
    /// Names to match with the `Host` header; empty = requests without that header.
    pub names: Vec<ServerName>,
    /// Locations, in the order of the file; see [`VirtualServer::locate`].
    pub locations: Locations,
    /// Serves the welcome page, as the built-in configuration does.
    pub welcome: bool,
    /// Restrictions on requests of web pages; `None` = only those of the configuration, as in
    /// nginx.
    pub browser_access: Option<Arc<BrowserAccess>>,
    /// `set`, `if` and `return` on server level, which run before a location is chosen.
    pub steps: Vec<RewriteStep>,
    /// Settings of requests that match no location.
    pub settings: Arc<LocationSettings>,
    /// `underscores_in_headers on`: `$http_a_b` is also the header `A_B`.
    pub has_underscores: bool,
    /// `merge_slashes off`: `//` in paths is kept.
    pub keeps_slashes: bool,
}

/// A location: the requests that it matches, their endpoint and settings.
#[derive(Debug)]
pub struct Location {
    /// The paths that it matches.
    pub pattern: Pattern,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The settings, including inherited values.
    pub settings: Arc<LocationSettings>,
    /// `set`, `if` and `return` in the order of the file; see [`Location::choose`].
    pub steps: Vec<RewriteStep>,
    /// Nested locations.
    pub nested: Locations,
}

/// The endpoint of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// No push endpoint: serves a file, or 404.
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
        /// The subscriber gets the stored message, if any, and does not wait.
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

/// Delivery mode of a subscriber location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubscriberMode {
    /// One endless response.
    Streaming,
    /// The stored messages, without waiting.
    Polling,
    /// The stored messages, or the next message.
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
    /// `channels_path`; always present on publisher, subscriber and statistics locations.
    pub channels_path: Option<Expression>,
    /// `store_messages`
    pub store_messages: bool,
    /// `channel_info_on_publish`
    pub channel_info_on_publish: bool,
    /// `authorized_channels_only`
    pub authorized_channels_only: bool,
    /// `header_template`; `None` = not set.
    pub header_template: Option<Bytes>,
    /// `message_template`, or the built-in JSON encoder.
    pub message_format: MessageFormat,
    /// `footer_template`; `None` = not set.
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
    /// `last_received_message_time`; `None` = the request header. An empty value is a set value.
    pub last_received_message_time: Option<Expression>,
    /// `last_received_message_tag`, likewise.
    pub last_received_message_tag: Option<Expression>,
    /// `last_event_id`, likewise.
    pub last_event_id: Option<Expression>,
    /// Use the request header if the three expressions above evaluate to an empty text. Off as in
    /// the module, where a set directive replaces its header; on for the built-in locations.
    pub cursor_headers_as_fallback: bool,
    /// `user_agent`; `None` = the request header.
    pub user_agent: Option<Expression>,
    /// `padding_by_user_agent`
    pub paddings: Paddings,
    /// `allowed_origins`
    pub allowed_origins: Option<Expression>,
    /// `pushctl_batch`: bodies of type [`crate::protocol::BATCH_TYPE`] contain several messages.
    pub batch: bool,
    /// `allow_connections_to_events_channel`
    pub allow_connections_to_events_channel: bool,
    /// Content types of responses by the extension of the request path.
    pub types: Arc<Types>,
    /// Largest request body in bytes; 0 = limited by memory only.
    pub client_max_body_size: u64,
    /// Access rules, added headers, files and access logs.
    pub web: Arc<WebSettings>,
    /// `pushctl_slow_consumer`: policy for followers that are too far behind.
    pub slow_consumer: SlowPolicy,
    /// `pushctl_slow_consumer_bytes`; `None` = [`ConnectionLimits::max_lag_bytes`].
    pub slow_consumer_bytes: Option<u64>,
    /// One of the built-in locations. They differ from the module's where those are unsafe or lose
    /// messages: proxies must not buffer streams, positions are event ids, JSONP callbacks are
    /// validated.
    pub is_builtin: bool,
    /// `pushctl_gap_notice`: subscribers are notified of missed messages.
    pub gap_notice: bool,
    /// The `gzip` directives; `None` = off.
    pub gzip: Option<Arc<GzipSettings>>,
    /// Settings of an NHPM location.
    pub nhpm: Option<Arc<NhpmSettings>>,
    /// Settings of an nchan location.
    pub nchan: Option<Arc<NchanSettings>>,
    /// Settings of a location with `proxy_pass`.
    pub proxy: Option<Arc<ProxySettings>>,
}

/// Policy for a slow follower whose next message is no longer stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowPolicy {
    /// The connection is closed; the client can resume from its cursor.
    #[default]
    Disconnect,
    /// Delivery continues with the oldest stored message.
    Skip,
    /// Delivery continues with the newest message.
    Latest,
}

impl SlowPolicy {
    /// The values of `pushctl_slow_consumer` and `--slow-consumer`.
    pub const NAMES: [(&'static str, SlowPolicy); 3] = [
        ("disconnect", SlowPolicy::Disconnect),
        ("skip", SlowPolicy::Skip),
        ("latest", SlowPolicy::Latest),
    ];

    /// Returns the policy of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, policy)| *policy)
    }
}

impl LocationSettings {
    /// Whether messages are rendered by the built-in JSON encoder. Then all other texts of the
    /// response are JSON-escaped, too, which the module does not do.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.message_format == MessageFormat::Json
    }
}

/// nginx's `types` and `default_type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types {
    /// File extensions in lower case, without dot, and their content types.
    pub by_extension: Vec<(String, Bytes)>,
    /// Content type of paths with another extension or none.
    pub default_type: Bytes,
    /// Content type of error pages.
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

/// How messages, channels and subscribers are charged to the memory limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryAccounting {
    /// By the memory that they take in this process: the limit bounds the process.
    #[default]
    Process,
    /// By at most the shared memory that they take in the modules, so that a size chosen for nginx
    /// is sufficient here. The smallest objects take up to 4 times as much in this process.
    SharedMemory,
}

/// Settings of the broker (push-stream.md, section 15, context H).
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// `shared_memory_size` in bytes: limit for messages, channels and subscribers together, and
    /// for connections unless `connection_memory` is set.
    pub shared_memory_size: u64,
    /// How they are charged.
    pub memory_accounting: MemoryAccounting,
    /// Memory limit for connections and their unsent output in bytes; `None` = part of
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
    /// `wildcard_channel_prefix`; empty = no wildcard channels.
    pub wildcard_channel_prefix: Bytes,
    /// `events_channel_id`; empty = no events channel.
    pub events_channel_id: Bytes,
    /// Positions are greater than those of an earlier run of the server, even one that ended in the
    /// same second. Off as in the module, where the tags of every second start at 1.
    pub separates_runs: bool,
}
