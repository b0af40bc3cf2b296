//! Streaming and EventSource: one endless response (push-stream.md, sections 8 and 11).

use bytes::Bytes;

use super::{content_type, cors, resume};
use crate::protocol::{DELETED_ID, PING_ID};
use crate::server::broker::Cursor;
use crate::server::config::expression::percent::percent_decode;
use crate::server::config::{Padding, SubscriberMode};
use crate::server::endpoint::formats::{FormatKey, FormatKind};
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::exchange::checksum::Checksum;
use crate::server::exchange::compression;
use crate::server::exchange::compression::CompressionDecision;
use crate::server::exchange::response::{
    Framing, HeaderList, NO_CACHE, ResponseHead, Status, SubscriptionHead, header_list,
};
use crate::server::fanout::{
    Channels, DeliveryBatch, Encoder, EndReason, FollowerPolicy, Format, Opening, PayloadBuffer,
    ResumePoint, Subscription,
};
use crate::server::push_stream::render::{MessageView, RenderStyle, Renderer};
use crate::server::push_stream::subscribe::PushStreamReply;

/// The encoding of streams.
struct StreamEncoder {
    renderer: Renderer,
    is_eventsource: bool,
    padding: Option<Padding>,
    ping: Vec<u8>,
}

/// Makes proxies forward the stream without delay: nginx would buffer up to 8 KiB.
static UNBUFFERED: HeaderList = header_list!("X-Accel-Buffering": "no");

/// Content-Type of EventSource streams.
const EVENT_STREAM: Bytes = Bytes::from_static(b"text/event-stream; charset=utf-8");

pub(in crate::server) fn respond(
    call: &SubscribeCall<'_>,
    channels: Channels,
    cursor: Cursor,
) -> PushStreamReply {
    let is_eventsource = call.mode == SubscriberMode::EventSource;
    let framing = Framing::of(call.request.framing_version());
    let keep_alive = call.request.keep_alive && framing == Framing::Chunked;
    let padding = padding(call);
    let renderer = renderer(call);
    let content_type = if is_eventsource {
        EVENT_STREAM
    } else {
        content_type(call)
    };
    let headers = headers(call);
    let decision = decide_compression(call, &content_type, &headers);
    let head = head(content_type, headers, keep_alive, decision);
    let mut text = opening_text(&renderer, padding.as_ref(), is_eventsource);
    if let Some(id) = resume::first_id(call, &channels, &cursor).filter(|_| is_eventsource) {
        text.push(format!("id: {id}\n\n").into());
    }
    let opening = opening(head, text, decision.level);
    let merges_backlog = renderer.is_json();
    let key = FormatKey {
        padding: padding.as_ref().map(|sizes| (sizes.header, sizes.message)),
        level: decision.level,
        ..FormatKey::new(call.settings, kind(call))
    };
    let format = call.formats.shared(key, call.settings, || {
        let encoder = StreamEncoder {
            ping: ping(call, &renderer),
            renderer,
            is_eventsource,
            padding,
        };
        let policy = FollowerPolicy::stream(call.slow_consumers());
        Format::new(policy, encoder).compressed(decision.level)
    });
    let subscription = Subscription {
        opening: Some(Box::new(opening)),
        framing,
        keeps_connection: keep_alive,
        time_to_live: call.settings.subscriber_connection_ttl,
        ping_interval: call.settings.ping_message_interval,
        merges_backlog,
        ..Subscription::new(channels, cursor, format)
    };
    SubscribeReply::Follow(Box::new(subscription), None)
}

fn headers(call: &SubscribeCall<'_>) -> HeaderList {
    let cors = cors(call);
    if call.settings.is_builtin {
        HeaderList::concat(&[&cors, &NO_CACHE, &UNBUFFERED])
    } else {
        HeaderList::concat(&[&cors, &NO_CACHE])
    }
}

fn decide_compression(
    call: &SubscribeCall<'_>,
    content_type: &[u8],
    headers: &HeaderList,
) -> CompressionDecision {
    call.compression.decide(&compression::ResponseFacts {
        status: Status::OK.0,
        content_type,
        length: None,
        has_last_modified: false,
        headers: &HeaderList::concat(&[headers, call.added]),
    })
}

fn kind(call: &SubscribeCall<'_>) -> FormatKind {
    if call.mode == SubscriberMode::EventSource {
        FormatKind::EventSource
    } else {
        FormatKind::Streaming
    }
}

/// The bytes of a ping, without framing.
fn ping(call: &SubscribeCall<'_>, renderer: &Renderer) -> Vec<u8> {
    let text = &call.broker.settings().ping_message_text;
    let mut ping = Vec::new();
    if call.mode == SubscriberMode::EventSource {
        ping.extend_from_slice(b": -1\n");
    } else if !text.is_empty() {
        renderer.message(&MessageView::special(PING_ID, b"", text), &mut ping);
    }
    ping
}

pub(in crate::server) fn renderer(call: &SubscribeCall<'_>) -> Renderer {
    let style = if call.mode == SubscriberMode::EventSource {
        RenderStyle::EventSource
    } else {
        RenderStyle::Lines
    };
    Renderer::new(call.settings.clone(), style)
}

fn padding(call: &SubscribeCall<'_>) -> Option<Padding> {
    let user_agent = match &call.settings.user_agent {
        Some(expression) => percent_decode(&expression.evaluate(call.variables)).into_owned(),
        None => call
            .request
            .header("user-agent")
            .unwrap_or_default()
            .to_vec(),
    };
    call.settings.paddings.for_user_agent(&user_agent)
}

/// The response head. The module delays it until the first body byte; sent at once, it confirms the
/// subscription to the client.
fn head(
    content_type: Bytes,
    mut headers: HeaderList,
    keep_alive: bool,
    decision: CompressionDecision,
) -> SubscriptionHead {
    headers.extend(&decision.headers());
    SubscriptionHead::Stream(ResponseHead {
        content_type: Some(content_type),
        close: !keep_alive,
        ..ResponseHead::new(Status::OK, headers)
    })
}

/// The first text of a stream: the header template and its padding, in two pieces.
fn opening_text(
    renderer: &Renderer,
    padding: Option<&Padding>,
    is_eventsource: bool,
) -> Vec<Bytes> {
    let header = renderer.header();
    if header.is_empty() {
        return Vec::new();
    }
    let padding = padding.map(|padding| {
        if is_eventsource {
            padding.eventsource_header(header.len())
        } else {
            padding.streaming_header(header.len())
        }
    });
    [header].into_iter().chain(padding).collect()
}

/// The opening with this text, compressed if there is a `level`.
fn opening(head: SubscriptionHead, text: Vec<Bytes>, level: Option<u32>) -> Opening {
    let Some(level) = level else {
        return Opening {
            pieces: text,
            ..Opening::new(head)
        };
    };
    let plain = text.concat();
    let mut member = compression::HEADER.to_vec();
    let checksum = if plain.is_empty() {
        Checksum::default()
    } else {
        compression::block(level, &plain, &mut member)
    };
    Opening {
        head,
        pieces: vec![member.into()],
        checksum,
    }
}

impl StreamEncoder {
    fn message(&self, view: &MessageView<'_>, out: &mut PayloadBuffer) {
        let length = out.piece(|out| self.renderer.message(view, out));
        self.pad(length, out);
    }

    /// Appends the padding of a message whose rendered text has this length.
    fn pad(&self, length: usize, out: &mut PayloadBuffer) {
        let Some(padding) = &self.padding else { return };
        out.push(&if self.is_eventsource {
            padding.eventsource_message(length)
        } else {
            padding.streaming_message(length)
        });
    }
}

impl Encoder for StreamEncoder {
    fn encode_messages(&self, batch: DeliveryBatch<'_>, out: &mut PayloadBuffer) {
        for gap in batch.gaps.iter().filter(|_| self.renderer.reports_gaps()) {
            let length = out.piece(|out| {
                self.renderer
                    .gap(&gap.channel, gap.missed, gap.position, out)
            });
            self.pad(length, out);
        }
        for delivery in batch.deliveries {
            let view = MessageView::published(delivery.channel, delivery.message);
            self.message(&view, out);
        }
    }

    fn encode_ping(&self, out: &mut PayloadBuffer) {
        out.push(&self.ping);
        if !self.is_eventsource {
            self.pad(self.ping.len(), out);
        }
    }

    fn encode_deletion(
        &self,
        channel: &[u8],
        text: &[u8],
        _: ResumePoint,
        out: &mut PayloadBuffer,
    ) {
        self.message(&MessageView::special(DELETED_ID, channel, text), out);
    }

    fn encode_end(&self, _: EndReason, _: ResumePoint, out: &mut PayloadBuffer) {
        out.push(&self.renderer.footer());
    }
}
