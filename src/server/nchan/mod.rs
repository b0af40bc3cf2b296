//! The dialect of nchan 1.3.7 (nhpm-nchan.md, part 2): negotiation, message ids, bodies and
//! headers.
//!
//! Behaviour that nhpm-nchan.md calls a bug of nchan is not reproduced: methods without a response
//! get 405, close reasons are not truncated, fragmented websocket messages are joined, and a group
//! may have the number of channels that its limit allows.

pub mod cors;
pub mod deflate;
pub mod deflate_negotiation;
pub mod events;
pub(in crate::server) mod group_location;
pub mod groups;
pub mod info;
pub mod message_id;
pub mod negotiation;
pub mod publication;
pub(in crate::server) mod publish;
pub mod status;
pub(in crate::server) mod subscribe;
pub mod variables;

use std::borrow::Cow;

use bytes::Bytes;

pub use crate::server::access::grant::EVENTS_GROUP;
use crate::server::broker::channel_key::channel_key;
use crate::server::config::{Expression, NchanSettings, Variables};
use crate::server::exchange::response::{HeaderList, Response, Status, header_list};

/// Maximum number of channels in one request.
pub const MAX_CHANNELS: usize = 255;

/// The Vary header of responses to subscribers.
pub static VARY: HeaderList = header_list!("Vary": "If-None-Match, If-Modified-Since");

/// The channels that a request names.
#[derive(Clone, Debug, Default)]
pub struct NamedChannels {
    /// Their ids, as written in the request.
    pub ids: Vec<Bytes>,
    /// Their keys in the broker.
    pub keys: Vec<Bytes>,
    /// Their group.
    pub group: Bytes,
}

/// Reads the channels of a request from `expressions`, or, without any, from the variable of older
/// versions.
///
/// # Errors
/// The response, without CORS headers.
pub fn channels(
    settings: &NchanSettings,
    expressions: &[Expression],
    variables: &dyn Variables,
) -> Result<NamedChannels, Box<Response>> {
    let failed = || Box::new(empty(Status::INTERNAL));
    let group = settings
        .channel_group
        .evaluate_name(variables)
        .ok_or_else(failed)?
        .into_owned();
    if group == b"m" || group.contains(&b'/') {
        return Err(Box::new(empty(Status::FORBIDDEN)));
    }
    let values: Vec<Cow<'_, [u8]>> = if expressions.is_empty() {
        let id = match &settings.legacy_id {
            Some(id) => id.evaluate_name(variables).ok_or_else(failed)?,
            None => Cow::default(),
        };
        if id.is_empty() {
            return Err(Box::new(text(Status::NOT_FOUND, "No channel id provided.")));
        }
        vec![id]
    } else {
        let names = expressions
            .iter()
            .map(|expression| expression.evaluate_name(variables));
        names.collect::<Option<Vec<_>>>().ok_or_else(failed)?
    };
    if values
        .iter()
        .any(|value| value.len() as u64 > settings.max_channel_id_length)
    {
        return Err(Box::new(empty(Status::FORBIDDEN)));
    }
    let mut ids: Vec<Bytes> = Vec::new();
    for value in &values {
        for id in split(value, &settings.split_delimiter) {
            if ids.len() == MAX_CHANNELS {
                return Err(Box::new(empty(Status::FORBIDDEN)));
            }
            ids.push(Bytes::copy_from_slice(id));
        }
    }
    let keys = ids.iter().map(|id| channel_key(&group, id)).collect();
    Ok(NamedChannels {
        ids,
        keys,
        group: group.into(),
    })
}

/// Splits a value at the delimiter; empty pieces count.
fn split<'a>(value: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    if delimiter.is_empty() {
        return vec![value];
    }
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some(at) = memchr::memmem::find(rest, delimiter) {
        pieces.push(&rest[..at]);
        rest = &rest[at + delimiter.len()..];
    }
    pieces.push(rest);
    pieces
}

/// A response without a body.
#[must_use]
pub fn empty(status: Status) -> Response {
    Response::header_only(status, HeaderList::default())
}

/// A response with one line of text.
#[must_use]
pub fn text(status: Status, text: &str) -> Response {
    Response::sized(
        status,
        "text/plain",
        HeaderList::default(),
        text.as_bytes().to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_pieces_are_channels() {
        assert_eq!(split(b"a,,b", b","), [&b"a"[..], b"", b"b"]);
        assert_eq!(split(b"", b","), [&b""[..]]);
        assert_eq!(split(b"a--b", b"--"), [b"a", b"b"]);
        assert_eq!(split(b"a,b", b""), [b"a,b"]);
    }
}
