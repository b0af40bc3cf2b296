//! Publisher locations of nchan (nhpm-nchan.md, section 2.4).
//!
//! | method | answer |
//! |---|---|
//! | GET | 200 channel info, 404 |
//! | POST, PUT | 201 if there are subscribers, 202; 403, 413, 500, 503 |
//! | DELETE | 200 channel info from before, 404 |
//!
//! Settings that are variables are evaluated for every request, GET too; a wrong one is answered
//! with 403.

use std::sync::Arc;

use bytes::Bytes;

use super::{Action, Call, Plan, PublishReply};
use crate::protocol::EVENTSOURCE_EVENT;
use crate::server::broker::{Broker, ChannelInfo};
use crate::server::config::NchanSettings;
use crate::server::dialect::nchan::events::{self, Event};
use crate::server::dialect::nchan::info::{Notation, Numbers};
use crate::server::dialect::nchan::publication::{
    Publication, Unpublished, check_settings, together,
};
use crate::server::dialect::nchan::variables::Values;
use crate::server::dialect::nchan::{self, Named, cors};
use crate::server::response::{Response, Status};

/// A message on its way to its channels.
pub(super) struct Publishing {
    publication: Publication,
    content_type: Option<Bytes>,
    notation: Notation,
    cors: Vec<u8>,
}

/// Answers a request of a publisher.
pub(super) fn answer(call: &Call<'_>, settings: &Arc<NchanSettings>) -> PublishReply {
    let cors = cors::of_request(settings, call.variables);
    match act(call, settings, &cors) {
        Ok(answer) => answer,
        Err(response) => {
            let is_page = response.content_type.as_deref() == Some(b"text/html");
            PublishReply::Respond(if is_page {
                *response
            } else {
                response.with_headers(&cors.lines)
            })
        }
    }
}

fn act(
    call: &Call<'_>,
    settings: &Arc<NchanSettings>,
    cors: &cors::Cors,
) -> Result<PublishReply, Box<Response>> {
    if cors.is_refused {
        return Err(Box::new(nchan::empty(Status::FORBIDDEN)));
    }
    let is_post = matches!(call.request.method, "POST" | "PUT");
    if settings.redis {
        return Err(Box::new(if is_post {
            Response::error_page(Status(503))
        } else {
            nchan::empty(Status(503))
        }));
    }
    let named = nchan::channels(settings, &settings.publisher_ids, call.variables)?;
    let is_forbidden = named.keys.len() > call.max_channels
        || named
            .keys
            .iter()
            .any(|key| call.broker.is_events_channel(key));
    let changes = is_post || call.request.method == "DELETE";
    if is_forbidden || (changes && nchan::is_intrusive(settings, &named.group)) {
        return Err(Box::new(nchan::empty(Status::FORBIDDEN)));
    }
    let notation = Notation::accepted(call.request.header("accept"));
    if is_post {
        let event_type = call
            .request
            .header(EVENTSOURCE_EVENT)
            .map(Bytes::copy_from_slice);
        let publication = Publication::new(
            settings,
            &named,
            call.broker,
            (call.variables, "http"),
            event_type,
        )?;
        let content_type = call
            .request
            .header("content-type")
            .map(Bytes::copy_from_slice);
        let publishing = Publishing {
            publication,
            content_type,
            notation,
            cors: cors.lines.clone(),
        };
        return Ok(PublishReply::Read(Box::new(Plan::of(Action::Nchan(
            Box::new(publishing),
        )))));
    }
    check_settings(settings, call.variables)?;
    let response = if call.request.method == "DELETE" {
        delete(call, settings, &named, notation)
    } else {
        look(call.broker, &named, notation)
    };
    Ok(PublishReply::Respond(response.with_headers(&cors.lines)))
}

fn look(broker: &Broker, named: &Named, notation: Notation) -> Response {
    match named.keys.as_slice() {
        [key] => match broker.find(key).map(|channel| broker.touch(&channel)) {
            Some(info) => notation.response(Status::OK, Numbers::of(&info).body(notation)),
            None => nchan::empty(Status::NOT_FOUND),
        },
        _ => nchan::empty(Status::NOT_FOUND),
    }
}

fn delete(
    call: &Call<'_>,
    settings: &NchanSettings,
    named: &Named,
    notation: Notation,
) -> Response {
    let values = Values {
        channel_ids: named.ids.clone(),
        publisher_type: "http",
        event: "channel_delete",
        ..Values::default()
    };
    let event = Event::new(settings, call.variables, &values);
    let mut infos: Vec<ChannelInfo> = Vec::new();
    for key in &named.keys {
        match call.broker.delete_and_recreate(key) {
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
        infos => Numbers {
            messages: 0,
            subscribers: 0,
            ..together(infos)
        },
    };
    notation.response(Status::OK, numbers.body(notation))
}

impl Publishing {
    /// Bytes that it keeps of the request.
    pub(super) fn own_bytes(&self) -> usize {
        self.publication.channel_count() * size_of::<usize>()
            + self.content_type.as_ref().map_or(0, Bytes::len)
            + self.cors.len()
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
    pub(super) fn finish_with(
        &self,
        broker: &Broker,
        body: Bytes,
        content_type: Option<Bytes>,
    ) -> Response {
        match self.publication.publish(broker, body, content_type) {
            Ok((status, numbers)) => self
                .notation
                .response(status, numbers.body(self.notation))
                .with_headers(&self.cors),
            Err(Unpublished::Group(full)) => {
                nchan::text(Status::FORBIDDEN, &full.to_string()).with_headers(&self.cors)
            }
            Err(Unpublished::NoRoom) => Response::error_page(Status::INTERNAL).closing(),
        }
    }
}
