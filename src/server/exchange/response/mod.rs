//! HTTP responses as endpoints build them. [`ResponseWriter`] is how a version of HTTP writes them.

mod added_headers;
mod body;
mod framing;
mod head;
mod header_list;
mod server_name;
mod status;
mod subscription_head;
mod values;
mod writer;

use bytes::Bytes;

pub use self::added_headers::AddedHeaders;
pub use self::body::ResponseBody;
pub use self::framing::{ChunkHead, Framing};
pub use self::head::ResponseHead;
pub use self::header_list::{HeaderList, HeaderListBuilder, push_line};
pub(in crate::server) use self::header_list::{header_list, header_pairs};
pub(in crate::server) use self::server_name::server_name;
pub use self::server_name::set_version_hidden;
pub use self::status::Status;
pub use self::subscription_head::SubscriptionHead;
pub use self::values::{HttpDate, push_date, push_number};
pub use self::writer::{ResponseWriter, WrittenResponse};

/// Headers of every response of a push endpoint.
pub static NO_CACHE: HeaderList = header_list!(
    "Expires": "Thu, 01 Jan 1970 00:00:01 GMT",
    "Cache-Control": "no-cache, no-store, must-revalidate",
);

/// Typical length of a head without additional headers, in bytes.
pub const USUAL_HEAD_BYTES: usize = 256;

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The head.
    pub head: ResponseHead,
    /// The body.
    pub body: ResponseBody,
}

impl Response {
    /// Creates a response with an empty body.
    #[inline]
    #[must_use]
    pub fn header_only(status: Status, headers: impl Into<HeaderList>) -> Self {
        Self {
            head: ResponseHead::new(status, headers),
            body: ResponseBody::Sized(Bytes::new()),
        }
    }

    /// Creates a response that has neither body nor length, as 204 and 304.
    #[must_use]
    pub fn bodiless(status: Status, headers: impl Into<HeaderList>) -> Self {
        Self {
            head: ResponseHead::new(status, headers),
            body: ResponseBody::None,
        }
    }

    /// Creates a response with a body of known length.
    #[inline]
    #[must_use]
    pub fn sized(
        status: Status,
        content_type: &'static str,
        headers: impl Into<HeaderList>,
        body: Vec<u8>,
    ) -> Self {
        Self {
            head: ResponseHead {
                content_type: Some(Bytes::from_static(content_type.as_bytes())),
                ..ResponseHead::new(status, headers)
            },
            body: ResponseBody::Buffer(body),
        }
    }

    /// Creates nginx's error page for a status, with the status line as title.
    #[must_use]
    pub fn error_page(status: Status) -> Self {
        Self::titled_error_page(status, &format!("{} {}", status.0, status.reason()))
    }

    /// Creates nginx's error page for a status.
    #[must_use]
    pub fn titled_error_page(status: Status, title: &str) -> Self {
        let body = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
             <center><h1>{title}</h1></center>\r\n<hr><center>{}</center>\r\n</body>\r\n\
             </html>\r\n",
            server_name::server_name_on_pages()
        );
        Self::sized(
            status,
            "text/html",
            HeaderList::default(),
            body.into_bytes(),
        )
    }

    /// Makes this the last response of its connection.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.head.close = true;
        self
    }

    /// Estimates the memory that the response takes, in bytes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        USUAL_HEAD_BYTES
            + self.head.headers.byte_len()
            + usize::try_from(self.body.len()).unwrap_or(usize::MAX / 2)
    }

    /// Sets the content type.
    #[inline]
    #[must_use]
    pub fn with_content_type(mut self, content_type: Option<Bytes>) -> Self {
        self.head.content_type = content_type;
        self
    }

    /// Sets `Last-Modified`.
    #[inline]
    #[must_use]
    pub fn with_last_modified(mut self, last_modified: Option<HttpDate>) -> Self {
        self.head.last_modified = last_modified;
        self
    }

    /// Sets the body.
    #[inline]
    #[must_use]
    pub fn with_body(mut self, body: ResponseBody) -> Self {
        self.body = body;
        self
    }

    /// Sets the content type of an error page; other responses, such as redirections, keep theirs,
    /// as in nginx.
    #[inline]
    #[must_use]
    pub fn with_page_type(mut self, page_type: &Bytes) -> Self {
        if self.head.status.0 >= 400 && self.head.content_type.as_deref() == Some(b"text/html") {
            self.head.content_type = Some(page_type.clone());
        }
        self
    }

    /// Appends headers.
    #[inline]
    #[must_use]
    pub fn with_headers(mut self, headers: &HeaderList) -> Self {
        self.head.headers.extend(headers);
        self
    }
}

/// Properties of the request that decide how its response is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResponseContext {
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor_version: u8,
    /// The client accepts further responses on this connection.
    pub keep_alive: bool,
    /// The method is HEAD: the response has the head of a GET response and no body.
    pub is_head: bool,
}
