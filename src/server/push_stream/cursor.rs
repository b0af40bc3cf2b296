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

/// The cursor of a request with this date and tag, if [only its headers decide it](is_of_headers).
#[must_use]
pub fn of_headers(settings: &LocationSettings, date: &[u8], tag: &[u8]) -> Cursor {
    Cursor {
        time: parse_date(date),
        tag: parse_tag(tag),
        event_id: None,
        finds_dropped: settings.gap_notice,
        lost_at: None,
    }
}

/// Whether the [`HEADERS`] of a request alone decide its cursor, for all requests with the same
/// target; both must be present.
#[must_use]
pub fn is_of_headers(settings: &LocationSettings, variables: &dyn Variables) -> bool {
    let is_nothing = |directive: &Option<Expression>| {
        let is_empty = |expression: &Expression| {
            expression.uses_only_target() && expression.evaluate(variables).is_empty()
        };
        directive
            .as_ref()
            .is_none_or(|expression| settings.cursor_headers_as_fallback && is_empty(expression))
    };
    let directives = [
        &settings.last_received_message_time,
        &settings.last_received_message_tag,
        &settings.last_event_id,
    ];
    directives.into_iter().all(is_nothing)
        && HEADERS.iter().all(|name| variables.header(name).is_some())
        && variables.header(LAST_EVENT_ID).is_none()
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
