//! What a connection reads while it serves requests: heads and bodies, each within its time and its bounds.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use super::body::{ChunkError, ChunkedReader};
use super::connection::{Over, Requests};
use super::head::BodyLength;
use crate::server::broker::Reservation;
use crate::server::fanout::Interruption;
use crate::server::response::{Response, Status};

impl Requests<'_> {
    /// Reads a body of up to `most` bytes; else gives the error response.
    pub(super) async fn read_body(
        &mut self,
        length: BodyLength,
        most: u64,
        expects_continue: bool,
    ) -> Result<Result<Bytes, Response>, Over> {
        let buffer = &mut self.connection.buffer;
        let wanted = match length {
            BodyLength::None => return Ok(Ok(Bytes::new())),
            BodyLength::Bytes(length) if length <= buffer.len() as u64 => {
                let length = length as usize;
                let body = Bytes::copy_from_slice(&buffer[..length]);
                buffer.advance(length);
                return Ok(Ok(body));
            }
            BodyLength::Bytes(length) if length > most => return Ok(Err(too_large())),
            BodyLength::Bytes(length) => Some(length as usize),
            BodyLength::Chunked => None,
        };
        if expects_continue && buffer.is_empty() {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.flush().await?;
        let mut reservation = self.connection.shard.broker().reservation();
        match wanted {
            Some(wanted) => {
                while self.connection.buffer.len() < wanted {
                    self.fill_body().await?;
                    if reservation.cover(self.connection.buffer.len() as u64).is_err() {
                        return Ok(Err(no_memory()));
                    }
                }
                // A copy of its own size: the buffer's memory is larger, and the limit on memory would not know.
                Ok(Ok(Bytes::copy_from_slice(&self.connection.buffer.split_to(wanted))))
            }
            None => self.read_chunked(most, reservation).await,
        }
    }

    async fn read_chunked(&mut self, most: u64, mut reservation: Reservation) -> Result<Result<Bytes, Response>, Over> {
        let mut reader = ChunkedReader::default();
        let mut body = Vec::new();
        loop {
            match reader.read(&self.connection.buffer, &mut body, most) {
                Ok(taken) => self.connection.buffer.advance(taken),
                Err(ChunkError::Malformed) => return Ok(Err(Response::error_page(Status::BAD_REQUEST).closing())),
                Err(ChunkError::TooLarge) => return Ok(Err(too_large())),
            }
            if reader.is_done() {
                return Ok(Ok(Bytes::from(body)));
            }
            if reservation.cover((body.len() + self.connection.buffer.len()) as u64).is_err() {
                return Ok(Err(no_memory()));
            }
            self.fill_body().await?;
        }
    }

    /// Waits for the next request.
    pub(super) async fn fill_idle(&mut self) -> Result<(), Over> {
        // The memory of large requests is not kept.
        self.connection.buffer = BytesMut::new();
        self.out = Vec::new();
        let limits = &self.connection.site.limits;
        let timeout = if self.served_any { limits.keepalive_timeout } else { limits.header_timeout };
        self.fill(timeout, true).await
    }

    /// Waits for more of a head.
    pub(super) async fn fill_head(&mut self) -> Result<(), Over> {
        self.flush().await?;
        let since = *self.head_since.get_or_insert_with(Instant::now);
        let left = self.connection.site.limits.header_timeout.saturating_sub(since.elapsed());
        self.fill(left, false).await
    }

    /// Waits for more of a body.
    pub(super) async fn fill_body(&mut self) -> Result<(), Over> {
        self.fill(self.connection.site.limits.body_timeout, false).await
    }

    pub(super) async fn fill(&mut self, timeout: Duration, idle: bool) -> Result<(), Over> {
        let connection = &mut *self.connection;
        let mut has_deadline = false;
        let filled = poll_fn(|cx| {
            if let Poll::Ready(filled) = connection.poll_fill(cx) {
                return Poll::Ready(filled.map(drop));
            }
            if !has_deadline {
                has_deadline = true;
                connection.shard.set_deadline(connection.key, Some(timeout));
            }
            connection.shard.interruption(connection.key, idle, cx).map_or(Poll::Pending, |interruption| {
                if interruption == Interruption::Expired && !idle {
                    tracing::debug!("a request took too long");
                }
                Poll::Ready(Err(Over))
            })
        });
        let filled = filled.await;
        if has_deadline {
            self.connection.shard.set_deadline(self.connection.key, None);
        }
        filled
    }
}

/// There is no room for the body while it comes in.
fn no_memory() -> Response {
    Response::error_page(Status::INTERNAL).closing()
}

fn too_large() -> Response {
    Response::error_page(Status(413)).closing()
}
