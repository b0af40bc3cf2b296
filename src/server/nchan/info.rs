//! Info bodies of channels and groups, and their negotiation (nhpm-nchan.md, sections 2.4 and
//! 2.11).

use crate::message::unix_now;
use crate::server::broker::{ChannelInfo, GroupInfo};
use crate::server::endpoint::notation::{AcceptedNotation, Notation};
use crate::server::exchange::response::{HeaderList, Response, Status};

/// Chooses the notation by the Accept header: the first supported item wins, whatever its quality.
#[must_use]
pub fn accepted(accept: Option<&[u8]>) -> AcceptedNotation {
    const PLAIN: (Notation, &str) = (Notation::Plain, "text/plain");
    const JSON: (Notation, &str) = (Notation::Json, "text/json");
    const YAML: (Notation, &str) = (Notation::Yaml, "text/yaml");
    const XML: (Notation, &str) = (Notation::Xml, "text/xml");
    const SUBTYPES: [(&[u8], (Notation, &str)); 6] = [
        (b"plain", PLAIN),
        (b"json", JSON),
        (b"x-json", JSON),
        (b"yaml", YAML),
        (b"x-yaml", YAML),
        (b"xml", XML),
    ];
    let items = accept
        .unwrap_or_default()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii_start);
    let subtypes = items.filter_map(|item| {
        item.strip_prefix(b"text/")
            .or_else(|| item.strip_prefix(b"application/"))
    });
    let mut supported =
        subtypes.filter_map(|subtype| SUBTYPES.iter().find(|(name, _)| subtype.starts_with(name)));
    let (notation, content_type) = supported.next().map_or(PLAIN, |(_, chosen)| *chosen);
    AcceptedNotation {
        notation,
        content_type,
    }
}

/// The statistics in the info body of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NchanChannelStats {
    /// Number of stored messages.
    pub messages: u64,
    /// Seconds since the last request for messages; `None` before the first one.
    pub requested: Option<u64>,
    /// Number of subscribers.
    pub subscribers: u64,
    /// Id of the newest message; `0` for several channels.
    pub last_message_id: String,
}

impl NchanChannelStats {
    /// The statistics of one channel.
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

    /// Renders the info body.
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

    /// A response with the info body.
    #[must_use]
    pub fn response(&self, status: Status, accepted: AcceptedNotation) -> Response {
        let body = self.body(accepted.notation).into_bytes();
        accepted.response(status, HeaderList::default(), body)
    }
}

/// The info body of a group: its usage and its limits.
#[must_use]
pub fn group_body(info: &GroupInfo, notation: Notation) -> String {
    let limits = &info.limits;
    let used = [
        info.channels,
        info.subscribers,
        info.messages,
        info.messages_memory,
        0,
    ];
    let limits = [
        limits.channels,
        limits.subscribers,
        limits.messages,
        limits.messages_memory,
        limits.messages_disk,
    ];
    match notation {
        Notation::Plain => plain_group(used, limits),
        Notation::Json => {
            let used = group_lines(used, |name, number| format!("  \"{name}\": {number},\r\n"));
            let limits = group_lines(limits, |name, number| format!("    \"{name}\": {number}"));
            let used = used.concat();
            let limits = limits.join(",\r\n");
            format!("{{\r\n{used}  \"limits\": {{\r\n{limits}\r\n  }}\r\n}}")
        }
        Notation::Yaml => {
            let used = group_lines(used, |name, number| format!("{name}: {number}\r\n"));
            let limits = group_lines(limits, |name, number| format!("  {name}: {number}\r\n"));
            let used = used.concat();
            let limits = limits.concat();
            format!("---\r\n{used}limits:\r\n{limits}\r\n")
        }
        Notation::Xml => {
            let used = group_lines(used, |name, number| {
                format!("  <{name}>{number}</{name}>\r\n")
            });
            let limits = group_lines(limits, |name, number| {
                format!("    <{name}>{number}</{name}>\r\n")
            });
            let used = used.concat();
            let limits = limits.concat();
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<group>\r\n{used}  <limits>\r\n\
                 {limits}  </limits>\r\n</group>"
            )
        }
    }
}

fn plain_group(used: [u64; 5], limits: [u64; 5]) -> String {
    let [channels, subscribers, messages, memory, disk] = used;
    let [
        max_channels,
        max_subscribers,
        max_messages,
        max_memory,
        max_disk,
    ] = limits;
    format!(
        "channels: {channels}\r\nsubscribers: {subscribers}\r\nmessages: {messages}\r\n\
         shared memory used by messages: {memory} bytes\r\n\
         disk space used by messages: {disk} bytes\r\n\
         limits:\r\n  max channels: {max_channels}\r\n  max subscribers: {max_subscribers}\r\n  \
         max messages: {max_messages}\r\n  max messages shared memory: {max_memory}\r\n  \
         max messages disk space: {max_disk}\r\n"
    )
}

/// One line for each number of a group, in their order.
fn group_lines(numbers: [u64; 5], line: impl Fn(&str, u64) -> String) -> Vec<String> {
    const NAMES: [&str; 5] = [
        "channels",
        "subscribers",
        "messages",
        "messages_memory",
        "messages_disk",
    ];
    let named = NAMES.iter().zip(numbers);
    named.map(|(name, number)| line(name, number)).collect()
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
                accepted(Some(accept.as_bytes())).content_type,
                expected,
                "{accept}"
            );
        }
    }

    #[test]
    fn channels_without_requests_report_minus_one() {
        let numbers = NchanChannelStats {
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
