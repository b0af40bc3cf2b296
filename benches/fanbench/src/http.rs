//! The HTTP of a load generator: finding responses in bytes, and single blocking requests.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use memchr::memmem;

/// End of a response head.
#[must_use]
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The status of a response; 0 if there is none.
#[must_use]
pub fn status(head: &[u8]) -> u16 {
    head.get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .unwrap_or(0)
}

/// A header's value.
#[must_use]
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    std::str::from_utf8(head)
        .ok()?
        .split("\r\n")
        .find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
}

/// Ends of head and body of a complete response; `None` if it is incomplete.
#[must_use]
pub fn whole(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = head_end(bytes)?;
    if matches!(status(bytes), 204 | 304) {
        return Some((head, head));
    }
    if let Some(length) = header(&bytes[..head], "content-length") {
        let end = head + length.parse::<usize>().ok()?;
        return (bytes.len() >= end).then_some((head, end));
    }
    if header(&bytes[..head], "transfer-encoding").is_some() {
        // Starts at the last line end of the head: an empty body begins with its last chunk.
        return memmem::find(&bytes[head - 2..], b"\r\n0\r\n\r\n")
            .map(|at| (head, head - 2 + at + 7));
    }
    Some((head, head))
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The body, unchanged.
    pub body: String,
}

/// Sends one request on a new connection and waits for the response.
///
/// # Errors
/// Returns an error if there is no complete response within 30 seconds.
pub fn request(
    address: SocketAddrV4,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Result<Answer> {
    let what = || format!("no response to {method} {path} from {address}");
    let mut stream = TcpStream::connect(address).with_context(what)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                        {headers}Content-Length: {length}\r\n\r\n"
    );
    stream
        .write_all(&[head.as_bytes(), body].concat())
        .with_context(what)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some((head, end)) = whole(&bytes) {
            return Ok(Answer {
                status: status(&bytes),
                body: String::from_utf8_lossy(&bytes[head..end]).into_owned(),
            });
        }
        match stream.read(&mut buffer).with_context(what)? {
            0 => bail!("{}: the connection was closed", what()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_whole() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP";
        assert_eq!(whole(sized), Some((38, 40)));
        assert_eq!(whole(&sized[..39]), None);
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(whole(chunked), Some((47, chunked.len())));
        assert_eq!(whole(&chunked[..chunked.len() - 1]), None);
        assert_eq!(
            (status(sized), header(sized, "content-length")),
            (200, Some("2"))
        );
        assert_eq!(whole(b"HTTP/1.1 304 Not Modified\r\n\r\n"), Some((29, 29)));
    }
}
