//! Long-poll and interval-poll (nhpm-nchan.md, section 2.5).

use std::sync::Arc;

use bytes::Bytes;

use super::ids::{self, Ids};
use super::{SubscriberHooks, Subscribing};
use crate::server::broker::{Broker, ChannelReader, Cursor, Message, read_snapshot};
use crate::server::config::NchanSettings;
use crate::server::config::nchan::{FirstMessage, MultipartResponse};
use crate::server::dialect::nchan::message_id::MessageId;
use crate::server::dialect::nchan::{self, VARY};
use crate::server::fanout::{
    Channels, Concurrency, DeliveryBatch, EndReason, Format, ResumePoint, SlowConsumerSettings,
    Subscription,
};
use crate::server::response::{Response, ResponseBody, ResponseContext, Status, push_line};
use crate::server::subscriber::{Kind, SubscribeReply};

/// Most bytes of messages that are looked at for one answer.
const MOST_BYTES: usize = 256 * 1024;
/// Most bytes of messages in one answer with all of them.
const MOST_MULTIPART_BYTES: usize = 1024 * 1024;

/// What the answers of a location and origin have in common.
struct Look {
    settings: Arc<NchanSettings>,
    expose: Vec<u8>,
    cors: Vec<u8>,
}

/// The answers of those who wait.
struct WaitingFormat {
    look: Look,
    ids: Ids,
    /// The position of the request, if it is told in answers without messages.
    position: Vec<u8>,
    connection: ResponseContext,
    added: Vec<u8>,
    slow: SlowConsumerSettings,
}

pub(super) fn interval_poll(subscribing: &Subscribing<'_, '_>, channels: &Channels) -> Response {
    let look = Look::new(subscribing);
    if let Some(response) = immediate(subscribing, &look, channels) {
        return response;
    }
    let settings = subscribing.settings;
    let mut response = nchan::empty(Status::NOT_MODIFIED);
    let mut lines = Vec::new();
    match &subscribing.id {
        Some(id) => {
            response.last_modified = look.last_modified(id);
            look.push_etag(id, &mut lines);
        }
        None if settings.compound_etag => look.push_etag(&MessageId::single(0, 0), &mut lines),
        None => {}
    }
    response
        .with_headers(&lines)
        .with_headers(VARY)
        .with_headers(&look.cors)
}

pub(super) fn long_poll(subscribing: &Subscribing<'_, '_>, channels: Channels) -> SubscribeReply {
    let look = Look::new(subscribing);
    let waits =
        subscribing.id.is_none() && subscribing.settings.first_message == FirstMessage::Newest;
    if !waits && let Some(response) = immediate(subscribing, &look, &channels) {
        return SubscribeReply::Respond(response);
    }
    let call = subscribing.call;
    let ids = Ids::new(
        call.broker,
        &subscribing.named.keys,
        subscribing.id.as_ref(),
    );
    let has_messages = || {
        channels
            .iter()
            .any(|wanted| wanted.channel.has_stored_messages())
    };
    let mut position = Vec::new();
    if let Some(id) = subscribing.id.as_ref().filter(|_| has_messages()) {
        look.push_etag(id, &mut position);
    }
    let key = subscribing.key(
        Kind::NchanLongPoll,
        [&position[..], b"\n", &ids.detail()].concat(),
    );
    let format = call.formats.shared(key, call.settings, || WaitingFormat {
        look,
        ids,
        position,
        connection: ResponseContext {
            minor_version: call.request.minor_version,
            keep_alive: call.request.keep_alive,
            is_head: false,
        },
        added: call.added.to_vec(),
        slow: call.slow_consumers(),
    });
    let subscription = Subscription {
        channels,
        cursor: Cursor::default(),
        format,
        head: Vec::new(),
        time_to_live: subscribing.settings.subscriber_timeout,
        ping_interval: None,
        merges_backlog: true,
        rearms: false,
        concurrency: Concurrency::Broadcast,
    };
    let companion = subscribing.companion();
    SubscribeReply::follow_with(
        subscription,
        SubscriberHooks {
            info: companion.info,
            ..companion
        },
    )
}

/// The answer with what is there.
fn immediate(
    subscribing: &Subscribing<'_, '_>,
    look: &Look,
    channels: &Channels,
) -> Option<Response> {
    let keys = &subscribing.named.keys;
    if let [wanted] = channels.as_slice() {
        Broker::record_request(&wanted.channel);
    }
    let start = |wanted: &crate::server::fanout::ChannelRequest| {
        wanted
            .start
            .unwrap_or(crate::server::broker::ChannelStart::Oldest)
    };
    let readers: Vec<ChannelReader> = channels
        .iter()
        .map(|wanted| Broker::open_reader_at(&wanted.channel, start(wanted)))
        .collect();
    if readers.iter().all(|reader| !reader.cursor.is_in_backlog()) {
        return None;
    }
    let is_multipart = subscribing.mode
        == crate::server::dialect::nchan::negotiation::Mode::LongPoll
        && subscribing.settings.longpoll_multipart != MultipartResponse::Off;
    let most = match readers.len() {
        _ if is_multipart => MOST_MULTIPART_BYTES,
        1 => 1,
        _ => MOST_BYTES,
    };
    let snapshot = read_snapshot(&readers, most);
    // Where a channel stands in the request.
    let number = |reader: &ChannelReader| {
        keys.iter()
            .position(|key| *key == reader.channel.id)
            .unwrap_or(0)
    };
    let slices = readers.iter().zip(&snapshot.slices);
    let mut found: Vec<(usize, &Arc<Message>)> = slices
        .flat_map(|(reader, slice)| {
            slice
                .messages
                .iter()
                .map(move |message| (number(reader), message))
        })
        .collect();
    // Inside a second by tag, then by channel.
    found.sort_by_key(|(number, message)| (message.position.time, message.channel_tag, *number));
    if !is_multipart {
        found.truncate(1);
    }
    let mut id = subscribing.id.clone();
    for (number, message) in &found {
        id = Some(ids::after(id.as_ref(), keys.len(), (*number, message)));
    }
    let messages: Vec<&Message> = found.iter().map(|(_, message)| &***message).collect();
    (!messages.is_empty())
        .then(|| look.messages(&messages, &id.unwrap_or_else(|| MessageId::single(0, 0))))
}

impl Look {
    fn new(subscribing: &Subscribing<'_, '_>) -> Self {
        let settings = Arc::clone(subscribing.settings);
        Self {
            expose: subscribing.cors.expose(&settings),
            cors: subscribing.cors.lines.clone(),
            settings,
        }
    }

    fn last_modified(&self, id: &MessageId) -> Option<String> {
        (!self.settings.compound_etag).then(|| crate::message::http_date(id.time))
    }

    fn push_etag(&self, id: &MessageId, out: &mut Vec<u8>) {
        let value = if self.settings.compound_etag {
            id.to_string()
        } else {
            id.tags().to_string()
        };
        push_line(
            &[&self.settings.etag_header[..], b": "].concat(),
            value.as_bytes(),
            out,
        );
    }

    /// An answer with messages; `id` is that of the last one.
    fn messages(&self, messages: &[&Message], id: &MessageId) -> Response {
        let mut lines = Vec::new();
        self.push_etag(id, &mut lines);
        for more in [&self.expose[..], VARY, &self.cors] {
            lines.extend_from_slice(more);
        }
        let (content_type, body) = match messages {
            [message] => (message.content_type().cloned(), message.text.clone()),
            messages => self.together(messages),
        };
        Response {
            content_type,
            last_modified: self.last_modified(id),
            body: ResponseBody::Sized(body),
            ..Response::header_only(Status::OK, lines)
        }
    }

    /// Several messages as one body.
    fn together(&self, messages: &[&Message]) -> (Option<Bytes>, Bytes) {
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

    /// An answer without messages.
    fn nothing(&self, status: Status, position: &[u8]) -> Response {
        nchan::empty(status).with_headers(&[position, &self.expose, VARY, &self.cors].concat())
    }
}

impl WaitingFormat {
    fn write(&self, response: Response, out: &mut Vec<u8>) {
        let is_good = response.status == Status::OK;
        let response = if is_good && !self.added.is_empty() {
            response.with_headers(&self.added)
        } else {
            response
        };
        response.write(self.connection, out);
    }
}

impl Format for WaitingFormat {
    fn messages(&self, batch: DeliveryBatch<'_>, out: &mut Vec<u8>) {
        let [first, ..] = batch.deliveries else {
            return;
        };
        let deliveries = if self.look.settings.longpoll_multipart == MultipartResponse::Off {
            std::slice::from_ref(first)
        } else {
            batch.deliveries
        };
        let messages: Vec<&Message> = deliveries.iter().map(|delivery| delivery.message).collect();
        let mut ids = self.ids.walk();
        let mut id = None;
        for delivery in deliveries {
            id = Some(ids.next(delivery));
        }
        let id = id.unwrap_or_else(|| MessageId::single(0, 0));
        self.write(self.look.messages(&messages, &id), out);
    }

    fn ping(&self, _: &mut Vec<u8>) {}

    fn deleted(&self, _: &[u8], _: &[u8], _: ResumePoint, out: &mut Vec<u8>) {
        self.write(self.look.nothing(Status(410), &self.position), out);
    }

    fn end(&self, ending: EndReason, _: ResumePoint, out: &mut Vec<u8>) {
        match ending {
            EndReason::TimeToLive => {
                let mut answer = Vec::new();
                self.write(self.look.nothing(Status(408), &self.position), &mut answer);
                // nginx has another reason phrase for its own.
                let line = memchr::memchr(b'\r', &answer).unwrap_or(0);
                out.extend_from_slice(b"HTTP/1.1 408 Request Timeout");
                out.extend_from_slice(&answer[line..]);
            }
            EndReason::Interrupted => self.write(self.look.nothing(Status::BAD_REQUEST, b""), out),
            EndReason::Shutdown => self.write(
                self.look.nothing(Status(410), &self.position).closing(),
                out,
            ),
            EndReason::Deleted | EndReason::Conflict | EndReason::UnansweredPing => {
                self.write(self.look.nothing(Status(410), &self.position), out)
            }
        }
    }

    fn slow_consumers(&self) -> SlowConsumerSettings {
        self.slow
    }

    fn is_one_shot(&self) -> bool {
        true
    }

    fn keeps_connection(&self) -> bool {
        self.connection.keep_alive
    }

    fn ends_with_input(&self) -> bool {
        true
    }

    fn own_bytes(&self) -> usize {
        self.position.len() + self.ids.own_bytes() + self.look.cors.len()
    }
}
