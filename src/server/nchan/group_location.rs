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
use super::publish::publish_failed;
use super::{cors, groups};
use crate::server::access::grant::{Action, ChannelFacts, may};
use crate::server::broker::{PublishError, Tickets};
use crate::server::config::NchanSettings;
use crate::server::config::model::nchan::GroupMethods;
use crate::server::endpoint::{PublishCall, PublishOutcome};
use crate::server::exchange::response::{HeaderList, Response, Status, header_list};
use crate::server::nchan;

/// Responds to a request.
pub(crate) fn respond(
    call: &PublishCall<'_>,
    settings: &NchanSettings,
    verbs: GroupMethods,
) -> PublishOutcome {
    let cors = cors::of_request(settings, call.variables);
    let is_foreign_page = call.grant.check_page().is_err();
    let outcome = if is_foreign_page {
        PublishOutcome::Ready(nchan::empty(Status::FORBIDDEN))
    } else {
        match try_respond(call, settings, verbs, &cors) {
            Ok(outcome) => outcome,
            Err(response) => PublishOutcome::Ready(*response),
        }
    };
    if call.request.method == "OPTIONS" && !is_foreign_page {
        outcome
    } else {
        outcome.map(move |response| response.with_headers(&cors.headers))
    }
}

fn try_respond(
    call: &PublishCall<'_>,
    settings: &NchanSettings,
    verbs: GroupMethods,
    cors: &cors::Cors,
) -> Result<PublishOutcome, Box<Response>> {
    let is_allowed = match call.request.method {
        "OPTIONS" => {
            let lines = cors::options(cors, "GET, POST, DELETE", "Accept, Content-Type");
            return Err(Box::new(nchan::empty(Status::OK).with_headers(&lines)));
        }
        "GET" => verbs.get,
        "POST" => verbs.set,
        "DELETE" => verbs.delete,
        _ => {
            let response = nchan::empty(Status::NOT_ALLOWED);
            let allowed = header_list!("Allow": "GET, POST, DELETE, OPTIONS");
            return Err(Box::new(response.with_headers(&allowed)));
        }
    };
    if !settings.group_accounting {
        let reason = "Channel group accounting is disabled.";
        return Err(Box::new(nchan::text(Status::FORBIDDEN, reason)));
    }
    let Some(group) = settings.channel_group.evaluate_name(call.variables) else {
        return Err(Box::new(nchan::empty(Status::INTERNAL)));
    };
    let is_permitted = is_allowed && may_enter(call, &group);
    if !is_permitted || group.as_ref() == b"m" || group.contains(&b'/') {
        return Err(Box::new(nchan::empty(Status::FORBIDDEN)));
    }
    if call.request.method == "POST" {
        groups::set_limits(call.broker, &group, &settings.group_limits, call.variables)?;
    }
    let usage = call.broker.groups().group_info(&group);
    let accepted = info::accepted(call.request.header("accept"));
    let respond = move || {
        let body = group_body(&usage, accepted.notation).into_bytes();
        accepted.response(Status::OK, HeaderList::default(), body)
    };
    if call.request.method == "DELETE" {
        return Ok(delete_channels(call, &group, respond));
    }
    Ok(PublishOutcome::Ready(respond()))
}

/// Deletes the channels of a group. The configured deletion message always fits into memory.
fn delete_channels(
    call: &PublishCall<'_>,
    group: &[u8],
    respond: impl FnOnce() -> Response + 'static,
) -> PublishOutcome {
    let respond = move |deleted: Result<(), PublishError>| match deleted {
        Err(error @ (PublishError::TooManyPending | PublishError::Unacknowledged)) => {
            publish_failed(error)
        }
        Ok(()) | Err(PublishError::Rejected(_)) => respond(),
    };
    let channels = call.broker.groups().group_channels(group);
    let deletions = channels.iter().map(|id| call.broker.delete(id, None));
    match Tickets::collect(deletions) {
        Tickets::Ready(deleted) => PublishOutcome::Ready(respond(deleted.map(drop))),
        Tickets::Pending(tickets) => {
            PublishOutcome::pending(async move { respond(tickets.settle().await.map(drop)) })
        }
    }
}

/// Whether the request may read, or else change, this group.
fn may_enter(call: &PublishCall<'_>, group: &[u8]) -> bool {
    let action = match call.request.method {
        "GET" => Action::ReadInfo,
        _ => Action::Delete,
    };
    let prefix = [group, b"/"].concat();
    let facts = ChannelFacts::of_name(call.broker, &prefix);
    may(&call.grant, action, &facts).is_ok()
}
