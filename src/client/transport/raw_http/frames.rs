//! Decoder for the websocket frames of a server; does not copy payloads. Does no I/O.

/// The next part of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum FramePart<'a> {
    /// All bytes were consumed: read more.
    More,
    /// A part of a text or binary payload.
    Data(&'a [u8]),
    /// A text or binary frame is complete.
    End,
    /// A ping, to be replied to with [`PONG`].
    Ping,
    /// A close frame, with the received part of its reason.
    Close(Vec<u8>),
}

/// An empty pong. Servers of this protocol do not compare payloads, so it replies to any ping.
pub const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// Decodes one frame after the other.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    header: [u8; 10],
    have: usize,
    opcode: u8,
    left: u64,
    in_payload: bool,
}

impl FrameDecoder {
    /// Removes the next part from the front of `bytes`.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> FramePart<'a> {
        loop {
            if self.in_payload {
                if self.left == 0 {
                    self.in_payload = false;
                    self.have = 0;
                    match self.opcode {
                        0..=2 => return FramePart::End,
                        8 => return FramePart::Close(Vec::new()),
                        9 => return FramePart::Ping,
                        _ => continue,
                    }
                }
                if bytes.is_empty() {
                    return FramePart::More;
                }
                let take = bytes
                    .len()
                    .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                let (data, rest) = bytes.split_at(take);
                *bytes = rest;
                self.left -= take as u64;
                match self.opcode {
                    0..=2 => return FramePart::Data(data),
                    8 => return FramePart::Close(data.get(2..).unwrap_or_default().to_vec()),
                    _ => continue,
                }
            }
            let Some((byte, rest)) = bytes.split_first() else {
                return FramePart::More;
            };
            *bytes = rest;
            self.header[self.have] = *byte;
            self.have += 1;
            self.start();
        }
    }

    /// Starts the payload if the header is complete.
    fn start(&mut self) {
        if self.have < 2 {
            return;
        }
        let length = self.header[1] & 0x7f;
        let rest = &self.header[2..self.have];
        self.left = match (length, rest.len()) {
            (126, 2) | (127, 8) => rest
                .iter()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
            (126 | 127, _) => return,
            (length, _) => u64::from(length),
        };
        self.opcode = self.header[0] & 0x0f;
        self.in_payload = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_wherever_they_were_cut() {
        let mut wire = vec![0x81, 2, b'h', b'i', 0x89, 0, 0x82, 126, 1, 0];
        wire.extend([7; 256]);
        wire.extend([0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1, b'!', 0x88, 0]);
        for size in 1..=wire.len() {
            let (mut decoder, mut data, mut kinds) =
                (FrameDecoder::default(), Vec::new(), String::new());
            for mut bytes in wire.chunks(size) {
                loop {
                    match decoder.next(&mut bytes) {
                        FramePart::More => break,
                        FramePart::Data(piece) => data.extend_from_slice(piece),
                        FramePart::End => kinds.push('e'),
                        FramePart::Ping => kinds.push('p'),
                        FramePart::Close(_) => kinds.push('c'),
                    }
                }
            }
            assert_eq!(kinds, "epeec", "{size}");
            assert_eq!(data.len(), 2 + 256 + 1, "{size}");
        }
    }
}
