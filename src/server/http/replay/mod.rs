//! The replay cache: a request whose head differs from an earlier one of its connection only in
//! known places is answered without parsing and routing it again.
//!
//! `publish` recognises requests of publishers, `poll` long polls. Both find the variable parts of
//! a head with a `HeadTemplate` and keep the result of routing in a `CachedRequest`. A head that
//! matches no template takes the ordinary way through `route`.

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
pub(super) use publish::{is_replayable, only_argument};

use super::connection::requests::Requests;
use super::h1::headers::BodyLength;
use super::route::{NextStep, RoutedRequest};
use crate::server::exchange::request::Request;
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
    /// Returns the holes of the request at the front of the buffer, if it can be cached and a
    /// similar request is likely to follow; `poll` are those of a poll.
    pub(in crate::server) fn find_holes(
        &self,
        request: &Request<'_>,
        length: BodyLength,
        routed: &RoutedRequest,
        poll: Option<Holes>,
    ) -> Option<Holes> {
        let plan = match &routed.next {
            NextStep::Read(plan, ..) => plan,
            NextStep::Follow(plan) if plan.replay.is_some() => return poll,
            NextStep::SendPrepared(.., Some(_)) => return poll,
            _ => return None,
        };
        let is_likely = self.served_any && self.replay.publishes.is_worthwhile();
        let is_ordinary = matches!(length, BodyLength::Bytes(_))
            && !routed.body.pending().expects_continue
            && routed.context.connection.keep_alive;
        let argument = plan.argument_alone().filter(|_| is_likely && is_ordinary)?;
        publish::find_holes(&self.connection.buffer, request, argument)
    }

    /// Returns the holes of the request at the front of the buffer, if it is a poll that can be
    /// recognised again.
    pub(in crate::server) fn find_poll_holes(&self, request: &Request<'_>) -> Option<Holes> {
        if request.keep_alive {
            poll::find_holes(&self.connection.buffer, request)
        } else {
            None
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
