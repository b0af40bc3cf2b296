//! Long-polling and polling: one request, one answer, read whole.
//!
//! | status | meaning |
//! |---|---|
//! | 200 | messages, one JSON object per line or one right after the other |
//! | 304 | nothing new until the server's time-out, or nothing there (polling) |

use reqwest::{Response, StatusCode, Url};

use super::parse::Splitter;
use super::{Error, Message, http};

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
}

impl Answer {
    pub(super) async fn read(response: Response, url: &Url) -> Result<Self, Error> {
        let own = |name| http::header(&response, name).map(str::to_owned);
        let (last_modified, etag) = (own("Last-Modified"), own("Etag"));
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Self { messages: Vec::new(), last_modified, etag, is_cut: false });
        }
        let is_framed = http::is_framed(&response);
        let body = http::body(response, url, None).await?;
        let mut splitter = Splitter::default();
        let mut messages = splitter.push(&body);
        let rest = splitter.finish(is_framed);
        messages.extend(rest.messages);
        Ok(Self { messages, last_modified, etag, is_cut: rest.is_cut })
    }
}
