//! WebSocket: the handshake, refusals, and the frames of a follower (push-stream.md, section 12).
//!
//! What the client sends is taken apart by `frame` and judged by `inbound`.

pub mod frame;
pub mod inbound;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use smallvec::SmallVec;

use super::formats::{Key, Kind};
use super::{Call, SubscribeReply, refusal_of};
use crate::protocol::{DELETED_ID, EXPLAIN};
use crate::server::broker::{AttachError, Broker, Channel, CreateError, NewMessage};
use crate::server::buffer_pool;
use crate::server::dialect::push_stream::explain::Refusal;
use crate::server::dialect::push_stream::render::{Renderer, Shown, Style};
use crate::server::fanout::{
    ChannelRequest, Concurrency, DeliveryBatch, EndReason, Format, ResumePoint,
    SlowConsumerSettings, Subscription,
};
use crate::server::response::{Framing, NO_CACHE, Response, Status, push_line};
use frame::Opcode;

/// RFC 6455, section 1.3.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Close code of a refused subscription (RFC 6455, section 7.4.1: policy violation).
const REFUSED: u16 = 1008;

/// What becomes of the texts that a client sends.
#[derive(Clone, Debug)]
pub struct Publishing {
    is_allowed: bool,
    as_module: bool,
    /// The channels that they are published to; empty until the connection follows them.
    channels: SmallVec<[Arc<Channel>; 1]>,
    store: bool,
}

impl Publishing {
    /// Publishes to these channels, if publishing is allowed; never to the events channel.
    #[must_use]
    pub fn to(mut self, channels: &[ChannelRequest]) -> Self {
        let own = channels
            .iter()
            .map(|wanted| &wanted.channel)
            .filter(|channel| self.is_allowed && !channel.is_events);
        self.channels = own.cloned().collect();
        self
    }

    /// What takes the client's frames apart.
    #[must_use]
    pub fn inbound(&self) -> inbound::Inbound {
        inbound::Inbound::new(self.as_module)
    }

    /// Publishes `text` to every channel of the connection.
    ///
    /// # Errors
    /// When a limit on memory or channels is reached; the connection is to be closed.
    pub fn publish(&self, broker: &Broker, text: Vec<u8>) -> Result<(), CreateError> {
        if text.is_empty() {
            return Ok(());
        }
        // Without the room that a text of many fragments has at its end, of which the memory bound
        // would not know.
        let message = NewMessage {
            text: text.into_boxed_slice().into(),
            ..NewMessage::default()
        };
        // A channel that was deleted is no longer one of the connection's.
        for (channel, message) in message
            .for_each(&self.channels)
            .filter(|(channel, _)| channel.deletion_text().is_none())
        {
            broker.publish(channel, message, self.store)?;
        }
        Ok(())
    }
}

/// The bytes of websocket followers.
struct WebSocketFormat {
    renderer: Renderer,
    slow: SlowConsumerSettings,
}

pub(super) fn answer(call: &Call<'_>) -> SubscribeReply {
    let accept = match handshake(call) {
        Ok(accept) => accept,
        Err(response) => return SubscribeReply::Respond(response.closing()),
    };
    let mut head = Vec::with_capacity(320);
    head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    head.extend_from_slice(NO_CACHE);
    head.extend_from_slice(b"Upgrade: WebSocket\r\nConnection: Upgrade\r\n");
    push_line(b"Sec-WebSocket-Accept: ", accept.as_bytes(), &mut head);
    head.extend_from_slice(b"\r\n");
    let mut channels = match call.channels() {
        Ok(channels) => channels,
        // The original says nothing at all in this case.
        Err(Refusal::NoChannelId) => return SubscribeReply::Last(head),
        Err(refusal) => {
            push_refusal(refusal, &mut head);
            return SubscribeReply::Last(head);
        }
    };
    let publishing = Publishing {
        is_allowed: call.settings.websocket_allow_publish,
        as_module: !call.settings.is_json(),
        channels: SmallVec::new(),
        store: call.settings.store_messages,
    };
    let renderer = Renderer::new(call.settings.clone(), Style::Bare);
    let header = renderer.header();
    if !header.is_empty() {
        frame::push(Opcode::Text, &header, &mut head);
    }
    let merges_backlog = renderer.is_json();
    let key = Key::new(call.settings, Kind::WebSocket, Framing::Raw, false);
    let cursor = call.cursor(&mut channels);
    let subscription = Subscription {
        channels,
        cursor,
        format: call.formats.shared(key, call.settings, || WebSocketFormat {
            renderer,
            slow: call.slow_consumers(),
        }),
        head,
        time_to_live: call.settings.subscriber_connection_ttl,
        ping_interval: call.settings.ping_message_interval,
        merges_backlog,
        rearms: false,
        concurrency: Concurrency::Broadcast,
    };
    SubscribeReply::FollowWebSocket(Box::new(subscription), publishing)
}

/// The answer to a follower that could not be attached after the handshake was accepted.
pub(super) fn refused(call: &Call<'_>, error: &AttachError) -> Vec<u8> {
    // The handshake was checked before; the head is the one that the follower would have got.
    let SubscribeReply::FollowWebSocket(subscription, _) = answer(call) else {
        return Vec::new();
    };
    let mut head = subscription.head;
    let end = memchr::memmem::find(&head, b"\r\n\r\n").map_or(head.len(), |at| at + 4);
    head.truncate(end);
    push_refusal(refusal_of(error), &mut head);
    head
}

fn push_refusal(refusal: Refusal, out: &mut Vec<u8>) {
    refusal.log();
    let status = refusal.status().0;
    let reason = format!(
        "{{\"http_status\": {status}, \"explain\":\"{}\"}}",
        refusal.text().unwrap_or_default()
    );
    out.extend_from_slice(&frame::close(REFUSED, &reason));
}

/// Checks the handshake; returns the value of `Sec-WebSocket-Accept`.
fn handshake(call: &Call<'_>) -> Result<String, Response> {
    let explained = |headers: &str, text: &str| {
        Response::header_only(
            Status::BAD_REQUEST,
            [
                NO_CACHE,
                headers.as_bytes(),
                format!("{EXPLAIN}: {text}\r\n").as_bytes(),
            ]
            .concat(),
        )
    };
    if call.request.method != "GET" {
        return Err(Response::header_only(
            Status::NOT_ALLOWED,
            &b"Allow: GET\r\n"[..],
        ));
    }
    let header = |name| call.request.header(name);
    let (Some(key), Some(version), true) = (
        header("sec-websocket-key"),
        header("sec-websocket-version"),
        header("upgrade").is_some() && header("connection").is_some(),
    ) else {
        let text = "Don't have at least one of the mandatory headers: Connection, Upgrade, \
                    Sec-WebSocket-Key and Sec-WebSocket-Version";
        return Err(explained("", text));
    };
    let version = std::str::from_utf8(version)
        .ok()
        .and_then(|version| version.parse::<u64>().ok());
    if !matches!(version, Some(8 | 13)) {
        return Err(explained(
            "Sec-WebSocket-Version: 8, 13\r\n",
            "Version not supported. Supported versions: 8, 13",
        ));
    }
    Ok(accept(key))
}

/// The value of `Sec-WebSocket-Accept`.
pub(super) fn accept(key: &[u8]) -> String {
    STANDARD.encode(
        Sha1::new()
            .chain_update(key)
            .chain_update(ACCEPT_SUFFIX)
            .finalize(),
    )
}

impl WebSocketFormat {
    fn text(&self, shown: &Shown<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        scratch.clear();
        self.renderer.message(shown, scratch);
        frame::push(Opcode::Text, scratch, out);
    }
}

impl Format for WebSocketFormat {
    fn messages(&self, batch: DeliveryBatch<'_>, out: &mut Vec<u8>) {
        let mut scratch = buffer_pool::take(0);
        for gap in batch.gaps.iter().filter(|_| self.renderer.tells_gaps()) {
            scratch.clear();
            self.renderer
                .gap(&gap.channel, gap.missed, gap.position, &mut scratch);
            frame::push(Opcode::Text, &scratch, out);
        }
        for delivery in batch.deliveries {
            self.text(
                &Shown::published(delivery.channel, delivery.message),
                &mut scratch,
                out,
            );
        }
        buffer_pool::give(scratch);
    }

    fn ping(&self, out: &mut Vec<u8>) {
        frame::push(Opcode::Ping, b"", out);
    }

    fn deleted(&self, channel: &[u8], text: &[u8], _: ResumePoint, out: &mut Vec<u8>) {
        self.text(
            &Shown::special(DELETED_ID, channel, text),
            &mut Vec::new(),
            out,
        );
    }

    fn end(&self, _: EndReason, _: ResumePoint, out: &mut Vec<u8>) {
        let footer = self.renderer.footer();
        if !footer.is_empty() {
            frame::push(Opcode::Text, &footer, out);
        }
        frame::push(Opcode::Close, b"", out);
    }

    fn slow_consumers(&self) -> SlowConsumerSettings {
        self.slow
    }

    fn is_one_shot(&self) -> bool {
        false
    }

    fn keeps_connection(&self) -> bool {
        false
    }

    /// The module sends pings and looks for no answer.
    fn expects_pongs(&self) -> bool {
        self.renderer.is_json()
    }
}
