//! The directives of nchan (nhpm-nchan.md, part 2; defaults and invalid values: nhpm-nchan.md,
//! section 2.13).

mod endpoints;
mod values;

use self::endpoints::{
    group_location, publisher, pubsub, stub_status, subscriber, subscriber_info,
};
use self::values::{
    between, buffer_length, deflate, expressions, first_message, header_name, heartbeat, ignored,
    line, memlevel, message_timeout, multipart, separator, storage_engine, store_messages,
    strategy,
};
use super::nhpm::reserved_memory;
use super::rule::{Effect, HTTP, IF, LOCATION, Rule, SERVER, rule_of};

const HSL: u8 = HTTP | SERVER | LOCATION;
const HSLI: u8 = HSL | IF;
const SLI: u8 = SERVER | LOCATION | IF;

/// Declares a directive that sets one field.
macro_rules! one {
    ($name:literal, $contexts:expr, $arguments:expr, |$value:ident| $field:ident = $read:expr) => {
        rule_of(
            $name,
            $contexts,
            $arguments,
            Effect::Once(|scope, $value| {
                scope.level.nchan.$field = $read;
                Ok(())
            }),
        )
    };
    // The form that rustfmt makes of a long assignment.
    (
        $name:literal,
        $contexts:expr,
        $arguments:expr,
        |$value:ident| { $field:ident = $read:expr }
    ) => {
        one!($name, $contexts, $arguments, |$value| $field = $read)
    };
}

pub(in crate::server) static DIRECTIVES: &[Rule] = &[
    rule_of("nchan_publisher", LOCATION, 0..=2, Effect::Once(publisher)),
    rule_of(
        "nchan_publisher_location",
        LOCATION,
        0..=2,
        Effect::Once(publisher),
    ),
    rule_of(
        "nchan_subscriber",
        LOCATION,
        0..=5,
        Effect::Once(subscriber),
    ),
    rule_of(
        "nchan_subscriber_location",
        LOCATION,
        0..=5,
        Effect::Once(subscriber),
    ),
    rule_of("nchan_pubsub", LOCATION, 0..=6, Effect::Once(pubsub)),
    rule_of(
        "nchan_pubsub_location",
        LOCATION,
        0..=6,
        Effect::Once(pubsub),
    ),
    rule_of(
        "nchan_group_location",
        LOCATION,
        0..=3,
        Effect::Once(group_location),
    ),
    rule_of(
        "nchan_stub_status",
        LOCATION,
        0..=0,
        Effect::Once(stub_status),
    ),
    rule_of(
        "nchan_subscriber_info",
        LOCATION,
        0..=0,
        Effect::Once(subscriber_info),
    ),
    one!("nchan_channel_id", SLI, 1..=7, |v| channel_id =
        Some(expressions(v)?)),
    one!("nchan_pubsub_channel_id", SLI, 1..=7, |v| channel_id =
        Some(expressions(v)?)),
    one!("nchan_pub_channel_id", SLI, 1..=7, |v| {
        publisher_channel_id = Some(expressions(v)?)
    }),
    one!("nchan_sub_channel_id", SLI, 1..=7, |v| {
        subscriber_channel_id = Some(expressions(v)?)
    }),
    one!("nchan_publisher_channel_id", SLI, 1..=7, |v| {
        publisher_channel_id = Some(expressions(v)?)
    }),
    one!("nchan_subscriber_channel_id", SLI, 1..=7, |v| {
        subscriber_channel_id = Some(expressions(v)?)
    }),
    one!("nchan_channel_id_split_delimiter", SLI, 1..=1, |v| {
        split_delimiter = Some(v.text())
    }),
    one!("nchan_channel_group", SLI, 1..=1, |v| channel_group =
        v.expression()?),
    one!("nchan_max_channel_id_length", HSLI, 1..=1, |v| {
        max_channel_id_length = v.number()?
    }),
    one!("nchan_message_timeout", HSLI, 1..=1, |v| message_timeout =
        message_timeout(v)?),
    one!("nchan_message_buffer_length", HSLI, 1..=1, |v| {
        message_buffer_length = buffer_length(v)?
    }),
    rule_of(
        "nchan_store_messages",
        HSLI,
        1..=1,
        Effect::Once(store_messages),
    ),
    rule_of("nchan_channel_timeout", HSLI, 1..=1, Effect::Many(ignored)),
    rule_of(
        "nchan_message_temp_path",
        HTTP,
        1..=4,
        Effect::Many(ignored),
    ),
    rule_of(
        "nchan_storage_engine",
        HSLI,
        1..=1,
        Effect::Many(storage_engine),
    ),
    one!("nchan_subscriber_timeout", HSLI, 1..=1, |v| {
        subscriber_timeout = Some(v.seconds()?)
    }),
    one!("nchan_subscriber_first_message", SLI, 1..=1, |v| {
        first_message = Some(first_message(v)?)
    }),
    one!("nchan_subscriber_last_message_id", SLI, 1..=5, |v| {
        last_message_id = Some(expressions(v)?)
    }),
    one!(
        "nchan_subscriber_compound_etag_message_id",
        SLI,
        1..=1,
        |v| compound_etag = v.flag()?
    ),
    one!(
        "nchan_subscriber_message_id_custom_etag_header",
        SLI,
        1..=1,
        |v| etag_header = Some(header_name(v)?)
    ),
    one!("nchan_subscribe_existing_channels_only", HSLI, 1..=1, |v| {
        existing_channels_only = v.flag()?
    }),
    one!("nchan_max_channel_subscribers", HSLI, 1..=1, |v| {
        max_channel_subscribers = v.number()?
    }),
    one!("nchan_eventsource_event", SLI, 1..=1, |v| {
        eventsource_event = Some(line(v)?)
    }),
    one!("nchan_eventsource_ping_interval", HSLI, 1..=1, |v| {
        eventsource_ping_interval = Some(v.seconds()?)
    }),
    one!("nchan_eventsource_ping_comment", HSLI, 1..=1, |v| {
        eventsource_ping_comment = Some(line(v)?)
    }),
    one!("nchan_eventsource_ping_event", HSLI, 1..=1, |v| {
        eventsource_ping_event = Some(line(v)?)
    }),
    one!("nchan_eventsource_ping_data", HSLI, 1..=1, |v| {
        eventsource_ping_data = Some(line(v)?)
    }),
    one!("nchan_longpoll_multipart_response", SLI, 1..=1, |v| {
        longpoll_multipart = Some(multipart(v)?)
    }),
    one!(
        "nchan_subscriber_http_raw_stream_separator",
        HSLI,
        1..=1,
        |v| raw_separator = Some(separator(v))
    ),
    one!("nchan_websocket_ping_interval", HSLI, 1..=1, |v| {
        websocket_ping_interval = Some(v.seconds()?)
    }),
    rule_of(
        "nchan_websocket_client_heartbeat",
        SLI,
        2..=2,
        Effect::Once(heartbeat),
    ),
    one!("nchan_deflate_message_for_websocket", SLI, 1..=1, |v| {
        deflate_message = Some(deflate(v)?)
    }),
    one!(
        "nchan_permessage_deflate_compression_level",
        HTTP,
        1..=1,
        |v| deflate_level = Some(between(v, 0, 9)?)
    ),
    one!(
        "nchan_permessage_deflate_compression_window",
        HTTP,
        1..=1,
        |v| deflate_window = Some(between(v, 9, 15)?)
    ),
    rule_of(
        "nchan_permessage_deflate_compression_memlevel",
        HTTP,
        1..=1,
        Effect::Once(memlevel),
    ),
    rule_of(
        "nchan_permessage_deflate_compression_strategy",
        HTTP,
        1..=1,
        Effect::Once(strategy),
    ),
    one!("nchan_access_control_allow_origin", HSLI, 1..=1, |v| {
        allow_origin = v.expression()?
    }),
    one!("nchan_access_control_allow_credentials", HSLI, 1..=1, |v| {
        allow_credentials = v.flag()?
    }),
    one!(
        "nchan_channel_group_accounting",
        SERVER | LOCATION,
        1..=1,
        |v| group_accounting = v.flag()?
    ),
    one!("nchan_group_max_channels", LOCATION, 1..=1, |v| {
        group_max_channels = v.expression()?
    }),
    one!("nchan_group_max_subscribers", LOCATION, 1..=1, |v| {
        group_max_subscribers = v.expression()?
    }),
    one!("nchan_group_max_messages", LOCATION, 1..=1, |v| {
        group_max_messages = v.expression()?
    }),
    one!("nchan_group_max_messages_memory", LOCATION, 1..=1, |v| {
        group_max_messages_memory = v.expression()?
    }),
    one!("nchan_group_max_messages_disk", LOCATION, 1..=1, |v| {
        group_max_messages_disk = v.expression()?
    }),
    one!("nchan_channel_events_channel_id", SLI, 1..=1, |v| {
        events_channel_id = v.expression()?
    }),
    one!("nchan_channel_event_string", SLI, 1..=1, |v| event_string =
        v.expression()?),
    one!("nchan_subscriber_info_string", SLI, 1..=1, |v| {
        info_string = v.expression()?
    }),
    one!("nchan_authorize_request", SLI, 1..=1, |v| {
        authorize_request = v.expression()?
    }),
    one!("nchan_publisher_upstream_request", SLI, 1..=1, |v| {
        publisher_upstream_request = v.expression()?
    }),
    one!("nchan_subscribe_request", SLI, 1..=1, |v| {
        subscribe_request = v.expression()?
    }),
    one!("nchan_unsubscribe_request", SLI, 1..=1, |v| {
        unsubscribe_request = v.expression()?
    }),
    rule_of(
        "nchan_shared_memory_size",
        HTTP,
        1..=1,
        Effect::Once(reserved_memory),
    ),
    rule_of(
        "nchan_max_reserved_memory",
        HTTP,
        1..=1,
        Effect::Once(reserved_memory),
    ),
];
