//! Long-poll and interval-poll (nhpm-nchan.md, section 2.5).

use std::sync::Arc;

use bytes::Bytes;

use super::ids;
use super::ids::MessageIds;
use super::{NchanFollower, NchanReply, NchanSubscribeCall};
use crate::server::broker::{ChannelReader, ChannelStart, Cursor, Message, read_snapshot};
use crate::server::config::NchanSettings;
use crate::server::config::model::nchan::{FirstMessage, MultipartResponse};
use crate::server::endpoint::SubscribeReply;
use crate::server::endpoint::formats::{FormatKey, FormatKind};
use crate::server::endpoint::one_shot::{self, OneShotEncoder};
use crate::server::exchange::response::{
    HeaderList, HttpDate, Response, ResponseBody, Status, push_line,
};
use crate::server::fanout::{
    Channels, DeliveryBatch, EndReason, FollowerPolicy, ResumePoint, Subscription,
};
use crate::server::nchan;
use crate::server::nchan::VARY;
use crate::server::nchan::message_id::MessageId;
use crate::server::nchan::negotiation::Mode;

/// Maximum size of the messages read for one response, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// Maximum size of the messages in a multipart response, in bytes.
const MAX_MULTIPART_BYTES: usize = 1024 * 1024;

/// Builds the responses for one location and origin.
struct PollResponder {
    settings: Arc<NchanSettings>,
    expose: HeaderList,
    cors: HeaderList,
}

/// The responses to waiting long-polls.
struct NchanLongPollEncoder {
    responder: PollResponder,
    ids: MessageIds,
    /// The Etag of responses without messages: the position of the request.
    position: HeaderList,
    added: HeaderList,
}

pub(super) fn interval_poll(
    subscribing: &NchanSubscribeCall<'_, '_>,
    channels: &Channels,
) -> Response {
    let responder = PollResponder::new(subscribing);
    if let Some(response) = respond_from_backlog(subscribing, &responder, channels) {
        return response;
    }
    let settings = subscribing.settings;
    let mut response = nchan::empty(Status::NOT_MODIFIED);
    let etag = match &subscribing.id {
        Some(id) => {
            response.head.last_modified = responder.last_modified(id);
            responder.etag(id)
        }
        None if settings.compound_etag => responder.etag(&MessageId::single(0, 0)),
        None => HeaderList::default(),
    };
    response
        .with_headers(&etag)
        .with_headers(&VARY)
        .with_headers(&responder.cors)
}

pub(super) fn long_poll(
    subscribing: &NchanSubscribeCall<'_, '_>,
    channels: Channels,
) -> NchanReply {
    let responder = PollResponder::new(subscribing);
    let waits =
        subscribing.id.is_none() && subscribing.settings.first_message == FirstMessage::Newest;
    if !waits && let Some(response) = respond_from_backlog(subscribing, &responder, &channels) {
        return SubscribeReply::Respond(response);
    }
    let call = subscribing.call;
    let ids = MessageIds::new(
        call.broker,
        &subscribing.named.keys,
        subscribing.id.as_ref(),
    );
    let has_messages = channels
        .iter()
        .any(|requested| requested.channel.has_stored_messages());
    let id = subscribing.id.as_ref().filter(|_| has_messages);
    let position = id.map(|id| responder.etag(id)).unwrap_or_default();
    let wire = call.waiting_wire();
    let detail = [position.as_lines(), b"\n", &ids.detail()].concat();
    let key = FormatKey {
        connection: Some(wire.connection),
        cors: subscribing.cors.headers.clone(),
        added: call.added.clone(),
        ..subscribing.key(FormatKind::NchanLongPoll, detail)
    };
    let format = call.formats.shared(key, call.settings, || {
        let policy = FollowerPolicy {
            ends_with_input: true,
            own_bytes: position.byte_len() + ids.own_bytes() + responder.cors.byte_len(),
            ..FollowerPolicy::one_shot(call.slow_consumers())
        };
        let encoder = NchanLongPollEncoder {
            responder,
            ids,
            position,
            added: call.added.clone(),
        };
        one_shot::format(policy, encoder, wire)
    });
    let subscription = Subscription {
        keeps_connection: wire.connection.keep_alive,
        time_to_live: subscribing.settings.subscriber_timeout,
        merges_backlog: true,
        ..Subscription::new(channels, Cursor::default(), format)
    };
    let follower = NchanFollower {
        hooks: subscribing.subscriber_hooks(),
        socket: None,
    };
    SubscribeReply::Follow(Box::new(subscription), follower)
}

/// The response with stored messages; `None` if there are none to send.
fn respond_from_backlog(
    subscribing: &NchanSubscribeCall<'_, '_>,
    responder: &PollResponder,
    channels: &Channels,
) -> Option<Response> {
    if let [requested] = channels.as_slice() {
        requested.channel.record_request();
    }
    let readers: Vec<ChannelReader> = channels
        .iter()
        .map(|requested| {
            let start = requested.start.unwrap_or(ChannelStart::Oldest);
            ChannelReader::open_at(&requested.channel, start)
        })
        .collect();
    if readers.iter().all(|reader| !reader.cursor.is_in_backlog()) {
        return None;
    }
    let is_multipart = subscribing.mode == Mode::LongPoll
        && subscribing.settings.longpoll_multipart != MultipartResponse::Off;
    let max_bytes = match readers.len() {
        _ if is_multipart => MAX_MULTIPART_BYTES,
        1 => 1,
        _ => MAX_BYTES,
    };
    let keys = &subscribing.named.keys;
    let mut found = read_in_tag_order(&readers, keys, max_bytes);
    if !is_multipart {
        found.truncate(1);
    }
    let mut id = subscribing.id.clone();
    for (number, message) in &found {
        id = Some(ids::after(id.as_ref(), keys.len(), *number, message));
    }
    let messages: Vec<&Message> = found.iter().map(|(_, message)| &**message).collect();
    let id = id.unwrap_or_else(|| MessageId::single(0, 0));
    (!messages.is_empty()).then(|| responder.messages(&messages, &id))
}

/// Reads stored messages of up to `max_bytes`, each with the index of its channel in the request.
/// Within a second they are in the order of tag, then of channel.
fn read_in_tag_order(
    readers: &[ChannelReader],
    keys: &[Bytes],
    max_bytes: usize,
) -> Vec<(usize, Arc<Message>)> {
    let snapshot = read_snapshot(readers, max_bytes);
    let mut found = Vec::new();
    for (reader, slice) in readers.iter().zip(snapshot.slices) {
        let number = keys.iter().position(|key| *key == reader.channel.id);
        let number = number.unwrap_or(0);
        found.extend(slice.messages.into_iter().map(|message| (number, message)));
    }
    found.sort_by_key(|(number, message): &(usize, Arc<Message>)| {
        (message.position.time, message.channel_tag, *number)
    });
    found
}

impl PollResponder {
    fn new(subscribing: &NchanSubscribeCall<'_, '_>) -> Self {
        let settings = Arc::clone(subscribing.settings);
        Self {
            expose: subscribing.cors.expose(&settings),
            cors: subscribing.cors.headers.clone(),
            settings,
        }
    }

    fn last_modified(&self, id: &MessageId) -> Option<HttpDate> {
        (!self.settings.compound_etag).then(|| HttpDate::of(id.time))
    }

    /// The header with this id.
    fn etag(&self, id: &MessageId) -> HeaderList {
        let value = if self.settings.compound_etag {
            id.to_string()
        } else {
            id.tags().to_string()
        };
        HeaderList::of(&self.settings.etag_header, value)
    }

    /// A response with messages; `id` is that of the last one.
    fn messages(&self, messages: &[&Message], id: &MessageId) -> Response {
        let headers = HeaderList::concat(&[&self.etag(id), &self.expose, &VARY, &self.cors]);
        let (content_type, body) = match messages {
            [message] => (message.content_type().cloned(), message.text.clone()),
            messages => self.join_messages(messages),
        };
        Response::header_only(Status::OK, headers)
            .with_content_type(content_type)
            .with_last_modified(self.last_modified(id))
            .with_body(ResponseBody::Sized(body))
    }

    /// Joins several messages into one body, and returns its content type.
    fn join_messages(&self, messages: &[&Message]) -> (Option<Bytes>, Bytes) {
        let mut body = Vec::with_capacity(
            messages
                .iter()
                .map(|message| message.text.len() + 128)
                .sum(),
        );
        if self.settings.longpoll_multipart == MultipartResponse::Raw {
            for message in messages {
                body.extend_from_slice(&message.text);
                body.extend_from_slice(&self.settings.raw_separator);
            }
            return (None, body.into());
        }
        let boundary = super::streams::boundary();
        for message in messages {
            body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            if let Some(content_type) = message.content_type() {
                push_line(b"Content-Type: ", content_type, &mut body);
            }
            body.extend_from_slice(b"\r\n");
            body.extend_from_slice(&message.text);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        (
            Some(format!("multipart/mixed; boundary={boundary}").into()),
            body.into(),
        )
    }

    /// A response without messages.
    fn without_messages(&self, status: Status, position: &HeaderList) -> Response {
        let headers = HeaderList::concat(&[position, &self.expose, &VARY, &self.cors]);
        nchan::empty(status).with_headers(&headers)
    }
}

impl OneShotEncoder for NchanLongPollEncoder {
    fn messages(&self, batch: DeliveryBatch<'_>) -> Option<Response> {
        let [first, ..] = batch.deliveries else {
            return None;
        };
        let deliveries = if self.responder.settings.longpoll_multipart == MultipartResponse::Off {
            std::slice::from_ref(first)
        } else {
            batch.deliveries
        };
        let messages: Vec<&Message> = deliveries.iter().map(|delivery| delivery.message).collect();
        let mut ids = self.ids.sequence();
        let mut id = None;
        for delivery in deliveries {
            id = Some(ids.next(delivery));
        }
        let id = id.unwrap_or_else(|| MessageId::single(0, 0));
        let response = self.responder.messages(&messages, &id);
        Some(response.with_headers(&self.added))
    }

    fn deletion(&self, _: &[u8], _: &[u8], _: ResumePoint) -> Response {
        self.responder.without_messages(Status(410), &self.position)
    }

    fn end(&self, ending: EndReason, _: ResumePoint) -> Response {
        let gone = || self.responder.without_messages(Status(410), &self.position);
        match ending {
            EndReason::TimeToLive => {
                let mut response = self.responder.without_messages(Status(408), &self.position);
                response.head.has_standard_reason = true;
                response
            }
            EndReason::Interrupted => self
                .responder
                .without_messages(Status::BAD_REQUEST, &HeaderList::default()),
            EndReason::Shutdown => gone().closing(),
            EndReason::Deleted | EndReason::Conflict | EndReason::UnansweredPing => gone(),
        }
    }
}
