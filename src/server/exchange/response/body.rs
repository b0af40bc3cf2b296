//! The payload of a response.

use bytes::Bytes;

use crate::server::exchange::buffer_pool;

/// The body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// There is none, and no length, as with 204 and 304.
    None,
    /// Sent with `Content-Length`.
    Sized(Bytes),
    /// As [`ResponseBody::Sized`], in a buffer that is reused after it was sent.
    Buffer(Vec<u8>),
    /// Sent as one chunk per piece; to HTTP/1.0 clients unframed, up to the end of the connection.
    Pieces(Vec<Bytes>),
}

impl ResponseBody {
    /// Returns the length in bytes, without the framing of pieces.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Sized(body) => body.len() as u64,
            Self::Buffer(body) => body.len() as u64,
            Self::Pieces(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
        }
    }

    /// Whether the length is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets the next response of the thread use the buffer.
    pub(in crate::server) fn reuse(self) {
        if let Self::Buffer(buffer) = self {
            buffer_pool::give(buffer);
        }
    }
}
