//! Framing of bodies whose length is not known in advance.

/// The head of an HTTP/1.1 chunk: its length and a line end.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHead {
    bytes: [u8; Self::MAX_BYTES],
    start: usize,
}

/// Framing of a body without known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// HTTP/1.1 chunks.
    Chunked,
    /// None: the body ends with the connection.
    Raw,
}

impl ChunkHead {
    /// Length of the longest head.
    pub const MAX_BYTES: usize = 2 * size_of::<usize>() + 2;

    /// The head of a chunk with this length.
    #[must_use]
    pub fn of(length: usize) -> Self {
        let mut bytes = [0; Self::MAX_BYTES];
        let mut start = Self::MAX_BYTES - 2;
        bytes[start..].copy_from_slice(b"\r\n");
        let mut rest = length;
        loop {
            start -= 1;
            bytes[start] = b"0123456789abcdef"[rest & 15];
            rest >>= 4;
            if rest == 0 {
                return Self { bytes, start };
            }
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Reads the head at the front of `chunks`, which [`ChunkHead::of`] has made. Returns the
    /// length of its chunk, and the bytes after the head; `None` if there are no more chunks.
    #[must_use]
    pub fn parse(chunks: &[u8]) -> Option<(usize, &[u8])> {
        let end = memchr::memchr(b'\r', chunks)?;
        let length = chunks[..end].iter().fold(0, |length, digit| {
            let digit = (*digit as char).to_digit(16).unwrap_or(0);
            (length << 4) | digit as usize
        });
        Some((length, &chunks[end + 2..]))
    }
}

impl Framing {
    /// Returns the framing for a client of HTTP/1.`minor_version`.
    #[must_use]
    pub fn of(minor_version: u8) -> Self {
        if minor_version == 0 {
            Framing::Raw
        } else {
            Framing::Chunked
        }
    }

    /// Appends a piece with its framing. An empty piece is skipped: it would end a chunked body.
    pub fn piece(self, piece: &[u8], out: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        self.begin(piece.len(), out);
        out.extend_from_slice(piece);
        self.end(out);
    }

    /// Appends the framing before a piece of `length` bytes, which must not be 0.
    pub fn begin(self, length: usize, out: &mut Vec<u8>) {
        if self == Framing::Chunked {
            out.extend_from_slice(ChunkHead::of(length).as_bytes());
        }
    }

    /// Appends the framing after a piece.
    pub fn end(self, out: &mut Vec<u8>) {
        if self == Framing::Chunked {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Appends the end of the body.
    pub fn last(self, out: &mut Vec<u8>) {
        if self == Framing::Chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_chunk_has_no_leading_zeros_and_is_read_back() {
        for (length, head) in [
            (0, "0\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (0xabcdef, "abcdef\r\n"),
            (usize::MAX, "ffffffffffffffff\r\n"),
        ] {
            let written = ChunkHead::of(length);
            assert_eq!(written.as_bytes(), head.as_bytes());
            let chunk = [written.as_bytes(), b"rest"].concat();
            assert_eq!(ChunkHead::parse(&chunk), Some((length, &b"rest"[..])));
        }
        assert_eq!(ChunkHead::parse(b""), None);
    }

    #[test]
    fn each_piece_becomes_a_chunk_and_empty_pieces_are_skipped() {
        let mut out = Vec::new();
        Framing::Chunked.piece(b"", &mut out);
        Framing::Chunked.piece(&[b'x'; 26], &mut out);
        Framing::Chunked.last(&mut out);
        assert_eq!(
            out,
            [&b"1a\r\n"[..], &[b'x'; 26], b"\r\n0\r\n\r\n"].concat()
        );
    }
}
