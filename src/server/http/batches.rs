//! Batches of messages on a connection: brings their bytes to the publisher as they come, with
//! turns for the others.

use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::body::{ChunkError, ChunkedReader};
use super::connection::{Disconnected, Requests};
use super::head::BodyLength;
use super::log_entry::Entry;
use super::read::Awaited;
use crate::server::compression::Compression;
use crate::server::config::web::AddedHeaders;
use crate::server::limits_log::Limit;
use crate::server::publisher::batch::{Batch, Failure, Progress};
use crate::server::response::ResponseContext;

/// After a batch failed, the rest of what was on its way is read for so long, so that the answer
/// reaches the publisher.
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// How a batch ended.
type Outcome = Result<(), Failure>;

impl Requests<'_> {
    /// Publishes a batch and answers it. The connection goes on if the whole body was read.
    pub(super) async fn take_batch(
        &mut self,
        mut batch: Box<Batch>,
        length: BodyLength,
        (connection, added, compression, log): (
            ResponseContext,
            &AddedHeaders,
            &Compression,
            Option<Box<Entry>>,
        ),
        expects_continue: bool,
    ) -> Result<(), Disconnected> {
        let most = self.connection.site.limits.max_batch_bytes;
        let mut body = Body {
            length,
            chunks: ChunkedReader::default(),
            most,
            left: most,
        };
        self.held = batch.own_bytes();
        let outcome = self
            .read_batch(&mut batch, &mut body, expects_continue)
            .await?;
        let response = batch.response(outcome.err().as_ref());
        // Lines that were not published are given back before anybody is waited for.
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
        let connection = if body.is_done() {
            connection
        } else {
            ResponseContext {
                keep_alive: false,
                ..connection
            }
        };
        let connection = self.begin_answer(&response, connection, log);
        if body.is_done() {
            return if response.write(connection, &mut self.out) {
                Ok(())
            } else {
                self.close().await
            };
        }
        response.closing().write(connection, &mut self.out);
        self.flush().await?;
        if self.connection.outlet.shutdown_write().is_ok() {
            self.discard(body).await?;
        }
        self.linger().await;
        Err(Disconnected)
    }

    /// Reads the rest of a body and throws it away.
    async fn discard(&mut self, mut body: Body) -> Result<(), Disconnected> {
        let until = self.connection.shard.running_time() + DISCARD_TIME;
        let mut left = body.most;
        while left > 0 && !body.skips(&mut self.connection.buffer) {
            let rest = until.saturating_sub(self.connection.shard.running_time());
            if rest.is_zero() {
                break;
            }
            self.connection.compact();
            let before = self.connection.buffer.len();
            self.fill(Awaited::Rest, rest).await?;
            left = left.saturating_sub((self.connection.buffer.len() - before) as u64);
        }
        Ok(())
    }

    async fn read_batch(
        &mut self,
        batch: &mut Batch,
        body: &mut Body,
        expects_continue: bool,
    ) -> Result<Outcome, Disconnected> {
        if matches!(body.length, BodyLength::Bytes(length) if length > body.most) {
            batch.fail_next_line();
            return Ok(Err(too_large(body.most)));
        }
        if expects_continue && self.connection.buffer.is_empty() {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.flush().await?;
        loop {
            let read = body.read(&mut self.connection.buffer, batch.input());
            // What came before a mistake is published.
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
            if self.cover(batch.pending_bytes()).is_err() {
                batch.fail_next_line();
                return Ok(Err(Failure::new(
                    500,
                    "no memory left for the line (the bound is set by --memory)",
                )));
            }
            // Others have their turn even while this client sends faster than we read.
            tokio::task::yield_now().await;
            self.fill_batch().await?;
        }
    }
}

/// The rest of a batch's body.
struct Body {
    length: BodyLength,
    chunks: ChunkedReader,
    /// Most bytes of a batch.
    most: u64,
    /// Bytes that it may still have.
    left: u64,
}

impl Body {
    /// All of it has been read.
    fn is_done(&self) -> bool {
        match self.length {
            BodyLength::None | BodyLength::Bytes(0) => true,
            BodyLength::Bytes(_) => false,
            BodyLength::Chunked => self.chunks.is_done(),
        }
    }

    /// Throws away what belongs to the body; true when nothing more of it can be read.
    fn skips(&mut self, buffer: &mut BytesMut) -> bool {
        self.left = u64::MAX;
        self.read(buffer, &mut Vec::new()) != Ok(false)
    }

    /// Moves what belongs to the body from `buffer` to `out`; true when that was all of it.
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
                    Err(ChunkError::TooLarge) => Err(too_large(self.most)),
                }
            }
        }
    }
}

fn too_large(most: u64) -> Failure {
    Limit::Batch.log();
    Failure::new(
        413,
        format!("the batch is larger than {most} bytes (--max-batch-size)"),
    )
}
