//! Reading requests without a socket, and recognising requests of the replay cache, for the targets
//! in `fuzz/`. Compiled for them and for the lints.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::h1::chunked_body::{ChunkError, ChunkedReader};
use super::h1::head;
use super::h1::head::ParsedHead;
use super::h1::headers::BodyLength;
use super::replay::{self, PollMatch};
use crate::server::exchange::request::{Endpoints, Request};
use crate::server::push_stream::channels_path;
use crate::server::push_stream::cursor::{CursorPlace, HEADERS as CURSOR_HEADERS};

/// A part of a client's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestPart {
    /// A request's head.
    Head {
        /// Method.
        method: String,
        /// Undecoded target.
        target: Vec<u8>,
        /// Decoded and normalised path.
        path: Vec<u8>,
        /// Query.
        query: Vec<u8>,
        /// Headers.
        headers: Vec<(String, Vec<u8>)>,
        /// The connection stays open.
        keep_alive: bool,
    },
    /// The body that belongs to the last head.
    Body(Bytes),
    /// The status that ends the connection.
    Bad(u16),
}

/// Reads requests as a connection does.
#[derive(Debug)]
pub struct RequestReader {
    /// Most bytes of a head.
    pub max_head: usize,
    /// Most bytes of a body.
    pub max_body: u64,
    buffer: BytesMut,
    parts: Vec<RequestPart>,
    state: ReaderState,
}

#[derive(Debug)]
enum ReaderState {
    Head,
    Length(usize),
    Chunked(ChunkedReader, Vec<u8>),
    Closed,
}

impl RequestReader {
    /// A reader with these limits.
    #[must_use]
    pub fn new(max_head: usize, max_body: u64) -> Self {
        Self {
            max_head,
            max_body,
            buffer: BytesMut::new(),
            parts: Vec::new(),
            state: ReaderState::Head,
        }
    }

    /// Returns all parts, and the number of bytes that are not parsed.
    #[must_use]
    pub fn finish(self) -> (Vec<RequestPart>, usize) {
        (self.parts, self.buffer.len())
    }

    /// Bytes held of an incomplete head or body.
    #[must_use]
    pub fn held(&self) -> usize {
        let body = if let ReaderState::Chunked(_, body) = &self.state {
            body.len()
        } else {
            0
        };
        self.buffer.len() + body
    }

    /// Parses the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let (part, next) = match &mut self.state {
            ReaderState::Closed => {
                self.buffer.clear();
                return false;
            }
            ReaderState::Head if self.buffer.is_empty() => return false,
            ReaderState::Head => return self.head(),
            ReaderState::Length(length) if self.buffer.len() < *length => return false,
            ReaderState::Length(length) => (
                RequestPart::Body(self.buffer.split_to(*length).freeze()),
                ReaderState::Head,
            ),
            ReaderState::Chunked(reader, body) => {
                match reader.read(&self.buffer, body, self.max_body) {
                    Ok(taken) => {
                        self.buffer.advance(taken);
                        if !reader.is_done() {
                            return false;
                        }
                        (
                            RequestPart::Body(Bytes::from(std::mem::take(body))),
                            ReaderState::Head,
                        )
                    }
                    Err(ChunkError::Malformed) => (RequestPart::Bad(400), ReaderState::Closed),
                    Err(ChunkError::TooLarge) => (RequestPart::Bad(413), ReaderState::Closed),
                }
            }
        };
        self.parts.push(part);
        self.state = next;
        true
    }

    fn head(&mut self) -> bool {
        let parsed = head::parse(
            &self.buffer,
            self.max_head,
            &Endpoints::default(),
            |request, _| RequestPart::Head {
                method: request.method.to_owned(),
                target: request.target.to_vec(),
                path: request.path.to_vec(),
                query: request.query.to_vec(),
                headers: request
                    .headers
                    .iter()
                    .map(|header| (header.name.to_owned(), header.value.to_vec()))
                    .collect(),
                keep_alive: request.keep_alive,
            },
        );
        match parsed {
            ParsedHead::Incomplete => return false,
            ParsedHead::Bad(response) => {
                self.parts.push(RequestPart::Bad(response.head.status.0));
                self.state = ReaderState::Closed;
            }
            ParsedHead::Complete(taken, length, part) => {
                assert!(
                    taken <= self.buffer.len() && taken <= self.max_head,
                    "a head ends where it was read"
                );
                self.buffer.advance(taken);
                self.parts.push(part);
                self.state = match length {
                    BodyLength::None => ReaderState::Head,
                    BodyLength::Bytes(length) if length > self.max_body => {
                        self.parts.push(RequestPart::Bad(413));
                        ReaderState::Closed
                    }
                    BodyLength::Bytes(length) => ReaderState::Length(length as usize),
                    BodyLength::Chunked => {
                        ReaderState::Chunked(ChunkedReader::default(), Vec::new())
                    }
                };
            }
        }
        true
    }
}

/// A parsed head without its variable parts.
struct FixedHead<T> {
    head_bytes: usize,
    length: BodyLength,
    /// The variable parts.
    variable: T,
    /// Rendering of all other parts.
    rest: String,
}

/// Parses a head, and renders it without the values of `omitted` headers and without the part of
/// the query that `cut` returns.
fn parse_fixed<T>(
    buffer: &[u8],
    omitted: &[&str],
    cut: impl Fn(&Request<'_>) -> (Range<usize>, T),
) -> Option<FixedHead<T>> {
    let parsed = head::parse(buffer, usize::MAX, &Endpoints::default(), |request, _| {
        let (range, variable) = cut(request);
        let query = (&request.query[..range.start], &request.query[range.end..]);
        let is_fixed = |name: &str| !omitted.iter().any(|other| name.eq_ignore_ascii_case(other));
        let headers: Vec<_> = request
            .headers
            .iter()
            .map(|header| (header.name, header.value))
            .filter(|(name, _)| is_fixed(name))
            .collect();
        let rest = format!(
            "{:?} {:?} {query:?} {} {} {headers:?}",
            request.method, request.path, request.minor_version, request.keep_alive
        );
        (variable, rest)
    });
    match parsed {
        ParsedHead::Complete(head_bytes, length, (variable, rest)) => Some(FixedHead {
            head_bytes,
            length,
            variable,
            rest,
        }),
        ParsedHead::Incomplete | ParsedHead::Bad(_) => None,
    }
}

/// Cuts the argument of the channel out of the query.
fn cut_channel(request: &Request<'_>) -> (Range<usize>, Vec<u8>) {
    let id = request.argument(b"id").unwrap_or_default();
    let at = id.as_ptr() as usize - request.query.as_ptr() as usize;
    (at..at + id.len(), id.to_vec())
}

/// Cuts nothing out of the query; the variable parts are the headers of the cursor.
fn cut_cursor(request: &Request<'_>) -> (Range<usize>, [Vec<u8>; 2]) {
    let headers = CURSOR_HEADERS.map(|name| request.header(name).unwrap_or_default().to_vec());
    (0..0, headers)
}

/// Returns whether `second` is replayed after `first`, as requests of a publisher.
///
/// # Panics
/// If it is replayed, but differs from `first` in more than channel and message.
#[must_use]
pub fn is_repetition(first: &[u8], second: &[u8]) -> bool {
    let template = replay::template_of(first, |request, length| {
        if matches!(length, BodyLength::Bytes(_)) {
            replay::find_publish_holes(first, request, b"id")
        } else {
            None
        }
    });
    let Some(template) = template else {
        return false;
    };
    let Some(replayed) = replay::match_publish(&template, second) else {
        return false;
    };
    let omitted = &["content-length"];
    let before = parse_fixed(first, omitted, cut_channel).expect("the first head is valid");
    let parsed = parse_fixed(second, omitted, cut_channel).expect("a replayed head is valid");
    assert_eq!(
        (
            replayed.head_bytes,
            BodyLength::Bytes(replayed.text.len() as u64)
        ),
        (parsed.head_bytes, parsed.length)
    );
    assert_eq!(
        (replayed.id, before.rest),
        (&parsed.variable[..], parsed.rest)
    );
    let channels = channels_path::parse(replayed.id);
    assert!(
        channels.len() == 1 && channels[0].id == replayed.id && channels[0].backtrack.is_none(),
        "{channels:?}"
    );
    true
}

/// Returns whether `second` is replayed after `first`, as long polls.
///
/// # Panics
/// If it is replayed, but differs from `first` in more than the cursor.
#[must_use]
pub fn is_same_poll(first: &[u8], second: &[u8]) -> bool {
    let template = replay::template_of(first, |request, length| {
        if length == BodyLength::None {
            replay::find_poll_holes(first, request, &CursorPlace::Headers)
        } else {
            None
        }
    });
    let Some(template) = template else {
        return false;
    };
    let Some(PollMatch { date, tag, rest }) =
        replay::match_poll(&template, &CursorPlace::Headers, second)
    else {
        return false;
    };
    let before = parse_fixed(first, &CURSOR_HEADERS, cut_cursor).expect("the first head is valid");
    let parsed =
        parse_fixed(second, &CURSOR_HEADERS, cut_cursor).expect("a replayed head is valid");
    assert_eq!(
        (parsed.head_bytes, parsed.length),
        (second.len() - rest.len(), BodyLength::None)
    );
    assert_eq!(
        ([date.to_vec(), tag.to_vec()], before.rest),
        (parsed.variable, parsed.rest)
    );
    true
}
