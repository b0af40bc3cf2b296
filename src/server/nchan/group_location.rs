//! `nchan_group_location` (nhpm-nchan.md, section 2.11).
//!
//! | method | response |
//! |---|---|
//! | GET | 200 usage and limits of the group |
//! | POST | 200 the same, after setting its limits; 403 an invalid value |
//! | DELETE | 200 the same as before the deletion of all its channels |
//! | OPTIONS | 200 |
//!
//! 403 if the location does not allow the method, or without group accounting.

use super::info::{self, group_body};
use super::{cors, groups};
use crate::server::config::NchanSettings;
use crate::server::config::model::nchan::GroupMethods;
use crate::server::endpoint::PublishCall;
use crate::server::exchange::response::{Response, Status};
use crate::server::nchan;

/// Responds to a request.
#[must_use]
pub(crate) fn respond(
    call: &PublishCall<'_>,
    settings: &NchanSettings,
    verbs: GroupMethods,
) -> Response {
    let cors = cors::of_request(settings, call.variables);
    let response = if cors.is_rejected {
        nchan::empty(Status::FORBIDDEN)
    } else {
        try_respond(call, settings, verbs, &cors)
    };
    if call.request.method == "OPTIONS" && !cors.is_rejected {
        response
    } else {
        response.with_headers(&cors.lines)
    }
}

fn try_respond(
    call: &PublishCall<'_>,
    settings: &NchanSettings,
    verbs: GroupMethods,
    cors: &cors::Cors,
) -> Response {
    let is_allowed = match call.request.method {
        "OPTIONS" => {
            return nchan::empty(Status::OK).with_headers(&cors::options(
                cors,
                "GET, POST, DELETE",
                "Accept, Content-Type",
            ));
        }
        "GET" => verbs.get,
        "POST" => verbs.set,
        "DELETE" => verbs.delete,
        _ => {
            return nchan::empty(Status::NOT_ALLOWED)
                .with_headers(b"Allow: GET, POST, DELETE, OPTIONS\r\n");
        }
    };
    if !settings.group_accounting {
        return nchan::text(Status::FORBIDDEN, "Channel group accounting is disabled.");
    }
    let Some(group) = settings.channel_group.evaluate_name(call.variables) else {
        return nchan::empty(Status::INTERNAL);
    };
    let is_forged_event_group =
        call.request.method != "GET" && nchan::is_forged_event_group(settings, &group);
    if !is_allowed || is_forged_event_group || group.as_ref() == b"m" || group.contains(&b'/') {
        return nchan::empty(Status::FORBIDDEN);
    }
    if call.request.method == "POST"
        && let Err(response) =
            groups::set_limits(call.broker, &group, &settings.group_limits, call.variables)
    {
        return *response;
    }
    let usage = call.broker.groups().group_info(&group);
    if call.request.method == "DELETE" {
        for channel in call.broker.groups().group_channels(&group) {
            // The configured deletion message always fits into memory.
            let _ = call.broker.delete(&channel, None);
        }
    }
    let accepted = info::accepted(call.request.header("accept"));
    let body = group_body(&usage, accepted.notation).into_bytes();
    accepted.response(Status::OK, &b""[..], body)
}
