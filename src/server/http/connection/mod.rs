//! A connection of a shard: it serves requests (`requests`) and follows (`following`), in turn,
//! until it ends.
//!
//! Most connections of a broker wait, so their memory matters: a buffer exists only while it has
//! contents, and the state for serving requests is dropped while the connection follows.

pub(in crate::server) mod batches;
pub(in crate::server) mod following;
pub(in crate::server) mod malformed_request;
pub(in crate::server) mod perform;
pub(in crate::server) mod read;
pub(in crate::server) mod requests;
pub(in crate::server) mod waiting_request;
mod websocket_frames;
pub(in crate::server) mod write;
pub(in crate::server) mod write_coalescing;

use std::io;
use std::rc::Rc;

use bytes::BytesMut;

use self::requests::{Requests, ServeOutcome};
use super::listen::listener_snapshot::{ListenerSlot, ListenerSnapshot};
use super::log_entry::LogEntry;
use super::replay::{CachedPoll, RequestCache};
use super::upstream::live_hooks::LiveHooks;
use crate::server::broker::{Incident, OutOfMemory, Reservation};
use crate::server::exchange::request::Endpoints;
use crate::server::fanout::{ConnectionKey, Outlet, Shard, SubscriptionOutcome, socket_incident};
use crate::server::http::listen::location_index::LocationAddress;

/// A connection of a shard.
pub(in crate::server) struct Connection {
    pub(in crate::server) shard: Shard,
    pub(in crate::server) key: ConnectionKey,
    pub(in crate::server) outlet: Rc<Outlet>,
    /// The listener that accepted it.
    pub(in crate::server) slot: Rc<ListenerSlot>,
    /// The configuration of the current request, or of the request that it follows with.
    pub(in crate::server) snapshot: Rc<ListenerSnapshot>,
    /// The location of the current or the last subscription.
    pub(in crate::server) location: LocationAddress,
    pub(in crate::server) peer: Box<Endpoints>,
    /// Bytes that were read but not parsed yet.
    pub(in crate::server) buffer: BytesMut,
    /// Accounts for waiting bytes: in the buffer, in a body, or for the socket.
    pub(in crate::server) waiting: Reservation,
    /// It has followed before, so that the next request is a further one (keep-alive).
    pub(in crate::server) has_followed: bool,
    /// Number of requests so far.
    pub(in crate::server) requests: u64,
    /// Access log entry of the current subscription.
    pub(in crate::server) log: Option<Box<LogEntry>>,
    /// Hooks of the current subscription.
    pub(in crate::server) hooks: Option<Box<LiveHooks>>,
    /// Cache of long polls.
    pub(in crate::server) poll_cache: RequestCache<CachedPoll>,
}

/// The connection has ended, or must not be used any more.
#[derive(Debug)]
pub(in crate::server) struct Disconnected;

impl Connection {
    /// Registers a connection with its shard.
    pub(in crate::server) fn new(
        shard: Shard,
        outlet: Outlet,
        slot: &Rc<ListenerSlot>,
        peer: Endpoints,
    ) -> Self {
        let key = shard.open();
        let waiting = shard.broker().incoming_reservation();
        Self {
            shard,
            key,
            outlet: Rc::new(outlet),
            slot: Rc::clone(slot),
            snapshot: slot.snapshot(),
            location: LocationAddress::default(),
            peer: Box::new(peer),
            buffer: BytesMut::new(),
            waiting,
            has_followed: false,
            requests: 0,
            log: None,
            hooks: None,
            poll_cache: RequestCache::default(),
        }
    }

    /// Serves the connection until it ends.
    #[allow(
        clippy::manual_async_fn,
        reason = "an async fn would hold the connection twice"
    )]
    pub(in crate::server) fn run(mut self) -> impl Future<Output = ()> {
        async move {
            loop {
                // Boxed, so that a following connection does not hold the state for requests.
                let Ok(charge) = self.shard.broker().charge_requests() else {
                    break;
                };
                let ServeOutcome::Follow(input) =
                    Box::pin(Requests::new(&mut self, charge).serve()).await
                else {
                    break;
                };
                let (outcome, expects_close) = self.follow(input).await;
                if let (Some(mut log), Some(tap)) = (self.log.take(), self.outlet.take_tap()) {
                    log.record_subscription(*tap, outcome == SubscriptionOutcome::Dropped);
                }
                self.hooks = None;
                match outcome {
                    SubscriptionOutcome::Finished => {}
                    SubscriptionOutcome::Closed if expects_close => {
                        self.await_websocket_close().await;
                        break;
                    }
                    SubscriptionOutcome::Closed | SubscriptionOutcome::Dropped => break,
                }
            }
        }
    }

    /// Returns whether the connection may serve another request.
    pub(in crate::server) fn accepts_requests(&self) -> bool {
        !self.shard.is_stopping() && !self.slot.is_closed()
    }

    /// Before a wait: reserves memory for the buffer and `more` bytes.
    pub(in crate::server) fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        let reserved = self.waiting.reserve(self.buffer.capacity() + more);
        reserved.inspect_err(|_| self.record_end(Incident::NoMemoryForIncoming))
    }

    /// Counts and logs why the server ends the connection or one of its requests.
    pub(in crate::server) fn record_end(&self, reason: Incident) {
        tracing::debug!(
            reason = reason.name(),
            client = self.peer.remote_address,
            "closing a connection"
        );
        self.shard.broker().count(reason);
    }

    /// Counts and logs a socket error, unless it means that the client has disconnected.
    pub(in crate::server) fn record_failure(&self, error: &io::Error) {
        if let Some(reason) = socket_incident(error) {
            self.record_end(reason);
        }
    }

    /// Frees the unused memory of the buffer. A `BytesMut` that was advanced keeps its whole
    /// allocation, whatever its capacity says.
    pub(in crate::server) fn compact(&mut self) {
        self.buffer = BytesMut::from(&self.buffer[..]);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.close(self.key);
    }
}
