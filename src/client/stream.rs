//! Streaming: one endless response whose body is cut into messages.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::{Response, Url};

use super::dialect::{MessageId, Multipart};
use super::error::shown;
use super::parse::Splitter;
use super::{Error, Message, http};

/// The bytes of a response.
pub(super) type Body = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// An open streaming response.
pub struct Connection {
    body: Body,
    cutter: Cutter,
    is_framed: bool,
    url: Url,
    channels: Vec<String>,
    /// Most bytes of a message.
    limit: usize,
}

/// How messages are told apart.
enum Cutter {
    /// Objects, or lines.
    Template(Splitter),
    /// The parts of nchan.
    Parts(Multipart),
    /// nchan's chunks: what comes in one piece.
    Chunks,
    /// nchan's raw stream: lines.
    Lines(Vec<u8>),
}

impl Cutter {
    fn new(response: &Response, is_bare: bool) -> Self {
        let parts = http::header(response, "Content-Type").and_then(Multipart::new);
        match parts {
            Some(parts) if is_bare => Self::Parts(parts),
            _ if !is_bare => Self::Template(Splitter::default()),
            _ if response.headers().contains_key("transfer-encoding") => Self::Chunks,
            _ => Self::Lines(Vec::new()),
        }
    }

    fn push(&mut self, bytes: &[u8], channels: &[String]) -> Vec<Message> {
        match self {
            Self::Template(splitter) => splitter.push(bytes),
            Self::Parts(parts) => {
                let message =
                    |(id, text): (Option<MessageId>, Vec<u8>)| id.map_or_else(|| Message::raw(&text), |id| id.message(&text, channels));
                parts.push(bytes).into_iter().map(message).collect()
            }
            Self::Chunks => vec![Message::raw(bytes)],
            Self::Lines(held) => {
                held.extend_from_slice(bytes);
                let end = memchr::memrchr(b'\n', held).map_or(0, |at| at + 1);
                let whole: Vec<u8> = held.drain(..end).collect();
                whole.split_inclusive(|byte| *byte == b'\n').map(|line| Message::raw(&line[..line.len() - 1])).collect()
            }
        }
    }

    /// Bytes that wait for their end.
    fn pending(&self) -> usize {
        match self {
            Self::Parts(parts) => parts.pending(),
            Self::Lines(held) => held.len(),
            Self::Template(splitter) => splitter.pending(),
            Self::Chunks => 0,
        }
    }
}

impl Connection {
    pub(super) fn new(response: Response, url: Url, channels: Vec<String>, is_bare: bool, limit: usize) -> Self {
        let is_framed = http::is_framed(&response);
        Self { is_framed, cutter: Cutter::new(&response, is_bare), body: Box::pin(response.bytes_stream()), url, channels, limit }
    }

    /// The next messages; `None` when the server ended the response.
    ///
    /// # Errors
    /// [`Error::Broken`] when the connection ended without an end of the response.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Message>>, Error> {
        let messages = match self.body.next().await {
            Some(Ok(bytes)) => {
                let messages = self.cutter.push(&bytes, &self.channels);
                if self.cutter.pending() > self.limit || messages.iter().any(|message| message.text.len() > self.limit) {
                    return Err(Error::TooLarge { url: shown(&self.url), limit: self.limit });
                }
                return Ok(Some(messages));
            }
            // What was complete stays valid; the rest comes again after the reconnect.
            Some(Err(error)) => return Err(Error::from_http(&error, &self.url, None)),
            // Without framing a broken connection looks like an end: what was under way comes again, too.
            None => match &mut self.cutter {
                Cutter::Template(splitter) => splitter.finish(self.is_framed).messages,
                Cutter::Parts(_) | Cutter::Chunks | Cutter::Lines(_) => Vec::new(),
            },
        };
        Ok((!messages.is_empty()).then_some(messages))
    }
}
