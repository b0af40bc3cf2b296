//! Input of the websockets of nchan (nhpm-nchan.md, section 2.8): turns frames into messages,
//! replies and closes.

use bytes::{Buf, Bytes, BytesMut};

use crate::server::broker::{Broker, PublishError};
use crate::server::config::NchanSettings;
use crate::server::endpoint::notation::Notation;
use crate::server::endpoint::websocket_frame as frame;
use crate::server::endpoint::websocket_frame::{Frame, Opcode, Parsed};
use crate::server::endpoint::websocket_input::{IncomingMessage, InputAction, WebSocketInput};
use crate::server::endpoint::{PublishOutcome, SubscribeCall};
use crate::server::nchan::deflate::{InflateError, Inflater};
use crate::server::nchan::deflate_negotiation::NegotiatedDeflate;
use crate::server::nchan::publication::{Confirmation, Publication, PublicationError};
use crate::server::observe::limits_log::Limit;

/// Maximum payload of a control frame, in bytes.
const MAX_CONTROL_BYTES: usize = 1023;

/// Close codes (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const POLICY: u16 = 1008;
const TOO_LARGE: u16 = 1009;
const INTERNAL: u16 = 1011;
/// Registered with IANA.
const TRY_AGAIN: u16 = 1013;

/// The input state of a client's websocket, and the settings for its messages.
#[derive(Debug)]
pub(in crate::server) struct NchanSocket {
    /// Publishes the messages; `None` if publishing is not allowed.
    publication: Option<Publication>,
    /// Notation of the info that confirms each message, at locations without subscribers.
    notation: Option<Notation>,
    /// Content type of the handshake, used for text messages.
    content_type: Option<Bytes>,
    heartbeat: Option<(Bytes, Bytes)>,
    /// Whether compressed messages are independent of each other; `None` if compression was not
    /// negotiated.
    deflate: Option<bool>,
    inflater: Option<Box<Inflater>>,
    fragments: Option<Fragments>,
}

/// An incomplete message.
#[derive(Debug)]
struct Fragments {
    is_binary: bool,
    is_compressed: bool,
    bytes: Vec<u8>,
}

impl NchanSocket {
    pub(super) fn new(
        call: &SubscribeCall<'_>,
        settings: &NchanSettings,
        publication: Option<Publication>,
        notation: Option<Notation>,
        extension: Option<NegotiatedDeflate>,
    ) -> Self {
        Self {
            heartbeat: settings
                .websocket_heartbeat
                .clone()
                .filter(|_| publication.is_some()),
            publication,
            notation,
            content_type: call
                .request
                .header("content-type")
                .map(Bytes::copy_from_slice),
            deflate: extension.map(|extension| extension.client_has_no_context),
            inflater: None,
            fragments: None,
        }
    }

    /// Closes the websocket with a code and a reason.
    #[must_use]
    pub(in crate::server) fn closed(code: u16, reason: &str) -> InputAction {
        InputAction::Close(frame::close(code, reason))
    }

    fn handle_frame(
        &mut self,
        frame: Frame,
        is_compressed: bool,
        max_message: usize,
    ) -> Option<InputAction> {
        let broken = || Some(InputAction::Close(empty_close()));
        let Frame {
            fin,
            opcode,
            payload,
        } = frame;
        // Control frames are not fragmented, and only the first frame of a message marks it as
        // compressed (RFC 6455, section 5.5; RFC 7692, section 6.1).
        if (opcode.is_control() && !fin)
            || (is_compressed && !matches!(opcode, Opcode::Text | Opcode::Binary))
        {
            return Some(InputAction::Close(frame::close(PROTOCOL_ERROR, "")));
        }
        if opcode.is_control() && payload.len() > MAX_CONTROL_BYTES {
            return Some(too_large());
        }
        match opcode {
            Opcode::Ping => {
                let mut pong = Vec::with_capacity(payload.len() + 4);
                frame::push(Opcode::Pong, &payload, &mut pong);
                Some(InputAction::Reply(pong))
            }
            Opcode::Pong => None,
            Opcode::Close => Some(InputAction::Close(close_reply(&payload))),
            Opcode::Reserved => broken(),
            Opcode::Continuation if self.fragments.is_none() => broken(),
            Opcode::Text | Opcode::Binary if self.fragments.is_some() => broken(),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                let is_binary = opcode == Opcode::Binary;
                let mut fragments = self.fragments.take().unwrap_or(Fragments {
                    is_binary,
                    is_compressed,
                    bytes: Vec::new(),
                });
                if fragments.bytes.len() + payload.len() > max_message {
                    return Some(too_large());
                }
                fragments.bytes.extend_from_slice(&payload);
                if !fin {
                    self.fragments = Some(fragments);
                    return None;
                }
                Some(self.finish_message(fragments, max_message))
            }
        }
    }

    fn finish_message(
        &mut self,
        Fragments {
            is_binary,
            is_compressed,
            mut bytes,
        }: Fragments,
        max_message: usize,
    ) -> InputAction {
        if is_compressed {
            let Some(has_no_context) = self.deflate else {
                return InputAction::Close(empty_close());
            };
            let inflater = self
                .inflater
                .get_or_insert_with(|| Box::new(Inflater::new(has_no_context)));
            match inflater.inflate(&bytes, max_message) {
                Ok(inflated) => bytes = inflated,
                Err(InflateError::Broken) => return InputAction::Close(empty_close()),
                Err(InflateError::TooLarge) => return too_large(),
            }
            if has_no_context {
                self.inflater = None;
            }
        }
        if self.publication.is_none() {
            return InputAction::Close(frame::close(POLICY, "Publishing not allowed."));
        }
        if !is_binary && std::str::from_utf8(&bytes).is_err() {
            return InputAction::Close(frame::close(NOT_UTF8, "Invalid text frame (not UTF8)."));
        }
        if let Some((_, reply)) = self
            .heartbeat
            .as_ref()
            .filter(|(text, _)| !is_binary && *text == bytes)
        {
            let mut out = Vec::new();
            frame::push(Opcode::Text, reply, &mut out);
            return InputAction::Reply(out);
        }
        let content_type = if is_binary {
            Some(Bytes::from_static(b"application/octet-stream"))
        } else {
            self.content_type.clone()
        };
        InputAction::Publish(IncomingMessage {
            text: bytes.into_boxed_slice().into(),
            content_type,
        })
    }
}

impl WebSocketInput for NchanSocket {
    fn next(&mut self, buffer: &mut BytesMut, max_message: usize) -> Option<InputAction> {
        loop {
            let is_compressed = buffer.first().is_some_and(|first| first & frame::RSV1 != 0);
            match frame::parse(buffer, max_message) {
                Parsed::Incomplete => return None,
                Parsed::TooLarge => return Some(too_large()),
                Parsed::Complete(frame, taken) => {
                    buffer.advance(taken);
                    if let Some(received) = self.handle_frame(frame, is_compressed, max_message) {
                        return Some(received);
                    }
                }
            }
        }
    }

    fn publish(
        &self,
        broker: &Broker,
        message: IncomingMessage,
    ) -> PublishOutcome<Option<InputAction>> {
        let Some(publication) = &self.publication else {
            return PublishOutcome::Ready(None);
        };
        let notation = self.notation;
        publication
            .publish(broker, message.text, message.content_type)
            .map(move |confirmation| reply(confirmation, notation))
    }

    fn pending_bytes(&self) -> usize {
        // A window of 32 KiB and its tables.
        const INFLATER_BYTES: usize = 44 * 1024;
        let fragments = self
            .fragments
            .as_ref()
            .map_or(0, |fragments| fragments.bytes.capacity());
        fragments + self.inflater.as_ref().map_or(0, |_| INFLATER_BYTES)
    }

    fn arriving_bytes(&self) -> usize {
        // A message that begins with an empty fragment has no pending bytes yet.
        self.pending_bytes()
            .max(usize::from(self.fragments.is_some()))
    }

    fn discard(&mut self) {
        self.fragments = None;
        self.inflater = None;
    }
}

/// The reply to a message.
fn reply(confirmation: Confirmation, notation: Option<Notation>) -> Option<InputAction> {
    match confirmation {
        Ok((_, numbers)) => notation.map(|notation| {
            let mut out = Vec::new();
            frame::push(Opcode::Text, numbers.body(notation).as_bytes(), &mut out);
            InputAction::Reply(out)
        }),
        // Silent, as in nchan.
        Err(PublicationError::Group(_)) => None,
        Err(PublicationError::Publish(PublishError::Rejected(_))) => {
            Some(NchanSocket::closed(INTERNAL, "500 Internal Server Error"))
        }
        Err(PublicationError::Publish(_)) => {
            Some(NchanSocket::closed(TRY_AGAIN, "503 Service Unavailable"))
        }
    }
}

/// The reply to a close frame: the same code and reason, if a server may send that code.
fn close_reply(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match payload {
        [_, _, reason @ ..] if std::str::from_utf8(reason).is_err() => {
            return frame::close(NOT_UTF8, "");
        }
        [high, low, ..] if is_echoed(u16::from_be_bytes([*high, *low])) => {
            frame::push(Opcode::Close, payload, &mut out)
        }
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

fn too_large() -> InputAction {
    Limit::WebSocketMessage.log();
    InputAction::Close(frame::close(TOO_LARGE, ""))
}
