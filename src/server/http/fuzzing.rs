//! The reading half of a connection without its socket, and the short cuts for requests that are
//! repeated, for the targets in `fuzz/`. Part of their builds, and of what the lints see.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::body::{ChunkError, ChunkedReader};
use super::head::{self, BodyLength, Parsed};
use super::{polled, repeated, shape};
use crate::server::dialect::push_stream::channels_path;
use crate::server::request::{Endpoints, Request};
use crate::server::subscriber::CURSOR_HEADERS;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A request's head.
    Head {
        /// Method.
        method: String,
        /// Target as it came.
        target: Vec<u8>,
        /// Decoded and normalised path.
        path: Vec<u8>,
        /// Query.
        query: Vec<u8>,
        /// Headers.
        headers: Vec<(String, Vec<u8>)>,
        /// The connection may go on.
        keep_alive: bool,
    },
    /// The body that belongs to the last head.
    Body(Bytes),
    /// The status that ends the connection.
    Bad(u16),
}

/// Reads requests as a connection does.
#[derive(Debug)]
pub struct Reader {
    /// Most bytes of a head.
    pub max_head: usize,
    /// Most bytes of a body.
    pub max_body: u64,
    buffer: BytesMut,
    pieces: Vec<Piece>,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    Length(usize),
    Chunked(ChunkedReader, Vec<u8>),
    Over,
}

impl Reader {
    /// A reader with these limits.
    #[must_use]
    pub fn new(max_head: usize, max_body: u64) -> Self {
        Self {
            max_head,
            max_body,
            buffer: BytesMut::new(),
            pieces: Vec::new(),
            state: State::Head,
        }
    }

    /// Everything so far, and the bytes that wait for more.
    #[must_use]
    pub fn finish(self) -> (Vec<Piece>, usize) {
        (self.pieces, self.buffer.len())
    }

    /// Bytes that are held: of an incomplete head or body.
    #[must_use]
    pub fn held(&self) -> usize {
        let body = if let State::Chunked(_, body) = &self.state {
            body.len()
        } else {
            0
        };
        self.buffer.len() + body
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let (piece, next) = match &mut self.state {
            State::Over => {
                self.buffer.clear();
                return false;
            }
            State::Head if self.buffer.is_empty() => return false,
            State::Head => return self.head(),
            State::Length(length) if self.buffer.len() < *length => return false,
            State::Length(length) => (
                Piece::Body(self.buffer.split_to(*length).freeze()),
                State::Head,
            ),
            State::Chunked(reader, body) => match reader.read(&self.buffer, body, self.max_body) {
                Ok(taken) => {
                    self.buffer.advance(taken);
                    if !reader.is_done() {
                        return false;
                    }
                    (Piece::Body(Bytes::from(std::mem::take(body))), State::Head)
                }
                Err(ChunkError::Malformed) => (Piece::Bad(400), State::Over),
                Err(ChunkError::TooLarge) => (Piece::Bad(413), State::Over),
            },
        };
        self.pieces.push(piece);
        self.state = next;
        true
    }

    fn head(&mut self) -> bool {
        let parsed = head::parse(
            &self.buffer,
            self.max_head,
            &Endpoints::default(),
            |request, _| Piece::Head {
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
            Parsed::Incomplete => return false,
            Parsed::Bad(response) => {
                self.pieces.push(Piece::Bad(response.status.0));
                self.state = State::Over;
            }
            Parsed::Complete(taken, length, piece) => {
                assert!(
                    taken <= self.buffer.len() && taken <= self.max_head,
                    "a head ends where it was read"
                );
                self.buffer.advance(taken);
                self.pieces.push(piece);
                self.state = match length {
                    BodyLength::None => State::Head,
                    BodyLength::Bytes(length) if length > self.max_body => {
                        self.pieces.push(Piece::Bad(413));
                        State::Over
                    }
                    BodyLength::Bytes(length) => State::Length(length as usize),
                    BodyLength::Chunked => State::Chunked(ChunkedReader::default(), Vec::new()),
                };
            }
        }
        true
    }
}

/// What a head says but for the values of some headers, which are given, and for what is cut out of
/// its query.
fn rest_of_head<T>(
    buffer: &[u8],
    left_out: &[&str],
    cut: impl Fn(&Request<'_>) -> (Range<usize>, T),
) -> Option<(usize, BodyLength, T, String)> {
    let parsed = head::parse(buffer, usize::MAX, &Endpoints::default(), |request, _| {
        let (place, made) = cut(request);
        let query = (&request.query[..place.start], &request.query[place.end..]);
        let is_told = |name: &str| {
            !left_out
                .iter()
                .any(|other| name.eq_ignore_ascii_case(other))
        };
        let headers: Vec<_> = request
            .headers
            .iter()
            .map(|header| (header.name, header.value))
            .filter(|(name, _)| is_told(name))
            .collect();
        let rest = format!(
            "{:?} {:?} {query:?} {} {} {headers:?}",
            request.method, request.path, request.minor_version, request.keep_alive
        );
        (made, rest)
    });
    match parsed {
        Parsed::Complete(taken, length, (made, rest)) => Some((taken, length, made, rest)),
        Parsed::Incomplete | Parsed::Bad(_) => None,
    }
}

/// The channel's argument, and where it is in the query.
fn channel(request: &Request<'_>) -> (Range<usize>, Vec<u8>) {
    let id = request.argument(b"id").unwrap_or_default();
    let at = id.as_ptr() as usize - request.query.as_ptr() as usize;
    (at..at + id.len(), id.to_vec())
}

/// Nothing of the query, and the headers of the cursor.
fn cursor(request: &Request<'_>) -> (Range<usize>, [Vec<u8>; 2]) {
    (
        0..0,
        CURSOR_HEADERS.map(|name| request.header(name).unwrap_or_default().to_vec()),
    )
}

/// Whether `second` is taken for a repetition of `first`.
///
/// # Panics
/// If it is, and means something else than that in more than its channel and its message.
#[must_use]
pub fn is_repetition(first: &[u8], second: &[u8]) -> bool {
    let places = |request: &Request<'_>, length| {
        let is_sized = matches!(length, BodyLength::Bytes(_));
        if is_sized {
            repeated::places(first, request, b"id")
        } else {
            None
        }
    };
    let Some(shape) = shape::of_head(first, places) else {
        return false;
    };
    let Some(alike) = repeated::find(&shape, second) else {
        return false;
    };
    let (_, _, _, rest) =
        rest_of_head(first, &["content-length"], channel).expect("it was understood before");
    let (taken, length, id, second_rest) =
        rest_of_head(second, &["content-length"], channel).expect("a repetition is understood");
    assert_eq!(
        (alike.taken, BodyLength::Bytes(alike.text.len() as u64)),
        (taken, length)
    );
    assert_eq!((alike.id, rest), (&id[..], second_rest));
    let channels = channels_path::parse(alike.id);
    assert!(
        channels.len() == 1 && channels[0].id == alike.id && channels[0].backtrack.is_none(),
        "{channels:?}"
    );
    true
}

/// Whether `second` is taken for a poll like `first`.
///
/// # Panics
/// If it is, and means something else than that in more than its cursor.
#[must_use]
pub fn is_same_poll(first: &[u8], second: &[u8]) -> bool {
    let places = |request: &Request<'_>, length| {
        if length == BodyLength::None {
            polled::places(first, request)
        } else {
            None
        }
    };
    let Some(shape) = shape::of_head(first, places) else {
        return false;
    };
    let Some((alike, behind)) = polled::find(&shape, second) else {
        return false;
    };
    let (_, _, _, rest) =
        rest_of_head(first, &CURSOR_HEADERS, cursor).expect("it was understood before");
    let (taken, length, found, second_rest) =
        rest_of_head(second, &CURSOR_HEADERS, cursor).expect("a poll is understood");
    assert_eq!(
        (taken, length),
        (second.len() - behind.len(), BodyLength::None)
    );
    assert_eq!((alike.map(<[u8]>::to_vec), rest), (found, second_rest));
    true
}
