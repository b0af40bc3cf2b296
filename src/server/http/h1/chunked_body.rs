//! Chunked request bodies, parsed as their bytes arrive.

use crate::protocol::is_token;

/// Longest line with the size and extensions of a chunk, or with a trailer.
const MAX_LINE_BYTES: usize = 4096;

/// Most bytes of trailers, which are ignored.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// Reads a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Default)]
pub(in crate::server) struct ChunkedReader {
    state: ChunkState,
    trailer_bytes: usize,
}

#[derive(Debug, Default)]
enum ChunkState {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

/// Why a chunked body is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum ChunkError {
    /// Its framing is invalid.
    Malformed,
    /// It is larger than allowed, or announces a chunk that makes it so.
    TooLarge,
}

impl ChunkedReader {
    /// Parses `input`, and appends data to `body`, up to `max` bytes. Returns the number of bytes
    /// that were parsed; the others must be passed again with more input.
    pub(in crate::server) fn read(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        max: u64,
    ) -> Result<usize, ChunkError> {
        use ChunkError::{Malformed, TooLarge};
        let mut rest = input;
        loop {
            match &mut self.state {
                ChunkState::Size => {
                    let Some(ChunkLine { text, after }) = next_line(rest)? else {
                        break;
                    };
                    let size = parse_chunk_size(text)?;
                    if size > max.saturating_sub(body.len() as u64) {
                        return Err(TooLarge);
                    }
                    rest = after;
                    self.state = if size == 0 {
                        ChunkState::Trailer
                    } else {
                        ChunkState::Data(size)
                    };
                }
                ChunkState::Data(left) => {
                    let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    body.extend_from_slice(&rest[..taken]);
                    rest = &rest[taken..];
                    *left -= taken as u64;
                    if *left > 0 {
                        break;
                    }
                    self.state = ChunkState::DataEnd;
                }
                ChunkState::DataEnd => match rest {
                    [b'\r', b'\n', after @ ..] => {
                        rest = after;
                        self.state = ChunkState::Size;
                    }
                    [] | [b'\r'] => break,
                    _ => return Err(Malformed),
                },
                ChunkState::Trailer => {
                    let Some(ChunkLine { text, after }) = next_line(rest)? else {
                        break;
                    };
                    self.read_trailer(text, rest.len() - after.len())?;
                    rest = after;
                }
                ChunkState::Done => break,
            }
        }
        Ok(input.len() - rest.len())
    }

    /// Checks a trailer, which takes `bytes` with its line end; an empty line ends the body.
    fn read_trailer(&mut self, text: &[u8], bytes: usize) -> Result<(), ChunkError> {
        self.trailer_bytes += bytes;
        if self.trailer_bytes > MAX_TRAILER_BYTES || !(text.is_empty() || is_field(text)) {
            return Err(ChunkError::Malformed);
        }
        if text.is_empty() {
            self.state = ChunkState::Done;
        }
        Ok(())
    }

    /// Returns whether the whole body has been parsed.
    pub(in crate::server) fn is_done(&self) -> bool {
        matches!(self.state, ChunkState::Done)
    }
}

/// A line without its CRLF.
struct ChunkLine<'a> {
    text: &'a [u8],
    after: &'a [u8],
}

/// Returns the line at the front of `input`; `None` if it is incomplete. A bare line feed or
/// carriage return is an error: another parser might find a different end of the body (request
/// smuggling).
fn next_line(input: &[u8]) -> Result<Option<ChunkLine<'_>>, ChunkError> {
    let Some(end) = memchr::memchr2(b'\r', b'\n', input) else {
        return if input.len() > MAX_LINE_BYTES {
            Err(ChunkError::Malformed)
        } else {
            Ok(None)
        };
    };
    if end > MAX_LINE_BYTES {
        return Err(ChunkError::Malformed);
    }
    match &input[end..] {
        [b'\r'] => Ok(None),
        [b'\r', b'\n', after @ ..] => Ok(Some(ChunkLine {
            text: &input[..end],
            after,
        })),
        _ => Err(ChunkError::Malformed),
    }
}

/// Parses the size in the first line of a chunk; extensions are ignored.
fn parse_chunk_size(line: &[u8]) -> Result<u64, ChunkError> {
    let length = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, extensions) = line.split_at(length);
    if digits.is_empty() || !is_extensions(extensions) {
        return Err(ChunkError::Malformed);
    }
    digits.iter().try_fold(0_u64, |size, digit| {
        let value = char::from(*digit).to_digit(16).map(u64::from);
        size.checked_mul(16)
            .zip(value)
            .map(|(size, value)| size + value)
            .ok_or(ChunkError::Malformed)
    })
}

/// Returns whether the text may follow the size of a chunk: nothing, or extensions with closed
/// quoted strings.
fn is_extensions(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let mut bytes = text.iter();
    let mut is_quoted = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted && bytes.next().is_some_and(|byte| is_text(*byte)) => {}
            byte if is_text(*byte) && !(is_quoted && *byte == b'\\') => {}
            _ => return false,
        }
    }
    !is_quoted && (text.is_empty() || text[0] == b';')
}

/// Returns whether a line is a header field (RFC 9112, section 5).
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else {
        return false;
    };
    colon > 0
        && line[..colon].iter().all(is_token)
        && line[colon + 1..].iter().all(|byte| is_text(*byte))
}

/// Returns whether the byte is neither a control byte nor the end of a line.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let (mut reader, mut body, mut pending, mut taken) =
            (ChunkedReader::default(), Vec::new(), Vec::new(), 0);
        for piece in input.chunks(step) {
            pending.extend_from_slice(piece);
            let used = reader.read(&pending, &mut body, 16)?;
            pending.drain(..used);
            taken += used;
        }
        Ok((body, taken, reader.is_done()))
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let input = b"0005 \r\nhello\r\n1 ;name=value;other=\"a;\\\"b\"\r\n \r\nA\t\r\n\
                      0123456789\r\n0\r\nTrailer: x\r\nA:\r\n\r\nGET";
        for step in [1, 2, 3, 7, 100] {
            assert_eq!(
                read(input, step),
                Ok((b"hello 0123456789".to_vec(), input.len() - 3, true)),
                "{step}"
            );
        }
    }

    #[test]
    fn malformed_chunks_are_rejected() {
        for input in [
            &b"x\r\n"[..],
            b"5\r\nhelloX\r\n",
            b"5\r\nhello\n",
            b"5\r\nhello0\r\n\r\n",
            b"fffffffffffffffff\r\n",
            b"-1\r\n",
            b"0x5\r\n",
            b"5\nhello",
            b"5\rX\n",
            b"5\r\rhello",
            b"5 x\r\n",
            b"5\x0b\r\n",
            b"5,a\r\n",
            b" 5\r\n",
            b"\r\n\r\n",
            b";x\r\n",
            b"5;\nxx\r\n",
            b"5;a\rb\r\n",
            b"5;a=\"x\r\n",
            b"5;a=\"\\\r\n",
            b"5;\0\r\n",
            b"0\n\n",
            b"0\r\n\n",
            b"0\r\n \r\n",
            b"0\r\n\r\r\n",
            b"0\r\n\rX",
            b"0\r\nX\r\n",
            b"0\r\n: x\r\n",
            b"0\r\nT : x\r\n",
            b"0\r\nT: x\n",
            b"0\r\nT: x\ry\r\n",
            b"0\r\nT: \0\r\n",
            b"0\r\nT: x\r\n y\r\n",
            b"0\r\nGET /x HTTP/1.1\r\n",
        ] {
            for step in [1, 100] {
                assert_eq!(
                    read(input, step).err(),
                    Some(ChunkError::Malformed),
                    "{} in pieces of {step}",
                    input.escape_ascii()
                );
            }
        }
        assert_eq!(
            read(b"1; ".repeat(2000).as_slice(), 6000).err(),
            Some(ChunkError::Malformed),
            "a line without end"
        );
        for long in [
            format!("1;{}\r\n", "x".repeat(5000)),
            format!("0\r\nT: {}\r\n\r\n", "x".repeat(5000)),
        ] {
            for step in [100, 10_000] {
                assert_eq!(
                    read(long.as_bytes(), step).err(),
                    Some(ChunkError::Malformed),
                    "in pieces of {step}"
                );
            }
        }
    }

    #[test]
    fn a_body_that_will_be_too_large_is_rejected_at_once() {
        for input in [
            &b"11\r\n"[..],
            b"ffffffffffffffff\r\n",
            b"10\r\n0123456789abcdef\r\n1\r\n",
        ] {
            assert_eq!(
                read(input, 1).err(),
                Some(ChunkError::TooLarge),
                "{input:?}"
            );
        }
    }
}
