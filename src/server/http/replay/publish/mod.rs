//! Replay of publishers' requests that differ from the one before them only in their channel and
//! their message.
//!
//! A publisher sends the same head with every message. Parsing it and finding its server, location
//! and settings was a third of the instructions of a publish (callgrind), and as much of the code
//! that has to be loaded into the processor's caches between two system calls.

use std::rc::Rc;

use bytes::Bytes;

use super::cached_request::{CachedRequest, RequestCache};
use super::head_template::{Holes, TemplateMatch};
use super::{HeadTemplate, ReplayContext, ReplayEnd, Replayed};
use crate::server::broker::Broker;
use crate::server::config::{Endpoint, Location, LocationSettings, VirtualServer, WebSettings};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::ResponseContext;
use crate::server::http::listen::listener_snapshot::ListenerSnapshot;
use crate::server::http::route::publish_plan::PublishPlan;
use crate::server::observe::failpoints;
use crate::server::push_stream::publish::PublishReplay;

/// Most digits of a `Content-Length` that is matched.
const MAX_LENGTH_DIGITS: usize = 9;

/// A routed request of a publisher.
pub(super) struct CachedPublish {
    replay: PublishReplay,
    /// Longest channel id in bytes.
    max_id: usize,
    /// Largest message in bytes.
    max_body: u64,
    connection: ResponseContext,
}

/// The variable parts of a publisher's request that matches a template.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct PublishMatch<'a> {
    pub(in crate::server) id: &'a [u8],
    pub(in crate::server) head_bytes: usize,
    pub(in crate::server) text: &'a [u8],
}

/// Returns the name of the argument that carries the channel id, if requests to this location
/// depend on nothing else in their target.
pub(in crate::server) fn only_argument<'a>(
    server: &VirtualServer,
    location: &Location,
    settings: &'a LocationSettings,
) -> Option<&'a Bytes> {
    if is_replayable(server, location, settings) {
        channel_argument(settings)
    } else {
        None
    }
}

/// Returns whether all requests with the same head take the same way through the server and the
/// location.
pub(in crate::server) fn is_replayable(
    server: &VirtualServer,
    location: &Location,
    settings: &LocationSettings,
) -> bool {
    server.steps.is_empty() && location.steps.is_empty() && is_web_replayable(&settings.web)
}

/// Returns the argument that carries the channel id, if no other setting depends on the request.
///
/// Every field is listed, so that adding a setting forces a decision here.
fn channel_argument(settings: &LocationSettings) -> Option<&Bytes> {
    let LocationSettings {
        channels_path,
        allowed_origins: None,
        gzip: None,
        endpoint: Endpoint::Publisher { .. },
        web: _,
        // The same for all channels.
        store_messages: _,
        channel_info_on_publish: _,
        message_format: _,
        batch: _,
        types: _,
        client_max_body_size: _,
        // Settings of subscribers, or of back-ends.
        authorized_channels_only: _,
        header_template: _,
        footer_template: _,
        wildcard_channel_max_qtd: _,
        ping_message_interval: _,
        subscriber_connection_ttl: _,
        longpolling_connection_ttl: _,
        websocket_allow_publish: _,
        last_received_message_time: _,
        last_received_message_tag: _,
        last_event_id: _,
        cursor_headers_as_fallback: _,
        user_agent: _,
        paddings: _,
        allow_connections_to_events_channel: _,
        slow_consumer: _,
        slow_consumer_bytes: _,
        gap_notice: _,
        is_builtin: _,
        proxy: _,
    } = settings
    else {
        return None;
    };
    channels_path.as_ref()?.as_argument()
}

/// Returns whether none of these settings depends on a part of the request that may vary.
fn is_web_replayable(web: &WebSettings) -> bool {
    let WebSettings {
        added_headers,
        access_logs,
        // Password files change.
        authentication: None,
        limit_except: None,
        keepalive_requests: None,
        // These depend on the address, the method and other parts that do not vary.
        access: _,
        satisfy_any: _,
        internal: _,
        internal_from_front: _,
        content_gate: _,
        answer_gate: _,
        real_ip: _,
        // Settings of static files.
        root: _,
        index: _,
        without_etag: _,
        // Responses to publishers have a length.
        without_chunks: _,
        unmodified: _,
        max_ranges: _,
        // Sent for every request.
        auth_request: None,
        // Takes effect through a variable only: in a directive of the rewrite phase, or in an
        // expression that is checked there.
        secure_link: _,
    } = web
    else {
        return false;
    };
    added_headers.is_empty() && access_logs.is_empty()
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
    let hole_length = |number: usize, rest: &[u8]| match number {
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
        holes: [id, digits],
        rest,
    } = template.match_head(buffer, hole_length)?;
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
    /// The entry of a request that `plan` has answered with these additional header lines; `None`
    /// if it cannot be replayed.
    pub(super) fn new(
        broker: &Broker,
        plan: PublishPlan,
        max_body: u64,
        connection: ResponseContext,
        added: &[u8],
    ) -> Option<Self> {
        let max_id = broker
            .settings()
            .max_channel_id_length
            .map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        Some(Self {
            replay: plan.replay(added)?,
            max_id,
            max_body,
            connection,
        })
    }
}

/// Publishes the request at the front of `input`, if it matches the cached one; `None` if it does
/// not.
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
    if head_bytes > snapshot.limits.max_header_bytes
        || id.len() > entry.max_id
        || text.len() as u64 > entry.max_body
    {
        return None;
    }
    let ReplayContext {
        shard,
        outlet,
        writer,
        ..
    } = context;
    let broker = shard.broker();
    let channel = broker.find(id).filter(|channel| !channel.is_events)?;
    failpoints::point("request");
    *is_used = true;
    let bytes = head_bytes + text.len();
    let text = Bytes::copy_from_slice(text);
    let is_last = bytes == input.len() && writer.is_empty();
    let delivering = if is_last {
        shard.begin_inline_delivery(outlet, writer.has_waited())
    } else {
        None
    };
    let keeps_alive = entry
        .replay
        .publish(broker, &channel, text, entry.connection, writer.out());
    match delivering {
        Some(delivering) => writer.write_inline(outlet, &delivering),
        None => writer.record_published(shard),
    }
    Some(Replayed {
        bytes,
        end: (!keeps_alive).then_some(ReplayEnd::Closes),
    })
}

/// Caches a request; without an `entry` the cache becomes empty.
pub(super) fn cache(
    cache: &mut RequestCache<CachedPublish>,
    broker: &Broker,
    snapshot: &Rc<ListenerSnapshot>,
    template: HeadTemplate,
    entry: Option<CachedPublish>,
) {
    let Some(entry) = entry else {
        return cache.evict();
    };
    let entry_bytes = entry.replay.own_bytes();
    cache.insert(broker, snapshot, template, entry, entry_bytes);
}

#[cfg(test)]
mod tests;
