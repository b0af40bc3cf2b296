//! Publisher locations (push-stream.md, section 4).
//!
//! | method | normal | admin |
//! |---|---|---|
//! | GET | 200 channel info, 404 | the same |
//! | POST, PUT | 200 published; 400, 403, 413, 500 | the same |
//! | DELETE | 405 | 200 deleted, 404 |
//! | OPTIONS | 200 | 200 |
//! | any other | 405 | 405 |
//!
//! A POST or PUT of a batch has separate responses: see [`batch`].
//!
//! A request with a body is handled in two steps, because channels are created before the body is
//! read: [`respond`] makes a [`Plan`], which is executed when the body is complete.

pub mod batch;
mod plan;

use bytes::Bytes;
use smallvec::SmallVec;

use self::batch::{Batch, BatchLimits};
use super::channels_path;
use super::channels_path::ChannelRef;
use super::cors::cors_headers;
use super::explain::Rejection;
use super::info;
use super::permission;
use crate::protocol::{BATCH_TYPE, EVENT_ID, EVENT_TYPE};
use crate::server::access::grant::Action;
use crate::server::broker::{ChannelInfo, CreateError, PublishError};
use crate::server::config::{Endpoint, LocationSettings};
use crate::server::endpoint::notation::AcceptedNotation;
use crate::server::endpoint::{PublishCall, PublishReply};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{HeaderList, NO_CACHE, Response, Status};

pub use self::plan::Plan;
pub(in crate::server) use self::plan::PlanAction;
use self::plan::ReplyTraits;

/// Whether the body of a request is a batch of messages.
#[must_use]
pub fn is_batch(request: &Request<'_>, settings: &LocationSettings) -> bool {
    settings.batch
        && matches!(settings.endpoint, Endpoint::Publisher { .. })
        && matches!(request.method, "POST" | "PUT")
        && request.header("content-type").is_some_and(|value| {
            let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
            media_type
                .trim_ascii()
                .eq_ignore_ascii_case(BATCH_TYPE.as_bytes())
        })
}

/// Responds to the request, or plans what to do with its body.
#[must_use]
pub fn respond(call: &PublishCall<'_>) -> PublishReply<Plan> {
    let headers = headers(call);
    if let Some(response) = respond_to_method(call, &headers) {
        return PublishReply::Respond(response);
    }
    match plan(call, headers.clone()) {
        Ok(reply) => reply,
        Err(rejection) => PublishReply::Respond(rejection.response(&headers)),
    }
}

/// Responds to a request with a batch, or returns the batch, whose lines are to be read.
///
/// # Errors
/// The response to a request that names too many channels.
pub fn respond_to_batch(call: &PublishCall<'_>) -> Result<Box<Batch>, Box<Response>> {
    let headers = headers(call);
    match requested_channels(call) {
        Ok(ids) => Ok(Box::new(batch(call, ids, headers))),
        Err(rejection) => Err(Box::new(rejection.response(&headers))),
    }
}

/// Responds to requests that neither publish, delete nor ask for the state of a channel.
fn respond_to_method(call: &PublishCall<'_>, headers: &HeaderList) -> Option<Response> {
    match call.request.method {
        "OPTIONS" => Some(Response::header_only(Status::OK, headers)),
        "GET" | "POST" | "PUT" => None,
        "DELETE" if call.admin => None,
        _ => {
            let allowed = HeaderList::of("Allow", methods(call));
            let response = Response::header_only(Status::NOT_ALLOWED, headers);
            Some(response.with_headers(&allowed))
        }
    }
}

/// The channels that the request names.
fn requested_channels(call: &PublishCall<'_>) -> Result<SmallVec<[ChannelRef; 1]>, Rejection> {
    let path = call
        .settings
        .channels_path
        .as_ref()
        .and_then(|path| path.evaluate_name(call.variables))
        .unwrap_or_default();
    let ids = channels_path::parse(&path);
    if ids.len() > call.max_channels {
        return Err(Rejection::TooManyIds);
    }
    Ok(ids)
}

fn plan(call: &PublishCall<'_>, headers: HeaderList) -> Result<PublishReply<Plan>, Rejection> {
    let ids = requested_channels(call)?;
    if ids.is_empty() {
        return Err(Rejection::NoChannelId);
    }
    let action = call.action();
    let publishes = action == Action::Publish;
    let mut channels = SmallVec::new();
    for ChannelRef { id, .. } in &ids {
        permission::check(&call.grant, action, call.broker, id)?;
        if publishes {
            let channel = call.broker.find_or_create(id);
            channels.push(channel.map_err(|error| rejection_for(error.into()))?);
        }
    }
    let notation = info::accepted(call.request.header("accept"));
    if action == Action::ReadInfo {
        return Ok(PublishReply::Respond(respond_info(
            call, &ids, notation, &headers,
        )));
    }
    let header = |name| call.request.header(name).map(Bytes::copy_from_slice);
    let action = if publishes {
        PlanAction::Publish {
            channels,
            event_id: header(EVENT_ID),
            event_type: header(EVENT_TYPE),
            store: call.settings.store_messages,
        }
    } else {
        PlanAction::Delete { ids }
    };
    let reply = ReplyTraits {
        notation,
        shows_info: call.settings.channel_info_on_publish,
        headers,
    };
    let path = call.settings.channels_path.as_ref();
    let channel_argument = path.and_then(|path| path.as_argument()).cloned();
    let plan = Plan::new(call.grant, action, reply, channel_argument);
    Ok(PublishReply::Read(Box::new(plan)))
}

fn batch(call: &PublishCall<'_>, ids: SmallVec<[ChannelRef; 1]>, headers: HeaderList) -> Batch {
    let limits = BatchLimits {
        max_channels: call.max_channels,
        max_line_bytes: usize::try_from(call.max_body).unwrap_or(usize::MAX),
    };
    let store = call.settings.store_messages;
    Batch::new(call.grant, ids, store, headers, limits)
}

fn respond_info(
    call: &PublishCall<'_>,
    ids: &[ChannelRef],
    notation: AcceptedNotation,
    headers: &HeaderList,
) -> Response {
    let found: Vec<ChannelInfo> = ids
        .iter()
        .filter_map(|id| call.broker.find(&id.id))
        .map(|channel| channel.info())
        .collect();
    info::response(notation, &found, call.broker, false, headers)
}

/// The methods of the location, except OPTIONS.
fn methods(call: &PublishCall<'_>) -> &'static str {
    if call.admin {
        "GET, POST, PUT, DELETE"
    } else {
        "GET, POST, PUT"
    }
}

/// The headers of every response: those about caches, then CORS.
fn headers(call: &PublishCall<'_>) -> HeaderList {
    let cors = cors_headers(call.settings, call.variables, methods(call));
    HeaderList::concat(&[&NO_CACHE, &cors])
}

fn rejection_for(error: PublishError) -> Rejection {
    match error {
        PublishError::Rejected(CreateError::TooManyChannels) => Rejection::TooManyChannels,
        PublishError::Rejected(CreateError::OutOfMemory(_)) => Rejection::OutOfMemory,
        PublishError::TooManyPending => Rejection::TooManyPending,
        PublishError::Unacknowledged => Rejection::Unacknowledged,
    }
}
