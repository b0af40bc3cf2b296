//! Message templates, expressions, regular expressions and their output for messages.
//!
//! The input is split at its first two NUL bytes: the template (or expression, or pattern), the
//! text, the channel id.
#![no_main]

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pushctl::client::message::Message;
use pushctl::message::Position;
use pushctl::server::config::model::template::{Template, TemplatePart};
use pushctl::server::config::{
    Expression, LocationSettings, MessageFormat, Paddings, RegexPattern, ServerName, VariableNames,
    Variables,
};
use pushctl::server::push_stream::render::{MessageView, RenderStyle, Renderer};

struct Request<'a>(&'a [u8]);

impl Variables for Request<'_> {
    fn argument(&self, _: &[u8]) -> Option<&[u8]> {
        Some(self.0)
    }
    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }
    fn capture(&self, _: usize) -> Option<&[u8]> {
        Some(self.0)
    }
    fn named_capture(&self, _: &str) -> Option<&[u8]> {
        Some(self.0)
    }
    fn builtin(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.0))
    }
}

fn written(part: &TemplatePart) -> Vec<u8> {
    match part {
        TemplatePart::Literal(text) => text.to_vec(),
        TemplatePart::Id => b"~id~".to_vec(),
        TemplatePart::Text => b"~text~".to_vec(),
        TemplatePart::Size => b"~size~".to_vec(),
        TemplatePart::Channel => b"~channel~".to_vec(),
        TemplatePart::Time => b"~time~".to_vec(),
        TemplatePart::Tag => b"~tag~".to_vec(),
        TemplatePart::EventId => b"~event-id~".to_vec(),
        TemplatePart::EventType => b"~event-type~".to_vec(),
    }
}

fn rendered(
    format: MessageFormat,
    style: RenderStyle,
    shown: &MessageView<'_>,
) -> (Vec<u8>, usize) {
    let header = Some(Bytes::copy_from_slice(shown.text));
    let settings = LocationSettings {
        message_format: format,
        header_template: header.clone(),
        footer_template: header,
        ..LocationSettings::default()
    };
    let renderer = Renderer::new(Arc::new(settings), style);
    let mut out = b"before".to_vec();
    let counted = renderer.message(shown, &mut out);
    assert!(out.starts_with(b"before") && counted <= out.len() - 6);
    if style == RenderStyle::EventSource {
        for comment in [renderer.header(), renderer.footer()] {
            assert!(
                shown.text.starts_with(b": ")
                    || comment
                        .split(|byte| *byte == b'\n')
                        .all(|line| line.is_empty() || line.starts_with(b": "))
            );
        }
    }
    (out.split_off(6), counted)
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let source = parts.next().unwrap_or_default();
    let text = parts.next().unwrap_or_default();
    let channel = parts.next().unwrap_or_default();

    let template = Template::parse(source);
    let again: Vec<u8> = template.parts().iter().flat_map(written).collect();
    assert!(
        again.eq_ignore_ascii_case(source),
        "a template is the sum of its parts"
    );
    assert_eq!(Template::parse(&again), template);

    let shown = MessageView {
        position: Position::new(1_700_000_000, 7),
        event_id: Some(channel),
        ..MessageView::special(5, channel, text)
    };
    for style in [
        RenderStyle::Lines,
        RenderStyle::Unframed,
        RenderStyle::EventSource,
    ] {
        let _ = rendered(MessageFormat::Template(template.clone()), style, &shown);
    }
    json(&shown);
    expression(source, text);
    pattern(source, text);
});

/// Our own format is JSON for any message, on one line, and contains the fields of the message.
fn json(shown: &MessageView<'_>) {
    let (bare, _) = rendered(MessageFormat::Json, RenderStyle::Unframed, shown);
    let (line, _) = rendered(MessageFormat::Json, RenderStyle::Lines, shown);
    let (event, _) = rendered(
        MessageFormat::Json,
        RenderStyle::EventSource,
        &MessageView {
            event_id: None,
            ..*shown
        },
    );
    assert!(!bare.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    assert_eq!(line.strip_suffix(b"\n"), Some(&bare[..]));
    assert_eq!(event.split(|byte| *byte == b'\n').count(), 3);
    let value = serde_json::from_slice(&bare).expect("the encoder writes JSON");
    let message = Message::from_json(&value).expect("a message of ours");
    assert_eq!(
        (message.text.as_slice(), message.id, message.position()),
        (shown.text, Some(5), Some(shown.position))
    );
    let id = String::from_utf8_lossy(shown.channel);
    assert_eq!(message.channel.as_deref().unwrap_or_default(), id);
    assert_eq!(message.event_id.as_deref().unwrap_or_default(), id);
}

fn expression(source: &[u8], value: &[u8]) {
    let names = VariableNames {
        captures: vec!["named".to_owned()],
        ..VariableNames::default()
    };
    let Ok(expression) = Expression::parse_with(source, &names) else {
        assert!(source.contains(&b'$'));
        return;
    };
    let request = Request(value);
    let evaluated = expression.evaluate(&request);
    let variables = source.iter().filter(|byte| **byte == b'$').count();
    assert!(evaluated.len() <= source.len() + variables * value.len());
    if variables == 0 {
        assert_eq!(evaluated.as_ref(), source);
    }
    assert_eq!(expression.is_empty(), source.is_empty());
}

fn pattern(source: &[u8], subject: &[u8]) {
    let Ok(source) = std::str::from_utf8(source) else {
        return;
    };
    // The size limit of the compiler holds anyway, but takes its time.
    if source.len() <= 100 {
        for ignore_case in [false, true] {
            let Ok(regex) = RegexPattern::new(source, ignore_case) else {
                continue;
            };
            let captures = regex.captures(subject);
            assert!(captures.is_some() == regex.is_match(subject));
            if let Some(captures) = captures {
                for number in 0..12 {
                    assert!(
                        captures
                            .get(number)
                            .is_none_or(|group| group.len() <= subject.len())
                    );
                }
                for name in regex.names() {
                    let _ = captures.name(name);
                }
            }
        }
    }
    if !source.starts_with('~') {
        drop(ServerName::parse(source));
    }
    if let Ok(padding) = Paddings::parse(source.as_bytes()) {
        if let Some(padding) = padding.with_largest(1000).for_user_agent(subject) {
            for length in [0, 500, usize::MAX] {
                assert!(
                    padding.streaming_header(length).len() <= 1100
                        && padding.streaming_message(length).len() <= 1100
                );
                assert!(
                    padding.eventsource_header(length).len() <= 1100
                        && padding.eventsource_message(length).len() <= 1100
                );
            }
        }
    }
}
