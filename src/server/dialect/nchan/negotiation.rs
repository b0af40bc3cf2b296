//! What a request wants of a location that offers several ways (nhpm-nchan.md, section 2.1).

use crate::server::config::nchan::Roles;
use crate::server::request::Request;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To subscribe in this way.
    Subscribe(Mode),
    /// To publish, delete, or see the channel's info.
    Publish,
    /// To publish over a websocket.
    PublishWebSocket,
    /// The methods and headers.
    Options,
    /// What the location does not offer.
    Forbidden,
    /// A method that nobody knows.
    UnknownMethod,
}

/// How a subscriber gets its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Websocket frames.
    WebSocket,
    /// `text/event-stream`
    EventSource,
    /// A chunk for each.
    Chunked,
    /// `multipart/mixed`
    Multipart,
    /// With a separator.
    RawStream,
    /// One, at once or never.
    IntervalPoll,
    /// One.
    LongPoll,
}

impl Mode {
    /// Its name in `$nchan_subscriber_type`.
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

    /// It is a long-lived response of its own, not an answer with one message.
    #[must_use]
    pub fn is_stream(self) -> bool {
        !matches!(self, Mode::IntervalPoll | Mode::LongPoll)
    }
}

/// Reads what a request wants.
#[must_use]
pub fn wanted(request: &Request<'_>, roles: Roles) -> Wanted {
    match request.method {
        "GET" if is_websocket(request) => {
            if roles.has(Roles::WEBSOCKET) {
                Wanted::Subscribe(Mode::WebSocket)
            } else if roles.has(Roles::PUBLISH_WEBSOCKET) {
                Wanted::PublishWebSocket
            } else {
                Wanted::Forbidden
            }
        }
        "GET" => get(request, roles),
        "POST" | "PUT" | "DELETE" if roles.has(Roles::PUBLISH_HTTP) => Wanted::Publish,
        "POST" | "PUT" | "DELETE" => Wanted::Forbidden,
        "OPTIONS" => Wanted::Options,
        _ => Wanted::UnknownMethod,
    }
}

fn get(request: &Request<'_>, roles: Roles) -> Wanted {
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
            request.header("te").is_some_and(takes_chunks),
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
        Some((_, mode, _)) => Wanted::Subscribe(*mode),
        None if roles.has(Roles::PUBLISH_HTTP) => Wanted::Publish,
        None => Wanted::Forbidden,
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

/// `TE` has the word `chunked`, in any case (RFC 9110, section 10.1.4), at its end, before a space,
/// or with a quality above zero.
fn takes_chunks(value: &[u8]) -> bool {
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
    fn chunks_are_taken_as_the_reference_says() {
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
            assert_eq!(takes_chunks(value.as_bytes()), expected, "{value}");
        }
    }
}
