//! Subscriber locations of nchan (nhpm-nchan.md, sections 2.1 to 2.8).
//!
//! GET only; request and location negotiate the mode. 200 a stream or a message, 101 a websocket,
//! 304 no message, 400 an invalid message id, 403, 408 time-out, 410 deleted, 503.
//!
//! One file per kind of response; `follower` is what accompanies a subscription; `ids` computes the
//! message ids of several channels.

mod follower;
mod ids;
mod polls;
pub(in crate::server) mod socket;
mod streams;
pub(in crate::server) mod subscriber_info;
mod websocket;

use std::sync::Arc;

use bytes::Bytes;

pub(in crate::server) use self::follower::{NchanFollower, SubscriberHooks};
pub(in crate::server) use self::socket::NchanSocket;

use super::events::ChannelEvent;
use super::message_id;
use super::message_id::MessageId;
use super::negotiation::{self, Mode, RequestedAction};
use super::variables::{NchanValues, NchanVariables};
use super::{NamedChannels, VARY, cors, groups};
use crate::server::access::grant::{Action, ChannelFacts, may};
use crate::server::broker::{AttachError, ChannelStart, GroupInfo};
use crate::server::config::NchanSettings;
use crate::server::config::model::nchan::{FirstMessage, Roles};
use crate::server::endpoint::formats::{FormatKey, FormatKind};
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::fanout::{ChannelRequest, Channels};
use crate::server::nchan;

/// A request at a subscriber location of nchan.
pub(in crate::server) struct NchanSubscribeCall<'a, 'c> {
    call: &'a SubscribeCall<'c>,
    settings: &'a Arc<NchanSettings>,
    mode: Mode,
    cors: cors::Cors,
    named: NamedChannels,
    /// The message id of the request.
    id: Option<MessageId>,
}

/// Outcome of a subscriber's request.
pub(in crate::server) type NchanReply = SubscribeReply<NchanFollower>;

/// Responds to a request at a location that supports these modes.
pub(in crate::server) fn respond_to_any(
    call: &SubscribeCall<'_>,
    settings: &Arc<NchanSettings>,
    roles: Roles,
) -> NchanReply {
    match negotiation::requested_action(call.request, roles) {
        RequestedAction::Subscribe(mode) => respond(call, settings, mode),
        RequestedAction::PublishWebSocket => respond_to_publisher(call, settings),
        requested => {
            let is_options = requested == RequestedAction::Options;
            let is_known = requested != RequestedAction::UnknownMethod;
            SubscribeReply::Respond(respond_to_other_method(
                call, settings, roles, is_options, is_known,
            ))
        }
    }
}

/// The response to a subscriber whose follower could not be attached.
pub(in crate::server) fn reject_any(
    call: &SubscribeCall<'_>,
    settings: &NchanSettings,
    roles: Roles,
    error: &AttachError,
) -> Response {
    let mode = match negotiation::requested_action(call.request, roles) {
        RequestedAction::Subscribe(mode) => mode,
        _ => negotiation::Mode::WebSocket,
    };
    reject(call, settings, mode, error)
}

/// Responds to a request that subscribes in this mode.
pub(in crate::server) fn respond(
    call: &SubscribeCall<'_>,
    settings: &Arc<NchanSettings>,
    mode: Mode,
) -> NchanReply {
    match NchanSubscribeCall::new(call, settings, mode)
        .and_then(|subscribing| subscribing.respond())
    {
        Ok(answer) => answer,
        Err(response) => SubscribeReply::Respond(*response),
    }
}

/// Responds to a request that only publishes, over a websocket.
pub(in crate::server) fn respond_to_publisher(
    call: &SubscribeCall<'_>,
    settings: &Arc<NchanSettings>,
) -> NchanReply {
    websocket::respond_to_publisher(call, settings)
        .unwrap_or_else(|response| SubscribeReply::Respond(*response))
}

/// The response to OPTIONS, and to methods that the location does not support.
pub(in crate::server) fn respond_to_other_method(
    call: &SubscribeCall<'_>,
    settings: &NchanSettings,
    roles: Roles,
    is_options: bool,
    is_known: bool,
) -> Response {
    let cors = cors::of_request(settings, call.variables);
    let methods = if roles.has(Roles::PUBLISH_HTTP) {
        "GET, POST, PUT, DELETE"
    } else {
        "GET"
    };
    if !is_known {
        return nchan::empty(Status::NOT_ALLOWED)
            .with_headers(&HeaderList::of("Allow", format!("{methods}, OPTIONS")))
            .with_headers(&cors.headers);
    }
    let answers = Roles::WEBSOCKET
        .and(Roles::EVENTSOURCE)
        .and(Roles::LONGPOLL)
        .and(Roles::INTERVALPOLL)
        .and(Roles::PUBLISH);
    if !is_options || call.grant.check_page().is_err() || !roles.has(answers) {
        return nchan::empty(Status::FORBIDDEN).with_headers(&cors.headers);
    }
    let subscribes = roles.has(
        Roles::SUBSCRIBE
            .and(Roles::INTERVALPOLL)
            .and(Roles::RAW_STREAM),
    );
    let headers = if subscribes {
        "If-None-Match, If-Modified-Since, Content-Type, Cache-Control, X-EventSource-Event"
    } else {
        "Content-Type"
    };
    nchan::empty(Status::OK).with_headers(&cors::options(&cors, methods, headers))
}

impl<'a, 'c> NchanSubscribeCall<'a, 'c> {
    /// Checks origin, message id and limits, before channels are created.
    fn new(
        call: &'a SubscribeCall<'c>,
        settings: &'a Arc<NchanSettings>,
        mode: Mode,
    ) -> Result<Self, Box<Response>> {
        let cors = cors::of_request(settings, call.variables);
        let with_cors = |response: Response| Box::new(response.with_headers(&cors.headers));
        if call.grant.check_page().is_err() {
            return Err(with_cors(nchan::empty(Status::FORBIDDEN)));
        }
        if settings.redis {
            return Err(with_cors(nchan::empty(Status(503))));
        }
        let named = nchan::channels(settings, &settings.subscriber_ids, call.variables)
            .map_err(|response| with_cors(*response))?;
        if named.keys.len() > call.max_channels {
            return Err(with_cors(nchan::empty(Status::FORBIDDEN)));
        }
        let invalid = |_| with_cors(nchan::text(Status::BAD_REQUEST, "Message ID invalid"));
        let id = message_id::of_request(settings, call.variables).map_err(invalid)?;
        if let Some(id) = id.as_ref().filter(|id| id.tags.len() > named.keys.len()) {
            let etag = HeaderList::of("Etag", id.tags().to_string());
            let response = nchan::empty(Status::BAD_REQUEST)
                .with_headers(&etag)
                .with_headers(&VARY);
            return Err(with_cors(response));
        }
        let id = id.map(|mut id| {
            id.tags.resize(named.keys.len(), None);
            id
        });
        let subscribing = Self {
            call,
            settings,
            mode,
            cors,
            named,
            id,
        };
        subscribing.check_limits()?;
        Ok(subscribing)
    }

    fn check_limits(&self) -> Result<(), Box<Response>> {
        let forbidden = || Box::new(self.rejection(Status::FORBIDDEN));
        let broker = self.call.broker;
        let group = self.group_info()?;
        for key in &self.named.keys {
            let found = broker.find(key);
            let facts = ChannelFacts::of_found(broker, key, found.as_deref());
            let permission = may(&self.call.grant, Action::Subscribe, &facts);
            let max = self.settings.max_channel_subscribers.unwrap_or(u64::MAX);
            let is_full = self.mode != Mode::IntervalPoll
                && found
                    .as_ref()
                    .is_some_and(|channel| channel.subscriptions() >= max);
            let check = group.map_or(Ok(()), |group| group.check_subscription(found.is_none()));
            if permission.is_err() || is_full || check.is_err() {
                return Err(forbidden());
            }
        }
        Ok(())
    }

    fn group_info(&self) -> Result<Option<GroupInfo>, Box<Response>> {
        if !self.settings.group_accounting {
            return Ok(None);
        }
        let set = groups::set_limits(
            self.call.broker,
            &self.named.group,
            &self.settings.group_limits,
            self.call.variables,
        );
        set.map_err(|response| Box::new(response.with_headers(&self.cors.headers)))?;
        Ok(Some(
            self.call.broker.groups().group_info(&self.named.group),
        ))
    }

    fn respond(&self) -> Result<NchanReply, Box<Response>> {
        match self.mode {
            Mode::IntervalPoll => Ok(SubscribeReply::Respond(polls::interval_poll(
                self,
                &self.channels()?,
            ))),
            Mode::LongPoll => Ok(polls::long_poll(self, self.channels()?)),
            Mode::WebSocket => websocket::respond(self),
            Mode::EventSource | Mode::Chunked | Mode::Multipart | Mode::RawStream => {
                Ok(streams::respond(self, self.channels()?))
            }
        }
    }

    /// A rejection with the headers of the mode.
    fn rejection(&self, status: Status) -> Response {
        empty(status, self.mode).with_headers(&self.cors.headers)
    }

    /// The channels of the request, each once, with their start positions. Creates missing ones.
    fn channels(&self) -> Result<Channels, Box<Response>> {
        let mut channels = Channels::new();
        for (number, key) in self.named.keys.iter().enumerate() {
            if self.named.keys[..number].contains(key) {
                continue;
            }
            let no_room = |_| Box::new(Response::error_page(Status::INTERNAL).closing());
            let channel = self.call.open_channel(key).map_err(no_room)?;
            self.call.broker.requests().touch(&channel);
            let start = self.start(number);
            channels.push(ChannelRequest {
                start: Some(start),
                max_subscribers: self.settings.max_channel_subscribers,
                ..ChannelRequest::new(channel)
            });
        }
        Ok(channels)
    }

    fn start(&self, number: usize) -> ChannelStart {
        match (&self.id, self.settings.first_message) {
            (Some(id), _) => id.start(number),
            (None, FirstMessage::Oldest) => ChannelStart::Oldest,
            (None, FirstMessage::Newest) => ChannelStart::Newest,
            (None, FirstMessage::FromOldest(number)) => ChannelStart::FromOldest(number),
            (None, FirstMessage::FromNewest(number)) => ChannelStart::FromNewest(number),
        }
    }

    /// The hooks of the subscription.
    fn subscriber_hooks(&self) -> SubscriberHooks {
        let prev_message_id = self
            .id
            .as_ref()
            .map_or_else(|| "0:0".to_owned(), ToString::to_string);
        let values = |event| NchanValues {
            channel_ids: self.named.ids.clone(),
            subscriber_type: self.mode.name(),
            prev_message_id: prev_message_id.clone(),
            event,
            ..NchanValues::default()
        };
        let event = |event| ChannelEvent::new(self.settings, self.call.variables, &values(event));
        let info = self.settings.shows_info.then(|| {
            let values = values("");
            let variables = NchanVariables {
                request: self.call.variables,
                values: &values,
            };
            let line: Bytes = match &self.settings.info_string {
                Some(string) => string.evaluate(&variables).into_owned().into(),
                None => default_info(&variables),
            };
            (line, self.named.keys.clone())
        });
        SubscriberHooks {
            enqueued: event("subscriber_enqueue"),
            dequeued: event("subscriber_dequeue"),
            info,
        }
    }

    /// Creates the key of a format.
    fn key(&self, kind: FormatKind, detail: Vec<u8>) -> FormatKey {
        FormatKey {
            detail,
            ..FormatKey::new(self.call.settings, kind)
        }
    }
}

/// The default line of a subscriber:
/// `$nchan_subscriber_type $remote_addr:$remote_port $http_user_agent $server_name $request_uri
/// $pid`
fn default_info(variables: &NchanVariables<'_>) -> Bytes {
    use crate::server::config::Variables;
    let builtin = |name| variables.builtin(name).unwrap_or_default().into_owned();
    let address = [builtin("remote_addr"), builtin("remote_port")].join(&b':');
    let agent = variables.header("user-agent").unwrap_or_default().to_vec();
    [
        builtin("nchan_subscriber_type"),
        address,
        agent,
        builtin("server_name"),
        builtin("request_uri"),
        builtin("pid"),
    ]
    .join(&b' ')
    .into()
}

/// An empty response with the headers of the mode.
fn empty(status: Status, mode: Mode) -> Response {
    let response = nchan::empty(status);
    if mode.is_stream() {
        response
    } else {
        response.with_headers(&VARY)
    }
}

/// The response to a subscriber that could not be attached.
pub(in crate::server) fn reject(
    call: &SubscribeCall<'_>,
    settings: &NchanSettings,
    mode: Mode,
    error: &AttachError,
) -> Response {
    match error {
        AttachError::TooManySubscribers | AttachError::AlreadySubscribed => {
            empty(Status::FORBIDDEN, mode)
                .with_headers(&cors::of_request(settings, call.variables).headers)
        }
        AttachError::Create(_) => Response::error_page(Status::INTERNAL).closing(),
    }
}
