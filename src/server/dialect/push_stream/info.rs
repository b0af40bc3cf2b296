//! Channel info bodies of publisher and statistics (push-stream.md, section 5). The module does not
//! escape channel ids, so that one with a quote or a line feed forges fields; here an id is escaped
//! where the notation could not hold it as it is.

use std::borrow::Cow;
use std::io::Write;

use crate::message::unix_now;
use crate::server::broker::{Broker, BrokerSummary, ChannelInfo};
use crate::server::response::{Response, Status, push_number};
use crate::server::{hostname, iso_time};

/// What stands around the values of a channel: its id, and its numbers in their order.
struct Item {
    before_id: &'static str,
    after_id: &'static str,
    before_numbers: [&'static str; 5],
    /// After the last number: of three, and of all.
    closing: [&'static str; 2],
}

/// The numbers that the module shows, of those that there are.
const SHOWN_NUMBERS: usize = 3;

/// What stands before each number. `$introduce` makes it of the name and the one before it; only
/// that of the subscribers is not the same everywhere.
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
pub enum Notation {
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

impl Notation {
    /// Chooses by the Accept header: whatever follows a `/` first among the known names, types and
    /// q-values ignored.
    #[must_use]
    pub fn accepted(accept: Option<&[u8]>) -> Self {
        const NAMES: [(&[u8], Notation); 6] = [
            (b"plain", Notation::Plain),
            (b"json", Notation::Json),
            (b"yaml", Notation::Yaml),
            (b"xml", Notation::Xml),
            (b"x-json", Notation::XJson),
            (b"x-yaml", Notation::XYaml),
        ];
        let accept = accept.unwrap_or_default();
        let after_slashes = memchr::memchr_iter(b'/', accept).map(|slash| &accept[slash + 1..]);
        let known =
            after_slashes.filter_map(|rest| NAMES.iter().find(|(name, _)| rest.starts_with(name)));
        known
            .map(|(_, notation)| *notation)
            .next()
            .unwrap_or(Notation::Json)
    }

    /// The Content-Type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Notation::Plain => "text/plain",
            Notation::Json => "application/json",
            Notation::XJson => "text/x-json",
            Notation::Yaml => "application/yaml",
            Notation::XYaml => "text/x-yaml",
            Notation::Xml => "application/xml",
        }
    }

    /// The body for one channel, with our further numbers or exactly as the module has it.
    #[must_use]
    pub fn single(self, info: &ChannelInfo, with_details: bool) -> Vec<u8> {
        let mut out = Vec::new();
        self.push_single(info, with_details, &mut out);
        out
    }

    /// Appends what [`Notation::single`] gives.
    pub fn push_single(self, info: &ChannelInfo, with_details: bool, out: &mut Vec<u8>) {
        // Growing step by step would cost more than the writing.
        out.reserve(if with_details { 192 } else { 128 } + info.id.len());
        let around: (&[u8], &[u8]) = match self {
            Notation::Yaml | Notation::XYaml => (b"  ", b""),
            Notation::Plain | Notation::Json | Notation::XJson | Notation::Xml => (b"", b"\r\n"),
        };
        if self == Notation::Xml {
            out.extend_from_slice(XML_DECLARATION);
        }
        self.item(info, with_details, around, out);
    }

    /// The body for any number of channels; details as in [`Notation::single`].
    #[must_use]
    pub fn group(
        self,
        infos: impl ExactSizeIterator<Item = ChannelInfo>,
        summary: &BrokerSummary,
        with_details: bool,
    ) -> Vec<u8> {
        let count = infos.len();
        let mut out = Vec::with_capacity(256 + count * 96);
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
            Notation::Json | Notation::XJson => write!(
                out,
                "{{\"hostname\": \"{host}\", \"time\": \"{time}\", \"channels\": {channels}, \
                 \"wildcard_channels\": {wildcard_channels}, \"uptime\": {uptime}, \"infos\": [\r\n"
            ),
            Notation::Plain => write!(
                out,
                "hostname: {host}, time: {time}, channels: {channels}, wildcard_channels: \
                 {wildcard_channels}, uptime: {uptime}, infos: \r\n"
            ),
            Notation::Yaml | Notation::XYaml => write!(
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
        for (index, info) in infos.enumerate() {
            let info = &info;
            let is_last = index + 1 == count;
            match self {
                Notation::Json | Notation::XJson | Notation::Plain => self.item(
                    info,
                    with_details,
                    (b"", if is_last { b"\r\n" } else { b",\r\n" }),
                    &mut out,
                ),
                Notation::Yaml | Notation::XYaml => {
                    out.extend_from_slice(b" -\r\n");
                    self.item(info, with_details, (b"  ", b""), &mut out);
                }
                Notation::Xml => self.item(info, with_details, (b"", b""), &mut out),
            }
        }
        match self {
            Notation::Json | Notation::XJson => out.extend_from_slice(b"]}\r\n"),
            Notation::Plain | Notation::Yaml | Notation::XYaml if count == 0 => {
                out.extend_from_slice(b"\r\n")
            }
            Notation::Plain | Notation::Yaml | Notation::XYaml => {}
            Notation::Xml => out.extend_from_slice(b"  </infos>\r\n</root>\r\n"),
        }
        out
    }

    /// The answer with the info of these channels: none (404), one or a group. With `with_details`
    /// they have our further numbers.
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

    /// Appends a channel id, escaped for this notation if it needs that.
    fn push_id(self, id: &[u8], out: &mut Vec<u8>) {
        match self {
            Notation::Json | Notation::XJson if !is_plain(id) => {
                let begin = out.len();
                super::json::push_string(&String::from_utf8_lossy(id), out);
                // The quotes are there already.
                out.remove(begin);
                out.pop();
            }
            Notation::Xml if !is_plain(id) => {
                let text = String::from_utf8_lossy(id)
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;");
                out.extend_from_slice(visible(&text).as_bytes());
            }
            Notation::Yaml | Notation::XYaml if !is_yaml_scalar(id) => {
                super::json::push_string(&String::from_utf8_lossy(id), out)
            }
            Notation::Plain if id.iter().any(u8::is_ascii_control) => {
                out.extend_from_slice(visible(&String::from_utf8_lossy(id)).as_bytes())
            }
            _ => out.extend_from_slice(id),
        }
    }

    /// One channel; `indent` stands before its first line, `end` after its last value.
    fn item(
        self,
        info: &ChannelInfo,
        with_details: bool,
        (indent, end): (&[u8], &[u8]),
        out: &mut Vec<u8>,
    ) {
        let item = match self {
            Notation::Json | Notation::XJson => &JSON_ITEM,
            Notation::Plain => &PLAIN_ITEM,
            Notation::Yaml | Notation::XYaml => &YAML_ITEM,
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

/// The text on one line: control characters, which XML does not allow either, become visible.
fn visible(text: &str) -> String {
    text.chars()
        .map(|char| {
            if char.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                char
            }
        })
        .collect()
}

/// YAML reads the id as a text without quotes (YAML 1.2, section 7.3.3); one that reads as a number
/// is left to the reader.
fn is_yaml_scalar(id: &[u8]) -> bool {
    let contains = |needle: &[u8]| memchr::memmem::find(id, needle).is_some();
    let is_indicator = |byte: &u8| b"!&*?{}[],|>@`\"'%#:".contains(byte);
    // YAML 1.1, which many libraries still read, gives these a meaning.
    let is_old_tag = matches!(id, b"=" | b"<<");
    let is_open = is_old_tag
        || id.is_empty()
        || id.first().is_some_and(is_indicator)
        || id.starts_with(b"- ")
        || id == b"-"
        || id.starts_with(b"---");
    let has_structure = contains(b": ")
        || contains(b" #")
        || id.ends_with(b":")
        || id.starts_with(b" ")
        || id.ends_with(b" ");
    std::str::from_utf8(id).is_ok_and(|text| !text.chars().any(char::is_control))
        && !is_open
        && !has_structure
}

/// The id can stand in JSON and XML as it is.
fn is_plain(id: &[u8]) -> bool {
    id.iter().all(|byte| {
        (b' '..0x7f).contains(byte) && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
    })
}

/// First line of XML bodies.
pub(super) const XML_DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped_only_where_they_have_to_be() {
        let shown = |notation: Notation, id: &str| {
            let mut out = Vec::new();
            notation.push_id(id.as_bytes(), &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        for (id, json, xml, yaml, plain) in [
            ("=", "=", "=", "\"=\"", "="),
            ("<<", "<<", "&lt;&lt;", "\"<<\"", "<<"),
            ("news.1", "news.1", "news.1", "news.1", "news.1"),
            ("h\u{e9}", "h\u{e9}", "h\u{e9}", "h\u{e9}", "h\u{e9}"),
            ("a\"b\\c", "a\\\"b\\\\c", "a\"b\\c", "a\"b\\c", "a\"b\\c"),
            ("<x>&", "<x>&", "&lt;x&gt;&amp;", "<x>&", "<x>&"),
            (
                "a\nb: 1",
                "a\\nb: 1",
                "a\u{fffd}b: 1",
                "\"a\\nb: 1\"",
                "a\u{fffd}b: 1",
            ),
            ("x: y", "x: y", "x: y", "\"x: y\"", "x: y"),
            ("{a", "{a", "{a", "\"{a\"", "{a"),
            ("a #b", "a #b", "a #b", "\"a #b\"", "a #b"),
        ] {
            let found = [
                Notation::Json,
                Notation::Xml,
                Notation::Yaml,
                Notation::Plain,
            ]
            .map(|notation| shown(notation, id));
            assert_eq!(found, [json, xml, yaml, plain], "{id:?}");
        }
    }

    #[test]
    fn the_first_known_name_after_a_slash_decides() {
        for (accept, notation) in [
            ("text/html, text/plain;q=0.1", Notation::Plain),
            ("application/plain", Notation::Plain),
            ("text/xml, application/json", Notation::Xml),
            ("application/jsonp", Notation::Json),
            ("text/x-yaml", Notation::XYaml),
            ("APPLICATION/XML", Notation::Json),
            ("*/*", Notation::Json),
            ("xml", Notation::Json),
        ] {
            assert_eq!(
                Notation::accepted(Some(accept.as_bytes())),
                notation,
                "{accept}"
            );
        }
    }
}
