//! Request bodies: chunked ones are taken apart here, byte by byte as they come.

/// Longest line of a chunk's size and extensions, or of a trailer.
const MAX_LINE_BYTES: usize = 4096;

/// Most bytes of trailers, which are read and forgotten.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// Reads a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Default)]
pub(super) struct ChunkedReader {
    state: State,
    trailer_bytes: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

/// Why a chunked body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkError {
    /// It is not chunked as it should be.
    Malformed,
    /// It is larger than allowed, or says that it will be.
    TooLarge,
}

impl ChunkedReader {
    /// Takes what it can from `input` and appends data to `body`, up to `most` bytes; returns how many bytes it took.
    pub(super) fn read(&mut self, input: &[u8], body: &mut Vec<u8>, most: u64) -> Result<usize, ChunkError> {
        use ChunkError::{Malformed, TooLarge};
        let mut rest = input;
        loop {
            match &mut self.state {
                // `httparse` takes a line without digits for the size 0.
                State::Size if rest.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => return Err(Malformed),
                State::Size => match httparse::parse_chunk_size(rest) {
                    // The same limit as for a line that comes in pieces.
                    Ok(httparse::Status::Complete((taken, _))) if taken > MAX_LINE_BYTES + 1 => return Err(Malformed),
                    Ok(httparse::Status::Complete((_, size))) if size > most.saturating_sub(body.len() as u64) => return Err(TooLarge),
                    Ok(httparse::Status::Complete((taken, size))) => {
                        rest = &rest[taken..];
                        self.state = if size == 0 { State::Trailer } else { State::Data(size) };
                    }
                    Ok(httparse::Status::Partial) if rest.len() <= MAX_LINE_BYTES => break,
                    Ok(httparse::Status::Partial) | Err(_) => return Err(Malformed),
                },
                State::Data(left) => {
                    let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    body.extend_from_slice(&rest[..taken]);
                    rest = &rest[taken..];
                    *left -= taken as u64;
                    if *left > 0 {
                        break;
                    }
                    self.state = State::DataEnd;
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', after @ ..] => {
                        rest = after;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => break,
                    _ => return Err(Malformed),
                },
                State::Trailer => {
                    let Some(feed) = memchr::memchr(b'\n', rest) else {
                        if rest.len() > MAX_LINE_BYTES {
                            return Err(Malformed);
                        }
                        break;
                    };
                    if feed > MAX_LINE_BYTES {
                        return Err(Malformed);
                    }
                    let line = rest[..feed].trim_ascii_end();
                    if line.is_empty() {
                        self.state = State::Done;
                    }
                    rest = &rest[feed + 1..];
                    self.trailer_bytes += feed + 1;
                    if self.trailer_bytes > MAX_TRAILER_BYTES {
                        return Err(Malformed);
                    }
                }
                State::Done => break,
            }
        }
        Ok(input.len() - rest.len())
    }

    /// All of the body has been read.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let (mut reader, mut body, mut pending, mut taken) = (ChunkedReader::default(), Vec::new(), Vec::new(), 0);
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
        let input = b"5\r\nhello\r\n1;name=value\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET";
        for step in [1, 2, 3, 7, 100] {
            assert_eq!(read(input, step), Ok((b"hello 0123456789".to_vec(), input.len() - 3, true)), "{step}");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for input in [&b"x\r\n"[..], b"5\r\nhelloX\r\n", b"fffffffffffffffff\r\n", b"-1\r\n", b"5\nhello", b"\r\n\r\n", b";x\r\n"] {
            assert_eq!(read(input, 1).err(), Some(ChunkError::Malformed), "{input:?}");
        }
        assert_eq!(read(b"1; ".repeat(2000).as_slice(), 6000).err(), Some(ChunkError::Malformed), "a line without end");
        for long in [format!("1;{}\r\n", "x".repeat(5000)), format!("0\r\nT: {}\r\n\r\n", "x".repeat(5000))] {
            for step in [100, 10_000] {
                assert_eq!(read(long.as_bytes(), step).err(), Some(ChunkError::Malformed), "in pieces of {step}");
            }
        }
    }

    #[test]
    fn a_body_that_will_be_too_large_is_refused_at_once() {
        for input in [&b"11\r\n"[..], b"ffffffffffffffff\r\n", b"10\r\n0123456789abcdef\r\n1\r\n"] {
            assert_eq!(read(input, 1).err(), Some(ChunkError::TooLarge), "{input:?}");
        }
    }
}
