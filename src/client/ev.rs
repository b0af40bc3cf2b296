//! EventSource: the client's HTTP stack sends the request, `eventsource-client` parses the events.
//!
//! The transport of `eventsource-client` returns the response that is already open, so TLS,
//! proxies, statuses and position headers are the same as in the other modes. Its reconnect logic
//! is disabled, because a position is more than a last event id.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use eventsource_client::{BoxStream, Client as _, ClientBuilder, ReconnectOptions, SSE};
use futures_util::{Stream, StreamExt as _};
use launchdarkly_sdk_transport::{
    ByteStream, HttpTransport, Request, ResponseFuture, TransportError,
};
use parking_lot::Mutex;
use reqwest::{Response, Url};

use super::activity::Activity;
use super::cr_escape;
use super::dialect::MessageId;
use super::error::shown;
use super::stream::Body;
use super::{Error, Message, http, parse};
use crate::message::Position;

/// 2001-09-09: an event id with a smaller number is not a time.
const FIRST_TIME: u64 = 1_000_000_000;

/// An open event stream.
pub struct EventSourceConnection {
    events: BoxStream<eventsource_client::Result<SSE>>,
    url: Url,
    /// Id of the last event. An event without an id inherits it, so only a different id belongs to
    /// the event.
    last_id: Option<String>,
    channels: Vec<String>,
    /// The server speaks nchan: the data is the message, the id is the message id.
    is_unframed: bool,
    /// The response head does not identify the protocol family.
    is_unknown: bool,
    line_ends: Arc<OnceLock<LineEnds>>,
    activity: Activity,
    /// Maximum size in bytes of an event.
    limit: usize,
}

impl EventSourceConnection {
    pub(super) fn new(
        response: Response,
        url: Url,
        channels: Vec<String>,
        is_unframed: bool,
        limit: usize,
    ) -> Result<Self, Error> {
        let is_unknown = !is_unframed && !response.headers().contains_key("expires");
        let kind = http::header(&response, "Content-Type")
            .unwrap_or("text/event-stream")
            .to_ascii_lowercase();
        if !kind.starts_with("text/event-stream") {
            return Err(Error::Protocol {
                url: shown(&url),
                reason: format!(
                    "it is not an event stream but {kind} (is another service running there? see \
                     --url, --mode \
                     and --sub-path)"
                ),
            });
        }
        let refuse = |error: eventsource_client::Error| Error::Protocol {
            url: shown(&url),
            reason: error.to_string(),
        };
        let line_ends = Arc::new(OnceLock::new());
        match is_unframed {
            true => drop(line_ends.set(LineEnds::Lf)),
            false if !is_unknown => drop(line_ends.set(LineEnds::All)),
            false => {}
        }
        let activity = Activity::default();
        let response = Arc::new(Mutex::new(Some(response)));
        let opened = ResponseTransport {
            response,
            line_ends: Arc::clone(&line_ends),
            activity: activity.clone(),
            limit,
        };
        let builder = ClientBuilder::for_url(url.as_str()).map_err(refuse)?;
        let never = ReconnectOptions::reconnect(false)
            .retry_initial(false)
            .build();
        let events = builder
            .reconnect(never)
            .redirect_limit(0)
            .build_with_transport(opened)
            .stream();
        Ok(Self {
            events,
            url,
            last_id: None,
            channels,
            is_unframed,
            is_unknown,
            line_ends,
            activity,
            limit,
        })
    }

    /// True if bytes arrived since the last call, even of an incomplete event.
    pub(super) fn take_activity(&mut self) -> bool {
        self.activity.take()
    }

    /// Returns the next message, or an empty list for a comment; `None` if the server ended the
    /// stream.
    ///
    /// # Errors
    /// [`Error::Broken`] if the connection broke, [`Error::Protocol`] if the body is not an event
    /// stream.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Message>>, Error> {
        let mut next = self.events.next().await;
        while matches!(next, Some(Ok(SSE::Connected(_)))) {
            // An event of the parser itself, before the first data.
            next = self.events.next().await;
        }
        if let (Some(Ok(SSE::Event(event))), Some(LineEnds::Lf)) = (&mut next, self.line_ends.get())
        {
            event.data = cr_escape::unescape(&event.data);
            event.event_type = cr_escape::unescape(&event.event_type);
            event.id = event.id.as_deref().map(cr_escape::unescape);
        }
        match next {
            Some(Ok(SSE::Event(event))) if self.detect_nchan(&event) => {
                let id = event.id.as_deref().and_then(MessageId::parse);
                // Pings are events without their own id.
                let Some(id) = id.filter(|_| event.id != self.last_id) else {
                    return Ok(Some(Vec::new()));
                };
                self.last_id.clone_from(&event.id);
                let mut message = id.message(event.data.as_bytes(), &self.channels);
                message.event_type = Some(event.event_type).filter(|kind| kind != "message");
                Ok(Some(vec![message]))
            }
            Some(Ok(SSE::Event(event))) => {
                let mut message = parse::event(&event.data);
                if event.id != self.last_id {
                    self.last_id.clone_from(&event.id);
                    // The event ids of pushctl are positions, which are also in the message.
                    let position = message
                        .time
                        .zip(message.tag)
                        .map(|(time, tag)| Position::new(time, tag).event_id());
                    message.event_id = message.event_id.or(event
                        .id
                        .filter(|id| !id.is_empty() && position.as_ref() != Some(id)));
                }
                message.event_type = Some(event.event_type).filter(|kind| kind != "message");
                Ok(Some(vec![message]))
            }
            // Comments are the header and the pings (push-stream.md, section 11).
            Some(Ok(SSE::Comment(_) | SSE::Connected(_))) => Ok(Some(Vec::new())),
            None | Some(Err(eventsource_client::Error::Eof)) => Ok(None),
            Some(Err(error)) => Err(self.map_error(&error)),
        }
    }

    /// True if an event showed that the server speaks nchan.
    pub(super) fn is_unframed(&self) -> bool {
        self.is_unframed
    }

    fn detect_nchan(&mut self, event: &eventsource_client::Event) -> bool {
        let is_recent = |id: MessageId| id.time > FIRST_TIME;
        self.is_unframed |= self.is_unknown
            && event
                .id
                .as_deref()
                .and_then(MessageId::parse)
                .is_some_and(is_recent);
        self.is_unframed
    }

    fn map_error(&self, error: &eventsource_client::Error) -> Error {
        let url = shown(&self.url);
        match error {
            eventsource_client::Error::InvalidLine(_) | eventsource_client::Error::InvalidEvent => {
                Error::Protocol {
                    url,
                    reason: error.to_string(),
                }
            }
            eventsource_client::Error::UnexpectedEof => Error::Broken {
                url,
                reason: "it ended in the middle of an event".to_owned(),
            },
            eventsource_client::Error::Transport(cause) => {
                match cause.inner().downcast_ref::<reqwest::Error>() {
                    Some(error) => Error::from_http(error, &self.url, None),
                    None if cause.inner().is::<EventTooLarge>() => Error::TooLarge {
                        url,
                        limit: self.limit,
                    },
                    None => Error::Broken {
                        url,
                        reason: cause.inner().to_string(),
                    },
                }
            }
            other => Error::Broken {
                url,
                reason: other.to_string(),
            },
        }
    }
}

/// A transport that returns one open response, once.
#[derive(Clone)]
struct ResponseTransport {
    response: Arc<Mutex<Option<Response>>>,
    line_ends: Arc<OnceLock<LineEnds>>,
    activity: Activity,
    /// Maximum size in bytes of an event.
    limit: usize,
}

/// A line or an event exceeds the size limit.
#[derive(Debug, thiserror::Error)]
#[error("an event is too large")]
struct EventTooLarge;

impl HttpTransport for ResponseTransport {
    fn request(&self, _request: Request<Option<Bytes>>) -> ResponseFuture {
        let response = self.response.lock().take();
        Box::pin(std::future::ready(match response {
            Some(response) => {
                let activity = self.activity.clone();
                let bytes = response.bytes_stream().inspect(move |_| activity.set());
                let body =
                    AdaptedBody::new(Box::pin(bytes), Arc::clone(&self.line_ends), self.limit);
                Ok(launchdarkly_sdk_transport::Response::new(
                    Box::pin(body) as ByteStream
                ))
            }
            None => Err(TransportError::new(std::io::Error::other(
                "the response was read before",
            ))),
        }))
    }
}

/// Adapts the body to the parser. The parser fails at bytes that are not UTF-8, so these become
/// U+FFFD, and it has no limit for a line, so an overlong line ends the stream. It also fails, and
/// drops earlier events, at an event without a known field, which the standard ignores: every event
/// gets a field without effect. Where lines end in LF only, a CR is part of its line. It is
/// escaped, because the parser would end the line there, and a publisher could inject fields such
/// as ids. The mutex provides the `Sync` that the trait requires; it is never contended.
struct AdaptedBody {
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
enum LineEnds {
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
    fn new(body: Body, line_ends: Arc<OnceLock<LineEnds>>, limit: usize) -> Self {
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
