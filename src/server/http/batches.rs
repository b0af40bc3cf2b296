//! Batches of messages on a connection: brings their bytes to the publisher as they come, with turns for the others.

use std::time::{Duration, Instant};

use bytes::Buf;

use super::access_log::Entry;
use super::body::{ChunkError, ChunkedReader};
use super::connection::{Over, Requests};
use super::head::BodyLength;
use super::sending::note;
use crate::server::config::web::Added;
use crate::server::publisher::batch::{Batch, Failure, Progress};
use crate::server::response::{Connection, Response};

/// After a batch failed, the rest of what was on its way is read for so long, so that the answer reaches the publisher.
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// How a batch ended.
type Outcome = Result<(), Failure>;

impl Requests<'_> {
    /// Publishes a batch and answers it. The connection goes on if the whole body was read.
    pub(super) async fn take_batch(
        &mut self,
        batch: &mut Batch,
        length: BodyLength,
        (connection, added, mut log): (Connection, &Added, Option<Box<Entry>>),
        expects_continue: bool,
    ) -> Result<(), Over> {
        let response = match self.read_batch(batch, length, expects_continue).await? {
            Ok(()) => batch.response(None),
            Err(failure) => batch.response(Some(&failure)).closing(),
        };
        let status = response.status.0;
        let response = if added.is_empty() { response } else { response.with_headers(added.of(status)) };
        note(log.as_mut(), status, Some(response.body.len()));
        self.answer_batch(&response, connection).await
    }

    async fn answer_batch(&mut self, response: &Response, connection: Connection) -> Result<(), Over> {
        if response.write(connection, &mut self.out) {
            return Ok(());
        }
        self.flush().await?;
        let until = Instant::now() + DISCARD_TIME;
        let mut left = self.connection.site.limits.max_batch_bytes;
        while response.close && left > 0 {
            left = left.saturating_sub(self.connection.buffer.len() as u64);
            self.connection.buffer.clear();
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                break;
            }
            self.fill(rest, true).await?;
        }
        self.linger().await;
        Err(Over)
    }

    async fn read_batch(&mut self, batch: &mut Batch, length: BodyLength, expects_continue: bool) -> Result<Outcome, Over> {
        let most = self.connection.site.limits.max_batch_bytes;
        if matches!(length, BodyLength::Bytes(length) if length > most) {
            batch.fail_next_line();
            return Ok(Err(too_large(most)));
        }
        if expects_continue && self.connection.buffer.is_empty() {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.flush().await?;
        let mut body = Body { length, chunks: ChunkedReader::default(), most, left: most };
        let mut reservation = self.connection.shard.broker().reservation();
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
            let held = batch.pending_bytes() + self.connection.buffer.len();
            if reservation.cover(held).is_err() {
                batch.fail_next_line();
                return Ok(Err(Failure::new(500, "no memory left for the line (the bound is set by --memory)")));
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
    /// Moves what belongs to the body from `buffer` to `out`; true when that was all of it.
    fn read(&mut self, buffer: &mut bytes::BytesMut, out: &mut Vec<u8>) -> Result<bool, Failure> {
        match &mut self.length {
            BodyLength::None => Ok(true),
            BodyLength::Bytes(length) => {
                let taken = buffer.len().min(usize::try_from(*length).unwrap_or(usize::MAX));
                out.extend_from_slice(&buffer[..taken]);
                buffer.advance(taken);
                *length -= taken as u64;
                Ok(*length == 0)
            }
            BodyLength::Chunked => {
                let before = out.len();
                let read = self.chunks.read(buffer, out, self.left.saturating_add(before as u64));
                self.left = self.left.saturating_sub((out.len() - before) as u64);
                match read {
                    Ok(taken) => {
                        buffer.advance(taken);
                        Ok(self.chunks.is_done())
                    }
                    Err(ChunkError::Malformed) => Err(Failure::new(400, "the chunks of the body are malformed")),
                    Err(ChunkError::TooLarge) => Err(too_large(self.most)),
                }
            }
        }
    }
}

fn too_large(most: u64) -> Failure {
    Failure::new(413, format!("the batch is larger than {most} bytes (--max-batch-size)"))
}
