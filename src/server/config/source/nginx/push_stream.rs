//! The directives of nginx-push-stream-module (push-stream.md, section 15).

use std::path::Path;

use bytes::Bytes;

use super::files;
use super::levels::Scope;
use super::levels::endpoint_choice::EndpointChoice;
use super::rule::{Effect, HSL, HSLI, HTTP, LOCATION, Rule, Value, one, rule_of};
use crate::server::config::SubscriberMode;
use crate::server::config::model::units;

pub(in crate::server) static DIRECTIVES: &[Rule] = &[
    rule_of(
        "push_stream_channels_statistics",
        LOCATION,
        0..=0,
        Effect::Many(statistics),
    ),
    rule_of(
        "push_stream_publisher",
        LOCATION,
        0..=1,
        Effect::Many(publisher),
    ),
    rule_of(
        "push_stream_subscriber",
        LOCATION,
        0..=1,
        Effect::Many(subscriber),
    ),
    rule_of(
        "push_stream_shared_memory_size",
        HTTP,
        1..=2,
        Effect::Many(shared_memory_size),
    ),
    one!("push_stream_channel_deleted_message_text", HTTP, |s, v| {
        broker.channel_deleted_message_text = v.text()
    }),
    one!("push_stream_channel_inactivity_time", HTTP, |s, v| broker
        .channel_inactivity_time =
        v.seconds()?),
    one!("push_stream_ping_message_text", HTTP, |s, v| broker
        .ping_message_text =
        v.text()),
    one!("push_stream_timeout_with_body", HTTP, |s, v| broker
        .timeout_with_body =
        v.flag()?.unwrap_or_default()),
    one!("push_stream_message_ttl", HTTP, |s, v| broker.message_ttl =
        v.seconds()?),
    one!("push_stream_max_subscribers_per_channel", HTTP, |s, v| {
        broker.max_subscribers_per_channel = v.number()?
    }),
    one!(
        "push_stream_max_messages_stored_per_channel",
        HTTP,
        |s, v| broker.max_messages_stored_per_channel = v.number()?
    ),
    one!("push_stream_max_channel_id_length", HTTP, |s, v| broker
        .max_channel_id_length =
        v.number()?),
    one!("push_stream_max_number_of_channels", HTTP, |s, v| broker
        .max_number_of_channels =
        v.number()?),
    one!(
        "push_stream_max_number_of_wildcard_channels",
        HTTP,
        |s, v| broker.max_number_of_wildcard_channels = v.number()?
    ),
    one!("push_stream_wildcard_channel_prefix", HTTP, |s, v| broker
        .wildcard_channel_prefix =
        v.text()),
    one!("push_stream_events_channel_id", HTTP, |s, v| broker
        .events_channel_id =
        v.text()),
    one!("push_stream_channels_path", HSLI, |s, v| level
        .channels_path =
        v.expression()?),
    one!("push_stream_store_messages", HSLI, |s, v| level
        .store_messages =
        v.flag()?),
    one!("push_stream_channel_info_on_publish", HSL, |s, v| level
        .channel_info_on_publish =
        v.flag()?),
    one!("push_stream_authorized_channels_only", HSL, |s, v| level
        .authorized_channels_only =
        v.flag()?),
    rule_of(
        "push_stream_header_template",
        HSL,
        1..=1,
        Effect::Many(header_template),
    ),
    rule_of(
        "push_stream_header_template_file",
        HSL,
        1..=1,
        Effect::Many(header_template_file),
    ),
    one!("push_stream_message_template", HSL, |s, v| level
        .message_template =
        Some(v.text())),
    one!("push_stream_footer_template", HSL, |s, v| level
        .footer_template =
        Some(v.text())),
    one!("push_stream_wildcard_channel_max_qtd", HSL, |s, v| level
        .wildcard_channel_max_qtd =
        v.number()?),
    one!("push_stream_ping_message_interval", HSL, |s, v| level
        .ping_message_interval =
        Some(v.milliseconds()?)),
    one!("push_stream_subscriber_connection_ttl", HSL, |s, v| level
        .subscriber_connection_ttl =
        Some(v.milliseconds()?)),
    one!("push_stream_longpolling_connection_ttl", HSL, |s, v| {
        level.longpolling_connection_ttl = Some(v.milliseconds()?)
    }),
    one!("push_stream_websocket_allow_publish", HSL, |s, v| level
        .websocket_allow_publish =
        v.flag()?),
    one!("push_stream_last_received_message_time", HSLI, |s, v| {
        level.last_received_message_time = v.expression()?
    }),
    one!("push_stream_last_received_message_tag", HSLI, |s, v| {
        level.last_received_message_tag = v.expression()?
    }),
    one!("push_stream_last_event_id", HSLI, |s, v| level
        .last_event_id =
        v.expression()?),
    one!("push_stream_user_agent", HSL, |s, v| level.user_agent =
        v.expression()?),
    one!("push_stream_padding_by_user_agent", HSL, |s, v| level
        .padding_by_user_agent =
        Some(v.text())),
    one!("push_stream_allowed_origins", HSL, |s, v| level
        .allowed_origins =
        v.expression()?),
    one!(
        "push_stream_allow_connections_to_events_channel",
        HSLI,
        |s, v| level.allow_connections_to_events_channel = v.flag()?
    ),
];

/// Replaces an earlier endpoint without an error, as in the module.
fn statistics(scope: &mut Scope, _value: &Value<'_>) -> Result<(), String> {
    scope.endpoint = Some(EndpointChoice::Statistics);
    Ok(())
}

fn publisher(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let admin = match value.first().to_ascii_lowercase().as_slice() {
        b"normal" => false,
        b"" if value.arguments.is_empty() => false,
        b"admin" => true,
        _ => return Err(invalid_mode(value, "normal, admin")),
    };
    set_endpoint(scope, value, EndpointChoice::Publisher { admin })
}

fn subscriber(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let mode = match value.first().to_ascii_lowercase().as_slice() {
        b"streaming" => SubscriberMode::Streaming,
        b"" if value.arguments.is_empty() => SubscriberMode::Streaming,
        b"polling" => SubscriberMode::Polling,
        b"long-polling" => SubscriberMode::LongPolling,
        b"eventsource" => SubscriberMode::EventSource,
        b"websocket" => SubscriberMode::WebSocket,
        _ => {
            return Err(invalid_mode(
                value,
                "streaming, polling, long-polling, eventsource, websocket",
            ));
        }
    };
    set_endpoint(scope, value, EndpointChoice::Subscriber(mode))
}

fn invalid_mode(value: &Value<'_>, accepted: &str) -> String {
    format!(
        "push stream module: invalid {} mode value: {}, accepted values ({accepted})",
        value.name,
        value.shown()
    )
}

fn set_endpoint(
    scope: &mut Scope,
    value: &Value<'_>,
    endpoint: EndpointChoice,
) -> Result<(), String> {
    if scope.endpoint.is_some() {
        return Err(value.duplicate());
    }
    scope.endpoint = Some(endpoint);
    Ok(())
}

/// Rounds up to pages before the comparison with the minimum, as nginx does.
fn shared_memory_size(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    const PAGE: u64 = 4096;
    const LEAST: u64 = 32 * PAGE;
    let size = units::size(value.first(), false)
        .and_then(|size| size.checked_next_multiple_of(PAGE))
        .filter(|size| *size >= LEAST);
    let size = size.ok_or("The push_stream_shared_memory_size value must be at least 128KiB")?;
    let zone = value
        .arguments
        .get(1)
        .map_or(Bytes::from_static(b"push_stream_module"), |name| {
            Bytes::copy_from_slice(name)
        });
    if scope.zones.contains(&zone) {
        return Err(format!(
            "duplicate zone \"{}\"",
            String::from_utf8_lossy(&zone)
        ));
    }
    scope.zones.push(zone);
    scope.broker.shared_memory_size = size;
    scope.set_memory_of_module();
    Ok(())
}

fn header_template(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if scope.level.header_template.is_some() {
        return Err(value.duplicate());
    }
    scope.level.header_template = Some(value.text());
    Ok(())
}

fn header_template_file(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if scope.level.header_template.is_some() {
        return Err(format!(
            "{} or template set by 'push_stream_header_template'",
            value.duplicate()
        ));
    }
    let path = value.shown();
    let cannot_open =
        |_| format!("push stream module: unable to open file \"{path}\" for header template");
    if cfg!(fuzzing) {
        // A fuzzer must not read files.
        scope.level.header_template = Some(path.clone().into());
        return Ok(());
    }
    scope.level.header_template = Some(files::read(Path::new(&path)).map_err(cannot_open)?.into());
    Ok(())
}
