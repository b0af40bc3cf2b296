//! Replay of long polls that differ from the one before them only in their cursor.
//!
//! A client that comes back for the next message sends the same head with the date and tag of the
//! last message. Parsing that head and finding its server, location, settings and channel was three
//! quarters of the instructions of a poll (callgrind).

use std::rc::Rc;

use super::cached_request::CachedRequest;
use super::head_template::{Holes, TemplateMatch};
use super::{HeadTemplate, ReplayContext, ReplayEnd, Replayed};
use crate::server::endpoint::SubscribeReply;
use crate::server::exchange::request::Request;
use crate::server::http::h1::response_writer::Http1Writer;
use crate::server::http::listen::location_index::LocationAddress;
use crate::server::observe::failpoints;
use crate::server::push_stream::cursor::{CursorPlace, DATE_BYTES, HEADERS};
use crate::server::push_stream::subscribe::PollReplay;

/// A routed poll.
pub(in crate::server) struct CachedPoll {
    location: LocationAddress,
    replay: PollReplay,
}

/// The variable parts of a poll that matches a template.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct PollMatch<'a> {
    pub(in crate::server) date: &'a [u8],
    pub(in crate::server) tag: &'a [u8],
    /// The bytes after the head.
    pub(in crate::server) rest: &'a [u8],
}

/// Returns the ranges of date and tag in the head of a poll at the front of `buffer`, if its cursor
/// has the form that servers send.
pub(in crate::server) fn find_holes(
    buffer: &[u8],
    request: &Request<'_>,
    place: &CursorPlace,
) -> Option<Holes> {
    let [date, tag] = match place {
        CursorPlace::Headers => HEADERS.map(|name| request.header(name)),
        CursorPlace::Arguments([date, tag]) => [request.argument(date), request.argument(tag)],
    };
    let date = date.filter(|date| !date.is_empty() && date_length(place, date) == date.len())?;
    let tag = tag.filter(|tag| !tag.is_empty() && tag_length(tag) == tag.len())?;
    Holes::of(buffer, [date, tag])
}

/// Length of the date at the front of `text`, at this place; 0 if there is none.
fn date_length(place: &CursorPlace, text: &[u8]) -> usize {
    match place {
        CursorPlace::Headers => http_date_length(text),
        CursorPlace::Arguments(_) => text
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"%+,:-.".contains(byte))
            .count(),
    }
}

/// Length of the date at the front of `text`; 0 if there is none.
fn http_date_length(text: &[u8]) -> usize {
    // Without an early exit, so that the compiler compares many bytes at once.
    let is_visible = |date: &[u8]| {
        date.iter().fold(true, |is_visible, byte| {
            is_visible & (b' '..=b'~').contains(byte)
        })
    };
    let is_date = text
        .get(..DATE_BYTES)
        .is_some_and(|date| date[0] != b' ' && date.ends_with(b" GMT") && is_visible(date));
    if is_date { DATE_BYTES } else { 0 }
}

/// Length of the tag at the front of `text`; 0 if there is none.
fn tag_length(text: &[u8]) -> usize {
    let weak = if text.starts_with(b"W/") { 2 } else { 0 };
    let digits = text[weak..]
        .iter()
        .take(20)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits == 0 { 0 } else { weak + digits }
}

/// Matches the poll at the front of `buffer` against `template`, whose cursor is at this place.
pub(in crate::server) fn match_poll<'a>(
    template: &HeadTemplate,
    place: &CursorPlace,
    buffer: &'a [u8],
) -> Option<PollMatch<'a>> {
    let part_length = |number: usize, text: &[u8]| match number {
        0 => date_length(place, text),
        _ => tag_length(text),
    };
    let TemplateMatch {
        parts: [date, tag],
        rest,
    } = template.match_head(buffer, part_length)?;
    (!date.is_empty() && !tag.is_empty()).then_some(PollMatch { date, tag, rest })
}

impl CachedPoll {
    pub(super) fn new(location: LocationAddress, replay: PollReplay) -> Self {
        Self { location, replay }
    }

    /// The place of the cursor.
    pub(super) fn place(&self) -> &CursorPlace {
        self.replay.place()
    }
}

/// Answers the poll at the front of `input` from the cache, or attaches its follower; `None` if it
/// is not in the cache.
pub(super) fn replay(input: &[u8], context: &mut ReplayContext<'_>) -> Option<Replayed> {
    let CachedRequest {
        template,
        snapshot,
        entry,
        is_used,
        ..
    } = context.polls.get_or_evict(context.snapshot)?;
    let PollMatch { date, tag, rest } = match_poll(template, entry.place(), input)?;
    let head_bytes = input.len() - rest.len();
    // A follower writes to the socket itself, so everything before it must have been written.
    let has_unwritten = !context.writer.is_empty() || context.has_unanswered;
    if head_bytes > snapshot.limits.max_header_bytes || has_unwritten {
        return None;
    }
    let broker = context.shard.broker();
    let reply = entry.replay.respond(broker, &snapshot.formats, date, tag)?;
    failpoints::point("request");
    failpoints::point("repeated poll");
    let end = match reply {
        SubscribeReply::Prepared(response) => {
            context.writer.out().extend_from_slice(&response.bytes);
            (!response.written.keeps_alive).then_some(ReplayEnd::Closes)
        }
        SubscribeReply::Follow(subscription, ()) => {
            let outlet = Rc::clone(context.outlet);
            context
                .shard
                .attach(context.key, outlet, *subscription, &Http1Writer)
                .ok()?;
            Some(ReplayEnd::Follows(entry.location))
        }
        _ => return None,
    };
    *is_used = true;
    Some(Replayed {
        bytes: head_bytes,
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::super::head_template::{template_of, tests::assert_others_differ};
    use super::*;
    use bytes::Bytes;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    const ARGUMENTS: CursorPlace =
        CursorPlace::Arguments([Bytes::from_static(b"time"), Bytes::from_static(b"tag")]);

    fn head(date: &str, tag: &str) -> String {
        format!(
            "GET /lp/a HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: {date}\r\nIf-None-Match: {tag}\r\n\
             Accept: */*\r\n\r\n"
        )
    }

    fn template(head: &str, place: &CursorPlace) -> Option<HeadTemplate> {
        template_of(head.as_bytes(), |request, _| {
            find_holes(head.as_bytes(), request, place)
        })
    }

    #[test]
    fn heads_that_differ_only_in_their_cursor_match() {
        for swap in [false, true] {
            let swapped = |head: String| {
                let lines: Vec<&str> = head.split_inclusive("\r\n").collect();
                if swap {
                    [lines[0], lines[1], lines[3], lines[2], lines[4], lines[5]].concat()
                } else {
                    head
                }
            };
            let template = template(&swapped(head(DATE, "1")), &CursorPlace::Headers)
                .expect("a poll that can be cached");
            for (date, tag) in [
                (DATE, "1"),
                ("Mon, 07 Nov 1994 08:49:37 GMT", "W/12345678901234567890"),
                (DATE, "0"),
            ] {
                let whole = swapped(head(date, tag)) + "GET";
                let found = match_poll(&template, &CursorPlace::Headers, whole.as_bytes());
                assert_eq!(
                    found,
                    Some(PollMatch {
                        date: date.as_bytes(),
                        tag: tag.as_bytes(),
                        rest: b"GET"
                    }),
                    "{date} {tag}"
                );
            }
        }
    }

    #[test]
    fn all_other_heads_do_not_match() {
        let template =
            template(&head(DATE, "1"), &CursorPlace::Headers).expect("a poll that can be cached");
        let whole = head(DATE, "1");
        let others = [
            ("Sun", " Sun"),
            ("Sun", "S\tn"),
            ("Sun", "Sunday"),
            ("GMT", "UTC"),
            ("GMT", "GMT "),
            ("Match: 1", "Match:  1"),
            ("Match: 1", "Match: 1 "),
            ("Match: 1", "Match: "),
            ("Match: 1", "Match: W/"),
            ("Match: 1", "Match: x"),
            ("Match: 1", "Match: \"1\""),
            ("Match: 1", "Match: 123456789012345678901"),
            ("/lp/a", "/lp/b"),
            ("GET", "HEAD"),
            ("Accept", "accept"),
            ("\r\n\r\n", "\r\nX: 1\r\n\r\n"),
        ];
        assert_others_differ(&whole, &others, |other| {
            match_poll(&template, &CursorPlace::Headers, other).is_some()
        });
    }

    #[test]
    fn a_poll_without_the_cursor_of_a_server_is_not_cached() {
        for head in [
            head("", "1"),
            head(DATE, ""),
            head("Sunday, 06-Nov-94 08:49:37 GMT", "1"),
            head(DATE, "\"1\""),
            head(DATE, "1").replace("If-None-Match", "X"),
        ] {
            assert!(template(&head, &CursorPlace::Headers).is_none(), "{head}");
        }
    }

    #[test]
    fn heads_that_differ_only_in_the_arguments_of_their_cursor_match() {
        let head = |date: &str, tag: &str| {
            format!("GET /lp/a?tag={tag}&x=1&time={date} HTTP/1.1\r\nHost: a\r\n\r\n")
        };
        let first = head("Sun%2C%2006%20Nov%201994%2008%3A49%3A37%20GMT", "1");
        let template = template(&first, &ARGUMENTS).expect("a poll that can be cached");
        for (date, tag) in [("Mon,+07+Nov", "W/20"), ("1", "0")] {
            let whole = head(date, tag) + "GET";
            let found = match_poll(&template, &ARGUMENTS, whole.as_bytes());
            let expected = PollMatch {
                date: date.as_bytes(),
                tag: tag.as_bytes(),
                rest: b"GET",
            };
            assert_eq!(found, Some(expected), "{date} {tag}");
        }
        let others = [
            ("GMT", "GMT&y=2"),
            ("GMT", "GMT#"),
            ("GMT", "GMT/"),
            ("tag=1", "tag="),
            ("tag=1", "tag=x"),
            ("x=1", "x=2"),
            (
                "time=Sun%2C%2006%20Nov%201994%2008%3A49%3A37%20GMT",
                "time=",
            ),
        ];
        assert_others_differ(&first, &others, |other| {
            match_poll(&template, &ARGUMENTS, other).is_some()
        });
    }
}
