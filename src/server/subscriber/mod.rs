//! Subscriber locations: what a request asks for and what it gets (push-stream.md, sections 7 to
//! 12).
//!
//! | method | answer |
//! |---|---|
//! | GET | 200, a stream or messages; 304, nothing there; 101, websocket; 400, 403, 500 with an explain header |
//! | OPTIONS | 200 (405 on websocket locations) |
//! | any other | 405 |
//!
//! One file per mode; `mod` has what they share: who is allowed, and where reading starts.

mod again;
mod formats;
mod long_polling;
mod nchan;
mod nhpm;
mod polling;
mod resume;
mod streaming;
pub mod websocket;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

pub use again::PollAgain;
pub use formats::Formats;
use formats::{Key, Kind};
pub use nchan::{Incoming, Received, Socket, SubscriberHooks};

use super::broker::{AttachError, Broker, Channel, CreateError};
use super::compression::Compression;
use super::config::{Endpoint, LocationSettings, SubscriberMode};
use super::dialect::nchan::negotiation;
use super::dialect::push_stream::channels_path::{self, ChannelRef};
use super::dialect::push_stream::cors::cors_lines;
use super::dialect::push_stream::cursor;
pub use super::dialect::push_stream::cursor::{DATE_BYTES, HEADERS as CURSOR_HEADERS};
use super::dialect::push_stream::explain::Refusal;
use super::fanout::{ChannelRequest, Channels, SlowConsumerSettings, Subscription};
use super::request::{Request, RequestVariables};
use super::response::{NO_CACHE, Response, ResponseContext, Status};
use crate::protocol::MODE;

/// What a subscriber's request comes to.
pub enum SubscribeReply {
    /// A response; the connection goes on as usual.
    Respond(Response),
    /// A response that is written already, and whether the connection goes on after it.
    Prepared(Rc<Vec<u8>>, bool),
    /// These bytes, then the end of the connection (a refused websocket).
    Last(Vec<u8>),
    /// The connection follows.
    Follow(Box<Subscription>),
    /// The connection follows and speaks websocket frames.
    FollowWebSocket(Box<Subscription>, websocket::Publishing),
    /// The connection follows; something else goes on until it leaves.
    FollowWith(Box<Subscription>, Box<SubscriberHooks>),
    /// The connection follows and speaks the websocket frames of nchan.
    FollowSocket(Box<Subscription>, Box<Socket>, Box<SubscriberHooks>),
}

impl SubscribeReply {
    fn follow_with(subscription: Subscription, companion: SubscriberHooks) -> Self {
        if companion.is_empty() {
            Self::Follow(Box::new(subscription))
        } else {
            Self::FollowWith(Box::new(subscription), Box::new(companion))
        }
    }
}

/// A request at a subscriber location.
pub struct Call<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Its variables.
    pub variables: &'a RequestVariables<'a>,
    /// The settings of the location, after its conditions.
    pub settings: &'a Arc<LocationSettings>,
    /// What the location is.
    pub endpoint: Endpoint,
    /// The mode of a push-stream location.
    pub mode: SubscriberMode,
    /// The broker.
    pub broker: &'a Broker,
    /// The formats of the shard.
    pub formats: &'a Formats,
    /// Most channels that one request may name.
    pub max_channels: usize,
    /// The connection of the request.
    pub connection: ResponseContext,
    /// Whether answers are compressed.
    pub compression: &'a Compression,
    /// Header lines that the location adds to good answers; those of long-polls are written later.
    pub added: &'a [u8],
}

impl Call<'_> {
    /// Answers the request.
    #[must_use]
    pub fn answer(&self) -> SubscribeReply {
        if let (Some(settings), Endpoint::NchanSubscriberInfo) =
            (&self.settings.nchan, self.endpoint)
        {
            return nchan::subscriber_info::answer(self, settings);
        }
        if let (Some(settings), Endpoint::NhpmSubscriber { interval_poll }) =
            (&self.settings.nhpm, self.endpoint)
        {
            return nhpm::answer(self, settings, interval_poll);
        }
        if let (Some(settings), Endpoint::Nchan(roles)) = (&self.settings.nchan, self.endpoint) {
            return match negotiation::wanted(self.request, roles) {
                negotiation::Wanted::Subscribe(mode) => nchan::answer(self, settings, mode),
                negotiation::Wanted::PublishWebSocket => nchan::answer_publisher(self, settings),
                wanted => {
                    let is_options = wanted == negotiation::Wanted::Options;
                    let is_known = wanted != negotiation::Wanted::UnknownMethod;
                    SubscribeReply::Respond(nchan::other(
                        self, settings, roles, is_options, is_known,
                    ))
                }
            };
        }
        let mode = self.requested_mode();
        if mode == SubscriberMode::WebSocket {
            return websocket::answer(self);
        }
        if self.settings.is_builtin
            && self
                .callback()
                .is_some_and(|callback| !is_member_path(&callback))
        {
            return SubscribeReply::Respond(Refusal::InvalidCallback.response(&self.cors(), true));
        }
        if let Some(response) = self.method_answer() {
            return SubscribeReply::Respond(response);
        }
        let mut channels = match self.channels() {
            Ok(channels) => channels,
            Err(refusal) => return SubscribeReply::Respond(refusal.response(&self.cors(), true)),
        };
        let cursor = self.cursor(&mut channels);
        match mode {
            SubscriberMode::Polling => {
                SubscribeReply::Respond(polling::answer(self, &channels, &cursor))
            }
            SubscriberMode::LongPolling => long_polling::answer(self, channels, cursor),
            _ => streaming::answer(self, channels, cursor),
        }
    }

    /// The answer when a follower could not be attached after all.
    #[must_use]
    pub fn refused(&self, error: &AttachError) -> SubscribeReply {
        if self.settings.nhpm.is_some() {
            return SubscribeReply::Respond(nhpm::refused(error));
        }
        if let (Some(settings), Endpoint::Nchan(roles)) = (&self.settings.nchan, self.endpoint) {
            let mode = match negotiation::wanted(self.request, roles) {
                negotiation::Wanted::Subscribe(mode) => mode,
                _ => negotiation::Mode::WebSocket,
            };
            return SubscribeReply::Respond(nchan::refused(self, settings, mode, error));
        }
        if self.requested_mode() == SubscriberMode::WebSocket {
            return SubscribeReply::Last(websocket::refused(self, error));
        }
        SubscribeReply::Respond(refusal_of(error).response(&self.cors(), true))
    }

    /// The location's mode, or what the mode header makes of it (push-stream.md, section 10.1).
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

    fn method_answer(&self) -> Option<Response> {
        match self.request.method {
            "GET" => None,
            "OPTIONS" => Some(Response::header_only(Status::OK, self.cors())),
            _ => Some(Response::header_only(
                Status::NOT_ALLOWED,
                [&self.cors()[..], NO_CACHE, b"Allow: GET\r\n"].concat(),
            )),
        }
    }

    /// How followers of the location are treated when they are too far behind.
    fn slow_consumers(&self) -> SlowConsumerSettings {
        let max_lag = self
            .settings
            .slow_consumer_bytes
            .unwrap_or_else(|| self.broker.max_lag_bytes());
        SlowConsumerSettings {
            policy: self.settings.slow_consumer,
            max_lag,
        }
    }

    /// CORS header lines of the answer; empty without `allowed_origins`.
    fn cors(&self) -> Vec<u8> {
        cors_lines(self.settings, self.variables, "GET")
    }

    /// The channels of the request, made where they are missing, if all rules allow it.
    fn channels(&self) -> Result<Channels, Refusal> {
        let path = self
            .settings
            .channels_path
            .as_ref()
            .and_then(|path| path.evaluate_name(self.variables))
            .unwrap_or_default();
        let wanted = channels_path::parse(&path);
        if wanted.is_empty() {
            return Err(Refusal::NoChannelId);
        }
        if wanted.len() > self.max_channels {
            return Err(Refusal::TooManyIds);
        }
        for ChannelRef { id, .. } in &wanted {
            may_subscribe(
                self.settings,
                self.broker,
                id,
                self.broker.find(id).as_deref(),
            )?;
        }
        let wildcards = wanted
            .iter()
            .filter(|channel| self.broker.is_wildcard(&channel.id))
            .count();
        if self
            .settings
            .wildcard_channel_max_qtd
            .is_some_and(|most| wildcards as u64 > most || wildcards == wanted.len())
        {
            return Err(Refusal::TooManyWildcards);
        }
        wanted
            .into_iter()
            .map(|ChannelRef { id, backtrack }| self.wanted(&id, backtrack))
            .collect()
    }

    fn wanted(&self, id: &Bytes, backtrack: Option<u32>) -> Result<ChannelRequest, Refusal> {
        let channel = self
            .broker
            .find_or_create(id)
            .map_err(|error| refusal_of(&AttachError::Create(error)))?;
        Ok(ChannelRequest {
            backtrack: backtrack.unwrap_or(0),
            ..ChannelRequest::new(channel)
        })
    }

    /// Content-Type by the extension of the request's path (push-stream.md, section 8).
    fn content_type(&self) -> Bytes {
        self.settings.types.of(&self.request.path)
    }

    /// The JSONP callback, if there is one.
    fn callback(&self) -> Option<Bytes> {
        let callback = self
            .request
            .argument(b"callback")
            .filter(|callback| !callback.is_empty())?;
        Some(Bytes::from(cursor::percent_decode(callback).into_owned()))
    }
}

/// Longest callback of JSONP.
const MAX_CALLBACK_BYTES: usize = 256;

/// Whether a text is an identifier of JavaScript or a path to a member of an object, `a.b[0].c`, in
/// ASCII.
fn is_member_path(text: &[u8]) -> bool {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$');
    let is_identifier = |part: &[u8]| {
        part.first().is_some_and(|byte| is_start(*byte))
            && part
                .iter()
                .all(|byte| is_start(*byte) || byte.is_ascii_digit())
    };
    let is_member = |part: &[u8]| {
        let mut pieces = part.split(|byte| *byte == b'[');
        let is_index = |piece: &[u8]| {
            piece
                .strip_suffix(b"]")
                .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        };
        pieces.next().is_some_and(is_identifier) && pieces.all(is_index)
    };
    text.len() <= MAX_CALLBACK_BYTES && text.split(|byte| *byte == b'.').all(is_member)
}

/// Whether a subscriber may follow the channel of that id, which is there or not.
fn may_subscribe(
    settings: &LocationSettings,
    broker: &Broker,
    id: &[u8],
    channel: Option<&Channel>,
) -> Result<(), Refusal> {
    let limits = broker.settings();
    if id == b"ALL" || memchr::memchr(b'*', id).is_some() {
        return Err(Refusal::ForbiddenId);
    }
    if limits
        .max_channel_id_length
        .is_some_and(|most| id.len() as u64 > most)
    {
        return Err(Refusal::IdTooLong);
    }
    let is_authorized = || channel.is_some_and(Channel::has_stored_messages);
    if settings.authorized_channels_only && !broker.is_wildcard(id) && !is_authorized() {
        return Err(Refusal::NotAuthorized);
    }
    let most = limits.max_subscribers_per_channel.unwrap_or(u64::MAX);
    if channel.is_some_and(|channel| channel.subscriptions() >= most) {
        return Err(Refusal::TooManySubscribers);
    }
    if broker.is_events_channel(id) && !settings.allow_connections_to_events_channel {
        return Err(Refusal::EventsSubscription);
    }
    Ok(())
}

fn refusal_of(error: &AttachError) -> Refusal {
    match error {
        AttachError::TooManySubscribers | AttachError::AlreadySubscribed => {
            Refusal::TooManySubscribers
        }
        AttachError::Create(CreateError::TooManyChannels) => Refusal::TooManyChannels,
        AttachError::Create(CreateError::OutOfMemory(_)) => Refusal::OutOfMemoryForSubscriber,
    }
}

/// A format behind a pointer that many followers share.
type SharedFormat = Rc<dyn super::fanout::Format>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_paths_to_members() {
        for callback in [
            "f",
            "cb_1",
            "$",
            "_",
            "jQuery.x1",
            "PushStreamManager[0].wrapper.cb",
            "a[0][12].b",
        ] {
            assert!(is_member_path(callback.as_bytes()), "{callback}");
        }
        let long = "a".repeat(MAX_CALLBACK_BYTES + 1);
        for callback in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "1a",
            "a b",
            "alert(1)//",
            "a;b",
            "a[",
            "a[]",
            "a[b]",
            "a[0",
            "a]0[",
            "a[0]b",
            "[0]",
            "a['b']",
            "a-b",
            "a\\u0062",
            "a\n",
            "\u{e9}",
            "a=b",
            "/**/a",
            "<a",
            &long,
        ] {
            assert!(!is_member_path(callback.as_bytes()), "{callback}");
        }
    }
}
