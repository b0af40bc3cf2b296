//! Tests of matching publishers' requests.

use std::time::{Duration, Instant};

use super::super::head_template::{template_of, tests::assert_others_differ};
use super::*;

const FIRST: &str = "POST /pub?x=1&id=first&id=other HTTP/1.1\r\nHost: a\r\n\
                     Content-Length:  5 \r\nAccept: */*\r\n\r\n";

fn template(head: impl AsRef<[u8]>) -> Option<HeadTemplate> {
    let head = head.as_ref();
    template_of(head, |request, _| find_holes(head, request, b"id"))
}

#[test]
fn requests_that_differ_only_in_channel_and_message_match() {
    let template = template(FIRST).expect("a request that can be cached");
    for (id, length, text) in [
        ("first", "5", "12345"),
        ("a-B_9:c.d", "05", "12345"),
        ("z", "12", "GET / HTTP/1"),
    ] {
        let head = FIRST
            .replace("first", id)
            .replace(" 5 ", &format!(" {length} "));
        let expected = PublishMatch {
            id: id.as_bytes(),
            head_bytes: head.len(),
            text: text.as_bytes(),
        };
        assert_eq!(
            match_publish(&template, format!("{head}{text}and more").as_bytes()),
            Some(expected),
            "{id}"
        );
    }
}

#[test]
fn all_other_requests_do_not_match() {
    let template = template(FIRST).expect("a request that can be cached");
    let whole = format!("{FIRST}12345");
    let others = [
        ("first", ""),
        ("first", "a.b5"),
        ("first", "a.b5c"),
        ("first", "a/b"),
        ("first", "a%41"),
        ("first", "a b"),
        ("first", "a#"),
        ("first", "a?"),
        ("first", "é"),
        ("first", "first&id=second"),
        ("x=1", "x=2"),
        ("x=1", "y=1"),
        ("other", "another"),
        ("/pub", "/Pub"),
        ("POST", "PUT"),
        ("1.1", "1.0"),
        ("Host: a", "Host: b"),
        ("5 \r", "5\r"),
        ("5 \r", "+5 \r"),
        ("5 \r", "0 \r"),
        ("5 \r", " \r"),
        ("5 \r", "5, 5 \r"),
        ("5 \r", "0000000005 \r"),
        ("Accept: */*", "Accept: text/plain"),
        ("Accept: */*\r\n", ""),
        ("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"),
    ];
    assert_others_differ(&whole, &others, |other| {
        match_publish(&template, other).is_some()
    });
}

#[test]
fn nothing_matches_after_the_time_of_a_template() {
    let template = |until| {
        template_of(FIRST.as_bytes(), |request, _| {
            Some(find_holes(FIRST.as_bytes(), request, b"id")?.until(Some(until)))
        })
        .expect("a request that can be cached")
    };
    let request = format!("{FIRST}12345");
    let now = Instant::now();
    let is_match = |until| match_publish(&template(until), request.as_bytes()).is_some();
    assert!(is_match(now + Duration::from_secs(3600)));
    assert!(!is_match(now));
}

#[test]
fn a_request_without_both_holes_is_not_cached() {
    for head in [
        &b"POST /pub HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"[..],
        b"POST /pub?id=a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        // The head is parsed from a masked copy, so that its parts are not in the buffer.
        b"POST /pub?id=a&x=\xe4 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    ] {
        assert!(template(head).is_none(), "{}", head.escape_ascii());
    }
}
