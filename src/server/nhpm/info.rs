//! Channel info bodies and their negotiation (nhpm-nchan.md, section 1.4).

use crate::message::unix_now;
use crate::server::broker::ChannelInfo;
use crate::server::endpoint::notation::{AcceptedNotation, Notation};
use crate::server::exchange::response::{HeaderList, Response, Status};

/// Chooses the notation by the Accept header: the first supported media type wins, whatever its
/// quality. The Content-Type of the response is that media type.
#[must_use]
pub fn accepted(accept: Option<&[u8]>) -> AcceptedNotation {
    const TYPES: [(&str, Notation); 11] = [
        ("text/plain", Notation::Plain),
        ("text/json", Notation::Json),
        ("text/x-json", Notation::Json),
        ("text/yaml", Notation::Yaml),
        ("text/x-yaml", Notation::Yaml),
        ("text/xml", Notation::Xml),
        ("application/json", Notation::Json),
        ("application/x-json", Notation::Json),
        ("application/yaml", Notation::Yaml),
        ("application/x-yaml", Notation::Yaml),
        ("application/xml", Notation::Xml),
    ];
    let accept = accept.unwrap_or_default();
    let at = |start: usize| {
        TYPES
            .iter()
            .find(|(name, _)| accept[start..].starts_with(name.as_bytes()))
    };
    let found = (0..accept.len()).find_map(at);
    let (content_type, notation) = found.copied().unwrap_or(("text/plain", Notation::Plain));
    AcceptedNotation {
        notation,
        content_type,
    }
}

/// The statistics in an info body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NhpmChannelStats {
    /// Number of stored messages.
    pub messages: u64,
    /// Seconds since the last request for messages.
    pub requested: u64,
    /// Number of waiting subscribers.
    pub subscribers: u64,
}

impl NhpmChannelStats {
    /// The statistics of a channel. Before the first request, the time counts from its creation.
    #[must_use]
    pub fn of(info: &ChannelInfo) -> Self {
        let since = if info.requested_second == 0 {
            info.created_second
        } else {
            info.requested_second
        };
        Self {
            messages: info.stored,
            requested: unix_now().saturating_sub(since),
            subscribers: info.subscribers,
        }
    }

    /// Renders the info body.
    #[must_use]
    pub fn body(self, notation: Notation) -> String {
        let Self {
            messages,
            requested,
            subscribers,
        } = self;
        match notation {
            Notation::Plain => {
                format!(
                    "queued messages: {messages}\r\n\
                     last requested: {requested} sec. ago (-1=never)\r\n\
                     active subscribers: {subscribers}"
                )
            }
            Notation::Json => format!(
                "{{\"messages\": {messages}, \"requested\": {requested}, \"subscribers\": \
                 {subscribers} }}"
            ),
            Notation::Yaml => format!(
                "---\r\nmessages: {messages}\r\nrequested: {requested}\r\n\
                 subscribers: {subscribers}\r\n\r\n"
            ),
            Notation::Xml => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n\
                 <channel>\r\n  <messages>{messages}</messages>\r\n  \
                 <requested>{requested}</requested>\r\n  \
                 <subscribers>{subscribers}</subscribers>\r\n</channel>"
            ),
        }
    }

    /// A response with this body.
    #[must_use]
    pub fn response(self, status: Status, accepted: AcceptedNotation) -> Response {
        let body = self.body(accepted.notation).into_bytes();
        accepted.response(status, HeaderList::default(), body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_media_type_wins() {
        for (accept, expected) in [
            ("", "text/plain"),
            ("*/*", "text/plain"),
            ("text/html", "text/plain"),
            ("TEXT/JSON", "text/plain"),
            ("text/html, application/xml;q=0.9", "application/xml"),
            ("application/json;q=0.1, text/xml", "application/json"),
            ("text/plain, text/json", "text/plain"),
            ("text/json, text/plain", "text/json"),
            ("application/x-yaml", "application/x-yaml"),
        ] {
            let found = accepted(Some(accept.as_bytes())).content_type;
            assert_eq!(found, expected, "{accept}");
        }
    }

    #[test]
    fn bodies_are_as_recorded() {
        let numbers = NhpmChannelStats {
            messages: 1,
            requested: 2,
            subscribers: 3,
        };
        assert_eq!(
            numbers.body(Notation::Plain),
            "queued messages: 1\r\nlast requested: 2 sec. ago (-1=never)\r\nactive subscribers: 3"
        );
        assert_eq!(
            numbers.body(Notation::Json),
            "{\"messages\": 1, \"requested\": 2, \"subscribers\": 3 }"
        );
        assert_eq!(
            numbers.body(Notation::Yaml),
            "---\r\nmessages: 1\r\nrequested: 2\r\nsubscribers: 3\r\n\r\n"
        );
    }
}
