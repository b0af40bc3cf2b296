//! The URL and the headers of a subscription request. Does no I/O.

use percent_encoding::{AsciiSet, utf8_percent_encode};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};

use super::delivery::Delivery;
use super::family::{ServerFamily, StreamFormat};
use crate::client::cursor::ResumePoint;
use crate::client::dialect::{Dialect, WS_META};
use crate::client::endpoint::{Endpoints, split_backtrack};
use crate::client::error::Error;
use crate::client::mode::Mode;
use crate::client::transport::http;
use crate::protocol::LAST_EVENT_ID;

/// The characters of an argument that are encoded here; [`Url::set_query`] encodes others. Spaces
/// become %20: servers do not decode '+' here (push-stream.md, section 7.1).
const ENCODED: &AsciiSet = &AsciiSet::EMPTY
    .add(b'%')
    .add(b'&')
    .add(b'#')
    .add(b'+')
    .add(b' ');

/// Returns the URL of the channels, with the backtracks that are still outstanding.
///
/// # Errors
/// Returns [`Error::Request`] if the channels do not form a subscriber URL.
pub(super) fn subscription_url(
    endpoints: &Endpoints,
    family: ServerFamily,
    mode: Mode,
    delivery: &Delivery,
    sent: &ResumePoint,
) -> Result<Url, Error> {
    if family.is_unframed() {
        return endpoints.subscribe(mode, &delivery.ids().join("/"));
    }
    let path: Vec<String> = delivery
        .channels()
        .iter()
        .map(|channel| match delivery.cursor().backlog(&channel.id) {
            Some(backlog) => format!("{}.b{backlog}", channel.id),
            // A suffix that looks like a backtrack is part of the name.
            None if split_backtrack(&channel.id).1.is_some() => format!("{}.b0", channel.id),
            None => channel.id.clone(),
        })
        .collect();
    let mut url = endpoints.subscribe(mode, &path.join("/"))?;
    let arguments = [
        ("time", sent.time.as_deref()),
        ("tag", sent.tag.as_deref().map(bare_tag)),
        ("eventid", sent.event_id.as_deref()),
    ];
    for (name, value) in arguments {
        if let Some(value) = value {
            let value = utf8_percent_encode(value, ENCODED);
            let query = url
                .query()
                .map(|query| format!("{query}&"))
                .unwrap_or_default();
            url.set_query(Some(&format!("{query}{name}={value}")));
        }
    }
    Ok(url)
}

/// Returns the headers of a request for `mode`.
///
/// # Errors
/// Returns [`Error::Request`] if the resume point is not a valid header value.
pub(super) fn subscription_headers(
    family: ServerFamily,
    mode: Mode,
    sent: &ResumePoint,
) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    if mode == Mode::Ev {
        headers.insert("Accept", HeaderValue::from_static("text/event-stream"));
        headers.insert("Cache-Control", HeaderValue::from_static("no-cache"));
    }
    // nchan selects the format of its only URL by these headers; other servers ignore them.
    if let Some(format) = family.stream_format().filter(|_| mode == Mode::Stream) {
        let (name, value) = match format {
            StreamFormat::Chunked => ("TE", "chunked"),
            StreamFormat::Multipart => ("Accept", "multipart/mixed, */*"),
        };
        headers.insert(name, HeaderValue::from_static(value));
    }
    if mode == Mode::Ws && family.dialect() != Some(Dialect::PushStream) {
        headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(WS_META));
    }
    if let Some(time) = &sent.time {
        headers.insert(
            "If-Modified-Since",
            http::header_value("the last message's time", time)?,
        );
    }
    if let Some(tag) = &sent.tag {
        headers.insert(
            "If-None-Match",
            http::header_value("the last message's tag", tag)?,
        );
    }
    if let Some(event_id) = &sent.event_id {
        let name = reqwest::header::HeaderName::from_static("last-event-id");
        debug_assert!(LAST_EVENT_ID.eq_ignore_ascii_case(name.as_str()));
        // An event id that is no valid header value is sent as an argument only.
        if let Ok(value) = HeaderValue::from_str(event_id) {
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

fn bare_tag(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}
