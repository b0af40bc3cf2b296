//! Serving requests on a connection: reads heads and routes them, until the connection follows or
//! ends. `perform` carries out the result of routing.

use std::rc::Rc;
use std::time::Duration;

use bytes::Buf;
use futures_util::FutureExt;

use super::write_coalescing::WriteCoalescing;
use super::{Connection, Disconnected};
use crate::server::broker::{Charge, OutOfMemory};
use crate::server::config::expression::reads::Reads;
use crate::server::exchange::owned_request::OwnedRequest;
use crate::server::exchange::request::Request;
use crate::server::http::client_input::ClientInput;
use crate::server::http::h1::head;
use crate::server::http::h1::head::ParsedHead;
use crate::server::http::listen::listener_snapshot::ListenerSnapshot;
use crate::server::http::listen::location_index::LocationAddress;
use crate::server::http::log_entry::LogEntry;
use crate::server::http::replay::{Holes, ReplayState, RequestCache};
use crate::server::http::route::{
    FollowPlan, Located, MustWait, NextStep, NoWaiting, RoutedRequest, Router,
};

/// Responses to pipelined requests are collected up to this many bytes before they are written.
pub(in crate::server) const MAX_UNWRITTEN_BYTES: usize = 64 * 1024;

/// Result of serving requests.
pub(in crate::server) enum ServeOutcome {
    Follow(ClientInput),
    Disconnected,
}

/// The request at the front of the buffer.
enum Route<'s> {
    /// It is routed, and has these holes if it can be cached.
    Routed(RoutedRequest, Option<Holes>),
    /// It must wait before it can be routed.
    Waits(Box<OwnedRequest>, Located<'s>),
}

/// A connection while it serves requests.
pub(in crate::server) struct Requests<'a> {
    pub(in crate::server) connection: &'a mut Connection,
    /// Responses that are not written yet.
    pub(in crate::server) out: Vec<u8>,
    /// Arrival of the first byte of an incomplete head, in
    /// [running time](crate::server::fanout::Shard::running_time).
    pub(in crate::server) head_since: Option<Duration>,
    /// A request was served before, so that waiting for the next one is keep-alive.
    pub(in crate::server) served_any: bool,
    /// Memory of the current request while its body arrives: its head, plan or response.
    pub(in crate::server) held: usize,
    /// Write coalescing with other publishers.
    pub(in crate::server) coalescing: WriteCoalescing,
    /// Replay cache of publishers' requests.
    pub(in crate::server) replay: ReplayState,
    /// Bytes read of the body of the current request.
    pub(in crate::server) received: u64,
    _charge: Charge,
}

impl<'a> Requests<'a> {
    pub(in crate::server) fn new(connection: &'a mut Connection, charge: Charge) -> Self {
        let served_any = connection.has_followed;
        Self {
            connection,
            out: Vec::new(),
            head_since: None,
            served_any,
            held: 0,
            coalescing: WriteCoalescing::default(),
            replay: ReplayState::default(),
            received: 0,
            _charge: charge,
        }
    }

    /// Serves requests until the connection follows or ends.
    #[allow(
        clippy::manual_async_fn,
        reason = "an async fn would hold its captures twice"
    )]
    pub(in crate::server) fn serve(mut self) -> impl Future<Output = ServeOutcome> {
        async move {
            loop {
                match self.step().await {
                    Ok(None) => {}
                    Ok(Some(outcome)) => return outcome,
                    Err(Disconnected) => return ServeOutcome::Disconnected,
                }
            }
        }
    }

    /// Serves one request, or reads once.
    async fn step(&mut self) -> Result<Option<ServeOutcome>, Disconnected> {
        if self.replay.is_following {
            return Ok(Some(ServeOutcome::Follow(ClientInput::Requests {
                end_following: false,
            })));
        }
        // A follower writes to the socket itself, so everything before it must have been written.
        if !self.out.is_empty()
            && (self.out.len() > MAX_UNWRITTEN_BYTES || !self.publish_comes_next())
        {
            self.flush_with_others().await?;
        }
        self.connection.snapshot = self.connection.slot.snapshot();
        if self.connection.buffer.is_empty() {
            self.fill_idle().await?;
            return Ok(None);
        }
        if self.replay_buffered() {
            return if self.replay.is_last {
                self.close().await
            } else {
                Ok(None)
            };
        }
        let snapshot = Rc::clone(&self.connection.snapshot);
        match self.route_buffered(&snapshot) {
            ParsedHead::Incomplete => {
                self.fill_head().await?;
                Ok(None)
            }
            ParsedHead::Bad(response) => self.reject(response).await,
            ParsedHead::Complete(head_bytes, length, Route::Routed(routed, holes)) => {
                self.record_template(holes, head_bytes, length);
                self.take_head(head_bytes);
                match routed.next {
                    NextStep::Follow(plan) => {
                        Ok(Some(self.follow(plan, routed.context.log, routed.location)))
                    }
                    // Boxed, so that a connection between two requests does not hold the state of
                    // one of them.
                    _ => Box::pin(self.perform(routed)).await,
                }
            }
            ParsedHead::Complete(head_bytes, _, Route::Waits(request, located)) => {
                self.replay.template = None;
                self.take_head(head_bytes);
                Box::pin(self.serve_waiting(request, located, &snapshot)).await
            }
        }
    }

    /// Parses the head at the front of the buffer and routes it.
    fn route_buffered<'s>(&mut self, snapshot: &'s ListenerSnapshot) -> ParsedHead<Route<'s>> {
        self.received = 0;
        self.connection.peer.requests = self.connection.requests + 1;
        let caches_polls = self.connection.caches_polls();
        let Connection { peer, buffer, .. } = &*self.connection;
        let route = |request: &Request<'_>, length| {
            // Reads of earlier requests.
            Reads::take();
            let router = self.router(snapshot, caches_polls);
            let mut located = router.locate(request, length);
            // Without waiting it is ready at once.
            match router
                .route(&mut located, request, &mut NoWaiting)
                .now_or_never()
            {
                Some(Ok(routed)) => {
                    let holes = self.find_holes(request, length, &routed);
                    Route::Routed(routed, holes)
                }
                Some(Err(MustWait)) | None => {
                    Route::Waits(Box::new(OwnedRequest::of(request)), located)
                }
            }
        };
        head::parse(buffer, snapshot.limits.max_header_bytes, peer, route)
    }

    /// The router for the current request, whose number the peer has.
    pub(super) fn router<'s>(
        &self,
        snapshot: &'s ListenerSnapshot,
        caches_polls: bool,
    ) -> Router<'s> {
        let connection = &*self.connection;
        Router {
            snapshot,
            shard: connection.shard.clone(),
            key: connection.key,
            outlet: Rc::clone(&connection.outlet),
            requests: connection.peer.requests,
            caches_polls,
        }
    }

    /// Removes the head of a routed request from the buffer and counts the request.
    fn take_head(&mut self, head_bytes: usize) {
        self.head_since = None;
        self.served_any = true;
        self.connection.requests += 1;
        self.connection.buffer.advance(head_bytes);
        self.held = 0;
    }

    /// Prepares the connection to follow.
    pub(in crate::server) fn follow(
        &mut self,
        plan: FollowPlan,
        mut log: Option<Box<LogEntry>>,
        location: LocationAddress,
    ) -> ServeOutcome {
        if plan.input.is_further_requests() {
            self.connection
                .cache_poll(self.replay.template.take(), plan.replay, location);
        } else {
            self.connection.poll_cache = RequestCache::default();
        }
        if let Some(log) = &mut log {
            log.add_received(self.received);
        }
        self.connection.log = log;
        self.connection.hooks = plan.hooks;
        self.connection.location = location;
        ServeOutcome::Follow(plan.input)
    }

    /// Reserves memory as [`Connection::reserve`], including what the current request holds.
    pub(in crate::server) fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        self.connection.reserve(self.held + more)
    }
}
