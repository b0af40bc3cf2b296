//! WebSocket: handshake, rejections, and the frames sent to a follower (push-stream.md, section
//! 12).
//!
//! `inbound` checks what the client sends, `socket` publishes it.

pub mod inbound;
mod socket;

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

pub use self::socket::PushStreamSocket;
use super::{channels, rejection_for, resume};
use crate::protocol::{DELETED_ID, EXPLAIN};
use crate::server::access::grant::{Action, ChannelFacts, Grant, may};
use crate::server::broker::{AttachError, Broker, Channel, NewMessage, StoreOptions, Tickets};
use crate::server::endpoint::formats::{FormatKey, FormatKind};
use crate::server::endpoint::websocket_frame as frame;
use crate::server::endpoint::websocket_frame::Opcode;
use crate::server::endpoint::websocket_handshake::accept_key;
use crate::server::endpoint::{RejectedWebSocket, SubscribeCall, SubscribeReply};
use crate::server::exchange::buffer_pool;
use crate::server::exchange::response::{
    HeaderList, HeaderListBuilder, NO_CACHE, Response, Status, SubscriptionHead, header_list,
};
use crate::server::fanout::{
    ChannelRequest, DeliveryBatch, Encoder, EndReason, FollowerPolicy, Format, Opening,
    PayloadBuffer, ResumePoint, Subscription, UnansweredPing,
};
use crate::server::push_stream::explain::Rejection;
use crate::server::push_stream::render::{MessageView, RenderStyle, Renderer};
use crate::server::push_stream::subscribe::PushStreamReply;

/// Close code of a rejected subscription: policy violation (RFC 6455, section 7.4.1).
const POLICY_VIOLATION: u16 = 1008;

/// Publishes the texts that a client sends, where the location allows it.
#[derive(Clone, Debug)]
pub struct WebSocketPublisher {
    grant: Grant,
    as_module: bool,
    /// The channels to which texts are published; empty until the connection follows them.
    channels: SmallVec<[Arc<Channel>; 1]>,
    store: bool,
}

impl WebSocketPublisher {
    /// Sets the channels to publish to: those of the subscription to which the client may publish.
    #[must_use]
    pub fn to(mut self, broker: &Broker, channels: &[ChannelRequest]) -> Self {
        let own = channels
            .iter()
            .map(|requested| &requested.channel)
            .filter(|channel| {
                let facts = ChannelFacts::of_found(broker, &channel.id, Some(channel));
                may(&self.grant, Action::Publish, &facts).is_ok()
            });
        self.channels = own.cloned().collect();
        self
    }

    /// Opens the websocket.
    #[must_use]
    pub fn open(self) -> PushStreamSocket {
        let inbound = inbound::Inbound::new(self.as_module);
        PushStreamSocket::new(self, inbound)
    }

    /// Publishes `text` to every channel of the connection.
    pub fn publish(&self, broker: &Broker, text: Bytes) -> Tickets {
        if text.is_empty() {
            return Tickets::Ready(Ok(SmallVec::new()));
        }
        let message = NewMessage {
            text,
            ..NewMessage::default()
        };
        let options = StoreOptions::new(self.store);
        // A deleted channel no longer belongs to the connection.
        let published = message
            .for_each(&self.channels)
            .filter(|(channel, _)| channel.deletion_text().is_none())
            .map(|(channel, message)| broker.publish(channel, message, options));
        Tickets::collect(published)
    }
}

/// The encoding of websocket followers.
struct WebSocketEncoder {
    renderer: Renderer,
}

pub(in crate::server) fn respond(call: &SubscribeCall<'_>) -> PushStreamReply {
    let accept = match handshake(call) {
        Ok(accept) => accept,
        Err(response) => return SubscribeReply::Respond(response.closing()),
    };
    let head = SubscriptionHead::Upgrade(upgrade_headers(&accept));
    let mut channels = match channels(call) {
        Ok(channels) => channels,
        // The module sends no explanation in this case.
        Err(Rejection::NoChannelId) => {
            return SubscribeReply::RejectWebSocket(RejectedWebSocket {
                head: Some(head),
                frames: Vec::new(),
            });
        }
        Err(rejection) => {
            return SubscribeReply::RejectWebSocket(rejected(Some(head), rejection));
        }
    };
    let publishing = WebSocketPublisher {
        grant: call.grant,
        as_module: !call.settings.is_json(),
        channels: SmallVec::new(),
        store: call.settings.store_messages,
    };
    let renderer = Renderer::new(call.settings.clone(), RenderStyle::Unframed);
    let header = renderer.header();
    let mut opening = Opening::new(head);
    if !header.is_empty() {
        let mut text = Vec::with_capacity(header.len() + frame::MAX_HEAD_BYTES);
        frame::push(Opcode::Text, &header, &mut text);
        opening.pieces.push(text.into());
    }
    let merges_backlog = renderer.is_json();
    let key = FormatKey::new(call.settings, FormatKind::WebSocket);
    let cursor = resume::cursor(call, &mut channels);
    let format = call.formats.shared(key, call.settings, || {
        let policy = FollowerPolicy {
            // The module sends pings and ignores missing pongs.
            unanswered_ping: if renderer.is_json() {
                UnansweredPing::Drop
            } else {
                UnansweredPing::Ignore
            },
            ..FollowerPolicy::stream(call.slow_consumers())
        };
        Format::new(policy, WebSocketEncoder { renderer })
    });
    let subscription = Subscription {
        opening: Some(Box::new(opening)),
        time_to_live: call.settings.subscriber_connection_ttl,
        ping_interval: call.settings.ping_message_interval,
        merges_backlog,
        ..Subscription::new(channels, cursor, format)
    };
    SubscribeReply::Follow(Box::new(subscription), Some(publishing))
}

/// The reply to a follower that could not be attached after the handshake was accepted.
pub(in crate::server) fn reject(
    call: &SubscribeCall<'_>,
    error: &AttachError,
) -> RejectedWebSocket {
    // The handshake was checked before; the head is that of an accepted follower.
    match respond(call) {
        SubscribeReply::Follow(subscription, _) => {
            let head = subscription.opening.map(|opening| opening.head);
            rejected(head, rejection_for(error))
        }
        _ => RejectedWebSocket {
            head: None,
            frames: Vec::new(),
        },
    }
}

fn rejected(head: Option<SubscriptionHead>, rejection: Rejection) -> RejectedWebSocket {
    rejection.log();
    let status = rejection.status().0;
    let reason = format!(
        "{{\"http_status\": {status}, \"explain\":\"{}\"}}",
        rejection.text().unwrap_or_default()
    );
    RejectedWebSocket {
        head,
        frames: frame::close(POLICY_VIOLATION, &reason),
    }
}

/// The headers of the response that opens a websocket.
fn upgrade_headers(accept: &str) -> HeaderList {
    let mut headers = HeaderListBuilder::with_capacity(320);
    headers.extend(&NO_CACHE);
    headers.push("Upgrade", "WebSocket");
    headers.push("Connection", "Upgrade");
    headers.push("Sec-WebSocket-Accept", accept);
    headers.build()
}

/// Checks the handshake. Returns the value of `Sec-WebSocket-Accept`.
fn handshake(call: &SubscribeCall<'_>) -> Result<String, Box<Response>> {
    let explained = |headers: &HeaderList, text: &str| {
        let response = Response::header_only(Status::BAD_REQUEST, &NO_CACHE)
            .with_headers(headers)
            .with_headers(&HeaderList::of(EXPLAIN, text));
        Box::new(response)
    };
    if call.request.method != "GET" {
        return Err(Box::new(Response::header_only(
            Status::NOT_ALLOWED,
            header_list!("Allow": "GET"),
        )));
    }
    let header = |name| call.request.header(name);
    let (Some(key), Some(version), true) = (
        header("sec-websocket-key"),
        header("sec-websocket-version"),
        header("upgrade").is_some() && header("connection").is_some(),
    ) else {
        let text = "Don't have at least one of the mandatory headers: Connection, Upgrade, \
                    Sec-WebSocket-Key and Sec-WebSocket-Version";
        return Err(explained(&HeaderList::default(), text));
    };
    let version = std::str::from_utf8(version)
        .ok()
        .and_then(|version| version.parse::<u64>().ok());
    if !matches!(version, Some(8 | 13)) {
        return Err(explained(
            &header_list!("Sec-WebSocket-Version": "8, 13"),
            "Version not supported. Supported versions: 8, 13",
        ));
    }
    Ok(accept_key(key))
}

impl WebSocketEncoder {
    fn texts(&self, batch: DeliveryBatch<'_>, out: &mut Vec<u8>) {
        let mut scratch = buffer_pool::take(0);
        for gap in batch.gaps.iter().filter(|_| self.renderer.reports_gaps()) {
            scratch.clear();
            self.renderer
                .gap(&gap.channel, gap.missed, gap.position, &mut scratch);
            frame::push(Opcode::Text, &scratch, out);
        }
        for delivery in batch.deliveries {
            self.text(
                &MessageView::published(delivery.channel, delivery.message),
                &mut scratch,
                out,
            );
        }
        buffer_pool::give(scratch);
    }

    fn text(&self, view: &MessageView<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        scratch.clear();
        self.renderer.message(view, scratch);
        frame::push(Opcode::Text, scratch, out);
    }
}

impl Encoder for WebSocketEncoder {
    fn encode_messages(&self, batch: DeliveryBatch<'_>, out: &mut PayloadBuffer) {
        out.piece(|out| self.texts(batch, out));
    }

    fn encode_ping(&self, out: &mut PayloadBuffer) {
        out.piece(|out| frame::push(Opcode::Ping, b"", out));
    }

    fn encode_deletion(
        &self,
        channel: &[u8],
        text: &[u8],
        _: ResumePoint,
        out: &mut PayloadBuffer,
    ) {
        let view = MessageView::special(DELETED_ID, channel, text);
        out.piece(|out| self.text(&view, &mut Vec::new(), out));
    }

    fn encode_end(&self, _: EndReason, _: ResumePoint, out: &mut PayloadBuffer) {
        let footer = self.renderer.footer();
        out.piece(|out| {
            if !footer.is_empty() {
                frame::push(Opcode::Text, &footer, out);
            }
            frame::push(Opcode::Close, b"", out);
        });
    }
}
