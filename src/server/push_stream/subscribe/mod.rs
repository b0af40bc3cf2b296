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
//! One file per mode. This one has what they share: access rules and the selection of channels.
//! `resume` determines the position from which a subscriber resumes.

mod callback;
mod long_polling;
mod poll_replay;
mod polling;
mod resume;
mod streaming;
pub mod websocket;

use crate::server::nchan::subscribe as nchan;
use crate::server::nhpm::subscribe as nhpm;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use self::callback::is_member_path;

pub use self::poll_replay::PollReplay;

use super::channels_path;
use super::channels_path::ChannelRef;
use super::cors::cors_lines;
use super::cursor;
pub use super::cursor::{DATE_BYTES, HEADERS as CURSOR_HEADERS};
use super::explain::Rejection;
use crate::protocol::MODE;
use crate::server::broker::{AttachError, Broker, Channel, CreateError};
use crate::server::config::{Endpoint, LocationSettings, SubscriberMode};
use crate::server::endpoint::formats::Formats;
use crate::server::exchange::compression::Compression;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{NO_CACHE, Response, ResponseContext, Status};
use crate::server::exchange::variables::RequestVariables;
use crate::server::fanout::{ChannelRequest, Channels, SlowConsumerSettings, Subscription};
use crate::server::nchan::negotiation;
use crate::server::nchan::subscribe::SubscriberHooks;
use crate::server::nchan::subscribe::socket::Socket;

/// Outcome of a subscriber's request.
pub enum SubscribeReply {
    /// A response; the connection then reads the next request.
    Respond(Response),
    /// An encoded response, and whether the connection stays open.
    Prepared(Rc<Vec<u8>>, bool),
    /// These bytes, then the end of the connection (a rejected websocket).
    Last(Vec<u8>),
    /// The connection becomes a follower.
    Follow(Box<Subscription>),
    /// The connection becomes a follower with websocket frames.
    FollowWebSocket(Box<Subscription>, websocket::WebSocketPublisher),
    /// The connection becomes a follower with hooks for its arrival and departure.
    FollowWith(Box<Subscription>, Box<SubscriberHooks>),
    /// The connection becomes a follower with the websocket frames of nchan.
    FollowSocket(Box<Subscription>, Box<Socket>, Box<SubscriberHooks>),
}

impl SubscribeReply {
    pub(in crate::server) fn follow_with(
        subscription: Subscription,
        hooks: SubscriberHooks,
    ) -> Self {
        if hooks.is_empty() {
            Self::Follow(Box::new(subscription))
        } else {
            Self::FollowWith(Box::new(subscription), Box::new(hooks))
        }
    }
}

/// A request at a subscriber location.
pub struct SubscribeCall<'a> {
    /// Head of the request; subscribers have no body.
    pub request: &'a Request<'a>,
    /// Variables for the expressions of the location.
    pub variables: &'a RequestVariables<'a>,
    /// The settings of the location, after its conditions.
    pub settings: &'a Arc<LocationSettings>,
    /// The endpoint of the location.
    pub endpoint: Endpoint,
    /// The mode of a push-stream location.
    pub mode: SubscriberMode,
    /// Has the channels, and counts rejections.
    pub broker: &'a Broker,
    /// The format cache of the shard.
    pub formats: &'a Formats,
    /// Maximum number of channels in one request.
    pub max_channels: usize,
    /// Properties of the connection that responses depend on.
    pub connection: ResponseContext,
    /// How responses are compressed.
    pub compression: &'a Compression,
    /// Header lines that the location adds to successful responses. Long-polls write them later.
    pub added: &'a [u8],
}

impl SubscribeCall<'_> {
    /// Responds to the request, or makes its connection a follower.
    #[must_use]
    pub fn respond(&self) -> SubscribeReply {
        if let (Some(settings), Endpoint::NchanSubscriberInfo) =
            (&self.settings.nchan, self.endpoint)
        {
            return nchan::subscriber_info::respond(self, settings);
        }
        if let (Some(settings), Endpoint::NhpmSubscriber { interval_poll }) =
            (&self.settings.nhpm, self.endpoint)
        {
            return nhpm::respond(self, settings, interval_poll);
        }
        if let (Some(settings), Endpoint::Nchan(roles)) = (&self.settings.nchan, self.endpoint) {
            return match negotiation::requested_action(self.request, roles) {
                negotiation::RequestedAction::Subscribe(mode) => {
                    nchan::respond(self, settings, mode)
                }
                negotiation::RequestedAction::PublishWebSocket => {
                    nchan::respond_to_publisher(self, settings)
                }
                requested => {
                    let is_options = requested == negotiation::RequestedAction::Options;
                    let is_known = requested != negotiation::RequestedAction::UnknownMethod;
                    SubscribeReply::Respond(nchan::respond_to_other_method(
                        self, settings, roles, is_options, is_known,
                    ))
                }
            };
        }
        let mode = self.requested_mode();
        if mode == SubscriberMode::WebSocket {
            return websocket::respond(self);
        }
        if self.settings.is_builtin
            && self
                .callback()
                .is_some_and(|callback| !is_member_path(&callback))
        {
            return SubscribeReply::Respond(
                Rejection::InvalidCallback.response(&self.cors(), true),
            );
        }
        if let Some(response) = self.respond_to_method() {
            return SubscribeReply::Respond(response);
        }
        let mut channels = match self.channels() {
            Ok(channels) => channels,
            Err(rejection) => {
                return SubscribeReply::Respond(rejection.response(&self.cors(), true));
            }
        };
        let cursor = self.cursor(&mut channels);
        match mode {
            SubscriberMode::Polling => {
                SubscribeReply::Respond(polling::respond(self, &channels, &cursor))
            }
            SubscriberMode::LongPolling => long_polling::respond(self, channels, cursor),
            _ => streaming::respond(self, channels, cursor),
        }
    }

    /// The reply if the follower could not be attached.
    #[must_use]
    pub fn reject(&self, error: &AttachError) -> SubscribeReply {
        if self.settings.nhpm.is_some() {
            return SubscribeReply::Respond(nhpm::reject(error));
        }
        if let (Some(settings), Endpoint::Nchan(roles)) = (&self.settings.nchan, self.endpoint) {
            let mode = match negotiation::requested_action(self.request, roles) {
                negotiation::RequestedAction::Subscribe(mode) => mode,
                _ => negotiation::Mode::WebSocket,
            };
            return SubscribeReply::Respond(nchan::reject(self, settings, mode, error));
        }
        if self.requested_mode() == SubscriberMode::WebSocket {
            return SubscribeReply::Last(websocket::reject(self, error));
        }
        SubscribeReply::Respond(rejection_for(error).response(&self.cors(), true))
    }

    /// The mode of the location, unless the mode header overrides it (push-stream.md, section
    /// 10.1).
    fn requested_mode(&self) -> SubscriberMode {
        if !matches!(
            self.mode,
            SubscriberMode::Streaming | SubscriberMode::EventSource | SubscriberMode::Polling
        ) {
            return self.mode;
        }
        match self.request.header(MODE) {
            Some(mode) if mode.eq_ignore_ascii_case(b"long-polling") => SubscriberMode::LongPolling,
            Some(mode) if mode.eq_ignore_ascii_case(b"polling") => SubscriberMode::Polling,
            _ => self.mode,
        }
    }

    fn respond_to_method(&self) -> Option<Response> {
        match self.request.method {
            "GET" => None,
            "OPTIONS" => Some(Response::header_only(Status::OK, self.cors())),
            _ => Some(Response::header_only(
                Status::NOT_ALLOWED,
                [&self.cors()[..], NO_CACHE, b"Allow: GET\r\n"].concat(),
            )),
        }
    }

    /// The policy for followers of the location that are too far behind.
    pub(in crate::server) fn slow_consumers(&self) -> SlowConsumerSettings {
        let max_lag = self
            .settings
            .slow_consumer_bytes
            .unwrap_or_else(|| self.broker.max_lag_bytes());
        SlowConsumerSettings {
            policy: self.settings.slow_consumer,
            max_lag,
        }
    }

    /// CORS header lines of the response; empty without `allowed_origins`.
    fn cors(&self) -> Vec<u8> {
        cors_lines(self.settings, self.variables, "GET")
    }

    /// The channels of the request, if all rules allow subscribing to them. Creates missing ones.
    fn channels(&self) -> Result<Channels, Rejection> {
        let path = self
            .settings
            .channels_path
            .as_ref()
            .and_then(|path| path.evaluate_name(self.variables))
            .unwrap_or_default();
        let requested = channels_path::parse(&path);
        if requested.is_empty() {
            return Err(Rejection::NoChannelId);
        }
        if requested.len() > self.max_channels {
            return Err(Rejection::TooManyIds);
        }
        for ChannelRef { id, .. } in &requested {
            check_subscribe_channel(
                self.settings,
                self.broker,
                id,
                self.broker.find(id).as_deref(),
            )?;
        }
        let wildcards = requested
            .iter()
            .filter(|channel| self.broker.is_wildcard(&channel.id))
            .count();
        if self
            .settings
            .wildcard_channel_max_qtd
            .is_some_and(|max| wildcards as u64 > max || wildcards == requested.len())
        {
            return Err(Rejection::TooManyWildcards);
        }
        requested
            .into_iter()
            .map(|ChannelRef { id, backtrack }| self.channel_request(&id, backtrack))
            .collect()
    }

    fn channel_request(
        &self,
        id: &Bytes,
        backtrack: Option<u32>,
    ) -> Result<ChannelRequest, Rejection> {
        let channel = self
            .broker
            .find_or_create(id)
            .map_err(|error| rejection_for(&AttachError::Create(error)))?;
        Ok(ChannelRequest {
            backtrack: backtrack.unwrap_or(0),
            ..ChannelRequest::new(channel)
        })
    }

    /// Content-Type by the file extension of the request path (push-stream.md, section 8).
    fn content_type(&self) -> Bytes {
        self.settings.types.of(&self.request.path)
    }

    /// The JSONP callback; `None` if absent or empty.
    fn callback(&self) -> Option<Bytes> {
        let callback = self
            .request
            .argument(b"callback")
            .filter(|callback| !callback.is_empty())?;
        Some(Bytes::from(cursor::percent_decode(callback).into_owned()))
    }
}

/// Checks that a client may subscribe to the channel with this id, which may not exist yet.
fn check_subscribe_channel(
    settings: &LocationSettings,
    broker: &Broker,
    id: &[u8],
    channel: Option<&Channel>,
) -> Result<(), Rejection> {
    let limits = broker.settings();
    if id == b"ALL" || memchr::memchr(b'*', id).is_some() {
        return Err(Rejection::ForbiddenId);
    }
    if limits
        .max_channel_id_length
        .is_some_and(|max| id.len() as u64 > max)
    {
        return Err(Rejection::IdTooLong);
    }
    let is_authorized = || channel.is_some_and(Channel::has_stored_messages);
    if settings.authorized_channels_only && !broker.is_wildcard(id) && !is_authorized() {
        return Err(Rejection::NotAuthorized);
    }
    let max = limits.max_subscribers_per_channel.unwrap_or(u64::MAX);
    if channel.is_some_and(|channel| channel.subscriptions() >= max) {
        return Err(Rejection::TooManySubscribers);
    }
    if broker.is_events_channel(id) && !settings.allow_connections_to_events_channel {
        return Err(Rejection::EventsSubscription);
    }
    Ok(())
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

/// A format that many followers share.
pub(in crate::server) type SharedFormat = Rc<dyn crate::server::fanout::Format>;
