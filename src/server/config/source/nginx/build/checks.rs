//! The module's rules about a configuration as a whole (push-stream.md, section
//! 16). They apply only if a location has one of the three endpoint types.

use std::time::Duration;

use crate::server::config::model::web::Gate;
use crate::server::config::source::nginx::files::SourcePlace;
use crate::server::config::source::nginx::levels::endpoint_choice::EndpointChoice;
use crate::server::config::source::nginx::levels::{Level, Scope};
use crate::server::config::source::nginx::push_levels;
use crate::server::config::source::nginx::report::Report;
use crate::server::config::{
    BrokerSettings, Location, RewriteStep, SubscriberMode, VariableNames, VirtualServer,
};

/// Checks `http`, once, if there is an endpoint.
pub(in crate::server) fn http(scope: &Scope, place: SourcePlace, report: &mut Report) {
    let broker = &scope.broker;
    if scope.zones.is_empty() {
        report.mistake(
            place,
            "push stream module: push_stream_shared_memory_size must be set.",
        );
    }
    for (name, is_zero) in [
        ("push_stream_message_ttl", broker.message_ttl.is_zero()),
        (
            "push_stream_max_subscribers_per_channel",
            broker.max_subscribers_per_channel == Some(0),
        ),
        (
            "push_stream_max_messages_stored_per_channel",
            broker.max_messages_stored_per_channel == Some(0),
        ),
        (
            "push_stream_max_channel_id_length",
            broker.max_channel_id_length == Some(0),
        ),
        (
            "push_stream_max_number_of_channels",
            broker.max_number_of_channels == Some(0),
        ),
        (
            "push_stream_max_number_of_wildcard_channels",
            broker.max_number_of_wildcard_channels == Some(0),
        ),
    ] {
        if is_zero {
            report.mistake(place, cannot_be_zero(name));
        }
    }
}

/// Checks a location with an endpoint. Mistakes are reported at `end`, where the module
/// reports them, with the place of the location.
pub(in crate::server) fn location(
    endpoint: EndpointChoice,
    level: &Level,
    broker: &BrokerSettings,
    end: SourcePlace,
    location: SourcePlace,
    report: &mut Report,
) {
    let mut reject = |text: &str| report.mistake_of_location(end, location, text);
    if level.channels_path.is_none() {
        reject("push stream module: push_stream_channels_path must be set.");
    }
    for (name, is_zero) in [
        (
            "push_stream_ping_message_interval",
            is_zero(level.ping_message_interval),
        ),
        (
            "push_stream_subscriber_connection_ttl",
            is_zero(level.subscriber_connection_ttl),
        ),
        (
            "push_stream_longpolling_connection_ttl",
            is_zero(level.longpolling_connection_ttl),
        ),
        (
            "push_stream_wildcard_channel_max_qtd",
            level.wildcard_channel_max_qtd == Some(0),
        ),
    ] {
        if is_zero {
            reject(&cannot_be_zero(name));
        }
    }
    let is_blank = level
        .message_template
        .as_ref()
        .is_some_and(|template| template.is_empty());
    if is_blank && endpoint != EndpointChoice::Subscriber(SubscriberMode::EventSource) {
        reject("push stream module: push_stream_message_template cannot be blank.");
    }
    wildcards(level, broker, &mut reject);
}

/// Checks the number of wildcard channels of a location against the settings of `http`.
fn wildcards(level: &Level, broker: &BrokerSettings, reject: &mut dyn FnMut(&str)) {
    let most = broker.max_number_of_wildcard_channels;
    let wildcards = level.wildcard_channel_max_qtd.or(most);
    if wildcards.is_some_and(|number| number > 0) && broker.wildcard_channel_prefix.is_empty() {
        reject(
            "push stream module: cannot set wildcard channel max qtd if \
             push_stream_wildcard_channel_prefix is not set or blank.",
        );
    }
    if let (Some(wildcards), Some(most)) = (wildcards, most)
        && most > 0
        && wildcards > most
    {
        reject(
            "push stream module: max number of wildcard channels cannot be smaller than value in \
             push_stream_wildcard_channel_max_qtd.",
        );
    }
}

fn is_zero(time: Option<Duration>) -> bool {
    time.is_some_and(|time| time.is_zero())
}

/// Checks a location of NHPM or nchan.
pub(in crate::server) fn push_location(
    endpoint: EndpointChoice,
    level: &Level,
    names: &VariableNames,
    place: SourcePlace,
    report: &mut Report,
) {
    if matches!(
        endpoint,
        EndpointChoice::NhpmPublisher | EndpointChoice::NhpmSubscriber { .. }
    ) {
        if push_levels::legacy_id(names).is_none() {
            report.mistake(place, "unknown \"push_channel_id\" variable");
        }
        if !level.nhpm.has_room_for_minimum() {
            report.mistake(
                place,
                "push_max_message_buffer_length cannot be smaller than \
                 push_min_message_buffer_length.",
            );
        }
    }
    if level.nchan.redis == Some(true) && matches!(endpoint, EndpointChoice::Nchan(_)) {
        report.notice(
            place,
            "the Redis engine of nchan is not supported by pushctl: requests to this location are \
             answered with 503",
        );
    }
}

/// Checks the target of `auth_request` in a push location.
pub(in crate::server) fn auth_request(server: &VirtualServer, uri: &str) -> Result<(), String> {
    let answers = |location: &Location| {
        let is_answered = |step: &RewriteStep| {
            !matches!(
                step,
                RewriteStep::Set { .. } | RewriteStep::SetArguments(_) | RewriteStep::Break
            )
        };
        location.endpoint().back_end().is_some() || location.steps.iter().any(is_answered)
    };
    if !server.steps.is_empty() {
        // They may select another location. If they do not, the request is rejected at run time.
        return Ok(());
    }
    match server.locate(uri.as_bytes()) {
        Some((location, _)) if location.settings.web.answer_gate == Gate::Closed => Err(format!(
            "\"auth_request {uri}\" leads to location \"{}\", which has directives that pushctl \
             does not enforce: every request would be rejected",
            location.pattern
        )),
        Some((location, _)) if !location.endpoint().is_push() && answers(location) => Ok(()),
        Some((location, _)) => Err(format!(
            "\"auth_request {uri}\" leads to location \"{}\", which has neither \"proxy_pass\" nor \
             \"return\": every request would be rejected",
            location.pattern
        )),
        None => Err(format!(
            "\"auth_request {uri}\" leads to no location: every request would be rejected"
        )),
    }
}

fn cannot_be_zero(name: &str) -> String {
    format!("push stream module: {name} cannot be zero.")
}
