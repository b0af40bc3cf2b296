//! Message ids: `time:tag`, or `time:t1,[t2],-` for several channels (nhpm-nchan.md, section 2.3).
//!
//! All messages before the second `time` were delivered. The tag of a channel is that of its last
//! message delivered within the second, `-` if there was none. Brackets mark the channel of the
//! message to which the id belongs.

use std::fmt::{self, Write};

use smallvec::SmallVec;

use super::MAX_CHANNELS;
use crate::message::parse_http_date;
use crate::server::broker::ChannelStart;
use crate::server::config::expression::percent::percent_decode;
use crate::server::config::{NchanSettings, Variables};

/// Maximum length of an id in a header or argument, in bytes: [`MAX_CHANNELS`] tags of ten digits,
/// with commas. (nchan accepts up to 128, less than the ids that it sends to subscribers of many
/// channels.)
const MAX_BYTES: usize =
    "18446744073709551615:".len() + MAX_CHANNELS * "4294967295,".len() + "[]".len();

/// A message id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// Seconds since the Unix epoch.
    pub time: u64,
    /// One tag per channel; `None` = `-`.
    pub tags: Tags,
    /// Index of the tag in brackets.
    pub current: usize,
}

/// The tags of an id.
pub type Tags = SmallVec<[Option<u32>; 2]>;

/// The text is not a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidMessageId;

/// Displays the tags of an id: `0`, or `0,[1],-`.
#[derive(Clone, Copy, Debug)]
pub struct ShownTags<'a>(&'a MessageId);

impl MessageId {
    /// The id of a message of a single channel.
    #[must_use]
    pub fn single(time: u64, tag: u32) -> Self {
        Self {
            time,
            tags: SmallVec::from_slice(&[Some(tag)]),
            current: 0,
        }
    }

    /// Parses `time:tags`.
    ///
    /// # Errors
    /// The text is not a message id.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidMessageId> {
        let colon = memchr::memchr(b':', text).ok_or(InvalidMessageId)?;
        let time = &text[..colon];
        if time.is_empty() || !time.iter().all(u8::is_ascii_digit) {
            return Err(InvalidMessageId);
        }
        let time = std::str::from_utf8(time)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or(InvalidMessageId)?;
        Self::with_tags(time, &text[colon + 1..])
    }

    /// Parses the tags of an id of the second `time`. Unexpected characters are ignored.
    ///
    /// # Errors
    /// A list without exactly one element in brackets.
    pub fn with_tags(time: u64, text: &[u8]) -> Result<Self, InvalidMessageId> {
        let elements: Vec<&[u8]> = text.split(|byte| *byte == b',').collect();
        let mut current = None;
        let mut tags = Tags::new();
        for (number, element) in elements.iter().enumerate() {
            let count = |wanted: u8| element.iter().filter(|byte| **byte == wanted).count();
            match (count(b'['), count(b']')) {
                (0, 0) => {}
                (1, 1) if current.is_none() => current = Some(number),
                _ => return Err(InvalidMessageId),
            }
            tags.push(tag(element));
        }
        if tags.len() > 1 && current.is_none() {
            return Err(InvalidMessageId);
        }
        Ok(Self {
            time,
            tags,
            current: current.unwrap_or(0),
        })
    }

    /// Returns the tags for display.
    #[must_use]
    pub fn tags(&self) -> ShownTags<'_> {
        ShownTags(self)
    }

    /// The start position in channel `number`.
    #[must_use]
    pub fn start(&self, number: usize) -> ChannelStart {
        ChannelStart::After {
            time: self.time,
            tag: self.tags.get(number).copied().flatten(),
        }
    }
}

fn tag(element: &[u8]) -> Option<u32> {
    if element.contains(&b'-') {
        return None;
    }
    let digits = element.iter().filter(|byte| byte.is_ascii_digit());
    Some(digits.fold(0_u32, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    }))
}

impl fmt::Display for ShownTags<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MessageId { tags, current, .. } = self.0;
        let is_list = tags.len() > 1;
        for (number, tag) in tags.iter().enumerate() {
            if number > 0 {
                out.write_char(',')?;
            }
            let (open, close) = if is_list && number == *current {
                ("[", "]")
            } else {
                ("", "")
            };
            match tag {
                Some(tag) => write!(out, "{open}{tag}{close}")?,
                None => write!(out, "{open}-{close}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.time, self.tags())
    }
}

/// Reads the message id of a subscriber's request; `None` if it has none.
///
/// # Errors
/// The request has an invalid id.
pub fn of_request(
    settings: &NchanSettings,
    variables: &dyn Variables,
) -> Result<Option<MessageId>, InvalidMessageId> {
    let tags = variables.header("if-none-match");
    if let Some(date) = variables
        .header("if-modified-since")
        .filter(|_| !settings.compound_etag)
    {
        return match parse_http_date(date).filter(|time| *time > 0) {
            None => Ok(None),
            Some(time) => MessageId::with_tags(time, tags.ok_or(InvalidMessageId)?).map(Some),
        };
    }
    if let Some(id) = tags.filter(|tags| tags.contains(&b':')) {
        return MessageId::parse(id).map(Some);
    }
    for source in &settings.last_message_id {
        let value = source.evaluate(variables);
        let value = percent_decode(&value);
        if value.contains(&b':') && value.len() <= MAX_BYTES {
            return MessageId::parse(&value).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written() {
        for (text, shown) in [
            ("5:0", "5:0"),
            ("5:[3]", "5:3"),
            ("5:\"1\"", "5:1"),
            ("5:W/\"1\"", "5:1"),
            ("5:abc", "5:0"),
            ("5:-1", "5:-"),
            ("5:[0],-,-", "5:[0],-,-"),
            ("5:0,[12],3", "5:0,[12],3"),
            ("5:99999999999", "5:4294967295"),
        ] {
            assert_eq!(
                MessageId::parse(text.as_bytes())
                    .map(|id| id.to_string())
                    .as_deref(),
                Ok(shown),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            ":1",
            "x:1",
            "-1:1",
            "5:1,2",
            "5:[[1]",
            "5:[1],[2]",
            "5:[1,2]",
            "5:[1",
            "5:1]",
            "99999999999999999999:0",
        ] {
            assert_eq!(
                MessageId::parse(text.as_bytes()),
                Err(InvalidMessageId),
                "{text}"
            );
        }
    }

    #[test]
    fn a_channel_without_a_tag_starts_with_the_second() {
        let id = MessageId::parse(b"5:0,[2]").expect("a valid id");
        assert_eq!(
            id.start(1),
            ChannelStart::After {
                time: 5,
                tag: Some(2)
            }
        );
        assert_eq!(id.start(2), ChannelStart::After { time: 5, tag: None });
    }
}
