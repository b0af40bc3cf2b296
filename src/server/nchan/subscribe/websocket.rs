//! WebSockets of nchan (nhpm-nchan.md, section 2.8): handshake, and frames sent to followers.

use std::rc::Rc;
use std::sync::Arc;

use super::ids::MessageIds;
use super::socket::NchanSocket;
use super::{NchanFollower, NchanReply, NchanSubscribeCall, SubscriberHooks};
use crate::server::access::grant::{Action, ChannelFacts, may};
use crate::server::broker::{Cursor, Message};
use crate::server::config::model::nchan::Roles;
use crate::server::config::{Endpoint, NchanSettings};
use crate::server::endpoint::formats::FormatKind;
use crate::server::endpoint::websocket_frame as frame;
use crate::server::endpoint::websocket_frame::Opcode;
use crate::server::endpoint::websocket_handshake::accept_key;
use crate::server::endpoint::{SubscribeCall, SubscribeReply};
use crate::server::exchange::response::{HeaderListBuilder, Response, Status, SubscriptionHead};
use crate::server::fanout::{
    Channels, DeliveryBatch, Encoder, EndReason, FollowerPolicy, Format, Opening, PayloadBuffer,
    ResumePoint, Subscription, UnansweredPing,
};
use crate::server::nchan;
use crate::server::nchan::cors;
use crate::server::nchan::deflate;
use crate::server::nchan::deflate_negotiation;
use crate::server::nchan::deflate_negotiation::NegotiatedDeflate;
use crate::server::nchan::info;
use crate::server::nchan::publication::Publication;

/// The subprotocol whose messages carry their ids.
const META: &[u8] = b"ws+meta.nchan";

/// Close codes (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;

/// The encoding of websocket followers.
struct NchanWebSocketEncoder {
    ids: MessageIds,
    has_meta: bool,
    takes_deflated: bool,
}

impl NchanWebSocketEncoder {
    /// The format with this encoder.
    fn into_format(self, call: &SubscribeCall<'_>, settings: &NchanSettings) -> Format<Self> {
        // Without an interval there are no pings.
        let unanswered_ping = settings
            .websocket_ping_interval
            .map_or(UnansweredPing::Drop, UnansweredPing::End);
        let policy = FollowerPolicy {
            unanswered_ping,
            ends_with_any_channel: true,
            own_bytes: self.ids.own_bytes(),
            ..FollowerPolicy::stream(call.slow_consumers())
        };
        Format::new(policy, self)
    }
}

/// Result of a handshake.
struct Handshake {
    head: SubscriptionHead,
    has_meta: bool,
    extension: Option<NegotiatedDeflate>,
}

pub(super) fn respond(
    subscribing: &NchanSubscribeCall<'_, '_>,
) -> Result<NchanReply, Box<Response>> {
    let call = subscribing.call;
    let settings = subscribing.settings;
    let handshake = handshake(call, settings, &subscribing.cors)?;
    let channels = subscribing.channels()?;
    let ids = MessageIds::new(
        call.broker,
        &subscribing.named.keys,
        subscribing.id.as_ref(),
    );
    let takes_deflated = handshake.extension.is_some();
    let kind = FormatKind::NchanWebSocket {
        has_meta: handshake.has_meta,
        takes_deflated,
    };
    let key = subscribing.key(kind, ids.detail());
    let has_meta = handshake.has_meta;
    let make = || {
        NchanWebSocketEncoder {
            ids,
            has_meta,
            takes_deflated,
        }
        .into_format(call, settings)
    };
    let format = call.formats.shared(key, call.settings, make);
    let roles = roles(call);
    let publication = if roles.has(Roles::PUBLISH_WEBSOCKET) {
        Some(publication(call, settings, &subscribing.cors)?)
    } else {
        None
    };
    let subscription = Subscription {
        opening: Some(Box::new(Opening::new(handshake.head))),
        time_to_live: settings.subscriber_timeout,
        ping_interval: settings.websocket_ping_interval,
        merges_backlog: true,
        restarts_ttl: true,
        ..Subscription::new(channels, Cursor::default(), format)
    };
    let socket = NchanSocket::new(call, settings, publication, None, handshake.extension);
    let follower = NchanFollower {
        hooks: subscribing.subscriber_hooks(),
        socket: Some(socket),
    };
    Ok(SubscribeReply::Follow(Box::new(subscription), follower))
}

/// The reply at a location that supports publishing, but not subscribing.
pub(super) fn respond_to_publisher(
    call: &SubscribeCall<'_>,
    settings: &Arc<NchanSettings>,
) -> Result<NchanReply, Box<Response>> {
    let cors = cors::of_request(settings, call.variables);
    let rejected = |status| Box::new(nchan::empty(status).with_headers(&cors.headers));
    if call.grant.check_page().is_err() {
        return Err(rejected(Status::FORBIDDEN));
    }
    if settings.redis {
        return Err(rejected(Status(503)));
    }
    let handshake = handshake(call, settings, &cors)?;
    let publication = publication(call, settings, &cors)?;
    let encoder = NchanWebSocketEncoder {
        ids: MessageIds::Single,
        has_meta: false,
        takes_deflated: false,
    };
    let format = Rc::new(encoder.into_format(call, settings));
    let subscription = Subscription {
        opening: Some(Box::new(Opening::new(handshake.head))),
        ping_interval: settings.websocket_ping_interval,
        merges_backlog: true,
        ..Subscription::new(Channels::new(), Cursor::default(), format)
    };
    let notation = info::accepted(call.request.header("accept")).notation;
    let socket = NchanSocket::new(
        call,
        settings,
        Some(publication),
        Some(notation),
        handshake.extension,
    );
    let follower = NchanFollower {
        hooks: SubscriberHooks::default(),
        socket: Some(socket),
    };
    Ok(SubscribeReply::Follow(Box::new(subscription), follower))
}

fn roles(call: &SubscribeCall<'_>) -> Roles {
    match call.settings.endpoint {
        Endpoint::Nchan { roles, .. } => roles,
        _ => Roles::default(),
    }
}

fn publication(
    call: &SubscribeCall<'_>,
    settings: &Arc<NchanSettings>,
    cors: &cors::Cors,
) -> Result<Publication, Box<Response>> {
    let with_cors = |response: Box<Response>| Box::new(response.with_headers(&cors.headers));
    let named =
        nchan::channels(settings, &settings.publisher_ids, call.variables).map_err(with_cors)?;
    let is_denied = |key: &bytes::Bytes| {
        let facts = ChannelFacts::of_name(call.broker, key);
        may(&call.grant, Action::Publish, &facts).is_err()
    };
    if named.keys.iter().any(is_denied) {
        return Err(with_cors(Box::new(nchan::empty(Status::FORBIDDEN))));
    }
    Publication::new(
        settings,
        &named,
        call.grant,
        call.broker,
        call.variables,
        "websocket",
        None,
    )
    .map_err(with_cors)
}

/// Checks the handshake and makes the response head.
fn handshake(
    call: &SubscribeCall<'_>,
    settings: &NchanSettings,
    cors: &cors::Cors,
) -> Result<Handshake, Box<Response>> {
    let rejected =
        |text: &str| Box::new(nchan::text(Status::BAD_REQUEST, text).with_headers(&cors.headers));
    let header = |name| call.request.header(name);
    let version = header("sec-websocket-version")
        .ok_or_else(|| rejected("No Sec-Websocket-Version header present"))?;
    if version.trim_ascii() != b"13" {
        return Err(rejected(
            "Unsupported websocket protocol version (only version 13 is supported)",
        ));
    }
    let key = header("sec-websocket-key")
        .ok_or_else(|| rejected("No Sec-Websocket-Key header present"))?;
    // Several header lines form one list (RFC 6455, section 11.3.2).
    let lines = call
        .request
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("sec-websocket-extensions"));
    let offers: Vec<&[u8]> = lines.map(|header| header.value).collect();
    let extension =
        deflate_negotiation::negotiate(Some(&offers.join(&b", "[..])), settings.deflate)
            .map_err(rejected)?;
    let has_meta =
        header("sec-websocket-protocol").is_some_and(|protocols| protocols.starts_with(META));
    let mut headers = HeaderListBuilder::with_capacity(320);
    headers.push("Content-Length", "0");
    headers.push("Connection", "upgrade");
    // Only an accepted subprotocol is in the response (RFC 6455, section 4.2.2).
    if has_meta {
        headers.push("Sec-WebSocket-Protocol", META);
    }
    if let Some(NegotiatedDeflate { extension, .. }) = &extension {
        headers.push("Sec-WebSocket-Extensions", extension);
    }
    headers.push("Sec-WebSocket-Accept", accept_key(key));
    headers.push("Upgrade", "websocket");
    headers.extend(&cors.headers);
    Ok(Handshake {
        head: SubscriptionHead::Upgrade(headers.build()),
        has_meta,
        extension,
    })
}

impl NchanWebSocketEncoder {
    fn messages(&self, batch: DeliveryBatch<'_>, out: &mut Vec<u8>) {
        let mut ids = self.ids.sequence();
        for delivery in batch.deliveries {
            let meta = self.has_meta.then(|| {
                let content_type = delivery
                    .message
                    .content_type()
                    .map(|value| format!("content-type: {}\n", String::from_utf8_lossy(value)));
                format!(
                    "id: {}\n{}\n",
                    ids.next(delivery),
                    content_type.unwrap_or_default()
                )
            });
            self.message(delivery.message, meta, out);
        }
    }

    fn message(&self, message: &Message, meta: Option<String>, out: &mut Vec<u8>) {
        let is_binary = message
            .content_type()
            .is_some_and(|content_type| content_type == "application/octet-stream");
        let opcode = if is_binary {
            Opcode::Binary
        } else {
            Opcode::Text
        };
        match (meta, message.deflated().filter(|_| self.takes_deflated)) {
            (Some(meta), None) => {
                frame::push(opcode, &[meta.as_bytes(), &message.text].concat(), out)
            }
            (Some(meta), Some(deflated)) => {
                let mut payload = Vec::with_capacity(meta.len() + deflated.len() + 8);
                deflate::push_with_head(meta.as_bytes(), deflated, &mut payload);
                push_compressed(opcode, &payload, out);
            }
            (None, Some(deflated)) => push_compressed(opcode, deflated, out),
            (None, None) => frame::push(opcode, &message.text, out),
        }
    }
}

/// Appends a frame with a compressed message.
fn push_compressed(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let first = out.len();
    frame::push(opcode, payload, out);
    out[first] |= frame::RSV1;
}

impl Encoder for NchanWebSocketEncoder {
    fn encode_messages(&self, batch: DeliveryBatch<'_>, out: &mut PayloadBuffer) {
        out.piece(|out| self.messages(batch, out));
    }

    fn encode_ping(&self, out: &mut PayloadBuffer) {
        out.piece(|out| frame::push(Opcode::Ping, b"", out));
    }

    fn encode_deletion(&self, _: &[u8], _: &[u8], _: ResumePoint, _: &mut PayloadBuffer) {}

    fn encode_end(&self, ending: EndReason, _: ResumePoint, out: &mut PayloadBuffer) {
        out.push(&match ending {
            EndReason::TimeToLive => frame::close(NORMAL, "408 408 Request Timeout"),
            EndReason::UnansweredPing => frame::close(NORMAL, "410 Gone"),
            EndReason::Deleted
            | EndReason::Shutdown
            | EndReason::Conflict
            | EndReason::Interrupted => frame::close(GOING_AWAY, "410 Gone"),
        });
    }
}
