//! Sending static files piece by piece, plain or compressed.

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt;

use super::FileBody;
use crate::server::exchange::compression;
use crate::server::exchange::compression::Deflating;
use crate::server::exchange::response::{Framing, Head, Response};
use crate::server::http::connection::Disconnected;
use crate::server::http::connection::requests::{Requests, ServeOutcome};
use crate::server::http::route::ResponsePlan;

impl Requests<'_> {
    /// Sends a file piece by piece.
    pub(in crate::server::http) async fn stream(
        &mut self,
        response: Response,
        file: FileBody,
        context: ResponsePlan,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let ResponsePlan {
            connection,
            added,
            mut log,
            ..
        } = context;
        let status = response.status;
        let response = response.with_headers(added.for_status(status.0));
        let framing = file
            .level
            .map_or(Framing::Raw, |_| Framing::of(connection.minor_version));
        // A compressed response has no length: in HTTP/1.0 it ends with the connection.
        let keep_alive = connection.keep_alive
            && !response.close
            && (file.level.is_none() || framing == Framing::Chunked);
        let start = self.out.len();
        Head {
            status: response.status,
            content_type: response.content_type.as_deref(),
            content_length: file.level.is_none().then_some(file.length),
            last_modified: response.last_modified.as_deref(),
            chunked: framing == Framing::Chunked && !connection.is_head,
            keep_alive,
            headers: &response.headers,
        }
        .write(&mut self.out);
        let head = log.as_ref().map(|_| self.out[start..].to_vec());
        let sent = match file.level {
            _ if connection.is_head => 0,
            None => self.send_plain(file.length, file.body).await?,
            Some(level) => {
                let mut pieces = FilePieces::new(file.length, file.body);
                self.send_compressed(&mut pieces, level, framing).await?
            }
        };
        if let (Some(log), Some(head)) = (&mut log, head) {
            log.add_received(self.received);
            log.record_response(&head, sent);
        }
        if keep_alive {
            return Ok(None);
        }
        self.close().await
    }

    /// Sends an uncompressed body; returns its length.
    async fn send_plain(&mut self, length: u64, body: Body) -> Result<u64, Disconnected> {
        let mut pieces = FilePieces::new(length, body);
        while let Some(piece) = pieces.next(self).await? {
            self.out.extend_from_slice(&piece);
            self.flush().await?;
        }
        Ok(length)
    }

    /// Sends a body compressed with gzip; returns its compressed length.
    async fn send_compressed(
        &mut self,
        pieces: &mut FilePieces,
        level: u32,
        framing: Framing,
    ) -> Result<u64, Disconnected> {
        self.held += compression::STATE_BYTES;
        self.reserve(0).map_err(|_| Disconnected)?;
        let mut deflating = Deflating::new(level);
        let mut packed = compression::HEADER.to_vec();
        let mut sent = 0;
        while let Some(piece) = pieces.next(self).await? {
            deflating.push(&piece, &mut packed);
            sent += packed.len() as u64;
            framing.piece(&packed, &mut self.out);
            packed.clear();
            self.flush().await?;
        }
        deflating.finish(&mut packed);
        framing.piece(&packed, &mut self.out);
        framing.last(&mut self.out);
        self.held -= compression::STATE_BYTES;
        Ok(sent + packed.len() as u64)
    }
}

/// The rest of a file that is being sent.
struct FilePieces {
    body: BodyDataStream,
    left: u64,
}

impl FilePieces {
    fn new(length: u64, body: Body) -> Self {
        Self {
            body: body.into_data_stream(),
            left: length,
        }
    }

    /// Reads the next piece; `None` at the end.
    async fn next(&mut self, requests: &mut Requests<'_>) -> Result<Option<Bytes>, Disconnected> {
        if self.left == 0 {
            return Ok(None);
        }
        // A file that has become shorter cannot be completed: the connection is closed early, so
        // that the client notices.
        let Some(Ok(piece)) = self.body.next().await else {
            requests.flush().await?;
            return Err(Disconnected);
        };
        let piece = piece.slice(
            ..piece
                .len()
                .min(usize::try_from(self.left).unwrap_or(usize::MAX)),
        );
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }
}
