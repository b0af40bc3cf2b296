//! The socket of a client with its input: bytes that were read but not parsed yet.
//!
//! A buffer exists only while it has contents.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;

use super::Disconnected;
use crate::server::broker::{Broker, Incident, OutOfMemory, Reservation};
use crate::server::exchange::request::Endpoints;
use crate::server::fanout::{ConnectionKey, Interruption, Outlet, Shard, socket_incident};
use crate::server::http::listen::listener_snapshot::ListenerSlot;

/// Most bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Most bytes that are read and discarded after the last response, or of an unused body.
pub(super) const LINGER_BYTES: usize = 4 * 1024 * 1024;

thread_local! {
    /// Every read of the thread goes here first. It is borrowed while a request is replayed and its
    /// followers are served: none of that may read from a socket.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Calls `work` with the buffer for reads of this thread.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| work(scratch))
}

/// The socket of a client.
pub(in crate::server::http) struct ClientSocket {
    shard: Shard,
    key: ConnectionKey,
    outlet: Rc<Outlet>,
    /// The listener that accepted it.
    slot: Rc<ListenerSlot>,
    peer: Box<Endpoints>,
    buffer: BytesMut,
    /// Accounts for waiting bytes: in the buffer, in a body, or for the socket.
    waiting: Reservation,
}

impl ClientSocket {
    /// Registers a socket with its shard.
    pub(super) fn new(
        shard: Shard,
        outlet: Outlet,
        slot: &Rc<ListenerSlot>,
        peer: Endpoints,
    ) -> Self {
        let key = shard.open();
        let waiting = shard.broker().memory().incoming_reservation();
        Self {
            shard,
            key,
            outlet: Rc::new(outlet),
            slot: Rc::clone(slot),
            peer: Box::new(peer),
            buffer: BytesMut::new(),
            waiting,
        }
    }

    pub(in crate::server::http) fn shard(&self) -> &Shard {
        &self.shard
    }

    pub(super) fn broker(&self) -> &Broker {
        self.shard.broker()
    }

    /// Its key in the shard.
    pub(in crate::server::http) fn key(&self) -> ConnectionKey {
        self.key
    }

    pub(in crate::server::http) fn outlet(&self) -> &Rc<Outlet> {
        &self.outlet
    }

    /// The listener that accepted it.
    pub(super) fn slot(&self) -> &Rc<ListenerSlot> {
        &self.slot
    }

    pub(super) fn peer(&self) -> &Endpoints {
        &self.peer
    }

    /// Sets the number of the current request.
    pub(super) fn set_request_number(&mut self, number: u64) {
        self.peer.requests = number;
    }

    /// The input that was not parsed yet.
    pub(in crate::server::http) fn input(&self) -> &[u8] {
        &self.buffer
    }

    /// The buffer of the input.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Returns whether it may serve another request.
    pub(in crate::server::http) fn accepts_requests(&self) -> bool {
        !self.shard.is_stopping() && !self.slot.is_closed()
    }

    /// Before a wait: reserves memory for the buffer and `more` bytes.
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        let reserved = self.waiting.reserve(self.buffer.capacity() + more);
        reserved.inspect_err(|_| self.record_end(Incident::NoMemoryForIncoming))
    }

    /// Releases the reserved memory.
    pub(super) fn release_memory(&mut self) {
        self.waiting.release();
    }

    /// Counts and logs why the server ends the connection or one of its requests.
    pub(super) fn record_end(&self, reason: Incident) {
        tracing::debug!(
            reason = reason.name(),
            client = self.peer.remote_address,
            "closing a connection"
        );
        self.broker().count(reason);
    }

    /// Counts and logs a socket error, unless it means that the client has disconnected.
    pub(super) fn record_failure(&self, error: &io::Error) {
        if let Some(reason) = socket_incident(error) {
            self.record_end(reason);
        }
    }

    /// Frees the unused memory of the buffer. A `BytesMut` that was advanced keeps its whole
    /// allocation, whatever its capacity says.
    pub(super) fn compact(&mut self) {
        self.buffer = BytesMut::from(&self.buffer[..]);
    }

    /// Discards the input, and frees its memory.
    pub(super) fn discard_input(&mut self) {
        self.buffer = BytesMut::new();
    }

    /// Grows the buffer to the exact size of a body when half of it has arrived. Doubling would
    /// take up to twice as much memory.
    pub(super) fn grow_for_rest(&mut self, wanted: usize) {
        let buffer = &self.buffer;
        if buffer.capacity() < wanted && buffer.len() >= wanted / 2 {
            let mut exact = BytesMut::with_capacity(wanted);
            exact.extend_from_slice(buffer);
            self.buffer = exact;
        }
    }

    /// Reads available input into the buffer; the error is the end of the connection.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Disconnected>> {
        with_scratch(|scratch| {
            let read = ready!(self.poll_read(cx, scratch))?;
            self.buffer.extend_from_slice(&scratch[..read]);
            Poll::Ready(Ok(read))
        })
    }

    /// Reads available input into `scratch`; the error is the end of the connection.
    pub(super) fn poll_read(
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

    /// Shuts down the write side, and reads for at most `time` and [`LINGER_BYTES`], while
    /// `keeps_reading` returns true for the contents of the buffer: closing a socket with unread
    /// bytes, or before they arrive, would discard the end of the response. Ends early when the
    /// server stops or its listener is closed.
    pub(super) async fn linger(
        &mut self,
        time: Duration,
        mut keeps_reading: impl FnMut(&mut Self) -> bool,
    ) {
        self.waiting.release();
        if self.outlet.shutdown_write().is_err() {
            return;
        }
        self.shard.set_deadline(self.key, Some(time));
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

impl Drop for ClientSocket {
    fn drop(&mut self) {
        self.shard.close(self.key);
    }
}
