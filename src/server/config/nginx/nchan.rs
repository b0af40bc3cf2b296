//! The directives of nchan (nhpm-nchan.md, part 2; defaults and bad values: nhpm-nchan.md, section
//! 2.13).

use std::time::Duration;

use bytes::Bytes;

use super::super::nchan::{FirstMessage, GroupMethods, MultipartResponse, Roles, Setting};
use super::super::{Endpoint, Expression};
use super::directives::{Effect, HTTP, IF, LOCATION, Rule, SERVER, Value, rule_of};
use super::levels::Scope;
use super::nchan_unsupported::redis;
use super::nhpm::reserved_memory;
use super::units;

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
    ($name:literal, $contexts:expr, $arguments:expr, |$value:ident| { $field:ident = $read:expr }) => {
        one!($name, $contexts, $arguments, |$value| $field = $read)
    };
}

pub(super) static DIRECTIVES: &[Rule] = &[
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

/// The names of the ways to use a location; they match by prefix, in any case.
const PUBLISHERS: &[(&[&str], Roles)] = &[
    (&["http"], Roles::PUBLISH_HTTP),
    (&["websocket", "websockets", "ws"], Roles::PUBLISH_WEBSOCKET),
];
const SUBSCRIBERS: &[(&[&str], Roles)] = &[
    (&["websocket", "websockets", "ws"], Roles::WEBSOCKET),
    (
        &["eventsource", "event-source", "es", "sse"],
        Roles::EVENTSOURCE,
    ),
    (&["longpoll", "long-poll"], Roles::LONGPOLL),
    (
        &["intervalpoll", "interval-poll", "poll", "http"],
        Roles::INTERVALPOLL,
    ),
    (&["chunked", "http-chunked"], Roles::CHUNKED),
    (
        &[
            "multipart",
            "multipart-mixed",
            "multipart/mixed",
            "http-multipart",
        ],
        Roles::MULTIPART,
    ),
    (&["http-raw-stream"], Roles::RAW_STREAM),
];
const NOTHING: [&str; 3] = ["none", "off", "disabled"];

/// Reads the words of a directive, of which each names a way.
fn roles(
    value: &Value<'_>,
    tables: &[&[(&[&str], Roles)]],
    default: Roles,
) -> Result<Roles, String> {
    let mut roles = Roles::default();
    for word in value.arguments {
        let word = String::from_utf8_lossy(word).to_ascii_lowercase();
        let unknown = || format!("invalid {} value: {word}", value.name);
        if word.is_empty() {
            return Err(unknown());
        }
        let mut is_known = NOTHING.contains(&word.as_str());
        for table in tables {
            // An exact name comes before one that only begins so.
            let entries = || {
                table
                    .iter()
                    .flat_map(|(names, role)| names.iter().map(move |name| (*name, *role)))
            };
            let found = entries()
                .find(|(name, _)| *name == word)
                .or_else(|| entries().find(|(name, _)| name.starts_with(&word)));
            if let Some((_, role)) = found {
                roles = roles.and(role);
                is_known = true;
            }
        }
        if !is_known {
            return Err(unknown());
        }
    }
    Ok(if value.arguments.is_empty() {
        default
    } else {
        roles
    })
}

fn publisher(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let roles = roles(value, &[PUBLISHERS], Roles::PUBLISH)?;
    set_roles(scope, value, roles)
}

fn subscriber(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let roles = roles(value, &[SUBSCRIBERS], Roles::SUBSCRIBE)?;
    set_roles(scope, value, roles)
}

fn pubsub(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let roles = roles(
        value,
        &[PUBLISHERS, SUBSCRIBERS],
        Roles::PUBLISH.and(Roles::SUBSCRIBE),
    )?;
    set_roles(scope, value, roles)
}

fn set_roles(scope: &mut Scope, value: &Value<'_>, roles: Roles) -> Result<(), String> {
    scope.endpoint = Some(match scope.endpoint {
        None => Endpoint::Nchan(roles),
        Some(Endpoint::Nchan(others)) => Endpoint::Nchan(others.and(roles)),
        Some(Endpoint::NchanGroup(_)) => return Err(beside_group(value)),
        Some(_) => return Err(value.duplicate()),
    });
    Ok(())
}

fn beside_group(value: &Value<'_>) -> String {
    let kind = if value.name.starts_with("nchan_subscriber") {
        "subscriber"
    } else {
        "publisher"
    };
    format!(
        "Can't have a {kind} location and also be a group access location (nchan_group + \
         nchan_{kind})"
    )
}

fn group_location(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let is_all = value.arguments.is_empty();
    let mut verbs = GroupMethods {
        get: is_all,
        set: is_all,
        delete: is_all,
    };
    for word in value.arguments {
        match word.to_ascii_lowercase().as_slice() {
            b"get" => verbs.get = true,
            b"set" => verbs.set = true,
            b"delete" => verbs.delete = true,
            b"off" => {
                verbs = GroupMethods {
                    get: false,
                    set: false,
                    delete: false,
                }
            }
            _ => {
                return Err(format!(
                    "invalid {} value: {}",
                    value.name,
                    String::from_utf8_lossy(word)
                ));
            }
        }
    }
    match scope.endpoint {
        None => scope.endpoint = Some(Endpoint::NchanGroup(verbs)),
        Some(Endpoint::Nchan(roles)) => {
            let kind = if roles.has(Roles::PUBLISH) {
                "publisher"
            } else {
                "subscriber"
            };
            return Err(format!(
                "Can't have a {kind} location and also be a group access location (nchan_group + \
                 nchan_{kind})"
            ));
        }
        Some(_) => return Err(value.duplicate()),
    }
    Ok(())
}

fn only(scope: &mut Scope, value: &Value<'_>, endpoint: Endpoint) -> Result<(), String> {
    if scope.endpoint.is_some() {
        return Err(value.duplicate());
    }
    scope.endpoint = Some(endpoint);
    Ok(())
}

fn stub_status(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    only(scope, value, Endpoint::NchanStubStatus)
}

fn subscriber_info(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    only(scope, value, Endpoint::NchanSubscriberInfo)
}

fn expressions(value: &Value<'_>) -> Result<Vec<Expression>, String> {
    let parse = |text: &Vec<u8>| {
        Expression::parse_with(text, value.names).map_err(|error| error.to_string())
    };
    value.arguments.iter().map(parse).collect()
}

/// A wrong time is the default, as in nchan.
fn message_timeout(value: &Value<'_>) -> Result<Option<Setting<Option<Duration>>>, String> {
    if value.first().contains(&b'$') {
        return Ok(value.expression()?.map(Setting::Variable));
    }
    Ok(units::time(value.first(), false)
        .map(|time| Setting::Fixed(Some(time).filter(|time| !time.is_zero()))))
}

/// A wrong number is the default, as in nchan.
fn buffer_length(value: &Value<'_>) -> Result<Option<Setting<u64>>, String> {
    if value.first().contains(&b'$') {
        return Ok(value.expression()?.map(Setting::Variable));
    }
    Ok(units::number(value.first()).map(Setting::Fixed))
}

fn store_messages(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    match value.first() {
        b"off" => scope.level.nchan.store_messages = Some(false),
        b"on" => scope.level.nchan.store_messages = Some(true),
        _ => scope.notices.push(format!(
            "\"{} {}\" has no effect: it must be \"on\" or \"off\"",
            value.name,
            value.shown()
        )),
    }
    Ok(())
}

/// What has no effect in nchan itself, or none that a client could see here.
fn ignored(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope
        .notices
        .push(format!("\"{}\" has no effect", value.name));
    Ok(())
}

fn storage_engine(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    match value.first() {
        b"memory" => Ok(()),
        b"redis" => redis(scope, value),
        _ => Err(format!(
            "invalid nchan_storage_engine value: {}",
            value.shown()
        )),
    }
}

fn first_message(value: &Value<'_>) -> Result<FirstMessage, String> {
    const MOST: u32 = 32;
    let number = |text: &[u8]| {
        units::number(text)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number <= MOST)
    };
    let found = match value.first().to_ascii_lowercase().as_slice() {
        b"oldest" => Some(FirstMessage::Oldest),
        b"newest" | b"0" => Some(FirstMessage::Newest),
        [b'-', digits @ ..] => number(digits).map(FirstMessage::FromNewest),
        digits => number(digits).map(FirstMessage::FromOldest),
    };
    found.ok_or_else(|| {
        format!(
            "invalid {} value: {}, must be 'oldest', 'newest', or a number between -{MOST} and \
                 {MOST}",
            value.name,
            value.shown()
        )
    })
}

fn header_name(value: &Value<'_>) -> Result<Bytes, String> {
    let is_name = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
    if value.first().iter().all(is_name) {
        Ok(value.text())
    } else {
        Err(format!("invalid header name \"{}\"", value.shown()))
    }
}

fn line(value: &Value<'_>) -> Result<Bytes, String> {
    if value
        .first()
        .iter()
        .any(|byte| matches!(byte, b'\n' | b'\r'))
    {
        return Err(format!(
            "\"{}\" can't contain any newline characters",
            value.name
        ));
    }
    Ok(value.text())
}

fn multipart(value: &Value<'_>) -> Result<MultipartResponse, String> {
    match value.first() {
        b"on" => Ok(MultipartResponse::On),
        b"off" => Ok(MultipartResponse::Off),
        b"raw" => Ok(MultipartResponse::Raw),
        _ => Err(format!(
            "invalid value for {}: {};'. Must be 'on', 'off', or 'raw'",
            value.name,
            value.shown()
        )),
    }
}

/// One that says something ends in a line break.
fn separator(value: &Value<'_>) -> Bytes {
    match value.first() {
        [] | [.., b'\n'] => value.text(),
        text => [text, b"\n"].concat().into(),
    }
}

fn heartbeat(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let text = |number: usize| Bytes::copy_from_slice(&value.arguments[number]);
    scope.level.nchan.websocket_heartbeat = Some((text(0), text(1)));
    Ok(())
}

fn deflate(value: &Value<'_>) -> Result<bool, String> {
    value.flag().ok().flatten().ok_or_else(|| {
        format!(
            "\"{}\" directive invalid value: must be 'on' or 'off'",
            value.name
        )
    })
}

fn between(value: &Value<'_>, least: u64, most: u64) -> Result<u64, String> {
    let number = units::number(value.first()).filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("\"{}\" must be between {least} and {most}", value.name))
}

/// Checked; how much memory the compressor takes is its own business here.
fn memlevel(_scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    between(value, 1, 9).map(drop)
}

/// nchan itself refuses every value.
fn strategy(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    match value.first() {
        b"default" => Ok(()),
        b"filtered" | b"huffman-only" | b"rle" | b"fixed" => ignored(scope, value),
        _ => Err(format!(
            "invalid compression strategy \"{}\"",
            value.shown()
        )),
    }
}
