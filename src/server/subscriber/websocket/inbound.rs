//! What a websocket client sends: fragments are joined, rules are held, the rest is told to the
//! connection.

use bytes::{Buf, BytesMut};

use super::frame::{self, Frame, Opcode, Parsed};
use crate::server::limits_log::Limit;

/// Bytes that came, and the fragments of a message that is not complete.
#[derive(Debug, Default)]
pub struct Inbound {
    fragments: Option<Vec<u8>>,
    /// Pings and control frames between fragments are treated as the module does it, not as RFC
    /// 6455 wants it.
    as_module: bool,
}

/// What the connection has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Publish this text.
    Text(Vec<u8>),
    /// Send these bytes.
    Reply(Vec<u8>),
    /// Send these bytes and close.
    Close(Vec<u8>),
}

/// Close codes of RFC 6455, section 7.4.1. In locations of the module broken rules close without a
/// code, as there.
const PROTOCOL_ERROR: u16 = 1002;
const NOT_ACCEPTED: u16 = 1003;
const INVALID_TEXT: u16 = 1007;
const TOO_LARGE: u16 = 1009;

impl Inbound {
    /// Takes what is complete from the front of `buffer`; `None` = more bytes are needed.
    pub fn next(&mut self, buffer: &mut BytesMut, max_message: usize) -> Option<Event> {
        loop {
            if let Some(reason) = frame::violation(buffer).filter(|_| !self.as_module) {
                return Some(Event::Close(frame::close(PROTOCOL_ERROR, reason)));
            }
            match frame::parse(buffer, max_message) {
                Parsed::Incomplete => return None,
                Parsed::TooLarge => return Some(too_large()),
                Parsed::Complete(frame, taken) => {
                    buffer.advance(taken);
                    if let Some(event) = self.judge(frame, max_message) {
                        return Some(event);
                    }
                }
            }
        }
    }

    /// For a location of the module's (`as_module`), or one of ours.
    #[must_use]
    pub fn new(as_module: bool) -> Self {
        Self {
            as_module,
            ..Self::default()
        }
    }

    /// Memory of the fragments that wait for their last one, in bytes.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.fragments.as_ref().map_or(0, Vec::capacity)
    }

    fn judge(&mut self, frame: Frame, max_message: usize) -> Option<Event> {
        let as_module = self.as_module;
        let broken = |reason: &str| {
            Some(Event::Close(if as_module {
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
            return Some(Event::Close(Vec::new()));
        }
        match opcode {
            Opcode::Ping => {
                let payload = if self.as_module { &[][..] } else { &payload };
                let mut pong = Vec::with_capacity(payload.len() + 2);
                frame::push(Opcode::Pong, payload, &mut pong);
                Some(Event::Reply(pong))
            }
            Opcode::Pong => None,
            Opcode::Close => Some(Event::Close(closing(&payload, as_module))),
            Opcode::Binary if !as_module => Some(Event::Close(frame::close(
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
            Opcode::Text | Opcode::Continuation => {
                let mut text = self.fragments.take().unwrap_or_default();
                if text.len() + payload.len() > max_message {
                    return Some(too_large());
                }
                text.extend_from_slice(&payload);
                if !fin {
                    self.fragments = Some(text);
                    return None;
                }
                if std::str::from_utf8(&text).is_ok() {
                    return Some(Event::Text(text));
                }
                Some(Event::Close(if as_module {
                    Vec::new()
                } else {
                    frame::close(INVALID_TEXT, "text is not UTF-8")
                }))
            }
        }
    }
}

/// The answer to a close frame: its code, without the reason; an empty one to one that carries
/// none.
fn closing(payload: &[u8], as_module: bool) -> Vec<u8> {
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

fn too_large() -> Event {
    Limit::WebSocketMessage.log();
    Event::Close(frame::close(TOO_LARGE, "message too large"))
}

fn empty_close() -> Vec<u8> {
    let mut out = Vec::new();
    frame::push(Opcode::Close, b"", &mut out);
    out
}

/// Codes that may stand in a close frame (RFC 6455, section 7.4).
fn is_allowed(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events_as(as_module: bool, frames: &[(bool, u8, &[u8])]) -> Vec<Event> {
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
            let is_close = matches!(event, Event::Close(_));
            events.push(event);
            if is_close {
                break;
            }
        }
        events
    }

    fn events(frames: &[(bool, u8, &[u8])]) -> Vec<Event> {
        events_as(false, frames)
    }

    #[test]
    fn fragments_are_joined_and_control_frames_may_stand_between() {
        let text = |text: &str| Event::Text(text.as_bytes().to_vec());
        assert_eq!(
            events(&[(true, 1, b"a"), (true, 1, b"b")]),
            [text("a"), text("b")]
        );
        let pong = Event::Reply(vec![0x8a, 1, b'p']);
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
            let Some(Event::Close(close)) = all.last() else {
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
            [Event::Close(b"\x88\x02\x03\xe8".to_vec())]
        );
        assert_eq!(events(&[(true, 8, b"")]), [Event::Close(vec![0x88, 0])]);
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
                Some(&Event::Close(expected.to_vec())),
                "{frames:?}"
            );
        }
        assert_eq!(events(&[(true, 8, b"")]), [Event::Close(vec![0x88, 0])]);
    }
}
