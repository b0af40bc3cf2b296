//! A connection of a shard: it serves requests (`requests`) and follows (`following`), in turn,
//! until it ends.
//!
//! Most connections of a broker wait, so their memory matters: a buffer exists only while it has
//! contents, and the state for serving requests is dropped while the connection follows.

mod following;
mod requests;
mod socket;
mod websocket_frames;

use std::rc::Rc;

use self::requests::{Requests, ServeOutcome};
use self::socket::ClientSocket;
use super::listen::listener_snapshot::{ListenerSlot, ListenerSnapshot};
use super::listen::location_index::LocationAddress;
use super::log_entry::LogEntry;
use super::replay::{CachedPoll, RequestCache};
use super::upstream::live_hooks::LiveHooks;
use crate::server::exchange::request::Endpoints;
use crate::server::fanout::{Outlet, Shard, SubscriptionOutcome};

/// A connection of a shard.
pub(in crate::server) struct Connection {
    socket: ClientSocket,
    /// The configuration of the current request, or of the request that it follows with.
    snapshot: Rc<ListenerSnapshot>,
    /// Number of requests so far.
    requests: u64,
    /// It has followed before, so that the next request is a further one (keep-alive).
    has_followed: bool,
    subscription: OpenSubscription,
    /// Cache of long polls.
    poll_cache: RequestCache<CachedPoll>,
}

/// What the connection holds for its current or last subscription.
#[derive(Default)]
struct OpenSubscription {
    location: LocationAddress,
    /// Access log entry.
    log: Option<Box<LogEntry>>,
    hooks: Option<Box<LiveHooks>>,
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
        Self {
            socket: ClientSocket::new(shard, outlet, slot, peer),
            snapshot: slot.snapshot(),
            requests: 0,
            has_followed: false,
            subscription: OpenSubscription::default(),
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
                let Ok(charge) = self.socket.broker().memory().charge_requests() else {
                    break;
                };
                let ServeOutcome::Follow(input) =
                    Box::pin(Requests::new(&mut self, charge).serve()).await
                else {
                    break;
                };
                let (outcome, expects_close) = self.follow(input).await;
                let log = self.subscription.log.take();
                if let (Some(mut log), Some(tap)) = (log, self.socket.outlet().take_tap()) {
                    log.record_subscription(*tap, outcome == SubscriptionOutcome::Dropped);
                }
                self.subscription.hooks = None;
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

    /// Shuts down the write side, and reads for a while, as [`ClientSocket::linger`].
    async fn linger(&mut self, keeps_reading: impl FnMut(&mut ClientSocket) -> bool) {
        self.poll_cache = RequestCache::default();
        let time = self.snapshot.limits.linger_time;
        self.socket.linger(time, keeps_reading).await;
    }
}
