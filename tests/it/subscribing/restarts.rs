//! Restarts of the server as gaps: every mode, once, and only where a client resumes.

use super::resume::texts;
use crate::support::{Head, Response, Server, conf, object};

fn ids(response: &Response) -> Vec<(i64, Option<u64>, bool)> {
    let values = response.text().lines().map(|line| object(line.as_bytes()));
    values
        .map(|value| {
            (
                value["id"].as_i64().expect("an id"),
                value["missed"].as_u64(),
                value["at_least"] == true,
            )
        })
        .collect()
}

/// A server that has published m1 to m5 to channel `a`, with event ids, and has been killed; with
/// the cursors of the messages.
fn before_restart() -> Vec<Head> {
    let server = Server::start(&[]);
    let publish = |number: usize| {
        let id = format!("e{number}");
        server.connect().request(
            "POST",
            "/pub?id=a",
            &[("Event-Id", &id)],
            Some(format!("m{number}").as_bytes()),
        );
        server.get("/poll/a.b1").head
    };
    (1..=5).map(publish).collect()
}

/// Cursors as arguments, without a tag, as the id of an event, as the id of the publisher.
fn check_other_cursors(server: &Server, time: &str, tag: &str) {
    let date = time.replace(' ', "%20");
    let response = server.get(&format!("/poll/a?time={date}&tag={tag}"));
    assert_eq!(
        response.head.get("X-Pushctl-Missed"),
        Some("0+"),
        "{response:?}"
    );
    let response = server.connect().request(
        "GET",
        "/poll/a",
        &[("If-Modified-Since", "Sat, 01 Nov 2025 00:00:00 GMT")],
        None,
    );
    assert_eq!(
        response.head.get("X-Pushctl-Missed"),
        Some("0+"),
        "{response:?}"
    );
    for (path, id) in [
        ("/ev/a", "1762000000:7"),
        ("/ev/a", "e3"),
        ("/ev/a/b.b5", "1762000000:7"),
    ] {
        let mut stream = server.follow(path, &[("Last-Event-ID", id)]);
        assert_eq!(
            texts(&mut stream, 1),
            ["an unknown number of messages missed"],
            "{path} {id}"
        );
    }
    assert_eq!(
        server
            .get("/poll/a?eventid=e3")
            .head
            .get("X-Pushctl-Missed"),
        Some("0+")
    );
}

#[test]
fn a_cursor_from_before_a_restart_is_a_gap_in_every_mode() {
    let heads = before_restart();
    let mut cursor = heads[2].cursor().to_vec();
    let server = Server::start(&[]);
    server.publish("a", "new1");
    server.publish("a", "new2");
    let tag = cursor[1].1.trim_start_matches("W/").to_owned();
    cursor[1].1 = &tag;
    for mode in ["poll", "lp"] {
        let response = server
            .connect()
            .request("GET", &format!("/{mode}/a"), &cursor, None);
        assert_eq!(
            (response.head.status, response.head.get("X-Pushctl-Missed")),
            (200, Some("0+")),
            "{mode}"
        );
        assert_eq!(
            ids(&response),
            [(-4, Some(0), true), (1, None, false), (2, None, false)],
            "{mode}"
        );
        let next = server
            .connect()
            .request("GET", "/poll/a", &response.head.cursor(), None);
        assert_eq!(
            (next.head.status, next.head.get("X-Pushctl-Missed")),
            (304, None),
            "{mode} says it once"
        );
    }
    let call = server
        .connect()
        .request("GET", "/jsonp/a?callback=f", &cursor, None);
    assert!(
        call.text().starts_with("f([{\"id\":-4,")
            && call.text().contains("\"missed\":0,\"at_least\":true"),
        "{call:?}"
    );
    for mode in ["sub", "ev", "ws"] {
        let mut stream = server.connect();
        let path = format!("/{mode}/a");
        if mode == "ws" {
            stream.upgrade(&path, &cursor);
        } else {
            stream.send_request("GET", &path, &cursor, None);
            stream.read_head();
        }
        let mut next = || match mode {
            "ws" => object(&stream.read_frame().payload),
            "sub" => object(&stream.read_until(b"\n")),
            _ => loop {
                if let Some(data) = stream.read_until(b"\n").strip_prefix(b"data: ") {
                    break object(data);
                }
            },
        };
        let gap = next();
        assert_eq!(
            (&gap["id"], &gap["missed"], &gap["at_least"]),
            (&(-4).into(), &0.into(), &true.into()),
            "{mode}"
        );
        assert_eq!(
            [&next()["text"], &next()["text"]],
            ["new1", "new2"],
            "{mode}"
        );
    }
    check_other_cursors(&server, cursor[0].1, &tag);
    server.stop();
}

#[test]
fn the_id_before_the_first_message_is_a_gap_after_a_restart() {
    // Several times, as servers may start in the same second.
    for _ in 0..3 {
        let server = Server::start(&[]);
        let mut stream = server.follow("/ev/a", &[]);
        let start = String::from_utf8(stream.read_until(b"\n\n")).expect("UTF-8");
        let id = start
            .strip_prefix(": \nid: ")
            .expect("an id")
            .trim_end()
            .to_owned();
        let second = id.split(':').next().expect("a time");
        drop(stream);
        assert_eq!(texts_after(&server, &id), ["new"], "no restart yet");
        drop(server);
        let server = Server::start(&[]);
        // A quiet stream of an earlier second has tag 0.
        for id in [id.clone(), format!("{second}:0"), "1762000000:0".to_owned()] {
            assert_eq!(
                texts_after(&server, &id),
                ["an unknown number of messages missed"],
                "{id}"
            );
        }
        server.stop();
    }
}

/// The text of the first message after the event with that id, if one is published.
fn texts_after(server: &Server, id: &str) -> Vec<String> {
    let mut stream = server.follow("/ev/a", &[("Last-Event-ID", id)]);
    server.publish("a", "new");
    texts(&mut stream, 1)
}

#[test]
fn a_restart_is_reported_once_on_empty_channels() {
    let heads = before_restart();
    let cursor = heads[4].cursor();
    let server = Server::start(&[]);
    for path in ["/poll/a", "/lp/a", "/poll/a/b"] {
        let response = server.connect().request("GET", path, &cursor, None);
        assert_eq!(
            (response.head.status, response.head.get("X-Pushctl-Missed")),
            (200, Some("0+")),
            "{path}"
        );
        let next = server
            .connect()
            .request("GET", "/poll/a", &response.head.cursor(), None);
        assert_eq!(
            (next.head.status, next.head.get("X-Pushctl-Missed")),
            (304, None),
            "{path}"
        );
    }
    let mut stream = server.follow("/sub/a", &cursor);
    let gap = object(&stream.read_until(b"\n"));
    let time = gap["time"].as_str().expect("a time");
    let tag = gap["tag"].as_str().expect("a tag");
    server.publish("a", "new");
    let next = server.connect().request(
        "GET",
        "/poll/a",
        &[("If-Modified-Since", time), ("If-None-Match", tag)],
        None,
    );
    assert_eq!(
        (ids(&next), next.head.get("X-Pushctl-Missed")),
        (vec![(1, None, false)], None),
        "its cursor misses nothing more"
    );
    server.stop();
}

#[test]
fn positions_after_a_restart_are_newer_than_those_before_it() {
    // Also within the same second.
    for _ in 0..5 {
        let heads = before_restart();
        let server = Server::start(&[]);
        server.publish("a", "new");
        for head in &heads {
            let response = server
                .connect()
                .request("GET", "/poll/a", &head.cursor(), None);
            assert_eq!(
                (ids(&response), response.head.get("X-Pushctl-Missed")),
                (vec![(-4, Some(0), true), (1, None, false)], Some("0+"))
            );
        }
        server.stop();
    }
}

#[test]
fn explicit_starts_report_no_restart() {
    let server = Server::start(&[]);
    server.publish("a", "x");
    let all = |date| [("If-Modified-Since", date), ("If-None-Match", "0")];
    for headers in [
        &[][..],
        &all("Thu, 01 Jan 1970 00:00:00 GMT"),
        &all("Thu, 01 Jan 1970 00:00:01 GMT"),
    ] {
        for path in ["/poll/a", "/poll/a.b1", "/poll/a.b1/b"] {
            let response = server.connect().request("GET", path, headers, None);
            assert_eq!(
                response.head.get("X-Pushctl-Missed"),
                None,
                "{path} {headers:?}"
            );
        }
    }
    // The cursor of this run, also from responses without messages.
    let first = server.get("/poll/a.b1").head;
    let response = server
        .connect()
        .request("GET", "/poll/a", &first.cursor(), None);
    assert_eq!(
        (response.head.status, response.head.get("X-Pushctl-Missed")),
        (304, None)
    );
    let date = response.head.get("Date").expect("a date").to_owned();
    let response = server.connect().request(
        "GET",
        "/poll/a",
        &[("If-Modified-Since", &date), ("If-None-Match", "0")],
        None,
    );
    assert_eq!(response.head.get("X-Pushctl-Missed"), None);
    server.stop();
}

#[test]
fn imported_locations_report_restarts_where_they_report_gaps() {
    for (directive, expected) in [("pushctl_gap_notice on;", Some("0+")), ("", None)] {
        let server = Server::with_conf(&conf(
            "push_stream_shared_memory_size 10m;",
            &format!(
                "location /pub {{ push_stream_publisher; push_stream_channels_path $arg_id; \
                 push_stream_store_messages on; }}
                 location /poll {{ push_stream_subscriber polling; push_stream_channels_path \
                 $arg_id; {directive} }}"
            ),
        ));
        server.publish("a", "x");
        let cursor = [
            ("If-Modified-Since", "Sat, 01 Nov 2025 00:00:00 GMT"),
            ("If-None-Match", "7"),
        ];
        let response = server.connect().request("GET", "/poll?id=a", &cursor, None);
        assert_eq!(
            (response.head.status, response.head.get("X-Pushctl-Missed")),
            (200, expected),
            "{directive}"
        );
        server.stop();
    }
}
