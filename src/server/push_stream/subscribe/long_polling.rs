//! Long-polling: responds with stored messages, or waits for the next one (push-stream.md, section
//! 10).
//!
//! If several messages arrive at once, a JSON location sends all of them, with the cursor of the
//! last one; with templates only the first one is sent, as in the module. The cursor of a response
//! without messages (time-out, deleted channel) is the current second in the module, which may
//! repeat messages; JSON locations send the position of the client.

use std::sync::Arc;

use bytes::Bytes;

use super::polling;
use super::polling::JAVASCRIPT;
use super::{callback, content_type, cors};
use crate::message::{Position, unix_now};
use crate::protocol::{DELETED_ID, TIMEOUT_ID};
use crate::server::broker::{Channel, ChannelReader, Cursor};
use crate::server::config::{LocationSettings, SubscriberMode};
use crate::server::endpoint::formats::SharedFormat;
use crate::server::endpoint::formats::{
    FormatKey, FormatKind, PollResponseContent, PollResponseKey, PollResponseTraits,
    PreparedResponse,
};
use crate::server::endpoint::one_shot::{self, OneShotEncoder};
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::exchange::compression::Compression;
use crate::server::exchange::response::{
    HeaderList, HeaderListBuilder, HttpDate, NO_CACHE, Response, ResponseBody, ResponseContext,
    Status,
};
use crate::server::fanout::{
    Channels, DeliveryBatch, EndReason, FollowerPolicy, Gap, ResumePoint, Subscription,
};
use crate::server::push_stream::render::{MessageView, RenderStyle, Renderer};
use crate::server::push_stream::subscribe::PushStreamReply;

/// The text of a time-out response with a body.
const TIMED_OUT: &[u8] = b"Timed out";

/// Room for the headers that depend on the position.
const MORE_HEADER_BYTES: usize = 64;

/// The responses to waiting long-polls.
struct LongPollEncoder {
    renderer: Renderer,
    keeps_connection: bool,
    content_type: Bytes,
    headers: HeaderList,
    /// Headers that the location adds.
    added: HeaderList,
    callback: Option<Bytes>,
    timeout_with_body: bool,
    compression: Compression,
}

pub(in crate::server) fn respond(
    call: &SubscribeCall<'_>,
    channels: Channels,
    cursor: Cursor,
) -> PushStreamReply {
    if let Some(response) = prepared(call, &channels, &cursor) {
        return SubscribeReply::Prepared(response);
    }
    if let Some(response) = polling::respond_from_backlog(call, &channels, &cursor) {
        return SubscribeReply::Respond(response);
    }
    let keeps_connection = keeps_connection(call.waiting_wire().connection);
    let subscription = Subscription {
        keeps_connection,
        ..subscription(call.settings, format(call), channels, cursor)
    };
    SubscribeReply::Follow(Box::new(subscription), None)
}

/// Creates the subscription of a poll that waits.
pub(in crate::server) fn subscription(
    settings: &LocationSettings,
    format: SharedFormat,
    channels: Channels,
    cursor: Cursor,
) -> Subscription {
    Subscription {
        time_to_live: settings.longpolling_connection_ttl,
        ..Subscription::new(channels, cursor, format)
    }
}

/// The format of the response to a poll that waits.
pub(in crate::server) fn format(call: &SubscribeCall<'_>) -> SharedFormat {
    let is_eventsource = call.mode == SubscriberMode::EventSource;
    let callback = callback(call);
    let content_type = match &callback {
        _ if is_eventsource => Bytes::from_static(b"text/event-stream; charset=utf-8"),
        Some(_) => Bytes::from_static(JAVASCRIPT),
        None => content_type(call),
    };
    let cors = cors(call);
    let kind = if is_eventsource {
        FormatKind::EventSourceLongPolling
    } else {
        FormatKind::LongPolling
    };
    let wire = call.waiting_wire();
    let key = FormatKey {
        connection: Some(wire.connection),
        cors: cors.clone(),
        callback: callback.clone(),
        content_type: content_type.clone(),
        added: call.added.clone(),
        compression: call.compression.client(),
        ..FormatKey::new(call.settings, kind)
    };
    call.formats.shared(key, call.settings, || {
        let style = match &callback {
            _ if is_eventsource => RenderStyle::EventSource,
            Some(_) => RenderStyle::Unframed,
            None => RenderStyle::Lines,
        };
        let encoder = LongPollEncoder {
            renderer: Renderer::new(call.settings.clone(), style),
            keeps_connection: keeps_connection(wire.connection),
            content_type,
            headers: HeaderList::concat(&[&cors, &NO_CACHE]),
            added: call.added.clone(),
            callback,
            timeout_with_body: call.broker.settings().timeout_with_body,
            compression: call.compression.clone(),
        };
        let policy = FollowerPolicy {
            own_bytes: encoder.own_bytes(),
            ..FollowerPolicy::one_shot(call.slow_consumers())
        };
        one_shot::format(policy, encoder, wire)
    })
}

/// True if the connection serves further requests after a poll that has waited.
pub(in crate::server) fn keeps_connection(connection: ResponseContext) -> bool {
    connection.keep_alive && connection.minor_version > 0
}

/// As [`polling::respond_from_backlog`], encoded once for all clients that poll from the same
/// position.
fn prepared(
    call: &SubscribeCall<'_>,
    channels: &Channels,
    cursor: &Cursor,
) -> Option<PreparedResponse> {
    let [requested] = channels.as_slice() else {
        return None;
    };
    if requested.backtrack > 0 || cursor.event_id.is_some() {
        return None;
    }
    let traits = response_traits(call)?;
    let BacklogState::Messages(content) = backlog_state(&requested.channel, cursor) else {
        return None;
    };
    let key = PollResponseKey { traits, content };
    call.formats
        .response_or_insert(key, call.settings, call.writer, || {
            let response =
                polling::respond_from_backlog(call, channels, cursor)?.with_headers(call.added);
            Some(call.compression.apply(response, false))
        })
}

/// The traits of the response; `None` if it depends on more than them and its messages.
pub(in crate::server) fn response_traits(call: &SubscribeCall<'_>) -> Option<PollResponseTraits> {
    let is_plain = call.settings.allowed_origins.is_none() && callback(call).is_none();
    is_plain.then(|| PollResponseTraits {
        settings: Arc::as_ptr(call.settings),
        is_eventsource: call.mode == SubscriberMode::EventSource,
        connection: call.connection,
        compression: call.compression.client(),
        content_type: content_type(call),
        added: call.added.clone(),
    })
}

/// What a channel has after a cursor.
pub(in crate::server) enum BacklogState {
    /// Stored messages without a gap.
    Messages(PollResponseContent),
    /// Messages are missing.
    Gap,
    Nothing,
}

/// Determines what a channel has after this cursor.
pub(in crate::server) fn backlog_state(channel: &Arc<Channel>, cursor: &Cursor) -> BacklogState {
    let (reader, missed) = ChannelReader::open(channel, 0, cursor);
    match (missed.is_gap(), reader.cursor.is_in_backlog()) {
        (false, false) => BacklogState::Nothing,
        (false, true) => {
            let messages = (
                channel.number(),
                reader.cursor.last_seen,
                reader.cursor.live_from,
            );
            BacklogState::Messages(PollResponseContent {
                messages,
                second: unix_now(),
            })
        }
        _ => BacklogState::Gap,
    }
}

impl LongPollEncoder {
    /// Bytes of the request that it retains.
    fn own_bytes(&self) -> usize {
        self.headers.byte_len()
            + self.content_type.len()
            + self.callback.as_ref().map_or(0, Bytes::len)
    }

    fn response<'a>(
        &self,
        gaps: &[Gap],
        messages: impl Iterator<Item = MessageView<'a>>,
        position: Position,
    ) -> Response {
        let messages = messages.map(|view| {
            let mut piece = Vec::new();
            self.renderer.message(&view, &mut piece);
            piece
        });
        let pieces = polling::pieces(&self.renderer, gaps, messages, self.callback.as_ref());
        let response = self
            .without_messages(Status::OK, gaps, position)
            .with_body(ResponseBody::Pieces(pieces));
        self.compression.apply(response, false)
    }

    /// The cursor of a response without messages.
    fn cursor(&self, resume_point: ResumePoint) -> Position {
        if self.renderer.is_json() {
            resume_point.exact()
        } else {
            resume_point.start_of_second()
        }
    }

    fn without_messages(&self, status: Status, gaps: &[Gap], position: Position) -> Response {
        Response::header_only(status, self.headers(position, gaps))
            .with_content_type(Some(self.content_type.clone()))
            .with_last_modified(Some(HttpDate::of(position.time)))
    }

    fn headers(&self, position: Position, gaps: &[Gap]) -> HeaderList {
        let room = self.headers.byte_len() + self.added.byte_len() + MORE_HEADER_BYTES;
        let mut headers = HeaderListBuilder::with_capacity(room);
        headers.extend(&self.headers);
        polling::push_etag(position.tag, &mut headers);
        polling::push_missed(gaps, &mut headers);
        headers.extend(&self.added);
        headers.build()
    }
}

impl OneShotEncoder for LongPollEncoder {
    fn messages(&self, batch: DeliveryBatch<'_>) -> Option<Response> {
        let gaps = if self.renderer.reports_gaps() {
            batch.gaps
        } else {
            &[]
        };
        if self.renderer.is_json() && !(gaps.is_empty() && batch.deliveries.is_empty()) {
            let all = batch
                .deliveries
                .iter()
                .map(|delivery| MessageView::published(delivery.channel, delivery.message));
            return Some(self.response(gaps, all, batch.horizon));
        }
        // Templates may lack a separator, so that the module sends one message; the cursor leads to
        // the others.
        match batch.deliveries.first() {
            Some(first) => {
                let view = MessageView::published(first.channel, first.message);
                let position = first.message.position;
                Some(self.response(gaps, std::iter::once(view), position))
            }
            None if gaps.is_empty() => None,
            // A template cannot show a gap, so that only the header reports it.
            None => Some(self.without_messages(Status::NOT_MODIFIED, gaps, batch.horizon)),
        }
    }

    fn deletion(&self, channel: &[u8], text: &[u8], resume_point: ResumePoint) -> Response {
        let view = MessageView::special(DELETED_ID, channel, text);
        self.response(&[], std::iter::once(view), self.cursor(resume_point))
    }

    fn end(&self, ending: EndReason, resume_point: ResumePoint) -> Response {
        let cursor = self.cursor(resume_point);
        if self.timeout_with_body {
            let view = MessageView::special(TIMEOUT_ID, b"", TIMED_OUT);
            return self.response(&[], std::iter::once(view), cursor);
        }
        let response = self.without_messages(Status::NOT_MODIFIED, &[], cursor);
        if ending == EndReason::Shutdown || !self.keeps_connection {
            response.closing()
        } else {
            response
        }
    }
}
