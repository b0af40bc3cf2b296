//! Input of a websocket client: joins fragments, checks the rules, and returns what the connection
//! has to do.

use bytes::{Buf, BytesMut};

use crate::server::endpoint::websocket_frame as frame;
use crate::server::endpoint::websocket_frame::{Frame, Opcode, Parsed};
use crate::server::observe::limits_log::Limit;

/// The state of the input: the fragments of an incomplete message.
#[derive(Debug, Default)]
pub struct Inbound {
    fragments: Option<Vec<u8>>,
    /// Handle pings, and control frames between fragments, like the module rather than RFC 6455.
    as_module: bool,
}

/// What the connection has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboundAction {
    /// Publish this text.
    Text(Vec<u8>),
    /// Send these bytes.
    Reply(Vec<u8>),
    /// Send these bytes and close.
    Close(Vec<u8>),
}

/// Close codes (RFC 6455, section 7.4.1). Locations that emulate the module close without a code,
/// as it does.
const PROTOCOL_ERROR: u16 = 1002;
const NOT_ACCEPTED: u16 = 1003;
const INVALID_TEXT: u16 = 1007;
const TOO_LARGE: u16 = 1009;

impl Inbound {
    /// Consumes complete frames at the front of `buffer`; `None` if more bytes are needed.
    pub fn next(&mut self, buffer: &mut BytesMut, max_message: usize) -> Option<InboundAction> {
        loop {
            if let Some(reason) = frame::violation(buffer).filter(|_| !self.as_module) {
                return Some(InboundAction::Close(frame::close(PROTOCOL_ERROR, reason)));
            }
            match frame::parse(buffer, max_message) {
                Parsed::Incomplete => return None,
                Parsed::TooLarge => return Some(too_large()),
                Parsed::Complete(frame, taken) => {
                    buffer.advance(taken);
                    if let Some(event) = self.handle_frame(frame, max_message) {
                        return Some(event);
                    }
                }
            }
        }
    }

    /// Creates the input state, with the behaviour of the module (`as_module`) or of RFC 6455.
    #[must_use]
    pub fn new(as_module: bool) -> Self {
        Self {
            as_module,
            ..Self::default()
        }
    }

    /// Memory of the fragments of an incomplete message, in bytes.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.fragments.as_ref().map_or(0, Vec::capacity)
    }

    fn handle_frame(&mut self, frame: Frame, max_message: usize) -> Option<InboundAction> {
        let as_module = self.as_module;
        let broken = |reason: &str| {
            Some(InboundAction::Close(if as_module {
                empty_close()
            } else {
                frame::close(PROTOCOL_ERROR, reason)
            }))
        };
        let Frame {
            fin,
            opcode,
            payload,
        } = frame;
        if opcode.is_control() && !fin {
            return broken("control frame in fragments");
        }
        if opcode.is_control() && self.as_module && self.fragments.is_some() {
            return broken("control frame between fragments");
        }
        if self.as_module
            && matches!(opcode, Opcode::Ping | Opcode::Pong)
            && std::str::from_utf8(&payload).is_err()
        {
            return Some(InboundAction::Close(Vec::new()));
        }
        match opcode {
            Opcode::Ping => {
                let payload = if self.as_module { &[][..] } else { &payload };
                let mut pong = Vec::with_capacity(payload.len() + 2);
                frame::push(Opcode::Pong, payload, &mut pong);
                Some(InboundAction::Reply(pong))
            }
            Opcode::Pong => None,
            Opcode::Close => Some(InboundAction::Close(close_reply(&payload, as_module))),
            Opcode::Binary if !as_module => Some(InboundAction::Close(frame::close(
                NOT_ACCEPTED,
                "only text is accepted",
            ))),
            Opcode::Binary | Opcode::Reserved => broken("reserved opcode"),
            Opcode::Text if self.fragments.is_some() => {
                broken("message within the fragments of another one")
            }
            Opcode::Continuation if self.fragments.is_none() => {
                broken("fragment without a beginning")
            }
            Opcode::Text | Opcode::Continuation => self.join_fragment(&payload, fin, max_message),
        }
    }

    /// Appends a fragment to its message; returns the message if it is complete.
    fn join_fragment(
        &mut self,
        payload: &[u8],
        is_last: bool,
        max_message: usize,
    ) -> Option<InboundAction> {
        let mut text = self.fragments.take().unwrap_or_default();
        if text.len() + payload.len() > max_message {
            return Some(too_large());
        }
        text.extend_from_slice(payload);
        if !is_last {
            self.fragments = Some(text);
            return None;
        }
        if std::str::from_utf8(&text).is_ok() {
            return Some(InboundAction::Text(text));
        }
        Some(InboundAction::Close(if self.as_module {
            Vec::new()
        } else {
            frame::close(INVALID_TEXT, "text is not UTF-8")
        }))
    }
}

/// The reply to a close frame: the same code, without the reason; empty if the frame is empty.
fn close_reply(payload: &[u8], as_module: bool) -> Vec<u8> {
    let mut out = Vec::new();
    match payload {
        [] => frame::push(Opcode::Close, b"", &mut out),
        [high, low, reason @ ..]
            if is_allowed(u16::from_be_bytes([*high, *low]))
                && std::str::from_utf8(reason).is_ok() =>
        {
            frame::push(Opcode::Close, &[*high, *low], &mut out);
        }
        _ if as_module => return empty_close(),
        [high, low, ..] if is_allowed(u16::from_be_bytes([*high, *low])) => {
            return frame::close(INVALID_TEXT, "reason is not UTF-8");
        }
        _ => return frame::close(PROTOCOL_ERROR, "wrong close code"),
    }
    out
}

fn too_large() -> InboundAction {
    Limit::WebSocketMessage.log();
    InboundAction::Close(frame::close(TOO_LARGE, "message too large"))
}

fn empty_close() -> Vec<u8> {
    let mut out = Vec::new();
    frame::push(Opcode::Close, b"", &mut out);
    out
}

/// Whether a close frame may carry this code (RFC 6455, section 7.4).
fn is_allowed(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events_as(as_module: bool, frames: &[(bool, u8, &[u8])]) -> Vec<InboundAction> {
        let mut buffer = BytesMut::new();
        for (fin, opcode, payload) in frames {
            // The mask of zeros changes nothing.
            buffer.extend_from_slice(&[
                u8::from(*fin) << 7 | opcode,
                0x80 | payload.len() as u8,
                0,
                0,
                0,
                0,
            ]);
            buffer.extend_from_slice(payload);
        }
        let mut inbound = Inbound::new(as_module);
        let mut events = Vec::new();
        while let Some(event) = inbound.next(&mut buffer, 20) {
            let is_close = matches!(event, InboundAction::Close(_));
            events.push(event);
            if is_close {
                break;
            }
        }
        events
    }

    fn events(frames: &[(bool, u8, &[u8])]) -> Vec<InboundAction> {
        events_as(false, frames)
    }

    #[test]
    fn fragments_are_joined_and_control_frames_may_stand_between() {
        let text = |text: &str| InboundAction::Text(text.as_bytes().to_vec());
        assert_eq!(
            events(&[(true, 1, b"a"), (true, 1, b"b")]),
            [text("a"), text("b")]
        );
        let pong = InboundAction::Reply(vec![0x8a, 1, b'p']);
        assert_eq!(
            events(&[
                (false, 1, b"a"),
                (true, 9, b"p"),
                (false, 0, b"b"),
                (true, 0, b"")
            ]),
            [pong, text("ab")]
        );
        // A character may be split over two fragments.
        assert_eq!(
            events(&[(false, 1, b"\xc3"), (true, 0, b"\xa9")]),
            [text("\u{e9}")]
        );
    }

    #[test]
    fn broken_rules_close_with_their_code() {
        for (frames, code) in [
            (&[(true, 0, &b"x"[..])][..], PROTOCOL_ERROR),
            (&[(false, 1, b"x"), (true, 1, b"y")], PROTOCOL_ERROR),
            (&[(true, 3, b"")], PROTOCOL_ERROR),
            (&[(false, 9, b"")], PROTOCOL_ERROR),
            (&[(true, 8, b"\x03")], PROTOCOL_ERROR),
            (&[(true, 8, b"\x03\xed")], PROTOCOL_ERROR),
            (&[(true, 2, b"x")], NOT_ACCEPTED),
            (&[(true, 1, b"\xff")], INVALID_TEXT),
            (&[(false, 1, b"\xc3"), (true, 0, b"x")], INVALID_TEXT),
            (&[(true, 8, b"\x03\xe8\xff")], INVALID_TEXT),
            (
                &[(false, 1, b"0123456789"), (true, 0, b"0123456789x")],
                TOO_LARGE,
            ),
        ] {
            let all = events(frames);
            let Some(InboundAction::Close(close)) = all.last() else {
                panic!("{frames:?}: {all:?}")
            };
            assert_eq!(
                (all.len(), close[0], &close[2..4]),
                (1, 0x88, &code.to_be_bytes()[..]),
                "{frames:?}"
            );
        }
        assert_eq!(
            events(&[(true, 8, b"\x03\xe8bye")]),
            [InboundAction::Close(b"\x88\x02\x03\xe8".to_vec())]
        );
        assert_eq!(
            events(&[(true, 8, b"")]),
            [InboundAction::Close(vec![0x88, 0])]
        );
    }

    #[test]
    fn broken_rules_close_without_a_code_in_the_module() {
        type Frames = [(bool, u8, &'static [u8])];
        let cases: [(&Frames, &[u8]); 9] = [
            (&[(true, 0, b"x")], b"\x88\x00"),
            (&[(false, 1, b"x"), (true, 1, b"y")], b"\x88\x00"),
            (&[(true, 3, b"")], b"\x88\x00"),
            (&[(false, 9, b"")], b"\x88\x00"),
            (&[(true, 2, b"x")], b"\x88\x00"),
            (&[(true, 1, b"\xff")], b""),
            (
                &[(false, 1, b"0123456789"), (true, 0, b"0123456789x")],
                b"\x88\x13\x03\xf1message too large",
            ),
            (&[(true, 8, b"\x03\xe8bye")], b"\x88\x02\x03\xe8"),
            (&[(true, 8, b"\x03\xed")], b"\x88\x00"),
        ];
        for (frames, expected) in cases {
            assert_eq!(
                events_as(true, frames).last(),
                Some(&InboundAction::Close(expected.to_vec())),
                "{frames:?}"
            );
        }
        assert_eq!(
            events(&[(true, 8, b"")]),
            [InboundAction::Close(vec![0x88, 0])]
        );
    }
}
