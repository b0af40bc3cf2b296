//! A connection: one request after the other, until it follows or ends.
//!
//! Memory matters here, because most connections of a broker wait: buffers exist only while there
//! is something in them, and the machinery for requests is dropped while a connection follows.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::backend::{Ask, Unreachable};
use super::companion::LiveCompanion;
use super::decision::Again;
use super::files;
use super::habit::Habit;
use super::head::{self, BodyLength, Parsed};
use super::log_entry::Entry;
use super::pages;
use super::polled::LongPoll;
use super::read::LINGER_BYTES;
use super::remembered::Remembered;
use super::route::{Following, Next, Routed, Router};
use super::sending::record_rendered;
use super::site::{Place, Site};
use super::write_coalescing::WriteCoalescing;
use crate::server::broker::{Charge, Incident, OutOfMemory, Reservation};
use crate::server::config::web::AddedHeaders;
use crate::server::fanout::{ConnectionKey, Outlet, Shard, SubscriptionOutcome, socket_incident};
use crate::server::generation::LocationAddress;
use crate::server::publisher::Plan;
use crate::server::request::{Endpoints, Request};
use crate::server::response::{self, Response};

/// Responses to pipelined requests are collected up to this many bytes before they are written.
pub(super) const MAX_UNWRITTEN_BYTES: usize = 64 * 1024;

/// The two ends of a connection.
pub(in crate::server) type Peer = Endpoints;

/// A connection of a shard.
pub(in crate::server) struct Connection {
    pub(super) shard: Shard,
    pub(super) key: ConnectionKey,
    pub(super) outlet: Rc<Outlet>,
    /// The listener it came to.
    pub(super) place: Rc<Place>,
    /// What its request, or what it follows, is served with.
    pub(super) site: Rc<Site>,
    /// The location that it follows or followed.
    pub(super) followed: LocationAddress,
    pub(super) peer: Box<Peer>,
    /// Read, but not yet understood.
    pub(super) buffer: BytesMut,
    /// Memory for what waits: in the buffer, in a body, or for the socket.
    pub(super) waiting: Reservation,
    /// It has followed before, so that it waits for a further request.
    pub(super) has_followed: bool,
    /// Requests so far.
    pub(super) requests: u64,
    /// What is logged when it has followed.
    pub(super) log: Option<Box<Entry>>,
    /// What goes on beside its subscription.
    pub(super) companion: Option<Box<LiveCompanion>>,
    /// What is known of its polls.
    pub(super) polls: Remembered<LongPoll>,
}

/// The connection is over.
#[derive(Debug)]
pub(super) struct Disconnected;

/// What serving requests led to.
pub(super) enum Served {
    Follow(Following),
    Disconnected,
}

impl Connection {
    /// Enters a connection into its shard.
    pub(in crate::server) fn new(
        shard: Shard,
        outlet: Outlet,
        place: &Rc<Place>,
        peer: Peer,
    ) -> Self {
        let key = shard.open();
        let waiting = shard.broker().incoming_reservation();
        let outlet = Rc::new(outlet);
        let peer = Box::new(peer);
        let buffer = BytesMut::new();
        let (place, site, followed) = (Rc::clone(place), place.site(), LocationAddress::default());
        let (has_followed, requests, log, companion, polls) =
            (false, 0, None, None, Remembered::default());
        Self {
            shard,
            key,
            outlet,
            place,
            site,
            followed,
            peer,
            buffer,
            waiting,
            has_followed,
            requests,
            log,
            companion,
            polls,
        }
    }

    /// Serves the connection until it ends.
    #[allow(clippy::manual_async_fn, reason = "it would hold the connection twice")]
    pub(in crate::server) fn run(mut self) -> impl Future<Output = ()> {
        async move {
            loop {
                // Boxed, so that a connection that follows does not carry the state of one that
                // serves requests.
                let Ok(share) = self.shard.broker().charge_requests() else {
                    break;
                };
                let Served::Follow(following) =
                    Box::pin(Requests::new(&mut self, share).serve()).await
                else {
                    break;
                };
                let (outcome, may_answer_close) = self.follow(following).await;
                if let (Some(mut log), Some(tap)) = (self.log.take(), self.outlet.take_tap()) {
                    log.followed(*tap, outcome == SubscriptionOutcome::Dropped);
                }
                self.companion = None;
                match outcome {
                    SubscriptionOutcome::Finished => {}
                    SubscriptionOutcome::Closed if may_answer_close => {
                        self.await_answer_to_close().await;
                        break;
                    }
                    SubscriptionOutcome::Closed | SubscriptionOutcome::Dropped => break,
                }
            }
        }
    }

    /// Further requests are served.
    pub(super) fn goes_on(&self) -> bool {
        !self.shard.is_stopping() && !self.place.is_closed()
    }

    /// Before a wait: counts the memory of the buffer and `more`.
    pub(super) fn cover(&mut self, more: usize) -> Result<(), OutOfMemory> {
        let covered = self.waiting.reserve(self.buffer.capacity() + more);
        covered.inspect_err(|_| self.record_end(Incident::NoMemoryForIncoming))
    }

    /// Counts and logs why the server ends the connection, or a request of it.
    pub(super) fn record_end(&self, reason: Incident) {
        tracing::debug!(
            reason = reason.name(),
            client = self.peer.remote_address,
            "a connection is ended"
        );
        self.shard.broker().count(reason);
    }

    /// Counts and logs an error of the socket, unless it means that the client has left.
    pub(super) fn record_failure(&self, error: &io::Error) {
        if let Some(reason) = socket_incident(error) {
            self.record_end(reason);
        }
    }

    /// Gives back what the buffer has beyond its bytes: one of which something was taken keeps all
    /// of its memory, whatever its capacity says.
    pub(super) fn compact(&mut self) {
        self.buffer = BytesMut::from(&self.buffer[..]);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.close(self.key);
    }
}

/// A connection that serves requests.
pub(super) struct Requests<'a> {
    pub(super) connection: &'a mut Connection,
    /// Responses that are not written yet.
    pub(super) out: Vec<u8>,
    /// When the first byte of an incomplete head came, in [served time](Shard::served_time).
    pub(super) head_since: Option<Duration>,
    /// This is not the first request, so that waiting for it is keep-alive.
    pub(super) served_any: bool,
    /// Memory of the request at hand while its body comes in: what was understood of its head, or
    /// the answer to it.
    pub(super) held: usize,
    /// Of a publisher that publishes a lot.
    pub(super) busy: WriteCoalescing,
    /// What is known of its requests so far.
    pub(super) habit: Habit,
    /// Bytes that were read of the body of the request at hand.
    pub(super) received: u64,
    _share: Charge,
}

impl<'a> Requests<'a> {
    fn new(connection: &'a mut Connection, share: Charge) -> Self {
        let served_any = connection.has_followed;
        let out = Vec::new();
        let head_since = None;
        let held = 0;
        let busy = WriteCoalescing::default();
        let habit = Habit::default();
        Self {
            connection,
            out,
            head_since,
            served_any,
            held,
            busy,
            habit,
            received: 0,
            _share: share,
        }
    }

    #[allow(clippy::manual_async_fn, reason = "it would hold what it has twice")]
    fn serve(mut self) -> impl Future<Output = Served> {
        async move {
            loop {
                match self.step().await {
                    Ok(None) => {}
                    Ok(Some(served)) => return served,
                    Err(Disconnected) => return Served::Disconnected,
                }
            }
        }
    }

    /// One request, or one read.
    async fn step(&mut self) -> Result<Option<Served>, Disconnected> {
        if self.habit.follows {
            return Ok(Some(Served::Follow(Following::LongPoll(None))));
        }
        // A follower writes to the socket itself, so everything before it must be written.
        if !self.out.is_empty()
            && (self.out.len() > MAX_UNWRITTEN_BYTES || !self.publish_comes_next())
        {
            self.flush_with_others().await?;
        }
        self.connection.site = self.connection.place.site();
        if self.connection.buffer.is_empty() {
            self.fill_idle().await?;
            return Ok(None);
        }
        if self.repeat_buffered() {
            return if self.habit.is_over {
                self.close().await
            } else {
                Ok(None)
            };
        }
        self.received = 0;
        self.connection.peer.requests = self.connection.requests + 1;
        let notes_polls = self.connection.notes_polls();
        let Connection {
            site,
            shard,
            key,
            outlet,
            peer,
            buffer,
            requests,
            ..
        } = &*self.connection;
        let first = Again::default();
        let router = Router {
            site,
            shard,
            key: *key,
            outlet,
            requests: requests + 1,
            again: &first,
            notes_polls,
        };
        let route = |request: &Request<'_>, length| {
            let poll = if notes_polls {
                self.poll_places(request)
            } else {
                None
            };
            let routed = Router {
                notes_polls: poll.is_some(),
                ..router
            }
            .route(request, length);
            let places = self.places(request, length, &routed, poll);
            (routed, places)
        };
        match head::parse(buffer, site.limits.max_header_bytes, peer, route) {
            Parsed::Incomplete => {
                self.fill_head().await?;
                Ok(None)
            }
            Parsed::Bad(response) => self.reject(response).await,
            Parsed::Complete(taken, length, (routed, places)) => {
                self.note_shape(places, taken, length);
                self.head_since = None;
                self.served_any = true;
                self.connection.requests += 1;
                // Kept only where it is looked at again: many requests may wait for their bodies.
                let head = if routed.next.needs_head() {
                    Bytes::copy_from_slice(&self.connection.buffer[..taken])
                } else {
                    Bytes::new()
                };
                self.connection.buffer.advance(taken);
                self.held = head.len();
                match routed.next {
                    Next::Follow(following, companion) => Ok(Some(self.follow(
                        (following, companion),
                        routed.log,
                        routed.location,
                    ))),
                    // Boxed, so that a connection between two requests does not carry what one of
                    // them may need.
                    _ => Box::pin(self.perform(routed, length, head)).await,
                }
            }
        }
    }

    /// Follows from now on.
    fn follow(
        &mut self,
        (mut following, companion): (Following, Option<Box<LiveCompanion>>),
        mut log: Option<Box<Entry>>,
        location: LocationAddress,
    ) -> Served {
        if let Following::LongPoll(again) = &mut following {
            self.connection
                .remember_poll(self.habit.coming.take(), again.take(), location);
        } else {
            self.connection.polls = Remembered::default();
        }
        if let Some(log) = &mut log {
            log.add_received(self.received);
        }
        (self.connection.log, self.connection.companion) = (log, companion);
        self.connection.followed = location;
        Served::Follow(following)
    }

    /// Does what was found to be done with a request.
    pub(super) async fn perform(
        &mut self,
        routed: Routed,
        length: BodyLength,
        head: Bytes,
    ) -> Result<Option<Served>, Disconnected> {
        let Routed {
            next,
            connection,
            expects_continue,
            max_body,
            added,
            compression,
            mut log,
            location,
            page_type,
        } = routed;
        let response = match next {
            Next::Follow(following, companion) => {
                return Ok(Some(self.follow((following, companion), log, location)));
            }
            Next::File(job) => match Box::pin(job.answer()).await {
                files::FileOutcome::Respond(response) => {
                    self.without_body(response, length, (max_body, expects_continue))
                        .await?
                }
                files::FileOutcome::Redirect(path) => {
                    log.iter_mut().for_each(|log| log.forget());
                    return Box::pin(self.route_again(head, length, Again::redirected(path))).await;
                }
                files::FileOutcome::Stream(response, found) => {
                    let response = self
                        .without_body(response, length, (max_body, expects_continue))
                        .await?;
                    return Box::pin(self.stream(response, found, connection, (&added, log))).await;
                }
            },
            Next::Discard(again) => {
                return Box::pin(
                    self.discard_and_route((head, length, *again), (max_body, expects_continue)),
                )
                .await;
            }
            Next::Prepared(bytes, keeps, again) => {
                self.connection
                    .remember_poll(self.habit.coming.take(), again, location);
                record_rendered(log.as_mut(), &bytes);
                self.out.extend_from_slice(&bytes);
                return if keeps { Ok(None) } else { self.close().await };
            }
            Next::Last(bytes) => {
                record_rendered(log.as_mut(), &bytes);
                self.out.extend_from_slice(&bytes);
                return self.close().await;
            }
            Next::ReadBatch(batch) => {
                let taken = Box::pin(self.take_batch(
                    batch,
                    length,
                    (connection, &added, &compression, log),
                    expects_continue,
                ))
                .await;
                return taken.map(|()| None);
            }
            Next::Decide(decision) => {
                let outcome = Box::pin(self.decide(*decision, head, length)).await;
                if !matches!(outcome, Ok(Err(_))) {
                    // It was logged when it was routed again.
                    log.iter_mut().for_each(|log| log.forget());
                }
                match outcome? {
                    Ok(served) => return Ok(served),
                    Err(response) => {
                        self.without_body(response, length, (max_body, expects_continue))
                            .await?
                    }
                }
            }
            Next::PassOn(ask) => {
                let outcome =
                    Box::pin(self.pass_on(*ask, (head, length), (max_body, expects_continue)))
                        .await;
                if !matches!(outcome, Ok(Err(_))) {
                    log.iter_mut().for_each(|log| log.forget());
                }
                match outcome? {
                    Ok(served) => return Ok(served),
                    Err(response) => response,
                }
            }
            Next::Read(plan, max_body, asking) => {
                let log = log.as_deref_mut();
                self.publish(
                    (plan, asking),
                    length,
                    (max_body, expects_continue),
                    (connection, &added, log),
                )
                .await?
            }
            Next::List(listing) => {
                let has_no_body = self
                    .discard_body(length, (max_body, expects_continue))
                    .await?;
                match Box::pin(self.list(*listing, &added, compression.clone())).await? {
                    Ok(list) => {
                        let keep_alive = connection.keep_alive && has_no_body;
                        return Box::pin(self.send_list(
                            list,
                            response::ResponseContext {
                                keep_alive,
                                ..connection
                            },
                            log,
                        ))
                        .await;
                    }
                    Err(response) if has_no_body => response,
                    Err(response) => response.closing(),
                }
            }
            Next::Respond(response) => {
                self.without_body(response, length, (max_body, expects_continue))
                    .await?
            }
            Next::Page(method, target) => {
                let response = Box::pin(pages::answer(&method, &target)).await;
                self.without_body(response, length, (max_body, expects_continue))
                    .await?
            }
        };
        let status = response.status.0;
        let response = response.with_page_type(page_type);
        let response = if added.is_empty() {
            response
        } else {
            response.with_headers(added.for_status(status))
        };
        let response = compression.apply(response, connection.is_head);
        self.answer(response, connection, log).await
    }

    /// Reads the message of a publisher, and does with it what was planned.
    async fn publish(
        &mut self,
        (plan, asking): (Box<Plan>, Option<Box<Result<Ask, Unreachable>>>),
        length: BodyLength,
        (max_body, expects_continue): (u64, bool),
        (connection, added, log): (response::ResponseContext, &AddedHeaders, Option<&mut Entry>),
    ) -> Result<Response, Disconnected> {
        self.held = plan.own_bytes();
        let body = self.read_body(length, max_body, expects_continue).await?;
        if let (Ok(body), Some(log)) = (&body, log) {
            log.record_body(body);
        }
        Ok(match body {
            Ok(body) if asking.is_some() => Box::pin(self.finish(&plan, asking, body)).await,
            Ok(body) => {
                let response = plan.finish(self.connection.shard.broker(), body);
                self.note_news();
                self.remember_publish(*plan, max_body, connection, &added.good);
                response
            }
            Err(response) => response.with_headers(plan.headers()),
        })
    }

    /// Gets rid of a body that nobody wants, so that the next request can be read; or closes, where
    /// that takes too much.
    async fn without_body(
        &mut self,
        response: Response,
        length: BodyLength,
        (max_body, expects): (u64, bool),
    ) -> Result<Response, Disconnected> {
        if response.close {
            return Ok(response);
        }
        self.held = response.own_bytes();
        Ok(if self.discard_body(length, (max_body, expects)).await? {
            response
        } else {
            response.closing()
        })
    }

    /// As [`Requests::without_body`], before there is a response: whether the next request can be
    /// read.
    async fn discard_body(
        &mut self,
        length: BodyLength,
        (max_body, expects): (u64, bool),
    ) -> Result<bool, Disconnected> {
        if length == BodyLength::None {
            return Ok(true);
        }
        // It is not known whether the client sends the body after this answer.
        if expects && self.connection.buffer.is_empty() {
            return Ok(false);
        }
        let most = if max_body == 0 {
            LINGER_BYTES as u64
        } else {
            max_body
        };
        Ok(self.read_body(length, most, false).await?.is_ok())
    }

    /// As [`ResponseContext::cover`], with what is held of the request.
    pub(super) fn cover(&mut self, more: usize) -> Result<(), OutOfMemory> {
        self.connection.cover(self.held + more)
    }
}
