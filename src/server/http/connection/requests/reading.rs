//! Reading while a connection serves requests: heads and bodies, each within its time limit and
//! size limit.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::super::socket::{ClientSocket, with_scratch};
use super::super::{Connection, Disconnected};
use super::{Requests, answering};
use crate::server::broker::Incident;
use crate::server::exchange::response::{Response, Status};
use crate::server::fanout::Interruption;
use crate::server::http::h1::chunked_body::{ChunkError, ChunkedReader};
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::h1::response::CONTINUE;
use crate::server::http::pace::Pace;
use crate::server::http::route::PendingBody;
use crate::server::observe::limits_log::Limit;

impl Requests<'_> {
    /// As [`ClientSocket::poll_fill`], at the start of a request.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        with_scratch(|scratch| {
            let read = ready!(self.connection.socket.poll_read(cx, scratch))?;
            self.begin(&scratch[..read]);
            Poll::Ready(Ok(()))
        })
    }

    /// As [`Requests::poll_begin`], without waiting; returns whether there was input.
    fn try_begin(&mut self) -> bool {
        with_scratch(|scratch| {
            let outlet = self.connection.socket.outlet();
            let read = outlet.try_read(scratch).unwrap_or_default();
            self.begin(&scratch[..read]);
            read > 0
        })
    }

    /// Reads the next request if it has arrived while followers were served. Returns whether there
    /// was input.
    async fn read_before_waiting(&mut self) -> bool {
        if self.writer.must_yield() {
            // Yielding also polls for events.
            tokio::task::yield_now().await;
            self.writer.record_wait();
        }
        if !self.writer.tries_read_ahead() {
            return false;
        }
        let has_input = self.try_begin();
        self.writer.record_read_ahead(has_input);
        has_input
    }

    /// Takes input at the start of a request. A request that can be replayed is answered without a
    /// copy; any other input goes to the buffer.
    fn begin(&mut self, input: &[u8]) {
        self.connection.snapshot = self.connection.socket.slot().snapshot();
        let replayed = self.replay_front(input).unwrap_or(0);
        self.connection
            .socket
            .buffer()
            .extend_from_slice(&input[replayed..]);
    }

    /// Returns whether the whole body is in the buffer.
    pub(super) fn has_body(&self, length: BodyLength) -> bool {
        match length {
            BodyLength::None => true,
            BodyLength::Bytes(length) => length <= self.connection.socket.input().len() as u64,
            BodyLength::Chunked => false,
        }
    }

    /// Takes a body out of the buffer.
    pub(super) fn take_body(&mut self, length: BodyLength) -> Bytes {
        let BodyLength::Bytes(length) = length else {
            return Bytes::new();
        };
        let buffer = self.connection.socket.buffer();
        let taken = buffer
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX));
        let body = Bytes::copy_from_slice(&buffer[..taken]);
        buffer.advance(taken);
        self.received += taken as u64;
        body
    }

    /// Reads the body of a request, or returns the response to one that is too large or malformed.
    pub(super) async fn read_body(
        &mut self,
        body: PendingBody,
    ) -> Result<Result<Bytes, Response>, Disconnected> {
        if self.has_body(body.length) {
            return Ok(Ok(self.take_body(body.length)));
        }
        let wanted = match body.length {
            BodyLength::Bytes(length) if length > body.max_bytes => return Ok(Err(too_large())),
            BodyLength::Bytes(length) => Some(length as usize),
            BodyLength::None | BodyLength::Chunked => None,
        };
        if body.expects_continue && self.connection.socket.input().is_empty() {
            self.writer.out().extend_from_slice(CONTINUE);
        }
        self.flush().await?;
        let read = match wanted {
            Some(wanted) => self.read_sized(wanted).await,
            None => self.read_chunked(body.max_bytes).await,
        };
        self.connection.socket.release_memory();
        read
    }

    async fn read_sized(&mut self, wanted: usize) -> Result<Result<Bytes, Response>, Disconnected> {
        let mut pace = Pace::begin(self.connection.socket.shard().running_time());
        self.connection.socket.compact();
        while self.connection.socket.input().len() < wanted {
            self.connection.socket.grow_for_rest(wanted);
            if self.reserve(0).is_err() {
                return Ok(Err(out_of_memory()));
            }
            self.fill_body(&mut pace).await?;
        }
        self.received += wanted as u64;
        // A copy with the exact size: the buffer has a larger allocation, which the memory bound
        // would not count.
        Ok(Ok(Bytes::copy_from_slice(
            &self.connection.socket.buffer().split_to(wanted),
        )))
    }

    async fn read_chunked(&mut self, max: u64) -> Result<Result<Bytes, Response>, Disconnected> {
        let mut reader = ChunkedReader::default();
        let mut body = Vec::new();
        let mut pace = Pace::begin(self.connection.socket.shard().running_time());
        loop {
            match reader.read(self.connection.socket.input(), &mut body, max) {
                Ok(taken) => {
                    self.connection.socket.buffer().advance(taken);
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
            self.connection.socket.compact();
            if self.reserve(body.capacity()).is_err() {
                return Ok(Err(out_of_memory()));
            }
            self.fill_body(&mut pace).await?;
        }
    }

    /// Waits for the next request.
    pub(super) async fn fill_idle(&mut self) -> Result<(), Disconnected> {
        // Frees the memory of large requests.
        self.connection.socket.discard_input();
        self.connection.socket.release_memory();
        self.writer.give_buffer();
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
        Ok(())
    }

    /// Prepares a wait of unknown length: sends the responses to earlier requests, and reserves the
    /// memory of the current one.
    pub(super) async fn prepare_wait(&mut self) -> Result<(), Disconnected> {
        self.flush().await?;
        self.writer.record_wait();
        self.reserve(self.writer.capacity())
            .map_err(|_out_of_memory| Disconnected)
    }

    /// Waits for the rest of a head.
    pub(super) async fn fill_head(&mut self) -> Result<(), Disconnected> {
        answering::answer_all(self).await?;
        self.flush().await?;
        let is_first = self.head_since.is_none();
        let now = self.connection.socket.shard().running_time();
        let since = *self.head_since.get_or_insert(now);
        let left = self
            .connection
            .snapshot
            .limits
            .header_timeout
            .saturating_sub(now.saturating_sub(since));
        if is_first {
            self.connection.socket.compact();
        }
        self.reserve(0).map_err(|_| Disconnected)?;
        self.fill(Awaited::Head, left).await
    }

    /// After the last response: reads and discards input.
    pub(super) async fn linger(&mut self) {
        self.writer.clear();
        self.connection.socket.discard_input();
        let discard = |socket: &mut ClientSocket| {
            socket.discard_input();
            true
        };
        self.connection.linger(discard).await;
    }

    /// Waits for more of a batch, whose total time is not limited.
    pub(super) async fn fill_batch(&mut self) -> Result<(), Disconnected> {
        self.fill(Awaited::Body, self.connection.snapshot.limits.body_timeout)
            .await
    }

    /// Waits for more of a body, within the time that its pace allows.
    async fn fill_body(&mut self, pace: &mut Pace) -> Result<(), Disconnected> {
        let Connection {
            snapshot, socket, ..
        } = &*self.connection;
        let timeout = pace.left(socket.shard().running_time(), &snapshot.limits);
        let before = socket.input().len();
        self.fill(Awaited::Body, timeout).await?;
        pace.add(self.connection.socket.input().len() - before);
        Ok(())
    }

    /// Waits for more input in the buffer, within `timeout`.
    pub(super) async fn fill(
        &mut self,
        awaited: Awaited,
        timeout: Duration,
    ) -> Result<(), Disconnected> {
        self.wait(awaited, timeout, |requests, cx| {
            requests.connection.socket.poll_fill(cx).map_ok(drop)
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
                self.writer.record_wait();
            }
            if let Poll::Ready(filled) = poll(self, cx) {
                return Poll::Ready(filled);
            }
            let socket = &self.connection.socket;
            if !has_deadline {
                has_deadline = true;
                socket.shard().set_deadline(socket.key(), Some(timeout));
            }
            let has_input = || socket.outlet().has_input();
            let interruption =
                socket
                    .shard()
                    .interruption(socket.key(), awaited.is_idle(), has_input, cx);
            match interruption {
                Some(Interruption::Expired) => socket.record_end(awaited.incident()),
                None if awaited.is_idle() && socket.slot().is_closed() => {
                    socket.record_end(Incident::EndedByShutdown)
                }
                None => return Poll::Pending,
                Some(Interruption::Stopping) => {}
            }
            Poll::Ready(Err(Disconnected))
        });
        let filled = filled.await;
        if has_deadline {
            let socket = &self.connection.socket;
            socket.shard().set_deadline(socket.key(), None);
        }
        filled
    }
}

/// The input that a connection waits for while it serves requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
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
