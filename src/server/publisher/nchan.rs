//! Publisher locations of nchan (NHPM and nchan reference, section 2.4).
//!
//! | method | answer |
//! |---|---|
//! | GET | 200 channel info, 404 |
//! | POST, PUT | 201 if there are subscribers, 202; 403, 413, 500, 503 |
//! | DELETE | 200 channel info from before, 404 |
//!
//! Settings that are variables are evaluated for every request, GET too; a wrong one is answered with 403.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Action, Answer, Call, Plan};
use crate::message::unix_now;
use crate::protocol::EVENTSOURCE_EVENT;
use crate::server::broker::{Attributes, Broker, Channel, ChannelInfo, GroupFull, Keeping, NewMessage};
use crate::server::config::nchan::Setting;
use crate::server::config::{NchanSettings, Variables};
use crate::server::dialect::nchan::events::{self, Event};
use crate::server::dialect::nchan::info::{Notation, Numbers};
use crate::server::dialect::nchan::variables::Values;
use crate::server::dialect::nchan::{self, Named, cors, deflate, groups};
use crate::server::response::{Response, Status};

/// Where the messages of a request or websocket go, and how.
#[derive(Clone, Debug)]
pub struct Publication {
    channels: SmallVec<[Arc<Channel>; 1]>,
    group: Option<Bytes>,
    settings: Arc<NchanSettings>,
    timeout: Option<Duration>,
    buffer_length: u64,
    event_type: Option<Bytes>,
    event: Option<Event>,
}

/// A message on its way to its channels.
pub(super) struct Publishing {
    publication: Publication,
    content_type: Option<Bytes>,
    notation: Notation,
    cors: Vec<u8>,
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpublished {
    /// A limit of its group is in the way.
    Group(GroupFull),
    /// There is no room for it.
    NoRoom,
}

/// Answers a request of a publisher.
pub(super) fn answer(call: &Call<'_>, settings: &Arc<NchanSettings>) -> Answer {
    let cors = cors::of_request(settings, call.variables);
    match act(call, settings, &cors) {
        Ok(answer) => answer,
        Err(response) => {
            let is_page = response.content_type.as_deref() == Some(b"text/html");
            Answer::Respond(if is_page { *response } else { response.with_headers(&cors.lines) })
        }
    }
}

fn act(call: &Call<'_>, settings: &Arc<NchanSettings>, cors: &cors::Cors) -> Result<Answer, Box<Response>> {
    if cors.is_refused {
        return Err(Box::new(nchan::empty(Status::FORBIDDEN)));
    }
    let is_post = matches!(call.request.method, "POST" | "PUT");
    if settings.redis {
        return Err(Box::new(if is_post { Response::error_page(Status(503)) } else { nchan::empty(Status(503)) }));
    }
    let named = nchan::channels(settings, &settings.publisher_ids, call.variables)?;
    if named.keys.iter().any(|key| call.broker.is_events_channel(key)) {
        return Err(Box::new(nchan::empty(Status::FORBIDDEN)));
    }
    let notation = Notation::accepted(call.request.header("accept"));
    if is_post {
        let event_type = call.request.header(EVENTSOURCE_EVENT).map(Bytes::copy_from_slice);
        let publication = Publication::new(settings, &named, call.broker, (call.variables, "http"), event_type)?;
        let content_type = call.request.header("content-type").map(Bytes::copy_from_slice);
        let publishing = Publishing { publication, content_type, notation, cors: cors.lines.clone() };
        return Ok(Answer::Read(Box::new(Plan::of(Action::Nchan(Box::new(publishing))))));
    }
    check_settings(settings, call.variables)?;
    let response =
        if call.request.method == "DELETE" { delete(call, settings, &named, notation) } else { look(call.broker, &named, notation) };
    Ok(Answer::Respond(response.with_headers(&cors.lines)))
}

/// The evaluated time-out and length of the buffer.
fn check_settings(settings: &NchanSettings, variables: &dyn Variables) -> Result<(Option<Duration>, u64), Box<Response>> {
    let refused = |what: &str, name: &str| Box::new(nchan::text(Status::FORBIDDEN, &format!("{what} {name} value")));
    let evaluated = |expression: &crate::server::config::Expression, name: &str| -> Result<Vec<u8>, Box<Response>> {
        let value: Cow<'_, [u8]> = expression.evaluate(variables);
        if value.is_empty() { Err(refused("missing", name)) } else { Ok(value.into_owned()) }
    };
    let timeout = match &settings.message_timeout {
        Setting::Fixed(timeout) => *timeout,
        Setting::Variable(expression) => {
            const NAME: &str = "nchan_message_timeout";
            let value = evaluated(expression, NAME)?;
            let time = crate::server::config::nginx::time(&value).ok_or_else(|| refused("invalid", NAME))?;
            Some(time).filter(|time| !time.is_zero())
        }
    };
    let length = match &settings.message_buffer_length {
        Setting::Fixed(length) => *length,
        Setting::Variable(expression) => {
            const NAME: &str = "nchan_message_buffer_length";
            let value = evaluated(expression, NAME)?;
            crate::server::config::nginx::number(&value).ok_or_else(|| refused("invalid", NAME))?
        }
    };
    Ok((timeout, length))
}

fn look(broker: &Broker, named: &Named, notation: Notation) -> Response {
    match named.keys.as_slice() {
        [key] => match broker.find(key).map(|channel| broker.refreshed(&channel)) {
            Some(info) => notation.response(Status::OK, Numbers::of(&info).body(notation)),
            None => nchan::empty(Status::NOT_FOUND),
        },
        _ => nchan::empty(Status::NOT_FOUND),
    }
}

fn delete(call: &Call<'_>, settings: &NchanSettings, named: &Named, notation: Notation) -> Response {
    let values = Values { channel_ids: named.ids.clone(), publisher_type: "http", event: "channel_delete", ..Values::default() };
    let event = Event::new(settings, call.variables, &values);
    let mut infos: Vec<ChannelInfo> = Vec::new();
    for key in &named.keys {
        match call.broker.delete_leaving(key) {
            Ok(info) => infos.extend(info),
            Err(_no_room) => return Response::error_page(Status::INTERNAL).closing(),
        }
    }
    if infos.is_empty() {
        return nchan::empty(Status::NOT_FOUND);
    }
    events::emit(call.broker, event.as_ref());
    let numbers = match infos.as_slice() {
        [info] if named.keys.len() == 1 => Numbers::of(info),
        infos => Numbers { messages: 0, subscribers: 0, ..together(infos) },
    };
    notation.response(Status::OK, numbers.body(notation))
}

/// What is told of several channels.
fn together(infos: &[ChannelInfo]) -> Numbers {
    let requested = infos.iter().map(|info| info.requested).max().unwrap_or(0);
    Numbers {
        messages: 1,
        requested: Some(requested).filter(|since| *since > 0).map(|since| unix_now().saturating_sub(since)),
        subscribers: infos.iter().map(|info| info.subscribers).sum(),
        last_message_id: "0".to_owned(),
    }
}

impl Publication {
    /// Makes the channels and looks up what holds for their messages. `over` is how the messages come: `http` or `websocket`.
    ///
    /// # Errors
    /// The answer, if something is in the way.
    pub fn new(
        settings: &Arc<NchanSettings>,
        named: &Named,
        broker: &Broker,
        (variables, over): (&dyn Variables, &'static str),
        event_type: Option<Bytes>,
    ) -> Result<Self, Box<Response>> {
        let (timeout, buffer_length) = check_settings(settings, variables)?;
        let group = settings.group_accounting.then(|| named.group.clone());
        if let Some(group) = &group {
            groups::set_limits(broker, group, &settings.group_limits, variables)?;
            for key in &named.keys {
                let may = broker.group_info(group).may_publish(0, broker.find(key).is_none());
                may.map_err(|full| Box::new(nchan::text(Status::FORBIDDEN, &full.to_string())))?;
            }
        }
        let mut channels = SmallVec::new();
        for key in &named.keys {
            channels.push(broker.find_or_create(key).map_err(|_no_room| Box::new(Response::error_page(Status::INTERNAL).closing()))?);
        }
        let values = Values { channel_ids: named.ids.clone(), publisher_type: over, event: "channel_publish", ..Values::default() };
        let event = Event::new(settings, variables, &values);
        let event_type = settings.eventsource_event.clone().or(event_type);
        Ok(Self { channels, group, settings: Arc::clone(settings), timeout, buffer_length, event_type, event })
    }

    /// Publishes a message to every channel; tells what is to be told of it.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn publish(&self, broker: &Broker, text: Bytes, content_type: Option<Bytes>) -> Result<(Status, Numbers), Unpublished> {
        if let Some(group) = &self.group {
            broker.group_info(group).may_publish(text.len() as u64, false).map_err(Unpublished::Group)?;
        }
        let settings = &self.settings;
        let attributes = Attributes {
            content_type,
            expires_after: Some(self.timeout.map_or(u64::MAX, |timeout| unix_now().saturating_add(timeout.as_secs()))),
            deflated: if settings.deflate_message { deflate::compressed(&text, settings.deflate) } else { None },
            ..Attributes::default()
        };
        let message = NewMessage { text, event_id: None, event_type: self.event_type.clone(), attributes: Some(Arc::new(attributes)) };
        let store = settings.store_messages && self.buffer_length > 0;
        let keeping = Keeping { store, max_stored: settings.store_messages.then_some(self.buffer_length), counts: true };
        let mut infos: SmallVec<[ChannelInfo; 1]> = SmallVec::new();
        for channel in &self.channels {
            infos.push(broker.publish_keeping(channel, &message, keeping).map_err(|_| Unpublished::NoRoom)?);
        }
        events::emit(broker, self.event.as_ref());
        let numbers = if let [info] = infos.as_slice() { Numbers::of(info) } else { together(&infos) };
        let status = if infos.iter().any(|info| info.subscribers > 0) { Status(201) } else { Status(202) };
        Ok((status, numbers))
    }
}

impl Publishing {
    /// Bytes that it keeps of the request.
    pub(super) fn own_bytes(&self) -> usize {
        size_of_val(&self.publication.channels[..]) + self.content_type.as_ref().map_or(0, Bytes::len) + self.cors.len()
    }

    /// Publishes the body.
    pub(super) fn finish(&self, broker: &Broker, body: Bytes) -> Response {
        self.finish_with(broker, body, self.content_type.clone())
    }

    /// The content type of the message.
    pub(super) fn content_type(&self) -> Option<Bytes> {
        self.content_type.clone()
    }

    /// Publishes another message than that of the request.
    pub(super) fn finish_with(&self, broker: &Broker, body: Bytes, content_type: Option<Bytes>) -> Response {
        match self.publication.publish(broker, body, content_type) {
            Ok((status, numbers)) => self.notation.response(status, numbers.body(self.notation)).with_headers(&self.cors),
            Err(Unpublished::Group(full)) => nchan::text(Status::FORBIDDEN, &full.to_string()).with_headers(&self.cors),
            Err(Unpublished::NoRoom) => Response::error_page(Status::INTERNAL).closing(),
        }
    }
}
