//! Publisher locations (push-stream.md, section 4), and what is made of a message that comes in.
//!
//! | method | normal | admin |
//! |---|---|---|
//! | GET | 200 channel info, 404 | the same |
//! | POST, PUT | 200 published; 400, 403, 413, 500 | the same |
//! | DELETE | 405 | 200 deleted, 404 |
//! | OPTIONS | 200 | 200 |
//! | any other | 405 | 405 |
//!
//! A POST or PUT of a batch ([`batch`]) is answered in its own way.
//!
//! A request that needs its body is answered in two steps, because channels are made before the
//! body is read.

pub mod batch;
mod nchan;
mod nchan_group;
mod nhpm;
mod repeatable;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::broker::{Broker, Channel, ChannelInfo, CreateError, NewMessage};
use super::config::{Endpoint, LocationSettings, Variables};
use super::dialect::push_stream::channels_path::{self, ChannelRef};
use super::dialect::push_stream::cors::cors_lines;
use super::dialect::push_stream::explain::{Refusal, explain_line};
use super::dialect::push_stream::info::Notation;
use super::request::Request;
use super::response::{NO_CACHE, Response, Status};
use crate::protocol::{BATCH_TYPE, EVENT_ID, EVENT_TYPE};
use batch::Batch;
pub use nchan_group::answer as answer_group;
pub use repeatable::Repeatable;

/// What a publisher's request comes to.
pub enum PublishReply {
    /// A response; the body of the request does not matter.
    Respond(Response),
    /// The body is wanted.
    Read(Box<Plan>),
    /// The body is wanted, line by line.
    ReadBatch(Box<Batch>),
}

/// What is done with the body of a request.
pub struct Plan {
    action: Action,
    manner: ReplyTraits,
    /// See [`Plan::argument_alone`].
    argument_alone: Option<Bytes>,
}

/// How a request is answered.
struct ReplyTraits {
    notation: Notation,
    shows_info: bool,
    headers: Cow<'static, [u8]>,
}

enum Action {
    Publish {
        channels: SmallVec<[Arc<Channel>; 1]>,
        event_id: Option<Bytes>,
        event_type: Option<Bytes>,
        store: bool,
    },
    Delete {
        ids: SmallVec<[ChannelRef; 1]>,
    },
    Nhpm(nhpm::Publication),
    Nchan(Box<nchan::Publishing>),
}

/// A request at a publisher location.
pub struct Call<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Its variables.
    pub variables: &'a dyn Variables,
    /// The settings of the location, after its conditions.
    pub settings: &'a LocationSettings,
    /// `admin` mode.
    pub admin: bool,
    /// The broker.
    pub broker: &'a Broker,
    /// Most channels that one request may name.
    pub max_channels: usize,
    /// What [`is_batch`] says of it.
    pub is_batch: bool,
    /// Most bytes of a message.
    pub max_body: u64,
}

/// Whether the body of a request is a batch of messages.
#[must_use]
pub fn is_batch(request: &Request<'_>, settings: &LocationSettings, endpoint: Endpoint) -> bool {
    settings.batch
        && matches!(endpoint, Endpoint::Publisher { .. })
        && matches!(request.method, "POST" | "PUT")
        && request.header("content-type").is_some_and(|value| {
            let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
            media_type
                .trim_ascii()
                .eq_ignore_ascii_case(BATCH_TYPE.as_bytes())
        })
}

impl Call<'_> {
    /// Answers the request, as far as that is possible without its body.
    #[must_use]
    pub fn answer(&self) -> PublishReply {
        if let Some(settings) = &self.settings.nhpm {
            return nhpm::answer(self, settings);
        }
        if let Some(settings) = &self.settings.nchan {
            return nchan::answer(self, settings);
        }
        let headers = self.headers();
        match self.request.method {
            "OPTIONS" => return PublishReply::Respond(Response::header_only(Status::OK, headers)),
            "GET" | "POST" | "PUT" => {}
            "DELETE" if self.admin => {}
            _ => {
                let allow: &[u8] = if self.admin {
                    b"Allow: GET, POST, PUT, DELETE\r\n"
                } else {
                    b"Allow: GET, POST, PUT\r\n"
                };
                return PublishReply::Respond(
                    Response::header_only(Status::NOT_ALLOWED, headers).with_headers(allow),
                );
            }
        }
        match self.act(headers.clone()) {
            Ok(answer) => answer,
            Err(refusal) => {
                PublishReply::Respond(refusal.response(&headers[NO_CACHE.len()..], false))
            }
        }
    }

    fn act(&self, headers: Cow<'static, [u8]>) -> Result<PublishReply, Refusal> {
        let path = self
            .settings
            .channels_path
            .as_ref()
            .and_then(|path| path.evaluate_name(self.variables))
            .unwrap_or_default();
        let ids = channels_path::parse(&path);
        if ids.len() > self.max_channels {
            return Err(Refusal::TooManyIds);
        }
        if self.is_batch {
            let limits = (
                self.max_channels,
                usize::try_from(self.max_body).unwrap_or(usize::MAX),
            );
            return Ok(PublishReply::ReadBatch(Box::new(Batch::new(
                ids,
                self.settings.store_messages,
                headers,
                limits,
            ))));
        }
        if ids.is_empty() {
            return Err(Refusal::NoChannelId);
        }
        let publishes = matches!(self.request.method, "POST" | "PUT");
        let mut channels = SmallVec::new();
        for ChannelRef { id, .. } in &ids {
            may_change(self.broker, id)?;
            if publishes {
                channels.push(self.broker.find_or_create(id).map_err(refusal_of)?);
            }
            if self.request.method != "GET" && self.broker.is_events_channel(id) {
                return Err(Refusal::EventsChannel);
            }
        }
        let notation = Notation::accepted(self.request.header("accept"));
        if self.request.method == "GET" {
            return Ok(PublishReply::Respond(self.info(&ids, notation, &headers)));
        }
        let header = |name| self.request.header(name).map(Bytes::copy_from_slice);
        let action = if publishes {
            Action::Publish {
                channels,
                event_id: header(EVENT_ID),
                event_type: header(EVENT_TYPE),
                store: self.settings.store_messages,
            }
        } else {
            Action::Delete { ids }
        };
        let manner = ReplyTraits {
            notation,
            shows_info: self.settings.channel_info_on_publish,
            headers,
        };
        Ok(PublishReply::Read(Box::new(Plan {
            action,
            manner,
            argument_alone: None,
        })))
    }

    fn info(&self, ids: &[ChannelRef], notation: Notation, headers: &[u8]) -> Response {
        let found: Vec<ChannelInfo> = ids
            .iter()
            .filter_map(|id| self.broker.find(&id.id))
            .map(|channel| channel.info())
            .collect();
        notation.response(&found, self.broker, false, headers.to_vec())
    }

    /// The cache headers, then CORS.
    fn headers(&self) -> Cow<'static, [u8]> {
        let methods = if self.admin {
            "GET, POST, PUT, DELETE"
        } else {
            "GET, POST, PUT"
        };
        let cors = cors_lines(self.settings, self.variables, methods);
        if cors.is_empty() {
            Cow::Borrowed(NO_CACHE)
        } else {
            Cow::Owned([NO_CACHE, &cors].concat())
        }
    }
}

impl Plan {
    /// A plan of another dialect, which writes its own answer.
    fn of(action: Action) -> Self {
        let manner = ReplyTraits {
            notation: Notation::Plain,
            shows_info: false,
            headers: Cow::Borrowed(b""),
        };
        Self {
            action,
            manner,
            argument_alone: None,
        }
    }

    /// Notes that requests which differ in this query argument only are answered alike: it names
    /// their channels.
    pub fn set_argument_alone(&mut self, name: Option<Bytes>) {
        self.argument_alone = name;
    }

    /// The query argument that names the channels of such requests, which differ in nothing else.
    #[must_use]
    pub fn argument_alone(&self) -> Option<&Bytes> {
        self.argument_alone.as_ref()
    }

    /// The plan for further messages that are published in the same way, and answered with these
    /// further header lines.
    #[must_use]
    pub fn repeatable(mut self, added: &[u8]) -> Option<Repeatable> {
        let Action::Publish {
            event_id,
            event_type,
            store,
            ..
        } = self.action
        else {
            return None;
        };
        let model = NewMessage {
            event_id,
            event_type,
            ..NewMessage::default()
        };
        if !added.is_empty() {
            self.manner.headers.to_mut().extend_from_slice(added);
        }
        Some(Repeatable::new(model, store, self.manner))
    }

    /// Header lines that every answer of the location carries.
    #[must_use]
    pub fn headers(&self) -> &[u8] {
        &self.manner.headers
    }

    /// Bytes of memory that it keeps of the request while the body comes in.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        let action = match &self.action {
            Action::Publish {
                channels,
                event_id,
                event_type,
                ..
            } => {
                let text = |text: &Option<Bytes>| text.as_ref().map_or(0, Bytes::len);
                size_of_val(&channels[..]) + text(event_id) + text(event_type)
            }
            Action::Delete { ids } => channels_path::own_bytes(ids),
            Action::Nhpm(publication) => publication.own_bytes(),
            Action::Nchan(publishing) => publishing.own_bytes(),
        };
        size_of::<Self>() + self.manner.headers.len() + action
    }

    /// The content type of the message, where it is known before the body.
    #[must_use]
    pub fn content_type(&self) -> Option<Bytes> {
        if let Action::Nchan(publishing) = &self.action {
            publishing.content_type()
        } else {
            None
        }
    }

    /// As [`Plan::finish`], with another message than that of the request.
    #[must_use]
    pub fn finish_with(
        &self,
        broker: &Broker,
        text: Bytes,
        content_type: Option<Bytes>,
    ) -> Response {
        match &self.action {
            Action::Nchan(publishing) => publishing.finish_with(broker, text, content_type),
            _ => self.finish(broker, text),
        }
    }

    /// Answers the request with its body.
    #[must_use]
    pub fn finish(&self, broker: &Broker, body: Bytes) -> Response {
        match &self.action {
            Action::Delete { ids } => self.delete(broker, ids, &body),
            Action::Nhpm(publication) => publication.finish(broker, body),
            Action::Nchan(publishing) => publishing.finish(broker, body),
            Action::Publish { .. } if body.is_empty() => {
                Refusal::EmptyBody.response(&self.manner.headers[NO_CACHE.len()..], false)
            }
            Action::Publish {
                channels,
                event_id,
                event_type,
                store,
            } => {
                let message = NewMessage {
                    text: body,
                    event_id: event_id.clone(),
                    event_type: event_type.clone(),
                    ..NewMessage::default()
                };
                self.publish(broker, channels, message, *store)
            }
        }
    }

    fn publish(
        &self,
        broker: &Broker,
        channels: &[Arc<Channel>],
        message: NewMessage,
        store: bool,
    ) -> Response {
        let mut infos: SmallVec<[ChannelInfo; 1]> = SmallVec::new();
        for (channel, message) in message.for_each(channels) {
            match broker.publish(channel, message, store) {
                Ok(info) => infos.push(info),
                Err(_no_room) => return self.manner.refuse_without_room(),
            }
        }
        if !self.manner.shows_info {
            return self.manner.answer_without_info();
        }
        if channels.len() > 1 {
            // A channel may be there twice: all counts are those after the last message.
            infos = channels.iter().map(|channel| channel.info()).collect();
        }
        self.manner
            .notation
            .response(&infos, broker, false, self.manner.headers.clone())
    }

    fn delete(&self, broker: &Broker, ids: &[ChannelRef], body: &Bytes) -> Response {
        let text = Some(body).filter(|body| !body.is_empty());
        let headers = self.manner.headers.clone();
        let mut deleted = false;
        for id in ids {
            match broker.delete(&id.id, text.cloned()) {
                Ok(removed) => deleted |= removed,
                Err(_no_room) => return Response::header_only(Status::INTERNAL, headers),
            }
        }
        if deleted {
            return Response::header_only(Status::OK, headers)
                .with_headers(explain_line("Channel deleted.").as_bytes());
        }
        Response::header_only(Status::NOT_FOUND, headers)
    }
}

impl ReplyTraits {
    fn answer_without_info(&self) -> Response {
        Response::header_only(Status::OK, self.headers.clone())
    }

    fn refuse_without_room(&self) -> Response {
        Response::error_page(Status::INTERNAL)
            .with_headers(&self.headers)
            .closing()
    }
}

/// Whether a channel with this id may be published to or changed.
pub(super) fn may_change(broker: &Broker, id: &[u8]) -> Result<(), Refusal> {
    if id == b"ALL" || memchr::memchr(b'*', id).is_some() {
        return Err(Refusal::ForbiddenId);
    }
    if broker
        .settings()
        .max_channel_id_length
        .is_some_and(|most| id.len() as u64 > most)
    {
        return Err(Refusal::IdTooLong);
    }
    Ok(())
}

fn refusal_of(error: CreateError) -> Refusal {
    match error {
        CreateError::TooManyChannels => Refusal::TooManyChannels,
        CreateError::OutOfMemory(_) => Refusal::OutOfMemory,
    }
}
