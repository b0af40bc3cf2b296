//! The position from which a subscriber resumes: its headers, or the directives that replace them
//! (push-stream.md, section 7.1).

use std::borrow::Cow;
use std::cell::Cell;

use bytes::Bytes;

use crate::message::parse_http_date;
use crate::protocol::LAST_EVENT_ID;
use crate::server::broker::Cursor;
use crate::server::config::expression::percent::percent_decode;
use crate::server::config::{Expression, LocationSettings, Variables};

/// The headers of a cursor: date and tag of the last message that the client received.
pub const HEADERS: [&str; 2] = ["If-Modified-Since", "If-None-Match"];

/// Reads the cursor of a request.
#[must_use]
pub fn of_request(settings: &LocationSettings, variables: &dyn Variables) -> Cursor {
    let value = |directive: &Option<Expression>, header: &str| {
        let from_header = || variables.header(header).map(Cow::Borrowed);
        let value = match directive
            .as_ref()
            .map(|expression| percent_decode(&expression.evaluate(variables)).into_owned())
        {
            None => from_header(),
            Some(value) if value.is_empty() && settings.cursor_headers_as_fallback => from_header(),
            Some(value) => Some(Cow::Owned(value)),
        };
        value.filter(|value| !value.is_empty())
    };
    let [time, tag] = HEADERS;
    Cursor {
        time: value(&settings.last_received_message_time, time).and_then(|text| parse_date(&text)),
        tag: value(&settings.last_received_message_tag, tag).and_then(|text| parse_tag(&text)),
        event_id: value(&settings.last_event_id, LAST_EVENT_ID)
            .map(|text| Bytes::from(text.into_owned())),
        finds_dropped: settings.gap_notice,
        lost_at: None,
    }
}

/// Where a request has its cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorPlace {
    /// In the [`HEADERS`].
    Headers,
    /// In the query arguments of these names: date and tag.
    Arguments([Bytes; 2]),
}

impl CursorPlace {
    /// Returns the place of date and tag, if the request has both and they are its whole cursor.
    #[must_use]
    pub fn of(settings: &LocationSettings, variables: &dyn Variables) -> Option<Self> {
        let is_empty = |directive: &Option<Expression>| {
            let is_empty = |value: &Expression| value.evaluate(variables).is_empty();
            directive.as_ref().is_none_or(is_empty)
        };
        if variables.header(LAST_EVENT_ID).is_some() || !is_empty(&settings.last_event_id) {
            return None;
        }
        let directives = [
            &settings.last_received_message_time,
            &settings.last_received_message_tag,
        ];
        let argument = |directive: &Option<Expression>| {
            let name = directive.as_ref()?.as_argument()?;
            let value = variables.argument(name)?;
            (!value.is_empty()).then(|| name.clone())
        };
        if let [Some(time), Some(tag)] = directives.map(argument) {
            return Some(Self::Arguments([time, tag]));
        }
        let is_of_header = |directive: &Option<Expression>| {
            directive.is_none() || settings.cursor_headers_as_fallback && is_empty(directive)
        };
        let has_headers = HEADERS.iter().all(|name| variables.header(name).is_some());
        let is_of_headers = has_headers && directives.into_iter().all(is_of_header);
        is_of_headers.then_some(Self::Headers)
    }

    /// Reads a cursor with this date and tag, as they are at this place.
    #[must_use]
    pub fn read(&self, settings: &LocationSettings, date: &[u8], tag: &[u8]) -> Cursor {
        let decoded = |value| match self {
            Self::Headers => Cow::Borrowed(value),
            Self::Arguments(_) => percent_decode(value),
        };
        Cursor {
            time: parse_date(&decoded(date)),
            tag: parse_tag(&decoded(tag)),
            event_id: None,
            finds_dropped: settings.gap_notice,
            lost_at: None,
        }
    }
}

/// Length of a date in the preferred form (RFC 9110, section 5.6.7), in bytes.
pub const DATE_BYTES: usize = 29;

/// As [`parse_http_date`], with a cache of the newest date: clients that return after a message all
/// send its date, and parsing it took an eighth of the instructions of a long poll.
fn parse_date(text: &[u8]) -> Option<u64> {
    /// A date and its seconds since the Unix epoch.
    type ParsedDate = ([u8; DATE_BYTES], Option<u64>);
    thread_local! {
        static LAST: Cell<ParsedDate> = const { Cell::new(([0; DATE_BYTES], None)) };
    }
    let Ok(date) = <[u8; DATE_BYTES]>::try_from(text) else {
        return parse_http_date(text);
    };
    let (last, seconds) = LAST.get();
    if date == last {
        return seconds;
    }
    let seconds = parse_http_date(text);
    LAST.set((date, seconds));
    seconds
}

/// Parses `W/5` or `5`; `None` for anything else.
fn parse_tag(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"W/").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_decimal_with_an_optional_weak_mark() {
        for (text, tag) in [
            ("W/5", Some(5)),
            ("5", Some(5)),
            ("0", Some(0)),
            ("\"5\"", None),
            ("-1", None),
            ("", None),
            ("W/", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_tag(text.as_bytes()), tag, "{text}");
        }
    }

    #[test]
    fn cached_dates_equal_parsed_dates() {
        let dates: Vec<String> = (8..=11)
            .map(|second| format!("Sun, 06 Nov 1994 08:49:{second:02} GMT"))
            .collect();
        let others = [
            "Sun, 06 Nov 1994 08:49:99 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ];
        for text in dates
            .iter()
            .map(String::as_str)
            .chain(others)
            .flat_map(|text| [text; 3])
        {
            assert_eq!(
                parse_date(text.as_bytes()),
                parse_http_date(text.as_bytes()),
                "{text}"
            );
        }
    }

    #[test]
    fn percent_sequences_are_decoded_and_the_rest_kept() {
        assert_eq!(percent_decode(b"a%20b+c%zz%4").as_ref(), b"a b+c%zz%4");
    }
}
