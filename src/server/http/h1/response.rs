//! Responses as HTTP/1 sends them: order and spelling of headers are those of nginx and the module
//! (push-stream.md, section 1).

use crate::message::unix_now;
use crate::server::exchange::buffer_pool;
use crate::server::exchange::response::{
    Framing, Response, ResponseBody, ResponseContext, ResponseHead, Status, USUAL_HEAD_BYTES,
    WrittenResponse, push_date, push_line, push_number, server_name,
};

/// Asks the client for the body that it holds back.
pub(in crate::server::http) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The whole response to a connection for which there is no room.
pub(in crate::server::http) const OVERLOADED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n\
      Connection: close\r\n\r\n";

/// What a head announces about its body and its connection.
pub(in crate::server::http) struct Announced {
    /// `Content-Length`
    pub(in crate::server::http) length: Option<u64>,
    /// `Transfer-Encoding: chunked`
    pub(in crate::server::http) is_chunked: bool,
    /// `Connection: keep-alive` or `close`
    pub(in crate::server::http) keeps_alive: bool,
}

/// Appends a response to `out`.
pub(in crate::server::http) fn write(
    response: &Response,
    context: ResponseContext,
    out: &mut Vec<u8>,
) -> WrittenResponse {
    make_room(
        USUAL_HEAD_BYTES + response.head.headers.byte_len() + framed_len(&response.body),
        out,
    );
    let start = out.len();
    let (keeps_alive, framing) = write_head_of(response, context, out);
    let head_bytes = out.len() - start;
    match &response.body {
        _ if context.is_head => {}
        ResponseBody::None => {}
        ResponseBody::Sized(body) => out.extend_from_slice(body),
        ResponseBody::Buffer(body) => out.extend_from_slice(body),
        ResponseBody::Pieces(pieces) => {
            pieces.iter().for_each(|piece| framing.piece(piece, out));
            framing.last(out);
        }
    }
    WrittenResponse {
        head_bytes,
        keeps_alive,
    }
}

/// Appends the head of a response to `out`. Returns whether the connection stays open, and the
/// framing of the body.
pub(in crate::server::http) fn write_head_of(
    response: &Response,
    context: ResponseContext,
    out: &mut Vec<u8>,
) -> (bool, Framing) {
    let (length, framing) = match &response.body {
        ResponseBody::None => (None, Framing::Raw),
        ResponseBody::Sized(_) | ResponseBody::Buffer(_) => {
            (Some(response.body.len()), Framing::Raw)
        }
        ResponseBody::Pieces(_) => (None, Framing::of(context.minor_version)),
    };
    let is_chunked = framing == Framing::Chunked;
    // An HTTP/1.0 response without a length ends with its connection.
    let has_end = length.is_some() || is_chunked || response.body == ResponseBody::None;
    let keeps_alive = context.keep_alive && !response.head.close && has_end;
    let announced = Announced {
        length,
        is_chunked,
        keeps_alive,
    };
    write_head(&response.head, &announced, out);
    (keeps_alive, framing)
}

/// Appends a head to `out`, with the current date.
pub(in crate::server::http) fn write_head(
    head: &ResponseHead,
    announced: &Announced,
    out: &mut Vec<u8>,
) {
    write_status_line(head, out);
    out.extend_from_slice(b"Server: ");
    out.extend_from_slice(server_name().as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    push_date(unix_now(), out);
    out.extend_from_slice(b"\r\n");
    if let Some(content_type) = &head.content_type
        && !content_type.is_empty()
    {
        push_line(b"Content-Type: ", content_type, out);
    }
    if let Some(length) = announced.length {
        out.extend_from_slice(b"Content-Length: ");
        push_number(length, out);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(date) = head.last_modified {
        out.extend_from_slice(b"Last-Modified: ");
        date.push(out);
        out.extend_from_slice(b"\r\n");
    }
    if announced.is_chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(if announced.keeps_alive {
        b"Connection: keep-alive\r\n"
    } else {
        b"Connection: close\r\n"
    });
    out.extend_from_slice(head.headers.as_lines());
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(head: &ResponseHead, out: &mut Vec<u8>) {
    use std::io::Write;
    match head.status {
        Status::OK => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        status => {
            let reason = if head.has_standard_reason {
                status.standard_reason()
            } else {
                status.reason()
            };
            // Writing to a Vec cannot fail.
            drop(write!(out, "HTTP/1.1 {} {reason}\r\n", status.0));
        }
    }
}

/// Estimates the length of a body with its framing, to reserve memory.
fn framed_len(body: &ResponseBody) -> usize {
    match body {
        ResponseBody::None => 0,
        ResponseBody::Sized(body) => body.len(),
        ResponseBody::Buffer(body) => body.len(),
        ResponseBody::Pieces(pieces) => pieces.iter().map(|piece| piece.len() + 8).sum(),
    }
}

/// Returns the length of a body on the wire, in bytes.
pub(in crate::server::http) fn body_bytes(body: &ResponseBody, framing: Framing) -> u64 {
    let ResponseBody::Pieces(pieces) = body else {
        return body.len();
    };
    let mut ends = Vec::new();
    framing.last(&mut ends);
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        framing.begin(piece.len(), &mut ends);
        framing.end(&mut ends);
    }
    ends.len() as u64 + body.len()
}

/// Reserves room once: growing step by step would cost more than writing.
fn make_room(bytes: usize, out: &mut Vec<u8>) {
    if out.capacity() == 0 {
        *out = buffer_pool::take(bytes);
    } else {
        out.reserve(bytes);
    }
}

/// Appends a head that was written before, and a body.
pub(in crate::server::http) fn push_parts(head: &[u8], body: &[u8], out: &mut Vec<u8>) {
    make_room(head.len() + body.len(), out);
    out.extend_from_slice(head);
    out.extend_from_slice(body);
}

/// Returns the length of the head at the front of a written response, if it is complete.
pub(in crate::server::http) fn find_head_end(written: &[u8]) -> Option<usize> {
    Some(memchr::memmem::find(written, b"\r\n\r\n")? + 4)
}

/// Reads the status of a written head.
pub(in crate::server::http) fn read_status(head: &[u8]) -> Option<Status> {
    let digits = std::str::from_utf8(head.get(9..12)?).ok()?;
    digits.parse().ok().map(Status)
}

/// Returns the header lines of a head that was written.
pub(in crate::server::http) fn header_lines(head: &[u8]) -> &[u8] {
    match memchr::memchr(b'\n', head) {
        Some(end) => &head[end + 1..],
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::exchange::response::HeaderList;

    #[test]
    fn an_empty_content_type_is_left_out() {
        let mut out = Vec::new();
        let response = Response::header_only(Status::OK, HeaderList::default())
            .with_content_type(Some(bytes::Bytes::new()));
        let context = ResponseContext {
            minor_version: 1,
            keep_alive: true,
            is_head: false,
        };
        write(&response, context, &mut out);
        assert!(
            !out.windows(12).any(|part| part == b"Content-Type"),
            "{}",
            String::from_utf8_lossy(&out)
        );
    }

    #[test]
    fn the_parts_of_a_written_head_are_found() {
        let head = b"HTTP/1.1 304 Not Modified\r\nA: b\r\n\r\n";
        assert_eq!(find_head_end(&[&head[..], b"x"].concat()), Some(head.len()));
        assert_eq!(find_head_end(b"HTTP/1.1 304 N\r\n"), None);
        assert_eq!(read_status(head), Some(Status::NOT_MODIFIED));
        assert_eq!(read_status(b"HTTP"), None);
        assert_eq!(header_lines(head), b"A: b\r\n\r\n");
    }
}
