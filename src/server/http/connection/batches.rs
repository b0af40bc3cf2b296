//! Batches of messages on a connection: passes the bytes of a body to the publisher as they arrive,
//! and yields to other connections.

use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::Disconnected;
use crate::server::http::h1::chunked_body::{ChunkError, ChunkedReader};
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::log_entry::LogEntry;

use super::read::Awaited;
use super::requests::Requests;
use crate::server::exchange::response::{Response, ResponseContext};
use crate::server::http::route::{PendingBody, ResponsePlan};
use crate::server::observe::limits_log::Limit;
use crate::server::push_stream::publish::batch::{Batch, Failure, Progress};

/// The rest of a failed batch is read for at most this long, so that the response reaches the
/// publisher.
const DISCARD_TIME: Duration = Duration::from_secs(10);

impl Requests<'_> {
    /// Publishes a batch and responds to it. The connection stays open if the whole body was read.
    pub(in crate::server) async fn publish_batch(
        &mut self,
        mut batch: Box<Batch>,
        pending: PendingBody,
        context: ResponsePlan,
    ) -> Result<(), Disconnected> {
        let ResponsePlan {
            connection,
            added,
            compression,
            log,
            ..
        } = context;
        let max = self.connection.snapshot.limits.max_batch_bytes;
        let mut body = BatchBody {
            length: pending.length,
            chunks: ChunkedReader::default(),
            max,
            left: max,
        };
        self.held = batch.own_bytes();
        let outcome = self
            .read_batch(&mut batch, &mut body, pending.expects_continue)
            .await?;
        let response = batch.response(outcome.err().as_ref());
        // Lines that were not published are freed before the next wait.
        drop(batch);
        self.held = 0;
        self.connection.compact();
        self.connection.waiting.release();
        let status = response.status.0;
        let response = if added.is_empty() {
            response
        } else {
            response.with_headers(added.for_status(status))
        };
        let response = compression.apply(response, connection.is_head);
        self.respond_to_batch(response, body, connection, log).await
    }

    /// Sends the response to a batch. If its body is incomplete the rest is discarded, and the
    /// connection is closed.
    async fn respond_to_batch(
        &mut self,
        response: Response,
        body: BatchBody,
        connection: ResponseContext,
        log: Option<Box<LogEntry>>,
    ) -> Result<(), Disconnected> {
        let connection = if body.is_done() {
            connection
        } else {
            ResponseContext {
                keep_alive: false,
                ..connection
            }
        };
        if body.is_done() {
            return if self.write_response(&response, connection, log) {
                Ok(())
            } else {
                self.close().await
            };
        }
        self.write_response(&response.closing(), connection, log);
        self.flush().await?;
        if self.connection.outlet.shutdown_write().is_ok() {
            self.discard(body).await?;
        }
        self.linger().await;
        Err(Disconnected)
    }

    /// Reads and discards the rest of a body.
    async fn discard(&mut self, mut body: BatchBody) -> Result<(), Disconnected> {
        let until = self.connection.shard.running_time() + DISCARD_TIME;
        let mut left = body.max;
        while left > 0 && !body.skip(&mut self.connection.buffer) {
            let rest = until.saturating_sub(self.connection.shard.running_time());
            if rest.is_zero() {
                break;
            }
            self.connection.compact();
            let before = self.connection.buffer.len();
            self.fill(Awaited::Discarded, rest).await?;
            left = left.saturating_sub((self.connection.buffer.len() - before) as u64);
        }
        Ok(())
    }

    /// Publishes the lines of a body as they arrive; the inner result is that of the batch.
    async fn read_batch(
        &mut self,
        batch: &mut Batch,
        body: &mut BatchBody,
        expects_continue: bool,
    ) -> Result<Result<(), Failure>, Disconnected> {
        if matches!(body.length, BodyLength::Bytes(length) if length > body.max) {
            batch.fail_next_line();
            return Ok(Err(too_large(body.max)));
        }
        if expects_continue && self.connection.buffer.is_empty() {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.flush().await?;
        loop {
            let read = body.read(&mut self.connection.buffer, batch.input());
            // Lines before an error are published.
            let at_end = matches!(read, Ok(true));
            loop {
                match batch.publish(self.connection.shard.broker(), at_end) {
                    Ok(Progress::Done) => break,
                    Ok(Progress::Yield) => tokio::task::yield_now().await,
                    Err(failure) => return Ok(Err(failure)),
                }
            }
            match read {
                Ok(true) => return Ok(Ok(())),
                Ok(false) => {}
                Err(failure) => {
                    batch.fail_next_line();
                    return Ok(Err(failure));
                }
            }
            self.connection.compact();
            if self.reserve(batch.pending_bytes()).is_err() {
                batch.fail_next_line();
                return Ok(Err(Failure::new(
                    500,
                    "no memory left for the line (the bound is set by --memory)",
                )));
            }
            // Other connections have their turn even while this client sends faster than is read.
            tokio::task::yield_now().await;
            self.fill_batch().await?;
        }
    }
}

/// The rest of the body of a batch.
struct BatchBody {
    length: BodyLength,
    chunks: ChunkedReader,
    /// Largest batch in bytes.
    max: u64,
    /// Bytes that may still follow.
    left: u64,
}

impl BatchBody {
    /// Returns whether all of it has been read.
    fn is_done(&self) -> bool {
        match self.length {
            BodyLength::None | BodyLength::Bytes(0) => true,
            BodyLength::Bytes(_) => false,
            BodyLength::Chunked => self.chunks.is_done(),
        }
    }

    /// Discards the part of the body in `buffer`; returns true when nothing more of it can be read.
    fn skip(&mut self, buffer: &mut BytesMut) -> bool {
        self.left = u64::MAX;
        self.read(buffer, &mut Vec::new()) != Ok(false)
    }

    /// Moves the part of the body in `buffer` to `out`; returns true at the end of the body.
    fn read(&mut self, buffer: &mut BytesMut, out: &mut Vec<u8>) -> Result<bool, Failure> {
        match &mut self.length {
            BodyLength::None => Ok(true),
            BodyLength::Bytes(length) => {
                let taken = buffer
                    .len()
                    .min(usize::try_from(*length).unwrap_or(usize::MAX));
                out.extend_from_slice(&buffer[..taken]);
                buffer.advance(taken);
                *length -= taken as u64;
                Ok(*length == 0)
            }
            BodyLength::Chunked => {
                let before = out.len();
                let read = self
                    .chunks
                    .read(buffer, out, self.left.saturating_add(before as u64));
                self.left = self.left.saturating_sub((out.len() - before) as u64);
                match read {
                    Ok(taken) => {
                        buffer.advance(taken);
                        Ok(self.chunks.is_done())
                    }
                    Err(ChunkError::Malformed) => {
                        Err(Failure::new(400, "the chunks of the body are malformed"))
                    }
                    Err(ChunkError::TooLarge) => Err(too_large(self.max)),
                }
            }
        }
    }
}

fn too_large(max: u64) -> Failure {
    Limit::Batch.log();
    Failure::new(
        413,
        format!("the batch is larger than {max} bytes (--max-batch-size)"),
    )
}
