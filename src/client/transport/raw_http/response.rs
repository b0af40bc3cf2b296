//! Decoder for HTTP/1.1 responses; does not copy bodies. Does no I/O.

use crate::client::transport::page;
use crate::protocol::EXPLAIN;

/// Maximum size in bytes of a response head.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Maximum number of interim responses (1xx) before a final one.
const MAX_INTERIM: u32 = 64;

/// The relevant fields of a response head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code.
    pub status: u16,
    /// `Last-Modified`
    pub last_modified: Option<String>,
    /// `Etag`
    pub etag: Option<String>,
    /// `Location`
    pub location: Option<String>,
    /// True if the body is an HTML page.
    pub is_html: bool,
    /// The server's explanation of an error.
    pub explain: Option<String>,
    /// True if the connection ends after this response.
    pub closes: bool,
    /// True if the length of the body is given, so the response is not endless.
    pub is_finite: bool,
}

/// The next part of a response.
#[derive(Debug, PartialEq, Eq)]
pub enum ResponsePart<'a> {
    /// All bytes were consumed: read more.
    More,
    /// The head is complete.
    ResponseHead(ResponseHead),
    /// A part of the body.
    Data(&'a [u8]),
    /// The response is complete; the following bytes belong to the next one.
    End,
}

/// Decodes one response after the other.
#[derive(Debug, Default)]
pub struct ResponseDecoder {
    /// An incomplete head.
    held: Vec<u8>,
    state: DecoderState,
    /// Interim responses since the last final one.
    interim: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum DecoderState {
    #[default]
    ResponseHead,
    /// In the digits of a chunk size: the value and the number of digits so far.
    Size(usize, u8),
    /// After the digits, up to the end of the line.
    Extension(usize),
    Chunk(usize),
    /// The line break after a chunk.
    ChunkEnd,
    /// A line of the trailer; true while it is empty.
    Trailer(bool),
    Length(usize),
    UntilClose,
    End,
}

impl ResponseDecoder {
    /// Removes the next part from the front of `bytes`.
    ///
    /// # Errors
    /// Returns the reason why the response is invalid.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<ResponsePart<'a>, String> {
        loop {
            if self.state == DecoderState::End {
                self.state = DecoderState::ResponseHead;
                return Ok(ResponsePart::End);
            }
            if bytes.is_empty() {
                return Ok(ResponsePart::More);
            }
            match self.state {
                DecoderState::ResponseHead => return self.head(bytes),
                DecoderState::Chunk(left) | DecoderState::Length(left) => {
                    return Ok(self.data(bytes, left));
                }
                DecoderState::UntilClose => return Ok(ResponsePart::Data(std::mem::take(bytes))),
                _ => {
                    let byte = bytes[0];
                    *bytes = &bytes[1..];
                    self.state = self.framing(byte)?;
                }
            }
        }
    }

    fn framing(&self, byte: u8) -> Result<DecoderState, String> {
        Ok(match (self.state, byte) {
            (DecoderState::Size(size, digits), _) if byte.is_ascii_hexdigit() && digits < 8 => {
                DecoderState::Size(size << 4 | usize::from(hex(byte)), digits + 1)
            }
            (DecoderState::Size(size, digits), b'\r' | b'\n' | b';' | b' ') if digits > 0 => {
                if byte == b'\n' {
                    after_size(size)
                } else {
                    DecoderState::Extension(size)
                }
            }
            (DecoderState::Size(..), _) => return Err("a chunk has no length".to_owned()),
            (DecoderState::Extension(size), b'\n') => after_size(size),
            (DecoderState::ChunkEnd, b'\n') => DecoderState::Size(0, 0),
            (DecoderState::Trailer(true), b'\n') => DecoderState::End,
            (DecoderState::Trailer(_), b'\n') => DecoderState::Trailer(true),
            (DecoderState::Trailer(_), other) if other != b'\r' => DecoderState::Trailer(false),
            (state, _) => state,
        })
    }

    fn data<'a>(&mut self, bytes: &mut &'a [u8], left: usize) -> ResponsePart<'a> {
        let (data, rest) = bytes.split_at(left.min(bytes.len()));
        *bytes = rest;
        let left = left - data.len();
        self.state = match self.state {
            DecoderState::Chunk(_) if left == 0 => DecoderState::ChunkEnd,
            DecoderState::Chunk(_) => DecoderState::Chunk(left),
            _ if left == 0 => DecoderState::End,
            _ => DecoderState::Length(left),
        };
        ResponsePart::Data(data)
    }

    fn head<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<ResponsePart<'a>, String> {
        let held = self.held.len();
        let whole: &[u8] = if held == 0 {
            bytes
        } else {
            self.held.extend_from_slice(bytes);
            &self.held
        };
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(whole) {
            Ok(httparse::Status::Complete(length)) => {
                let (head, state) = read_head(&response)?;
                self.interim = if state == DecoderState::ResponseHead {
                    self.interim + 1
                } else {
                    0
                };
                if self.interim > MAX_INTERIM {
                    return Err(format!("it has more than {MAX_INTERIM} interim responses"));
                }
                *bytes = &bytes[length - held..];
                self.held = Vec::new();
                self.state = state;
                Ok(ResponsePart::ResponseHead(head))
            }
            Ok(httparse::Status::Partial) if whole.len() < MAX_HEAD_BYTES => {
                if held == 0 {
                    self.held = bytes.to_vec();
                }
                *bytes = &[];
                Ok(ResponsePart::More)
            }
            Ok(httparse::Status::Partial) => Err(format!(
                "its head is larger than {} KiB",
                MAX_HEAD_BYTES >> 10
            )),
            Err(error) => Err(format!("it is not an HTTP response: {error}")),
        }
    }
}

fn after_size(size: usize) -> DecoderState {
    if size == 0 {
        DecoderState::Trailer(true)
    } else {
        DecoderState::Chunk(size)
    }
}

fn hex(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

fn read_head(
    response: &httparse::Response<'_, '_>,
) -> Result<(ResponseHead, DecoderState), String> {
    let mut head = ResponseHead {
        status: response.code.unwrap_or(0),
        ..ResponseHead::default()
    };
    head.closes = response.version == Some(0);
    let mut state = DecoderState::UntilClose;
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("Last-Modified") {
            head.last_modified = Some(value);
        } else if is("Etag") {
            head.etag = Some(value);
        } else if is("Location") {
            head.location = Some(value);
        } else if is("Content-Type") {
            head.is_html = page::is_html(&value);
        } else if is(EXPLAIN) {
            head.explain = Some(value).filter(|text| !text.is_empty());
        } else if is("Connection") {
            head.closes = value.eq_ignore_ascii_case("close");
        } else if is("Transfer-Encoding") && value.eq_ignore_ascii_case("chunked") {
            state = DecoderState::Size(0, 0);
        } else if is("Content-Length") && state == DecoderState::UntilClose {
            let length = value
                .parse()
                .map_err(|_| format!("its length '{value}' is not a number"))?;
            state = if length == 0 {
                DecoderState::End
            } else {
                DecoderState::Length(length)
            };
        }
    }
    match head.status {
        100..=199 if head.status != 101 => state = DecoderState::ResponseHead,
        204 | 304 => state = DecoderState::End,
        _ => {}
    }
    head.is_finite = matches!(state, DecoderState::Length(_) | DecoderState::End);
    head.closes |= state == DecoderState::UntilClose && head.status != 101;
    Ok((head, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that comes out when `wire` arrives in pieces of `size` bytes.
    fn decode(wire: &[u8], size: usize) -> (Vec<ResponseHead>, Vec<u8>, usize) {
        let (mut decoder, mut heads, mut body, mut ends) =
            (ResponseDecoder::default(), Vec::new(), Vec::new(), 0);
        for mut bytes in wire.chunks(size) {
            loop {
                match decoder.next(&mut bytes).expect("a good response") {
                    ResponsePart::More => break,
                    ResponsePart::ResponseHead(head) => heads.push(head),
                    ResponsePart::Data(data) => body.extend_from_slice(data),
                    ResponsePart::End => ends += 1,
                }
            }
        }
        (heads, body, ends)
    }

    #[test]
    fn responses_are_read_wherever_they_were_cut() {
        let wire =
            b"HTTP/1.1 200 OK\r\nEtag: W/2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\
              0a;x=y\r\n0123456789\r\n0\r\nT: x\r\n\r\n\
            HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\nLast-Modified: d\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nxy";
        for size in 1..=wire.len() {
            let (heads, body, ends) = decode(wire, size);
            assert_eq!(
                heads.iter().map(|head| head.status).collect::<Vec<_>>(),
                [200, 304, 200],
                "{size}"
            );
            assert_eq!(body, b"abc0123456789xy", "{size}");
            assert_eq!(ends, 3, "{size}");
            assert_eq!(
                (heads[0].etag.as_deref(), heads[1].last_modified.as_deref()),
                (Some("W/2"), Some("d"))
            );
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for wire in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "hello\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        ] {
            let mut decoder = ResponseDecoder::default();
            let mut bytes = wire.as_bytes();
            let outcome = (0..3).find_map(|_| decoder.next(&mut bytes).err());
            assert!(outcome.is_some(), "{wire}");
        }
    }
}
