//! Channel info bodies of publisher and statistics locations (push-stream.md, section 5).

use std::io::Write;

use super::id_escape;
use crate::message::unix_now;
use crate::server::broker::{Broker, BrokerSummary, ChannelInfo};
use crate::server::endpoint::notation::{AcceptedNotation, Notation};
use crate::server::exchange::buffer_pool;
use crate::server::exchange::iso_time::iso_time;
use crate::server::exchange::response::{HeaderList, Response, Status, push_number};
use crate::server::observe::hostname::hostname;

/// The text around the values of a channel: its id, then its counters in order.
struct Item {
    before_id: &'static str,
    after_id: &'static str,
    before_numbers: [&'static str; 5],
    /// Text after the last counter: of the three of the module, and of all.
    closing: [&'static str; 2],
}

/// Number of counters that the module shows; the others are an extension.
const SHOWN_NUMBERS: usize = 3;

/// The text before each counter, which `$introduce` builds from its name and the preceding one.
/// Only the name of the subscribers differs between notations.
macro_rules! before_numbers {
    ($introduce:ident, $subscribers:literal) => {
        [
            $introduce!("name", "published_messages"),
            $introduce!("published_messages", "stored_messages"),
            $introduce!("stored_messages", $subscribers),
            $introduce!($subscribers, "dropped_messages"),
            $introduce!("dropped_messages", "lag_bytes"),
        ]
    };
}

macro_rules! json {
    ($_before:literal, $name:literal) => {
        concat!(", \"", $name, "\": ")
    };
}

macro_rules! plain {
    ($_before:literal, $name:literal) => {
        concat!("\r\n", $name, ": ")
    };
}

macro_rules! yaml {
    ($_before:literal, $name:literal) => {
        concat!("\r\n  ", $name, ": ")
    };
}

macro_rules! xml {
    ($before:literal, $name:literal) => {
        concat!("</", $before, ">\r\n  <", $name, ">")
    };
}

const JSON_ITEM: Item = Item {
    before_id: "{\"channel\": \"",
    after_id: "\"",
    before_numbers: before_numbers!(json, "subscribers"),
    closing: ["}"; 2],
};

const PLAIN_ITEM: Item = Item {
    before_id: "channel: ",
    after_id: "",
    before_numbers: before_numbers!(plain, "active_subscribers"),
    closing: [""; 2],
};

const YAML_ITEM: Item = Item {
    before_id: "channel: ",
    after_id: "",
    before_numbers: before_numbers!(yaml, "subscribers"),
    closing: ["\r\n"; 2],
};

const XML_ITEM: Item = Item {
    before_id: "<channel>\r\n  <name>",
    after_id: "",
    before_numbers: before_numbers!(xml, "subscribers"),
    closing: [
        "</subscribers>\r\n</channel>\r\n",
        "</lag_bytes>\r\n</channel>\r\n",
    ],
};

/// Chooses the notation by the Accept header: the first supported name after a `/`, ignoring
/// types and quality values.
#[must_use]
pub fn accepted(accept: Option<&[u8]>) -> AcceptedNotation {
    const NAMES: [(&[u8], Notation, &str); 6] = [
        (b"plain", Notation::Plain, "text/plain"),
        (b"json", Notation::Json, "application/json"),
        (b"yaml", Notation::Yaml, "application/yaml"),
        (b"xml", Notation::Xml, "application/xml"),
        (b"x-json", Notation::Json, "text/x-json"),
        (b"x-yaml", Notation::Yaml, "text/x-yaml"),
    ];
    let accept = accept.unwrap_or_default();
    let after_slashes = memchr::memchr_iter(b'/', accept).map(|slash| &accept[slash + 1..]);
    let mut supported =
        after_slashes.filter_map(|rest| NAMES.iter().find(|(name, ..)| rest.starts_with(name)));
    let (notation, content_type) = supported.next().map_or(
        (Notation::Json, "application/json"),
        |(_, notation, content_type)| (*notation, content_type),
    );
    AcceptedNotation {
        notation,
        content_type,
    }
}

/// The body for one channel, with additional counters or exactly as in the module.
#[must_use]
pub fn single(notation: Notation, info: &ChannelInfo, with_details: bool) -> Vec<u8> {
    let mut out = buffer_pool::take(0);
    push_single(notation, info, with_details, &mut out);
    out
}

/// Appends the body of [`single`].
pub fn push_single(notation: Notation, info: &ChannelInfo, with_details: bool, out: &mut Vec<u8>) {
    // Growing the buffer step by step would cost more than writing to it.
    out.reserve(if with_details { 192 } else { 128 } + info.id.len());
    let (indent, end): (&[u8], &[u8]) = match notation {
        Notation::Yaml => (b"  ", b""),
        Notation::Plain | Notation::Json | Notation::Xml => (b"", b"\r\n"),
    };
    if notation == Notation::Xml {
        out.extend_from_slice(XML_DECLARATION);
    }
    push_item(notation, info, with_details, indent, end, out);
}

/// The body for any number of channels; details as in [`single`].
#[must_use]
pub fn group(
    notation: Notation,
    infos: impl ExactSizeIterator<Item = ChannelInfo>,
    summary: &BrokerSummary,
    with_details: bool,
) -> Vec<u8> {
    let count = infos.len();
    let mut out = Vec::with_capacity(256 + count * 96);
    push_group_head(notation, summary, &mut out);
    for (index, info) in infos.enumerate() {
        let info = &info;
        let is_last = index + 1 == count;
        match notation {
            Notation::Json | Notation::Plain => {
                let end: &[u8] = if is_last { b"\r\n" } else { b",\r\n" };
                push_item(notation, info, with_details, b"", end, &mut out);
            }
            Notation::Yaml => {
                out.extend_from_slice(b" -\r\n");
                push_item(notation, info, with_details, b"  ", b"", &mut out);
            }
            Notation::Xml => push_item(notation, info, with_details, b"", b"", &mut out),
        }
    }
    match notation {
        Notation::Json => out.extend_from_slice(b"]}\r\n"),
        Notation::Plain | Notation::Yaml if count == 0 => out.extend_from_slice(b"\r\n"),
        Notation::Plain | Notation::Yaml => {}
        Notation::Xml => out.extend_from_slice(b"  </infos>\r\n</root>\r\n"),
    }
    out
}

/// Appends the fields of the server, which precede the channels of a group.
fn push_group_head(notation: Notation, summary: &BrokerSummary, out: &mut Vec<u8>) {
    let host = hostname();
    let time = iso_time(unix_now());
    let BrokerSummary {
        channels,
        wildcard_channels,
        uptime,
        ..
    } = summary;
    let uptime = uptime.as_secs();
    // Writing to a Vec cannot fail.
    drop(match notation {
        Notation::Json => write!(
            out,
            "{{\"hostname\": \"{host}\", \"time\": \"{time}\", \"channels\": {channels}, \
             \"wildcard_channels\": {wildcard_channels}, \"uptime\": {uptime}, \"infos\": [\r\n"
        ),
        Notation::Plain => write!(
            out,
            "hostname: {host}, time: {time}, channels: {channels}, wildcard_channels: \
             {wildcard_channels}, uptime: {uptime}, infos: \r\n"
        ),
        Notation::Yaml => write!(
            out,
            "hostname: {host}\r\ntime: {time}\r\nchannels: {channels}\r\n\
             wildcard_channels: {wildcard_channels}\r\nuptime: {uptime}\r\ninfos: \r\n"
        ),
        Notation::Xml => write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n\
             <root>\r\n  <hostname>{host}</hostname>\r\n  <time>{time}</time>\r\n  \
             <channels>{channels}</channels>\r\n  \
             <wildcard_channels>{wildcard_channels}</wildcard_channels>\r\n  \
             <uptime>{uptime}</uptime>\r\n  <infos>\r\n"
        ),
    });
}

/// The response with the info of these channels: none (404), one or a group; details as in
/// [`single`].
#[must_use]
pub fn response(
    accepted: AcceptedNotation,
    infos: &[ChannelInfo],
    broker: &Broker,
    with_details: bool,
    headers: impl Into<HeaderList>,
) -> Response {
    let body = match infos {
        [] => return Response::header_only(Status::NOT_FOUND, headers),
        [info] => single(accepted.notation, info, with_details),
        infos => group(
            accepted.notation,
            infos.iter().cloned(),
            &broker.counters().summary(),
            with_details,
        ),
    };
    accepted.response(Status::OK, headers, body)
}

fn push_id(notation: Notation, id: &[u8], out: &mut Vec<u8>) {
    match notation {
        Notation::Json => id_escape::push_json(id, out),
        Notation::Xml => id_escape::push_xml(id, out),
        Notation::Yaml => id_escape::push_yaml(id, out),
        Notation::Plain => id_escape::push_text(id, out),
    }
}

/// Appends one channel: `indent` precedes its first line, `end` follows its last value.
fn push_item(
    notation: Notation,
    info: &ChannelInfo,
    with_details: bool,
    indent: &[u8],
    end: &[u8],
    out: &mut Vec<u8>,
) {
    let item = match notation {
        Notation::Json => &JSON_ITEM,
        Notation::Plain => &PLAIN_ITEM,
        Notation::Yaml => &YAML_ITEM,
        Notation::Xml => &XML_ITEM,
    };
    let numbers = [
        info.published,
        info.stored,
        info.subscribers,
        info.dropped,
        info.lag_bytes,
    ];
    let shown = if with_details {
        numbers.len()
    } else {
        SHOWN_NUMBERS
    };
    out.extend_from_slice(indent);
    out.extend_from_slice(item.before_id.as_bytes());
    push_id(notation, &info.id, out);
    out.extend_from_slice(item.after_id.as_bytes());
    for (before, number) in item.before_numbers.iter().zip(numbers).take(shown) {
        out.extend_from_slice(before.as_bytes());
        push_number(number, out);
    }
    out.extend_from_slice(item.closing[usize::from(with_details)].as_bytes());
    out.extend_from_slice(end);
}

/// First line of XML bodies.
pub(super) const XML_DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_name_after_a_slash_decides() {
        for (accept, expected) in [
            ("text/html, text/plain;q=0.1", "text/plain"),
            ("application/plain", "text/plain"),
            ("text/xml, application/json", "application/xml"),
            ("application/jsonp", "application/json"),
            ("text/x-yaml", "text/x-yaml"),
            ("APPLICATION/XML", "application/json"),
            ("*/*", "application/json"),
            ("xml", "application/json"),
        ] {
            let found = accepted(Some(accept.as_bytes())).content_type;
            assert_eq!(found, expected, "{accept}");
        }
    }
}
