//! Streaming: one endless response whose body is cut into messages.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::{Response, Url};

use super::parse::Splitter;
use super::{Error, Message, http};

/// The bytes of a response.
pub(super) type Body = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// An open streaming response.
pub struct Connection {
    body: Body,
    splitter: Splitter,
    is_framed: bool,
    url: Url,
}

impl Connection {
    pub(super) fn new(response: Response, url: Url) -> Self {
        let is_framed = http::is_framed(&response);
        Self { is_framed, body: Box::pin(response.bytes_stream()), splitter: Splitter::default(), url }
    }

    /// The next messages; `None` when the server ended the response.
    ///
    /// # Errors
    /// [`Error::Broken`] when the connection ended without an end of the response.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Message>>, Error> {
        let messages = match self.body.next().await {
            Some(Ok(bytes)) => return Ok(Some(self.splitter.push(&bytes))),
            // What was complete stays valid; the rest comes again after the reconnect.
            Some(Err(error)) => return Err(Error::from_http(&error, &self.url, None)),
            // Without framing a broken connection looks like an end: what was under way comes again, too.
            None => self.splitter.finish(self.is_framed).messages,
        };
        Ok((!messages.is_empty()).then_some(messages))
    }
}
