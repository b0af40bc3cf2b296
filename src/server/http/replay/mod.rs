//! The replay cache: a request whose head differs from an earlier one of its connection only in
//! known places is answered without parsing and routing it again.
//!
//! `publish` recognises requests of publishers, `poll` long polls. Both find the variable parts of
//! a head with a `HeadTemplate` and keep the result of routing in a `CachedRequest`. A head that
//! matches no template takes the ordinary way through `route`.
//!
//! What a response depends on is observed while the first request is routed
//! ([`Reads`](crate::server::config::expression::reads::Reads)): it is cached if the configuration
//! reads the variable parts only as channel or cursor. A new directive needs no decision here.

mod cached_request;
mod head_template;
mod poll;
mod publish;

use bytes::Buf;

pub(super) use cached_request::RequestCache;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(super) use head_template::template_of;
pub(super) use head_template::{HeadTemplate, Holes};
pub(super) use poll::CachedPoll;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(super) use poll::{PollMatch, find_holes as find_poll_holes, match_poll};
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(super) use publish::{find_holes as find_publish_holes, match_publish};

use super::connection::requests::Requests;
use super::h1::headers::BodyLength;
use super::route::{FollowPlan, NextStep, RoutedRequest};
use crate::server::config::expression::reads::Reads;
use crate::server::exchange::request::Request;
use crate::server::push_stream::cursor::CursorPlace;
use publish::CachedPublish;

/// Replay state of a connection while it serves requests. Polls are cached by the connection
/// itself, because it follows between two of them.
#[derive(Default)]
pub(in crate::server) struct ReplayState {
    /// The last cached request of a publisher.
    publishes: RequestCache<CachedPublish>,
    /// Head of the current request, if the request may be cached.
    pub(in crate::server) template: Option<Box<HeadTemplate>>,
    /// The response to a replayed request was the last one of the connection.
    pub(in crate::server) is_last: bool,
    /// A replayed poll has attached its follower.
    pub(in crate::server) is_following: bool,
}

impl Requests<'_> {
    /// Returns the holes of the request at the front of the buffer, which was just routed, if it can
    /// be cached and a similar request is likely to follow.
    pub(in crate::server) fn find_holes(
        &self,
        request: &Request<'_>,
        length: BodyLength,
        routed: &RoutedRequest,
    ) -> Option<Holes> {
        let reads = Reads::take();
        let context = &routed.context;
        if context.log.is_some() {
            // Each request has its own line, with values of its own.
            return None;
        }
        let buffer = &self.connection.buffer;
        match &routed.next {
            NextStep::Read(plan, None) => {
                let argument = plan.channel_argument()?;
                let is_likely = self.served_any && self.replay.publishes.is_worthwhile();
                let is_ordinary = matches!(length, BodyLength::Bytes(_))
                    && !routed.body.pending().expects_continue
                    && context.connection.keep_alive;
                if is_likely && is_ordinary && reads.allow_other_arguments(1) {
                    publish::find_holes(buffer, request, argument)
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
                    CursorPlace::Arguments(names) => {
                        reads.allow_other_arguments(names.len() as u32)
                    }
                };
                if is_free && request.keep_alive {
                    poll::find_holes(buffer, request, place)
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    /// Copies the first `head_bytes` of the buffer as the template of a request to be cached.
    ///
    /// Only if the whole body is in the buffer as well: replayed requests must arrive whole, and
    /// no memory is held while a body comes in.
    pub(in crate::server) fn record_template(
        &mut self,
        holes: Option<Holes>,
        head_bytes: usize,
        length: BodyLength,
    ) {
        let buffer = &self.connection.buffer;
        let is_whole = match length {
            BodyLength::None => true,
            BodyLength::Bytes(length) => length <= (buffer.len() - head_bytes) as u64,
            BodyLength::Chunked => false,
        };
        self.replay.template = holes
            .filter(|_| is_whole)
            .and_then(|holes| HeadTemplate::new(&buffer[..head_bytes], holes))
            .map(Box::new);
    }

    /// Answers the request at the front of `bytes` from the cache. Returns its length, or `None`
    /// if it is not in the cache.
    pub(in crate::server) fn replay_front(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.connection.accepts_requests() {
            return None;
        }
        self.replay_publish(bytes)
            .or_else(|| self.replay_poll(bytes))
    }

    /// Answers the request at the front of the buffer from the cache and removes it; false if it
    /// is not in the cache.
    pub(in crate::server) fn replay_buffered(&mut self) -> bool {
        let mut buffer = std::mem::take(&mut self.connection.buffer);
        let replayed = self.replay_front(&buffer);
        buffer.advance(replayed.unwrap_or(0));
        self.connection.buffer = buffer;
        replayed.is_some()
    }
}
