//! Publisher locations of nchan (nhpm-nchan.md, section 2.4).
//!
//! | method | response |
//! |---|---|
//! | GET | 200 channel info, 404 |
//! | POST, PUT | 201 if there are subscribers, 202; 403, 413, 500, 503 |
//! | DELETE | 200 channel info before the deletion, 404 |
//!
//! Settings that contain variables are evaluated for every request, including GET; an invalid value
//! results in 403.

use std::sync::Arc;

use bytes::Bytes;

use super::events;
use super::events::ChannelEvent;
use super::info::{self, NchanChannelStats};
use super::publication::{Publication, PublishError, check_settings, combined_stats};
use super::variables::NchanValues;
use super::{NamedChannels, cors};
use crate::protocol::EVENTSOURCE_EVENT;
use crate::server::broker::{Broker, ChannelInfo};
use crate::server::config::NchanSettings;
use crate::server::endpoint::notation::AcceptedNotation;
use crate::server::endpoint::{PublishCall, PublishReply};
use crate::server::exchange::response::{Response, Status};
use crate::server::nchan;

/// A message whose body is being read.
pub(in crate::server) struct NchanPublishing {
    pub(in crate::server) publication: Publication,
    content_type: Option<Bytes>,
    notation: AcceptedNotation,
    cors: Vec<u8>,
}

/// Responds to a publisher's request, or plans what to do with its body.
pub(in crate::server) fn respond(
    call: &PublishCall<'_>,
    settings: &Arc<NchanSettings>,
) -> PublishReply<NchanPublishing> {
    let cors = cors::of_request(settings, call.variables);
    match try_respond(call, settings, &cors) {
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

fn try_respond(
    call: &PublishCall<'_>,
    settings: &Arc<NchanSettings>,
    cors: &cors::Cors,
) -> Result<PublishReply<NchanPublishing>, Box<Response>> {
    if cors.is_rejected {
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
    if is_forbidden || (changes && nchan::is_forged_event_group(settings, &named.group)) {
        return Err(Box::new(nchan::empty(Status::FORBIDDEN)));
    }
    if is_post {
        return publish(call, settings, &named, cors);
    }
    let notation = info::accepted(call.request.header("accept"));
    check_settings(settings, call.variables)?;
    let response = if call.request.method == "DELETE" {
        delete(call, settings, &named, notation)
    } else {
        channel_info(call.broker, &named, notation)
    };
    Ok(PublishReply::Respond(response.with_headers(&cors.lines)))
}

/// Creates the channels; the message is published when the body is complete.
fn publish(
    call: &PublishCall<'_>,
    settings: &Arc<NchanSettings>,
    named: &NamedChannels,
    cors: &cors::Cors,
) -> Result<PublishReply<NchanPublishing>, Box<Response>> {
    let header = |name| call.request.header(name).map(Bytes::copy_from_slice);
    let publication = Publication::new(
        settings,
        named,
        call.broker,
        call.variables,
        "http",
        header(EVENTSOURCE_EVENT),
    )?;
    let publishing = NchanPublishing {
        publication,
        content_type: header("content-type"),
        notation: info::accepted(call.request.header("accept")),
        cors: cors.lines.clone(),
    };
    Ok(PublishReply::Read(Box::new(publishing)))
}

fn channel_info(broker: &Broker, named: &NamedChannels, notation: AcceptedNotation) -> Response {
    match named.keys.as_slice() {
        [key] => match broker
            .find(key)
            .map(|channel| broker.requests().touch(&channel))
        {
            Some(info) => NchanChannelStats::of(&info).response(Status::OK, notation),
            None => nchan::empty(Status::NOT_FOUND),
        },
        _ => nchan::empty(Status::NOT_FOUND),
    }
}

fn delete(
    call: &PublishCall<'_>,
    settings: &NchanSettings,
    named: &NamedChannels,
    notation: AcceptedNotation,
) -> Response {
    let values = NchanValues {
        channel_ids: named.ids.clone(),
        publisher_type: "http",
        event: "channel_delete",
        ..NchanValues::default()
    };
    let event = ChannelEvent::new(settings, call.variables, &values);
    let mut infos: Vec<ChannelInfo> = Vec::new();
    for key in &named.keys {
        match call.broker.requests().delete_and_recreate(key) {
            Ok(info) => infos.extend(info),
            Err(_no_room) => return Response::error_page(Status::INTERNAL).closing(),
        }
    }
    if infos.is_empty() {
        return nchan::empty(Status::NOT_FOUND);
    }
    events::emit(call.broker, event.as_ref());
    let numbers = match infos.as_slice() {
        [info] if named.keys.len() == 1 => NchanChannelStats::of(info),
        infos => NchanChannelStats {
            messages: 0,
            subscribers: 0,
            ..combined_stats(infos)
        },
    };
    numbers.response(Status::OK, notation)
}

impl NchanPublishing {
    /// Memory held for the request, in bytes.
    pub(in crate::server) fn own_bytes(&self) -> usize {
        size_of::<Self>()
            + self.publication.channel_count() * size_of::<usize>()
            + self.content_type.as_ref().map_or(0, Bytes::len)
            + self.cors.len()
    }

    /// Publishes the body.
    pub(in crate::server) fn finish(&self, broker: &Broker, body: Bytes) -> Response {
        self.finish_with(broker, body, self.content_type.clone())
    }

    /// The content type of the message.
    pub(in crate::server) fn content_type(&self) -> Option<Bytes> {
        self.content_type.clone()
    }

    /// Publishes a message other than the body of the request.
    pub(in crate::server) fn finish_with(
        &self,
        broker: &Broker,
        body: Bytes,
        content_type: Option<Bytes>,
    ) -> Response {
        match self.publication.publish(broker, body, content_type) {
            Ok((status, numbers)) => numbers
                .response(status, self.notation)
                .with_headers(&self.cors),
            Err(PublishError::Group(full)) => {
                nchan::text(Status::FORBIDDEN, &full.to_string()).with_headers(&self.cors)
            }
            Err(PublishError::NoRoom) => Response::error_page(Status::INTERNAL).closing(),
        }
    }
}
