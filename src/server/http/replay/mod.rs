//! The replay cache: a request whose head differs from an earlier one of its connection only in
//! known places is answered without parsing and routing it again.
//!
//! `publish` recognises requests of publishers, `poll` long polls. Both find the variable parts of
//! a head with a `HeadTemplate` and keep the result of routing in a `CachedRequest`. A head that
//! matches no template takes the ordinary way through `route`.
//!
//! What a response depends on is observed while the first request is routed
//! ([`Reads`](crate::server::config::expression::reads::Reads)): it is cached if the configuration
//! reads the variable parts only as channel or cursor. A new directive needs no decision here, if
//! it reads the request through variables. Code that reads a clock, a file or shared state calls
//! `record_changing`.
//!
//! Not cached:
//!
//! - Publishes of NHPM: routing them creates their channel and prolongs its life, which each replay
//!   would have to repeat before the body is read.
//! - Long polls of nchan: only `PollReplay` of push-stream knows how to repeat a poll with another
//!   cursor. A cursor of nchan may hold positions in several channels.
//! - Requests at locations with `keepalive_requests`: the last one of a connection has another
//!   response.
//! - Requests with a line in an access log.

mod cached_request;
mod head_template;
mod poll;
mod publish;
mod response_cache;

use std::rc::Rc;

pub(super) use cached_request::RequestCache;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(super) use head_template::template_of;
pub(super) use head_template::{HeadTemplate, Holes};
pub(super) use poll::CachedPoll;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(super) use poll::{PollMatch, find_holes as find_poll_holes, match_poll};
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(super) use publish::{find_holes as find_publish_holes, match_publish};

use super::h1::headers::BodyLength;
use super::listen::listener_snapshot::ListenerSnapshot;
use super::listen::location_index::LocationAddress;
use super::publish_plan::PublishPlan;
use super::route::{FollowPlan, NextStep, ResponsePlan, RoutedRequest};
use super::unanswered::UnansweredRequest;
use super::writer::Writer;
use crate::server::broker::Broker;
use crate::server::config::expression::reads::Reads;
use crate::server::exchange::request::Request;
use crate::server::fanout::{ConnectionKey, Outlet, Shard};
use crate::server::push_stream::cursor::CursorPlace;
use crate::server::push_stream::subscribe::PollReplay;
use publish::CachedPublish;

/// Replay state of a connection while it serves requests. Polls are cached by the connection
/// itself, because it follows between two of them.
#[derive(Default)]
pub(in crate::server) struct ReplayState {
    /// The last cached request of a publisher.
    publishes: RequestCache<CachedPublish>,
    /// Head of the current request, if the request may be cached.
    template: Option<Box<HeadTemplate>>,
}

/// The parts of a connection that a replay needs.
pub(in crate::server) struct ReplayContext<'a> {
    pub(in crate::server) shard: &'a Shard,
    pub(in crate::server) key: ConnectionKey,
    pub(in crate::server) outlet: &'a Rc<Outlet>,
    /// The current configuration.
    pub(in crate::server) snapshot: &'a Rc<ListenerSnapshot>,
    /// The responses to earlier requests are not known yet.
    pub(in crate::server) has_unanswered: bool,
    /// Cache of polls.
    pub(in crate::server) polls: &'a mut RequestCache<CachedPoll>,
    pub(in crate::server) writer: &'a mut Writer,
}

/// A request that was answered from the cache.
pub(in crate::server) struct Replayed {
    /// Its length.
    pub(in crate::server) bytes: usize,
    /// `None` if the next request follows.
    pub(in crate::server) end: Option<ReplayEnd>,
}

/// What follows from a replayed request.
pub(in crate::server) enum ReplayEnd {
    /// The response was the last one of the connection.
    Closes,
    /// The follower of a poll at this location is attached.
    Follows(LocationAddress),
    /// The response waits for an acknowledgement, or for responses to earlier requests.
    Waits(Box<UnansweredRequest>),
}

impl ReplayState {
    /// Returns the holes of the routed request at the front of `input`, if it can be cached and a
    /// similar request is likely to follow.
    pub(in crate::server) fn find_holes(
        &self,
        input: &[u8],
        request: &Request<'_>,
        routed: &RoutedRequest,
    ) -> Option<Holes> {
        let reads = Reads::take();
        let context = &routed.context;
        if context.log.is_some() || !context.connection.keep_alive {
            // Each request has its own line in a log.
            return None;
        }
        let holes = match &routed.next {
            NextStep::Read(plan, None) => {
                let argument = plan.channel_argument()?;
                let body = routed.body.pending();
                let is_ordinary =
                    matches!(body.length, BodyLength::Bytes(_)) && !body.expects_continue;
                if is_ordinary && self.publishes.is_worthwhile() && reads.allow_other_arguments(1) {
                    publish::find_holes(input, request, argument)
                } else {
                    None
                }
            }
            NextStep::Follow(FollowPlan {
                replay: Some(replay),
                ..
            })
            | NextStep::SendPrepared(.., Some(replay)) => {
                let place = replay.place();
                let is_free = match place {
                    CursorPlace::Headers => reads.allow_other_cursor_headers(),
                    CursorPlace::Arguments(_) => reads.allow_other_arguments(2),
                };
                if is_free {
                    poll::find_holes(input, request, place)
                } else {
                    None
                }
            }
            _ => None,
        };
        holes.map(|holes| holes.until(reads.valid_until()))
    }

    /// Copies the first `head_bytes` of `input` as the template of a request to be cached.
    ///
    /// Only if the whole body is in the input as well: replayed requests must arrive whole, and no
    /// memory is held while a body comes in.
    pub(in crate::server) fn record_template(
        &mut self,
        input: &[u8],
        holes: Option<Holes>,
        head_bytes: usize,
        length: BodyLength,
    ) {
        let is_whole = match length {
            BodyLength::None => true,
            BodyLength::Bytes(length) => length <= (input.len() - head_bytes) as u64,
            BodyLength::Chunked => false,
        };
        self.template = holes
            .filter(|_| is_whole)
            .and_then(|holes| HeadTemplate::new(&input[..head_bytes], holes))
            .map(Box::new);
    }

    /// Records that the current request is not cached.
    pub(in crate::server) fn clear_template(&mut self) {
        self.template = None;
    }

    /// Answers the request at the front of `input` from the cache; `None` if it is not there.
    pub(in crate::server) fn replay(
        &mut self,
        input: &[u8],
        mut context: ReplayContext<'_>,
    ) -> Option<Replayed> {
        publish::replay(&mut self.publishes, input, &mut context)
            .or_else(|| poll::replay(input, &mut context))
    }

    /// Caches the current request of a publisher, which `plan` has answered.
    pub(in crate::server) fn cache_publish(
        &mut self,
        broker: &Broker,
        snapshot: &Rc<ListenerSnapshot>,
        plan: PublishPlan,
        max_body: u64,
        context: &ResponsePlan,
    ) {
        if let Some(template) = self.template.take() {
            let entry = CachedPublish::new(plan, max_body, context);
            let entry_bytes = entry.own_bytes();
            self.publishes
                .insert(broker, snapshot, *template, entry, entry_bytes);
        }
    }

    /// Caches a routed poll; without `replay` it cannot be replayed.
    pub(in crate::server) fn cache_poll(
        &mut self,
        polls: &mut RequestCache<CachedPoll>,
        broker: &Broker,
        snapshot: &Rc<ListenerSnapshot>,
        replay: Option<Box<PollReplay>>,
        location: LocationAddress,
    ) {
        let template = self.template.take();
        let Some(replay) = replay else { return };
        // Without a template the head is too long, or the body has not arrived yet.
        let Some(template) = template else {
            return polls.record_unused();
        };
        let entry_bytes = replay.own_bytes();
        let entry = CachedPoll::new(location, *replay);
        polls.insert(broker, snapshot, *template, entry, entry_bytes);
    }
}

/// Returns whether the request at the front of `input`, which is about to be routed, should be
/// cached if it is a poll.
pub(in crate::server) fn caches_polls(
    polls: &RequestCache<CachedPoll>,
    snapshot: &Rc<ListenerSnapshot>,
    input: &[u8],
) -> bool {
    let is_cached = || {
        polls.get(snapshot).is_some_and(|cached| {
            let place = cached.entry.place();
            poll::match_poll(&cached.template, place, input).is_some()
        })
    };
    polls.is_worthwhile() && !is_cached()
}
