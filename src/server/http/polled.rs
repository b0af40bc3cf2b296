//! Long polls that differ from the one before them in their cursor only: as with publishers'
//! requests (`repeated`), what was found out about that one holds for them, too.
//!
//! A client that comes back for the next message sends the same head with the date and tag of the
//! message before. Understanding it, and finding its server, location, settings and channel, was
//! three quarters of the instructions of a poll (callgrind).

use std::rc::Rc;

use super::connection::{Connection, Requests};
use super::remembered::Known;
use super::shape::{Places, Shape};
use crate::server::failpoints;
use crate::server::generation::LocationAddress;
use crate::server::request::Request;
use crate::server::subscriber::{self, DATE_BYTES, PollAgain};

/// What was found out about a poll.
pub(super) struct LongPoll {
    location: LocationAddress,
    again: PollAgain,
}

/// The places of date and tag in the head of a poll at the front of `buffer`, if it has a cursor as
/// servers give it.
pub(super) fn places(buffer: &[u8], request: &Request<'_>) -> Option<Places> {
    let [date, tag] = subscriber::CURSOR_HEADERS.map(|name| request.header(name));
    let date = date?;
    let tag = tag?;
    let is_whole = !date.is_empty()
        && date_bytes(date) == date.len()
        && !tag.is_empty()
        && tag_bytes(tag) == tag.len();
    if is_whole {
        Places::of(buffer, [date, tag])
    } else {
        None
    }
}

/// Bytes of the date that `text` begins with; 0 if it is none.
fn date_bytes(text: &[u8]) -> usize {
    // As a whole, so that the compiler looks at many bytes at once.
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

/// Bytes of the tag that `text` begins with; 0 if it is none.
fn tag_bytes(text: &[u8]) -> usize {
    let weak = if text.starts_with(b"W/") { 2 } else { 0 };
    let digits = text[weak..]
        .iter()
        .take(20)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits == 0 { 0 } else { weak + digits }
}

/// Date, tag and what comes behind it of the poll at the front of `buffer`, if it is like the one
/// of this shape.
pub(super) fn find<'a>(shape: &Shape, buffer: &'a [u8]) -> Option<([&'a [u8]; 2], &'a [u8])> {
    // A tag has 22 bytes at most.
    let is_date_first = shape.first_bytes() == DATE_BYTES;
    let ends = |number: usize, text: &[u8]| {
        if (number == 0) == is_date_first {
            date_bytes(text)
        } else {
            tag_bytes(text)
        }
    };
    let ([first, second], rest) = shape.find(buffer, ends)?;
    if first.is_empty() || second.is_empty() {
        return None;
    }
    Some((
        if is_date_first {
            [first, second]
        } else {
            [second, first]
        },
        rest,
    ))
}

impl Connection {
    /// A poll at the front of the buffer that is routed may be remembered.
    pub(super) fn notes_polls(&self) -> bool {
        let is_known = || {
            self.polls
                .known(&self.site)
                .is_some_and(|known| find(&known.shape, &self.buffer).is_some())
        };
        self.requests > 0 && self.polls.is_worth_it() && !is_known()
    }

    /// Remembers a poll of this shape.
    pub(super) fn remember_poll(
        &mut self,
        shape: Option<Box<Shape>>,
        again: Option<Box<PollAgain>>,
        location: LocationAddress,
    ) {
        let Some(again) = again else { return };
        // Its head is too long, or a body that nobody wants has not come yet.
        let Some(shape) = shape else {
            return self.polls.note_unused();
        };
        let own_bytes = again.own_bytes();
        self.polls.put(
            self.shard.broker(),
            &self.site,
            *shape,
            LongPoll {
                location,
                again: *again,
            },
            own_bytes,
        );
    }
}

impl Requests<'_> {
    /// Answers the poll at the front of `bytes`, if it is like the one before: how many bytes it
    /// has, then. It may follow now.
    pub(super) fn answer_again(&mut self, bytes: &[u8]) -> Option<usize> {
        let connection = &mut *self.connection;
        let Known {
            shape,
            site,
            found,
            is_used,
            ..
        } = connection.polls.known_or_forget(&connection.site)?;
        let ([date, tag], rest) = find(shape, bytes)?;
        let taken = bytes.len() - rest.len();
        // A follower writes to the socket itself, so everything before it must be written.
        if taken > site.limits.max_header_bytes || !self.out.is_empty() {
            return None;
        }
        let answer = found
            .again
            .answer(connection.shard.broker(), &site.formats, date, tag)?;
        failpoints::point("request");
        failpoints::point("repeated poll");
        match answer {
            subscriber::SubscribeReply::Prepared(bytes, keeps) => {
                self.out.extend_from_slice(&bytes);
                self.habit.is_over = !keeps;
            }
            subscriber::SubscribeReply::Follow(subscription) => {
                connection
                    .shard
                    .attach(connection.key, Rc::clone(&connection.outlet), *subscription)
                    .ok()?;
                connection.followed = found.location;
                self.habit.follows = true;
            }
            _ => return None,
        }
        *is_used = true;
        connection.requests += 1;
        self.head_since = None;
        self.served_any = true;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::{self, tests::assert_others_differ};
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn head(date: &str, tag: &str) -> String {
        format!(
            "GET /lp/a HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: {date}\r\nIf-None-Match: {tag}\r\n\
             Accept: */*\r\n\r\n"
        )
    }

    fn shape(head: &str) -> Option<Shape> {
        shape::of_head(head.as_bytes(), |request, _| {
            places(head.as_bytes(), request)
        })
    }

    #[test]
    fn heads_that_differ_in_their_cursor_are_alike() {
        for swap in [false, true] {
            let swapped = |head: String| {
                let lines: Vec<&str> = head.split_inclusive("\r\n").collect();
                if swap {
                    [lines[0], lines[1], lines[3], lines[2], lines[4], lines[5]].concat()
                } else {
                    head
                }
            };
            let shape = shape(&swapped(head(DATE, "1"))).expect("a poll that can be repeated");
            for (date, tag) in [
                (DATE, "1"),
                ("Mon, 07 Nov 1994 08:49:37 GMT", "W/12345678901234567890"),
                (DATE, "0"),
            ] {
                let whole = swapped(head(date, tag)) + "GET";
                let found = find(&shape, whole.as_bytes());
                assert_eq!(
                    found,
                    Some(([date.as_bytes(), tag.as_bytes()], &b"GET"[..])),
                    "{date} {tag}"
                );
            }
        }
    }

    #[test]
    fn all_others_are_not() {
        let shape = shape(&head(DATE, "1")).expect("a poll that can be repeated");
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
        assert_others_differ(&whole, &others, |other| find(&shape, other).is_some());
    }

    #[test]
    fn what_has_no_cursor_of_a_server_is_not_repeated() {
        for head in [
            head("", "1"),
            head(DATE, ""),
            head("Sunday, 06-Nov-94 08:49:37 GMT", "1"),
            head(DATE, "\"1\""),
            head(DATE, "1").replace("If-None-Match", "X"),
        ] {
            assert!(shape(&head).is_none(), "{head}");
        }
    }
}
