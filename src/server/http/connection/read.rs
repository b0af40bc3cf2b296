//! Reading while a connection serves requests: heads and bodies, each within its time limit and
//! size limit.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::requests::Requests;
use super::{Connection, Disconnected};
use crate::server::broker::Incident;
use crate::server::exchange::buffer_pool;
use crate::server::exchange::response::{Response, Status};
use crate::server::fanout::Interruption;
use crate::server::http::h1::chunked_body::{ChunkError, ChunkedReader};
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::pace::Pace;
use crate::server::http::replay::RequestCache;
use crate::server::http::route::PendingBody;
use crate::server::observe::limits_log::Limit;

/// Most bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Most bytes that are read and discarded after the last response, or of an unused body.
pub(in crate::server) const LINGER_BYTES: usize = 4 * 1024 * 1024;

thread_local! {
    /// Every read of the thread goes here first. It is borrowed while a request is replayed and its
    /// followers are served: none of that may read from a socket.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

impl Connection {
    /// Reads available input into the buffer; the error is the end of the connection.
    pub(in crate::server) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Disconnected>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let read = ready!(self.poll_read(cx, scratch))?;
            self.buffer.extend_from_slice(&scratch[..read]);
            Poll::Ready(Ok(read))
        })
    }

    /// Reads available input into `scratch`; the error is the end of the connection.
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<Result<usize, Disconnected>> {
        Poll::Ready(match ready!(self.outlet.poll_read(cx, scratch)) {
            Ok(read) if read > 0 => Ok(read),
            Ok(_) => Err(Disconnected),
            Err(error) => {
                self.record_failure(&error);
                Err(Disconnected)
            }
        })
    }

    /// Grows the buffer to the exact size of a body when half of it has arrived. Doubling would
    /// take up to twice as much memory.
    fn grow_for_rest(&mut self, wanted: usize) {
        let buffer = &self.buffer;
        if buffer.capacity() < wanted && buffer.len() >= wanted / 2 {
            let mut exact = BytesMut::with_capacity(wanted);
            exact.extend_from_slice(buffer);
            self.buffer = exact;
        }
    }

    /// Shuts down the write side, and reads for at most `linger_time` and [`LINGER_BYTES`], while
    /// `keeps_reading` returns true for the contents of the buffer: closing a socket with unread
    /// bytes, or before they arrive, would discard the end of the response. Ends early when the
    /// server stops or its listener is closed.
    pub(in crate::server) async fn linger(
        &mut self,
        mut keeps_reading: impl FnMut(&mut Self) -> bool,
    ) {
        self.waiting.release();
        self.poll_cache = RequestCache::default();
        if self.outlet.shutdown_write().is_err() {
            return;
        }
        self.shard
            .set_deadline(self.key, Some(self.snapshot.limits.linger_time));
        let mut left = LINGER_BYTES;
        poll_fn(|cx| {
            loop {
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(read)) if read <= left && keeps_reading(self) => left -= read,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => {
                        let interruption =
                            self.shard
                                .interruption(self.key, true, || self.outlet.has_input(), cx);
                        if interruption == Some(Interruption::Expired) {
                            self.record_end(Incident::LingerTimeout);
                        }
                        return if interruption.is_some() || self.slot.is_closed() {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        };
                    }
                }
            }
        })
        .await;
        self.shard.set_deadline(self.key, None);
    }
}

impl Requests<'_> {
    /// As [`Connection::poll_fill`], at the start of a request.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let read = ready!(self.connection.poll_read(cx, scratch))?;
            self.begin(&scratch[..read]);
            Poll::Ready(Ok(()))
        })
    }

    /// As [`Requests::poll_begin`], without waiting; returns whether there was input.
    pub(in crate::server) fn try_begin(&mut self) -> bool {
        SCRATCH.with_borrow_mut(|scratch| {
            let read = self.connection.outlet.try_read(scratch).unwrap_or_default();
            self.begin(&scratch[..read]);
            read > 0
        })
    }

    /// Takes input at the start of a request. A request that can be replayed is answered without a
    /// copy; any other input goes to the buffer.
    fn begin(&mut self, input: &[u8]) {
        self.connection.snapshot = self.connection.slot.snapshot();
        let replayed = self.replay_front(input).unwrap_or(0);
        self.connection.buffer.extend_from_slice(&input[replayed..]);
    }

    /// Reads the body of a request, or returns the response to one that is too large or malformed.
    pub(in crate::server) async fn read_body(
        &mut self,
        body: PendingBody,
    ) -> Result<Result<Bytes, Response>, Disconnected> {
        let buffer = &mut self.connection.buffer;
        let wanted = match body.length {
            BodyLength::None => return Ok(Ok(Bytes::new())),
            BodyLength::Bytes(length) if length <= buffer.len() as u64 => {
                let length = length as usize;
                let body = Bytes::copy_from_slice(&buffer[..length]);
                buffer.advance(length);
                self.received += length as u64;
                return Ok(Ok(body));
            }
            BodyLength::Bytes(length) if length > body.max_bytes => return Ok(Err(too_large())),
            BodyLength::Bytes(length) => Some(length as usize),
            BodyLength::Chunked => None,
        };
        if body.expects_continue && buffer.is_empty() {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.flush().await?;
        let read = match wanted {
            Some(wanted) => self.read_sized(wanted).await,
            None => self.read_chunked(body.max_bytes).await,
        };
        self.connection.waiting.release();
        read
    }

    async fn read_sized(&mut self, wanted: usize) -> Result<Result<Bytes, Response>, Disconnected> {
        let mut pace = Pace::begin(self.connection.shard.running_time());
        self.connection.compact();
        while self.connection.buffer.len() < wanted {
            self.connection.grow_for_rest(wanted);
            if self.reserve(0).is_err() {
                return Ok(Err(out_of_memory()));
            }
            self.fill_body(&mut pace).await?;
        }
        self.received += wanted as u64;
        // A copy with the exact size: the buffer has a larger allocation, which the memory bound
        // would not count.
        Ok(Ok(Bytes::copy_from_slice(
            &self.connection.buffer.split_to(wanted),
        )))
    }

    async fn read_chunked(&mut self, max: u64) -> Result<Result<Bytes, Response>, Disconnected> {
        let mut reader = ChunkedReader::default();
        let mut body = Vec::new();
        let mut pace = Pace::begin(self.connection.shard.running_time());
        loop {
            match reader.read(&self.connection.buffer, &mut body, max) {
                Ok(taken) => {
                    self.connection.buffer.advance(taken);
                    self.received += taken as u64;
                }
                Err(ChunkError::Malformed) => {
                    return Ok(Err(Response::error_page(Status::BAD_REQUEST).closing()));
                }
                Err(ChunkError::TooLarge) => return Ok(Err(too_large())),
            }
            if reader.is_done() {
                return Ok(Ok(Bytes::from(body.into_boxed_slice())));
            }
            self.connection.compact();
            if self.reserve(body.capacity()).is_err() {
                return Ok(Err(out_of_memory()));
            }
            self.fill_body(&mut pace).await?;
        }
    }

    /// Waits for the next request.
    pub(in crate::server) async fn fill_idle(&mut self) -> Result<(), Disconnected> {
        // Frees the memory of large requests.
        self.connection.buffer = BytesMut::new();
        self.connection.waiting.release();
        buffer_pool::give(std::mem::take(&mut self.out));
        if !self.read_before_waiting().await {
            let limits = &self.connection.snapshot.limits;
            if self.served_any {
                self.wait(
                    Awaited::NextRequest,
                    limits.keepalive_timeout,
                    Self::poll_begin,
                )
                .await?;
            } else {
                self.wait(
                    Awaited::FirstRequest,
                    limits.header_timeout,
                    Self::poll_begin,
                )
                .await?;
            }
        }
        if self.replay.is_last {
            self.close().await
        } else {
            Ok(())
        }
    }

    /// Waits for the rest of a head.
    pub(in crate::server) async fn fill_head(&mut self) -> Result<(), Disconnected> {
        self.flush().await?;
        let is_first = self.head_since.is_none();
        let now = self.connection.shard.running_time();
        let since = *self.head_since.get_or_insert(now);
        let left = self
            .connection
            .snapshot
            .limits
            .header_timeout
            .saturating_sub(now.saturating_sub(since));
        if is_first {
            self.connection.compact();
        }
        self.reserve(0).map_err(|_| Disconnected)?;
        self.fill(Awaited::Head, left).await
    }

    /// After the last response: reads and discards input.
    pub(in crate::server) async fn linger(&mut self) {
        self.out = Vec::new();
        self.connection.buffer = BytesMut::new();
        let discard = |connection: &mut Connection| {
            connection.buffer = BytesMut::new();
            true
        };
        self.connection.linger(discard).await;
    }

    /// Waits for more of a batch, whose total time is not limited.
    pub(in crate::server) async fn fill_batch(&mut self) -> Result<(), Disconnected> {
        self.fill(Awaited::Body, self.connection.snapshot.limits.body_timeout)
            .await
    }

    /// Waits for more of a body, within the time that its pace allows.
    async fn fill_body(&mut self, pace: &mut Pace) -> Result<(), Disconnected> {
        let Connection {
            snapshot,
            shard,
            buffer,
            ..
        } = &*self.connection;
        let timeout = pace.left(shard.running_time(), &snapshot.limits);
        let before = buffer.len();
        self.fill(Awaited::Body, timeout).await?;
        pace.add(self.connection.buffer.len() - before);
        Ok(())
    }

    /// Waits for more input in the buffer, within `timeout`.
    pub(in crate::server) async fn fill(
        &mut self,
        awaited: Awaited,
        timeout: Duration,
    ) -> Result<(), Disconnected> {
        self.wait(awaited, timeout, |requests, cx| {
            requests.connection.poll_fill(cx).map_ok(drop)
        })
        .await
    }

    /// Waits until `poll` has read input. If the server ends the connection, the reason is
    /// recorded.
    async fn wait(
        &mut self,
        awaited: Awaited,
        timeout: Duration,
        poll: impl Fn(&mut Self, &mut Context<'_>) -> Poll<Result<(), Disconnected>>,
    ) -> Result<(), Disconnected> {
        let mut has_deadline = false;
        let filled = poll_fn(|cx| {
            if has_deadline {
                self.coalescing.record_wait();
            }
            if let Poll::Ready(filled) = poll(self, cx) {
                return Poll::Ready(filled);
            }
            let connection = &*self.connection;
            if !has_deadline {
                has_deadline = true;
                connection.shard.set_deadline(connection.key, Some(timeout));
            }
            let has_input = || connection.outlet.has_input();
            let interruption =
                connection
                    .shard
                    .interruption(connection.key, awaited.is_idle(), has_input, cx);
            match interruption {
                Some(Interruption::Expired) => connection.record_end(awaited.incident()),
                None if awaited.is_idle() && connection.slot.is_closed() => {
                    connection.record_end(Incident::EndedByShutdown)
                }
                None => return Poll::Pending,
                Some(Interruption::Stopping) => {}
            }
            Poll::Ready(Err(Disconnected))
        });
        let filled = filled.await;
        if has_deadline {
            self.connection
                .shard
                .set_deadline(self.connection.key, None);
        }
        filled
    }
}

/// The input that a connection waits for while it serves requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Awaited {
    FirstRequest,
    NextRequest,
    Head,
    Body,
    /// Input after the last response, which is discarded.
    Discarded,
}

impl Awaited {
    /// Returns whether the server may end the connection without losing a request.
    fn is_idle(self) -> bool {
        matches!(
            self,
            Awaited::FirstRequest | Awaited::NextRequest | Awaited::Discarded
        )
    }

    /// The incident that is counted when the time limit is exceeded.
    fn incident(self) -> Incident {
        match self {
            Awaited::FirstRequest | Awaited::Head => Incident::HeadTimeout,
            Awaited::NextRequest => Incident::KeepaliveTimeout,
            Awaited::Body => Incident::BodyTimeout,
            Awaited::Discarded => Incident::LingerTimeout,
        }
    }
}

/// The response when there is no memory for a body.
fn out_of_memory() -> Response {
    Response::error_page(Status::INTERNAL).closing()
}

fn too_large() -> Response {
    Limit::Body.log();
    Response::error_page(Status(413)).closing()
}
