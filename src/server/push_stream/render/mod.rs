//! Rendering of messages: templates, EventSource lines, header and footer (push-stream.md, sections
//! 3.1 and 3.2).
//!
//! Produces unframed bytes; the subscriber modes add chunks and websocket frames.

pub mod json;
pub(in crate::server) mod script;

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;

use crate::message::Position;
use crate::protocol::{GAP_EVENT, GAP_ID};
use crate::server::broker::{Message, MissedCount};
use crate::server::config::model::template::{Template, TemplatePart};
use crate::server::config::{LocationSettings, MessageFormat};

/// The fields of a message that a template can use. Special messages, which are in no log, have
/// them too.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    /// Id; negative for special messages.
    pub id: i64,
    /// Channel id; empty for pings and time-outs.
    pub channel: &'a [u8],
    /// Text.
    pub text: &'a [u8],
    /// Time and tag; zero for special messages.
    pub position: Position,
    /// `Event-Id` of the publisher.
    pub event_id: Option<&'a [u8]>,
    /// `Event-Type` of the publisher.
    pub event_type: Option<&'a [u8]>,
}

impl<'a> MessageView<'a> {
    /// A published message.
    #[must_use]
    pub fn published(channel: &'a [u8], message: &'a Message) -> Self {
        Self {
            id: i64::try_from(message.id).unwrap_or(i64::MAX),
            channel,
            text: &message.text,
            position: message.position,
            event_id: message.event_id.as_deref(),
            event_type: message.event_type.as_deref(),
        }
    }

    /// A special message: ping, channel deleted, timed out.
    #[must_use]
    pub fn special(id: i64, channel: &'a [u8], text: &'a [u8]) -> Self {
        Self {
            id,
            channel,
            text,
            position: Position::default(),
            event_id: None,
            event_type: None,
        }
    }
}

/// Renders the messages of a location.
#[derive(Clone, Debug)]
pub struct Renderer {
    settings: Arc<LocationSettings>,
    style: RenderStyle,
}

/// The text around a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenderStyle {
    /// The template; a JSON object ends in a line break, so that clients can read it line by line.
    Lines,
    /// The template alone, for websocket frames and JSONP.
    Unframed,
    /// `text/event-stream`.
    EventSource,
}

impl Renderer {
    /// Creates the renderer of a location.
    #[must_use]
    pub fn new(settings: Arc<LocationSettings>, style: RenderStyle) -> Self {
        Self { settings, style }
    }

    /// Whether messages are rendered in the built-in JSON format.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.settings.message_format == MessageFormat::Json
    }

    /// Appends a message. Returns the length of its data part in bytes, on which padding depends.
    pub fn message(&self, view: &MessageView<'_>, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        match (self.style, &self.settings.message_format) {
            (RenderStyle::EventSource, format) => {
                return event(format, view, self.settings.is_builtin, out);
            }
            (_, MessageFormat::Template(template)) => fill(template, view, view.text, out),
            (RenderStyle::Lines, MessageFormat::Json) => {
                json::push(view, out);
                out.push(b'\n');
            }
            (RenderStyle::Unframed, MessageFormat::Json) => json::push(view, out),
            (_, MessageFormat::ScriptCall) => script::push(view, out),
        }
        out.len() - start
    }

    /// Whether subscribers are notified of missed messages.
    #[must_use]
    pub fn reports_gaps(&self) -> bool {
        self.settings.gap_notice
    }

    /// Appends a gap notice: a JSON object, an EventSource event of a separate type (without an id,
    /// so that the browser keeps the last one), or a special message in a template. Returns a
    /// length as [`Renderer::message`] does.
    pub fn gap(
        &self,
        channel: &[u8],
        missed: MissedCount,
        position: Position,
        out: &mut Vec<u8>,
    ) -> usize {
        let start = out.len();
        match (self.style, &self.settings.message_format) {
            (RenderStyle::EventSource, _) => {
                out.extend_from_slice(format!("event: {GAP_EVENT}\n").as_bytes());
                let data = out.len();
                out.extend_from_slice(b"data: ");
                json::push_gap(channel, missed, position, out);
                out.extend_from_slice(b"\n\n");
                return out.len() - data;
            }
            (_, MessageFormat::Template(template)) => {
                let text = format!("{} messages missed", missed.count);
                fill(
                    template,
                    &MessageView {
                        position,
                        ..MessageView::special(GAP_ID, channel, text.as_bytes())
                    },
                    text.as_bytes(),
                    out,
                );
            }
            // The script of the page has no support for gaps.
            (_, MessageFormat::ScriptCall) => {}
            (style, MessageFormat::Json) => {
                json::push_gap(channel, missed, position, out);
                if style == RenderStyle::Lines {
                    out.push(b'\n');
                }
            }
        }
        out.len() - start
    }

    /// The text before the messages; may be empty.
    #[must_use]
    pub fn header(&self) -> Bytes {
        match (self.style, &self.settings.header_template) {
            (RenderStyle::EventSource, None) => Bytes::from_static(b": \n"),
            (RenderStyle::EventSource, Some(template)) => comment(template),
            (_, template) => template.clone().unwrap_or_default(),
        }
    }

    /// The text after the messages; may be empty.
    #[must_use]
    pub fn footer(&self) -> Bytes {
        let template = self.settings.footer_template.clone().unwrap_or_default();
        if self.style == RenderStyle::EventSource {
            comment(&template)
        } else {
            template
        }
    }
}

/// Turns a template into comment lines, unless it is one already.
fn comment(template: &Bytes) -> Bytes {
    if template.starts_with(b": ") {
        return template.clone();
    }
    let mut out = Vec::with_capacity(template.len() + 8);
    for line in lines(template) {
        out.extend_from_slice(b": ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    Bytes::from(out)
}

fn event(
    format: &MessageFormat,
    view: &MessageView<'_>,
    has_position_ids: bool,
    out: &mut Vec<u8>,
) -> usize {
    if has_position_ids {
        // The event id of the publisher is a field of the object. Special messages have no
        // position.
        if view.position.time > 0 {
            drop(writeln!(
                out,
                "id: {}:{}",
                view.position.time, view.position.tag
            ));
        }
    } else if let Some(event_id) = view.event_id {
        push_field(b"id: ", event_id, out);
    }
    if let Some(event_type) = view.event_type {
        push_field(b"event: ", event_type, out);
    }
    let start = out.len();
    match format {
        MessageFormat::Json => {
            out.extend_from_slice(b"data: ");
            json::push(view, out);
            out.push(b'\n');
        }
        MessageFormat::ScriptCall => script::push(view, out),
        MessageFormat::Template(template) => {
            for line in lines(view.text) {
                if template.has_data_prefix {
                    fill(template, view, line, out);
                } else {
                    out.extend_from_slice(b"data: ");
                    fill(template, view, line, out);
                    out.push(b'\n');
                }
            }
        }
    }
    out.push(b'\n');
    out.len() - start
}

fn push_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The non-empty lines of a text. A carriage return ends a line only if a line feed follows later
/// in the text.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let last_feed = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
    let (fed, rest) = text.split_at(last_feed);
    fed.split(|byte| matches!(byte, b'\r' | b'\n'))
        .chain(std::iter::once(rest))
        .filter(|line| !line.is_empty())
}

fn fill(template: &Template, view: &MessageView<'_>, text: &[u8], out: &mut Vec<u8>) {
    for part in template.parts() {
        // Writing to a Vec cannot fail.
        match part {
            TemplatePart::Literal(literal) => out.extend_from_slice(literal),
            TemplatePart::Id => drop(write!(out, "{}", view.id)),
            TemplatePart::Text => out.extend_from_slice(text),
            TemplatePart::Size => drop(write!(out, "{}", text.len())),
            TemplatePart::Channel => out.extend_from_slice(view.channel),
            TemplatePart::Time => out.extend_from_slice(view.position.http_date().as_bytes()),
            TemplatePart::Tag => drop(write!(out, "{}", view.position.tag)),
            TemplatePart::EventId => out.extend_from_slice(view.event_id.unwrap_or_default()),
            TemplatePart::EventType => out.extend_from_slice(view.event_type.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &[u8], text: &[u8]) -> String {
        let format = MessageFormat::Template(Template::parse(template));
        let mut out = Vec::new();
        event(
            &format,
            &MessageView {
                event_id: Some(b"1"),
                ..MessageView::special(7, b"ch", text)
            },
            false,
            &mut out,
        );
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn eventsource_lines_follow_the_reference() {
        assert_eq!(
            rendered(b"~text~", b"a\r\n\nb"),
            "id: 1\ndata: a\ndata: b\n\n"
        );
        assert_eq!(rendered(b"~text~", b"a\rb"), "id: 1\ndata: a\rb\n\n");
        assert_eq!(
            rendered(b"~text~", b"a\rb\nc"),
            "id: 1\ndata: a\ndata: b\ndata: c\n\n"
        );
        assert_eq!(
            rendered(b"~text~", b"a\nb\rc"),
            "id: 1\ndata: a\ndata: b\rc\n\n"
        );
        assert_eq!(rendered(b"~text~", b"\n\n"), "id: 1\n\n");
        assert_eq!(
            rendered(b"data: ~id~ ~size~ ~text~\n", b"a\nbc"),
            "id: 1\ndata: 7 1 a\ndata: 7 2 bc\n\n"
        );
    }

    #[test]
    fn headers_become_comments() {
        assert_eq!(comment(&Bytes::from("one\n\ntwo")), ": one\n: two\n");
        assert_eq!(comment(&Bytes::from(": as it is")), ": as it is");
        assert_eq!(comment(&Bytes::new()), "");
    }
}
