//! HTTP responses as endpoints build them, and their bytes on the wire: order and spelling of
//! headers are those of nginx and the module (push-stream.md, section 1).

mod framing;
mod head;
mod header_list;
mod server_name;
mod status;
mod subscription_head;
mod writer;

use bytes::Bytes;

pub use self::framing::{ChunkHead, Framing};
pub use self::head::{Head, push_date, push_line, push_number, set_version_hidden};
pub use self::header_list::HeaderList;
pub use self::status::Status;
pub use self::subscription_head::{StreamHead, SubscriptionHead};
pub use self::writer::ResponseWriter;

use self::head::shows_version;
use super::buffer_pool;

/// Headers of every response of a push endpoint.
pub const NO_CACHE: &[u8] = b"Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n\
                              Cache-Control: no-cache, no-store, must-revalidate\r\n";

/// The body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// Sent with `Content-Length`.
    Sized(Bytes),
    /// As [`ResponseBody::Sized`], in a buffer that is reused after it was sent.
    Buffer(Vec<u8>),
    /// Sent as one chunk per piece; to HTTP/1.0 clients unframed, up to the end of the connection.
    Pieces(Vec<Bytes>),
}

impl ResponseBody {
    /// Returns the length in bytes, without the framing of pieces.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            ResponseBody::Sized(body) => body.len() as u64,
            ResponseBody::Buffer(body) => body.len() as u64,
            ResponseBody::Pieces(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
        }
    }

    /// Whether the length is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets the next response of the thread use the buffer.
    pub(in crate::server) fn reuse(self) {
        if let ResponseBody::Buffer(buffer) = self {
            buffer_pool::give(buffer);
        }
    }

    /// Estimates the length with framing, to reserve memory.
    fn framed_len(&self) -> usize {
        match self {
            ResponseBody::Sized(body) => body.len(),
            ResponseBody::Buffer(body) => body.len(),
            ResponseBody::Pieces(pieces) => pieces.iter().map(|piece| piece.len() + 8).sum(),
        }
    }
}

/// Typical length of a head without additional headers, in bytes.
pub const USUAL_HEAD_BYTES: usize = 256;

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: Status,
    /// The reason phrase is that of RFC 9110, also where nginx has another one.
    pub has_standard_reason: bool,
    /// `Content-Type`
    pub content_type: Option<Bytes>,
    /// `Last-Modified`
    pub last_modified: Option<String>,
    /// Additional headers.
    pub headers: HeaderList,
    /// The body.
    pub body: ResponseBody,
    /// The response has neither body nor length, as 204 and 304.
    pub bodiless: bool,
    /// The connection is closed after the response.
    pub close: bool,
}

impl Response {
    /// Creates a response without body and `Content-Type`.
    #[must_use]
    pub fn header_only(status: Status, headers: impl Into<HeaderList>) -> Self {
        Self {
            status,
            has_standard_reason: false,
            content_type: None,
            last_modified: None,
            headers: headers.into(),
            body: ResponseBody::Sized(Bytes::new()),
            bodiless: false,
            close: false,
        }
    }

    /// Creates a response with a body of known length.
    #[must_use]
    pub fn sized(
        status: Status,
        content_type: &'static str,
        headers: impl Into<HeaderList>,
        body: Vec<u8>,
    ) -> Self {
        let content_type = Some(Bytes::from_static(content_type.as_bytes()));
        Self {
            content_type,
            body: ResponseBody::Buffer(body),
            ..Self::header_only(status, headers)
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
            if shows_version() {
                server_name::SERVER_ON_PAGES
            } else {
                "pushctl"
            }
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
        self.close = true;
        self
    }

    /// Estimates the memory that the response takes, in bytes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        USUAL_HEAD_BYTES
            + self.headers.len()
            + usize::try_from(self.body.len()).unwrap_or(usize::MAX / 2)
    }

    /// Sets the content type of an error page; other responses, such as redirections, keep theirs,
    /// as in nginx.
    #[must_use]
    pub fn with_page_type(mut self, page_type: &Bytes) -> Self {
        if self.status.0 >= 400 && self.content_type.as_deref() == Some(b"text/html") {
            self.content_type = Some(page_type.clone());
        }
        self
    }

    /// Appends header lines.
    #[must_use]
    pub fn with_headers(mut self, lines: &[u8]) -> Self {
        self.headers.push_lines(lines);
        self
    }

    /// Appends the response to `out`. Returns whether the connection stays open.
    pub fn write(&self, context: ResponseContext, out: &mut Vec<u8>) -> bool {
        make_room(
            USUAL_HEAD_BYTES + self.headers.len() + self.body.framed_len(),
            out,
        );
        let (keep_alive, framing) = self.write_head(context, out);
        match &self.body {
            _ if context.is_head || self.bodiless => {}
            ResponseBody::Sized(body) => out.extend_from_slice(body),
            ResponseBody::Buffer(body) => out.extend_from_slice(body),
            ResponseBody::Pieces(pieces) => {
                pieces.iter().for_each(|piece| framing.piece(piece, out));
                framing.last(out);
            }
        }
        keep_alive
    }

    /// Appends the head to `out`. Returns whether the connection stays open, and the framing of the
    /// body.
    pub fn write_head(&self, context: ResponseContext, out: &mut Vec<u8>) -> (bool, Framing) {
        let (length, framing) = match &self.body {
            _ if self.bodiless => (None, Framing::Raw),
            ResponseBody::Sized(_) | ResponseBody::Buffer(_) => {
                (Some(self.body.len()), Framing::Raw)
            }
            ResponseBody::Pieces(_) => (None, Framing::of(context.minor_version)),
        };
        // An HTTP/1.0 response without a length ends with its connection.
        let keep_alive = context.keep_alive
            && !self.close
            && (self.bodiless || length.is_some() || framing == Framing::Chunked);
        Head {
            status: self.status,
            has_standard_reason: self.has_standard_reason,
            content_type: self.content_type.as_deref(),
            content_length: length,
            last_modified: self.last_modified.as_deref(),
            chunked: framing == Framing::Chunked,
            keep_alive,
            headers: &self.headers,
        }
        .write(out);
        (keep_alive, framing)
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

/// Reserves room once: growing step by step would cost more than writing.
fn make_room(bytes: usize, out: &mut Vec<u8>) {
    if out.capacity() == 0 {
        *out = buffer_pool::take(bytes);
    } else {
        out.reserve(bytes);
    }
}

/// Appends a head that was encoded before, and a body.
pub fn push_parts(head: &[u8], body: &[u8], out: &mut Vec<u8>) {
    make_room(head.len() + body.len(), out);
    out.extend_from_slice(head);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_content_type_is_left_out() {
        let mut out = Vec::new();
        let response = Response {
            content_type: Some(Bytes::new()),
            ..Response::header_only(Status::OK, &b""[..])
        };
        response.write(
            ResponseContext {
                minor_version: 1,
                keep_alive: true,
                is_head: false,
            },
            &mut out,
        );
        assert!(
            !out.windows(12).any(|part| part == b"Content-Type"),
            "{}",
            String::from_utf8_lossy(&out)
        );
    }

    #[test]
    fn a_header_value_cannot_add_a_header() {
        let mut out = Vec::new();
        push_line(
            b"Access-Control-Allow-Origin: ",
            b"a\r\nSet-Cookie: b\0",
            &mut out,
        );
        assert_eq!(out, b"Access-Control-Allow-Origin: aSet-Cookie: b\r\n");
    }
}
