//! The position from which a subscriber resumes: If-Modified-Since and If-None-Match
//! (nhpm-nchan.md, section 1.5).

use crate::message::parse_http_date;
use crate::server::broker::ChannelStart;

/// Reads the position of a request.
#[must_use]
pub fn start(if_modified_since: Option<&[u8]>, if_none_match: Option<&[u8]>) -> ChannelStart {
    // Parameters after the date, such as `; length=5`, are ignored.
    let date =
        if_modified_since.map(|value| value.split(|byte| *byte == b';').next().unwrap_or_default());
    match date.and_then(parse_http_date) {
        None => ChannelStart::Oldest,
        Some(time) => ChannelStart::After {
            time,
            tag: Some(if_none_match.and_then(tag).unwrap_or(0)),
        },
    }
}

/// Parses a plain decimal; `None` for anything else.
fn tag(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether Cache-Control, or without it Pragma, is `no-cache`. As in the module, any prefix of that
/// word counts, in any case, even an empty one.
#[must_use]
pub fn is_no_cache(cache_control: Option<&[u8]>, pragma: Option<&[u8]>) -> bool {
    const WORD: &[u8] = b"no-cache";
    cache_control.or(pragma).is_some_and(|value| {
        WORD.get(..value.len())
            .is_some_and(|word| word.eq_ignore_ascii_case(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_reference() {
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        let at = |since: Option<&str>, tag: Option<&str>| {
            start(since.map(str::as_bytes), tag.map(str::as_bytes))
        };
        let after = |tag| ChannelStart::After {
            time: 784_111_777,
            tag: Some(tag),
        };
        for (since, tag, expected) in [
            (None, None, ChannelStart::Oldest),
            (None, Some("1"), ChannelStart::Oldest),
            (Some(""), Some("1"), ChannelStart::Oldest),
            (Some("garbage"), None, ChannelStart::Oldest),
            (Some(DATE), None, after(0)),
            (Some(DATE), Some("3"), after(3)),
            (Some(DATE), Some("\"1\""), after(0)),
            (Some(DATE), Some("W/\"1\""), after(0)),
            (Some(DATE), Some("-1"), after(0)),
            (
                Some("Sun, 06 Nov 1994 08:49:37 GMT; length=5"),
                Some("2"),
                after(2),
            ),
        ] {
            assert_eq!(at(since, tag), expected, "{since:?} {tag:?}");
        }
    }

    #[test]
    fn the_beginning_of_no_cache_counts() {
        for (cache_control, pragma, expected) in [
            (None, None, false),
            (Some("no-cache"), None, true),
            (Some("NO-"), None, true),
            (Some(""), None, true),
            (Some("max-age=0"), Some("no-cache"), false),
            (None, Some("no-cache"), true),
            (Some("no-cache, x"), None, false),
        ] {
            assert_eq!(
                is_no_cache(cache_control.map(str::as_bytes), pragma.map(str::as_bytes)),
                expected,
                "{cache_control:?} {pragma:?}"
            );
        }
    }
}
