//! Message templates: `push_stream_message_template` parsed once, rendered for every message
//! (push-stream.md, section 3.1).
//!
//! As in the module, values are inserted without escaping and are not expanded again. The formats
//! without a template are encoded by `push_stream::render`.

use bytes::Bytes;

/// Format of the messages of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// The module's template.
    Template(Template),
    /// A script element that calls `p(id, channel, text)`, as `pushstream.js` expects it in its
    /// frame, with escaped values: the built-in `/iframe`.
    ScriptCall,
    /// `message_format = json`: one valid JSON object per message (an extension of pushctl).
    Json,
}

/// A parsed message template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<TemplatePart>,
    /// The template begins with `data: `, so EventSource sends it without adding that prefix.
    pub has_data_prefix: bool,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// Literal text.
    Literal(Bytes),
    /// `~id~`
    Id,
    /// `~text~`
    Text,
    /// `~size~`: length of the inserted text in bytes.
    Size,
    /// `~channel~`
    Channel,
    /// `~time~`: HTTP date.
    Time,
    /// `~tag~`
    Tag,
    /// `~event-id~`
    EventId,
    /// `~event-type~`
    EventType,
}

const TOKENS: [(&[u8], TemplatePart); 8] = [
    (b"~id~", TemplatePart::Id),
    (b"~text~", TemplatePart::Text),
    (b"~size~", TemplatePart::Size),
    (b"~channel~", TemplatePart::Channel),
    (b"~time~", TemplatePart::Time),
    (b"~tag~", TemplatePart::Tag),
    (b"~event-id~", TemplatePart::EventId),
    (b"~event-type~", TemplatePart::EventType),
];

impl Template {
    /// Parses a template. Token names are not case-sensitive; everything else is literal text.
    #[must_use]
    pub fn parse(source: &[u8]) -> Self {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = source;
        while let Some(first) = rest.first() {
            let token = TOKENS.iter().find(|(name, _)| {
                rest.len() >= name.len() && rest[..name.len()].eq_ignore_ascii_case(name)
            });
            if let Some((name, part)) = token {
                if !literal.is_empty() {
                    parts.push(TemplatePart::Literal(Bytes::from(std::mem::take(
                        &mut literal,
                    ))));
                }
                parts.push(part.clone());
                rest = &rest[name.len()..];
            } else {
                literal.push(*first);
                rest = &rest[1..];
            }
        }
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(Bytes::from(literal)));
        }
        Self {
            parts,
            has_data_prefix: source.starts_with(b"data: "),
        }
    }

    /// Returns the pieces in their order.
    #[must_use]
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_in_any_case_and_the_rest_is_literal() {
        let template = Template::parse(b"<~ID~|~unknown~ ~text~~ ~");
        let literal = |text: &'static [u8]| TemplatePart::Literal(Bytes::from_static(text));
        assert_eq!(
            template.parts(),
            [
                literal(b"<"),
                TemplatePart::Id,
                literal(b"|~unknown~ "),
                TemplatePart::Text,
                literal(b"~ ~")
            ]
        );
    }
}
