//! Polling: responds at once, with the stored messages (push-stream.md, section 9).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::streaming::renderer;
use super::{callback, cors};
use crate::message::Position;
use crate::protocol::MISSED;
use crate::server::broker::{
    ChannelReader, Cursor, LogSlice, Message, MissedCount, Snapshot, read_snapshot,
};
use crate::server::config::SubscriberMode;
use crate::server::endpoint::SubscribeCall;
use crate::server::exchange::response::{
    HeaderListBuilder, HttpDate, NO_CACHE, Response, ResponseBody, Status,
};
use crate::server::fanout::{Channels, Gap};
use crate::server::push_stream::render::{MessageView, RenderStyle, Renderer};

/// Maximum size of the rendered messages in one response, in bytes (JSON may need six for one of
/// the text). At least one message is sent; the cursor leads to the rest.
const MAX_RENDERED_BYTES: usize = 1024 * 1024;

/// Content-Type of JSONP responses.
pub(in crate::server) const JAVASCRIPT: &[u8] = b"application/javascript";

pub(in crate::server) fn respond(
    call: &SubscribeCall<'_>,
    channels: &Channels,
    cursor: &Cursor,
) -> Response {
    respond_from_backlog(call, channels, cursor).unwrap_or_else(|| not_modified(call, cursor))
}

/// The response with stored messages; `None` if there is neither a message nor a gap to report.
pub(in crate::server) fn respond_from_backlog(
    call: &SubscribeCall<'_>,
    channels: &Channels,
    cursor: &Cursor,
) -> Option<Response> {
    let (readers, missed): (Vec<ChannelReader>, Vec<MissedCount>) = channels
        .iter()
        .map(|requested| ChannelReader::open(&requested.channel, requested.backtrack, cursor))
        .unzip();
    if readers.iter().all(|reader| !reader.cursor.is_in_backlog())
        && missed.iter().all(|missed| !missed.is_gap())
    {
        return None;
    }
    let callback = callback(call);
    let renderer = if callback.is_some() {
        unframed_renderer(call)
    } else {
        renderer(call)
    };
    let (snapshot, messages) = read_rendered(&readers, &renderer);
    let gaps = gaps(&readers, &missed, &snapshot.slices, cursor.lost_at);
    let reported = if call.settings.gap_notice {
        &gaps[..]
    } else {
        &[]
    };
    if messages.is_empty() && reported.is_empty() {
        return None;
    }
    call.broker
        .counters()
        .count_missed_at_resume(gaps.iter().map(|gap| gap.missed.count).sum());
    let position = reached_position(cursor, &gaps, snapshot.horizon);
    // A template cannot show a gap, so that only the header reports it.
    let is_empty = messages.is_empty() && !renderer.is_json();
    let (status, body) = if is_empty {
        (Status::NOT_MODIFIED, ResponseBody::Sized(Bytes::new()))
    } else {
        let messages = messages.into_iter();
        let pieces = pieces(&renderer, reported, messages, callback.as_ref());
        (Status::OK, ResponseBody::Pieces(pieces))
    };
    let mut headers = HeaderListBuilder::with_capacity(192);
    headers.extend(&cors(call));
    headers.extend(&NO_CACHE);
    push_etag(position.tag, &mut headers);
    push_missed(reported, &mut headers);
    let response = Response::header_only(status, headers.build())
        .with_content_type(Some(content_type(call, callback.as_ref())))
        .with_last_modified(Some(HttpDate::of(position.time)))
        .with_body(body);
    Some(response)
}

/// The cursor of a response: never before the cursor of the request.
fn reached_position(cursor: &Cursor, gaps: &[Gap], horizon: Position) -> Position {
    let last_gap = gaps.iter().map(|gap| gap.position).max();
    let reached = last_gap.unwrap_or_default().max(horizon);
    let Some(time) = cursor.time else {
        return reached;
    };
    let tag = u32::try_from(cursor.tag.unwrap_or(0)).unwrap_or(u32::MAX);
    reached.max(Position::new(time, tag))
}

fn content_type(call: &SubscribeCall<'_>, callback: Option<&Bytes>) -> Bytes {
    if callback.is_some() {
        Bytes::from_static(JAVASCRIPT)
    } else {
        super::content_type(call)
    }
}

/// Reads the messages for one response, and renders them, in the order of the channels.
fn read_rendered(readers: &[ChannelReader], renderer: &Renderer) -> (Snapshot, Vec<Vec<u8>>) {
    let mut max_bytes = MAX_RENDERED_BYTES;
    loop {
        let snapshot = read_snapshot(readers, max_bytes);
        let slices = readers.iter().zip(&snapshot.slices);
        let messages = slices.flat_map(|(reader, slice)| {
            slice
                .messages
                .iter()
                .map(|message| (&reader.channel.id, message))
        });
        match rendered(messages, renderer) {
            Ok(pieces) => return (snapshot, pieces),
            // A single message is never too much, so that the loop ends.
            Err(weight) => max_bytes = weight.min(max_bytes / 2).max(1),
        }
    }
}

/// Renders messages.
///
/// # Errors
/// If they are too many for one response: the weight of those that fit.
fn rendered<'a>(
    messages: impl Iterator<Item = (&'a Bytes, &'a Arc<Message>)>,
    renderer: &Renderer,
) -> Result<Vec<Vec<u8>>, usize> {
    let mut pieces = Vec::new();
    let mut bytes = 0;
    let mut weight = 0;
    for (channel, message) in messages {
        let mut piece = Vec::new();
        renderer.message(&MessageView::published(channel, message), &mut piece);
        bytes += piece.len();
        if bytes > MAX_RENDERED_BYTES && !pieces.is_empty() {
            return Err(weight);
        }
        weight += message.weight();
        pieces.push(piece);
    }
    Ok(pieces)
}

/// The gaps before the messages of a response. All channels were read at one instant, so that a
/// cursor right before the first message, or at the newest position without one, skips nothing in
/// any channel.
fn gaps(
    readers: &[ChannelReader],
    missed: &[MissedCount],
    slices: &[LogSlice],
    lost_at: Option<Position>,
) -> Vec<Gap> {
    let first = slices
        .iter()
        .filter_map(|slice| slice.messages.first())
        .map(|message| message.position)
        .min();
    let mut gaps = Vec::new();
    for ((reader, missed), slice) in readers.iter().zip(missed).zip(slices) {
        let missed = missed.plus(MissedCount {
            count: slice.missed,
            at_least: false,
        });
        if missed.is_gap() {
            let newest = slice.horizon.max(lost_at.unwrap_or_default());
            let position = first.map_or(newest, |first| Position {
                tag: first.tag.saturating_sub(1),
                ..first
            });
            gaps.push(Gap {
                channel: reader.channel.id.clone(),
                missed,
                position,
            });
        }
    }
    gaps
}

/// Appends the header with the tag of a position.
pub(in crate::server) fn push_etag(tag: impl fmt::Display, headers: &mut HeaderListBuilder) {
    headers.push_display("Etag", format_args!("W/{tag}"));
}

/// Appends the header that reports gaps, if there are any.
pub(in crate::server) fn push_missed(gaps: &[Gap], headers: &mut HeaderListBuilder) {
    if gaps.is_empty() {
        return;
    }
    let MissedCount { count, at_least } = gaps
        .iter()
        .fold(MissedCount::default(), |sum, gap| sum.plus(gap.missed));
    let more = if at_least { "+" } else { "" };
    headers.push_display(MISSED, format_args!("{count}{more}"));
}

fn unframed_renderer(call: &SubscribeCall<'_>) -> Renderer {
    let style = if call.mode == SubscriberMode::EventSource {
        RenderStyle::EventSource
    } else {
        RenderStyle::Unframed
    };
    Renderer::new(call.settings.clone(), style)
}

/// Header template, messages and footer. With a callback, the messages are the arguments of a call.
/// In JSON, gap notices precede the messages.
pub(in crate::server) fn pieces(
    renderer: &Renderer,
    gaps: &[Gap],
    messages: impl Iterator<Item = Vec<u8>>,
    callback: Option<&Bytes>,
) -> Vec<Bytes> {
    let gaps = gaps.iter().filter(|_| renderer.is_json()).map(|gap| {
        let mut piece = Vec::new();
        renderer.gap(&gap.channel, gap.missed, gap.position, &mut piece);
        piece
    });
    let mut pieces = vec![renderer.header()];
    if let Some(callback) = callback {
        pieces.push([&callback[..], b"(["].concat().into());
    }
    for (index, piece) in gaps.chain(messages).enumerate() {
        if callback.is_some() && index > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.push(Bytes::from(piece));
    }
    if callback.is_some() {
        pieces.push(Bytes::from_static(b"]);"));
    }
    pieces.push(renderer.footer());
    pieces
}

fn not_modified(call: &SubscribeCall<'_>, cursor: &Cursor) -> Response {
    let mut headers = HeaderListBuilder::default();
    headers.extend(&cors(call));
    headers.extend(&NO_CACHE);
    if let Some(tag) = cursor.tag {
        push_etag(tag, &mut headers);
    }
    let time = cursor.time.filter(|time| *time > 0);
    Response::header_only(Status::NOT_MODIFIED, headers.build())
        .with_content_type(Some(content_type(call, callback(call).as_ref())))
        .with_last_modified(time.map(HttpDate::of))
}
