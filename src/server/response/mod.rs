//! Response heads on the wire: order and spelling as nginx and the module send them
//! (push-stream.md, section 1).

mod framing;

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

pub use framing::Framing;

use super::buffer_pool;
use crate::message::{http_date, unix_now};

/// What every answer of the module carries.
pub const NO_CACHE: &[u8] = b"Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n\
                              Cache-Control: no-cache, no-store, must-revalidate\r\n";

/// `server_tokens off`
static HIDES_VERSION: AtomicBool = AtomicBool::new(false);

/// Sets whether answers tell the version of the server.
pub fn set_version_hidden(hides: bool) {
    HIDES_VERSION.store(hides, Ordering::Relaxed);
}

fn hides_version() -> bool {
    HIDES_VERSION.load(Ordering::Relaxed)
}

/// A status with nginx's reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// 200
    pub const OK: Status = Status(200);
    /// 304
    pub const NOT_MODIFIED: Status = Status(304);
    /// 400
    pub const BAD_REQUEST: Status = Status(400);
    /// 403
    pub const FORBIDDEN: Status = Status(403);
    /// 404
    pub const NOT_FOUND: Status = Status(404);
    /// 405
    pub const NOT_ALLOWED: Status = Status(405);
    /// 500
    pub const INTERNAL: Status = Status(500);

    /// The reason phrase; empty where nginx has none.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            201 => "Created",
            202 => "Accepted",
            204 => "No Content",
            206 => "Partial Content",
            301 => "Moved Permanently",
            302 => "Moved Temporarily",
            303 => "See Other",
            304 => "Not Modified",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Not Allowed",
            406 => "Not Acceptable",
            408 => "Request Time-out",
            409 => "Conflict",
            410 => "Gone",
            411 => "Length Required",
            412 => "Precondition Failed",
            413 => "Request Entity Too Large",
            414 => "Request-URI Too Large",
            415 => "Unsupported Media Type",
            416 => "Requested Range Not Satisfiable",
            417 => "Expectation Failed",
            421 => "Misdirected Request",
            429 => "Too Many Requests",
            502 => "Bad Gateway",
            504 => "Gateway Time-out",
            507 => "Insufficient Storage",
            501 => "Not Implemented",
            503 => "Service Temporarily Unavailable",
            505 => "HTTP Version Not Supported",
            500 => "Internal Server Error",
            _ => "",
        }
    }
}

/// The body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// Sent with its length.
    Sized(Bytes),
    /// Sent in pieces, each a chunk of its own; for HTTP/1.0 up to the end of the connection.
    Pieces(Vec<Bytes>),
}

impl ResponseBody {
    /// Its length, without the framing of pieces.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            ResponseBody::Sized(body) => body.len() as u64,
            ResponseBody::Pieces(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
        }
    }

    /// There is none, or an empty one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About the bytes that it takes with its framing.
    fn framed_len(&self) -> usize {
        match self {
            ResponseBody::Sized(body) => body.len(),
            ResponseBody::Pieces(pieces) => pieces.iter().map(|piece| piece.len() + 8).sum(),
        }
    }
}

/// Bytes of a head but for its further headers.
pub const USUAL_HEAD_BYTES: usize = 256;

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: Status,
    /// `Content-Type`.
    pub content_type: Option<Bytes>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
    /// Further headers, as complete lines, in the order in which they are sent.
    pub headers: Cow<'static, [u8]>,
    /// Its body.
    pub body: ResponseBody,
    /// There is no body, and no length: of 204 and 304.
    pub bodiless: bool,
    /// Ends the connection.
    pub close: bool,
}

impl Response {
    /// A response without body and Content-Type.
    #[must_use]
    pub fn header_only(status: Status, headers: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status,
            content_type: None,
            last_modified: None,
            headers: headers.into(),
            body: ResponseBody::Sized(Bytes::new()),
            bodiless: false,
            close: false,
        }
    }

    /// A response with a body of known length.
    #[must_use]
    pub fn sized(
        status: Status,
        content_type: &'static str,
        headers: impl Into<Cow<'static, [u8]>>,
        body: Vec<u8>,
    ) -> Self {
        let content_type = Some(Bytes::from_static(content_type.as_bytes()));
        Self {
            content_type,
            body: ResponseBody::Sized(Bytes::from(body)),
            ..Self::header_only(status, headers)
        }
    }

    /// One of nginx's own error pages, with its status line as title.
    #[must_use]
    pub fn error_page(status: Status) -> Self {
        Self::titled_error_page(status, &format!("{} {}", status.0, status.reason()))
    }

    /// One of nginx's own error pages.
    #[must_use]
    pub fn titled_error_page(status: Status, title: &str) -> Self {
        let body = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
             <center><h1>{title}</h1></center>\r\n<hr><center>{}</center>\r\n</body>\r\n\
             </html>\r\n",
            if hides_version() {
                "pushctl"
            } else {
                super::SERVER_ON_PAGES
            }
        );
        Self::sized(
            status,
            "text/html",
            Cow::Borrowed(&b""[..]),
            body.into_bytes(),
        )
    }

    /// The same response as the last of its connection.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        USUAL_HEAD_BYTES
            + self.headers.len()
            + usize::try_from(self.body.len()).unwrap_or(usize::MAX / 2)
    }

    /// Gives an error page this content type; redirections keep theirs, as in nginx.
    #[must_use]
    pub fn with_page_type(mut self, page_type: Bytes) -> Self {
        if self.status.0 >= 400 && self.content_type.as_deref() == Some(b"text/html") {
            self.content_type = Some(page_type);
        }
        self
    }

    /// Adds further header lines.
    #[must_use]
    pub fn with_headers(mut self, lines: &[u8]) -> Self {
        self.headers.to_mut().extend_from_slice(lines);
        self
    }

    /// Appends the response to `out`; returns whether the connection can serve another request.
    pub fn write(&self, request: ResponseContext, out: &mut Vec<u8>) -> bool {
        make_room(
            USUAL_HEAD_BYTES + self.headers.len() + self.body.framed_len(),
            out,
        );
        let (keep_alive, framing) = self.write_head(request, out);
        match &self.body {
            _ if request.is_head || self.bodiless => {}
            ResponseBody::Sized(body) => out.extend_from_slice(body),
            ResponseBody::Pieces(pieces) => {
                pieces.iter().for_each(|piece| framing.piece(piece, out));
                framing.last(out);
            }
        }
        keep_alive
    }

    /// Appends its head alone; returns whether the connection can serve another request, and how
    /// the body's pieces are framed.
    pub fn write_head(&self, request: ResponseContext, out: &mut Vec<u8>) -> (bool, Framing) {
        let (length, framing) = match &self.body {
            _ if self.bodiless => (None, Framing::Raw),
            ResponseBody::Sized(body) => (Some(body.len() as u64), Framing::Raw),
            ResponseBody::Pieces(_) => (None, Framing::of(request.minor_version)),
        };
        // Without a length only the end of the connection ends an HTTP/1.0 response.
        let keep_alive = request.keep_alive
            && !self.close
            && (self.bodiless || length.is_some() || framing == Framing::Chunked);
        Head {
            status: self.status,
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

/// What a response must know of its request's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseContext {
    /// HTTP/1.0 or HTTP/1.1.
    pub minor_version: u8,
    /// Another request may follow.
    pub keep_alive: bool,
    /// The request was HEAD: its answer has the head of a body and no body.
    pub is_head: bool,
}

/// A response head.
#[derive(Debug)]
pub struct Head<'a> {
    /// Its status.
    pub status: Status,
    /// `Content-Type`; an empty one (`default_type ""`) is not sent, as by nginx.
    pub content_type: Option<&'a [u8]>,
    /// `Content-Length`
    pub content_length: Option<u64>,
    /// `Last-Modified`
    pub last_modified: Option<&'a str>,
    /// `Transfer-Encoding: chunked`
    pub chunked: bool,
    /// `ResponseContext: keep-alive` or `close`
    pub keep_alive: bool,
    /// Further headers as complete lines.
    pub headers: &'a [u8],
}

/// Growing step by step would cost more than the writing.
fn make_room(bytes: usize, out: &mut Vec<u8>) {
    if out.capacity() == 0 {
        *out = buffer_pool::take(bytes);
    } else {
        out.reserve(bytes);
    }
}

/// Appends a head that was written before and a body.
pub fn push_parts(head: &[u8], body: &[u8], out: &mut Vec<u8>) {
    make_room(head.len() + body.len(), out);
    out.extend_from_slice(head);
    out.extend_from_slice(body);
}

impl Head<'_> {
    /// Appends the head to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        match self.status {
            Status::OK => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
            // Writing to a Vec cannot fail.
            status => drop(write!(out, "HTTP/1.1 {} {}\r\n", status.0, status.reason())),
        }
        out.extend_from_slice(b"Server: ");
        out.extend_from_slice(if hides_version() {
            b"pushctl"
        } else {
            super::SERVER.as_bytes()
        });
        out.extend_from_slice(b"\r\nDate: ");
        push_date(unix_now(), out);
        out.extend_from_slice(b"\r\n");
        if let Some(content_type) = self
            .content_type
            .filter(|content_type| !content_type.is_empty())
        {
            push_line(b"Content-Type: ", content_type, out);
        }
        if let Some(length) = self.content_length {
            out.extend_from_slice(b"Content-Length: ");
            push_number(length, out);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(date) = self.last_modified {
            push_line(b"Last-Modified: ", date.as_bytes(), out);
        }
        if self.chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        out.extend_from_slice(if self.keep_alive {
            b"Connection: keep-alive\r\n"
        } else {
            b"Connection: close\r\n"
        });
        out.extend_from_slice(self.headers);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends `name value CRLF`; control bytes of the value are left out, so that it cannot add
/// headers of its own.
pub fn push_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let is_clean = |byte: &u8| (*byte >= b' ') | (*byte == b'\t');
    out.extend_from_slice(name);
    // Without an exit in the middle the compiler looks at many bytes at once.
    if value
        .iter()
        .fold(true, |clean, byte| clean & is_clean(byte))
    {
        out.extend_from_slice(value);
    } else {
        out.extend(value.iter().filter(|byte| is_clean(byte)));
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal digits.
pub fn push_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an HTTP date; formatted once per second and thread, because most are of the present
/// second.
pub fn push_date(unix_seconds: u64, out: &mut Vec<u8>) {
    thread_local! {
        static DATE: Cell<(u64, [u8; 29])> = const { Cell::new((u64::MAX, [b' '; 29])) };
    }
    let (mut second, mut text) = DATE.get();
    if second != unix_seconds {
        second = unix_seconds;
        let date = http_date(unix_seconds);
        text.iter_mut()
            .zip(date.bytes())
            .for_each(|(to, from)| *to = from);
        DATE.set((second, text));
    }
    out.extend_from_slice(&text);
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
