//! Subscriber locations of nchan (nhpm-nchan.md, sections 2.1 to 2.8).
//!
//! GET only, in the way that the request and the location agree on: 200 a stream or a message, 101
//! a websocket, 304 nothing there, 400 an invalid message id, 403, 408 the time is over, 410
//! deleted, 503.
//!
//! One file for each kind of answer; `ids` knows the message ids of several channels.

mod ids;
mod polls;
mod socket;
mod streams;
pub(super) mod subscriber_info;
mod websocket;

use std::sync::Arc;

use bytes::Bytes;

pub use socket::{Incoming, Received, Socket};

use super::{Call, Key, SubscribeReply};
use crate::server::broker::{AttachError, ChannelStart, GroupInfo};
use crate::server::config::NchanSettings;
use crate::server::config::nchan::{FirstMessage, Roles};
use crate::server::dialect::nchan::events::Event;
use crate::server::dialect::nchan::message_id::{self, MessageId};
use crate::server::dialect::nchan::negotiation::Mode;
use crate::server::dialect::nchan::variables::{NchanVariables, Values};
use crate::server::dialect::nchan::{self, Named, VARY, cors, groups};
use crate::server::fanout::{ChannelRequest, Channels};
use crate::server::response::{Response, Status};

/// A request at a subscriber location of nchan.
pub(super) struct Subscribing<'a, 'c> {
    call: &'a Call<'c>,
    settings: &'a Arc<NchanSettings>,
    mode: Mode,
    cors: cors::Cors,
    named: Named,
    /// The id that the request carries.
    id: Option<MessageId>,
}

/// What goes on for a subscriber beside its messages, until it leaves.
#[derive(Debug, Default)]
pub struct SubscriberHooks {
    /// It came.
    pub enqueued: Option<Event>,
    /// It goes.
    pub dequeued: Option<Event>,
    /// Its line for `nchan_subscriber_info`, and the channels where that is shown.
    pub info: Option<(Bytes, Vec<Bytes>)>,
}

impl SubscriberHooks {
    /// There is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.enqueued.is_none() && self.dequeued.is_none() && self.info.is_none()
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        let events = [&self.enqueued, &self.dequeued]
            .into_iter()
            .flatten()
            .map(Event::own_bytes)
            .sum::<usize>();
        let info = self.info.as_ref().map_or(0, |(text, keys)| {
            text.len() + keys.iter().map(|key| key.len() + 64).sum::<usize>()
        });
        size_of::<Self>() + events + info
    }
}

/// Answers a request that subscribes in this way.
pub(super) fn answer(call: &Call<'_>, settings: &Arc<NchanSettings>, mode: Mode) -> SubscribeReply {
    match Subscribing::new(call, settings, mode).and_then(|subscribing| subscribing.answer()) {
        Ok(answer) => answer,
        Err(response) => SubscribeReply::Respond(*response),
    }
}

/// Answers a request that only publishes, over a websocket.
pub(super) fn answer_publisher(call: &Call<'_>, settings: &Arc<NchanSettings>) -> SubscribeReply {
    websocket::answer_publisher(call, settings)
        .unwrap_or_else(|response| SubscribeReply::Respond(*response))
}

/// The answer to OPTIONS, and to what the location does not offer.
pub(super) fn other(
    call: &Call<'_>,
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
            .with_headers(format!("Allow: {methods}, OPTIONS\r\n").as_bytes())
            .with_headers(&cors.lines);
    }
    let answers = Roles::WEBSOCKET
        .and(Roles::EVENTSOURCE)
        .and(Roles::LONGPOLL)
        .and(Roles::INTERVALPOLL)
        .and(Roles::PUBLISH);
    if !is_options || cors.is_refused || !roles.has(answers) {
        return nchan::empty(Status::FORBIDDEN).with_headers(&cors.lines);
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

impl<'a, 'c> Subscribing<'a, 'c> {
    /// Looks at what comes before the channels: origin, ids, limits.
    fn new(
        call: &'a Call<'c>,
        settings: &'a Arc<NchanSettings>,
        mode: Mode,
    ) -> Result<Self, Box<Response>> {
        let cors = cors::of_request(settings, call.variables);
        let with_cors = |response: Response| Box::new(response.with_headers(&cors.lines));
        if cors.is_refused {
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
            let lines = [format!("Etag: {}\r\n", id.tags()).as_bytes(), VARY].concat();
            return Err(with_cors(
                nchan::empty(Status::BAD_REQUEST).with_headers(&lines),
            ));
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
        let forbidden = || Box::new(self.refusal(Status::FORBIDDEN));
        let broker = self.call.broker;
        let group = self.group_info()?;
        for key in &self.named.keys {
            let found = broker.find(key);
            let is_missing = found.is_none() && self.settings.existing_channels_only;
            let most = self.settings.max_channel_subscribers.unwrap_or(u64::MAX);
            let is_full = self.mode != Mode::IntervalPoll
                && found
                    .as_ref()
                    .is_some_and(|channel| channel.subscriptions() >= most);
            let may = group.map_or(Ok(()), |group| group.may_subscribe(found.is_none()));
            if is_missing || is_full || may.is_err() || broker.is_events_channel(key) {
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
        set.map_err(|response| Box::new(response.with_headers(&self.cors.lines)))?;
        Ok(Some(self.call.broker.group_info(&self.named.group)))
    }

    fn answer(&self) -> Result<SubscribeReply, Box<Response>> {
        match self.mode {
            Mode::IntervalPoll => Ok(SubscribeReply::Respond(polls::interval_poll(
                self,
                &self.channels()?,
            ))),
            Mode::LongPoll => Ok(polls::long_poll(self, self.channels()?)),
            Mode::WebSocket => websocket::answer(self),
            Mode::EventSource | Mode::Chunked | Mode::Multipart | Mode::RawStream => {
                Ok(streams::answer(self, self.channels()?))
            }
        }
    }

    /// A refusal in the words of the mode.
    fn refusal(&self, status: Status) -> Response {
        let vary: &[u8] = if self.mode.is_stream() { b"" } else { VARY };
        nchan::empty(status)
            .with_headers(vary)
            .with_headers(&self.cors.lines)
    }

    /// The channels, made where they are missing, each once, and where they start.
    fn channels(&self) -> Result<Channels, Box<Response>> {
        let mut channels = Channels::new();
        for (number, key) in self.named.keys.iter().enumerate() {
            if self.named.keys[..number].contains(key) {
                continue;
            }
            let no_room = |_| Box::new(Response::error_page(Status::INTERNAL).closing());
            let channel = self.call.broker.find_or_create(key).map_err(no_room)?;
            self.call.broker.touch(&channel);
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

    /// What goes on beside the messages.
    fn companion(&self) -> SubscriberHooks {
        let prev_message_id = self
            .id
            .as_ref()
            .map_or_else(|| "0:0".to_owned(), ToString::to_string);
        let values = |event| Values {
            channel_ids: self.named.ids.clone(),
            subscriber_type: self.mode.name(),
            prev_message_id: prev_message_id.clone(),
            event,
            ..Values::default()
        };
        let event = |event| Event::new(self.settings, self.call.variables, &values(event));
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

    /// A format's key with what makes formats of nchan differ.
    fn key(&self, kind: super::Kind, detail: Vec<u8>) -> Key {
        let framing = crate::server::response::Framing::of(self.call.request.minor_version);
        Key {
            cors: self.cors.lines.clone(),
            added: self.call.added.to_vec(),
            detail,
            ..Key::new(
                self.call.settings,
                kind,
                framing,
                self.call.request.keep_alive,
            )
        }
    }
}

/// `$nchan_subscriber_type $remote_addr:$remote_port $http_user_agent $server_name $request_uri $pid`
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

/// The answer to a subscriber that could not be attached.
pub(super) fn refused(
    call: &Call<'_>,
    settings: &NchanSettings,
    mode: Mode,
    error: &AttachError,
) -> Response {
    match error {
        AttachError::TooManySubscribers | AttachError::AlreadySubscribed => {
            let vary: &[u8] = if mode.is_stream() { b"" } else { VARY };
            nchan::empty(Status::FORBIDDEN)
                .with_headers(vary)
                .with_headers(&cors::of_request(settings, call.variables).lines)
        }
        AttachError::Create(_) => Response::error_page(Status::INTERNAL).closing(),
    }
}
