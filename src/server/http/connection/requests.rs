//! Serving requests on a connection: reads heads and routes them, until the connection follows or
//! ends. `perform` carries out the result of routing.

use std::time::Duration;

use bytes::{Buf, Bytes};

use super::write_coalescing::WriteCoalescing;
use super::{Connection, Disconnected};
use crate::server::broker::{Charge, OutOfMemory};
use crate::server::exchange::request::Request;
use crate::server::http::h1::head;
use crate::server::http::h1::head::ParsedHead;
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::log_entry::LogEntry;
use crate::server::http::replay::{Holes, ReplayState, RequestCache};
use crate::server::http::route::pending_check::RoutingState;
use crate::server::http::route::{FollowMode, NextStep, RoutedRequest, Router};
use crate::server::http::upstream::live_hooks::LiveHooks;
use crate::server::runtime::generation::LocationAddress;

/// Responses to pipelined requests are collected up to this many bytes before they are written.
pub(in crate::server) const MAX_UNWRITTEN_BYTES: usize = 64 * 1024;

/// Result of serving requests.
pub(in crate::server) enum ServeOutcome {
    Follow(FollowMode),
    Disconnected,
}

/// The body of the current request, which has not been read yet.
#[derive(Clone, Copy)]
pub(in crate::server) struct PendingBody {
    pub(in crate::server) length: BodyLength,
    /// Largest body that is read.
    pub(in crate::server) max_bytes: u64,
    /// The client waits for `100 Continue` before it sends the body.
    pub(in crate::server) expects_continue: bool,
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
            return Ok(Some(ServeOutcome::Follow(FollowMode::LongPoll(None))));
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
        match self.route_buffered() {
            ParsedHead::Incomplete => {
                self.fill_head().await?;
                Ok(None)
            }
            ParsedHead::Bad(response) => self.reject(response).await,
            ParsedHead::Complete(head_bytes, length, (routed, holes)) => {
                self.record_template(holes, head_bytes, length);
                let head = self.take_head(head_bytes, &routed);
                match routed.next {
                    NextStep::Follow(mode, hooks) => Ok(Some(self.follow(
                        mode,
                        hooks,
                        routed.context.log,
                        routed.location,
                    ))),
                    // Boxed, so that a connection between two requests does not hold the state of
                    // one of them.
                    _ => Box::pin(self.perform(routed, length, head)).await,
                }
            }
        }
    }

    /// Parses the head at the front of the buffer and routes it.
    fn route_buffered(&mut self) -> ParsedHead<(RoutedRequest, Option<Holes>)> {
        self.received = 0;
        self.connection.peer.requests = self.connection.requests + 1;
        let caches_polls = self.connection.caches_polls();
        let Connection {
            snapshot,
            shard,
            key,
            outlet,
            peer,
            buffer,
            requests,
            ..
        } = &*self.connection;
        let state = RoutingState::default();
        let router = Router {
            snapshot,
            shard,
            key: *key,
            outlet,
            requests: requests + 1,
            state: &state,
            caches_polls,
        };
        let route = |request: &Request<'_>, length| {
            let poll = if caches_polls {
                self.find_poll_holes(request)
            } else {
                None
            };
            let routed = Router {
                caches_polls: poll.is_some(),
                ..router
            }
            .route(request, length);
            let holes = self.find_holes(request, length, &routed, poll);
            (routed, holes)
        };
        head::parse(buffer, snapshot.limits.max_header_bytes, peer, route)
    }

    /// Removes the head of a routed request from the buffer and counts the request. Returns a copy
    /// of the head only where it is parsed again: many requests may wait for their bodies.
    fn take_head(&mut self, head_bytes: usize, routed: &RoutedRequest) -> Bytes {
        self.head_since = None;
        self.served_any = true;
        self.connection.requests += 1;
        let head = if routed.next.needs_head() {
            Bytes::copy_from_slice(&self.connection.buffer[..head_bytes])
        } else {
            Bytes::new()
        };
        self.connection.buffer.advance(head_bytes);
        self.held = head.len();
        head
    }

    /// Prepares the connection to follow.
    pub(in crate::server) fn follow(
        &mut self,
        mut mode: FollowMode,
        hooks: Option<Box<LiveHooks>>,
        mut log: Option<Box<LogEntry>>,
        location: LocationAddress,
    ) -> ServeOutcome {
        if let FollowMode::LongPoll(replay) = &mut mode {
            self.connection
                .cache_poll(self.replay.template.take(), replay.take(), location);
        } else {
            self.connection.poll_cache = RequestCache::default();
        }
        if let Some(log) = &mut log {
            log.add_received(self.received);
        }
        self.connection.log = log;
        self.connection.hooks = hooks;
        self.connection.location = location;
        ServeOutcome::Follow(mode)
    }

    /// Reserves memory as [`Connection::reserve`], including what the current request holds.
    pub(in crate::server) fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        self.connection.reserve(self.held + more)
    }
}
