//! The directives of nginx_http_push_module (nhpm-nchan.md, section 1.1).

use super::levels::Scope;
use super::levels::endpoint_choice::EndpointChoice;
use super::rule::{Effect, HTTP, LOCATION, Rule, SERVER, Value, rule_of};
use crate::server::config::model::nhpm::Concurrency;
use crate::server::config::model::units;

const HSL: u8 = HTTP | SERVER | LOCATION;
const SL: u8 = SERVER | LOCATION;

pub(in crate::server) static DIRECTIVES: &[Rule] = &[
    rule_of("push_publisher", SL, 0..=0, Effect::Many(publisher)),
    rule_of("push_subscriber", SL, 0..=1, Effect::Once(subscriber)),
    rule_of(
        "push_subscriber_concurrency",
        HSL,
        1..=1,
        Effect::Once(concurrency),
    ),
    rule_of(
        "push_store_messages",
        HSL,
        1..=1,
        Effect::Many(store_messages),
    ),
    rule_of(
        "push_max_message_buffer_length",
        HSL,
        1..=1,
        Effect::Many(buffer_length),
    ),
    rule_of(
        "push_min_message_buffer_length",
        HSL,
        1..=1,
        Effect::Many(buffer_length),
    ),
    rule_of(
        "push_message_buffer_length",
        HSL,
        1..=1,
        Effect::Many(buffer_length),
    ),
    rule_of(
        "push_delete_oldest_received_message",
        HSL,
        1..=1,
        Effect::Once(flag),
    ),
    rule_of(
        "push_authorized_channels_only",
        HSL,
        1..=1,
        Effect::Once(flag),
    ),
    rule_of(
        "push_ignore_queue_on_no_cache",
        HSL,
        1..=1,
        Effect::Once(flag),
    ),
    rule_of("push_message_timeout", HSL, 1..=1, Effect::Once(time)),
    rule_of("push_subscriber_timeout", HSL, 1..=1, Effect::Once(time)),
    rule_of("push_channel_timeout", HSL, 1..=1, Effect::Once(time)),
    rule_of("push_channel_group", SL, 1..=1, Effect::Once(channel_group)),
    rule_of(
        "push_max_channel_id_length",
        HSL,
        1..=1,
        Effect::Once(number),
    ),
    rule_of(
        "push_max_channel_subscribers",
        HSL,
        1..=1,
        Effect::Once(number),
    ),
    rule_of(
        "push_min_message_recipients",
        HSL,
        1..=1,
        Effect::Once(number),
    ),
    rule_of(
        "push_max_reserved_memory",
        HTTP,
        1..=1,
        Effect::Once(reserved_memory),
    ),
];

fn publisher(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    set_endpoint(scope, value, EndpointChoice::NhpmPublisher)
}

/// Values match by prefix and ignore case.
fn subscriber(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let word = value.first().to_ascii_lowercase();
    let is = |name: &[u8]| name.starts_with(&word);
    let interval_poll = match value.arguments {
        [] => false,
        _ if !word.is_empty() && is(b"long-poll") => false,
        _ if !word.is_empty() && is(b"interval-poll") => true,
        _ => return Err(format!("invalid push_subscriber value: {}", value.shown())),
    };
    set_endpoint(
        scope,
        value,
        EndpointChoice::NhpmSubscriber { interval_poll },
    )
}

/// Of a publisher and a subscriber in one location the last one wins, as in the module.
fn set_endpoint(
    scope: &mut Scope,
    value: &Value<'_>,
    endpoint: EndpointChoice,
) -> Result<(), String> {
    match scope.endpoint {
        None | Some(EndpointChoice::NhpmPublisher | EndpointChoice::NhpmSubscriber { .. }) => {
            scope.endpoint = Some(endpoint);
            Ok(())
        }
        Some(_) => Err(value.duplicate()),
    }
}

fn concurrency(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let word = value.first().to_ascii_lowercase();
    let names: [(&[u8], Concurrency); 3] = [
        (b"first", Concurrency::First),
        (b"last", Concurrency::Last),
        (b"broadcast", Concurrency::Broadcast),
    ];
    let known = names
        .iter()
        .find(|(name, _)| !word.is_empty() && name.starts_with(&word));
    let known = known.ok_or_else(|| {
        format!(
            "invalid push_subscriber_concurrency value: {}",
            value.shown()
        )
    })?;
    scope.level.nhpm.concurrency = Some(known.1);
    Ok(())
}

/// `off` sets a buffer of zero messages; other words than `on` and `off` have no effect, as in the
/// module.
fn store_messages(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let level = &mut scope.level.nhpm;
    if level.store_messages.is_some() {
        return Err(value.duplicate());
    }
    match value.first() {
        b"off" => {
            level.store_messages = Some(false);
            let lengths = [
                level.max_message_buffer_length.replace(0),
                level.min_message_buffer_length.replace(0),
            ];
            if lengths.iter().any(Option::is_some) {
                scope.notices.push(WITHOUT_LENGTH.to_owned());
            }
        }
        b"on" => level.store_messages = Some(true),
        _ => scope.notices.push(format!(
            "\"{} {}\" has no effect: it must be \"on\" or \"off\"",
            value.name,
            value.shown()
        )),
    }
    Ok(())
}

/// NHPM 0.73 rejects both in one block, 0.692 accepts them.
const WITHOUT_LENGTH: &str =
    "with \"push_store_messages off\" the length of the buffer has no effect";

fn buffer_length(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let level = &mut scope.level.nhpm;
    let number = value.number()?;
    if level.store_messages == Some(false) {
        scope.notices.push(WITHOUT_LENGTH.to_owned());
        return Ok(());
    }
    let min = &mut level.min_message_buffer_length;
    let max = &mut level.max_message_buffer_length;
    let places = match value.name {
        "push_max_message_buffer_length" => vec![max],
        "push_min_message_buffer_length" => vec![min],
        _ => vec![min, max],
    };
    if places.iter().any(|place| place.is_some()) {
        return Err(value.duplicate());
    }
    places.into_iter().for_each(|place| *place = number);
    Ok(())
}

fn flag(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let level = &mut scope.level.nhpm;
    let place = match value.name {
        "push_delete_oldest_received_message" => &mut level.delete_oldest_received_message,
        "push_authorized_channels_only" => &mut level.authorized_channels_only,
        _ => &mut level.ignore_queue_on_no_cache,
    };
    *place = value.flag()?;
    Ok(())
}

fn time(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let level = &mut scope.level.nhpm;
    let place = match value.name {
        "push_message_timeout" => &mut level.message_timeout,
        "push_subscriber_timeout" => &mut level.subscriber_timeout,
        _ => &mut level.channel_timeout,
    };
    *place = Some(value.seconds()?);
    Ok(())
}

fn channel_group(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.nhpm.channel_group = Some(value.text());
    Ok(())
}

fn number(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let level = &mut scope.level.nhpm;
    let place = match value.name {
        "push_max_channel_id_length" => &mut level.max_channel_id_length,
        "push_max_channel_subscribers" => &mut level.max_channel_subscribers,
        _ => &mut level.min_message_recipients,
    };
    *place = value.number()?;
    Ok(())
}

/// Sets the memory limit, as `push_stream_shared_memory_size`; less than 32 KiB is raised to that,
/// as in the module.
pub(in crate::server) fn reserved_memory(
    scope: &mut Scope,
    value: &Value<'_>,
) -> Result<(), String> {
    const LEAST: u64 = 32 * 1024;
    let size = units::size(value.first(), false).ok_or_else(|| value.invalid("value"))?;
    if size < LEAST {
        scope
            .notices
            .push(format!("\"{}\" is raised to 32k", value.name));
    }
    // A file may configure several modules: the largest value wins.
    let size = size.max(LEAST);
    scope.broker.shared_memory_size = if scope.has_memory_size {
        scope.broker.shared_memory_size.max(size)
    } else {
        size
    };
    scope.set_memory_of_module();
    Ok(())
}
