//! Long-polling and polling: one request and one response, which is read whole.
//!
//! | status | meaning |
//! |---|---|
//! | 200 | messages, one JSON object per line, or concatenated |
//! | 304 | no message until the server's time-out, or no stored one (polling) |
//! | 408, 410 | nchan: the same; channel deleted. Handled by [`crate::client::subscription`] |

use reqwest::{Response, StatusCode, Url};

use super::{http, page};
use crate::client::dialect::{MessageId, Multipart};
use crate::client::error::Error;
use crate::client::message::Gap;
use crate::client::message::Message;
use crate::client::parse::Splitter;
use crate::client::url::shown;
use crate::protocol::MISSED;

/// A poll response, read whole.
pub struct PollResponse {
    /// The complete messages.
    pub messages: Vec<Message>,
    /// The header that is sent back as `If-Modified-Since`.
    pub last_modified: Option<String>,
    /// The header that is sent back as `If-None-Match`.
    pub etag: Option<String>,
    /// True if the body ended within a message, so that the position in the headers is too new.
    pub is_cut: bool,
    /// Messages that the server reports as lost.
    pub gap: Option<Gap>,
}

impl PollResponse {
    /// Reads a response of at most `limit` bytes. With `unframed` channels it is a response of NHPM
    /// or nchan, whose body is the message.
    pub(crate) async fn read(
        response: Response,
        url: &Url,
        unframed: Option<&[String]>,
        limit: usize,
    ) -> Result<Self, Error> {
        let head = PollHead::new(&response);
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(head.with_messages(Vec::new(), false));
        }
        let is_framed = http::is_framed(&response);
        let body = http::body_up_to(limit, response, url, None).await?;
        head.reject_page(url, unframed.is_some(), &body)?;
        if let Some(channels) = unframed {
            let messages = head.unframed_messages(url, channels, &body)?;
            return Ok(head.with_messages(messages, false));
        }
        let mut splitter = Splitter::default();
        let mut messages = splitter.push(&body);
        let rest = splitter.finish(is_framed);
        messages.extend(rest.messages);
        Ok(head.with_messages(messages, rest.is_cut))
    }
}

/// The relevant headers of a poll response.
struct PollHead {
    last_modified: Option<String>,
    etag: Option<String>,
    content_type: Option<String>,
    gap: Option<Gap>,
}

impl PollHead {
    fn new(response: &Response) -> Self {
        let header = |name| http::header(response, name).map(str::to_owned);
        Self {
            last_modified: header("Last-Modified"),
            etag: header("Etag"),
            content_type: header("Content-Type"),
            gap: http::header(response, MISSED).and_then(Gap::from_header),
        }
    }

    fn with_messages(self, messages: Vec<Message>, is_cut: bool) -> PollResponse {
        PollResponse {
            messages,
            last_modified: self.last_modified,
            etag: self.etag,
            is_cut,
            gap: self.gap,
        }
    }

    /// Rejects an HTML page. A message of nchan has the content type of its publisher, so there
    /// only a whole document counts as a page.
    fn reject_page(&self, url: &Url, is_unframed: bool, body: &[u8]) -> Result<(), Error> {
        let is_html = self.content_type.as_deref().is_some_and(page::is_html);
        let is_page = if is_unframed {
            page::is_document(body)
        } else {
            page::classify_beginning(body, true) == page::Beginning::Page
        };
        if is_html && is_page {
            return Err(page::error(url, "--sub-path"));
        }
        Ok(())
    }

    /// The message id in the headers: `Last-Modified` with `Etag`, or the whole id in `Etag`.
    fn message_id(&self) -> Option<MessageId> {
        let etag = self.etag.as_deref()?;
        self.last_modified
            .as_deref()
            .and_then(|time| MessageId::of_headers(time, etag))
            .or_else(|| MessageId::parse(etag))
    }

    /// Reads the body of NHPM and nchan: one message, or several as `multipart/mixed`.
    fn unframed_messages(
        &self,
        url: &Url,
        channels: &[String],
        body: &[u8],
    ) -> Result<Vec<Message>, Error> {
        if self.last_modified.is_none() && self.etag.is_none() {
            // Without a position the next request would get the same response.
            let reason =
                "it has neither Last-Modified nor Etag (is another service running there? \
                          see --url, --dialect and --sub-path)"
                    .to_owned();
            return Err(Error::Protocol {
                url: shown(url),
                reason,
            });
        }
        let id = self.message_id();
        let message = |text: &[u8]| {
            id.as_ref()
                .map_or_else(|| Message::raw(text), |id| id.message(text, channels))
        };
        let Some(mut multipart) = self.content_type.as_deref().and_then(Multipart::new) else {
            return Ok(vec![message(body)]);
        };
        // The headers are those of the last message.
        let parts = multipart.push(body);
        let last = parts.len().saturating_sub(1);
        let only_channel = (channels.len() == 1).then(|| channels[0].clone());
        let messages = parts.iter().enumerate().map(|(at, (_, text))| {
            if at == last {
                message(text)
            } else {
                Message {
                    channel: only_channel.clone(),
                    ..Message::raw(text)
                }
            }
        });
        Ok(messages.collect())
    }
}
