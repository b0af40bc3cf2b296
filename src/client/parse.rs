//! Messages out of bytes: exactly framed ones (websocket, eventsource) and bodies in which they
//! follow each other.
//!
//! The original module pastes texts into its template without escaping, so what should be JSON may
//! not be. Then the text is recovered from between its neighbours, and what cannot be recovered is
//! handed on as it came. Pure.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::Message;

/// Reads the content of one frame.
#[must_use]
pub fn framed(bytes: &[u8]) -> Message {
    whole_object(bytes)
        .or_else(|| recover(bytes))
        .unwrap_or_else(|| Message::raw(bytes))
}

/// Reads the data of one event. The module applies its template to each line of a text, so several
/// objects of one id are the lines of one message (push-stream.md, section 3.2).
#[must_use]
pub fn event(data: &str) -> Message {
    if let Some(message) = whole_object(data.as_bytes()) {
        return message;
    }
    let mut lines = data
        .lines()
        .map(|line| whole_object(line.as_bytes()).or_else(|| recover(line.as_bytes())));
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

/// Cuts a body into messages: objects one after the other, on lines of their own or not, and lines
/// of anything else.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Length of the buffer when its object was last found incomplete.
    tried: usize,
}

/// What was left at the end of a body.
#[derive(Debug)]
pub struct Rest {
    /// The messages.
    pub messages: Vec<Message>,
    /// True if there was a piece of a message.
    pub is_cut: bool,
}

impl Splitter {
    /// Takes the next bytes of the body and returns the messages that they complete.
    ///
    /// Text that starts no object ends with its line or with these bytes, whichever comes first:
    /// the module sends every message as a piece of its own, and a template without line break has
    /// no other mark.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.buffer.extend_from_slice(bytes);
        self.cut(false)
    }

    /// Bytes of an object whose end has not come yet. Whoever pushes bounds it.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The body has ended: returns what is left. If it was not `framed`, an object without an end
    /// was cut off and is none.
    pub fn finish(&mut self, framed: bool) -> Rest {
        self.tried = 0;
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
            let Some((message, length)) = self.first(at, at_end) else {
                break;
            };
            messages.push(message);
            at += length;
            self.tried = 0;
        }
        self.buffer.drain(..at);
        messages
    }

    /// The message that starts at `at` and its length in bytes, or `None` if it is not complete
    /// yet.
    fn first(&mut self, at: usize, at_end: bool) -> Option<(Message, usize)> {
        let rest = &self.buffer[at..];
        if !rest.starts_with(b"{") {
            let line = rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len());
            let text = rest[..line].strip_suffix(b"\r").unwrap_or(&rest[..line]);
            return Some((Message::raw(text), line));
        }
        // Reading a large object anew for each of its pieces would be quadratic: wait for a piece
        // that can end it.
        if rest.len() >= self.tried && !rest[self.tried..].contains(&b'}') && !at_end {
            self.tried = rest.len();
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
            _ => broken_end(rest, at_end),
        };
        let Some(end) = end else {
            self.tried = rest.len();
            return None;
        };
        let piece = &rest[..end];
        Some((
            recover(piece).unwrap_or_else(|| Message::raw(piece.trim_ascii_end())),
            end,
        ))
    }
}

/// Where a broken object ends: at a brace that is followed by another object or by nothing. If
/// there is none, a line that is no message of ours ends with its line.
fn broken_end(rest: &[u8], at_end: bool) -> Option<usize> {
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

fn whole_object(bytes: &[u8]) -> Option<Message> {
    if !bytes.starts_with(b"{") {
        return None;
    }
    Message::from_json(&serde_json::from_slice(bytes).ok()?)
}

/// Takes the text from between `"text":"` and the next known key, or the end of the object, and
/// reads the rest without it.
fn recover(piece: &[u8]) -> Option<Message> {
    static NEXT_KEY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#""\s*,\s*"(?:id|channel|tag|time|eventid|event_id|size)"\s*:"#)
            .expect("the pattern is constant and valid")
    });
    // Good JSON that is no message of ours is somebody's text.
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

/// Where the text of an object begins.
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
            r#"{{"id":{id},"channel":"c","text":"{text}","tag":"{id}","time":"Sun, 06 Nov 1994 08:49:37 GMT","eventid":""}}"#
        )
    }

    #[test]
    fn all_fields_of_an_object_are_read() {
        let message = framed(br#"{"id":"7","channel":"c","text":"a\"b","tag":3,"time":"Sun, 06 Nov 1994 08:49:37 GMT","eventid":"e"}"#);
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
