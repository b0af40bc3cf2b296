//! Polling: what is there, at once (push-stream.md, section 9).

use std::sync::Arc;

use bytes::Bytes;

use super::Call;
use super::streaming::renderer;
use crate::message::{Position, http_date};
use crate::protocol::MISSED;
use crate::server::broker::{
    Broker, ChannelReader, Cursor, LogSlice, Message, MissedCount, Snapshot, read_snapshot,
};
use crate::server::config::SubscriberMode;
use crate::server::dialect::push_stream::render::{Renderer, Shown, Style};
use crate::server::fanout::{Channels, Gap};
use crate::server::response::{NO_CACHE, Response, ResponseBody, Status};

/// Most bytes of messages in one answer, as they are rendered (JSON may have six for one of the
/// text), but at least one message; the cursor of the answer leads to the rest.
const MAX_RENDERED_BYTES: usize = 1024 * 1024;

/// Content-Type of JSONP answers.
pub(super) const JAVASCRIPT: &[u8] = b"application/javascript";

pub(super) fn answer(call: &Call<'_>, channels: &Channels, cursor: &Cursor) -> Response {
    immediate(call, channels, cursor).unwrap_or_else(|| nothing(call, cursor))
}

/// The answer with what is there; `None` if nothing is, and nothing that the client is told of is
/// missing.
pub(super) fn immediate(call: &Call<'_>, channels: &Channels, cursor: &Cursor) -> Option<Response> {
    let (readers, missed): (Vec<ChannelReader>, Vec<MissedCount>) = channels
        .iter()
        .map(|wanted| Broker::open_reader(&wanted.channel, wanted.backtrack, cursor))
        .unzip();
    if readers.iter().all(|reader| !reader.cursor.is_in_backlog())
        && missed.iter().all(|missed| !missed.is_gap())
    {
        return None;
    }
    let callback = call.callback();
    let renderer = if callback.is_some() {
        bare(call)
    } else {
        renderer(call)
    };
    let (snapshot, messages) = read_rendered(&readers, &renderer);
    let gaps = gaps(&readers, &missed, &snapshot.slices, cursor.lost_at);
    let told = if call.settings.gap_notice {
        &gaps[..]
    } else {
        &[]
    };
    if messages.is_empty() && told.is_empty() {
        return None;
    }
    call.broker
        .count_missed_at_resume(gaps.iter().map(|gap| gap.missed.count).sum());
    let content_type = if callback.is_some() {
        Bytes::from_static(JAVASCRIPT)
    } else {
        call.content_type()
    };
    // Whatever the client has seen already counts, too.
    let seen = Position::new(
        cursor.time.unwrap_or(0),
        u32::try_from(cursor.tag.unwrap_or(0)).unwrap_or(u32::MAX),
    );
    let reached = gaps
        .iter()
        .map(|gap| gap.position)
        .max()
        .unwrap_or_default()
        .max(snapshot.horizon);
    let position = if cursor.time.is_some() {
        reached.max(seen)
    } else {
        reached
    };
    // Nothing can be shown of a gap in a template but its header.
    let is_empty = messages.is_empty() && !renderer.is_json();
    Some(Response {
        status: if is_empty {
            Status::NOT_MODIFIED
        } else {
            Status::OK
        },
        content_type: Some(content_type),
        last_modified: Some(position.http_date()),
        headers: [
            &call.cors()[..],
            NO_CACHE,
            format!("Etag: W/{}\r\n", position.tag).as_bytes(),
            &missed_line(told),
        ]
        .concat()
        .into(),
        body: if is_empty {
            ResponseBody::Sized(Bytes::new())
        } else {
            ResponseBody::Pieces(pieces(
                &renderer,
                told,
                messages.into_iter(),
                callback.as_ref(),
            ))
        },
        bodiless: false,
        close: false,
    })
}

/// The messages that one answer takes, and their bytes, in the order of the channels.
fn read_rendered(readers: &[ChannelReader], renderer: &Renderer) -> (Snapshot, Vec<Vec<u8>>) {
    let mut most = MAX_RENDERED_BYTES;
    loop {
        let snapshot = read_snapshot(readers, most);
        let slices = readers.iter().zip(&snapshot.slices);
        let messages = slices.flat_map(|(reader, slice)| {
            slice
                .messages
                .iter()
                .map(|message| (&reader.channel.id, message))
        });
        match rendered(messages, renderer) {
            Ok(pieces) => return (snapshot, pieces),
            // With one message nothing is too much, so this ends.
            Err(weight) => most = weight.min(most / 2).max(1),
        }
    }
}

/// Renders messages; if they are too many for one answer, returns the weight of those that are not.
fn rendered<'a>(
    messages: impl Iterator<Item = (&'a Bytes, &'a Arc<Message>)>,
    renderer: &Renderer,
) -> Result<Vec<Vec<u8>>, usize> {
    let mut pieces = Vec::new();
    let mut bytes = 0;
    let mut weight = 0;
    for (channel, message) in messages {
        let mut piece = Vec::new();
        renderer.message(&Shown::published(channel, message), &mut piece);
        bytes += piece.len();
        if bytes > MAX_RENDERED_BYTES && !pieces.is_empty() {
            return Err(weight);
        }
        weight += message.weight();
        pieces.push(piece);
    }
    Ok(pieces)
}

/// What is missing before the messages of an answer. All of them were read at one moment, so that
/// right before the first message, or at the newest position where there is none, nothing of any
/// channel is passed over.
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

/// The header line that tells of gaps; nothing if there are none.
pub(super) fn missed_line(gaps: &[Gap]) -> Vec<u8> {
    if gaps.is_empty() {
        return Vec::new();
    }
    let MissedCount { count, at_least } = gaps
        .iter()
        .fold(MissedCount::default(), |sum, gap| sum.plus(gap.missed));
    format!("{MISSED}: {count}{}\r\n", if at_least { "+" } else { "" }).into_bytes()
}

fn bare(call: &Call<'_>) -> Renderer {
    let style = if call.mode == SubscriberMode::EventSource {
        Style::EventSource
    } else {
        Style::Bare
    };
    Renderer::new(call.settings.clone(), style)
}

/// Header template, messages and footer; with a callback the messages are arguments of a call.
/// Where messages are JSON objects, what is missing comes before them in the same way.
pub(super) fn pieces(
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

fn nothing(call: &Call<'_>, cursor: &Cursor) -> Response {
    let mut headers = [&call.cors()[..], NO_CACHE].concat();
    if let Some(tag) = cursor.tag {
        headers.extend_from_slice(format!("Etag: W/{tag}\r\n").as_bytes());
    }
    let content_type = if call.callback().is_some() {
        Bytes::from_static(JAVASCRIPT)
    } else {
        call.content_type()
    };
    Response {
        content_type: Some(content_type),
        last_modified: cursor.time.filter(|time| *time > 0).map(http_date),
        ..Response::header_only(Status::NOT_MODIFIED, headers)
    }
}
