//! Settings of an nchan location, resolved through all levels (nhpm-nchan.md, part
//! 2).

use std::time::Duration;

use bytes::Bytes;

use crate::server::config::Expression;

/// The publisher and subscriber types that a location accepts, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u16);

impl Roles {
    /// Publishing over HTTP.
    pub const PUBLISH_HTTP: Roles = Roles(1);
    /// Publishing over websockets.
    pub const PUBLISH_WEBSOCKET: Roles = Roles(1 << 1);
    /// Websocket subscribers.
    pub const WEBSOCKET: Roles = Roles(1 << 2);
    /// `text/event-stream` subscribers.
    pub const EVENTSOURCE: Roles = Roles(1 << 3);
    /// Long-polling subscribers.
    pub const LONGPOLL: Roles = Roles(1 << 4);
    /// Polling subscribers.
    pub const INTERVALPOLL: Roles = Roles(1 << 5);
    /// Subscribers that get one HTTP chunk per message.
    pub const CHUNKED: Roles = Roles(1 << 6);
    /// `multipart/mixed` subscribers.
    pub const MULTIPART: Roles = Roles(1 << 7);
    /// Subscribers that get messages with a separator.
    pub const RAW_STREAM: Roles = Roles(1 << 8);
    /// All publisher types.
    pub const PUBLISH: Roles = Roles(0b11);
    /// The subscriber types of `nchan_subscriber` without arguments.
    pub const SUBSCRIBE: Roles = Roles(
        Self::WEBSOCKET.0
            | Self::EVENTSOURCE.0
            | Self::LONGPOLL.0
            | Self::CHUNKED.0
            | Self::MULTIPART.0,
    );

    /// Returns the union of both sets.
    #[must_use]
    pub const fn and(self, other: Roles) -> Roles {
        Roles(self.0 | other.0)
    }

    /// Whether both sets have a common member.
    #[must_use]
    pub fn has(self, other: Roles) -> bool {
        self.0 & other.0 != 0
    }
}

/// The methods that an `nchan_group_location` accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMethods {
    /// GET
    pub get: bool,
    /// POST
    pub set: bool,
    /// DELETE
    pub delete: bool,
}

/// A setting with a fixed value, or with a value per request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting<T> {
    /// The value for all requests.
    Fixed(T),
    /// Evaluated for each request.
    Variable(Expression),
}

/// `nchan_subscriber_first_message`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstMessage {
    /// The oldest stored message.
    #[default]
    Oldest,
    /// The next message that is published.
    Newest,
    /// The nth stored message, counted from the oldest, starting at 1.
    FromOldest(u32),
    /// The nth stored message, counted from the newest, starting at 1.
    FromNewest(u32),
}

/// `nchan_longpoll_multipart_response`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MultipartResponse {
    /// One message.
    #[default]
    Off,
    /// All messages, as `multipart/mixed`.
    On,
    /// All messages, with separators.
    Raw,
}

/// `nchan_permessage_deflate_compression_*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateSettings {
    /// 0 to 9
    pub level: u32,
    /// Size of the window in bits, 9 to 15.
    pub window: u8,
}

impl Default for DeflateSettings {
    fn default() -> Self {
        Self {
            level: 6,
            window: 10,
        }
    }
}

/// The content of EventSource pings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSourcePing {
    /// `nchan_eventsource_ping_comment`
    pub comment: Bytes,
    /// `nchan_eventsource_ping_event`
    pub event: Bytes,
    /// `nchan_eventsource_ping_data`
    pub data: Bytes,
}

/// `nchan_group_max_*`: evaluated for each request; an empty value leaves the limit unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLimitExpressions {
    /// `channels`
    pub channels: Option<Expression>,
    /// `subscribers`
    pub subscribers: Option<Expression>,
    /// `messages`
    pub messages: Option<Expression>,
    /// `messages_memory`
    pub messages_memory: Option<Expression>,
    /// `messages_disk`
    pub messages_disk: Option<Expression>,
}

/// Hooks: the internal URIs of the requests to a back-end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NchanHooks {
    /// `nchan_authorize_request`
    pub authorize: Option<Expression>,
    /// `nchan_publisher_upstream_request`
    pub publisher_upstream: Option<Expression>,
    /// `nchan_subscribe_request`
    pub subscribe: Option<Expression>,
    /// `nchan_unsubscribe_request`
    pub unsubscribe: Option<Expression>,
}

/// Settings of an nchan location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NchanSettings {
    /// Channels of publishers: `nchan_publisher_channel_id` or `nchan_channel_id`; empty =
    /// [`NchanSettings::legacy_id`].
    pub publisher_ids: Vec<Expression>,
    /// Channels of subscribers: `nchan_subscriber_channel_id` or `nchan_channel_id`; empty =
    /// [`NchanSettings::legacy_id`].
    pub subscriber_ids: Vec<Expression>,
    /// `$push_channel_id`, if the configuration sets it.
    pub legacy_id: Option<Expression>,
    /// `nchan_channel_id_split_delimiter`; empty = ids are not split.
    pub split_delimiter: Bytes,
    /// `nchan_channel_group`
    pub channel_group: Expression,
    /// `nchan_max_channel_id_length`
    pub max_channel_id_length: u64,
    /// `nchan_message_timeout`; `None` = messages do not expire.
    pub message_timeout: Setting<Option<Duration>>,
    /// `nchan_message_buffer_length`
    pub message_buffer_length: Setting<u64>,
    /// `nchan_store_messages`
    pub store_messages: bool,
    /// `nchan_subscriber_timeout`; `None` = none.
    pub subscriber_timeout: Option<Duration>,
    /// `nchan_subscriber_first_message`
    pub first_message: FirstMessage,
    /// `nchan_subscriber_last_message_id`
    pub last_message_id: Vec<Expression>,
    /// `nchan_subscriber_compound_etag_message_id`
    pub compound_etag: bool,
    /// `nchan_subscriber_message_id_custom_etag_header`
    pub etag_header: Bytes,
    /// `nchan_subscribe_existing_channels_only`
    pub existing_channels_only: bool,
    /// `nchan_max_channel_subscribers`; `None` = unlimited.
    pub max_channel_subscribers: Option<u64>,
    /// `nchan_eventsource_event`
    pub eventsource_event: Option<Bytes>,
    /// `nchan_eventsource_ping_interval`
    pub eventsource_ping_interval: Option<Duration>,
    /// The content of these pings.
    pub eventsource_ping: EventSourcePing,
    /// `nchan_longpoll_multipart_response`
    pub longpoll_multipart: MultipartResponse,
    /// `nchan_subscriber_http_raw_stream_separator`
    pub raw_separator: Bytes,
    /// `nchan_websocket_ping_interval`
    pub websocket_ping_interval: Option<Duration>,
    /// `nchan_websocket_client_heartbeat`: a text of the client and the response to it.
    pub websocket_heartbeat: Option<(Bytes, Bytes)>,
    /// `nchan_deflate_message_for_websocket`
    pub deflate_message: bool,
    /// Compression settings of such messages.
    pub deflate: DeflateSettings,
    /// `nchan_access_control_allow_origin`; `None` = every origin.
    pub allow_origin: Option<Expression>,
    /// `nchan_access_control_allow_credentials`
    pub allow_credentials: bool,
    /// `nchan_channel_group_accounting`
    pub group_accounting: bool,
    /// `nchan_group_max_*`
    pub group_limits: GroupLimitExpressions,
    /// `nchan_channel_events_channel_id`
    pub events_channel_id: Option<Expression>,
    /// `nchan_channel_event_string`
    pub event_string: Option<Expression>,
    /// `nchan_subscriber_info_string`
    pub info_string: Option<Expression>,
    /// An `nchan_subscriber_info` location may list the subscribers.
    pub shows_info: bool,
    /// Hooks.
    pub hooks: NchanHooks,
    /// `nchan_redis_pass`, which is not supported: every request gets 503.
    pub redis: bool,
}

/// nchan's defaults.
impl Default for NchanSettings {
    fn default() -> Self {
        Self {
            publisher_ids: Vec::new(),
            subscriber_ids: Vec::new(),
            legacy_id: None,
            split_delimiter: Bytes::new(),
            channel_group: Expression::default(),
            max_channel_id_length: 1024,
            message_timeout: Setting::Fixed(Some(Duration::from_secs(3600))),
            message_buffer_length: Setting::Fixed(10),
            store_messages: true,
            subscriber_timeout: None,
            first_message: FirstMessage::Oldest,
            last_message_id: Vec::new(),
            compound_etag: false,
            etag_header: Bytes::from_static(b"Etag"),
            existing_channels_only: false,
            max_channel_subscribers: None,
            eventsource_event: None,
            eventsource_ping_interval: None,
            eventsource_ping: EventSourcePing {
                comment: Bytes::new(),
                event: Bytes::from_static(b"ping"),
                data: Bytes::new(),
            },
            longpoll_multipart: MultipartResponse::Off,
            raw_separator: Bytes::from_static(b"\n"),
            websocket_ping_interval: None,
            websocket_heartbeat: None,
            deflate_message: false,
            deflate: DeflateSettings::default(),
            allow_origin: None,
            allow_credentials: true,
            group_accounting: false,
            group_limits: GroupLimitExpressions::default(),
            events_channel_id: None,
            event_string: None,
            info_string: None,
            shows_info: false,
            hooks: NchanHooks::default(),
            redis: false,
        }
    }
}
