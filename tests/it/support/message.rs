//! The JSON object that the built-in locations send for a message.

use serde_json::Value;

use super::{Connection, show};

/// Id of pings.
const PING: i64 = -1;

/// A message as a subscriber sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Number within its channel.
    pub(crate) id: i64,
    /// Channel id.
    pub(crate) channel: String,
    /// Its text.
    pub(crate) text: String,
    /// Its tag, digits.
    pub(crate) tag: String,
    /// Its time, an HTTP date.
    pub(crate) time: String,
    /// Event id, empty if it has none.
    pub(crate) event_id: String,
}

impl Message {
    /// Reads the object.
    ///
    /// # Panics
    /// If it is not JSON or lacks a key.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let value = object(bytes);
        let text = |key: &str| {
            value[key]
                .as_str()
                .unwrap_or_else(|| panic!("no string {key:?} in {}", show(bytes)))
                .to_owned()
        };
        let id = value["id"]
            .as_i64()
            .unwrap_or_else(|| panic!("no number \"id\" in {}", show(bytes)));
        Self {
            id,
            channel: text("channel"),
            text: text("text"),
            tag: text("tag"),
            time: text("time"),
            event_id: value["eventid"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// Reads a JSON value.
pub(crate) fn object(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("not JSON ({error}): {}", show(bytes)))
}

impl Connection {
    /// The next message of a built-in streaming, long-polling or polling location; pings are
    /// skipped. `None` at the end of the body.
    pub(crate) fn next_line(&mut self) -> Option<Message> {
        loop {
            let message = Message::parse(&self.try_read_until(b"\n")?);
            if message.id != PING {
                return Some(message);
            }
        }
    }

    /// The next message of the built-in eventsource location; comments are skipped. `None` at the
    /// end of the body.
    pub(crate) fn next_event(&mut self) -> Option<Message> {
        let mut data = Vec::new();
        loop {
            let line = self.try_read_until(b"\n")?;
            if let Some(piece) = line.strip_prefix(b"data: ") {
                data.extend_from_slice(piece);
            } else if line == b"\n" && !data.is_empty() {
                return Some(Message::parse(&data));
            }
        }
    }

    /// The next message of the built-in websocket location; pings are skipped. `None` when it is
    /// closed.
    pub(crate) fn next_text(&mut self) -> Option<Message> {
        loop {
            let frame = self.try_read_frame()?;
            match frame.opcode() {
                super::opcode::TEXT => return Some(Message::parse(&frame.payload)),
                super::opcode::CLOSE => return None,
                _ => {}
            }
        }
    }
}
