//! Selects what a request does at a location that supports several modes (nhpm-nchan.md, section
//! 2.1).

use crate::server::config::model::nchan::Roles;
use crate::server::exchange::request::Request;

/// The action that a request selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedAction {
    /// Subscribe in this mode.
    Subscribe(Mode),
    /// Publish, delete, or get the channel info.
    Publish,
    /// Publish over a websocket.
    PublishWebSocket,
    /// Get the allowed methods and headers.
    Options,
    /// Not supported by the location: 403.
    Forbidden,
    /// Unknown method: 405.
    UnknownMethod,
}

/// The delivery mode of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One websocket message for each.
    WebSocket,
    /// `text/event-stream`
    EventSource,
    /// One chunk for each.
    Chunked,
    /// `multipart/mixed`
    Multipart,
    /// Messages with a separator.
    RawStream,
    /// A response with the next stored message, if there is one.
    IntervalPoll,
    /// A response with the next message, stored or awaited.
    LongPoll,
}

impl Mode {
    /// The value of `$nchan_subscriber_type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::WebSocket => "websocket",
            Mode::EventSource => "eventsource",
            Mode::Chunked => "http-chunked",
            Mode::Multipart => "http-multipart",
            Mode::RawStream => "http-raw-stream",
            Mode::IntervalPoll => "intervalpoll",
            Mode::LongPoll => "longpoll",
        }
    }

    /// Whether the response is a stream rather than a single message.
    #[must_use]
    pub fn is_stream(self) -> bool {
        !matches!(self, Mode::IntervalPoll | Mode::LongPoll)
    }
}

/// Determines the action of a request at a location with these roles.
#[must_use]
pub fn requested_action(request: &Request<'_>, roles: Roles) -> RequestedAction {
    match request.method {
        "GET" if is_websocket(request) => {
            if roles.has(Roles::WEBSOCKET) {
                RequestedAction::Subscribe(Mode::WebSocket)
            } else if roles.has(Roles::PUBLISH_WEBSOCKET) {
                RequestedAction::PublishWebSocket
            } else {
                RequestedAction::Forbidden
            }
        }
        "GET" => get(request, roles),
        "POST" | "PUT" | "DELETE" if roles.has(Roles::PUBLISH_HTTP) => RequestedAction::Publish,
        "POST" | "PUT" | "DELETE" => RequestedAction::Forbidden,
        "OPTIONS" => RequestedAction::Options,
        _ => RequestedAction::UnknownMethod,
    }
}

fn get(request: &Request<'_>, roles: Roles) -> RequestedAction {
    let accept = request.header("accept").unwrap_or_default();
    let accepts = |what: &[u8]| memchr::memmem::find(accept, what).is_some();
    let choices = [
        (
            Roles::EVENTSOURCE,
            Mode::EventSource,
            accepts(b"text/event-stream"),
        ),
        (
            Roles::CHUNKED,
            Mode::Chunked,
            request.header("te").is_some_and(accepts_chunks),
        ),
        (
            Roles::MULTIPART,
            Mode::Multipart,
            accepts(b"multipart/mixed"),
        ),
        (Roles::INTERVALPOLL, Mode::IntervalPoll, true),
        (Roles::RAW_STREAM, Mode::RawStream, true),
        (Roles::LONGPOLL, Mode::LongPoll, true),
    ];
    match choices
        .iter()
        .find(|(role, _, wants)| *wants && roles.has(*role))
    {
        Some((_, mode, _)) => RequestedAction::Subscribe(*mode),
        None if roles.has(Roles::PUBLISH_HTTP) => RequestedAction::Publish,
        None => RequestedAction::Forbidden,
    }
}

fn is_websocket(request: &Request<'_>) -> bool {
    let contains = |name: &str, word: &[u8]| {
        request
            .header(name)
            .is_some_and(|value| memchr::memmem::find(&value.to_ascii_lowercase(), word).is_some())
    };
    contains("connection", b"upgrade")
        && request
            .header("upgrade")
            .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}

/// Whether `TE` lists `chunked`, in any case (RFC 9110, section 10.1.4), at its end, before a
/// space, or with a quality above zero.
fn accepts_chunks(value: &[u8]) -> bool {
    const WORD: &[u8] = b"chunked";
    let value = value.trim_ascii();
    let Some(at) = value
        .windows(WORD.len())
        .position(|word| word.eq_ignore_ascii_case(WORD))
    else {
        return false;
    };
    match &value[at + WORD.len()..] {
        [] | [b' ', ..] => true,
        rest => rest.strip_prefix(b";q=").is_some_and(|quality| {
            let number = quality
                .iter()
                .take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
            number.into_iter().any(|byte| matches!(byte, b'1'..=b'9'))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn te_header_follows_the_reference() {
        for (value, expected) in [
            ("chunked", true),
            ("trailers, chunked", true),
            ("Chunked", true),
            ("trailers, CHUNKED", true),
            ("Chunked;q=0.5", true),
            ("Chunked;q=0", false),
            ("chunked\t", true),
            ("chunked, trailers", false),
            ("chunked;q=0", false),
            ("chunked;q=0.5", true),
            ("chunked ;q=0", true),
            ("gzip", false),
        ] {
            assert_eq!(accepts_chunks(value.as_bytes()), expected, "{value}");
        }
    }
}
