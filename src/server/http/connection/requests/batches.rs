//! Batches of messages on a connection: passes the bytes of a body to the publisher as they arrive,
//! and yields to other connections.

use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::super::Disconnected;
use super::reading::Awaited;
use super::{Requests, writing};
use crate::server::exchange::response::ResponseContext;
use crate::server::http::h1::chunked_body::{ChunkError, ChunkedReader};
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::h1::response::CONTINUE;
use crate::server::http::route::{PendingBody, ResponsePlan};
use crate::server::observe::limits_log::Limit;
use crate::server::push_stream::publish::batch::{Batch, Failure, Progress};

/// The rest of a failed batch is read for at most this long, so that the response reaches the
/// publisher.
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// A batch that a publisher sends on its connection.
pub(super) struct BatchUpload<'r, 'a> {
    requests: &'r mut Requests<'a>,
    batch: Box<Batch>,
    body: BatchBody,
    expects_continue: bool,
}

impl<'r, 'a> BatchUpload<'r, 'a> {
    pub(super) fn new(
        requests: &'r mut Requests<'a>,
        batch: Box<Batch>,
        pending: PendingBody,
    ) -> Self {
        let max = requests.connection.snapshot.limits.max_batch_bytes;
        let body = BatchBody {
            length: pending.length,
            chunks: ChunkedReader::default(),
            max,
            left: max,
        };
        Self {
            requests,
            batch,
            body,
            expects_continue: pending.expects_continue,
        }
    }

    /// Publishes the batch and responds to it. The connection stays open if the whole body was
    /// read.
    pub(super) async fn serve(mut self, context: ResponsePlan) -> Result<(), Disconnected> {
        self.requests.held = self.batch.own_bytes();
        let read = self.read_batch().await?;
        let Self {
            requests,
            mut batch,
            body,
            ..
        } = self;
        let outcome = batch.settle(read).await;
        let response = batch.response(outcome.err().as_ref());
        // Lines that were not published are freed before the next wait.
        drop(batch);
        requests.held = 0;
        requests.connection.socket.compact();
        requests.connection.socket.release_memory();
        let response = context.complete(response);
        let ResponsePlan {
            connection, log, ..
        } = context;
        if body.is_done() {
            requests.respond(response, connection, log).await.map(drop)
        } else {
            let connection = ResponseContext {
                keep_alive: false,
                ..connection
            };
            writing::write_response(requests, &response.closing(), connection, log);
            requests.flush().await?;
            if requests.connection.socket.outlet().shutdown_write().is_ok() {
                body.discard(requests).await?;
            }
            requests.linger().await;
            Err(Disconnected)
        }
    }

    /// Publishes the lines of the body as they arrive; the inner result is that of the batch.
    async fn read_batch(&mut self) -> Result<Result<(), Failure>, Disconnected> {
        let Self {
            requests,
            batch,
            body,
            expects_continue,
        } = self;
        if matches!(body.length, BodyLength::Bytes(length) if length > body.max) {
            batch.fail_next_line();
            return Ok(Err(too_large(body.max)));
        }
        if *expects_continue && requests.connection.socket.input().is_empty() {
            requests.writer.out().extend_from_slice(CONTINUE);
        }
        requests.flush().await?;
        loop {
            let read = body.read(requests.connection.socket.buffer(), batch.input());
            // Lines before an error are published.
            let at_end = matches!(read, Ok(true));
            loop {
                match batch.publish(requests.connection.socket.broker(), at_end) {
                    Ok(Progress::Done) => break,
                    Ok(Progress::Yield) => tokio::task::yield_now().await,
                    Ok(Progress::Wait) => {
                        if let Err(failure) = batch.acknowledge().await {
                            return Ok(Err(failure));
                        }
                    }
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
            requests.connection.socket.compact();
            if requests.reserve(batch.pending_bytes()).is_err() {
                batch.fail_next_line();
                return Ok(Err(Failure::new(
                    500,
                    "no memory left for the line (the bound is set by --memory)",
                )));
            }
            // Other connections have their turn even while this client sends faster than is read.
            tokio::task::yield_now().await;
            requests.fill_batch().await?;
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

    /// Reads and discards the rest of the body.
    async fn discard(mut self, requests: &mut Requests<'_>) -> Result<(), Disconnected> {
        let now = |requests: &Requests<'_>| requests.connection.socket.shard().running_time();
        let until = now(requests) + DISCARD_TIME;
        let mut left = self.max;
        while left > 0 && !self.skip(requests.connection.socket.buffer()) {
            let rest = until.saturating_sub(now(requests));
            if rest.is_zero() {
                break;
            }
            requests.connection.socket.compact();
            let before = requests.connection.socket.input().len();
            requests.fill(Awaited::Discarded, rest).await?;
            let after = requests.connection.socket.input().len();
            left = left.saturating_sub((after - before) as u64);
        }
        Ok(())
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
