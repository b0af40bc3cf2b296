//! `push_stream_padding_by_user_agent` (push-stream.md, section 8.1): bytes after
//! the header and after each message that make old browsers render a stream immediately.
//!
//! Used by the streaming and eventsource modes.

use std::sync::Arc;

use bytes::Bytes;

use crate::server::config::RegexPattern;

/// Maximum length in a configuration, in bytes: padding is prepared in memory.
const MAX_LENGTH: usize = 1024 * 1024;
/// Padding lengths are rounded up to a multiple of this, in bytes.
const STEP: usize = 100;

/// The paddings of a location.
#[derive(Clone, Debug, Default)]
pub struct Paddings {
    groups: Arc<[(RegexPattern, Lengths)]>,
    largest: usize,
    newlines: Bytes,
    colons: Bytes,
}

#[derive(Clone, Copy, Debug)]
struct Lengths {
    header: usize,
    message: usize,
}

/// The padding for one subscriber. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Padding {
    /// Minimum length of the header with its padding in bytes; 0 = no padding.
    pub header: usize,
    /// Minimum length of a message with its padding in bytes; 0 = no padding.
    pub message: usize,
    newlines: Bytes,
    colons: Bytes,
}

/// An invalid value of the directive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaddingError {
    /// A group is not `regex,H,M`.
    #[error("padding pattern not match the value {0}")]
    Form(String),
    /// The regular expression of a group is invalid or not supported.
    #[error("invalid regular expression \"{0}\"")]
    Regex(String),
    /// A length is greater than the maximum.
    #[error("padding of more than {MAX_LENGTH} bytes in {0}")]
    TooLong(String),
}

impl Paddings {
    /// Parses `regex,H,M:regex2,H2,M2`; an empty text means no padding.
    ///
    /// # Errors
    /// The first invalid group.
    pub fn parse(text: &[u8]) -> Result<Self, PaddingError> {
        let groups = text
            .split(|byte| *byte == b':')
            .filter(|group| !group.is_empty())
            .map(group);
        let groups: Arc<[_]> = groups.collect::<Result<Vec<_>, _>>()?.into();
        let largest = groups
            .iter()
            .map(|(_, lengths)| lengths.header.max(lengths.message))
            .max()
            .unwrap_or(0);
        Ok(Self {
            groups,
            ..Self::default()
        }
        .with_largest(largest))
    }

    /// Returns the largest length of this location in bytes.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Sets the largest length of the whole configuration, to which the longest paddings are
    /// rounded.
    #[must_use]
    pub fn with_largest(self, largest: usize) -> Self {
        if self.groups.is_empty() {
            return self;
        }
        let newlines = b"\r\n".repeat(largest.div_ceil(2)).into();
        let colons = [b":".repeat(largest.saturating_sub(1)), b"\n".to_vec()]
            .concat()
            .into();
        Self {
            largest,
            newlines,
            colons,
            ..self
        }
    }

    /// Returns the padding of the first group whose expression matches `user_agent`.
    #[must_use]
    pub fn for_user_agent(&self, user_agent: &[u8]) -> Option<Padding> {
        let (_, lengths) = self
            .groups
            .iter()
            .find(|(regex, _)| regex.is_match(user_agent))?;
        let newlines = self.newlines.clone();
        let colons = self.colons.clone();
        Some(Padding {
            header: lengths.header,
            message: lengths.message,
            newlines,
            colons,
        })
    }
}

impl Padding {
    /// Returns the padding after a streaming header of `rendered` bytes; empty for an empty header.
    #[must_use]
    pub fn streaming_header(&self, rendered: usize) -> Bytes {
        tail(
            &self.newlines,
            self.length(self.header, rendered, self.newlines.len()),
        )
    }

    /// Returns the padding after a streaming message of `rendered` bytes.
    #[must_use]
    pub fn streaming_message(&self, rendered: usize) -> Bytes {
        tail(
            &self.newlines,
            self.length(self.message, rendered, self.newlines.len()),
        )
    }

    /// Returns the padding after an eventsource header of `rendered` bytes; empty for an empty
    /// header.
    #[must_use]
    pub fn eventsource_header(&self, rendered: usize) -> Bytes {
        tail(
            &self.colons,
            self.length(self.header, rendered, self.colons.len()),
        )
    }

    /// Returns the padding after an eventsource message whose data has `rendered` bytes.
    #[must_use]
    pub fn eventsource_message(&self, rendered: usize) -> Bytes {
        tail(
            &self.colons,
            self.length(self.message, rendered, self.colons.len()),
        )
    }

    fn length(&self, wanted: usize, rendered: usize, available: usize) -> usize {
        let largest = self.colons.len();
        let missing = wanted.saturating_sub(rendered);
        let length = match missing / STEP {
            _ if missing == 0 => 0,
            steps if steps == largest / STEP => largest,
            steps => (steps + 1) * STEP,
        };
        length.min(available)
    }
}

/// The last `length` bytes, so that an odd padding of line ends begins with `\n`, and a padding of
/// colons ends with `\n`.
fn tail(bytes: &Bytes, length: usize) -> Bytes {
    bytes.slice(bytes.len().saturating_sub(length)..)
}

fn group(text: &[u8]) -> Result<(RegexPattern, Lengths), PaddingError> {
    let shown = String::from_utf8_lossy(text).into_owned();
    let mut fields = shown.rsplitn(3, ',');
    let (Some(message), Some(header), Some(pattern)) =
        (fields.next(), fields.next(), fields.next())
    else {
        return Err(PaddingError::Form(shown));
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if pattern.is_empty() || !is_number(header) || !is_number(message) {
        return Err(PaddingError::Form(shown));
    }
    let length = |text: &str| {
        text.parse::<usize>()
            .ok()
            .filter(|length| *length <= MAX_LENGTH)
    };
    let (Some(header), Some(message)) = (length(header), length(message)) else {
        return Err(PaddingError::TooLong(shown));
    };
    let regex =
        RegexPattern::new(pattern, false).map_err(|_| PaddingError::Regex(pattern.to_owned()))?;
    Ok((regex, Lengths { header, message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &[u8] = b"[Tt]est 1,500,0:[Tt]est 2,0,545:Both,50,150";

    #[test]
    fn lengths_are_those_of_the_recorded_module() {
        let paddings = Paddings::parse(RECORDED).expect("the recorded value");
        assert_eq!(paddings.largest(), 545);
        let of = |agent: &str| {
            paddings
                .for_user_agent(agent.as_bytes())
                .expect("a group matches")
        };
        for (agent, header_length, expected) in [
            ("Test 1", 10, 500),
            ("a test 1b", 13, 500),
            ("Both", 10, 100),
            ("Both", 50, 0),
        ] {
            assert_eq!(
                of(agent).streaming_header(header_length).len(),
                expected,
                "{agent}"
            );
        }
        let message_cases = [
            ("test 2", 0, 545),
            ("test 2", 45, 545),
            ("test 2", 145, 500),
            ("Both", 45, 200),
            ("Both", 145, 100),
        ];
        for (agent, message_length, expected) in message_cases {
            assert_eq!(
                of(agent).streaming_message(message_length).len(),
                expected,
                "{agent}"
            );
            assert_eq!(
                of(agent).eventsource_message(message_length).len(),
                expected,
                "{agent}"
            );
        }
        assert_eq!(of("Test 1").streaming_message(5).len(), 0);
        assert_eq!(paddings.for_user_agent(b"other"), None);
    }

    #[test]
    fn padding_is_limited_by_the_largest_length_of_the_configuration() {
        let own = Paddings::parse(b"x,250,250").expect("valid");
        assert_eq!(
            own.for_user_agent(b"x")
                .expect("matches")
                .streaming_message(2)
                .len(),
            250
        );
        let wider = own.with_largest(545);
        assert_eq!(
            wider
                .for_user_agent(b"x")
                .expect("matches")
                .streaming_message(2)
                .len(),
            300
        );
    }

    #[test]
    fn odd_padding_begins_with_a_newline_and_colons_end_in_one() {
        let padding = Paddings::parse(b"x,5,4")
            .expect("valid")
            .for_user_agent(b"x")
            .expect("matches");
        assert_eq!(padding.streaming_header(1).as_ref(), b"\n\r\n\r\n");
        assert_eq!(padding.eventsource_message(1).as_ref(), b"::::\n");
    }

    #[test]
    fn invalid_values_are_rejected() {
        for (text, expected) in [
            ("foo", "padding pattern not match the value foo"),
            ("foo,1,2:bar", "padding pattern not match the value bar"),
            ("foo,1,-2", "padding pattern not match the value foo,1,-2"),
            ("[a,1,2", "invalid regular expression \"[a\""),
        ] {
            assert_eq!(
                Paddings::parse(text.as_bytes())
                    .expect_err(text)
                    .to_string(),
                expected
            );
        }
        for text in ["", "a,1,2:", "a,1,2;b,3,4"] {
            assert!(Paddings::parse(text.as_bytes()).is_ok(), "{text}");
        }
    }
}
