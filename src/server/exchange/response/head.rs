//! The head of a response: status line and headers.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Status;
use super::server_name::SERVER;
use crate::message::{http_date, unix_now};

/// `server_tokens off`
static HIDES_VERSION: AtomicBool = AtomicBool::new(false);

/// Sets whether responses omit the version of the server.
pub fn set_version_hidden(is_hidden: bool) {
    HIDES_VERSION.store(is_hidden, Ordering::Relaxed);
}

/// Whether responses show the version of the server.
pub(super) fn shows_version() -> bool {
    !HIDES_VERSION.load(Ordering::Relaxed)
}

/// The head of a response.
#[derive(Debug)]
pub struct Head<'a> {
    /// The status.
    pub status: Status,
    /// The reason phrase is that of RFC 9110, also where nginx has another one.
    pub has_standard_reason: bool,
    /// `Content-Type`; an empty one (`default_type ""`) is not sent, as by nginx.
    pub content_type: Option<&'a [u8]>,
    /// `Content-Length`
    pub content_length: Option<u64>,
    /// `Last-Modified`
    pub last_modified: Option<&'a str>,
    /// `Transfer-Encoding: chunked`
    pub chunked: bool,
    /// `Connection: keep-alive` or `close`
    pub keep_alive: bool,
    /// Additional headers as complete lines.
    pub headers: &'a [u8],
}

impl Head<'_> {
    /// Appends the head to `out`, with the current date.
    pub fn write(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        match self.status {
            Status::OK => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
            // Writing to a Vec cannot fail.
            status => {
                let reason = if self.has_standard_reason {
                    status.standard_reason()
                } else {
                    status.reason()
                };
                drop(write!(out, "HTTP/1.1 {} {reason}\r\n", status.0));
            }
        }
        out.extend_from_slice(b"Server: ");
        out.extend_from_slice(if shows_version() {
            SERVER.as_bytes()
        } else {
            b"pushctl"
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

/// Appends `name value CRLF`. Control bytes of the value are dropped, so that it cannot add header
/// lines.
pub fn push_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let is_clean = |byte: &u8| (*byte >= b' ') | (*byte == b'\t');
    out.extend_from_slice(name);
    // A loop without an early exit is vectorised.
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

/// Appends an HTTP date. It is formatted once per second and thread: most dates are of the current
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
