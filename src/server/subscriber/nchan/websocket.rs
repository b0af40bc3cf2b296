//! WebSockets of nchan (reference, section 2.8): the handshake, the frames of followers, and what clients send.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::ids::Ids;
use super::{Companion, Subscribing};
use crate::server::broker::{Cursor, Message};
use crate::server::config::NchanSettings;
use crate::server::config::nchan::Roles;
use crate::server::dialect::nchan::deflate::{self, Inflater, Negotiated, NotInflated};
use crate::server::dialect::nchan::info::Notation;
use crate::server::dialect::nchan::{self, cors};
use crate::server::fanout::{Batch, Channels, Concurrency, Ending, Format, SlowConsumers, Standing, Subscription};
use crate::server::publisher::{Publication, Unpublished};
use crate::server::response::{Response, Status, push_line};
use crate::server::subscriber::websocket::accept;
use crate::server::subscriber::websocket::frame::{self, Frame, Opcode, Parsed};
use crate::server::subscriber::{Answer, Call, Kind};

/// The subprotocol whose messages tell their ids.
const META: &[u8] = b"ws+meta.nchan";
/// Longest payload of a control frame.
const MOST_CONTROL_BYTES: usize = 1023;

/// Close codes of RFC 6455, section 7.4.1.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const NOT_UTF8: u16 = 1007;
const POLICY: u16 = 1008;
const TOO_LARGE: u16 = 1009;
const INTERNAL: u16 = 1011;

/// The bytes of websocket followers.
struct WebSocketFormat {
    settings: Arc<NchanSettings>,
    ids: Ids,
    has_meta: bool,
    takes_deflated: bool,
    slow: SlowConsumers,
}

/// What is agreed in a handshake.
struct Handshake {
    head: Vec<u8>,
    has_meta: bool,
    extension: Option<Negotiated>,
}

/// What a client sends over its websocket, and what becomes of it.
#[derive(Debug)]
pub struct Socket {
    /// Where messages are published; `None` = they are not allowed.
    publication: Option<Publication>,
    /// The info that answers each message, where nobody subscribes.
    notation: Option<Notation>,
    /// Of the handshake.
    content_type: Option<Bytes>,
    heartbeat: Option<(Bytes, Bytes)>,
    /// Messages may be compressed, and without context.
    deflate: Option<bool>,
    inflater: Option<Box<Inflater>>,
    fragments: Option<Fragments>,
}

/// A message of which not all has come.
#[derive(Debug)]
struct Fragments {
    is_binary: bool,
    is_compressed: bool,
    bytes: Vec<u8>,
}

/// What has to be done with what a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Publish it.
    Message(Incoming),
    /// Send these bytes.
    Reply(Vec<u8>),
    /// Send these bytes and close.
    Close(Vec<u8>),
}

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Its bytes.
    pub text: Bytes,
    /// Its content type.
    pub content_type: Option<Bytes>,
}

pub(super) fn answer(subscribing: &Subscribing<'_, '_>) -> Result<Answer, Box<Response>> {
    let (call, settings) = (subscribing.call, subscribing.settings);
    let handshake = handshake(call, settings, &subscribing.cors)?;
    let channels = subscribing.channels()?;
    let ids = Ids::new(call.broker, &subscribing.named.keys, subscribing.id.as_ref());
    let takes_deflated = handshake.extension.is_some();
    let kind = Kind::NchanWebSocket { has_meta: handshake.has_meta, takes_deflated };
    let key = super::super::Key { cors: Vec::new(), added: Vec::new(), ..subscribing.key(kind, ids.detail()) };
    let has_meta = handshake.has_meta;
    let make = || WebSocketFormat { settings: Arc::clone(settings), ids, has_meta, takes_deflated, slow: call.slow_consumers() };
    let format = call.formats.shared(key, call.settings, make);
    let roles = roles(call);
    let publication = if roles.has(Roles::PUBLISH_WEBSOCKET) { Some(publication(call, settings, &subscribing.cors)?) } else { None };
    let subscription = Subscription {
        channels,
        cursor: Cursor::default(),
        format,
        head: handshake.head,
        time_to_live: settings.subscriber_timeout,
        ping_interval: settings.websocket_ping_interval,
        merges_backlog: true,
        rearms: true,
        concurrency: Concurrency::Broadcast,
    };
    let socket = Socket::new(call, settings, publication, None, handshake.extension);
    Ok(Answer::FollowSocket(Box::new(subscription), Box::new(socket), Box::new(subscribing.companion())))
}

/// The answer on a location where messages can be published, and not followed.
pub(super) fn answer_publisher(call: &Call<'_>, settings: &Arc<NchanSettings>) -> Result<Answer, Box<Response>> {
    let cors = cors::of_request(settings, call.variables);
    let refused = |status| Box::new(nchan::empty(status).with_headers(&cors.lines));
    if cors.is_refused {
        return Err(refused(Status::FORBIDDEN));
    }
    if settings.redis {
        return Err(refused(Status(503)));
    }
    let handshake = handshake(call, settings, &cors)?;
    let publication = publication(call, settings, &cors)?;
    let format = std::rc::Rc::new(WebSocketFormat {
        settings: Arc::clone(settings),
        ids: Ids::Single,
        has_meta: false,
        takes_deflated: false,
        slow: call.slow_consumers(),
    });
    let subscription = Subscription {
        channels: Channels::new(),
        cursor: Cursor::default(),
        format,
        head: handshake.head,
        time_to_live: None,
        ping_interval: settings.websocket_ping_interval,
        merges_backlog: true,
        rearms: false,
        concurrency: Concurrency::Broadcast,
    };
    let notation = Notation::accepted(call.request.header("accept"));
    let socket = Socket::new(call, settings, Some(publication), Some(notation), handshake.extension);
    Ok(Answer::FollowSocket(Box::new(subscription), Box::new(socket), Box::new(Companion::default())))
}

fn roles(call: &Call<'_>) -> Roles {
    match call.endpoint {
        crate::server::config::Endpoint::Nchan(roles) => roles,
        _ => Roles::default(),
    }
}

fn publication(call: &Call<'_>, settings: &Arc<NchanSettings>, cors: &cors::Cors) -> Result<Publication, Box<Response>> {
    let with_cors = |response: Box<Response>| Box::new(response.with_headers(&cors.lines));
    let named = nchan::channels(settings, &settings.publisher_ids, call.variables).map_err(with_cors)?;
    if named.keys.iter().any(|key| call.broker.is_events_channel(key)) {
        return Err(with_cors(Box::new(nchan::empty(Status::FORBIDDEN))));
    }
    Publication::new(settings, &named, call.broker, (call.variables, "websocket"), None).map_err(with_cors)
}

/// Checks the handshake and writes the head of its answer.
fn handshake(call: &Call<'_>, settings: &NchanSettings, cors: &cors::Cors) -> Result<Handshake, Box<Response>> {
    let refused = |text: &str| Box::new(nchan::text(Status::BAD_REQUEST, text).with_headers(&cors.lines));
    let header = |name| call.request.header(name);
    let version = header("sec-websocket-version").ok_or_else(|| refused("No Sec-Websocket-Version header present"))?;
    if version.trim_ascii() != b"13" {
        return Err(refused("Unsupported websocket protocol version (only version 13 is supported)"));
    }
    let key = header("sec-websocket-key").ok_or_else(|| refused("No Sec-Websocket-Key header present"))?;
    let extension = deflate::negotiate(header("sec-websocket-extensions"), settings.deflate).map_err(refused)?;
    let has_meta = header("sec-websocket-protocol").is_some_and(|protocols| protocols.starts_with(META));
    let mut head = Vec::with_capacity(320);
    head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\nConnection: upgrade\r\n");
    // A subprotocol that is not accepted is not answered (RFC 6455, section 4.2.2).
    if has_meta {
        push_line(b"Sec-WebSocket-Protocol: ", META, &mut head);
    }
    if let Some(Negotiated { answer, .. }) = &extension {
        push_line(b"Sec-WebSocket-Extensions: ", answer.as_bytes(), &mut head);
    }
    push_line(b"Sec-WebSocket-Accept: ", accept(key).as_bytes(), &mut head);
    head.extend_from_slice(b"Upgrade: websocket\r\n");
    head.extend_from_slice(&cors.lines);
    head.extend_from_slice(b"\r\n");
    Ok(Handshake { head, has_meta, extension })
}

impl WebSocketFormat {
    fn message(&self, message: &Message, meta: Option<String>, out: &mut Vec<u8>) {
        let is_binary = message.content_type().is_some_and(|content_type| content_type == "application/octet-stream");
        let opcode = if is_binary { Opcode::Binary } else { Opcode::Text };
        match (meta, message.deflated().filter(|_| self.takes_deflated)) {
            (Some(meta), _) => frame::push(opcode, &[meta.as_bytes(), &message.text].concat(), out),
            (None, Some(deflated)) => {
                let first = out.len();
                frame::push(opcode, deflated, out);
                out[first] |= frame::RSV1;
            }
            (None, None) => frame::push(opcode, &message.text, out),
        }
    }
}

impl Format for WebSocketFormat {
    fn messages(&self, batch: Batch<'_>, out: &mut Vec<u8>) {
        for delivery in batch.deliveries {
            let meta = self.has_meta.then(|| {
                let content_type =
                    delivery.message.content_type().map(|value| format!("content-type: {}\n", String::from_utf8_lossy(value)));
                format!("id: {}\n{}\n", self.ids.of(delivery), content_type.unwrap_or_default())
            });
            self.message(&delivery.message, meta, out);
        }
    }

    fn ping(&self, out: &mut Vec<u8>) {
        frame::push(Opcode::Ping, b"", out);
    }

    fn deleted(&self, _: &[u8], _: &[u8], _: Standing, _: &mut Vec<u8>) {}

    fn end(&self, ending: Ending, _: Standing, out: &mut Vec<u8>) {
        out.extend_from_slice(&match ending {
            Ending::TimeToLive => frame::close(NORMAL, "408 408 Request Timeout"),
            Ending::Silence => frame::close(NORMAL, "410 Gone"),
            Ending::Deleted | Ending::Shutdown | Ending::Conflict | Ending::Interrupted => frame::close(GOING_AWAY, "410 Gone"),
        });
    }

    fn slow_consumers(&self) -> SlowConsumers {
        self.slow
    }

    fn is_one_shot(&self) -> bool {
        false
    }

    fn keeps_connection(&self) -> bool {
        false
    }

    fn expects_pongs(&self) -> bool {
        true
    }

    fn pong_timeout(&self) -> Option<std::time::Duration> {
        self.settings.websocket_ping_interval
    }

    fn ends_with_any_channel(&self) -> bool {
        true
    }

    fn own_bytes(&self) -> usize {
        self.ids.own_bytes()
    }
}

impl Socket {
    fn new(
        call: &Call<'_>,
        settings: &NchanSettings,
        publication: Option<Publication>,
        notation: Option<Notation>,
        extension: Option<Negotiated>,
    ) -> Self {
        Self {
            heartbeat: settings.websocket_heartbeat.clone().filter(|_| publication.is_some()),
            publication,
            notation,
            content_type: call.request.header("content-type").map(Bytes::copy_from_slice),
            deflate: extension.map(|extension| extension.client_has_no_context),
            inflater: None,
            fragments: None,
        }
    }

    /// The end of a websocket for this reason.
    #[must_use]
    pub fn closed(code: u16, reason: &str) -> Received {
        Received::Close(frame::close(code, reason))
    }

    /// Memory of what waits for the rest of its message, in bytes.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        // A window of 32 KiB and its tables.
        const INFLATER_BYTES: usize = 44 * 1024;
        let fragments = self.fragments.as_ref().map_or(0, |fragments| fragments.bytes.capacity());
        fragments + self.inflater.as_ref().map_or(0, |_| INFLATER_BYTES)
    }

    /// Forgets what was begun.
    pub fn clear(&mut self) {
        (self.fragments, self.inflater) = (None, None);
    }

    /// Takes what is complete from the front of `buffer`; `None` = more bytes are needed.
    pub fn next(&mut self, buffer: &mut BytesMut, max_message: usize) -> Option<Received> {
        loop {
            let is_compressed = buffer.first().is_some_and(|first| first & frame::RSV1 != 0);
            match frame::parse(buffer, max_message) {
                Parsed::Incomplete => return None,
                Parsed::TooLarge => return Some(Received::Close(frame::close(TOO_LARGE, ""))),
                Parsed::Complete(frame, taken) => {
                    buffer.advance(taken);
                    if let Some(received) = self.judge(frame, is_compressed, max_message) {
                        return Some(received);
                    }
                }
            }
        }
    }

    fn judge(&mut self, frame: Frame, is_compressed: bool, max_message: usize) -> Option<Received> {
        let broken = || Some(Received::Close(empty_close()));
        let Frame { fin, opcode, payload } = frame;
        if opcode.is_control() && payload.len() > MOST_CONTROL_BYTES {
            return Some(Received::Close(frame::close(TOO_LARGE, "")));
        }
        match opcode {
            Opcode::Ping => {
                let mut pong = Vec::with_capacity(payload.len() + 4);
                frame::push(Opcode::Pong, &payload, &mut pong);
                Some(Received::Reply(pong))
            }
            Opcode::Pong => None,
            Opcode::Close => Some(Received::Close(closing(&payload))),
            Opcode::Reserved => broken(),
            Opcode::Continuation if self.fragments.is_none() => broken(),
            Opcode::Text | Opcode::Binary if self.fragments.is_some() => broken(),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                let is_binary = opcode == Opcode::Binary;
                let mut fragments = self.fragments.take().unwrap_or(Fragments { is_binary, is_compressed, bytes: Vec::new() });
                if fragments.bytes.len() + payload.len() > max_message {
                    return Some(Received::Close(frame::close(TOO_LARGE, "")));
                }
                fragments.bytes.extend_from_slice(&payload);
                if !fin {
                    self.fragments = Some(fragments);
                    return None;
                }
                Some(self.message(fragments, max_message))
            }
        }
    }

    fn message(&mut self, Fragments { is_binary, is_compressed, mut bytes }: Fragments, max_message: usize) -> Received {
        if is_compressed {
            let Some(has_no_context) = self.deflate else { return Received::Close(empty_close()) };
            let inflater = self.inflater.get_or_insert_with(|| Box::new(Inflater::new(has_no_context)));
            match inflater.inflate(&bytes, max_message) {
                Ok(inflated) => bytes = inflated,
                Err(NotInflated::Broken) => return Received::Close(empty_close()),
                Err(NotInflated::TooLarge) => return Received::Close(frame::close(TOO_LARGE, "")),
            }
            if has_no_context {
                self.inflater = None;
            }
        }
        if self.publication.is_none() {
            return Received::Close(frame::close(POLICY, "Publishing not allowed."));
        }
        if !is_binary && std::str::from_utf8(&bytes).is_err() {
            return Received::Close(frame::close(NOT_UTF8, "Invalid text frame (not UTF8)."));
        }
        if let Some((_, reply)) = self.heartbeat.as_ref().filter(|(text, _)| !is_binary && *text == bytes) {
            let mut out = Vec::new();
            frame::push(Opcode::Text, reply, &mut out);
            return Received::Reply(out);
        }
        let content_type = if is_binary { Some(Bytes::from_static(b"application/octet-stream")) } else { self.content_type.clone() };
        Received::Message(Incoming { text: bytes.into_boxed_slice().into(), content_type })
    }

    /// Publishes a message; what is to be sent then, if there is anything.
    #[must_use]
    pub fn publish(&self, broker: &crate::server::broker::Broker, message: Incoming) -> Option<Received> {
        let publication = self.publication.as_ref()?;
        match publication.publish(broker, message.text, message.content_type) {
            Ok((_, numbers)) => self.notation.map(|notation| {
                let mut out = Vec::new();
                frame::push(Opcode::Text, numbers.body(notation).as_bytes(), &mut out);
                Received::Reply(out)
            }),
            // Silent, as in nchan.
            Err(Unpublished::Group(_)) => None,
            Err(Unpublished::NoRoom) => Some(Received::Close(frame::close(INTERNAL, "500 Internal Server Error"))),
        }
    }
}

/// The answer to a close frame: its own code and reason, where a server may send that code.
fn closing(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match payload {
        [high, low, ..] if is_echoed(u16::from_be_bytes([*high, *low])) => frame::push(Opcode::Close, payload, &mut out),
        [_, _, ..] => return frame::close(NORMAL, ""),
        _ => return empty_close(),
    }
    out
}

fn is_echoed(code: u16) -> bool {
    (1000..5000).contains(&code) && !matches!(code, 1005 | 1006)
}

fn empty_close() -> Vec<u8> {
    let mut out = Vec::new();
    frame::push(Opcode::Close, b"", &mut out);
    out
}
