//! HTTP/1.1 responses, piece by piece and without copying bodies. Pure.

use crate::client::page;
use crate::protocol::EXPLAIN;

/// Most bytes of a response head.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Most interim responses (1xx) before one answer.
const MAX_INTERIM: u32 = 64;

/// What of a response head matters to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
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
    /// The server's words about an error.
    pub explain: Option<String>,
    /// True if the connection ends with this response.
    pub closes: bool,
    /// True if the length of the body is given, so that it is no endless response.
    pub is_finite: bool,
}

/// The next piece of a response.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Everything was used up: read more.
    More,
    /// The head is complete.
    Head(Head),
    /// A piece of the body.
    Data(&'a [u8]),
    /// The response is complete; what follows belongs to the next one.
    End,
}

/// Reads one response after the other.
#[derive(Debug, Default)]
pub struct Decoder {
    /// An incomplete head.
    held: Vec<u8>,
    state: State,
    /// Interim responses since the last answer.
    interim: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// Reading the digits of a chunk's length, of which so many were read.
    Size(usize, u8),
    /// Behind the digits, up to the end of the line.
    Extension(usize),
    Chunk(usize),
    /// The line break behind a chunk.
    ChunkEnd,
    /// A line of the trailer, which is empty so far or not.
    Trailer(bool),
    Length(usize),
    UntilClose,
    End,
}

impl Decoder {
    /// Takes the next piece off the front of `bytes`.
    ///
    /// # Errors
    /// What is wrong with the response.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Piece<'a>, String> {
        loop {
            if self.state == State::End {
                self.state = State::Head;
                return Ok(Piece::End);
            }
            if bytes.is_empty() {
                return Ok(Piece::More);
            }
            match self.state {
                State::Head => return self.head(bytes),
                State::Chunk(left) | State::Length(left) => return Ok(self.data(bytes, left)),
                State::UntilClose => return Ok(Piece::Data(std::mem::take(bytes))),
                _ => {
                    let byte = bytes[0];
                    *bytes = &bytes[1..];
                    self.state = self.framing(byte)?;
                }
            }
        }
    }

    fn framing(&self, byte: u8) -> Result<State, String> {
        Ok(match (self.state, byte) {
            (State::Size(size, digits), _) if byte.is_ascii_hexdigit() && digits < 8 => {
                State::Size(size << 4 | usize::from(hex(byte)), digits + 1)
            }
            (State::Size(size, digits), b'\r' | b'\n' | b';' | b' ') if digits > 0 => {
                if byte == b'\n' {
                    after_size(size)
                } else {
                    State::Extension(size)
                }
            }
            (State::Size(..), _) => return Err("a chunk has no length".to_owned()),
            (State::Extension(size), b'\n') => after_size(size),
            (State::ChunkEnd, b'\n') => State::Size(0, 0),
            (State::Trailer(true), b'\n') => State::End,
            (State::Trailer(_), b'\n') => State::Trailer(true),
            (State::Trailer(_), other) if other != b'\r' => State::Trailer(false),
            (state, _) => state,
        })
    }

    fn data<'a>(&mut self, bytes: &mut &'a [u8], left: usize) -> Piece<'a> {
        let (data, rest) = bytes.split_at(left.min(bytes.len()));
        *bytes = rest;
        let left = left - data.len();
        self.state = match self.state {
            State::Chunk(_) if left == 0 => State::ChunkEnd,
            State::Chunk(_) => State::Chunk(left),
            _ if left == 0 => State::End,
            _ => State::Length(left),
        };
        Piece::Data(data)
    }

    fn head<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Piece<'a>, String> {
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
                self.interim = if state == State::Head {
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
                Ok(Piece::Head(head))
            }
            Ok(httparse::Status::Partial) if whole.len() < MAX_HEAD_BYTES => {
                if held == 0 {
                    self.held = bytes.to_vec();
                }
                *bytes = &[];
                Ok(Piece::More)
            }
            Ok(httparse::Status::Partial) => Err(format!(
                "its head is larger than {} KiB",
                MAX_HEAD_BYTES >> 10
            )),
            Err(error) => Err(format!("it is no http response: {error}")),
        }
    }
}

fn after_size(size: usize) -> State {
    if size == 0 {
        State::Trailer(true)
    } else {
        State::Chunk(size)
    }
}

fn hex(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

fn read_head(response: &httparse::Response<'_, '_>) -> Result<(Head, State), String> {
    let mut head = Head {
        status: response.code.unwrap_or(0),
        ..Head::default()
    };
    head.closes = response.version == Some(0);
    let mut state = State::UntilClose;
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
            state = State::Size(0, 0);
        } else if is("Content-Length") && state == State::UntilClose {
            let length = value
                .parse()
                .map_err(|_| format!("its length '{value}' is no number"))?;
            state = if length == 0 {
                State::End
            } else {
                State::Length(length)
            };
        }
    }
    match head.status {
        100..=199 if head.status != 101 => state = State::Head,
        204 | 304 => state = State::End,
        _ => {}
    }
    head.is_finite = matches!(state, State::Length(_) | State::End);
    head.closes |= state == State::UntilClose && head.status != 101;
    Ok((head, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that comes out when `wire` arrives in pieces of `size` bytes.
    fn decode(wire: &[u8], size: usize) -> (Vec<Head>, Vec<u8>, usize) {
        let (mut decoder, mut heads, mut body, mut ends) =
            (Decoder::default(), Vec::new(), Vec::new(), 0);
        for mut bytes in wire.chunks(size) {
            loop {
                match decoder.next(&mut bytes).expect("a good response") {
                    Piece::More => break,
                    Piece::Head(head) => heads.push(head),
                    Piece::Data(data) => body.extend_from_slice(data),
                    Piece::End => ends += 1,
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
            let mut decoder = Decoder::default();
            let mut bytes = wire.as_bytes();
            let outcome = (0..3).find_map(|_| decoder.next(&mut bytes).err());
            assert!(outcome.is_some(), "{wire}");
        }
    }
}
