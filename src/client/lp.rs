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
    /// Its messages.
    pub messages: Vec<Message>,
    /// The header that goes back as `If-Modified-Since`.
    pub last_modified: Option<String>,
    /// The header that goes back as `If-None-Match`.
    pub etag: Option<String>,
}

impl Answer {
    pub(super) async fn read(response: Response, url: &Url) -> Result<Self, Error> {
        let own = |name| http::header(&response, name).map(str::to_owned);
        let (last_modified, etag) = (own("Last-Modified"), own("Etag"));
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Self { messages: Vec::new(), last_modified, etag });
        }
        let body = http::body(response, url, None).await?;
        let mut splitter = Splitter::default();
        let mut messages = splitter.push(&body);
        messages.extend(splitter.finish());
        Ok(Self { messages, last_modified, etag })
    }
}
