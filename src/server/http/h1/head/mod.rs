//! Parsing request heads: from bytes to a [`Request`], or to the error page that nginx sends
//! (push-stream.md, section 1).

use std::borrow::Cow;
use std::mem::MaybeUninit;

use httparse::Header;

pub(super) use super::headers::BodyLength;
use super::headers::{JoinedHeaders, UniqueHeaders, keeps_alive, restore_tabs};
use crate::protocol::is_token;
use crate::server::config::normalise;
use crate::server::exchange::request::{Endpoints, Request};
use crate::server::exchange::response::{Response, Status};
use crate::server::exchange::target::{RequestTarget, host_name, raw_path};
use crate::server::observe::limits_log::Limit;

/// Most headers of a request.
const MAX_HEADERS: usize = 100;

/// Result of parsing the start of a buffer.
pub(in crate::server) enum ParsedHead<T> {
    /// The head is incomplete.
    Incomplete,
    /// A head: its length, the length of the body, and the result of `work`.
    Complete(usize, BodyLength, T),
    /// Malformed: this is the last response of the connection.
    Bad(Response),
}

/// Parses a head of up to `max_bytes` at the front of `buffer`, and calls `work` with it.
pub(in crate::server) fn parse<T>(
    buffer: &[u8],
    max_bytes: usize,
    endpoints: &Endpoints,
    work: impl FnOnce(&Request<'_>, BodyLength) -> T,
) -> ParsedHead<T> {
    let is_full = buffer.len() >= max_bytes;
    let buffer = &buffer[..buffer.len().min(max_bytes)];
    match parse_shown(buffer, buffer, is_full, endpoints, work) {
        Ok(parsed) => parsed,
        Err(work) => match masked_line(buffer) {
            Some(masked) => parse_shown(&masked, buffer, is_full, endpoints, work)
                .unwrap_or_else(|_| ParsedHead::Bad(page(400))),
            None => ParsedHead::Bad(page(400)),
        },
    }
}

/// As [`parse`], from `shown`, which differs from `buffer` only in bytes of the target that
/// `httparse` rejects. If the head is malformed the error returns `work` unused.
fn parse_shown<T, W: FnOnce(&Request<'_>, BodyLength) -> T>(
    shown: &[u8],
    buffer: &[u8],
    is_full: bool,
    endpoints: &Endpoints,
    work: W,
) -> Result<ParsedHead<T>, W> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let taken = match parsed.parse_with_uninit_headers(shown, &mut headers) {
        Ok(httparse::Status::Complete(taken)) => taken,
        Ok(httparse::Status::Partial) if is_full => return Ok(ParsedHead::Bad(too_large(shown))),
        Ok(httparse::Status::Partial) => return Ok(ParsedHead::Incomplete),
        // A request line is judged at its end: the response must not depend on how the bytes
        // arrive.
        Err(_) if is_in_request_line(shown) => {
            return Ok(if is_full {
                ParsedHead::Bad(too_large(shown))
            } else {
                ParsedHead::Incomplete
            });
        }
        Err(httparse::Error::TooManyHeaders) => return Ok(ParsedHead::Bad(headers_too_large())),
        Err(httparse::Error::Version) if is_http(shown) => return Ok(ParsedHead::Bad(page(505))),
        Err(_) => return Err(work),
    };
    restore_tabs(&shown[..taken], parsed.headers);
    let headers: &[Header<'_>] = parsed.headers;
    let line = parsed.method.zip(parsed.path).zip(parsed.version).and_then(
        |((method, path), minor_version)| {
            let start = (path.as_ptr() as usize).checked_sub(shown.as_ptr() as usize)?;
            let target = buffer.get(start..start + path.len())?;
            Some(RequestLine {
                method,
                target,
                minor_version,
                head_bytes: taken,
            })
        },
    );
    let Some(line) = line else {
        return Ok(ParsedHead::Bad(page(400)));
    };
    let joined = JoinedHeaders::of(headers);
    Ok(match build_request(line, headers, &joined, endpoints) {
        Ok((request, length)) => ParsedHead::Complete(taken, length, work(&request, length)),
        Err(status) => ParsedHead::Bad(page(status)),
    })
}

/// The parts of a request line.
#[derive(Clone, Copy)]
struct RequestLine<'a> {
    method: &'a str,
    target: &'a [u8],
    minor_version: u8,
    head_bytes: usize,
}

/// Returns whether the buffer holds a method, a space, and no end of the line yet. Other protocols,
/// such as TLS, begin otherwise and are rejected at once.
fn is_in_request_line(buffer: &[u8]) -> bool {
    let line = after_empty_lines(buffer);
    begins_with_method(line) && memchr::memchr(b'\n', line).is_none()
}

/// Skips the empty lines that may precede a request (RFC 9112, section 2.2).
fn after_empty_lines(mut buffer: &[u8]) -> &[u8] {
    while let Some(rest) = buffer
        .strip_prefix(b"\r\n")
        .or_else(|| buffer.strip_prefix(b"\n"))
    {
        buffer = rest;
    }
    buffer
}

/// Returns whether the line begins with a token and a space.
fn begins_with_method(line: &[u8]) -> bool {
    let word = line.iter().take_while(|byte| is_token(byte)).count();
    word > 0 && line.get(word) == Some(&b' ')
}

/// Returns a copy with the non-ASCII bytes of the request line masked, if there are any: `httparse`
/// accepts UTF-8 only, but a target is bytes.
fn masked_line(buffer: &[u8]) -> Option<Vec<u8>> {
    let line = after_empty_lines(buffer);
    let end = buffer.len() - line.len() + memchr::memchr(b'\n', line)?;
    if buffer[..end].is_ascii() || !begins_with_method(line) {
        return None;
    }
    let mut masked = buffer.to_vec();
    masked[..end]
        .iter_mut()
        .filter(|byte| !byte.is_ascii())
        .for_each(|byte| *byte = b'~');
    Some(masked)
}

fn page(status: u16) -> Response {
    Response::error_page(Status(status)).closing()
}

fn headers_too_large() -> Response {
    Limit::Headers.log();
    Response::titled_error_page(
        Status::BAD_REQUEST,
        "400 Request Header Or Cookie Too Large",
    )
    .closing()
}

/// The response when the request line or the headers exceed the limit.
fn too_large(read: &[u8]) -> Response {
    Limit::Headers.log();
    if memchr::memchr(b'\n', read.trim_ascii_start()).is_some() {
        headers_too_large()
    } else {
        page(414)
    }
}

/// Returns whether the request line has three words, the last of which is an unsupported version of
/// HTTP. A line with more words is malformed in another way.
fn is_http(buffer: &[u8]) -> bool {
    let buffer = buffer.trim_ascii_start();
    let line = &buffer[..memchr::memchr(b'\n', buffer).unwrap_or(buffer.len())];
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let (Some(version), None) = (words.nth(2), words.next()) else {
        return false;
    };
    version.strip_prefix(b"HTTP/").is_some_and(|number| {
        number
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
            && number.len() > 2
    })
}

/// Checks a parsed head; the error is a status.
fn build_request<'a>(
    line: RequestLine<'a>,
    headers: &'a [Header<'a>],
    joined: &'a JoinedHeaders,
    endpoints: &'a Endpoints,
) -> Result<(Request<'a>, BodyLength), u16> {
    let RequestLine {
        method,
        target,
        minor_version,
        head_bytes,
    } = line;
    if !method
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
    {
        return Err(400);
    }
    if matches!(method, "TRACE" | "CONNECT") {
        return Err(405);
    }
    let unique = UniqueHeaders::of(headers)?;
    let named = unique
        .host
        .map(|host| host_name(host).ok_or(400_u16))
        .transpose()?;
    if named.is_none() && minor_version == 1 {
        return Err(400);
    }
    let RequestTarget {
        authority,
        unparsed_uri,
    } = RequestTarget::of(target).ok_or(400_u16)?;
    let authority = authority
        .map(|host| host_name(host).ok_or(400_u16))
        .transpose()?;
    let length = unique.body_length(minor_version)?;
    let without_fragment =
        &unparsed_uri[..memchr::memchr(b'#', unparsed_uri).unwrap_or(unparsed_uri.len())];
    let query = memchr::memchr(b'?', without_fragment)
        .map_or(&b""[..], |mark| &without_fragment[mark + 1..]);
    let path: Cow<'a, [u8]> = normalise(raw_path(unparsed_uri)).map_err(|_| 400_u16)?;
    let request = Request {
        method,
        target,
        unparsed_uri,
        path,
        query,
        minor_version,
        headers,
        joined_cookie: joined.cookie.as_deref(),
        joined_forwarded_for: joined.forwarded_for.as_deref(),
        host_name: authority.or(named),
        head_bytes,
        without_chunks: false,
        keep_alive: keeps_alive(headers, minor_version),
        endpoints,
    };
    Ok((request, length))
}

#[cfg(test)]
mod tests;
