//! Replay of publishers' requests that differ from the one before them only in their channel and
//! their message.
//!
//! A publisher sends the same head with every message. Parsing it and finding its server, location
//! and settings was a third of the instructions of a publish (callgrind), and as much of the code
//! that has to be loaded into the processor's caches between two system calls.

use bytes::Bytes;

use super::cached_request::{CachedRequest, RequestCache};
use super::head_template::{Holes, TemplateMatch};
use super::response_cache::ResponseHeadCache;
use super::{HeadTemplate, ReplayContext, ReplayEnd, Replayed};
use crate::server::endpoint::PublishOutcome;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::USUAL_HEAD_BYTES;
use crate::server::http::publish_plan::PublishPlan;
use crate::server::http::route::ResponsePlan;
use crate::server::http::unanswered::UnansweredRequest;
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
    head: ResponseHeadCache,
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
    // Reads of an empty argument are not counted, so that other expressions may have read it.
    let id = request.argument(argument).filter(|id| !id.is_empty())?;
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

impl CachedPublish {
    /// The entry of a request that `plan` has answered.
    pub(super) fn new(mut plan: PublishPlan, max_body: u64, context: &ResponsePlan) -> Self {
        plan.release_channels();
        Self {
            plan,
            max_body,
            context: context.without_log(),
            head: ResponseHeadCache::default(),
        }
    }

    /// Bytes of heap memory.
    pub(super) fn own_bytes(&self) -> usize {
        let added = &self.context.added;
        let plan = self.plan.own_bytes() + added.good.byte_len() + added.any.byte_len();
        // The head of the response has the headers of the plan, too.
        2 * plan + USUAL_HEAD_BYTES
    }
}

/// Publishes the request at the front of `input`, if it matches the cached one; `None` if it does
/// not.
#[inline]
pub(super) fn replay(
    cache: &mut RequestCache<CachedPublish>,
    input: &[u8],
    context: &mut ReplayContext<'_>,
) -> Option<Replayed> {
    let CachedRequest {
        template,
        snapshot,
        entry,
        is_used,
        ..
    } = cache.get_or_evict(context.snapshot)?;
    let PublishMatch {
        id,
        head_bytes,
        text,
    } = match_publish(template, input)?;
    let ReplayContext {
        shard,
        outlet,
        has_unanswered,
        writer,
        ..
    } = context;
    let CachedPublish {
        plan,
        max_body,
        context,
        head,
    } = entry;
    let broker = shard.broker();
    let is_too_long =
        head_bytes > snapshot.limits.max_header_bytes || text.len() as u64 > *max_body;
    if is_too_long || !plan.redirect(broker, id) {
        return None;
    }
    failpoints::point("request");
    *is_used = true;
    let bytes = head_bytes + text.len();
    let text = Bytes::copy_from_slice(text);
    let is_last = bytes == input.len() && writer.is_empty();
    let delivering = is_last
        .then(|| shard.begin_inline_delivery(outlet, writer.has_waited()))
        .flatten();
    let outcome = plan.finish(broker, text);
    plan.release_channels();
    let response = match outcome {
        PublishOutcome::Ready(response) if !*has_unanswered => response,
        outcome => return Some(leave_unanswered(bytes, outcome, context)),
    };
    let keeps_alive = head.write(response, context, writer.out());
    match delivering {
        Some(delivering) => writer.write_inline(outlet, &delivering),
        None => writer.record_published(shard),
    }
    Some(Replayed {
        bytes,
        end: (!keeps_alive).then_some(ReplayEnd::Closes),
    })
}

/// Leaves a replayed request unanswered for now.
#[cold]
fn leave_unanswered(bytes: usize, outcome: PublishOutcome, plan: &ResponsePlan) -> Replayed {
    let request = UnansweredRequest {
        outcome,
        context: plan.without_log(),
        received: 0,
    };
    Replayed {
        bytes,
        end: Some(ReplayEnd::Waits(Box::new(request))),
    }
}

#[cfg(test)]
mod tests;
