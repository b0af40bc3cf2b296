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
use smallvec::SmallVec;

use super::events;
use super::events::ChannelEvent;
use super::info::{self, NchanChannelStats};
use super::publication::{
    Confirmation, Publication, PublicationError, check_settings, combined_stats,
};
use super::variables::NchanValues;
use super::{NamedChannels, cors};
use crate::protocol::EVENTSOURCE_EVENT;
use crate::server::broker::{Broker, ChannelInfo, PublishError, Tickets};
use crate::server::config::NchanSettings;
use crate::server::endpoint::notation::AcceptedNotation;
use crate::server::endpoint::outcome::{TOO_MANY_PENDING, UNACKNOWLEDGED};
use crate::server::endpoint::{PublishCall, PublishOutcome, PublishReply};
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::nchan;

/// A message whose body is being read.
pub(in crate::server) struct NchanPublishing {
    pub(in crate::server) publication: Publication,
    content_type: Option<Bytes>,
    reply: NchanReplyTraits,
}

/// The parts of a response that do not depend on the message.
#[derive(Clone)]
struct NchanReplyTraits {
    notation: AcceptedNotation,
    cors: HeaderList,
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
            let is_page = response.head.content_type.as_deref() == Some(b"text/html");
            PublishReply::Respond(if is_page {
                *response
            } else {
                response.with_headers(&cors.headers)
            })
        }
    }
}

fn try_respond(
    call: &PublishCall<'_>,
    settings: &Arc<NchanSettings>,
    cors: &cors::Cors,
) -> Result<PublishReply<NchanPublishing>, Box<Response>> {
    if call.grant.check_page().is_err() {
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
    let is_permitted = named.keys.iter().all(|key| call.is_permitted(key));
    if named.keys.len() > call.max_channels || !is_permitted {
        return Err(Box::new(nchan::empty(Status::FORBIDDEN)));
    }
    if is_post {
        return publish(call, settings, &named, cors);
    }
    let notation = info::accepted(call.request.header("accept"));
    check_settings(settings, call.variables)?;
    if call.request.method == "DELETE" {
        let headers = cors.headers.clone();
        let outcome = delete(call, settings, &named, notation);
        return Ok(outcome
            .map(move |response| response.with_headers(&headers))
            .into());
    }
    let response = channel_info(call.broker, &named, notation);
    Ok(PublishReply::Respond(response.with_headers(&cors.headers)))
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
        call.grant,
        call.broker,
        call.variables,
        "http",
        header(EVENTSOURCE_EVENT),
    )?;
    let publishing = NchanPublishing {
        publication,
        content_type: header("content-type"),
        reply: NchanReplyTraits {
            notation: info::accepted(call.request.header("accept")),
            cors: cors.headers.clone(),
        },
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
) -> PublishOutcome {
    let values = NchanValues {
        channel_ids: named.ids.clone(),
        publisher_type: "http",
        event: "channel_delete",
        ..NchanValues::default()
    };
    let event = ChannelEvent::new(settings, call.variables, &values);
    let broker = call.broker.clone();
    let respond = move |result: Result<SmallVec<[Option<ChannelInfo>; 1]>, PublishError>| {
        let infos = match result {
            Ok(infos) => infos,
            Err(error) => return publish_failed(error),
        };
        if infos.iter().all(Option::is_none) {
            return nchan::empty(Status::NOT_FOUND);
        }
        events::emit(&broker, event.as_ref());
        deletion_stats(&infos).response(Status::OK, notation)
    };
    let keys = named.keys.iter();
    let deletions = keys.map(|key| call.broker.delete_and_recreate(key));
    match Tickets::collect(deletions) {
        Tickets::Ready(result) => PublishOutcome::Ready(respond(result)),
        Tickets::Pending(tickets) => {
            PublishOutcome::pending(async move { respond(tickets.settle().await) })
        }
    }
}

/// The statistics of deleted channels; `None` for a channel that did not exist.
fn deletion_stats(infos: &[Option<ChannelInfo>]) -> NchanChannelStats {
    if let [Some(info)] = infos {
        return NchanChannelStats::of(info);
    }
    let deleted: Vec<ChannelInfo> = infos.iter().flatten().cloned().collect();
    NchanChannelStats {
        messages: 0,
        subscribers: 0,
        ..combined_stats(&deleted)
    }
}

/// The response to a request that was not carried out, or may not have been.
pub(super) fn publish_failed(error: PublishError) -> Response {
    match error {
        PublishError::Rejected(_no_room) => Response::error_page(Status::INTERNAL).closing(),
        PublishError::TooManyPending => nchan::text(Status(503), TOO_MANY_PENDING),
        PublishError::Unacknowledged => nchan::text(Status(503), UNACKNOWLEDGED),
    }
}

impl NchanPublishing {
    /// Memory held for the request, in bytes.
    pub(in crate::server) fn own_bytes(&self) -> usize {
        size_of::<Self>()
            + self.publication.channel_count() * size_of::<usize>()
            + self.content_type.as_ref().map_or(0, Bytes::len)
            + self.reply.cors.byte_len()
    }

    /// Publishes the body.
    pub(in crate::server) fn finish(&self, broker: &Broker, body: Bytes) -> PublishOutcome {
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
    ) -> PublishOutcome {
        match self.publication.publish(broker, body, content_type) {
            PublishOutcome::Ready(confirmation) => {
                PublishOutcome::Ready(self.reply.respond(confirmation))
            }
            PublishOutcome::Pending(pending) => {
                let reply = self.reply.clone();
                PublishOutcome::pending(async move { reply.respond(pending.await) })
            }
        }
    }
}

impl NchanReplyTraits {
    fn respond(&self, confirmation: Confirmation) -> Response {
        match confirmation {
            Ok((status, numbers)) => numbers
                .response(status, self.notation)
                .with_headers(&self.cors),
            Err(PublicationError::Group(full)) => {
                nchan::text(Status::FORBIDDEN, &full.to_string()).with_headers(&self.cors)
            }
            Err(PublicationError::Publish(error @ PublishError::Rejected(_))) => {
                publish_failed(error)
            }
            Err(PublicationError::Publish(error)) => publish_failed(error).with_headers(&self.cors),
        }
    }
}
