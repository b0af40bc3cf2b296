//! Websocket frames (RFC 6455, section 5.2), built and parsed byte by byte, so that invalid ones
//! can be sent.

use super::{Connection, Head, Server};

/// Opcodes.
pub(crate) mod opcode {
    /// Continuation of a fragmented message.
    pub(crate) const CONTINUATION: u8 = 0;
    /// Text.
    pub(crate) const TEXT: u8 = 1;
    /// Binary.
    pub(crate) const BINARY: u8 = 2;
    /// Close.
    pub(crate) const CLOSE: u8 = 8;
    /// Ping.
    pub(crate) const PING: u8 = 9;
    /// Pong.
    pub(crate) const PONG: u8 = 10;
}

/// A frame as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The bytes before the payload.
    pub(crate) header: Vec<u8>,
    /// The payload.
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Its opcode.
    pub(crate) fn opcode(&self) -> u8 {
        self.header[0] & 15
    }

    /// The first frame of `bytes` and its length; `None` while it is incomplete. A server's frames
    /// are not masked.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (start, length): (usize, usize) = match bytes.get(1)? & 127 {
            126 => (
                4,
                usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            ),
            127 => (
                10,
                usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?,
            ),
            short => (2, usize::from(short)),
        };
        let payload = bytes.get(start..start.checked_add(length)?)?.to_vec();
        Some((
            Self {
                header: bytes[..start].to_vec(),
                payload,
            },
            start + length,
        ))
    }
}

/// A client's frame with the FIN bit, masked.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame_with(0x80 | opcode, payload, Some([0x0a, 0x0b, 0x0c, 0x0d]))
}

/// A frame with any first byte, masked or not.
pub(crate) fn frame_with(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(bit | u8::try_from(length).expect("at most 125")),
        length @ 126..=65535 => {
            bytes.push(bit | 126);
            bytes.extend(u16::try_from(length).expect("at most 65535").to_be_bytes());
        }
        length => {
            bytes.push(bit | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    if mask.is_some() {
        bytes.extend(key);
    }
    bytes.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

impl Connection {
    /// Sends a websocket handshake and reads the response head.
    pub(crate) fn upgrade(&mut self, path: &str, headers: &[(&str, &str)]) -> Head {
        let mut all = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        all.extend(headers);
        self.send_request("GET", path, &all, None);
        self.read_head()
    }
}

impl Server {
    /// A websocket on that path, with its handshake done.
    pub(crate) fn websocket(&self, path: &str, headers: &[(&str, &str)]) -> Connection {
        let mut connection = self.connect();
        let head = connection.upgrade(path, headers);
        assert_eq!(head.status, 101, "{path}: {head:?}");
        connection
    }
}
