//! The body of a static file, piece by piece.

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt;

/// The rest of a file that is being sent.
pub(in crate::server::http) struct FilePieces {
    body: BodyDataStream,
    left: u64,
}

impl FilePieces {
    pub(super) fn new(length: u64, body: Body) -> Self {
        Self {
            body: body.into_data_stream(),
            left: length,
        }
    }

    /// Reads the next piece; `None` at the end.
    ///
    /// # Errors
    /// The file has become shorter, or cannot be read.
    pub(in crate::server::http) async fn next(&mut self) -> Result<Option<Bytes>, IncompleteFile> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(Ok(piece)) = self.body.next().await else {
            return Err(IncompleteFile);
        };
        let length = piece
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let piece = piece.slice(..length);
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }
}

/// The rest of a file cannot be read.
pub(in crate::server::http) struct IncompleteFile;
