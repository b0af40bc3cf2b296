//! Subscriber locations (push-stream.md, sections 7 to 12).
//!
//! | method | response |
//! |---|---|
//! | GET | 200 a stream or messages; 304 no messages; 101 a websocket; 400, 403, 500 explained |
//! | OPTIONS | 200 (405 on websocket locations) |
//! | any other | 405 |
//!
//! An explain header gives the reason of a 400, 403 or 500.
//!
//! One file per mode. This one has what they share: limits on channels and the selection of
//! channels.
//! `resume` determines the position from which a subscriber resumes.

mod callback;
mod long_polling;
mod poll_replay;
mod polling;
mod resume;
mod streaming;
pub mod websocket;

use bytes::Bytes;

use self::callback::is_member_path;

pub use self::poll_replay::PollReplay;

use self::websocket::WebSocketPublisher;
use super::channels_path;
use super::channels_path::ChannelRef;
use super::cors::cors_headers;
use super::explain::Rejection;
use super::permission;
use crate::protocol::MODE;
use crate::server::access::grant::{Action, Grant};
use crate::server::broker::{AttachError, Broker, Channel, CreateError};
use crate::server::config::SubscriberMode;
use crate::server::config::expression::percent::percent_decode;
use crate::server::endpoint::{RejectedWebSocket, SubscribeCall, SubscribeReply};
use crate::server::exchange::response::{HeaderList, NO_CACHE, Response, Status, header_list};
use crate::server::fanout::{ChannelRequest, Channels};

/// Outcome of a subscriber's request: a websocket may publish.
pub(in crate::server) type PushStreamReply = SubscribeReply<Option<WebSocketPublisher>>;

/// The reply to a subscriber whose follower could not be attached.
pub(in crate::server) enum SubscribeRejection {
    /// A response; the connection then reads the next request.
    Respond(Response),
    /// A websocket that is closed at once.
    WebSocket(RejectedWebSocket),
}

/// Responds to the request, or makes its connection a follower.
#[must_use]
pub(in crate::server) fn respond(call: &SubscribeCall<'_>) -> PushStreamReply {
    let mode = requested_mode(call);
    if mode == SubscriberMode::WebSocket {
        return websocket::respond(call);
    }
    if call.settings.is_builtin && callback(call).is_some_and(|callback| !is_member_path(&callback))
    {
        return SubscribeReply::Respond(Rejection::InvalidCallback.response(&headers(call)));
    }
    if let Some(response) = respond_to_method(call) {
        return SubscribeReply::Respond(response);
    }
    let mut channels = match channels(call) {
        Ok(channels) => channels,
        Err(rejection) => {
            return SubscribeReply::Respond(rejection.response(&headers(call)));
        }
    };
    let cursor = resume::cursor(call, &mut channels);
    match mode {
        SubscriberMode::Polling => {
            SubscribeReply::Respond(polling::respond(call, &channels, &cursor))
        }
        SubscriberMode::LongPolling => long_polling::respond(call, channels, cursor),
        _ => streaming::respond(call, channels, cursor),
    }
}

/// The reply if the follower could not be attached.
#[must_use]
pub(in crate::server) fn reject(
    call: &SubscribeCall<'_>,
    error: &AttachError,
) -> SubscribeRejection {
    if requested_mode(call) == SubscriberMode::WebSocket {
        return SubscribeRejection::WebSocket(websocket::reject(call, error));
    }
    SubscribeRejection::Respond(rejection_for(error).response(&headers(call)))
}

/// The mode of the location, unless the mode header overrides it (push-stream.md, section
/// 10.1).
fn requested_mode(call: &SubscribeCall<'_>) -> SubscriberMode {
    if !matches!(
        call.mode,
        SubscriberMode::Streaming | SubscriberMode::EventSource | SubscriberMode::Polling
    ) {
        return call.mode;
    }
    match call.request.header(MODE) {
        Some(mode) if mode.eq_ignore_ascii_case(b"long-polling") => SubscriberMode::LongPolling,
        Some(mode) if mode.eq_ignore_ascii_case(b"polling") => SubscriberMode::Polling,
        _ => call.mode,
    }
}

fn respond_to_method(call: &SubscribeCall<'_>) -> Option<Response> {
    match call.request.method {
        "GET" => None,
        "OPTIONS" => Some(Response::header_only(Status::OK, cors(call))),
        _ => Some(
            Response::header_only(Status::NOT_ALLOWED, headers(call))
                .with_headers(&header_list!("Allow": "GET")),
        ),
    }
}

/// The headers of every response: CORS, then those about caches.
fn headers(call: &SubscribeCall<'_>) -> HeaderList {
    HeaderList::concat(&[&cors(call), &NO_CACHE])
}

/// CORS headers of the response; empty without `allowed_origins`.
fn cors(call: &SubscribeCall<'_>) -> HeaderList {
    cors_headers(call.settings, call.variables, "GET")
}

/// The channels of the request, if all rules allow subscribing to them. Creates missing ones.
fn channels(call: &SubscribeCall<'_>) -> Result<Channels, Rejection> {
    let path = call
        .settings
        .channels_path
        .as_ref()
        .and_then(|path| path.evaluate_name(call.variables))
        .unwrap_or_default();
    let requested = channels_path::parse(&path);
    if requested.is_empty() {
        return Err(Rejection::NoChannelId);
    }
    if requested.len() > call.max_channels {
        return Err(Rejection::TooManyIds);
    }
    for ChannelRef { id, .. } in &requested {
        check_subscribe_channel(
            &call.grant,
            call.broker,
            id,
            call.broker.find(id).as_deref(),
        )?;
    }
    let wildcards = requested
        .iter()
        .filter(|channel| call.broker.is_wildcard(&channel.id))
        .count();
    if call
        .settings
        .wildcard_channel_max_qtd
        .is_some_and(|max| wildcards as u64 > max || wildcards == requested.len())
    {
        return Err(Rejection::TooManyWildcards);
    }
    requested
        .into_iter()
        .map(|ChannelRef { id, backtrack }| channel_request(call, &id, backtrack))
        .collect()
}

fn channel_request(
    call: &SubscribeCall<'_>,
    id: &Bytes,
    backtrack: Option<u32>,
) -> Result<ChannelRequest, Rejection> {
    let channel = call
        .open_channel(id)
        .map_err(|error| rejection_for(&AttachError::Create(error)))?;
    Ok(ChannelRequest {
        backtrack: backtrack.unwrap_or(0),
        ..ChannelRequest::new(channel)
    })
}

/// Content-Type by the file extension of the request path (push-stream.md, section 8).
fn content_type(call: &SubscribeCall<'_>) -> Bytes {
    call.settings.types.of(&call.request.path)
}

/// The JSONP callback; `None` if absent or empty.
fn callback(call: &SubscribeCall<'_>) -> Option<Bytes> {
    let callback = call
        .request
        .argument(b"callback")
        .filter(|callback| !callback.is_empty())?;
    Some(Bytes::from(percent_decode(callback).into_owned()))
}

/// Checks that a client may subscribe to the channel with this id, which may not exist yet, and
/// that the channel has room.
fn check_subscribe_channel(
    grant: &Grant,
    broker: &Broker,
    id: &[u8],
    channel: Option<&Channel>,
) -> Result<(), Rejection> {
    let permission = permission::check_found(grant, Action::Subscribe, broker, id, channel);
    // As in the module, a full channel is reported before the events channel.
    if matches!(permission, Ok(()) | Err(Rejection::EventsSubscription)) {
        let max = broker
            .settings()
            .max_subscribers_per_channel
            .unwrap_or(u64::MAX);
        if channel.is_some_and(|channel| channel.subscriptions() >= max) {
            return Err(Rejection::TooManySubscribers);
        }
    }
    permission
}

fn rejection_for(error: &AttachError) -> Rejection {
    match error {
        AttachError::TooManySubscribers | AttachError::AlreadySubscribed => {
            Rejection::TooManySubscribers
        }
        AttachError::Create(CreateError::TooManyChannels) => Rejection::TooManyChannels,
        AttachError::Create(CreateError::OutOfMemory(_)) => Rejection::OutOfMemoryForSubscriber,
    }
}
