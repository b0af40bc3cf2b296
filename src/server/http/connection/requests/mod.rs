//! Serving requests on a connection, until it follows or ends.
//!
//! `reading` has the waits for input, `responding` carries out the results of routing. A request
//! that must wait before it can be routed (for a check, its body, a file or a back-end) keeps the
//! configuration that its head was read with.

mod answering;
mod batches;
mod malformed_request;
mod parts;
mod reading;
mod responding;
mod writing;

use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;

use super::{Connection, Disconnected, OpenSubscription};
use crate::server::broker::{Charge, OutOfMemory};
use crate::server::config::expression::reads::Reads;
use crate::server::config::expression::regex_pattern;
use crate::server::exchange::owned_request::OwnedRequest;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::Response;
use crate::server::http::client_input::ClientInput;
use crate::server::http::h1::head::{self, ParsedHead};
use crate::server::http::listen::listener_snapshot::ListenerSnapshot;
use crate::server::http::listen::location_index::LocationAddress;
use crate::server::http::log_entry::LogEntry;
use crate::server::http::replay::{
    self, Holes, ReplayContext, ReplayEnd, ReplayState, RequestCache,
};
use crate::server::http::route::{
    FollowPlan, Located, MustWait, NextStep, NoWaiting, PendingBody, RoutedRequest, Router,
    Waiting, WaitingRequest,
};
use crate::server::http::unanswered::UnansweredRequests;
use crate::server::http::writer::Writer;

/// Result of serving requests.
pub(super) enum ServeOutcome {
    Follow(ClientInput),
    Disconnected,
}

/// The request at the front of the buffer.
#[allow(
    clippy::large_enum_variant,
    reason = "it lives on the stack, between two calls"
)]
enum Route<'s> {
    /// It is routed, and has these holes if it can be cached.
    Routed(RoutedRequest, Option<Holes>),
    /// It must wait before it can be routed.
    Waits(Box<OwnedRequest>, Located<'s>),
}

/// A connection while it serves requests.
pub(super) struct Requests<'a> {
    connection: &'a mut Connection,
    writer: Writer,
    /// Replay cache of publishers' requests.
    replay: ReplayState,
    /// What follows from a request that was replayed as its input was read.
    replayed: Option<ReplayEnd>,
    unanswered: UnansweredRequests,
    /// Arrival of the first byte of an incomplete head, in
    /// [running time](crate::server::fanout::Shard::running_time).
    head_since: Option<Duration>,
    /// A request was served before, so that waiting for the next one is keep-alive.
    served_any: bool,
    /// Memory of the current request while it waits: its head, plan or response.
    held: usize,
    /// Bytes read of the body of the current request.
    received: u64,
    _charge: Charge,
}

impl<'a> Requests<'a> {
    pub(super) fn new(connection: &'a mut Connection, charge: Charge) -> Self {
        let served_any = connection.has_followed;
        Self {
            connection,
            writer: Writer::default(),
            replay: ReplayState::default(),
            replayed: None,
            unanswered: UnansweredRequests::default(),
            head_since: None,
            served_any,
            held: 0,
            received: 0,
            _charge: charge,
        }
    }

    /// Serves requests until the connection follows or ends.
    #[allow(
        clippy::manual_async_fn,
        reason = "an async fn would hold its captures twice"
    )]
    pub(super) fn serve(mut self) -> impl Future<Output = ServeOutcome> {
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
        if let Some(end) = self.replayed.take() {
            return self.end_replay(end).await;
        }
        let has_unanswered = !self.unanswered.is_empty();
        if has_unanswered && (self.unanswered.is_full() || !self.publish_comes_next()) {
            return answering::answer_all(self).await.map(|()| None);
        }
        // A follower writes to the socket itself, so everything before it must have been written.
        if !self.writer.is_empty() && (self.writer.is_full() || !self.publish_comes_next()) {
            self.flush_with_others().await?;
        }
        self.connection.snapshot = self.connection.socket.slot().snapshot();
        if self.connection.socket.input().is_empty() {
            self.fill_idle().await?;
            return Ok(None);
        }
        if self.replay_buffered() {
            return Ok(None);
        }
        let snapshot = Rc::clone(&self.connection.snapshot);
        match self.route_buffered(&snapshot) {
            ParsedHead::Incomplete => {
                self.fill_head().await?;
                Ok(None)
            }
            ParsedHead::Bad(response) => self.reject(&response).await,
            ParsedHead::Complete(head_bytes, length, Route::Routed(routed, holes)) => {
                let input = self.connection.socket.input();
                self.replay
                    .record_template(input, holes, head_bytes, length);
                self.take_head(head_bytes);
                self.carry_out(routed).await
            }
            ParsedHead::Complete(head_bytes, _, Route::Waits(request, located)) => {
                self.replay.clear_template();
                self.take_head(head_bytes);
                Box::pin(self.serve_waiting(request, located, &snapshot)).await
            }
        }
    }

    /// Carries out the result of routing.
    async fn carry_out(
        &mut self,
        routed: RoutedRequest,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        if let NextStep::Follow(plan) = routed.next {
            return Ok(Some(self.follow(plan, routed.context.log, routed.location)));
        }
        match self.respond_at_once(routed) {
            Ok(keeps_alive) => self.end_response(keeps_alive).await,
            // Boxed, so that a connection between two requests does not hold the state of one of
            // them.
            Err(routed) => Box::pin(self.perform(*routed)).await,
        }
    }

    /// Returns whether the next request in the buffer publishes, so that responses may wait for
    /// its response.
    fn publish_comes_next(&self) -> bool {
        let input = self.connection.socket.input();
        input.starts_with(b"POST ") || input.starts_with(b"PUT ")
    }

    /// Parses the head at the front of the buffer and routes it.
    fn route_buffered<'s>(&mut self, snapshot: &'s ListenerSnapshot) -> ParsedHead<Route<'s>> {
        self.received = 0;
        let number = self.connection.requests + 1;
        self.connection.socket.set_request_number(number);
        let Connection {
            socket,
            snapshot: current,
            poll_cache,
            requests,
            ..
        } = &*self.connection;
        let input = socket.input();
        let caches_polls = *requests > 0 && replay::caches_polls(poll_cache, current, input);
        let route = |request: &Request<'_>, length| {
            // Reads of earlier requests.
            Reads::take();
            let router = self.router(snapshot, caches_polls);
            let mut located = router.locate(request, length);
            let routed = router
                .route(&mut located, request, &mut NoWaiting)
                .now_or_never()
                .expect("only `Waiting` awaits anything, and it does not wait here");
            match routed {
                Ok(routed) => {
                    let holes = if self.served_any {
                        self.replay.find_holes(input, request, &routed)
                    } else {
                        None
                    };
                    Route::Routed(routed, holes)
                }
                Err(MustWait) => Route::Waits(Box::new(OwnedRequest::of(request)), located),
            }
        };
        let max_bytes = snapshot.limits.max_header_bytes;
        head::parse(input, max_bytes, socket.peer(), route)
    }

    /// The router for the current request, whose number the peer has.
    fn router<'s>(&self, snapshot: &'s ListenerSnapshot, caches_polls: bool) -> Router<'s> {
        let socket = &self.connection.socket;
        Router {
            snapshot,
            shard: socket.shard().clone(),
            key: socket.key(),
            outlet: Rc::clone(socket.outlet()),
            requests: socket.peer().requests,
            caches_polls,
        }
    }

    /// Removes the head of a routed request from the buffer and counts the request.
    fn take_head(&mut self, head_bytes: usize) {
        self.head_since = None;
        self.served_any = true;
        self.connection.requests += 1;
        self.connection.socket.buffer().advance(head_bytes);
        self.held = 0;
    }

    /// Routes and serves a request that must wait.
    async fn serve_waiting<'s>(
        &mut self,
        request: Box<OwnedRequest>,
        located: Located<'s>,
        snapshot: &'s ListenerSnapshot,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        answering::answer_all(self).await?;
        self.held = request.own_bytes();
        // Other requests are routed while it waits.
        let routing = self.route_waiting(&request, located, snapshot);
        let routed = regex_pattern::isolated_async(routing).await?;
        drop(request);
        self.held = 0;
        Box::pin(self.perform(routed)).await
    }

    async fn route_waiting<'s>(
        &mut self,
        request: &OwnedRequest,
        located: Located<'s>,
        snapshot: &'s ListenerSnapshot,
    ) -> Result<RoutedRequest, Disconnected> {
        let headers = request.headers();
        let router = self.router(snapshot, false);
        WaitingRequest::new(located, request.request(&headers))
            .route(&router, self)
            .await
    }

    /// Rejects the malformed request in the buffer, and closes the connection.
    async fn reject(&mut self, response: &Response) -> Result<Option<ServeOutcome>, Disconnected> {
        answering::answer_all(self).await?;
        let Connection {
            socket, snapshot, ..
        } = &*self.connection;
        let log = malformed_request::log_entry(snapshot, socket.peer(), socket.input());
        writing::write_rejection(self, response, log);
        self.close().await
    }

    /// Prepares the connection to follow.
    fn follow(
        &mut self,
        plan: FollowPlan,
        mut log: Option<Box<LogEntry>>,
        location: LocationAddress,
    ) -> ServeOutcome {
        if plan.input.is_further_requests() {
            self.cache_poll(plan.replay, location);
        } else {
            self.connection.poll_cache = RequestCache::default();
        }
        if let Some(log) = &mut log {
            log.add_received(self.received);
        }
        self.connection.subscription = OpenSubscription {
            location,
            log,
            hooks: plan.hooks,
        };
        ServeOutcome::Follow(plan.input)
    }

    /// Answers the request at the front of `input` from the cache. Returns its length, or `None` if
    /// it is not in the cache.
    fn replay_front(&mut self, input: &[u8]) -> Option<usize> {
        let Connection {
            socket,
            snapshot,
            poll_cache,
            requests,
            ..
        } = &mut *self.connection;
        if !socket.accepts_requests() {
            return None;
        }
        let context = ReplayContext {
            shard: socket.shard(),
            key: socket.key(),
            outlet: socket.outlet(),
            snapshot,
            has_unanswered: !self.unanswered.is_empty(),
            polls: poll_cache,
            writer: &mut self.writer,
        };
        let replayed = self.replay.replay(input, context)?;
        *requests += 1;
        self.head_since = None;
        self.served_any = true;
        self.replayed = replayed.end;
        Some(replayed.bytes)
    }

    /// Answers the request at the front of the buffer from the cache and removes it; false if it
    /// is not in the cache.
    fn replay_buffered(&mut self) -> bool {
        let mut buffer = std::mem::take(self.connection.socket.buffer());
        let replayed = self.replay_front(&buffer);
        buffer.advance(replayed.unwrap_or(0));
        *self.connection.socket.buffer() = buffer;
        replayed.is_some()
    }

    /// Carries out what follows from a replayed request.
    async fn end_replay(&mut self, end: ReplayEnd) -> Result<Option<ServeOutcome>, Disconnected> {
        match end {
            ReplayEnd::Closes => self.close().await,
            ReplayEnd::Waits(request) => {
                self.unanswered.push(*request);
                Ok(None)
            }
            ReplayEnd::Follows(location) => {
                self.connection.subscription.location = location;
                Ok(Some(ServeOutcome::Follow(ClientInput::Requests {
                    end_following: false,
                })))
            }
        }
    }

    /// Before a wait: reserves memory for the input, for what the current request holds, and for
    /// `more` bytes.
    fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        self.connection.socket.reserve(self.held + more)
    }
}

impl Waiting for Requests<'_> {
    type Stop = Disconnected;

    async fn begin(&mut self) -> Result<(), Disconnected> {
        answering::answer_all(self).await?;
        self.prepare_wait().await
    }

    async fn read_body(
        &mut self,
        body: PendingBody,
    ) -> Result<Result<Bytes, Response>, Disconnected> {
        Requests::read_body(self, body).await
    }
}
