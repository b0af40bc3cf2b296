//! A line of a batch: a message as a JSON object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::Failure;
use crate::server::broker::NewMessage;
use crate::server::push_stream::explain::Rejection;

/// A message, and the channels that its line names.
pub(super) struct BatchLine {
    pub(super) channel: Option<String>,
    pub(super) message: NewMessage,
}

/// The fields of a line. Unknown ones are rejected, so that a misspelt one is not lost silently.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    channel: Option<String>,
    text: Option<String>,
    base64: Option<String>,
    event_id: Option<String>,
    event_type: Option<String>,
}

impl BatchLine {
    /// Reads a line.
    ///
    /// # Errors
    /// When it is no JSON object with the fields of a message, or the message is empty.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Failure> {
        let Fields {
            channel,
            text,
            base64,
            event_id,
            event_type,
        } = parse(line)?;
        let text = match (text, base64) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(base64)) => Bytes::from(
                STANDARD
                    .decode(base64)
                    .map_err(|error| Failure::new(400, format!("invalid \"base64\": {error}")))?,
            ),
            (Some(_), Some(_)) => {
                return Err(Failure::new(
                    400,
                    "the line has both \"text\" and \"base64\"",
                ));
            }
            (None, None) => {
                return Err(Failure::new(
                    400,
                    "the line has neither \"text\" nor \"base64\"",
                ));
            }
        };
        if text.is_empty() {
            return Err(Rejection::EmptyBody.into());
        }
        let message = NewMessage {
            text,
            event_id: header("event_id", event_id)?,
            event_type: header("event_type", event_type)?,
            ..NewMessage::default()
        };
        Ok(Self { channel, message })
    }
}

fn parse(line: &[u8]) -> Result<Fields, Failure> {
    let line = std::str::from_utf8(line).map_err(|error| {
        Failure::new(
            400,
            format!("the line is not UTF-8 after {} bytes", error.valid_up_to()),
        )
    })?;
    // serde would read a list as the values of the fields.
    if !line.starts_with('{') {
        return Err(Failure::new(400, "the line is not a JSON object"));
    }
    serde_json::from_str(line).map_err(|error| {
        let text = error.to_string();
        let what = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(what, _)| what);
        Failure::new(400, format!("{what} (column {})", error.column()))
    })
}

/// Checks a value that event streams write as one line, and that a header carries otherwise: it
/// must not contain a line break.
fn header(name: &str, value: Option<String>) -> Result<Option<Bytes>, Failure> {
    match value.filter(|value| !value.is_empty()) {
        Some(value) if value.contains(['\r', '\n', '\0']) => Err(Failure::new(
            400,
            format!("\"{name}\" contains a line break or NUL"),
        )),
        value => Ok(value.map(Bytes::from)),
    }
}
