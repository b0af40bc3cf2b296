//! Channel info bodies and their negotiation (nhpm-nchan.md, section 1.4).

use crate::message::unix_now;
use crate::server::broker::ChannelInfo;
use crate::server::response::{Response, Status};

/// The notation of an info body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// Lines.
    Plain,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// XML
    Xml,
}

/// Chooses by the Accept header: the first media type that is known wins, whatever its quality; the
/// Content-Type is the one that was asked for.
#[must_use]
pub fn accepted(accept: Option<&[u8]>) -> (Notation, &'static str) {
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
    found.map_or((Notation::Plain, "text/plain"), |(name, notation)| {
        (*notation, *name)
    })
}

/// The numbers that a body shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Messages that are queued.
    pub messages: u64,
    /// Seconds since somebody asked for messages.
    pub requested: u64,
    /// Subscribers that wait.
    pub subscribers: u64,
}

impl Numbers {
    /// Those of a channel; the time counts from its creation until somebody asks.
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

    /// The body.
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

    /// An answer with them.
    #[must_use]
    pub fn response(
        self,
        status: Status,
        (notation, content_type): (Notation, &'static str),
    ) -> Response {
        Response::sized(
            status,
            content_type,
            &b""[..],
            self.body(notation).into_bytes(),
        )
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
            assert_eq!(accepted(Some(accept.as_bytes())).1, expected, "{accept}");
        }
    }

    #[test]
    fn bodies_are_as_recorded() {
        let numbers = Numbers {
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
