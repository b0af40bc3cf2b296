//! Streaming and EventSource: one endless response (reference sections 8 and 11).

use super::formats::{Key, Kind};
use super::{Answer, Call};
use crate::protocol::{DELETED_ID, PING_ID};
use crate::server::broker::Cursor;
use crate::server::config::{Padding, SubscriberMode};
use crate::server::dialect::push_stream::cursor::percent_decode;
use crate::server::dialect::push_stream::render::{Renderer, Shown, Style};
use crate::server::fanout::{Batch, Channels, Concurrency, Ending, Format, SlowConsumers, Standing, Subscription};
use crate::server::response::{Framing, Head, NO_CACHE, Status};

/// The bytes of streaming and EventSource followers.
struct StreamFormat {
    renderer: Renderer,
    is_eventsource: bool,
    framing: Framing,
    keep_alive: bool,
    padding: Option<Padding>,
    ping: Vec<u8>,
    slow: SlowConsumers,
}

pub(super) fn answer(call: &Call<'_>, channels: Channels, cursor: Cursor) -> Answer {
    let is_eventsource = call.mode == SubscriberMode::EventSource;
    let framing = Framing::of(call.request.minor_version);
    let keep_alive = call.request.keep_alive && framing == Framing::Chunked;
    let padding = padding(call);
    let renderer = renderer(call);
    let head = head(call, &renderer, framing, (keep_alive, padding.as_ref()));
    let merges_backlog = renderer.is_json();
    let kind = if is_eventsource { Kind::EventSource } else { Kind::Streaming };
    let key = Key {
        padding: padding.as_ref().map(|padding| (padding.header, padding.message)),
        ..Key::new(call.settings, kind, framing, keep_alive)
    };
    let format = call.formats.shared(key, call.settings, || {
        let ping_text = &call.broker.settings().ping_message_text;
        let mut ping = Vec::new();
        if is_eventsource {
            ping.extend_from_slice(b": -1\n");
        } else if !ping_text.is_empty() {
            renderer.message(&Shown::special(PING_ID, b"", ping_text), &mut ping);
        }
        StreamFormat { renderer, is_eventsource, framing, keep_alive, padding, ping, slow: call.slow_consumers() }
    });
    Answer::Follow(Box::new(Subscription {
        channels,
        cursor,
        format,
        head,
        time_to_live: call.settings.subscriber_connection_ttl,
        ping_interval: call.settings.ping_message_interval,
        merges_backlog,
        rearms: false,
        concurrency: Concurrency::Broadcast,
    }))
}

pub(super) fn renderer(call: &Call<'_>) -> Renderer {
    let style = if call.mode == SubscriberMode::EventSource { Style::EventSource } else { Style::Lines };
    Renderer::new(call.settings.clone(), style)
}

fn padding(call: &Call<'_>) -> Option<Padding> {
    let user_agent = match &call.settings.user_agent {
        Some(expression) => percent_decode(&expression.evaluate(call.variables)).into_owned(),
        None => call.request.header("user-agent").unwrap_or_default().to_vec(),
    };
    call.settings.paddings.for_user_agent(&user_agent)
}

/// Head and header template. The original holds the head back until there is a body byte; sending it at once tells the
/// client that it is subscribed.
fn head(call: &Call<'_>, renderer: &Renderer, framing: Framing, (keep_alive, padding): (bool, Option<&Padding>)) -> Vec<u8> {
    let is_eventsource = call.mode == SubscriberMode::EventSource;
    let content_type = call.content_type();
    let mut out = Vec::with_capacity(384);
    Head {
        status: Status::OK,
        content_type: Some(if is_eventsource { b"text/event-stream; charset=utf-8" } else { &content_type }),
        content_length: None,
        last_modified: None,
        chunked: framing == Framing::Chunked,
        keep_alive,
        headers: &[&call.cors()[..], NO_CACHE].concat(),
    }
    .write(&mut out);
    let header = renderer.header();
    framing.piece(&header, &mut out);
    if let Some(padding) = padding.filter(|_| !header.is_empty()) {
        let bytes = if is_eventsource { padding.eventsource_header(header.len()) } else { padding.streaming_header(header.len()) };
        framing.piece(&bytes, &mut out);
    }
    out
}

impl StreamFormat {
    fn piece(&self, shown: &Shown<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        scratch.clear();
        let length = self.renderer.message(shown, scratch);
        self.padded(scratch, length, out);
    }

    fn padded(&self, piece: &[u8], length: usize, out: &mut Vec<u8>) {
        self.framing.piece(piece, out);
        if let Some(padding) = &self.padding {
            let bytes = if self.is_eventsource { padding.eventsource_message(length) } else { padding.streaming_message(length) };
            self.framing.piece(&bytes, out);
        }
    }
}

impl Format for StreamFormat {
    fn messages(&self, batch: Batch<'_>, out: &mut Vec<u8>) {
        let mut scratch = Vec::new();
        for gap in batch.gaps.iter().filter(|_| self.renderer.tells_gaps()) {
            scratch.clear();
            let length = self.renderer.gap(&gap.channel, gap.missed, gap.position, &mut scratch);
            self.padded(&scratch, length, out);
        }
        for delivery in batch.deliveries {
            self.piece(&Shown::published(&delivery.channel, &delivery.message), &mut scratch, out);
        }
    }

    fn ping(&self, out: &mut Vec<u8>) {
        self.framing.piece(&self.ping, out);
        if let Some(padding) = self.padding.as_ref().filter(|_| !self.is_eventsource) {
            self.framing.piece(&padding.streaming_message(self.ping.len()), out);
        }
    }

    fn deleted(&self, channel: &[u8], text: &[u8], _: Standing, out: &mut Vec<u8>) {
        self.piece(&Shown::special(DELETED_ID, channel, text), &mut Vec::new(), out);
    }

    fn end(&self, _: Ending, _: Standing, out: &mut Vec<u8>) {
        self.framing.piece(&self.renderer.footer(), out);
        self.framing.last(out);
    }

    fn slow_consumers(&self) -> SlowConsumers {
        self.slow
    }

    fn is_one_shot(&self) -> bool {
        false
    }

    fn keeps_connection(&self) -> bool {
        self.keep_alive
    }
}
