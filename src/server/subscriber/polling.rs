//! Polling: what is there, at once (reference section 9).

use std::sync::Arc;

use bytes::Bytes;

use super::Call;
use super::streaming::renderer;
use crate::message::{Position, http_date};
use crate::server::broker::{Broker, Cursor, Message, Reader, read_together};
use crate::server::config::SubscriberMode;
use crate::server::dialect::push_stream::render::{Renderer, Shown, Style};
use crate::server::fanout::Channels;
use crate::server::response::{Body, NO_CACHE, Response, Status};

/// Most bytes of message text in one answer; the cursor of the answer leads to the rest.
const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;

/// Content-Type of JSONP answers.
pub(super) const JAVASCRIPT: &[u8] = b"application/javascript";

pub(super) fn answer(call: &Call<'_>, channels: &Channels, cursor: &Cursor) -> Response {
    immediate(call, channels, cursor).unwrap_or_else(|| nothing(call, cursor))
}

/// The answer with what is there; `None` if nothing is.
pub(super) fn immediate(call: &Call<'_>, channels: &Channels, cursor: &Cursor) -> Option<Response> {
    let readers: Vec<Reader> = channels.iter().map(|wanted| Broker::reader(&wanted.channel, wanted.backtrack, cursor)).collect();
    if readers.iter().all(|reader| reader.from >= reader.live_from) {
        return None;
    }
    let snapshot = read_together(&readers, MAX_TEXT_BYTES);
    let messages: Vec<(&Bytes, &Arc<Message>)> = readers
        .iter()
        .zip(&snapshot.slices)
        .flat_map(|(reader, slice)| slice.messages.iter().map(|message| (&reader.channel.id, message)))
        .collect();
    if messages.is_empty() {
        return None;
    }
    let callback = call.callback();
    let renderer = if callback.is_some() { bare(call) } else { renderer(call) };
    let shown = messages.iter().map(|(channel, message)| Shown::published(channel, message));
    let content_type = if callback.is_some() { Bytes::from_static(JAVASCRIPT) } else { call.content_type() };
    // Whatever the client has seen already counts, too.
    let seen = Position::new(cursor.time.unwrap_or(0), u32::try_from(cursor.tag.unwrap_or(0)).unwrap_or(u32::MAX));
    let position = if cursor.time.is_some() { snapshot.horizon.max(seen) } else { snapshot.horizon };
    Some(Response {
        status: Status::OK,
        content_type: Some(content_type),
        last_modified: Some(position.http_date()),
        headers: [&call.cors()[..], NO_CACHE, format!("Etag: W/{}\r\n", position.tag).as_bytes()].concat().into(),
        body: Body::Pieces(pieces(&renderer, shown, callback.as_ref())),
        bodiless: false,
        close: false,
    })
}

fn bare(call: &Call<'_>) -> Renderer {
    let style = if call.mode == SubscriberMode::EventSource { Style::EventSource } else { Style::Bare };
    Renderer::new(call.settings.clone(), style)
}

/// Header template, messages and footer; with a callback the messages are arguments of a call.
pub(super) fn pieces<'a>(renderer: &Renderer, messages: impl Iterator<Item = Shown<'a>>, callback: Option<&Bytes>) -> Vec<Bytes> {
    let mut pieces = vec![renderer.header()];
    if let Some(callback) = callback {
        pieces.push([&callback[..], b"(["].concat().into());
    }
    for (index, shown) in messages.enumerate() {
        if callback.is_some() && index > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        let mut piece = Vec::new();
        renderer.message(&shown, &mut piece);
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
    let content_type = if call.callback().is_some() { Bytes::from_static(JAVASCRIPT) } else { call.content_type() };
    Response {
        content_type: Some(content_type),
        last_modified: cursor.time.filter(|time| *time > 0).map(http_date),
        ..Response::header_only(Status::NOT_MODIFIED, headers)
    }
}
