//! Parsing of messages: single frames (websocket, eventsource), and bodies in which messages follow
//! each other.
//!
//! nginx-push-stream-module inserts texts into its template without escaping, so the JSON may be
//! invalid. Then the text is recovered from between the neighbouring fields; what cannot be
//! recovered is returned unchanged. Does no I/O.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::message::Message;

/// Parses the content of one frame.
#[must_use]
pub fn framed(bytes: &[u8]) -> Message {
    parse_object(bytes)
        .or_else(|| recover(bytes))
        .unwrap_or_else(|| Message::raw(bytes))
}

/// Parses the data of one event. The module applies its template to each line of a text, so several
/// objects with one id are the lines of one message (push-stream.md, section 3.2).
#[must_use]
pub fn event(data: &str) -> Message {
    if let Some(message) = parse_object(data.as_bytes()) {
        return message;
    }
    let mut lines = data
        .lines()
        .map(|line| parse_object(line.as_bytes()).or_else(|| recover(line.as_bytes())));
    if let Some(Some(mut message)) = lines.next() {
        let mut text = std::mem::take(&mut message.text);
        let same_message = lines.all(|line| match line {
            Some(line) if line.id == message.id && line.channel == message.channel => {
                text.push(b'\n');
                text.extend_from_slice(&line.text);
                true
            }
            _ => false,
        });
        if same_message {
            message.text = text;
            return message;
        }
    }
    framed(data.as_bytes())
}

/// Splits a body into messages: JSON objects, on separate lines or concatenated, and lines of other
/// text.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Length of the buffer at which its object was incomplete.
    scanned: usize,
}

/// The rest at the end of a body.
#[derive(Debug)]
pub struct Rest {
    /// The messages.
    pub messages: Vec<Message>,
    /// True if a message was incomplete.
    pub is_cut: bool,
}

impl Splitter {
    /// Appends bytes of the body. Returns the messages that are complete.
    ///
    /// Text that is not an object ends with its line or with these bytes, whichever comes first:
    /// the module writes every message separately, and a template without a line break has no other
    /// separator.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.buffer.extend_from_slice(bytes);
        self.cut(false)
    }

    /// Number of buffered bytes of an incomplete object. The caller limits it.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Handles the end of the body and returns the rest. If the body was not `framed`, an
    /// incomplete object was cut off and is dropped.
    pub fn finish(&mut self, framed: bool) -> Rest {
        self.scanned = 0;
        let messages = self.cut(framed);
        let is_cut = !self.buffer.is_empty();
        self.buffer.clear();
        Rest { messages, is_cut }
    }

    fn cut(&mut self, at_end: bool) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut at = 0;
        loop {
            at += self.buffer[at..]
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                .count();
            if at == self.buffer.len() {
                break;
            }
            let Some((message, length)) = self.next_message(at, at_end) else {
                break;
            };
            messages.push(message);
            at += length;
            self.scanned = 0;
        }
        self.buffer.drain(..at);
        messages
    }

    /// Returns the message that starts at `at` and its length in bytes, or `None` if it is
    /// incomplete.
    fn next_message(&mut self, at: usize, at_end: bool) -> Option<(Message, usize)> {
        let rest = &self.buffer[at..];
        if !rest.starts_with(b"{") {
            let line = rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len());
            let text = rest[..line].strip_suffix(b"\r").unwrap_or(&rest[..line]);
            return Some((Message::raw(text), line));
        }
        // Parsing a large object again for each read would take quadratic time: wait for bytes that
        // can end it.
        if rest.len() >= self.scanned && !rest[self.scanned..].contains(&b'}') && !at_end {
            self.scanned = rest.len();
            return None;
        }
        let mut objects = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        let end = match objects.next() {
            Some(Ok(value)) => {
                let end = objects.byte_offset();
                return Some((
                    Message::from_json(&value).unwrap_or_else(|| Message::raw(&rest[..end])),
                    end,
                ));
            }
            Some(Err(error)) if error.is_eof() && !at_end => None,
            _ => find_broken_end(rest, at_end),
        };
        let Some(end) = end else {
            self.scanned = rest.len();
            return None;
        };
        let piece = &rest[..end];
        Some((
            recover(piece).unwrap_or_else(|| Message::raw(piece.trim_ascii_end())),
            end,
        ))
    }
}

/// Returns the end of an invalid object: a brace that is followed by another object or by nothing.
/// If there is none, a line that is not an object of the server ends with its line.
fn find_broken_end(rest: &[u8], at_end: bool) -> Option<usize> {
    for (at, _) in rest.iter().enumerate().filter(|(_, byte)| **byte == b'}') {
        let after = rest[at + 1..].trim_ascii_start();
        if after.is_empty() || after.starts_with(b"{\"") {
            return Some(at + 1);
        }
    }
    let line = rest
        .iter()
        .position(|byte| *byte == b'\n')
        .filter(|line| find_text(&String::from_utf8_lossy(&rest[..*line])).is_none());
    line.or_else(|| at_end.then_some(rest.len()))
}

fn parse_object(bytes: &[u8]) -> Option<Message> {
    if !bytes.starts_with(b"{") {
        return None;
    }
    Message::from_json(&serde_json::from_slice(bytes).ok()?)
}

/// Recovers the text between `"text":"` and the next known key, or the end of the object, and
/// parses the rest without it.
fn recover(piece: &[u8]) -> Option<Message> {
    static NEXT_KEY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#""\s*,\s*"(?:id|channel|tag|time|eventid|event_id|size)"\s*:"#)
            .expect("the pattern is constant and valid")
    });
    // Valid JSON that is not an object of the server is the text of a publisher.
    if !piece.starts_with(b"{") || serde_json::from_slice::<serde::de::IgnoredAny>(piece).is_ok() {
        return None;
    }
    let piece = String::from_utf8_lossy(piece);
    let piece = piece.trim_end();
    let start = find_text(piece)?;
    let end = match NEXT_KEY.find(&piece[start..]) {
        Some(next) => start + next.start(),
        None => {
            start
                + piece[start..]
                    .trim_end_matches('}')
                    .trim_end()
                    .strip_suffix('"')?
                    .len()
        }
    };
    let text = &piece[start..end];
    let without = format!("{}{}", &piece[..start], &piece[end..]);
    let rest = serde_json::from_str(&without)
        .ok()
        .and_then(|value| Message::from_json(&value))
        .unwrap_or_default();
    Some(Message {
        text: text.as_bytes().to_vec(),
        ..rest
    })
}

/// Returns the offset at which the text of an object starts.
fn find_text(piece: &str) -> Option<usize> {
    static TEXT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"[{,]\s*"text"\s*:\s*""#).expect("the pattern is constant and valid")
    });
    TEXT.find(piece).map(|found| found.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(messages: &[Message]) -> Vec<String> {
        messages
            .iter()
            .map(|message| String::from_utf8_lossy(&message.text).into_owned())
            .collect()
    }

    fn object(id: u32, text: &str) -> String {
        format!(
            "{{\"id\":{id},\"channel\":\"c\",\"text\":\"{text}\",\"tag\":\"{id}\",\
             \"time\":\"Sun, 06 Nov 1994 08:49:37 GMT\",\"eventid\":\"\"}}"
        )
    }

    #[test]
    fn all_fields_of_an_object_are_read() {
        let message = framed(
            concat!(
                r#"{"id":"7","channel":"c","text":"a\"b","tag":3,"#,
                r#""time":"Sun, 06 Nov 1994 08:49:37 GMT","eventid":"e"}"#
            )
            .as_bytes(),
        );
        assert_eq!(message.id, Some(7));
        assert_eq!(message.channel.as_deref(), Some("c"));
        assert_eq!(message.text, b"a\"b");
        assert_eq!((message.time, message.tag), (Some(784_111_777), Some(3)));
        assert_eq!(message.event_id.as_deref(), Some("e"));
    }

    #[test]
    fn base64_is_decoded_and_travels_again_as_base64() {
        let message = framed(br#"{"id":1,"channel":"c","base64":"/wA="}"#);
        assert_eq!(message.text, [0xff, 0]);
        assert_eq!(
            message.to_json(),
            r#"{"id":1,"channel":"c","base64":"/wA="}"#
        );
    }

    #[test]
    fn json_that_is_no_message_stays_as_it_came() {
        for text in [
            r#"{"text":"only"}"#,
            r#"{"temperature":21}"#,
            "[1]",
            "plain",
            "{",
            "{x}",
        ] {
            assert_eq!(
                framed(text.as_bytes()),
                Message::raw(text.as_bytes()),
                "{text}"
            );
        }
    }

    #[test]
    fn texts_that_broke_their_json_are_recovered_with_the_other_fields() {
        for text in [
            r#"say "hi""#,
            "two\nlines",
            r"C:\dir",
            r"ends in \",
            r#"","x":"#,
            "\t",
        ] {
            let message = framed(object(5, text).as_bytes());
            assert_eq!(String::from_utf8_lossy(&message.text), text);
            assert_eq!((message.id, message.tag), (Some(5), Some(5)), "{text}");
        }
        assert_eq!(
            texts(&[framed(br#"{"id":1,"channel":"c","text":"say "hi""}"#)]),
            [r#"say "hi""#]
        );
    }

    #[test]
    fn lines_of_one_event_are_one_message() {
        let message = event(&format!("{}\n{}", object(2, "a"), object(2, "b \"q\"")));
        assert_eq!(message.text, b"a\nb \"q\"");
        assert_eq!(message.id, Some(2));
        assert_eq!(event("a\nb").text, b"a\nb");
    }

    #[test]
    fn bodies_are_cut_wherever_the_network_cut_them() {
        let body = [
            object(1, "a}{b"),
            object(2, r#"q "x" }"#),
            "\r\n".to_owned(),
            object(3, "z"),
            "\n".to_owned(),
        ]
        .concat();
        for size in 1..body.len() {
            let mut splitter = Splitter::default();
            let mut messages: Vec<Message> = body
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| splitter.push(piece))
                .collect();
            messages.extend(splitter.finish(true).messages);
            // A brace at the end of a piece may end a broken object; the good ones must be whole
            // whatever the cut.
            let texts = texts(&messages);
            assert_eq!(
                (
                    texts.first().map(String::as_str),
                    texts.last().map(String::as_str)
                ),
                (Some("a}{b"), Some("z")),
                "{size}"
            );
        }
    }

    #[test]
    fn objects_without_separator_and_plain_lines_are_messages() {
        let mut splitter = Splitter::default();
        assert_eq!(
            texts(
                &splitter.push(
                    [object(1, "a"), object(2, r#""b""#), object(3, "c")]
                        .concat()
                        .as_bytes()
                )
            ),
            ["a", "\"b\"", "c"]
        );
        assert_eq!(texts(&splitter.push(b"x\r\ny\n\nz")), ["x", "y", "z"]);
        assert!(splitter.push(b"{\"id\":4,").is_empty());
        assert_eq!(texts(&splitter.finish(true).messages), ["{\"id\":4,"]);
    }

    #[test]
    fn objects_cut_off_by_an_end_without_framing_are_no_messages() {
        for piece in [
            r#"{"id":2,"channel":"c","te"#,
            r#"{"id":2,"channel":"c","text":"say "h"#,
        ] {
            let mut splitter = Splitter::default();
            assert_eq!(
                texts(&splitter.push([&object(1, "a"), piece].concat().as_bytes())),
                ["a"]
            );
            let rest = splitter.finish(false);
            assert!(rest.messages.is_empty() && rest.is_cut, "{piece}");
        }
        let mut splitter = Splitter::default();
        assert_eq!(texts(&splitter.push(object(1, "a").as_bytes())), ["a"]);
        assert!(!splitter.finish(false).is_cut);
    }
}
