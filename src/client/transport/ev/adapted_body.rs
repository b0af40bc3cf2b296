//! The body of an event stream, adapted to the parser of `eventsource-client`.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use launchdarkly_sdk_transport::TransportError;
use parking_lot::Mutex;

use crate::client::transport::cr_escape;
use crate::client::transport::stream::Body;

/// Adapts the body to the parser. The parser fails at bytes that are not UTF-8, so these become
/// U+FFFD, and it has no limit for a line, so an overlong line ends the stream. It also fails, and
/// drops earlier events, at an event without a known field, which the standard ignores: every event
/// gets a field without effect. Where lines end in LF only, a CR is part of its line. It is
/// escaped, because the parser would end the line there, and a publisher could inject fields such
/// as ids. The mutex provides the `Sync` that the trait requires; it is never contended.
pub(super) struct AdaptedBody {
    body: Mutex<Body>,
    /// Unknown until the first line.
    line_ends: Arc<OnceLock<LineEnds>>,
    /// Start of an incomplete character, or of the first line.
    held: Vec<u8>,
    line_bytes: usize,
    /// Size of the fields of the current event.
    event_bytes: usize,
    /// Maximum size in bytes of a line and of an event.
    limit: usize,
    /// The current line is a comment, which belongs to no event.
    in_comment: bool,
    /// No byte has arrived yet.
    is_first: bool,
    /// The next byte starts a line.
    at_line_start: bool,
    /// The field without effect was added to the current event.
    in_event: bool,
}

/// Line terminators of an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnds {
    /// CR, LF and CRLF, as in the standard.
    All,
    /// LF only, in everything that nchan sends.
    Lf,
}

/// Start of every event stream of nchan.
const GREETING: &[u8] = b": hi\n\n";

/// A field that the parser accepts; reconnect times are computed by this program.
const FIELD_WITHOUT_EFFECT: &[u8] = b"retry: 1\n";

impl AdaptedBody {
    pub(super) fn new(body: Body, line_ends: Arc<OnceLock<LineEnds>>, limit: usize) -> Self {
        Self {
            body: Mutex::new(body),
            line_ends,
            held: Vec::new(),
            line_bytes: 0,
            event_bytes: 0,
            limit,
            in_comment: false,
            is_first: true,
            at_line_start: true,
            in_event: false,
        }
    }

    /// Adds [`FIELD_WITHOUT_EFFECT`] to each event that starts in `text`.
    fn add_fields(&mut self, mut text: &[u8]) -> Bytes {
        if !text.is_empty() && std::mem::take(&mut self.is_first) {
            text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        }
        let mut out = Vec::with_capacity(text.len() + 4 * FIELD_WITHOUT_EFFECT.len());
        for line in text.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
            // The LF of a CRLF looks like an empty line; an additional field is harmless.
            self.in_comment = if self.at_line_start {
                line.starts_with(b":")
            } else {
                self.in_comment
            };
            self.event_bytes += if self.in_comment { 0 } else { line.len() };
            match (self.at_line_start, line) {
                (true, b"\r" | b"\n") => (self.in_event, self.event_bytes) = (false, 0),
                (true, _) if !self.in_event => {
                    out.extend_from_slice(FIELD_WITHOUT_EFFECT);
                    self.in_event = true;
                }
                _ => {}
            }
            out.extend_from_slice(line);
            self.at_line_start = line.ends_with(b"\r") || line.ends_with(b"\n");
        }
        Bytes::from(out)
    }

    fn adapt(&mut self, bytes: &[u8]) -> Result<Bytes, TransportError> {
        self.line_bytes = match memchr::memrchr(b'\n', bytes) {
            Some(at) => bytes.len() - at,
            None => self.line_bytes + bytes.len(),
        };
        if self.line_bytes > self.limit || self.event_bytes > self.limit {
            return Err(TransportError::new(EventTooLarge));
        }
        let mut bytes = [self.held.as_slice(), bytes].concat();
        if self.line_ends.get().is_none()
            && bytes.len() < GREETING.len()
            && GREETING.starts_with(&bytes)
        {
            self.held = bytes;
            return Ok(Bytes::new());
        }
        let line_ends = *self.line_ends.get_or_init(|| {
            if bytes.starts_with(GREETING) {
                LineEnds::Lf
            } else {
                LineEnds::All
            }
        });
        let cut = incomplete_tail(&bytes);
        self.held = bytes.split_off(bytes.len() - cut);
        let text = String::from_utf8_lossy(&bytes);
        Ok(match line_ends {
            LineEnds::Lf => self.add_fields(cr_escape::escape(&text).as_bytes()),
            LineEnds::All => self.add_fields(text.as_bytes()),
        })
    }
}

/// Length of an incomplete character at the end of `bytes`.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let start = (from..bytes.len()).rev().find(|at| bytes[*at] >= 0xc0);
    match start.map(|at| (at, std::str::from_utf8(&bytes[at..]))) {
        Some((at, Err(error))) if error.error_len().is_none() => bytes.len() - at,
        _ => 0,
    }
}

impl Stream for AdaptedBody {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.body.get_mut().as_mut().poll_next(context);
        polled.map(|item| {
            item.map(|bytes| {
                bytes
                    .map_err(TransportError::new)
                    .and_then(|bytes| self.adapt(&bytes))
            })
        })
    }
}

/// A line or an event exceeds the size limit.
#[derive(Debug, thiserror::Error)]
#[error("an event is too large")]
pub(super) struct EventTooLarge;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> AdaptedBody {
        AdaptedBody::new(
            Box::pin(futures_util::stream::empty()),
            Arc::default(),
            1 << 20,
        )
    }

    fn fitted(text: &[u8], size: usize) -> Vec<u8> {
        let mut lines = lines();
        text.chunks(size)
            .flat_map(|piece| lines.adapt(piece).expect("short lines").to_vec())
            .collect()
    }

    #[test]
    fn characters_survive_cuts_and_other_bytes_become_marks() {
        let text = "data: äöü€😀\n\n".as_bytes();
        for size in 1..text.len() {
            assert_eq!(
                fitted(text, size),
                [FIELD_WITHOUT_EFFECT, text].concat(),
                "{size}"
            );
        }
        let mut lines = lines();
        assert_eq!(
            lines.adapt(b"a\xff\xc3").expect("short lines"),
            "retry: 1\na\u{fffd}"
        );
        assert_eq!(lines.adapt(b"(b").expect("short lines"), "\u{fffd}(b");
    }

    #[test]
    fn every_event_gets_a_field_without_effect() {
        let text = "\u{feff}unknown\n\ndata: a\nid: 1\n\n\n: c\n\n";
        let expected = "retry: 1\nunknown\n\nretry: 1\ndata: a\nid: 1\n\n\nretry: 1\n: c\n\n";
        for size in 1..text.len() {
            assert_eq!(
                String::from_utf8(fitted(text.as_bytes(), size)).as_deref(),
                Ok(expected),
                "{size}"
            );
        }
    }

    #[test]
    fn a_cr_is_no_line_end_to_nchan() {
        let event = "id: 5:0\ndata: a\rid: 9:9\r\ndata: \u{10fffe}b\n\n";
        let text = [": hi\n\n", event].concat();
        for size in 1..text.len() {
            let fitted = String::from_utf8(fitted(text.as_bytes(), size)).expect("UTF-8");
            assert!(!fitted.contains('\r'), "{size}");
            assert_eq!(
                cr_escape::unescape(&fitted),
                ["retry: 1\n: hi\n\nretry: 1\n", event].concat(),
                "{size}"
            );
        }
        assert_eq!(
            fitted(b": hi\r\n\r\ndata: a\r\r", 3),
            b"retry: 1\n: hi\r\n\r\nretry: 1\ndata: a\r\r",
            "another server"
        );
    }
}
