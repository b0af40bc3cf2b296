//! Replay of publishers' requests that differ from the one before them only in their channel and
//! their message.
//!
//! A publisher sends the same head with every message. Parsing it and finding its server, location
//! and settings was a third of the instructions of a publish (callgrind), and as much of the code
//! that has to be loaded into the processor's caches between two system calls.

use bytes::Bytes;

use super::HeadTemplate;
use super::cached_request::CachedRequest;
use super::head_template::{Holes, TemplateMatch};
use crate::server::exchange::request::Request;
use crate::server::http::connection::requests::Requests;
use crate::server::http::route::ResponsePlan;
use crate::server::http::route::publish_plan::PublishPlan;
use crate::server::observe::failpoints;

/// Most digits of a `Content-Length` that is matched.
const MAX_LENGTH_DIGITS: usize = 9;

/// A routed request of a publisher.
pub(super) struct CachedPublish {
    /// Without its channel.
    plan: PublishPlan,
    /// Largest message in bytes.
    max_body: u64,
    /// What completes the responses.
    context: ResponsePlan,
}

/// The variable parts of a publisher's request that matches a template.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct PublishMatch<'a> {
    pub(in crate::server) id: &'a [u8],
    pub(in crate::server) head_bytes: usize,
    pub(in crate::server) text: &'a [u8],
}

/// Returns the ranges of channel id and length in the head of a publisher's request at the front of
/// `buffer`.
pub(in crate::server) fn find_holes(
    buffer: &[u8],
    request: &Request<'_>,
    argument: &[u8],
) -> Option<Holes> {
    let id = request.argument(argument)?;
    let length = request.header("content-length")?.trim_ascii();
    Holes::of(buffer, [id, length])
}

/// Matches the request at the front of `buffer` against `template`, if its whole body is there.
pub(in crate::server) fn match_publish<'a>(
    template: &HeadTemplate,
    buffer: &'a [u8],
) -> Option<PublishMatch<'a>> {
    let part_length = |number: usize, rest: &[u8]| match number {
        0 => rest
            .iter()
            .position(|byte| !is_id_byte(*byte))
            .unwrap_or(rest.len()),
        _ => rest
            .iter()
            .take(MAX_LENGTH_DIGITS)
            .take_while(|byte| byte.is_ascii_digit())
            .count(),
    };
    let TemplateMatch {
        parts: [id, digits],
        rest,
    } = template.match_head(buffer, part_length)?;
    let length = digits
        .iter()
        .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    let text = rest.get(..length).filter(|text| !text.is_empty())?;
    is_plain_id(id).then_some(PublishMatch {
        id,
        head_bytes: buffer.len() - rest.len(),
        text,
    })
}

/// Returns whether the byte needs no decoding in a target.
fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':')
}

/// Returns whether this is the id of one channel that accepts messages: not `ALL`, and without a
/// number of stored messages (`.bN` at the end).
fn is_plain_id(id: &[u8]) -> bool {
    !id.is_empty() && id != b"ALL" && !id.windows(2).any(|pair| pair == b".b")
}

impl Requests<'_> {
    /// Publishes the request at the front of `bytes`, if it matches the cached one. Returns its
    /// length, or `None` if it is not in the cache.
    pub(super) fn replay_publish(&mut self, bytes: &[u8]) -> Option<usize> {
        let connection = &mut *self.connection;
        let CachedRequest {
            template,
            snapshot,
            entry,
            is_used,
            ..
        } = self.replay.publishes.get_or_evict(&connection.snapshot)?;
        let PublishMatch {
            id,
            head_bytes,
            text,
        } = match_publish(template, bytes)?;
        let CachedPublish {
            plan,
            max_body,
            context,
        } = entry;
        let is_too_long =
            head_bytes > snapshot.limits.max_header_bytes || text.len() as u64 > *max_body;
        let broker = connection.shard.broker();
        if is_too_long || !plan.redirect(broker, id) {
            return None;
        }
        failpoints::point("request");
        *is_used = true;
        let length = head_bytes + text.len();
        let text = Bytes::copy_from_slice(text);
        let is_last = length == bytes.len() && self.out.is_empty();
        let has_waited = self.coalescing.has_waited();
        let delivering = if is_last {
            connection
                .shard
                .begin_inline_delivery(&connection.outlet, has_waited)
        } else {
            None
        };
        let response = context.complete(plan.finish(broker, text));
        plan.release_channels();
        self.replay.is_last = !response.write(context.connection, &mut self.out);
        connection.requests += 1;
        self.head_since = None;
        match delivering {
            Some(delivering) => self.respond_inline(&delivering),
            None => self.record_published(),
        }
        Some(length)
    }

    /// Caches the current request of a publisher, which `plan` has answered.
    pub(in crate::server) fn cache_publish(
        &mut self,
        mut plan: PublishPlan,
        max_body: u64,
        context: &ResponsePlan,
    ) {
        let Some(template) = self.replay.template.take() else {
            return;
        };
        plan.release_channels();
        let entry_bytes = plan.own_bytes() + context.added.good.len() + context.added.any.len();
        let entry = CachedPublish {
            plan,
            max_body,
            context: context.without_log(),
        };
        self.replay.publishes.insert(
            self.connection.shard.broker(),
            &self.connection.snapshot,
            *template,
            entry,
            entry_bytes,
        );
    }
}

#[cfg(test)]
mod tests;
