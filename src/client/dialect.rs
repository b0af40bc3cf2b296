//! The three protocol families: their detection, and the message ids of NHPM and nchan. Does no
//! I/O.
//!
//! | | push-stream | NHPM | nchan |
//! |---|---|---|---|
//! | mark | `Expires` in 1970 | `Vary: If-None-Match, …` | like NHPM; multipart; id `TIME:TAG` |
//! | position | `Last-Modified`, `Etag: W/TAG` | `Last-Modified`, `Etag: TAG` | like NHPM |
//! | tags | from 1 for the server | from 0 per channel | like NHPM |
//! | body | message in its template | message | message |
//! | `OPTIONS` | no `Allow` with 200 | `Access-Control-Allow-Methods` | `Allow` with 200 |
//!
//! Source: nhpm-nchan.md, sections 1.3, 1.6, 2.3, 2.5 to 2.8 and 2.12.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::message::Message;
use crate::message::parse_http_date;

/// The websocket subprotocol in which nchan sends the ids of messages.
pub const WS_META: &str = "ws+meta.nchan";

/// The protocol family of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// nginx-push-stream-module, and the built-in locations of pushctl
    PushStream,
    /// nginx_http_push_module (NHPM): long-polling and polling
    Nhpm,
    /// nchan
    Nchan,
}

impl Dialect {
    /// True for NHPM and nchan: the body is the message without a template, and tags count from 0
    /// in each channel.
    #[must_use]
    pub fn is_unframed(self) -> bool {
        self != Self::PushStream
    }

    /// Detects the protocol family from the response to a subscription; `None` if it is ambiguous.
    #[must_use]
    pub fn of_response(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let value = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        if value("expires").contains("1970") {
            return Some(Self::PushStream);
        }
        let is_meta = value("sec-websocket-protocol") == WS_META;
        let is_multipart = value("content-type").starts_with("multipart/mixed");
        if is_meta || is_multipart || value("vary").contains("If-None-Match") {
            return Some(Self::Nchan);
        }
        // NHPM ends a long-poll with 304. Streams that are not multipart show nothing.
        (status == StatusCode::REQUEST_TIMEOUT).then_some(Self::Nchan)
    }

    /// Detects the protocol family from the response to `OPTIONS` at a subscriber location.
    #[must_use]
    pub fn of_options(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        if status != StatusCode::OK || headers.contains_key("expires") {
            return Some(Self::PushStream).filter(|_| {
                status == StatusCode::METHOD_NOT_ALLOWED || headers.contains_key("expires")
            });
        }
        if headers
            .get("allow")
            .is_some_and(|allow| allow.to_str().is_ok_and(|allow| allow.contains("GET")))
        {
            return Some(Self::Nchan);
        }
        let methods = headers
            .get("access-control-allow-methods")
            .and_then(|methods| methods.to_str().ok());
        match methods {
            Some("GET, OPTIONS") => Some(Self::Nhpm),
            _ => Some(Self::PushStream),
        }
    }
}

/// A message id of NHPM or nchan: `TIME:TAG`, or `TIME:TAG,[TAG],-` with several channels; the tag
/// in brackets is that of the message's channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageId {
    /// Second of publication.
    pub time: u64,
    /// The tags, unparsed.
    pub tags: String,
}

impl MessageId {
    /// Parses `TIME:TAGS`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (time, tags) = text.split_once(':')?;
        Self::of(time.parse().ok()?, tags)
    }

    /// Parses the two headers of a response.
    #[must_use]
    pub fn of_headers(last_modified: &str, etag: &str) -> Option<Self> {
        Self::of(parse_http_date(last_modified.as_bytes())?, etag)
    }

    fn of(time: u64, tags: &str) -> Option<Self> {
        let is_tag = |byte: u8| byte.is_ascii_digit() || matches!(byte, b',' | b'-' | b'[' | b']');
        (!tags.is_empty() && tags.bytes().all(is_tag)).then(|| Self {
            time,
            tags: tags.to_owned(),
        })
    }

    /// Returns the index of the message's channel in the request, and its tag.
    fn own(&self) -> Option<(usize, u32)> {
        let mut all = self.tags.split(',').enumerate();
        let is_own = |tag: &str| tag.starts_with('[') || !self.tags.contains(',');
        let (number, tag) = all.find(|(_, tag)| is_own(tag))?;
        Some((number, tag.trim_matches(['[', ']']).parse().ok()?))
    }

    /// Creates a message with this id; `channels` are those of the request, in its order.
    #[must_use]
    pub fn message(&self, text: &[u8], channels: &[String]) -> Message {
        let own = self.own();
        Message {
            channel: own.and_then(|(number, _)| channels.get(number).cloned()),
            time: Some(self.time),
            tag: own.map(|(_, tag)| tag),
            event_id: Some(self.to_string()),
            ..Message::raw(text)
        }
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.time, self.tags)
    }
}

/// Parses a text frame of `ws+meta.nchan`: `id: ID`, optionally `content-type: TYPE`, an empty
/// line, and the message.
#[must_use]
pub fn parse_meta_frame(bytes: &[u8], channels: &[String]) -> Message {
    let Some(end) = memchr::memmem::find(bytes, b"\n\n") else {
        return Message::raw(bytes);
    };
    let head = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    let id = head
        .lines()
        .find_map(|line| MessageId::parse(line.strip_prefix("id: ")?));
    match id {
        Some(id) => id.message(&bytes[end + 2..], channels),
        None => Message::raw(bytes),
    }
}

/// Splits a `multipart/mixed` body of nchan into messages.
#[derive(Debug)]
pub struct Multipart {
    /// `--BOUNDARY`, with the line break before it.
    mark: Vec<u8>,
    buffer: Vec<u8>,
    /// Number of bytes that contain no boundary.
    searched: usize,
    has_begun: bool,
}

impl Multipart {
    /// Creates a splitter for the `Content-Type` of a response; `None` if it is not multipart.
    #[must_use]
    pub fn new(content_type: &str) -> Option<Self> {
        let (kind, rest) = content_type.split_once(';')?;
        let boundary = rest.trim().strip_prefix("boundary=")?.trim_matches('"');
        let is_good = kind.trim() == "multipart/mixed" && !boundary.is_empty();
        is_good.then(|| Self {
            mark: format!("\r\n--{boundary}").into_bytes(),
            buffer: b"\r\n".to_vec(),
            searched: 0,
            has_begun: false,
        })
    }

    /// Appends bytes. Returns the complete parts: the ids in their headers, and the bodies.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<(Option<MessageId>, Vec<u8>)> {
        self.buffer.extend_from_slice(bytes);
        let mut parts = Vec::new();
        while let Some(found) = memchr::memmem::find(&self.buffer[self.searched..], &self.mark) {
            let end = self.searched + found;
            let rest = self.buffer.split_off(end + self.mark.len());
            let part = std::mem::replace(&mut self.buffer, rest);
            if self.has_begun {
                parts.extend(read_part(&part[..end]));
            }
            (self.has_begun, self.searched) = (true, 0);
        }
        self.searched = self.buffer.len().saturating_sub(self.mark.len());
        parts
    }

    /// Number of buffered bytes of an incomplete part.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }
}

/// Parses a part: `\r
/// `, header lines, `\r
/// ` and the body.
fn read_part(part: &[u8]) -> Option<(Option<MessageId>, Vec<u8>)> {
    let part = part.strip_prefix(b"\r\n")?;
    let (head, body) = match part.strip_prefix(b"\r\n") {
        Some(body) => (&b""[..], body),
        None => {
            let end = memchr::memmem::find(part, b"\r\n\r\n")?;
            (&part[..end], &part[end + 4..])
        }
    };
    let head = String::from_utf8_lossy(head);
    let value = |name: &str| {
        head.split("\r\n")
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let id = match (value("Last-Modified"), value("Etag")) {
        (Some(last_modified), Some(etag)) => MessageId::of_headers(last_modified, etag),
        (None, Some(etag)) => MessageId::parse(etag),
        _ => None,
    };
    Some((id, body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_contain_channel_and_tag() {
        let channels = ["a".to_owned(), "b".to_owned()];
        for (text, channel, tag) in [
            ("1795261835:7", "a", 7),
            ("1795261835:[1],-", "a", 1),
            ("1795261835:3,[2]", "b", 2),
        ] {
            let message = MessageId::parse(text)
                .expect("an id")
                .message(b"x", &channels);
            assert_eq!(
                (
                    message.channel.as_deref(),
                    message.tag,
                    message.event_id.as_deref()
                ),
                (Some(channel), Some(tag), Some(text))
            );
        }
        for text in ["", "x:1", "1795261835", "1795261835:", "1795261835:a"] {
            assert_eq!(MessageId::parse(text), None, "{text}");
        }
        assert_eq!(
            parse_meta_frame(b"id: 5:0\ncontent-type: x/y\n\nhi\n\n", &channels).text,
            b"hi\n\n"
        );
    }

    #[test]
    fn parts_are_cut_wherever_the_bytes_are() {
        let body = b"--B\r\nLast-Modified: Sat, 21 Nov 2026 11:50:35 GMT\r\nEtag: 0\r\n\
                     Content-Type: x\r\n\r\none\r\n--B\r\nEtag: 1795261835:1\r\n\r\n\r\n--B\r\n\r\n\
                     --\r\n--B--\r\n";
        for size in 1..body.len() {
            let mut multipart = Multipart::new("multipart/mixed; boundary=B").expect("multipart");
            let parts: Vec<_> = body
                .chunks(size)
                .flat_map(|piece| multipart.push(piece))
                .collect();
            let found: Vec<_> = parts
                .iter()
                .map(|(id, text)| (id.as_ref().map(|id| id.tags.as_str()), text.as_slice()))
                .collect();
            assert_eq!(
                found,
                [(Some("0"), &b"one"[..]), (Some("1"), b""), (None, b"--")],
                "{size}"
            );
        }
        assert!(Multipart::new("text/plain").is_none());
    }

    #[test]
    fn servers_are_distinguished() {
        let headers = |lines: &[(&'static str, &'static str)]| -> HeaderMap {
            lines
                .iter()
                .map(|(name, value)| {
                    (
                        reqwest::header::HeaderName::from_static(name),
                        value.parse().expect("a value"),
                    )
                })
                .collect()
        };
        let ok = StatusCode::OK;
        assert_eq!(
            Dialect::of_response(
                ok,
                &headers(&[("expires", "Thu, 01 Jan 1970 00:00:01 GMT")])
            ),
            Some(Dialect::PushStream)
        );
        assert_eq!(
            Dialect::of_response(
                ok,
                &headers(&[("vary", "If-None-Match, If-Modified-Since")])
            ),
            Some(Dialect::Nchan)
        );
        assert_eq!(
            Dialect::of_response(ok, &headers(&[("content-type", "text/event-stream")])),
            None
        );
        assert_eq!(
            Dialect::of_options(ok, &headers(&[("allow", "GET")])),
            Some(Dialect::Nchan)
        );
        assert_eq!(
            Dialect::of_options(
                ok,
                &headers(&[("access-control-allow-methods", "GET, OPTIONS")])
            ),
            Some(Dialect::Nhpm)
        );
        assert_eq!(
            Dialect::of_options(ok, &headers(&[])),
            Some(Dialect::PushStream)
        );
        assert_eq!(
            Dialect::of_options(
                StatusCode::METHOD_NOT_ALLOWED,
                &headers(&[("allow", "GET")])
            ),
            Some(Dialect::PushStream)
        );
        assert_eq!(
            Dialect::of_options(StatusCode::FORBIDDEN, &headers(&[])),
            None
        );
    }
}
