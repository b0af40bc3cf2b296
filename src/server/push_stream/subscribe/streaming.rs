//! Streaming and EventSource: one endless response (push-stream.md, sections 8 and 11).

use bytes::Bytes;

use super::{content_type, cors, resume};
use crate::protocol::{DELETED_ID, PING_ID};
use crate::server::broker::Cursor;
use crate::server::config::expression::percent::percent_decode;
use crate::server::config::{Padding, SubscriberMode};
use crate::server::endpoint::formats::{FormatKey, FormatKind};
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::exchange::buffer_pool;
use crate::server::exchange::checksum::Checksum;
use crate::server::exchange::compression;
use crate::server::exchange::compression::CompressionDecision;
use crate::server::exchange::response::{Framing, Head, NO_CACHE, Status};
use crate::server::fanout::{
    Channels, DeliveryBatch, Encoder, EndReason, FollowerPolicy, Format, ResumePoint, Subscription,
};
use crate::server::push_stream::render::{MessageView, RenderStyle, Renderer};
use crate::server::push_stream::subscribe::PushStreamReply;

/// The encoding of streams.
struct StreamEncoder {
    renderer: Renderer,
    is_eventsource: bool,
    /// Framing of the pieces; `Raw` if they are compressed afterwards.
    framing: Framing,
    gzip: Option<Gzip>,
    padding: Option<Padding>,
    ping: Vec<u8>,
}

/// Makes proxies forward the stream without delay: nginx would buffer up to 8 KiB.
const UNBUFFERED: &[u8] = b"X-Accel-Buffering: no\r\n";

/// Content-Type of EventSource streams.
const EVENT_STREAM: Bytes = Bytes::from_static(b"text/event-stream; charset=utf-8");

/// The compression of a stream.
struct Gzip {
    level: u32,
    /// Framing of the compressed data.
    framing: Framing,
    /// A ping, plain and compressed. Followers receive pings at different times, so that it is
    /// compressed once in advance.
    ping: (Vec<u8>, (Vec<u8>, Checksum)),
}

impl Gzip {
    fn seal(&self, plain: &[u8]) -> (Vec<u8>, Checksum) {
        let mut block = Vec::new();
        let mut out = Vec::new();
        let sum = compression::block(self.level, plain, &mut block);
        self.framing.piece(&block, &mut out);
        (out, sum)
    }
}

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
    let mut out = head(&content_type, &headers, framing, keep_alive, decision);
    let header = opening_text(&renderer, padding.as_ref(), is_eventsource);
    let opening = push_opening(&header, decision.level, framing, &mut out);
    if let Some(id) = resume::first_id(call, &channels, &cursor).filter(|_| is_eventsource) {
        framing.piece(format!("id: {id}\n\n").as_bytes(), &mut out);
    }
    let merges_backlog = renderer.is_json();
    let key = FormatKey {
        padding: padding.as_ref().map(|sizes| (sizes.header, sizes.message)),
        level: decision.level,
        ..FormatKey::new(call.settings, kind(call), framing, keep_alive)
    };
    let format = call.formats.shared(key, call.settings, || {
        let plain = StreamEncoder {
            ping: ping(call, &renderer),
            renderer,
            is_eventsource,
            framing,
            gzip: None,
            padding,
        };
        Format {
            policy: FollowerPolicy {
                keeps_connection: keep_alive,
                ..FollowerPolicy::stream(call.slow_consumers())
            },
            encoder: match decision.level {
                Some(level) => plain.compressed(level),
                None => plain,
            },
        }
    });
    let subscription = Subscription {
        head: out,
        head_checksum: opening,
        time_to_live: call.settings.subscriber_connection_ttl,
        ping_interval: call.settings.ping_message_interval,
        merges_backlog,
        ..Subscription::new(channels, cursor, format)
    };
    SubscribeReply::Follow(Box::new(subscription), None)
}

fn headers(call: &SubscribeCall<'_>) -> Vec<u8> {
    let unbuffered = if call.settings.is_builtin {
        UNBUFFERED
    } else {
        b""
    };
    [&cors(call)[..], NO_CACHE, unbuffered].concat()
}

fn decide_compression(
    call: &SubscribeCall<'_>,
    content_type: &[u8],
    headers: &[u8],
) -> CompressionDecision {
    call.compression.decide(&compression::ResponseFacts {
        status: Status::OK.0,
        content_type,
        length: None,
        has_last_modified: false,
        headers: &[headers, call.added].concat(),
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
    content_type: &[u8],
    headers: &[u8],
    framing: Framing,
    keep_alive: bool,
    decision: CompressionDecision,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(384);
    Head {
        status: Status::OK,
        content_type: Some(content_type),
        content_length: None,
        last_modified: None,
        chunked: framing == Framing::Chunked,
        keep_alive,
        headers: &[headers, decision.lines()].concat(),
    }
    .write(&mut out);
    out
}

/// The first text of a stream: the header template and its padding, in two pieces.
fn opening_text(
    renderer: &Renderer,
    padding: Option<&Padding>,
    is_eventsource: bool,
) -> [Bytes; 2] {
    let header = renderer.header();
    let padding = padding.filter(|_| !header.is_empty()).map(|padding| {
        if is_eventsource {
            padding.eventsource_header(header.len())
        } else {
            padding.streaming_header(header.len())
        }
    });
    [header, padding.unwrap_or_default()]
}

/// Appends the first text of a stream, compressed if there is a `level`. Returns the checksum of
/// what was compressed.
fn push_opening(
    pieces: &[Bytes; 2],
    level: Option<u32>,
    framing: Framing,
    out: &mut Vec<u8>,
) -> Checksum {
    let Some(level) = level else {
        pieces.iter().for_each(|piece| framing.piece(piece, out));
        return Checksum::default();
    };
    let plain = pieces.concat();
    let mut member = compression::HEADER.to_vec();
    let sum = if plain.is_empty() {
        Checksum::default()
    } else {
        compression::block(level, &plain, &mut member)
    };
    framing.piece(&member, out);
    sum
}

impl StreamEncoder {
    /// Adds gzip compression.
    fn compressed(mut self, level: u32) -> Self {
        let mut gzip = Gzip {
            level,
            framing: self.framing,
            ping: Default::default(),
        };
        self.framing = Framing::Raw;
        let mut ping = Vec::new();
        self.encode_ping(&mut ping);
        if !ping.is_empty() {
            gzip.ping = (ping.clone(), gzip.seal(&ping));
        }
        self.gzip = Some(gzip);
        self
    }

    fn piece(&self, view: &MessageView<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        scratch.clear();
        let length = self.renderer.message(view, scratch);
        self.padded(scratch, length, out);
    }

    fn padded(&self, piece: &[u8], length: usize, out: &mut Vec<u8>) {
        self.framing.piece(piece, out);
        if let Some(padding) = &self.padding {
            let bytes = if self.is_eventsource {
                padding.eventsource_message(length)
            } else {
                padding.streaming_message(length)
            };
            self.framing.piece(&bytes, out);
        }
    }
}

impl Encoder for StreamEncoder {
    fn encode_messages(&self, batch: DeliveryBatch<'_>, out: &mut Vec<u8>) {
        let mut scratch = buffer_pool::take(0);
        for gap in batch.gaps.iter().filter(|_| self.renderer.reports_gaps()) {
            scratch.clear();
            let length = self
                .renderer
                .gap(&gap.channel, gap.missed, gap.position, &mut scratch);
            self.padded(&scratch, length, out);
        }
        for delivery in batch.deliveries {
            self.piece(
                &MessageView::published(delivery.channel, delivery.message),
                &mut scratch,
                out,
            );
        }
        buffer_pool::give(scratch);
    }

    fn encode_ping(&self, out: &mut Vec<u8>) {
        self.framing.piece(&self.ping, out);
        if let Some(padding) = self.padding.as_ref().filter(|_| !self.is_eventsource) {
            self.framing
                .piece(&padding.streaming_message(self.ping.len()), out);
        }
    }

    fn encode_deletion(&self, channel: &[u8], text: &[u8], _: ResumePoint, out: &mut Vec<u8>) {
        self.piece(
            &MessageView::special(DELETED_ID, channel, text),
            &mut Vec::new(),
            out,
        );
    }

    fn encode_end(&self, _: EndReason, _: ResumePoint, out: &mut Vec<u8>) {
        self.framing.piece(&self.renderer.footer(), out);
        self.framing.last(out);
    }

    fn seal(&self, plain: Vec<u8>) -> (Vec<u8>, Checksum) {
        match &self.gzip {
            Some(gzip) if plain == gzip.ping.0 => gzip.ping.1.clone(),
            Some(gzip) if !plain.is_empty() => gzip.seal(&plain),
            _ => (plain, Checksum::default()),
        }
    }

    fn encode_trailer(&self, sum: Checksum, out: &mut Vec<u8>) {
        let Some(gzip) = &self.gzip else { return };
        let mut end = Vec::new();
        compression::end(sum, &mut end);
        gzip.framing.piece(&end, out);
        gzip.framing.last(out);
    }
}
