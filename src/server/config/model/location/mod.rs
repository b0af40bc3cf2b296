//! Locations: their endpoints, and the settings that they have after inheritance.

pub mod pattern;
pub mod rewrite_phase;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::server::config::model::nchan;
use crate::server::config::{
    Expression, GzipSettings, Locations, MessageFormat, NchanSettings, NhpmSettings, Paddings,
    Pattern, ProxySettings, RewriteStep, WebSettings,
};

/// A location: the requests that it matches, their endpoint and settings.
#[derive(Debug)]
pub struct Location {
    /// The paths that it matches.
    pub pattern: Pattern,
    /// The endpoint and the settings, including inherited values. Those of an `if` may replace
    /// them, but have the same kind of endpoint.
    pub settings: Arc<LocationSettings>,
    /// `set`, `if` and `return` in the order of the file; see [`Location::choose`].
    pub steps: Vec<RewriteStep>,
    /// Nested locations.
    pub nested: Locations,
}

impl Location {
    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.settings.endpoint
    }
}

/// The endpoint of a location, with the settings of its protocol family.
#[derive(Clone, Debug, Default)]
pub enum Endpoint {
    /// No push endpoint: serves a file, or 404.
    #[default]
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
    NhpmPublisher(Arc<NhpmSettings>),
    /// `push_subscriber` of NHPM.
    NhpmSubscriber {
        /// The subscriber gets the stored message, if any, and does not wait.
        interval_poll: bool,
        /// The settings.
        settings: Arc<NhpmSettings>,
    },
    /// `nchan_publisher`, `nchan_subscriber` and `nchan_pubsub`.
    Nchan {
        /// The publisher and subscriber types that it accepts.
        roles: nchan::Roles,
        /// The settings.
        settings: Arc<NchanSettings>,
    },
    /// `nchan_group_location`
    NchanGroup {
        /// The methods that it accepts.
        methods: nchan::GroupMethods,
        /// The settings.
        settings: Arc<NchanSettings>,
    },
    /// `nchan_stub_status`
    NchanStubStatus,
    /// `nchan_subscriber_info`
    NchanSubscriberInfo(Arc<NchanSettings>),
    /// `proxy_pass`, in a location without push endpoint.
    BackEnd(Arc<ProxySettings>),
}

impl Endpoint {
    /// Whether it is a push endpoint.
    #[must_use]
    pub fn is_push(&self) -> bool {
        !matches!(self, Self::None | Self::BackEnd(_))
    }

    /// The back-end to which requests are passed.
    #[must_use]
    pub fn back_end(&self) -> Option<&Arc<ProxySettings>> {
        match self {
            Self::BackEnd(proxy) => Some(proxy),
            _ => None,
        }
    }
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
    /// `pushctl_slow_consumer_bytes`; `None` =
    /// [`ConnectionLimits::max_lag_bytes`](crate::server::config::ConnectionLimits::max_lag_bytes).
    pub slow_consumer_bytes: Option<u64>,
    /// One of the built-in locations. They differ from the module's where those are unsafe or lose
    /// messages: proxies must not buffer streams, positions are event ids, JSONP callbacks are
    /// validated.
    pub is_builtin: bool,
    /// `pushctl_gap_notice`: subscribers are notified of missed messages.
    pub gap_notice: bool,
    /// The `gzip` directives; `None` = off.
    pub gzip: Option<Arc<GzipSettings>>,
    /// The endpoint of the location.
    pub endpoint: Endpoint,
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
