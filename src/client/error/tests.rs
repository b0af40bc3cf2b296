//! Tests of the texts of errors and of the URLs in them.

use super::*;
use crate::client::url::shown_text;

fn status(status: u16, explain: Option<&str>) -> Error {
    Error::Status {
        url: "http://h/pub".to_owned(),
        status,
        explain: explain.map(str::to_owned),
    }
}

#[test]
fn refusals_are_final_and_hiccups_are_not() {
    for code in [400, 401, 403, 404, 405, 410, 413] {
        assert!(status(code, None).is_final(), "{code}");
    }
    for code in [408, 409, 429, 500, 502, 503, 504] {
        assert!(!status(code, None).is_final(), "{code}");
    }
}

#[test]
fn the_servers_words_are_part_of_the_text() {
    let text = status(403, Some("Subscriber could not create channels.")).to_string();
    assert_eq!(
        text,
        "http://h/pub returned 403 Forbidden: subscriber could not create channels"
    );
}

#[test]
fn the_cursor_is_not_shown() {
    for (url, expected) in [
        ("http://h/lp/a?time=x&tag=1", "http://h/lp/a"),
        (
            "http://h/lp?id=a&time=x&tag=1&eventid=e",
            "http://h/lp?id=a",
        ),
        ("http://h/lp/a", "http://h/lp/a"),
    ] {
        assert_eq!(shown(&url.parse().expect("a url")), expected);
    }
}

#[test]
fn credentials_and_keys_are_not_shown() {
    for (url, expected) in [
        ("http://me:secret@h:1/pub?id=a", "http://h:1/pub?id=a"),
        (
            "http://secret@h/pub?key=secret&ch=a%20b&x=",
            "http://h/pub?key=...&ch=a%20b&x=",
        ),
        ("http://h/ev/a@b", "http://h/ev/a@b"),
    ] {
        assert_eq!(shown(&url.parse().expect("a url")), expected);
    }
    assert_eq!(
        shown_text("http://me:sec/ret@h:x/?key=secret"),
        "http://h:x/?..."
    );
    assert_eq!(shown_text("me:secret@[::1"), "[::1");
}

#[test]
fn a_redirect_names_its_target_and_the_remedy() {
    let url: Url = "http://u:p@h/pub?id=a".parse().expect("a url");
    let text = |location| Error::of_status(&url, 301, None, location).to_string();
    assert_eq!(
        text(Some("https://h/pub?id=a")),
        "http://h/pub?id=a returned 301 Moved Permanently to https://h/pub?id=a (use --url \
         https://h)"
    );
    assert_eq!(
        text(Some("/login")),
        "http://h/pub?id=a returned 301 Moved Permanently to http://h/login (see --url and the \
         --…-path options)"
    );
    assert_eq!(
        text(None),
        "http://h/pub?id=a returned 301 Moved Permanently (see --url and the --…-path options)"
    );
    assert!(Error::of_status(&url, 302, None, None).is_final());
}

#[test]
fn an_origin_has_no_path() {
    for url in [
        "http://h:1/a/b?c",
        "http://h:1/?c",
        "http://h:1/",
        "http://u:p@h:1/a",
    ] {
        assert_eq!(origin(&url.parse().expect("a url")), "http://h:1");
    }
}
