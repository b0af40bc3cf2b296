//! Publisher locations of NHPM (nhpm-nchan.md, section 1.3).
//!
//! | method | response |
//! |---|---|
//! | GET | 200 channel info, 404 |
//! | POST, PUT | 201 if a subscriber was waiting, 202; 413, 500 |
//! | DELETE | 200 channel info before the deletion, 404 |
//! | OPTIONS | 200 |
//! | any other | 405 |
//!
//! 404 without a channel id.

use std::sync::Arc;

use bytes::Bytes;

use super::info;
use crate::message::unix_now;
use crate::server::broker::channel_key::channel_key;
use crate::server::broker::{
    Attributes, Broker, Channel, ChannelInfo, NewMessage, PublishError, StoreOptions, Ticket,
};
use crate::server::config::NhpmSettings;
use crate::server::endpoint::notation::AcceptedNotation;
use crate::server::endpoint::outcome::{TOO_MANY_PENDING, UNACKNOWLEDGED};
use crate::server::endpoint::{PublishCall, PublishOutcome, PublishReply};
use crate::server::exchange::response::{HeaderList, Response, Status};
use crate::server::nhpm;

/// A message whose body is being read.
pub(in crate::server) struct NhpmPublication {
    channel: Arc<Channel>,
    settings: Arc<NhpmSettings>,
    content_type: Option<Bytes>,
    notation: AcceptedNotation,
}

pub(in crate::server) fn respond(
    call: &PublishCall<'_>,
    settings: &Arc<NhpmSettings>,
) -> PublishReply<NhpmPublication> {
    let id = settings
        .channel_id
        .evaluate_name(call.variables)
        .unwrap_or_default();
    if id.is_empty() {
        return PublishReply::Respond(nhpm::no_channel_id());
    }
    let key = channel_key(&settings.channel_group, &id);
    if id.len() as u64 > settings.max_channel_id_length || !call.is_permitted(&key) {
        return PublishReply::Respond(Response::header_only(
            Status::FORBIDDEN,
            HeaderList::default(),
        ));
    }
    call.broker
        .requests()
        .keep_alive(&key, settings.channel_timeout);
    let notation = info::accepted(call.request.header("accept"));
    PublishReply::Respond(match call.request.method {
        "OPTIONS" => nhpm::options("Content-Type, Origin", METHODS),
        "GET" => info_response(
            call.broker
                .find(&key)
                .map(|channel| call.broker.requests().touch(&channel)),
            notation,
        ),
        "DELETE" => return delete(call.broker, &key, notation).into(),
        "POST" | "PUT" => match call.broker.find_or_create(&key) {
            Ok(channel) => {
                call.broker
                    .requests()
                    .keep_alive(&key, settings.channel_timeout);
                let content_type = call
                    .request
                    .header("content-type")
                    .map(Bytes::copy_from_slice);
                let publication = NhpmPublication {
                    channel,
                    settings: Arc::clone(settings),
                    content_type,
                    notation,
                };
                return PublishReply::Read(Box::new(publication));
            }
            Err(_no_room) => Response::error_page(Status::INTERNAL).closing(),
        },
        _ => nhpm::not_allowed(METHODS),
    })
}

/// Deletes a channel. The response has its state before.
fn delete(broker: &Broker, key: &Bytes, notation: AcceptedNotation) -> PublishOutcome {
    let info = broker
        .find(key)
        .map(|channel| broker.requests().touch(&channel));
    // The configured deletion message always fits into memory.
    let respond = move |deleted: Result<bool, PublishError>| match deleted {
        Err(error @ (PublishError::TooManyPending | PublishError::Unacknowledged)) => {
            publish_failed(error)
        }
        deleted => info_response(info.filter(|_| deleted.unwrap_or(false)), notation),
    };
    match broker.delete(key, None) {
        Ticket::Ready(deleted) => PublishOutcome::Ready(respond(deleted)),
        Ticket::Pending(waiter) => PublishOutcome::pending(async move { respond(waiter.await) }),
    }
}

/// The response to a message that was not published, or may not have been.
fn publish_failed(error: PublishError) -> Response {
    match error {
        PublishError::Rejected(_no_room) => Response::error_page(Status::INTERNAL).closing(),
        PublishError::TooManyPending => nhpm::unavailable(TOO_MANY_PENDING),
        PublishError::Unacknowledged => nhpm::unavailable(UNACKNOWLEDGED),
    }
}

const METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS";

fn info_response(info: Option<ChannelInfo>, notation: AcceptedNotation) -> Response {
    match info {
        Some(info) => info::NhpmChannelStats::of(&info).response(Status::OK, notation),
        None => Response::header_only(Status::NOT_FOUND, HeaderList::default()),
    }
}

impl NhpmPublication {
    /// Memory held for the request, in bytes.
    pub(in crate::server) fn own_bytes(&self) -> usize {
        size_of::<Self>() + self.content_type.as_ref().map_or(0, Bytes::len)
    }

    /// Publishes the body.
    pub(in crate::server) fn finish(&self, broker: &Broker, body: Bytes) -> PublishOutcome {
        let settings = &self.settings;
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let attributes = Attributes {
            content_type: self.content_type.clone(),
            expires_after: Some(settings.message_timeout.map_or(u64::MAX, |timeout| {
                unix_now().saturating_add(timeout.as_secs())
            })),
            min_recipients: number(settings.min_message_recipients),
            delete_when_read: settings
                .delete_oldest_received_message
                .then(|| number(settings.min_message_buffer_length)),
            ..Attributes::default()
        };
        let message = NewMessage {
            text: body,
            attributes: Some(Arc::new(attributes)),
            ..NewMessage::default()
        };
        let store = settings.store_messages;
        let max_stored = store.then_some(settings.max_message_buffer_length);
        let keeping = StoreOptions {
            store,
            max_stored,
            takes_channel_tag: false,
        };
        let notation = self.notation;
        match broker.publish(&self.channel, message, keeping) {
            Ticket::Ready(result) => PublishOutcome::Ready(respond_to_message(result, notation)),
            Ticket::Pending(waiter) => {
                PublishOutcome::pending(async move { respond_to_message(waiter.await, notation) })
            }
        }
    }
}

fn respond_to_message(
    result: Result<ChannelInfo, PublishError>,
    notation: AcceptedNotation,
) -> Response {
    let info = match result {
        Ok(info) => info,
        Err(error) => return publish_failed(error),
    };
    let status = if info.subscribers > 0 {
        Status(201)
    } else {
        Status(202)
    };
    // Waiting subscribers leave with the delivery: report the number afterwards, as the module
    // does.
    let subscribers = info.subscribers.saturating_sub(info.waiting);
    info::NhpmChannelStats {
        subscribers,
        ..info::NhpmChannelStats::of(&info)
    }
    .response(status, notation)
}
