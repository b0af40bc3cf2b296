//! Info bodies of channels and groups, and their negotiation (nhpm-nchan.md, sections 2.4 and
//! 2.11).

use crate::message::unix_now;
use crate::server::broker::{ChannelInfo, GroupInfo};
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

impl Notation {
    /// Chooses by the Accept header: the first item that is known wins, whatever its quality.
    #[must_use]
    pub fn accepted(accept: Option<&[u8]>) -> Self {
        const SUBTYPES: [(&[u8], Notation); 6] = [
            (b"plain", Notation::Plain),
            (b"json", Notation::Json),
            (b"x-json", Notation::Json),
            (b"yaml", Notation::Yaml),
            (b"x-yaml", Notation::Yaml),
            (b"xml", Notation::Xml),
        ];
        let items = accept
            .unwrap_or_default()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii_start);
        let subtypes = items.filter_map(|item| {
            item.strip_prefix(b"text/")
                .or_else(|| item.strip_prefix(b"application/"))
        });
        let mut known = subtypes
            .filter_map(|subtype| SUBTYPES.iter().find(|(name, _)| subtype.starts_with(name)));
        known
            .next()
            .map_or(Notation::Plain, |(_, notation)| *notation)
    }

    /// The Content-Type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Notation::Plain => "text/plain",
            Notation::Json => "text/json",
            Notation::Yaml => "text/yaml",
            Notation::Xml => "text/xml",
        }
    }

    /// An answer with this body.
    #[must_use]
    pub fn response(self, status: Status, body: String) -> Response {
        Response::sized(status, self.content_type(), &b""[..], body.into_bytes())
    }
}

/// The numbers that the body of a channel shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Messages that are queued.
    pub messages: u64,
    /// Seconds since somebody asked for messages; `None` = nobody did.
    pub requested: Option<u64>,
    /// Subscribers.
    pub subscribers: u64,
    /// Id of the newest message; of several channels `0`.
    pub last_message_id: String,
}

impl Numbers {
    /// Those of a channel.
    #[must_use]
    pub fn of(info: &ChannelInfo) -> Self {
        let (time, tag) = info.last.unwrap_or_default();
        Self {
            messages: info.stored,
            requested: Some(info.requested_second)
                .filter(|since| *since > 0)
                .map(|since| unix_now().saturating_sub(since)),
            subscribers: info.subscribers,
            last_message_id: format!("{time}:{tag}"),
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self, notation: Notation) -> String {
        let Self {
            messages,
            requested,
            subscribers,
            last_message_id,
        } = self;
        let requested = requested.map_or_else(|| "-1".to_owned(), |seconds| seconds.to_string());
        match notation {
            Notation::Plain => format!(
                "queued messages: {messages}\r\nlast requested: {requested} sec. ago\r\n\
                 active subscribers: {subscribers}\r\nlast message id: {last_message_id}"
            ),
            Notation::Json => format!(
                "{{\"messages\": {messages}, \"requested\": {requested}, \"subscribers\": \
                 {subscribers}, \"last_message_id\": \"{last_message_id}\" }}"
            ),
            Notation::Yaml => format!(
                "---\r\nmessages: {messages}\r\nrequested: {requested}\r\n\
                 subscribers: {subscribers}\r\nlast_message_id: \"{last_message_id}\"\r\n\r\n"
            ),
            Notation::Xml => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n\
                 <channel>\r\n  <messages>{messages}</messages>\r\n  \
                 <requested>{requested}</requested>\r\n  \
                 <subscribers>{subscribers}</subscribers>\r\n  \
                 <last_message_id>{last_message_id}</last_message_id>\r\n</channel>"
            ),
        }
    }
}

/// The body for a group.
#[must_use]
pub fn group_body(info: &GroupInfo, notation: Notation) -> String {
    const NAMES: [&str; 5] = [
        "channels",
        "subscribers",
        "messages",
        "messages_memory",
        "messages_disk",
    ];
    let limits = &info.limits;
    let used = [
        info.channels,
        info.subscribers,
        info.messages,
        info.messages_memory,
        0,
    ];
    let most = [
        limits.channels,
        limits.subscribers,
        limits.messages,
        limits.messages_memory,
        limits.messages_disk,
    ];
    let lines = |numbers: [u64; 5], line: &dyn Fn(&str, u64) -> String| -> Vec<String> {
        NAMES
            .iter()
            .zip(numbers)
            .map(|(name, number)| line(name, number))
            .collect()
    };
    match notation {
        Notation::Plain => {
            let [channels, subscribers, messages, memory, disk] = used;
            let [
                most_channels,
                most_subscribers,
                most_messages,
                most_memory,
                most_disk,
            ] = most;
            format!(
                "channels: {channels}\r\nsubscribers: {subscribers}\r\nmessages: {messages}\r\n\
                 shared memory used by messages: {memory} bytes\r\n\
                 disk space used by messages: {disk} bytes\r\n\
                 limits:\r\n  max channels: {most_channels}\r\n  max subscribers: \
                 {most_subscribers}\r\n  max messages: {most_messages}\r\n  max messages shared \
                 memory: {most_memory}\r\n  max messages disk space: {most_disk}\r\n"
            )
        }
        Notation::Json => {
            let used = lines(used, &|name, number| format!("  \"{name}\": {number},\r\n")).concat();
            let most =
                lines(most, &|name, number| format!("    \"{name}\": {number}")).join(",\r\n");
            format!("{{\r\n{used}  \"limits\": {{\r\n{most}\r\n  }}\r\n}}")
        }
        Notation::Yaml => {
            let used = lines(used, &|name, number| format!("{name}: {number}\r\n")).concat();
            let most = lines(most, &|name, number| format!("  {name}: {number}\r\n")).concat();
            format!("---\r\n{used}limits:\r\n{most}\r\n")
        }
        Notation::Xml => {
            let used = lines(used, &|name, number| {
                format!("  <{name}>{number}</{name}>\r\n")
            })
            .concat();
            let most = lines(most, &|name, number| {
                format!("    <{name}>{number}</{name}>\r\n")
            })
            .concat();
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<group>\r\n{used}  <limits>\r\n\
                 {most}  </limits>\r\n</group>"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_item_wins() {
        for (accept, expected) in [
            ("", "text/plain"),
            ("*/*", "text/plain"),
            ("TEXT/JSON", "text/plain"),
            ("text/js", "text/plain"),
            ("text/jsonx", "text/json"),
            ("application/x-yaml", "text/yaml"),
            ("text/html, application/xml;q=0.9", "text/xml"),
            ("application/json;q=0.1, text/xml", "text/json"),
            ("text/plain, text/json", "text/plain"),
        ] {
            assert_eq!(
                Notation::accepted(Some(accept.as_bytes())).content_type(),
                expected,
                "{accept}"
            );
        }
    }

    #[test]
    fn channels_without_requests_say_so() {
        let numbers = Numbers {
            messages: 1,
            requested: None,
            subscribers: 0,
            last_message_id: "5:0".to_owned(),
        };
        assert_eq!(
            numbers.body(Notation::Json),
            "{\"messages\": 1, \"requested\": -1, \"subscribers\": 0, \"last_message_id\": \
             \"5:0\" }"
        );
        assert!(
            numbers
                .body(Notation::Plain)
                .contains("last requested: -1 sec. ago")
        );
    }
}
