//! Request heads: from bytes to a [`Request`], or to the error page that nginx would send (reference section 1).

use std::borrow::Cow;
use std::mem::MaybeUninit;

use httparse::Header;

use crate::protocol::is_token;
use crate::server::config::{normalise, normalise_with_slashes};
use crate::server::request::{Endpoints, Request, authority};
use crate::server::response::{Response, Status};

/// Most headers of a request.
const MAX_HEADERS: usize = 100;

/// How long the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    None,
    Bytes(u64),
    Chunked,
}

/// What the beginning of a buffer holds.
pub(super) enum Parsed<T> {
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
) -> Parsed<T> {
    let is_full = buffer.len() >= max_bytes;
    let buffer = &buffer[..buffer.len().min(max_bytes)];
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let taken = match parsed.parse_with_uninit_headers(buffer, &mut headers) {
        Ok(httparse::Status::Complete(taken)) => taken,
        Ok(httparse::Status::Partial) if is_full => return Parsed::Bad(too_large(buffer)),
        Ok(httparse::Status::Partial) => return Parsed::Incomplete,
        // What is wrong with a request line shows at its end: the answer must not depend on how the bytes arrive.
        Err(_) if is_in_request_line(buffer) => return if is_full { Parsed::Bad(too_large(buffer)) } else { Parsed::Incomplete },
        Err(httparse::Error::TooManyHeaders) => return Parsed::Bad(headers_too_large()),
        Err(httparse::Error::Version) if is_http(buffer) => return Parsed::Bad(page(505)),
        Err(_) => {
            return match encoded_line(buffer) {
                Some(encoded) => match parse(&encoded, max_bytes, endpoints, work) {
                    Parsed::Complete(taken, length, made) => Parsed::Complete(taken + buffer.len() - encoded.len(), length, made),
                    other => other,
                },
                None => Parsed::Bad(page(400)),
            };
        }
    };
    match request(&parsed, endpoints) {
        Ok((request, length)) => {
            let made = work(&request, length);
            Parsed::Complete(taken, length, made)
        }
        Err(status) => Parsed::Bad(page(status)),
    }
}

/// The buffer holds a method, a space, and not yet the end of the line. Other protocols, TLS above all, begin otherwise and
/// are refused at once.
fn is_in_request_line(buffer: &[u8]) -> bool {
    let line = after_empty_lines(buffer);
    begins_with_method(line) && memchr::memchr(b'\n', line).is_none()
}

/// The buffer without the empty lines that may precede a request (RFC 9112, section 2.2).
fn after_empty_lines(mut buffer: &[u8]) -> &[u8] {
    while let Some(rest) = buffer.strip_prefix(b"\r\n").or_else(|| buffer.strip_prefix(b"\n")) {
        buffer = rest;
    }
    buffer
}

/// The line begins with a token and a space.
fn begins_with_method(line: &[u8]) -> bool {
    let word = line.iter().take_while(|byte| is_token(byte)).count();
    word > 0 && line.get(word) == Some(&b' ')
}

/// The buffer with the bytes of the request line that are not ASCII percent-encoded, if there are any: `httparse` takes
/// UTF-8 only, but channel ids are bytes.
fn encoded_line(buffer: &[u8]) -> Option<Vec<u8>> {
    let line = after_empty_lines(buffer);
    let end = buffer.len() - line.len() + memchr::memchr(b'\n', line)?;
    if buffer[..end].is_ascii() || !begins_with_method(line) {
        return None;
    }
    let mut encoded = Vec::with_capacity(buffer.len() + 64);
    for byte in &buffer[..end] {
        if byte.is_ascii() {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded.extend_from_slice(&buffer[end..]);
    Some(encoded)
}

fn page(status: u16) -> Response {
    Response::error_page(Status(status)).closing()
}

fn headers_too_large() -> Response {
    Response::titled_error_page(Status::BAD_REQUEST, "400 Request Header Or Cookie Too Large").closing()
}

/// The request line, or the headers, are more than what may be read.
fn too_large(read: &[u8]) -> Response {
    if memchr::memchr(b'\n', read.trim_ascii_start()).is_some() { headers_too_large() } else { page(414) }
}

/// The request line ends in some version of HTTP, though not in one that is known.
fn is_http(buffer: &[u8]) -> bool {
    let buffer = buffer.trim_ascii_start();
    let line = &buffer[..memchr::memchr(b'\n', buffer).unwrap_or(buffer.len())];
    let version = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    version
        .strip_prefix(b"HTTP/")
        .is_some_and(|number| number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') && number.len() > 2)
}

/// Checks what was parsed; the error is a status.
fn request<'a>(parsed: &'a httparse::Request<'a, 'a>, endpoints: &'a Endpoints) -> Result<(Request<'a>, BodyLength), u16> {
    let (Some(method), Some(target), Some(minor_version)) = (parsed.method, parsed.path, parsed.version) else { return Err(400) };
    if !method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')) {
        return Err(400);
    }
    if matches!(method, "TRACE" | "CONNECT") {
        return Err(405);
    }
    let headers: &'a [Header<'a>] = parsed.headers;
    let mut hosts = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() || (host.is_none() && minor_version == 1) || host.is_some_and(|host| !may_be_host(host.value)) {
        return Err(400);
    }
    if !target.starts_with('/')
        && authority(target.as_bytes()).is_some_and(|host| host.is_empty() || !may_be_host(host) || host.contains(&b'@'))
    {
        return Err(400);
    }
    let length = body_length(headers, minor_version)?;
    let origin = origin_form(target.as_bytes()).ok_or(400_u16)?;
    let without_fragment = &origin[..memchr::memchr(b'#', origin).unwrap_or(origin.len())];
    let (raw_path, query) = match memchr::memchr(b'?', without_fragment) {
        Some(mark) => (&without_fragment[..mark], &without_fragment[mark + 1..]),
        None => (without_fragment, &b""[..]),
    };
    let path: Cow<'a, [u8]> = normalise(raw_path).map_err(|_| 400_u16)?;
    let keep_alive = keeps_alive(headers, minor_version);
    let target = target.as_bytes();
    Ok((Request { method, target, path, query, minor_version, headers, keep_alive, endpoints }, length))
}

/// What nginx takes for a host and port, but for `?` and `#`: it may become part of addresses and paths.
fn may_be_host(value: &[u8]) -> bool {
    value.iter().all(|byte| !matches!(byte, 0..=b' ' | b'/' | b'?' | b'#' | 0x7f)) && memchr::memmem::find(value, b"..").is_none()
}

/// The path of a target in which `//` stays.
pub(super) fn path_with_slashes(target: &[u8]) -> Option<Cow<'_, [u8]>> {
    let origin = origin_form(target)?;
    normalise_with_slashes(&origin[..memchr::memchr2(b'?', b'#', origin).unwrap_or(origin.len())]).ok()
}

/// The target from its path on; `http://host/path` is what proxies get.
fn origin_form(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return Some(target);
    }
    let scheme = ["http://", "https://"]
        .iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes())))?;
    let rest = &target[scheme.len()..];
    Some(memchr::memchr(b'/', rest).map_or(b"/", |slash| &rest[slash..]))
}

/// The length of the body (RFC 9112, section 6.3). Whatever two readers could understand differently is refused.
fn body_length(headers: &[Header<'_>], minor_version: u8) -> Result<BodyLength, u16> {
    let mut length = BodyLength::None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let digits = header.value.trim_ascii();
            if length != BodyLength::None || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(400);
            }
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            // More than 64 bits is more than any limit.
            length = BodyLength::Bytes(number.unwrap_or(u64::MAX));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if length != BodyLength::None || minor_version == 0 {
                return Err(400);
            }
            if !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(501);
            }
            length = BodyLength::Chunked;
        }
    }
    Ok(length)
}

fn keeps_alive(headers: &[Header<'_>], minor_version: u8) -> bool {
    let connection = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("connection"));
    let mut tokens = connection.flat_map(|header| header.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    if minor_version == 0 {
        tokens.any(|token| token.eq_ignore_ascii_case(b"keep-alive"))
    } else {
        !tokens.any(|token| token.eq_ignore_ascii_case(b"close"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(bytes: &str) -> String {
        let parsed = parse(bytes.as_bytes(), 200, &Endpoints::default(), |request, _| {
            format!("{} {} {}", request.method, String::from_utf8_lossy(&request.path), String::from_utf8_lossy(request.query))
        });
        match parsed {
            Parsed::Incomplete => "incomplete".to_owned(),
            Parsed::Complete(_, length, text) => format!("{text} {length:?}"),
            Parsed::Bad(response) => response.status.0.to_string(),
        }
    }

    #[test]
    fn heads_are_understood_or_refused() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(300));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(300));
        for (bytes, expected) in [
            ("GET /a%20b?id=1#f HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a b id=1 None"),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /  None"),
            ("POST http://h/p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "POST /p q Bytes(5)"),
            ("POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST /p  Chunked"),
            ("GET / HTTP/1.0\r\n\r\n", "GET /  None"),
            ("GET / HTTP/1.1\r\n", "incomplete"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: [::1]:80 \r\n\r\n", "GET /  None"),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
            ("GET http://../p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET http://u@h/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "400"),
            ("GET / HTTP/1.0\r\nHost: a..b\r\n\r\n", "400"),
            ("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
            ("GET / FTP\r\n\r\n", "400"),
            ("GET / HTTP/2", "incomplete"),
            ("GET /ä", "incomplete"),
            ("\u{16}\u{3}\u{1}", "400"),
            ("\n\r GET /x", "400"),
            ("\r\nGET /ä HTTP/1.1\r\nHost: a\r\n\r\n", "GET /ä  None"),
            ("GÄT /x HTTP/2.0\r\nHost: a\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501"),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
            (&long, "414"),
            (&many, "400"),
        ] {
            assert_eq!(outcome(bytes), expected, "{bytes}");
        }
    }
}
