//! Framing of bodies whose length is not known in advance.

use super::ResponseBody;

/// Framing of a body without known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// HTTP/1.1 chunks.
    Chunked,
    /// None: the body ends with the connection.
    Raw,
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
            push_hex(length, out);
            out.extend_from_slice(b"\r\n");
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

impl ResponseBody {
    /// Returns the length on the wire, in bytes.
    #[must_use]
    pub fn sent_bytes(&self, framing: Framing) -> u64 {
        match self {
            ResponseBody::Sized(_) | ResponseBody::Buffer(_) => self.len(),
            ResponseBody::Pieces(pieces) => {
                let mut ends = Vec::new();
                framing.last(&mut ends);
                pieces
                    .iter()
                    .filter(|piece| !piece.is_empty())
                    .for_each(|piece| {
                        framing.begin(piece.len(), &mut ends);
                        framing.end(&mut ends);
                    });
                ends.len() as u64 + self.len()
            }
        }
    }
}

fn push_hex(number: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    out.extend(
        (0..digits)
            .rev()
            .map(|digit| b"0123456789abcdef"[(number >> (digit * 4)) & 15]),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

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
