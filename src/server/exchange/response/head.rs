//! The head of a response.

use bytes::Bytes;

use super::{HeaderList, HttpDate, Status};

/// What a response has before its body, whatever version of HTTP sends it.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: Status,
    /// The reason phrase is that of RFC 9110, also where nginx has another one.
    pub has_standard_reason: bool,
    /// The connection is closed after the response.
    pub close: bool,
    /// `Last-Modified`
    pub last_modified: Option<HttpDate>,
    /// `Content-Type`; an empty one (`default_type ""`) is not sent, as by nginx.
    pub content_type: Option<Bytes>,
    /// Additional headers.
    pub headers: HeaderList,
}

impl ResponseHead {
    /// Creates a head without `Content-Type`.
    #[must_use]
    pub fn new(status: Status, headers: impl Into<HeaderList>) -> Self {
        Self {
            status,
            has_standard_reason: false,
            close: false,
            last_modified: None,
            content_type: None,
            headers: headers.into(),
        }
    }
}
