//! Channel info bodies of publisher and statistics locations (push-stream.md, section 5).

use std::borrow::Cow;
use std::io::Write;

use super::id_escape;
use crate::message::unix_now;
use crate::server::broker::{Broker, BrokerSummary, ChannelInfo};
use crate::server::exchange::iso_time::iso_time;
use crate::server::exchange::response::{Response, Status, push_number};
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

/// The notation of an info body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoNotation {
    /// `text/plain`
    Plain,
    /// `application/json`
    Json,
    /// `text/x-json`
    XJson,
    /// `application/yaml`
    Yaml,
    /// `text/x-yaml`
    XYaml,
    /// `application/xml`
    Xml,
}

impl InfoNotation {
    /// Chooses the notation by the Accept header: the first supported name after a `/`, ignoring
    /// types and quality values.
    #[must_use]
    pub fn accepted(accept: Option<&[u8]>) -> Self {
        const NAMES: [(&[u8], InfoNotation); 6] = [
            (b"plain", InfoNotation::Plain),
            (b"json", InfoNotation::Json),
            (b"yaml", InfoNotation::Yaml),
            (b"xml", InfoNotation::Xml),
            (b"x-json", InfoNotation::XJson),
            (b"x-yaml", InfoNotation::XYaml),
        ];
        let accept = accept.unwrap_or_default();
        let after_slashes = memchr::memchr_iter(b'/', accept).map(|slash| &accept[slash + 1..]);
        let supported =
            after_slashes.filter_map(|rest| NAMES.iter().find(|(name, _)| rest.starts_with(name)));
        supported
            .map(|(_, notation)| *notation)
            .next()
            .unwrap_or(InfoNotation::Json)
    }

    /// The Content-Type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            InfoNotation::Plain => "text/plain",
            InfoNotation::Json => "application/json",
            InfoNotation::XJson => "text/x-json",
            InfoNotation::Yaml => "application/yaml",
            InfoNotation::XYaml => "text/x-yaml",
            InfoNotation::Xml => "application/xml",
        }
    }

    /// The body for one channel, with additional counters or exactly as in the module.
    #[must_use]
    pub fn single(self, info: &ChannelInfo, with_details: bool) -> Vec<u8> {
        let mut out = Vec::new();
        self.push_single(info, with_details, &mut out);
        out
    }

    /// Appends the body of [`InfoNotation::single`].
    pub fn push_single(self, info: &ChannelInfo, with_details: bool, out: &mut Vec<u8>) {
        // Growing the buffer step by step would cost more than writing to it.
        out.reserve(if with_details { 192 } else { 128 } + info.id.len());
        let (indent, end): (&[u8], &[u8]) = match self {
            InfoNotation::Yaml | InfoNotation::XYaml => (b"  ", b""),
            InfoNotation::Plain | InfoNotation::Json | InfoNotation::XJson | InfoNotation::Xml => {
                (b"", b"\r\n")
            }
        };
        if self == InfoNotation::Xml {
            out.extend_from_slice(XML_DECLARATION);
        }
        self.push_item(info, with_details, indent, end, out);
    }

    /// The body for any number of channels; details as in [`InfoNotation::single`].
    #[must_use]
    pub fn group(
        self,
        infos: impl ExactSizeIterator<Item = ChannelInfo>,
        summary: &BrokerSummary,
        with_details: bool,
    ) -> Vec<u8> {
        let count = infos.len();
        let mut out = Vec::with_capacity(256 + count * 96);
        self.push_group_head(summary, &mut out);
        for (index, info) in infos.enumerate() {
            let info = &info;
            let is_last = index + 1 == count;
            match self {
                InfoNotation::Json | InfoNotation::XJson | InfoNotation::Plain => {
                    let end: &[u8] = if is_last { b"\r\n" } else { b",\r\n" };
                    self.push_item(info, with_details, b"", end, &mut out);
                }
                InfoNotation::Yaml | InfoNotation::XYaml => {
                    out.extend_from_slice(b" -\r\n");
                    self.push_item(info, with_details, b"  ", b"", &mut out);
                }
                InfoNotation::Xml => self.push_item(info, with_details, b"", b"", &mut out),
            }
        }
        match self {
            InfoNotation::Json | InfoNotation::XJson => out.extend_from_slice(b"]}\r\n"),
            InfoNotation::Plain | InfoNotation::Yaml | InfoNotation::XYaml if count == 0 => {
                out.extend_from_slice(b"\r\n")
            }
            InfoNotation::Plain | InfoNotation::Yaml | InfoNotation::XYaml => {}
            InfoNotation::Xml => out.extend_from_slice(b"  </infos>\r\n</root>\r\n"),
        }
        out
    }

    /// Appends the fields of the server, which precede the channels of a group.
    fn push_group_head(self, summary: &BrokerSummary, out: &mut Vec<u8>) {
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
        drop(match self {
            InfoNotation::Json | InfoNotation::XJson => write!(
                out,
                "{{\"hostname\": \"{host}\", \"time\": \"{time}\", \"channels\": {channels}, \
                 \"wildcard_channels\": {wildcard_channels}, \"uptime\": {uptime}, \"infos\": [\r\n"
            ),
            InfoNotation::Plain => write!(
                out,
                "hostname: {host}, time: {time}, channels: {channels}, wildcard_channels: \
                 {wildcard_channels}, uptime: {uptime}, infos: \r\n"
            ),
            InfoNotation::Yaml | InfoNotation::XYaml => write!(
                out,
                "hostname: {host}\r\ntime: {time}\r\nchannels: {channels}\r\n\
                 wildcard_channels: {wildcard_channels}\r\nuptime: {uptime}\r\ninfos: \r\n"
            ),
            InfoNotation::Xml => write!(
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
    /// [`InfoNotation::single`].
    #[must_use]
    pub fn response(
        self,
        infos: &[ChannelInfo],
        broker: &Broker,
        with_details: bool,
        headers: impl Into<Cow<'static, [u8]>>,
    ) -> Response {
        let body = match infos {
            [] => return Response::header_only(Status::NOT_FOUND, headers),
            [info] => self.single(info, with_details),
            infos => self.group(infos.iter().cloned(), &broker.summary(), with_details),
        };
        Response::sized(Status::OK, self.content_type(), headers, body)
    }

    fn push_id(self, id: &[u8], out: &mut Vec<u8>) {
        match self {
            InfoNotation::Json | InfoNotation::XJson => id_escape::push_json(id, out),
            InfoNotation::Xml => id_escape::push_xml(id, out),
            InfoNotation::Yaml | InfoNotation::XYaml => id_escape::push_yaml(id, out),
            InfoNotation::Plain => id_escape::push_text(id, out),
        }
    }

    /// Appends one channel: `indent` precedes its first line, `end` follows its last value.
    fn push_item(
        self,
        info: &ChannelInfo,
        with_details: bool,
        indent: &[u8],
        end: &[u8],
        out: &mut Vec<u8>,
    ) {
        let item = match self {
            InfoNotation::Json | InfoNotation::XJson => &JSON_ITEM,
            InfoNotation::Plain => &PLAIN_ITEM,
            InfoNotation::Yaml | InfoNotation::XYaml => &YAML_ITEM,
            InfoNotation::Xml => &XML_ITEM,
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
        self.push_id(&info.id, out);
        out.extend_from_slice(item.after_id.as_bytes());
        for (before, number) in item.before_numbers.iter().zip(numbers).take(shown) {
            out.extend_from_slice(before.as_bytes());
            push_number(number, out);
        }
        out.extend_from_slice(item.closing[usize::from(with_details)].as_bytes());
        out.extend_from_slice(end);
    }
}

/// First line of XML bodies.
pub(super) const XML_DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_name_after_a_slash_decides() {
        for (accept, notation) in [
            ("text/html, text/plain;q=0.1", InfoNotation::Plain),
            ("application/plain", InfoNotation::Plain),
            ("text/xml, application/json", InfoNotation::Xml),
            ("application/jsonp", InfoNotation::Json),
            ("text/x-yaml", InfoNotation::XYaml),
            ("APPLICATION/XML", InfoNotation::Json),
            ("*/*", InfoNotation::Json),
            ("xml", InfoNotation::Json),
        ] {
            assert_eq!(
                InfoNotation::accepted(Some(accept.as_bytes())),
                notation,
                "{accept}"
            );
        }
    }
}
