//! Decoding of received bytes into messages, in every mode; bytes may be cut anywhere.

use serde::Deserialize;

use super::client::Mode;
use crate::http;

/// A message of the built-in locations.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Wire {
    /// Number in the channel, or a negative one for pings, deletions and time-outs.
    pub(super) id: i64,
    pub(super) text: String,
    pub(super) tag: String,
    pub(super) time: String,
    pub(super) eventid: String,
}

/// The next item.
#[derive(Debug)]
pub(super) enum Item {
    /// The response head: status and cursor.
    Head(u16, Option<(String, String)>),
    Message(Box<Wire>),
    /// The response is complete; the connection can be reused.
    End,
    /// The server announced the end.
    Close,
}

/// Decodes the bytes of a connection.
pub(super) struct Decoder {
    mode: Mode,
    /// Bytes, unparsed.
    raw: Vec<u8>,
    /// The body without chunk sizes and frame headers.
    body: Vec<u8>,
    in_body: bool,
    /// The last chunk or a close frame arrived.
    ended: bool,
    /// Remaining bytes of the body, if its length is known.
    left: Option<usize>,
}

impl Decoder {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            raw: Vec::new(),
            body: Vec::new(),
            in_body: false,
            ended: false,
            left: None,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
    }

    /// Returns the next item, or `None` if more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Item>, String> {
        if !self.in_body {
            return self.head();
        }
        loop {
            if let Some(line) = self.line() {
                let json = if self.mode == Mode::EventSource {
                    line.strip_prefix("data: ").unwrap_or("")
                } else {
                    line.trim()
                };
                if json.starts_with('{') {
                    let wire = serde_json::from_str(json)
                        .map_err(|error| format!("not a message ({error}): {json:?}"))?;
                    return Ok(Some(Item::Message(Box::new(wire))));
                }
                let is_noise = json.is_empty() || line.starts_with(':');
                if !is_noise {
                    return Err(format!("not a message: {line:?}"));
                }
                continue;
            }
            if self.ended {
                return Ok(Some(self.end()));
            }
            if !self.unwrap_more()? {
                return Ok(None);
            }
        }
    }

    fn head(&mut self) -> Result<Option<Item>, String> {
        let Some(end) = http::head_end(&self.raw) else {
            return Ok(None);
        };
        let head: Vec<u8> = self.raw.drain(..end).collect();
        let status = http::status(&head);
        let cursor = http::header(&head, "last-modified").zip(http::header(&head, "etag"));
        let cursor = cursor.map(|(time, tag)| (time.to_owned(), tag.to_owned()));
        self.in_body = true;
        self.left = http::header(&head, "content-length").and_then(|length| length.parse().ok());
        let is_chunked = http::header(&head, "transfer-encoding").is_some();
        if status == 304 || (self.left.is_none() && !is_chunked && status != 101) {
            self.ended = true;
        }
        if status == 0 {
            return Err(format!(
                "not an answer: {:?}",
                String::from_utf8_lossy(&head)
            ));
        }
        Ok(Some(Item::Head(status, cursor)))
    }

    fn end(&mut self) -> Item {
        let is_answer = self.mode.polls();
        *self = Self {
            raw: std::mem::take(&mut self.raw),
            ..Self::new(self.mode)
        };
        if is_answer { Item::End } else { Item::Close }
    }

    /// Returns a complete line of the body.
    fn line(&mut self) -> Option<String> {
        let at = memchr::memchr(b'\n', &self.body)?;
        let line: Vec<u8> = self.body.drain(..=at).collect();
        Some(
            String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        )
    }

    /// Moves a part of the body out of its chunks or frames; false if more bytes are needed.
    fn unwrap_more(&mut self) -> Result<bool, String> {
        if self.mode == Mode::WebSocket {
            return self.unframe();
        }
        if let Some(left) = self.left {
            let count = left.min(self.raw.len());
            self.body.extend(self.raw.drain(..count));
            self.left = Some(left - count);
            self.ended = left == count;
            return Ok(count > 0 || self.ended);
        }
        let Some(at) = memchr::memchr(b'\n', &self.raw) else {
            return Ok(false);
        };
        let size = std::str::from_utf8(&self.raw[..at])
            .ok()
            .and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let Some(size) = size else {
            return Err(format!(
                "not a chunk: {:?}",
                String::from_utf8_lossy(&self.raw[..at])
            ));
        };
        if self.raw.len() < at + 1 + size + 2 {
            return Ok(false);
        }
        self.body
            .extend_from_slice(&self.raw[at + 1..at + 1 + size]);
        if &self.raw[at + 1 + size..at + 3 + size] != b"\r\n" {
            return Err("a chunk does not end with a line end".to_owned());
        }
        self.raw.drain(..at + 3 + size);
        self.ended = size == 0;
        Ok(true)
    }

    /// Decodes a websocket frame of the server: unmasked, not fragmented.
    fn unframe(&mut self) -> Result<bool, String> {
        let [first, second, ..] = self.raw[..] else {
            return Ok(false);
        };
        let (head, length) = match second & 0x7f {
            126 if self.raw.len() >= 4 => (
                4,
                usize::from(u16::from_be_bytes([self.raw[2], self.raw[3]])),
            ),
            127 if self.raw.len() >= 10 => (
                10,
                self.raw[2..10]
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte)),
            ),
            126 | 127 => return Ok(false),
            short => (2, usize::from(short)),
        };
        if self.raw.len() < head + length {
            return Ok(false);
        }
        match first {
            0x81 => {
                self.body.extend_from_slice(&self.raw[head..head + length]);
                // The text of a frame is a line in the other modes.
                self.body.push(b'\n');
            }
            0x88 => self.ended = true,
            0x89 | 0x8a => {}
            other => return Err(format!("an unexpected frame: {other:#x}")),
        }
        self.raw.drain(..head + length);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str =
        r#"{"id":1,"channel":"c","text":"a\nb","tag":"2","time":"T","eventid":"e"}"#;

    fn texts(mode: Mode, stream: &[u8], cut: usize) -> Vec<String> {
        let mut decoder = Decoder::new(mode);
        let mut found = Vec::new();
        for part in stream.chunks(cut) {
            decoder.push(part);
            while let Some(item) = decoder.next().expect("the stream is well-formed") {
                found.push(match item {
                    Item::Head(status, cursor) => format!("{status} {cursor:?}"),
                    Item::Message(wire) => wire.text,
                    Item::End => "end".to_owned(),
                    Item::Close => "close".to_owned(),
                });
            }
        }
        found
    }

    #[test]
    fn every_mode_is_taken_apart_however_it_is_cut() {
        let line = format!("{MESSAGE}\r\n");
        let event = format!(": \nid: e\ndata: {MESSAGE}\n\n");
        let chunked = |body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                                            {:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            )
        };
        let frame = [
            &[0x81, MESSAGE.len() as u8][..],
            MESSAGE.as_bytes(),
            &[0x89, 0, 0x88, 0],
        ]
        .concat();
        let websocket = [b"HTTP/1.1 101 Switching Protocols\r\n\r\n", &frame[..]].concat();
        let none = "HTTP/1.1 304 Not Modified\r\nLast-Modified: T\r\nEtag: W/3\r\n\r\n";
        for cut in 1..60 {
            assert_eq!(
                texts(Mode::Streaming, chunked(&line).as_bytes(), cut),
                ["200 None", "a\nb", "close"]
            );
            assert_eq!(
                texts(Mode::EventSource, chunked(&event).as_bytes(), cut),
                ["200 None", "a\nb", "close"]
            );
            assert_eq!(
                texts(Mode::WebSocket, &websocket, cut),
                ["101 None", "a\nb", "close"]
            );
            let polls = format!("{none}{}", chunked(&line));
            assert_eq!(
                texts(Mode::LongPolling, polls.as_bytes(), cut),
                [
                    r#"304 Some(("T", "W/3"))"#,
                    "end",
                    "200 None",
                    "a\nb",
                    "end"
                ]
            );
        }
    }
}
