//! `--template`: formats the fields of a message. Pure.
//!
//! `{field}` is a field, `{{` and `}}` are braces; `\n`, `\t`, `\r`, `\0`, `\e`, `\\` and `\xHH`
//! are bytes. A line break follows, unless the template ends in `\c`.

use crate::client::Message;
use crate::cmd::output::escape;
use crate::message::http_date;

/// Field of a message in a template, and in the environment of `--exec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Channel,
    Text,
    Time,
    Unix,
    Tag,
    Cursor,
    Id,
    EventId,
    EventType,
    Size,
    Json,
}

/// All fields by name.
const FIELDS: [(&str, Field); 11] = [
    ("channel", Field::Channel),
    ("text", Field::Text),
    ("time", Field::Time),
    ("unix", Field::Unix),
    ("tag", Field::Tag),
    ("cursor", Field::Cursor),
    ("id", Field::Id),
    ("event_id", Field::EventId),
    ("event_type", Field::EventType),
    ("size", Field::Size),
    ("json", Field::Json),
];

impl Field {
    /// Value of the field in `message`; `None` if the server did not send it. `only` is the
    /// channel, if only one is followed.
    pub(super) fn of(self, message: &Message, only: Option<&str>) -> Option<Vec<u8>> {
        let text = match self {
            Self::Text => return Some(message.text.clone()),
            Self::Channel => message.channel.as_deref().or(only).map(str::to_owned),
            Self::Time => message.time.map(http_date),
            Self::Unix => message.time.map(|time| time.to_string()),
            Self::Tag => message.tag.map(|tag| tag.to_string()),
            Self::Cursor => message
                .position()
                .map(|position| format!("{}:{}", position.time, position.tag)),
            Self::Id => message.id.map(|id| id.to_string()),
            Self::EventId => message.event_id.clone(),
            Self::EventType => message.event_type.clone(),
            Self::Size => Some(message.text.len().to_string()),
            Self::Json => Some(message.to_json()),
        };
        text.map(String::into_bytes)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Bytes(Vec<u8>),
    Field(Field),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessageTemplate(Vec<TemplatePart>);

impl MessageTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// The invalid part.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut bytes = Vec::new();
        let mut rest = text;
        let mut ends_line = true;
        while let Some(letter) = rest.chars().next() {
            let after = &rest[letter.len_utf8()..];
            rest = match letter {
                '{' | '}' if after.starts_with(letter) => {
                    bytes.push(letter as u8);
                    &after[1..]
                }
                '{' => {
                    let (name, after) = after
                        .split_once('}')
                        .ok_or("a '{' has no '}' (write '{{' for a brace)")?;
                    parts.push(TemplatePart::Bytes(std::mem::take(&mut bytes)));
                    parts.push(TemplatePart::Field(field(name)?));
                    after
                }
                '}' => return Err("a '}' has no '{' (write '}}' for a brace)".to_owned()),
                '\\' if after == "c" => {
                    ends_line = false;
                    ""
                }
                '\\' => escape(after, &mut bytes)?,
                _ => {
                    bytes.extend_from_slice(&rest.as_bytes()[..letter.len_utf8()]);
                    after
                }
            };
        }
        if ends_line {
            bytes.push(b'\n');
        }
        parts.push(TemplatePart::Bytes(bytes));
        Ok(Self(parts))
    }

    /// Appends `message` in this format. For a terminal, fields are escaped; the template itself
    /// may contain control characters.
    pub(super) fn write(
        &self,
        message: &Message,
        only: Option<&str>,
        for_terminal: bool,
        out: &mut Vec<u8>,
    ) {
        for part in &self.0 {
            match part {
                TemplatePart::Bytes(bytes) => out.extend_from_slice(bytes),
                TemplatePart::Field(Field::Text) if for_terminal => {
                    escape::message(&message.text, out)
                }
                TemplatePart::Field(Field::Text) => out.extend_from_slice(&message.text),
                TemplatePart::Field(Field::Json) if for_terminal => {
                    out.extend_from_slice(escape::json(&message.to_json()).as_bytes())
                }
                TemplatePart::Field(field) if for_terminal => {
                    let value = field.of(message, only).unwrap_or_default();
                    out.extend_from_slice(
                        escape::printable(&String::from_utf8_lossy(&value)).as_bytes(),
                    );
                }
                TemplatePart::Field(field) => {
                    out.extend(field.of(message, only).unwrap_or_default())
                }
            }
        }
    }
}

fn field(name: &str) -> Result<Field, String> {
    let found = FIELDS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, field)| *field);
    found.ok_or_else(|| {
        let known: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
        format!("unknown field '{{{name}}}' (known: {})", known.join(", "))
    })
}

/// Parses an escape after its backslash, and returns the rest.
fn escape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let letter = text
        .chars()
        .next()
        .ok_or("a backslash ends the template (write '\\\\' for one)")?;
    let byte = match letter {
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        '0' => 0,
        'e' => 0x1b,
        '\\' => b'\\',
        'x' => {
            let digits = text
                .get(1..3)
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let digits = digits.ok_or("'\\x' is followed by two hexadecimal digits")?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|error| error.to_string())?);
            return Ok(&text[3..]);
        }
        _ => {
            return Err(format!(
                "there is no '\\{letter}' (there are: \\n \\t \\r \\0 \\e \\\\ \\xHH, and \\c at \
                 the end)"
            ));
        }
    };
    bytes.push(byte);
    Ok(&text[letter.len_utf8()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_braces_and_escapes_are_written() {
        let message = Message {
            channel: Some("a".to_owned()),
            time: Some(784_111_777),
            tag: Some(3),
            ..Message::raw(b"t\xff")
        };
        let written = |text: &str| {
            let mut out = Vec::new();
            MessageTemplate::parse(text).expect(text).write(
                &message,
                Some("only"),
                false,
                &mut out,
            );
            out
        };
        assert_eq!(
            written("{channel}|{text}|{cursor}|{id}|{size}"),
            b"a|t\xff|784111777:3||2\n"
        );
        assert_eq!(written(r"{{{tag}}}\t\x41\\ä\c"), "{3}\tA\\ä".as_bytes());
        assert_eq!(
            written("{time} {unix}"),
            b"Sun, 06 Nov 1994 08:49:37 GMT 784111777\n"
        );
        assert_eq!(written(""), b"\n");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, mention) in [
            ("{txt}", "'{txt}'"),
            ("{text", "no '}'"),
            ("}", "no '{'"),
            (r"\q", r"'\q'"),
            (r"\x4", "two"),
            ("\\", "backslash"),
        ] {
            let error = MessageTemplate::parse(text).expect_err(text);
            assert!(error.contains(mention), "{text}: {error}");
        }
    }
}
