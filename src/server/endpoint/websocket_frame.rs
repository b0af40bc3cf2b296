//! Parsing and encoding of websocket frames (RFC 6455, section 5). Pure functions over bytes.

/// The bit of a frame's first byte that marks a compressed message (RFC 7692).
pub const RSV1: u8 = 0x40;

/// Length of the longest head of a frame that servers send.
pub const MAX_HEAD_BYTES: usize = 10;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment.
    Continuation,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// The end of the connection.
    Close,
    /// A request for a pong.
    Ping,
    /// The reply to a ping.
    Pong,
    /// Any other opcode.
    Reserved,
}

impl Opcode {
    fn of(bits: u8) -> Self {
        match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => Opcode::Reserved,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
            Opcode::Reserved => 15,
        }
    }

    /// Whether it is a control frame: allowed between fragments, with a payload of at most 125
    /// bytes.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// A received frame, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether it is the last fragment of its message.
    pub fin: bool,
    /// Its type.
    pub opcode: Opcode,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Result of parsing the front of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The frame is incomplete.
    Incomplete,
    /// A frame, and its length in bytes.
    Complete(Frame, usize),
    /// The payload exceeds the limit.
    TooLarge,
}

/// Parses the first frame of `buffer`, with a payload of up to `max_payload` bytes.
#[must_use]
pub fn parse(buffer: &[u8], max_payload: usize) -> Parsed {
    let [first, second, rest @ ..] = buffer else {
        return Parsed::Incomplete;
    };
    let (length, rest) = match (second & 0x7f, rest) {
        (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest)
        }
        (126 | 127, _) => return Parsed::Incomplete,
        (length, rest) => (u64::from(length), rest),
    };
    if length > max_payload as u64 {
        return Parsed::TooLarge;
    }
    let length = length as usize;
    let (mask, rest) = match (second & 0x80 != 0, rest) {
        (false, rest) => ([0; 4], rest),
        (true, [a, b, c, d, rest @ ..]) => ([*a, *b, *c, *d], rest),
        (true, _) => return Parsed::Incomplete,
    };
    let Some(payload) = rest.get(..length) else {
        return Parsed::Incomplete;
    };
    let payload = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    let taken = buffer.len() - rest.len() + length;
    Parsed::Complete(
        Frame {
            fin: first & 0x80 != 0,
            opcode: Opcode::of(first & 0x0f),
            payload,
        },
        taken,
    )
}

/// Returns how the header at the front of `buffer` violates the rules for clients without
/// extensions (RFC 6455, sections 5.1, 5.2 and 5.5); `None` if the bytes received so far are valid.
#[must_use]
pub fn violation(buffer: &[u8]) -> Option<&'static str> {
    let [first, second, rest @ ..] = buffer else {
        return None;
    };
    let opcode = Opcode::of(first & 0x0f);
    if first & 0x70 != 0 {
        return Some("reserved bit set");
    }
    if opcode == Opcode::Reserved {
        return Some("reserved opcode");
    }
    if second & 0x80 == 0 {
        return Some("frame not masked");
    }
    if opcode.is_control() && first & 0x80 == 0 {
        return Some("control frame in fragments");
    }
    if opcode.is_control() && second & 0x7f > 125 {
        return Some("control frame too long");
    }
    match (second & 0x7f, rest) {
        (126, [a, b, ..]) if u16::from_be_bytes([*a, *b]) < 126 => {
            Some("length not in its shortest form")
        }
        (127, [0, 0, 0, 0, 0, 0, _, _, ..]) => Some("length not in its shortest form"),
        _ => None,
    }
}

/// Appends a message in one unmasked frame, as servers send it.
pub fn push(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode.bits());
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Encodes a close frame. The reason is truncated to the limit of control frames.
#[must_use]
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(123)]);
    let mut out = Vec::with_capacity(payload.len() + 2);
    push(Opcode::Close, &payload, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_a_round_trip_at_every_length_form() {
        for length in [0, 1, 125, 126, 127, 65535, 65536] {
            let payload = vec![7; length];
            let mut bytes = Vec::new();
            push(Opcode::Text, &payload, &mut bytes);
            for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                assert_eq!(
                    parse(&bytes[..cut], 1 << 20),
                    Parsed::Incomplete,
                    "{length} cut at {cut}"
                );
            }
            let taken = bytes.len();
            bytes.push(0x81);
            assert_eq!(
                parse(&bytes, 1 << 20),
                Parsed::Complete(
                    Frame {
                        fin: true,
                        opcode: Opcode::Text,
                        payload
                    },
                    taken
                )
            );
        }
    }

    #[test]
    fn headers_of_clients_are_checked_as_far_as_they_came() {
        for good in [
            &[0x81, 0x80][..],
            &[0x01, 0xff],
            &[0x80, 0xfe, 0, 126],
            &[0x89, 0xfd],
            &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0],
            &[0xf1],
        ] {
            assert_eq!(violation(good), None, "{good:x?}");
        }
        for (bad, expected) in [
            (&[0xc1, 0x81][..], "reserved bit set"),
            (&[0xa1, 0x81], "reserved bit set"),
            (&[0x91, 0x81], "reserved bit set"),
            (&[0x83, 0x80], "reserved opcode"),
            (&[0x8b, 0x80], "reserved opcode"),
            (&[0x81, 0x01], "frame not masked"),
            (&[0x88, 0x00], "frame not masked"),
            (&[0x09, 0x80], "control frame in fragments"),
            (&[0x8a, 0xfe], "control frame too long"),
            (&[0x81, 0xfe, 0, 125], "length not in its shortest form"),
            (
                &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 255, 255],
                "length not in its shortest form",
            ),
        ] {
            assert_eq!(violation(bad), Some(expected), "{bad:x?}");
        }
    }

    #[test]
    fn payloads_are_unmasked_and_bounded() {
        let hello = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ]; // RFC 6455, section 5.7
        let Parsed::Complete(frame, 11) = parse(&hello, 5) else {
            panic!("the frame is complete")
        };
        assert_eq!(frame.payload, b"Hello");
        assert_eq!(
            parse(&hello[..2], 4),
            Parsed::TooLarge,
            "known from the first bytes"
        );
        assert_eq!(
            parse(
                &[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                usize::MAX - 1
            ),
            Parsed::TooLarge
        );
    }
}
