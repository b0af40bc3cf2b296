//! EventSource, chunked, multipart and raw streams (nhpm-nchan.md, sections 2.6 and 2.7).

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;

use super::ids::MessageIds;
use super::{NchanFollower, NchanReply, NchanSubscribeCall};
use crate::server::broker::{Cursor, Message};
use crate::server::config::NchanSettings;
use crate::server::endpoint::SubscribeReply;
use crate::server::endpoint::formats::FormatKind;
use crate::server::exchange::response::{
    Framing, ResponseHead, Status, SubscriptionHead, push_line,
};
use crate::server::fanout::{
    Channels, DeliveryBatch, Encoder, EndReason, FollowerPolicy, Format, Opening, PayloadBuffer,
    ResumePoint, Subscription,
};
use crate::server::nchan::message_id::MessageId;
use crate::server::nchan::negotiation::Mode;

/// The encoding of streams.
struct NchanStreamEncoder {
    mode: Mode,
    settings: Arc<NchanSettings>,
    ids: MessageIds,
    boundary: String,
}

/// Creates a random boundary, which is unlikely to occur in a message.
pub(super) fn boundary() -> String {
    const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // The hash keys of the standard library are random.
    let random = [(); 4].map(|()| RandomState::new().hash_one(0_u8));
    random
        .iter()
        .flat_map(|number| {
            (0..8).map(move |index| char::from(LETTERS[(number >> (index * 8)) as usize % 64]))
        })
        .collect()
}

pub(super) fn respond(subscribing: &NchanSubscribeCall<'_, '_>, channels: Channels) -> NchanReply {
    let call = subscribing.call;
    let settings = subscribing.settings;
    let mode = subscribing.mode;
    let ids = MessageIds::new(
        call.broker,
        &subscribing.named.keys,
        subscribing.id.as_ref(),
    );
    // The head contains the boundary, so that followers of one format share it.
    let boundary = if mode == Mode::Multipart {
        call.formats.boundary(boundary)
    } else {
        String::new()
    };
    let key = subscribing.key(FormatKind::NchanStream(mode as u8), ids.detail());
    let head = head(subscribing, &boundary);
    let opening = Opening {
        pieces: opening_pieces(mode, &boundary),
        ..Opening::new(head)
    };
    let format = call.formats.shared(key, call.settings, || {
        let policy = FollowerPolicy {
            ends_with_any_channel: true,
            own_bytes: ids.own_bytes(),
            ..FollowerPolicy::stream(call.slow_consumers())
        };
        let encoder = NchanStreamEncoder {
            mode,
            settings: Arc::clone(settings),
            ids,
            boundary,
        };
        Format::new(policy, encoder)
    });
    let framing = match mode {
        Mode::Chunked => Framing::of(call.request.minor_version),
        _ => Framing::Raw,
    };
    let subscription = Subscription {
        opening: Some(Box::new(opening)),
        framing,
        time_to_live: settings.subscriber_timeout,
        ping_interval: settings
            .eventsource_ping_interval
            .filter(|_| mode == Mode::EventSource),
        merges_backlog: true,
        restarts_ttl: true,
        ..Subscription::new(channels, Cursor::default(), format)
    };
    let follower = NchanFollower {
        hooks: subscribing.subscriber_hooks(),
        socket: None,
    };
    SubscribeReply::Follow(Box::new(subscription), follower)
}

fn head(subscribing: &NchanSubscribeCall<'_, '_>, boundary: &str) -> SubscriptionHead {
    let mode = subscribing.mode;
    SubscriptionHead::Stream(ResponseHead {
        content_type: match mode {
            Mode::EventSource => Some(Bytes::from_static(b"text/event-stream; charset=utf-8")),
            Mode::Multipart => Some(format!("multipart/mixed; boundary={boundary}").into()),
            _ => None,
        },
        // HTTP/1.0 has no chunks: the end of the connection ends the stream.
        close: mode == Mode::RawStream || subscribing.call.request.minor_version == 0,
        ..ResponseHead::new(Status::OK, subscribing.cors.headers.clone())
    })
}

/// The first payload of a stream.
fn opening_pieces(mode: Mode, boundary: &str) -> Vec<Bytes> {
    match mode {
        Mode::EventSource => vec![Bytes::from_static(b": hi\n\n")],
        Mode::Multipart => vec![format!("--{boundary}").into()],
        _ => Vec::new(),
    }
}

impl NchanStreamEncoder {
    fn message(&self, message: &Message, id: impl FnOnce() -> MessageId, out: &mut Vec<u8>) {
        match self.mode {
            Mode::EventSource => self.event(message, &id(), out),
            Mode::Multipart => self.part(message, &id(), out),
            _ => {
                out.extend_from_slice(&message.text);
                out.extend_from_slice(&self.settings.raw_separator);
            }
        }
    }

    fn event(&self, message: &Message, id: &MessageId, out: &mut Vec<u8>) {
        if let Some(event) = self
            .settings
            .eventsource_event
            .as_ref()
            .or(message.event_type.as_ref())
        {
            push_field(b"event: ", event, out);
        }
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
        for line in lines(&message.text) {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.push(b'\n');
    }

    fn part(&self, message: &Message, id: &MessageId, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        let etag = [&self.settings.etag_header[..], b": "].concat();
        if self.settings.compound_etag {
            push_line(&etag, id.to_string().as_bytes(), out);
        } else {
            push_line(
                b"Last-Modified: ",
                crate::message::http_date(id.time).as_bytes(),
                out,
            );
            push_line(&etag, id.tags().to_string().as_bytes(), out);
        }
        if let Some(content_type) = message.content_type() {
            push_line(b"Content-Type: ", content_type, out);
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&message.text);
        out.extend_from_slice(format!("\r\n--{}", self.boundary).as_bytes());
    }

    fn push_ping(&self, out: &mut Vec<u8>) {
        let ping = &self.settings.eventsource_ping;
        if !ping.comment.is_empty() || (ping.event.is_empty() && ping.data.is_empty()) {
            push_field(b":", &ping.comment, out);
        }
        if !ping.event.is_empty() {
            push_field(b"event: ", &ping.event, out);
        }
        if !ping.data.is_empty() {
            push_field(b"data: ", &ping.data, out);
        }
        out.push(b'\n');
    }
}

/// The lines of a message, which end in LF. To browsers a lone CR is a line end, too, so that a
/// publisher could forge an `id:` field. A CR therefore ends a line if a browser would read the
/// following text as a field or as the end of the event. Elsewhere it stays, as nchan sends it, and
/// browsers ignore the text after it.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr2_iter(b'\n', b'\r', text)
            .find(|at| text[*at] == b'\n' || is_event_stream_field(&text[at + 1..]));
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

/// Whether browsers interpret a line with this beginning.
fn is_event_stream_field(text: &[u8]) -> bool {
    [&b"\r"[..], b"data", b"event", b"id", b"retry"]
        .iter()
        .any(|field| text.starts_with(field))
}

/// Appends a field of one line, without the line breaks in its value.
fn push_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend(value.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
    out.push(b'\n');
}

impl Encoder for NchanStreamEncoder {
    fn encode_messages(&self, batch: DeliveryBatch<'_>, out: &mut PayloadBuffer) {
        // Only chunks are pieces.
        if self.mode == Mode::Chunked {
            for delivery in batch.deliveries {
                out.push(&delivery.message.text);
            }
            return;
        }
        let mut ids = self.ids.sequence();
        out.piece(|out| {
            for delivery in batch.deliveries {
                self.message(delivery.message, || ids.next(delivery), out);
            }
        });
    }

    fn encode_ping(&self, out: &mut PayloadBuffer) {
        out.piece(|out| self.push_ping(out));
    }

    fn encode_deletion(&self, _: &[u8], _: &[u8], _: ResumePoint, _: &mut PayloadBuffer) {}

    fn encode_end(&self, ending: EndReason, _: ResumePoint, out: &mut PayloadBuffer) {
        let is_over = ending == EndReason::TimeToLive;
        out.push(match self.mode {
            Mode::EventSource if is_over => b":408: 408 Request Timeout\n\n",
            Mode::EventSource => b":410: 410 Gone\n\n",
            Mode::Multipart => b"--\r\n",
            _ => b"",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_cr_in_front_of_a_field_ends_a_line() {
        for (text, expected) in [
            ("", &[""][..]),
            ("a", &["a"]),
            ("a\nb\n", &["a", "b", ""]),
            ("a\rid: 1\rb", &["a", "id: 1\rb"]),
            (
                "a\rdata\revent:x\rretry: 1\r",
                &["a", "data", "event:x", "retry: 1\r"],
            ),
            ("a\r\nb\r", &["a\r", "b\r"]),
            ("\r\r\nb", &["", "\r", "b"]),
            ("a\r\rb", &["a", "\rb"]),
        ] {
            assert!(
                lines(text.as_bytes()).eq(expected.iter().map(|line| line.as_bytes())),
                "{text:?}"
            );
        }
    }
}
