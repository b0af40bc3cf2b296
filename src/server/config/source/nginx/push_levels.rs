//! The settings of one block for NHPM, nchan and back-ends, their inheritance, and the resulting
//! settings of a location (nhpm-nchan.md, sections 1.1 and 2.13).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::SupportedProtocolVersion;

use crate::server::config::model::nchan::{
    DeflateSettings, EventSourcePing, FirstMessage, GroupLimitExpressions, MultipartResponse,
    NchanHooks, NchanSettings, Setting,
};
use crate::server::config::model::nhpm::{Concurrency, NhpmSettings};
use crate::server::config::model::proxy::NextUpstream;
use crate::server::config::{Expression, VariableNames};

/// Declares a level with its inheritance, so that no directive can be forgotten in one of them.
macro_rules! level {
    ($(#[$doc:meta])* $level:ident { $($name:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub(in crate::server) struct $level {
            $(pub(in crate::server) $name: Option<$kind>,)*
        }

        impl $level {
            /// Inherits the settings that are not set here from the enclosing block.
            pub(in crate::server) fn inherit(self, outer: &Self) -> Self {
                Self { $($name: self.$name.or_else(|| outer.$name.clone()),)* }
            }
        }
    };
}

level! {
    /// Inheritable settings of NHPM; `None` if not set.
    NhpmLevel {
        channel_group: Bytes,
        store_messages: bool,
        max_message_buffer_length: u64,
        min_message_buffer_length: u64,
        delete_oldest_received_message: bool,
        min_message_recipients: u64,
        message_timeout: Duration,
        subscriber_timeout: Duration,
        channel_timeout: Duration,
        authorized_channels_only: bool,
        max_channel_id_length: u64,
        max_channel_subscribers: u64,
        ignore_queue_on_no_cache: bool,
        concurrency: Concurrency,
    }
}

level! {
    /// Inheritable settings of nchan; `None` if not set.
    NchanLevel {
        channel_id: Vec<Expression>,
        publisher_channel_id: Vec<Expression>,
        subscriber_channel_id: Vec<Expression>,
        split_delimiter: Bytes,
        channel_group: Expression,
        max_channel_id_length: u64,
        message_timeout: Setting<Option<Duration>>,
        message_buffer_length: Setting<u64>,
        store_messages: bool,
        subscriber_timeout: Duration,
        first_message: FirstMessage,
        last_message_id: Vec<Expression>,
        compound_etag: bool,
        etag_header: Bytes,
        existing_channels_only: bool,
        max_channel_subscribers: u64,
        eventsource_event: Bytes,
        eventsource_ping_interval: Duration,
        eventsource_ping_comment: Bytes,
        eventsource_ping_event: Bytes,
        eventsource_ping_data: Bytes,
        longpoll_multipart: MultipartResponse,
        raw_separator: Bytes,
        websocket_ping_interval: Duration,
        websocket_heartbeat: (Bytes, Bytes),
        deflate_message: bool,
        deflate_level: u64,
        deflate_window: u64,
        allow_origin: Expression,
        allow_credentials: bool,
        group_accounting: bool,
        group_max_channels: Expression,
        group_max_subscribers: Expression,
        group_max_messages: Expression,
        group_max_messages_memory: Expression,
        group_max_messages_disk: Expression,
        events_channel_id: Expression,
        event_string: Expression,
        info_string: Expression,
        authorize_request: Expression,
        publisher_upstream_request: Expression,
        subscribe_request: Expression,
        unsubscribe_request: Expression,
        redis: bool,
    }
}

level! {
    /// Inheritable settings of back-ends; `None` if not set.
    ProxyLevel {
        pass: Expression,
        headers: Vec<(Bytes, Expression)>,
        passes_body: bool,
        passes_headers: bool,
        method: Bytes,
        timeout: Duration,
        connect_timeout: Duration,
        next_upstream: NextUpstream,
        next_tries: u64,
        next_timeout: Duration,
        ignores_redirect: bool,
        hidden: Vec<String>,
        passed: Vec<String>,
        // The first unsupported setting, for plain HTTP as well.
        unsupported: String,
        ssl_verify: bool,
        ssl_verify_depth: u64,
        ssl_trusted: PathBuf,
        ssl_server_name: bool,
        ssl_name: Expression,
        ssl_certificate: PathBuf,
        ssl_certificate_key: PathBuf,
        ssl_protocols: Vec<&'static SupportedProtocolVersion>,
        ssl_unsupported: String,
    }
}

/// Zero means no limit.
fn limited(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| !time.is_zero())
}

/// `$push_channel_id`, if the file sets it.
pub(in crate::server) fn legacy_id(names: &VariableNames) -> Option<Expression> {
    Expression::parse_with(b"$push_channel_id", names).ok()
}

impl NhpmLevel {
    /// The settings of a location, with the defaults of the module.
    pub(in crate::server) fn settings(&self, channel_id: Expression) -> Arc<NhpmSettings> {
        let level = self.clone();
        let defaults = NhpmSettings::default();
        Arc::new(NhpmSettings {
            channel_id,
            channel_group: level.channel_group.unwrap_or(defaults.channel_group),
            store_messages: level.max_message_buffer_length.is_none_or(|most| most > 0),
            max_message_buffer_length: level
                .max_message_buffer_length
                .unwrap_or(defaults.max_message_buffer_length),
            min_message_buffer_length: level
                .min_message_buffer_length
                .unwrap_or(defaults.min_message_buffer_length),
            delete_oldest_received_message: level.delete_oldest_received_message.unwrap_or(false),
            min_message_recipients: level.min_message_recipients.unwrap_or(0),
            message_timeout: limited(level.message_timeout.or(defaults.message_timeout)),
            subscriber_timeout: limited(level.subscriber_timeout),
            channel_timeout: level.channel_timeout.unwrap_or(defaults.channel_timeout),
            authorized_channels_only: level.authorized_channels_only.unwrap_or(false),
            max_channel_id_length: level
                .max_channel_id_length
                .unwrap_or(defaults.max_channel_id_length),
            max_channel_subscribers: level.max_channel_subscribers.filter(|most| *most > 0),
            ignore_queue_on_no_cache: level.ignore_queue_on_no_cache.unwrap_or(false),
            concurrency: level.concurrency.unwrap_or_default(),
        })
    }

    /// Whether the maximum length is not below the minimum length, which the module requires.
    pub(in crate::server) fn has_room_for_minimum(&self) -> bool {
        let defaults = NhpmSettings::default();
        self.max_message_buffer_length
            .unwrap_or(defaults.max_message_buffer_length)
            >= self
                .min_message_buffer_length
                .unwrap_or(defaults.min_message_buffer_length)
    }
}

impl NchanLevel {
    /// The settings of a location, with the defaults of nchan.
    pub(in crate::server) fn settings(
        &self,
        names: &VariableNames,
        shows_info: bool,
    ) -> Arc<NchanSettings> {
        let level = self.clone();
        let defaults = NchanSettings::default();
        let common = level.channel_id.unwrap_or_default();
        let eventsource_ping = self.eventsource_ping();
        let deflate = self.deflate();
        let group_limits = self.group_limits();
        let hooks = self.hooks();
        Arc::new(NchanSettings {
            publisher_ids: level.publisher_channel_id.unwrap_or_else(|| common.clone()),
            subscriber_ids: level.subscriber_channel_id.unwrap_or(common),
            legacy_id: legacy_id(names),
            split_delimiter: level.split_delimiter.unwrap_or_default(),
            channel_group: level.channel_group.unwrap_or_default(),
            max_channel_id_length: level
                .max_channel_id_length
                .unwrap_or(defaults.max_channel_id_length),
            message_timeout: level.message_timeout.unwrap_or(defaults.message_timeout),
            message_buffer_length: level
                .message_buffer_length
                .unwrap_or(defaults.message_buffer_length),
            store_messages: level.store_messages.unwrap_or(true),
            subscriber_timeout: limited(level.subscriber_timeout),
            first_message: level.first_message.unwrap_or_default(),
            last_message_id: level
                .last_message_id
                .unwrap_or_else(default_last_message_id),
            compound_etag: level.compound_etag.unwrap_or(false),
            etag_header: level
                .etag_header
                .filter(|name| !name.is_empty())
                .unwrap_or(defaults.etag_header),
            existing_channels_only: level.existing_channels_only.unwrap_or(false),
            max_channel_subscribers: level.max_channel_subscribers.filter(|most| *most > 0),
            eventsource_event: level.eventsource_event.filter(|event| !event.is_empty()),
            eventsource_ping_interval: limited(level.eventsource_ping_interval),
            eventsource_ping,
            longpoll_multipart: level.longpoll_multipart.unwrap_or_default(),
            raw_separator: level.raw_separator.unwrap_or(defaults.raw_separator),
            websocket_ping_interval: limited(level.websocket_ping_interval),
            websocket_heartbeat: level.websocket_heartbeat,
            deflate_message: level.deflate_message.unwrap_or(false),
            deflate,
            allow_origin: level.allow_origin,
            allow_credentials: level.allow_credentials.unwrap_or(true),
            group_accounting: level.group_accounting.unwrap_or(false),
            group_limits,
            events_channel_id: level.events_channel_id,
            event_string: level.event_string,
            info_string: level.info_string,
            shows_info,
            hooks,
            redis: level.redis.unwrap_or(false),
        })
    }

    fn eventsource_ping(&self) -> EventSourcePing {
        let defaults = NchanSettings::default().eventsource_ping;
        EventSourcePing {
            comment: self
                .eventsource_ping_comment
                .clone()
                .unwrap_or(defaults.comment),
            event: self
                .eventsource_ping_event
                .clone()
                .unwrap_or(defaults.event),
            data: self.eventsource_ping_data.clone().unwrap_or(defaults.data),
        }
    }

    fn deflate(&self) -> DeflateSettings {
        let defaults = NchanSettings::default().deflate;
        DeflateSettings {
            level: self
                .deflate_level
                .and_then(|level| u32::try_from(level).ok())
                .unwrap_or(defaults.level),
            window: self
                .deflate_window
                .and_then(|bits| u8::try_from(bits).ok())
                .unwrap_or(defaults.window),
        }
    }

    fn group_limits(&self) -> GroupLimitExpressions {
        GroupLimitExpressions {
            channels: self.group_max_channels.clone(),
            subscribers: self.group_max_subscribers.clone(),
            messages: self.group_max_messages.clone(),
            messages_memory: self.group_max_messages_memory.clone(),
            messages_disk: self.group_max_messages_disk.clone(),
        }
    }

    fn hooks(&self) -> NchanHooks {
        NchanHooks {
            authorize: self.authorize_request.clone(),
            publisher_upstream: self.publisher_upstream_request.clone(),
            subscribe: self.subscribe_request.clone(),
            unsubscribe: self.unsubscribe_request.clone(),
        }
    }
}

/// The headers and arguments from which nchan takes the position of a subscriber by default.
fn default_last_message_id() -> Vec<Expression> {
    [b"$http_last_event_id".as_slice(), b"$arg_last_event_id"]
        .iter()
        .filter_map(|text| Expression::parse(text).ok())
        .collect()
}
