//! The directives that make a location an endpoint of nchan.

use crate::server::config::model::nchan::{GroupMethods, Roles};
use crate::server::config::source::nginx::levels::Scope;
use crate::server::config::source::nginx::levels::endpoint_choice::EndpointChoice;
use crate::server::config::source::nginx::rule::Value;

/// Names of the publisher and subscriber types; they match by prefix and ignore case.
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

/// Parses the arguments of a directive, each of which names a type.
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
            // An exact match takes precedence over a prefix.
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

pub(super) fn publisher(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let roles = roles(value, &[PUBLISHERS], Roles::PUBLISH)?;
    set_roles(scope, value, roles)
}

pub(super) fn subscriber(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let roles = roles(value, &[SUBSCRIBERS], Roles::SUBSCRIBE)?;
    set_roles(scope, value, roles)
}

pub(super) fn pubsub(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let roles = roles(
        value,
        &[PUBLISHERS, SUBSCRIBERS],
        Roles::PUBLISH.and(Roles::SUBSCRIBE),
    )?;
    set_roles(scope, value, roles)
}

fn set_roles(scope: &mut Scope, value: &Value<'_>, roles: Roles) -> Result<(), String> {
    scope.endpoint = Some(match scope.endpoint {
        None => EndpointChoice::Nchan(roles),
        Some(EndpointChoice::Nchan(others)) => EndpointChoice::Nchan(others.and(roles)),
        Some(EndpointChoice::NchanGroup(_)) => return Err(group_conflict(value)),
        Some(_) => return Err(value.duplicate()),
    });
    Ok(())
}

fn group_conflict(value: &Value<'_>) -> String {
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

pub(super) fn group_location(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
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
        None => scope.endpoint = Some(EndpointChoice::NchanGroup(verbs)),
        Some(EndpointChoice::Nchan(roles)) => {
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

fn set_only_endpoint(
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

pub(super) fn stub_status(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    set_only_endpoint(scope, value, EndpointChoice::NchanStubStatus)
}

pub(super) fn subscriber_info(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    set_only_endpoint(scope, value, EndpointChoice::NchanSubscriberInfo)
}
