//! Message ids: `time:tag`, and `time:t1,[t2],-` where several channels are followed
//! (nhpm-nchan.md, section 2.3).
//!
//! A tag says how far its channel was served in that second: up to the message with that tag, or,
//! with `-`, not at all. Everything of earlier seconds was served. The channel of the message that
//! the id belongs to is in brackets.

use std::fmt::{self, Write};

use smallvec::SmallVec;

use super::MOST_CHANNELS;
use crate::message::parse_http_date;
use crate::server::broker::ChannelStart;
use crate::server::config::{NchanSettings, Variables};
use crate::server::dialect::push_stream::cursor::percent_decode;

/// Longest id in a header or argument, in bytes: that of the most channels, each with a tag of ten
/// digits and a comma. (nchan takes no more than 128, which is less than the ids that it gives to
/// subscribers of many channels.)
const MOST_BYTES: usize =
    "18446744073709551615:".len() + MOST_CHANNELS * "4294967295,".len() + "[]".len();

/// A message id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// Second.
    pub time: u64,
    /// One for each channel; `None` = `-`.
    pub tags: Tags,
    /// Which of them is in brackets.
    pub current: usize,
}

/// The tags of an id.
pub type Tags = SmallVec<[Option<u32>; 2]>;

/// The text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// The tags of an id as text: `0`, or `0,[1],-`.
#[derive(Clone, Copy, Debug)]
pub struct ShownTags<'a>(&'a MessageId);

impl MessageId {
    /// Of a message of the only channel.
    #[must_use]
    pub fn single(time: u64, tag: u32) -> Self {
        Self {
            time,
            tags: SmallVec::from_slice(&[Some(tag)]),
            current: 0,
        }
    }

    /// Reads `time:tags`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &[u8]) -> Result<Self, Invalid> {
        let colon = memchr::memchr(b':', text).ok_or(Invalid)?;
        let time = &text[..colon];
        if time.is_empty() || !time.iter().all(u8::is_ascii_digit) {
            return Err(Invalid);
        }
        let time = std::str::from_utf8(time)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or(Invalid)?;
        Self::with_tags(time, &text[colon + 1..])
    }

    /// Reads the tags of an id whose second is known. Other characters than those of tags are
    /// passed over.
    ///
    /// # Errors
    /// When a list has not exactly one element in brackets.
    pub fn with_tags(time: u64, text: &[u8]) -> Result<Self, Invalid> {
        let elements: Vec<&[u8]> = text.split(|byte| *byte == b',').collect();
        let mut current = None;
        let mut tags = Tags::new();
        for (number, element) in elements.iter().enumerate() {
            let count = |wanted: u8| element.iter().filter(|byte| **byte == wanted).count();
            match (count(b'['), count(b']')) {
                (0, 0) => {}
                (1, 1) if current.is_none() => current = Some(number),
                _ => return Err(Invalid),
            }
            tags.push(tag(element));
        }
        if tags.len() > 1 && current.is_none() {
            return Err(Invalid);
        }
        Ok(Self {
            time,
            tags,
            current: current.unwrap_or(0),
        })
    }

    /// Its tags as text.
    #[must_use]
    pub fn tags(&self) -> ShownTags<'_> {
        ShownTags(self)
    }

    /// Where it leads in channel `number`.
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

/// The id that a subscriber's request carries, if it carries one.
///
/// # Errors
/// When there is one and it is invalid.
pub fn of_request(
    settings: &NchanSettings,
    variables: &dyn Variables,
) -> Result<Option<MessageId>, Invalid> {
    let tags = variables.header("if-none-match");
    if let Some(date) = variables
        .header("if-modified-since")
        .filter(|_| !settings.compound_etag)
    {
        return match parse_http_date(date).filter(|time| *time > 0) {
            None => Ok(None),
            Some(time) => MessageId::with_tags(time, tags.ok_or(Invalid)?).map(Some),
        };
    }
    if let Some(id) = tags.filter(|tags| tags.contains(&b':')) {
        return MessageId::parse(id).map(Some);
    }
    for source in &settings.last_message_id {
        let value = source.evaluate(variables);
        let value = percent_decode(&value);
        if value.contains(&b':') && value.len() <= MOST_BYTES {
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
            assert_eq!(MessageId::parse(text.as_bytes()), Err(Invalid), "{text}");
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
