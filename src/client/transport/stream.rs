//! Streaming: one endless response, whose body is split into messages.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::{Response, Url};

use super::{http, page};
use crate::client::dialect::{MessageId, Multipart};
use crate::client::error::Error;
use crate::client::message::Message;
use crate::client::parse::Splitter;
use crate::client::url::shown;

/// The bytes of a response.
pub(super) type Body = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// An open streaming response.
pub struct StreamConnection {
    body: Body,
    cutter: Cutter,
    is_framed: bool,
    url: Url,
    channels: Vec<String>,
    /// Maximum size in bytes of a message.
    limit: usize,
    /// The first bytes, while they may be the start of an HTML page.
    opening: Option<Opening>,
}

/// The first bytes of a response whose messages have no recognisable format.
#[derive(Debug)]
struct Opening {
    is_html: bool,
    is_event_stream: bool,
    held: Vec<u8>,
}

/// Content types of files, which no location uses for its messages.
const MEDIA: [&str; 8] = [
    "image/",
    "video/",
    "audio/",
    "font/",
    "text/css",
    "application/pdf",
    "application/zip",
    "application/gzip",
];
/// Start of the lines of an event stream.
const EVENT_FIELDS: [&str; 5] = [":", "data:", "id:", "event:", "retry:"];

/// How messages are separated.
enum Cutter {
    /// JSON objects, or lines.
    Template(Splitter),
    /// The parts of nchan's multipart response.
    Parts(Multipart),
    /// nchan's chunked stream: each read is a message.
    Chunks,
    /// nchan's raw stream: lines.
    Lines(Vec<u8>),
}

impl Cutter {
    fn new(response: &Response, is_unframed: bool) -> Self {
        let parts = http::header(response, "Content-Type").and_then(Multipart::new);
        match parts {
            Some(parts) if is_unframed => Self::Parts(parts),
            _ if !is_unframed => Self::Template(Splitter::default()),
            _ if response.headers().contains_key("transfer-encoding") => Self::Chunks,
            _ => Self::Lines(Vec::new()),
        }
    }

    fn push(&mut self, bytes: &[u8], channels: &[String]) -> Vec<Message> {
        match self {
            Self::Template(splitter) => splitter.push(bytes),
            Self::Parts(parts) => {
                let message = |(id, text): (Option<MessageId>, Vec<u8>)| {
                    id.map_or_else(|| Message::raw(&text), |id| id.message(&text, channels))
                };
                parts.push(bytes).into_iter().map(message).collect()
            }
            Self::Chunks => vec![Message::raw(bytes)],
            Self::Lines(held) => {
                held.extend_from_slice(bytes);
                let end = memchr::memrchr(b'\n', held).map_or(0, |at| at + 1);
                let whole: Vec<u8> = held.drain(..end).collect();
                whole
                    .split_inclusive(|byte| *byte == b'\n')
                    .map(|line| Message::raw(&line[..line.len() - 1]))
                    .collect()
            }
        }
    }

    /// Number of buffered bytes of an incomplete message.
    fn pending(&self) -> usize {
        match self {
            Self::Parts(parts) => parts.pending(),
            Self::Lines(held) => held.len(),
            Self::Template(splitter) => splitter.pending(),
            Self::Chunks => 0,
        }
    }
}

impl StreamConnection {
    /// # Errors
    /// Returns [`Error::Protocol`] if the head shows that this is not a message stream.
    pub(crate) fn new(
        response: Response,
        url: Url,
        channels: Vec<String>,
        is_unframed: bool,
        limit: usize,
    ) -> Result<Self, Error> {
        let is_framed = http::is_framed(&response);
        let kind = http::header(&response, "Content-Type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        if !is_unframed && MEDIA.iter().any(|media| kind.starts_with(media)) {
            let reason = format!(
                "it is not a message stream but {kind} (is another service running there? see \
                 --mode and \
                 --sub-path)"
            );
            return Err(Error::Protocol {
                url: shown(&url),
                reason,
            });
        }
        let (is_html, is_event_stream) =
            (page::is_html(&kind), kind.starts_with("text/event-stream"));
        let opening = (!is_unframed).then(|| Opening {
            is_html,
            is_event_stream,
            held: Vec::new(),
        });
        let cutter = Cutter::new(&response, is_unframed);
        Ok(Self {
            is_framed,
            cutter,
            body: Box::pin(response.bytes_stream()),
            url,
            channels,
            limit,
            opening,
        })
    }

    /// Rejects an HTML page; returns `None` while the bytes may still become one.
    fn check_opening(&mut self, bytes: Bytes) -> Result<Option<Bytes>, Error> {
        let Some(opening) = &mut self.opening else {
            return Ok(Some(bytes));
        };
        opening.held.extend_from_slice(&bytes);
        let is_field = |field: &&str| opening.held.starts_with(field.as_bytes());
        if opening.is_event_stream && EVENT_FIELDS.iter().any(is_field) {
            let reason = "it is an event stream (use --mode ev)".to_owned();
            return Err(Error::Protocol {
                url: shown(&self.url),
                reason,
            });
        }
        match page::classify_beginning(&opening.held, opening.is_html) {
            page::Beginning::Page => Err(page::no_messages(&self.url)),
            page::Beginning::Unclear => Ok(None),
            page::Beginning::Other => Ok(self.opening.take().map(|opening| opening.held.into())),
        }
    }

    /// Returns the next messages; `None` if the server ended the response.
    ///
    /// # Errors
    /// [`Error::Broken`] if the connection ended before the end of the response.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Message>>, Error> {
        let messages = match self.body.next().await {
            Some(Ok(bytes)) => {
                let Some(bytes) = self.check_opening(bytes)? else {
                    return Ok(Some(Vec::new()));
                };
                let messages = self.cutter.push(&bytes, &self.channels);
                if self.cutter.pending() > self.limit
                    || messages
                        .iter()
                        .any(|message| message.text.len() > self.limit)
                {
                    return Err(Error::TooLarge {
                        url: shown(&self.url),
                        limit: self.limit,
                    });
                }
                return Ok(Some(messages));
            }
            // Complete messages were returned; the rest is sent again after the reconnect.
            Some(Err(error)) => return Err(Error::from_http(&error, &self.url, None)),
            // Without framing a broken connection looks like an end; an incomplete message is sent
            // again.
            None => match &mut self.cutter {
                Cutter::Template(splitter) => {
                    let held = self
                        .opening
                        .take()
                        .map(|opening| opening.held)
                        .unwrap_or_default();
                    let mut messages = splitter.push(&held);
                    messages.extend(splitter.finish(self.is_framed).messages);
                    messages
                }
                Cutter::Parts(_) | Cutter::Chunks | Cutter::Lines(_) => Vec::new(),
            },
        };
        Ok((!messages.is_empty()).then_some(messages))
    }
}
