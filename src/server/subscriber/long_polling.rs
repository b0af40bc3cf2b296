//! Long-polling: what is there, or the next message (push-stream.md, section 10).
//!
//! When several messages come in one moment, JSON objects are all in the answer, whose cursor is
//! that of the last one; of templates it is the first one, as in the module. An answer without
//! messages (a time-out, a deleted channel) has the present second as its cursor in the module,
//! which may repeat messages; JSON locations give the place where the client stands.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::formats::{AnswerContent, AnswerKey, AnswerLook, Key, Kind, PreparedAnswer};
use super::polling::{self, JAVASCRIPT};
use super::{Call, SharedFormat, SubscribeReply};
use crate::message::{Position, unix_now};
use crate::protocol::{DELETED_ID, TIMEOUT_ID};
use crate::server::broker::{Broker, Channel, Cursor};
use crate::server::compression::Compression;
use crate::server::config::{LocationSettings, SubscriberMode};
use crate::server::dialect::push_stream::render::{Renderer, Shown, Style};
use crate::server::fanout::{
    Channels, Concurrency, DeliveryBatch, EndReason, Format, Gap, ResumePoint,
    SlowConsumerSettings, Subscription,
};
use crate::server::response::{Framing, NO_CACHE, Response, ResponseBody, ResponseContext, Status};

/// The text of a time-out that is answered with a body.
const TIMED_OUT: &[u8] = b"Timed out";

/// The answers of waiting long-polls that look the same.
struct LongPollFormat {
    renderer: Renderer,
    connection: ResponseContext,
    content_type: Bytes,
    headers: Vec<u8>,
    /// Lines that the location adds.
    added: Vec<u8>,
    callback: Option<Bytes>,
    timeout_with_body: bool,
    compression: Compression,
    slow: SlowConsumerSettings,
}

pub(super) fn answer(call: &Call<'_>, channels: Channels, cursor: Cursor) -> SubscribeReply {
    if let Some((bytes, keeps)) = prepared(call, &channels, &cursor) {
        return SubscribeReply::Prepared(bytes, keeps);
    }
    if let Some(response) = polling::immediate(call, &channels, &cursor) {
        return SubscribeReply::Respond(response);
    }
    SubscribeReply::Follow(Box::new(subscription(
        call.settings,
        format(call),
        channels,
        cursor,
    )))
}

/// A poll that waits.
pub(super) fn subscription(
    settings: &LocationSettings,
    format: SharedFormat,
    channels: Channels,
    cursor: Cursor,
) -> Subscription {
    Subscription {
        channels,
        cursor,
        format,
        head: Vec::new(),
        time_to_live: settings.longpolling_connection_ttl,
        ping_interval: None,
        merges_backlog: false,
        rearms: false,
        concurrency: Concurrency::Broadcast,
    }
}

/// The format of the answer, when that has to wait.
pub(super) fn format(call: &Call<'_>) -> SharedFormat {
    let framing = Framing::of(call.request.framing_version());
    let is_eventsource = call.mode == SubscriberMode::EventSource;
    let callback = call.callback();
    let content_type = match &callback {
        _ if is_eventsource => Bytes::from_static(b"text/event-stream; charset=utf-8"),
        Some(_) => Bytes::from_static(JAVASCRIPT),
        None => call.content_type(),
    };
    let cors = call.cors();
    let kind = if is_eventsource {
        Kind::EventSourceLongPolling
    } else {
        Kind::LongPolling
    };
    let keep_alive = call.request.keep_alive;
    let key = Key {
        cors: cors.clone(),
        callback: callback.clone(),
        content_type: content_type.clone(),
        added: call.added.to_vec(),
        compression: call.compression.client(),
        ..Key::new(call.settings, kind, framing, keep_alive)
    };
    call.formats.shared(key, call.settings, || {
        let style = match &callback {
            _ if is_eventsource => Style::EventSource,
            Some(_) => Style::Bare,
            None => Style::Lines,
        };
        LongPollFormat {
            renderer: Renderer::new(call.settings.clone(), style),
            connection: ResponseContext {
                minor_version: call.request.framing_version(),
                keep_alive,
                is_head: false,
            },
            content_type,
            headers: [&cors[..], NO_CACHE].concat(),
            added: call.added.to_vec(),
            callback,
            timeout_with_body: call.broker.settings().timeout_with_body,
            compression: call.compression.clone(),
            slow: call.slow_consumers(),
        }
    })
}

/// The answer to one of many clients that poll from the same place: as [`polling::immediate`],
/// written once for all.
fn prepared(call: &Call<'_>, channels: &Channels, cursor: &Cursor) -> Option<PreparedAnswer> {
    let [wanted] = channels.as_slice() else {
        return None;
    };
    if wanted.backtrack > 0 || cursor.event_id.is_some() {
        return None;
    }
    let look = look(call)?;
    let Found::Messages(content) = found(&wanted.channel, cursor) else {
        return None;
    };
    let key = AnswerKey { look, content };
    call.formats.answer(key, call.settings, || {
        let response = polling::immediate(call, channels, cursor)?.with_headers(call.added);
        let response = call.compression.apply(response, false);
        let mut bytes = Vec::new();
        let keeps = response.write(call.connection, &mut bytes);
        Some((Rc::new(bytes), keeps))
    })
}

/// How the answer looks, if that is all that it depends on beside its messages.
pub(super) fn look(call: &Call<'_>) -> Option<AnswerLook> {
    let is_plain = call.settings.allowed_origins.is_none() && call.callback().is_none();
    is_plain.then(|| AnswerLook {
        settings: Arc::as_ptr(call.settings),
        is_eventsource: call.mode == SubscriberMode::EventSource,
        connection: call.connection,
        compression: call.compression.client(),
        content_type: call.content_type(),
        added: Bytes::copy_from_slice(call.added),
    })
}

/// What is there behind a cursor.
pub(super) enum Found {
    /// Messages, of which none is missing.
    Messages(AnswerContent),
    /// Something is missing.
    Gap,
    Nothing,
}

/// What a channel has behind this cursor.
pub(super) fn found(channel: &Arc<Channel>, cursor: &Cursor) -> Found {
    let (reader, missed) = Broker::open_reader(channel, 0, cursor);
    match (missed.is_gap(), reader.cursor.is_in_backlog()) {
        (false, false) => Found::Nothing,
        (false, true) => {
            let messages = (
                channel.number(),
                reader.cursor.last_seen,
                reader.cursor.live_from,
            );
            Found::Messages(AnswerContent {
                messages,
                second: unix_now(),
            })
        }
        _ => Found::Gap,
    }
}

impl LongPollFormat {
    fn response<'a>(
        &self,
        gaps: &[Gap],
        messages: impl Iterator<Item = Shown<'a>>,
        position: Position,
        out: &mut Vec<u8>,
    ) {
        let messages = messages.map(|shown| {
            let mut piece = Vec::new();
            self.renderer.message(&shown, &mut piece);
            piece
        });
        let pieces = polling::pieces(&self.renderer, gaps, messages, self.callback.as_ref());
        let body = ResponseBody::Pieces(pieces);
        self.compression
            .apply(self.head(Status::OK, (gaps, position), body), false)
            .write(self.connection, out);
    }

    /// The cursor of an answer without messages.
    fn cursor(&self, standing: ResumePoint) -> Position {
        if self.renderer.is_json() {
            standing.exact()
        } else {
            standing.start_of_second()
        }
    }

    fn head(
        &self,
        status: Status,
        (gaps, position): (&[Gap], Position),
        body: ResponseBody,
    ) -> Response {
        Response {
            status,
            content_type: Some(self.content_type.clone()),
            last_modified: Some(position.http_date()),
            headers: self.headers(position, gaps),
            body,
            bodiless: false,
            close: false,
        }
    }

    fn headers(&self, position: Position, gaps: &[Gap]) -> Cow<'static, [u8]> {
        let etag = format!("Etag: W/{}\r\n", position.tag);
        [
            &self.headers[..],
            etag.as_bytes(),
            &polling::missed_line(gaps),
            &self.added,
        ]
        .concat()
        .into()
    }
}

impl Format for LongPollFormat {
    fn messages(&self, batch: DeliveryBatch<'_>, out: &mut Vec<u8>) {
        let gaps = if self.renderer.tells_gaps() {
            batch.gaps
        } else {
            &[]
        };
        if self.renderer.is_json() && !(gaps.is_empty() && batch.deliveries.is_empty()) {
            let all = batch
                .deliveries
                .iter()
                .map(|delivery| Shown::published(delivery.channel, delivery.message));
            return self.response(gaps, all, batch.horizon, out);
        }
        // Templates may have nothing between two messages, so the module sends one; the cursor
        // leads to the others.
        match batch.deliveries.first() {
            Some(first) => {
                let shown = Shown::published(first.channel, first.message);
                self.response(gaps, std::iter::once(shown), first.message.position, out);
            }
            None if gaps.is_empty() => {}
            // Nothing can be shown of a gap but its header.
            None => drop(
                self.head(
                    Status::NOT_MODIFIED,
                    (gaps, batch.horizon),
                    ResponseBody::Sized(Bytes::new()),
                )
                .write(self.connection, out),
            ),
        }
    }

    fn ping(&self, _: &mut Vec<u8>) {}

    fn deleted(&self, channel: &[u8], text: &[u8], standing: ResumePoint, out: &mut Vec<u8>) {
        self.response(
            &[],
            std::iter::once(Shown::special(DELETED_ID, channel, text)),
            self.cursor(standing),
            out,
        );
    }

    fn end(&self, ending: EndReason, standing: ResumePoint, out: &mut Vec<u8>) {
        let cursor = self.cursor(standing);
        if self.timeout_with_body {
            return self.response(
                &[],
                std::iter::once(Shown::special(TIMEOUT_ID, b"", TIMED_OUT)),
                cursor,
                out,
            );
        }
        let mut response = self.head(
            Status::NOT_MODIFIED,
            (&[], cursor),
            ResponseBody::Sized(Bytes::new()),
        );
        response.close = ending == EndReason::Shutdown || !self.keeps_connection();
        response.write(self.connection, out);
    }

    fn slow_consumers(&self) -> SlowConsumerSettings {
        self.slow
    }

    fn is_one_shot(&self) -> bool {
        true
    }

    fn own_bytes(&self) -> usize {
        self.headers.len() + self.content_type.len() + self.callback.as_ref().map_or(0, Bytes::len)
    }

    fn keeps_connection(&self) -> bool {
        self.connection.keep_alive && self.connection.minor_version > 0
    }
}
