//! What a connection reads while it serves requests: heads and bodies, each within its time and its
//! bounds.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::body::{ChunkError, ChunkedReader};
use super::connection::{Connection, Disconnected, Requests};
use super::head::BodyLength;
use super::pace::Pace;
use super::remembered::Remembered;
use crate::server::broker::Incident;
use crate::server::buffer_pool;
use crate::server::fanout::Interruption;
use crate::server::limits_log::Limit;
use crate::server::response::{Response, Status};

/// Most bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Most bytes that are read after the last answer, or to get rid of a body that nobody wants.
pub(super) const LINGER_BYTES: usize = 4 * 1024 * 1024;

thread_local! {
    /// Where every read of the thread goes first. Held while a repeated request is answered and its
    /// followers are served: nothing of that may read from a socket.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

impl Connection {
    /// Reads what is there into the buffer; an error at the end of the connection.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Disconnected>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let read = ready!(self.poll_read(cx, scratch))?;
            self.buffer.extend_from_slice(&scratch[..read]);
            Poll::Ready(Ok(read))
        })
    }

    /// Reads what is there; an error at the end of the connection.
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

    /// Grows the buffer for the rest of a body when half of it has come. Doubling would take up to
    /// twice as much.
    fn grow_for_rest(&mut self, wanted: usize) {
        let buffer = &self.buffer;
        if buffer.capacity() < wanted && buffer.len() >= wanted / 2 {
            let mut exact = BytesMut::with_capacity(wanted);
            exact.extend_from_slice(buffer);
            self.buffer = exact;
        }
    }

    /// Tells the client that nothing more comes, and reads on for `linger_time` at most, and up to
    /// [`LINGER_BYTES`], while `goes_on` says so of what is in the buffer: closing a socket with
    /// unread bytes, or before they come, would throw away what was sent last. Not when the server,
    /// or its listener, ends.
    pub(super) async fn linger(&mut self, mut goes_on: impl FnMut(&mut Self) -> bool) {
        self.waiting.release();
        self.polls = Remembered::default();
        if self.outlet.shutdown_write().is_err() {
            return;
        }
        self.shard
            .set_deadline(self.key, Some(self.site.limits.linger_time));
        let mut left = LINGER_BYTES;
        poll_fn(|cx| {
            loop {
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(read)) if read <= left && goes_on(self) => left -= read,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => {
                        let interruption =
                            self.shard
                                .interruption(self.key, true, || self.outlet.has_input(), cx);
                        if interruption == Some(Interruption::Expired) {
                            self.record_end(Incident::LingerTimeout);
                        }
                        return if interruption.is_some() || self.place.is_closed() {
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
    /// As [`Connection::poll_fill`], where a request is to begin.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let read = ready!(self.connection.poll_read(cx, scratch))?;
            self.begin(&scratch[..read]);
            Poll::Ready(Ok(()))
        })
    }

    /// As [`Requests::poll_begin`], if there is something already.
    pub(super) fn begin_at_once(&mut self) -> bool {
        SCRATCH.with_borrow_mut(|scratch| {
            let read = self.connection.outlet.try_read(scratch).unwrap_or_default();
            self.begin(&scratch[..read]);
            read > 0
        })
    }

    /// Takes what was read where a request is to begin. One that is like that before is answered
    /// from where it lies; whatever else there is goes to the buffer.
    fn begin(&mut self, read: &[u8]) {
        self.connection.site = self.connection.place.site();
        let answered = self.repeat(read).unwrap_or(0);
        self.connection.buffer.extend_from_slice(&read[answered..]);
    }

    /// Reads a body of up to `most` bytes; else gives the error response.
    pub(super) async fn read_body(
        &mut self,
        length: BodyLength,
        most: u64,
        expects_continue: bool,
    ) -> Result<Result<Bytes, Response>, Disconnected> {
        let buffer = &mut self.connection.buffer;
        let wanted = match length {
            BodyLength::None => return Ok(Ok(Bytes::new())),
            BodyLength::Bytes(length) if length <= buffer.len() as u64 => {
                let length = length as usize;
                let body = Bytes::copy_from_slice(&buffer[..length]);
                buffer.advance(length);
                self.received += length as u64;
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
        let body = match wanted {
            Some(wanted) => self.read_sized(wanted).await,
            None => self.read_chunked(most).await,
        };
        self.connection.waiting.release();
        body
    }

    async fn read_sized(&mut self, wanted: usize) -> Result<Result<Bytes, Response>, Disconnected> {
        let mut pace = Pace::begin(self.connection.shard.running_time());
        self.connection.compact();
        while self.connection.buffer.len() < wanted {
            self.connection.grow_for_rest(wanted);
            if self.cover(0).is_err() {
                return Ok(Err(no_memory()));
            }
            self.fill_body(&mut pace).await?;
        }
        self.received += wanted as u64;
        // A copy of its own size: the buffer's memory is larger, and the limit on memory would not
        // know.
        Ok(Ok(Bytes::copy_from_slice(
            &self.connection.buffer.split_to(wanted),
        )))
    }

    async fn read_chunked(&mut self, most: u64) -> Result<Result<Bytes, Response>, Disconnected> {
        let mut reader = ChunkedReader::default();
        let mut body = Vec::new();
        let mut pace = Pace::begin(self.connection.shard.running_time());
        loop {
            match reader.read(&self.connection.buffer, &mut body, most) {
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
            if self.cover(body.capacity()).is_err() {
                return Ok(Err(no_memory()));
            }
            self.fill_body(&mut pace).await?;
        }
    }

    /// Waits for the next request.
    pub(super) async fn fill_idle(&mut self) -> Result<(), Disconnected> {
        // The memory of large requests is not kept.
        self.connection.buffer = BytesMut::new();
        self.connection.waiting.release();
        buffer_pool::give(std::mem::take(&mut self.out));
        if !self.read_before_waiting().await {
            let limits = &self.connection.site.limits;
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
        if self.habit.is_over {
            self.close().await
        } else {
            Ok(())
        }
    }

    /// Waits for more of a head.
    pub(super) async fn fill_head(&mut self) -> Result<(), Disconnected> {
        self.flush().await?;
        let is_first = self.head_since.is_none();
        let now = self.connection.shard.running_time();
        let since = *self.head_since.get_or_insert(now);
        let left = self
            .connection
            .site
            .limits
            .header_timeout
            .saturating_sub(now.saturating_sub(since));
        if is_first {
            self.connection.compact();
        }
        self.cover(0).map_err(|_| Disconnected)?;
        self.fill(Awaited::Head, left).await
    }

    /// After the last response: throws away what still comes.
    pub(super) async fn linger(&mut self) {
        (self.out, self.connection.buffer) = (Vec::new(), BytesMut::new());
        let goes_on = |connection: &mut Connection| {
            connection.buffer = BytesMut::new();
            true
        };
        self.connection.linger(goes_on).await;
    }

    /// Waits for more of a batch. It may go on for as long as its publisher has something to say.
    pub(super) async fn fill_batch(&mut self) -> Result<(), Disconnected> {
        self.fill(Awaited::Body, self.connection.site.limits.body_timeout)
            .await
    }

    /// Waits for more of a body that came with `pace` so far.
    async fn fill_body(&mut self, pace: &mut Pace) -> Result<(), Disconnected> {
        let Connection {
            site,
            shard,
            buffer,
            ..
        } = &*self.connection;
        let timeout = pace.left(shard.running_time(), &site.limits);
        let before = buffer.len();
        self.fill(Awaited::Body, timeout).await?;
        pace.add(self.connection.buffer.len() - before);
        Ok(())
    }

    /// Reads more into the buffer, within `timeout`.
    pub(super) async fn fill(
        &mut self,
        awaited: Awaited,
        timeout: Duration,
    ) -> Result<(), Disconnected> {
        self.wait(awaited, timeout, |requests, cx| {
            requests.connection.poll_fill(cx).map_ok(drop)
        })
        .await
    }

    /// Waits until `poll` has read something; an end by the server is recorded.
    async fn wait(
        &mut self,
        awaited: Awaited,
        timeout: Duration,
        poll: impl Fn(&mut Self, &mut Context<'_>) -> Poll<Result<(), Disconnected>>,
    ) -> Result<(), Disconnected> {
        let mut has_deadline = false;
        let filled = poll_fn(|cx| {
            if has_deadline {
                self.busy.note_wait();
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
                None if awaited.is_idle() && connection.place.is_closed() => {
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

/// What a connection waits for while it serves requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    FirstRequest,
    NextRequest,
    Head,
    Body,
    /// What is thrown away after a response.
    Rest,
}

impl Awaited {
    /// Nothing is lost if the server ends the connection now.
    fn is_idle(self) -> bool {
        matches!(
            self,
            Awaited::FirstRequest | Awaited::NextRequest | Awaited::Rest
        )
    }

    /// As what it is counted if it does not come in time.
    fn incident(self) -> Incident {
        match self {
            Awaited::FirstRequest | Awaited::Head => Incident::HeadTimeout,
            Awaited::NextRequest => Incident::KeepaliveTimeout,
            Awaited::Body => Incident::BodyTimeout,
            Awaited::Rest => Incident::LingerTimeout,
        }
    }
}

/// There is no room for the body while it comes in.
fn no_memory() -> Response {
    Response::error_page(Status::INTERNAL).closing()
}

fn too_large() -> Response {
    Limit::Body.log();
    Response::error_page(Status(413)).closing()
}
