//! Long-polling and polling: one request, one answer, read whole.
//!
//! | status | meaning |
//! |---|---|
//! | 200 | messages, one JSON object per line or one right after the other |
//! | 304 | nothing new until the server's time-out, or nothing there (polling) |

use reqwest::{Response, StatusCode, Url};

use super::message::Gap;
use super::parse::Splitter;
use super::{Error, Message, http, page};
use crate::protocol::MISSED;

/// An answer that has been read.
pub struct Answer {
    /// Its whole messages.
    pub messages: Vec<Message>,
    /// The header that goes back as `If-Modified-Since`.
    pub last_modified: Option<String>,
    /// The header that goes back as `If-None-Match`.
    pub etag: Option<String>,
    /// True if the body ended within a message, so that the headers tell of more than there is.
    pub is_cut: bool,
    /// Messages that the server could not give us any more.
    pub gap: Option<Gap>,
}

impl Answer {
    pub(super) async fn read(response: Response, url: &Url) -> Result<Self, Error> {
        let own = |name| http::header(&response, name).map(str::to_owned);
        let (last_modified, etag) = (own("Last-Modified"), own("Etag"));
        let gap = http::header(&response, MISSED).and_then(Gap::from_header);
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Self { messages: Vec::new(), last_modified, etag, is_cut: false, gap });
        }
        let is_framed = http::is_framed(&response);
        let is_html = http::header(&response, "Content-Type").is_some_and(page::is_html);
        let body = http::body(response, url, None).await?;
        if is_html && page::is_document(&body) {
            return Err(page::error(url, "--sub-path"));
        }
        let mut splitter = Splitter::default();
        let mut messages = splitter.push(&body);
        let rest = splitter.finish(is_framed);
        messages.extend(rest.messages);
        Ok(Self { messages, last_modified, etag, is_cut: rest.is_cut, gap })
    }
}
