//! Request heads: from bytes to a [`Request`], or to the error page that nginx would send
//! (push-stream.md, section 1).

use std::borrow::Cow;
use std::mem::MaybeUninit;

use httparse::Header;

pub(super) use super::headers::BodyLength;
use super::headers::{JoinedHeaders, UniqueHeaders, keeps_alive, restore_tabs};
use super::target::{RequestTarget, host_name, raw_path};
use crate::protocol::is_token;
use crate::server::config::normalise;
use crate::server::limits_log::Limit;
use crate::server::request::{Endpoints, Request};
use crate::server::response::{Response, Status};

/// Most headers of a request.
const MAX_HEADERS: usize = 100;

/// What the beginning of a buffer holds.
pub(super) enum ParsedHead<T> {
    /// Not all of a head yet.
    Incomplete,
    /// A head, how many bytes it took, and what was made of it.
    Complete(usize, BodyLength, T),
    /// No head; this is the answer, and the last one.
    Bad(Response),
}

/// Takes a head of up to `max_bytes` from the front of `buffer` and lets `work` see it.
pub(super) fn parse<T>(
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

/// As [`parse`], of `shown`, which differs from `buffer` only in bytes of the target that
/// `httparse` does not take. The error is the unused `work`, if the head is malformed.
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
        // What is wrong with a request line shows at its end: the answer must not depend on how the
        // bytes arrive.
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
    Ok(match request(line, headers, &joined, endpoints) {
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

/// The buffer holds a method, a space, and not yet the end of the line. Other protocols, TLS above
/// all, begin otherwise and are refused at once.
fn is_in_request_line(buffer: &[u8]) -> bool {
    let line = after_empty_lines(buffer);
    begins_with_method(line) && memchr::memchr(b'\n', line).is_none()
}

/// The buffer without the empty lines that may precede a request (RFC 9112, section 2.2).
fn after_empty_lines(mut buffer: &[u8]) -> &[u8] {
    while let Some(rest) = buffer
        .strip_prefix(b"\r\n")
        .or_else(|| buffer.strip_prefix(b"\n"))
    {
        buffer = rest;
    }
    buffer
}

/// The line begins with a token and a space.
fn begins_with_method(line: &[u8]) -> bool {
    let word = line.iter().take_while(|byte| is_token(byte)).count();
    word > 0 && line.get(word) == Some(&b' ')
}

/// The buffer with other bytes in the request line for those that are not ASCII, if there are any:
/// `httparse` takes UTF-8 only, but targets are bytes.
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

/// The request line, or the headers, are more than what may be read.
fn too_large(read: &[u8]) -> Response {
    Limit::Headers.log();
    if memchr::memchr(b'\n', read.trim_ascii_start()).is_some() {
        headers_too_large()
    } else {
        page(414)
    }
}

/// The request line has three words, of which the last is some version of HTTP, though none that is
/// known. In a line with more words the version is not what is wrong.
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

/// Checks what was parsed; the error is a status.
fn request<'a>(
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
mod tests {
    use super::*;

    fn outcome(bytes: &str) -> String {
        let parsed = parse(
            bytes.as_bytes(),
            200,
            &Endpoints::default(),
            |request, _| {
                format!(
                    "{} {} {}",
                    request.method,
                    String::from_utf8_lossy(&request.path),
                    String::from_utf8_lossy(request.query)
                )
            },
        );
        match parsed {
            ParsedHead::Incomplete => "incomplete".to_owned(),
            ParsedHead::Complete(_, length, text) => format!("{text} {length:?}"),
            ParsedHead::Bad(response) => response.status.0.to_string(),
        }
    }

    /// What a request with this Host header, and with this host in its target if that is not empty,
    /// is taken to be for.
    fn host(header: &str, target: &str) -> Option<String> {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: {header}\r\n\r\n");
        match parse(
            bytes.as_bytes(),
            200,
            &Endpoints::default(),
            |request, _| request.host(),
        ) {
            ParsedHead::Complete(_, _, host) => host,
            _ => None,
        }
    }

    #[test]
    fn hosts_end_where_they_end_in_nginx() {
        // Each was tried with nginx 1.22.1.
        for (header, expected) in [
            ("B", "b"),
            ("b.", "b"),
            ("b:80:1", "b"),
            ("b:", "b"),
            ("b:x", "b"),
            ("b.:80", "b"),
            ("b:80.", "b"),
            (".b", ".b"),
            ("[::1]", "[::1]"),
            ("[::1]:80:1", "[::1]"),
            ("[::1]x", "[::1]"),
            ("[::1", "[::1"),
            ("b[:80", "b["),
            ("a_b", "a_b"),
            ("u@b", "u@b"),
        ] {
            assert_eq!(host(header, "/").as_deref(), Some(expected), "{header}");
        }
        for (target, expected) in [
            ("HTTP://B:80/x", "b"),
            ("https://b.?x", "b"),
            ("h1+-.://[::1]:80", "[::1]"),
            ("http://b/x?http://c/", "b"),
        ] {
            assert_eq!(host("a", target).as_deref(), Some(expected), "{target}");
        }
    }

    #[test]
    fn heads_are_understood_or_refused() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(300));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(300));
        for (bytes, expected) in [
            (
                "GET /a%20b?id=1#f HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /a b id=1 None",
            ),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /  None"),
            (
                "POST http://h/p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
                "POST /p q Bytes(5)",
            ),
            (
                "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
                "POST /p  Chunked",
            ),
            ("GET / HTTP/1.0\r\n\r\n", "GET /  None"),
            ("GET / HTTP/1.1\r\n", "incomplete"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: [::1]:80 \r\n\r\n", "GET /  None"),
            ("GET ftp://h?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET / q None"),
            (
                "GET http://[::1]:80/p HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /p  None",
            ),
            ("GET http://h#f HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET http://h:80:1/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET http://a_b/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET http://[::1/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET 1http://h/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET http:/h/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"),
            ("GET / HTTP/1.0\r\nHost:\r\n\r\n", "400"),
            ("GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: .\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: b\t\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "400"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\t\r\n\r\n",
                "400",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tchunked\r\n\r\n",
                "501",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                 transfer-encoding: chunked\r\n\r\n",
                "400",
            ),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
            ("GET http://../p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET http://u@h/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "400"),
            ("GET / HTTP/1.0\r\nHost: a..b\r\n\r\n", "400"),
            ("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET /a  HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("G ET /a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / FTP\r\n\r\n", "400"),
            ("GET / HTTP/2", "incomplete"),
            ("GET /ä", "incomplete"),
            ("\u{16}\u{3}\u{1}", "400"),
            ("\n\r GET /x", "400"),
            ("\r\nGET /ä HTTP/1.1\r\nHost: a\r\n\r\n", "GET /ä  None"),
            ("GÄT /x HTTP/2.0\r\nHost: a\r\n\r\n", "400"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                "400",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
                "400",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
                 Transfer-Encoding: chunked\r\n\r\n",
                "400",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
                "501",
            ),
            (
                "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                "400",
            ),
            (&long, "414"),
            (&many, "400"),
        ] {
            assert_eq!(outcome(bytes), expected, "{bytes}");
        }
    }
}
