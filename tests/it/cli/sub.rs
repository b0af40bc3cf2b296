//! `pushctl sub` against recorded responses of the original module: output and cursors sent.

use super::fake::{DATE, Fake, Reply, Request, chunked, frame, object, ok, status};

pub(super) const END: &str = "0\r\n\r\n";

/// The cursor of a request as headers, and as arguments.
pub(super) fn cursor(request: &Request) -> (Option<&str>, Option<&str>, &str) {
    (
        request.header("If-Modified-Since"),
        request.header("If-None-Match"),
        request.line.split_once('?').map_or("", |(_, query)| query),
    )
}

pub(super) fn event(object: &str) -> String {
    format!("data: {object}\n\n")
}

#[test]
fn long_polling_returns_the_received_cursor() {
    let fake = Fake::start(|_, number| match number {
        0 => Reply::Send(ok(
            "Last-Modified: Sat, 21 Nov 2026 00:19:26 GMT\r\nEtag: W/1\r\n",
            &object(1, "a", "m1", 26, 1),
        )),
        1 => Reply::Send(status(
            "304 Not Modified",
            "Last-Modified: Sat, 21 Nov 2026 00:19:29 GMT\r\nEtag: W/0\r\n",
        )),
        // The module puts no separator between messages.
        2 => Reply::Send(ok(
            "Last-Modified: Sat, 21 Nov 2026 00:19:30 GMT\r\nEtag: W/7\r\n",
            &[object(2, "a", "m2", 30, 6), object(3, "a", "m3", 30, 7)].concat(),
        )),
        _ => Reply::Close(ok(
            "Last-Modified: Sat, 21 Nov 2026 00:19:31 GMT\r\nEtag: W/2\r\n",
            "plain\r\n",
        )),
    });
    let outcome = fake.run(&[
        "sub",
        "a",
        "--mode",
        "lp",
        "--count",
        "4",
        "--timeout",
        "20s",
    ]);
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "m1\nm2\nm3\nplain\n", "")
    );
    let requests = fake.requests();
    assert_eq!(requests[0].line, "GET /lp/a");
    assert_eq!(cursor(&requests[0]), (None, None, ""));
    assert_eq!(
        cursor(&requests[1]),
        (
            Some("Sat, 21 Nov 2026 00:19:26 GMT"),
            Some("W/1"),
            "time=Sat,%2021%20Nov%202026%2000:19:26%20GMT&tag=1"
        )
    );
    assert_eq!(
        cursor(&requests[2]),
        (
            Some("Sat, 21 Nov 2026 00:19:29 GMT"),
            Some("W/0"),
            "time=Sat,%2021%20Nov%202026%2000:19:29%20GMT&tag=0"
        )
    );
    assert_eq!(cursor(&requests[3]).1, Some("W/7"));
}

#[test]
fn long_polling_that_breaks_before_its_first_answer_starts_from_the_servers_clock() {
    let fake = Fake::start(|_, number| match number {
        0 => Reply::Close(String::new()),
        1 => Reply::Send(status("502 Bad Gateway", "")),
        _ => Reply::Send(ok(
            "Last-Modified: Sat, 21 Nov 2026 00:19:26 GMT\r\nEtag: W/1\r\n",
            &object(1, "a", "m1", 26, 1),
        )),
    });
    let outcome = fake.run(&[
        "sub",
        "a",
        "--mode",
        "lp",
        "--count",
        "1",
        "--timeout",
        "20s",
        "--retries",
        "2",
    ]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "m1\n"));
    assert_eq!(
        outcome.stderr.lines().count(),
        2,
        "one line per failure: {}",
        outcome.stderr
    );
    for request in &fake.requests()[1..] {
        assert_eq!(
            (cursor(request).0, cursor(request).1),
            (Some(DATE), Some("W/0"))
        );
    }
}

#[test]
fn eventsource_resumes_at_the_oldest_position_and_repeats_nothing() {
    let first = [
        event(&object(5, "a", "a5", 21, 1)),
        event(&object(6, "a", "a6", 22, 1)),
        event(&object(1, "b", "b1", 21, 2)),
    ];
    let again = [
        event(&object(6, "a", "a6", 22, 1)),
        event(&object(7, "a", "a7", 23, 1)),
        event(&object(1, "b", "b1", 21, 2)),
        event(&object(2, "b", "b2", 23, 2)),
    ];
    let fake = Fake::start(move |_, number| match number {
        // Cut within an event, which is printed only when it is complete.
        0 => Reply::Close(chunked(&[
            ": \n",
            &first.concat(),
            "data: {\"id\":7,\"chan",
        ])),
        _ => Reply::Hold(chunked(&[": \n", ": -1\n", &again.concat()])),
    });
    let outcome = fake.run(&["sub", "a", "b", "--count", "5", "--timeout", "20s"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "a5\na6\nb1\na7\nb2\n")
    );
    let requests = fake.requests();
    assert_eq!(requests[0].line, "GET /ev/a/b");
    assert_eq!(
        (cursor(&requests[1]).0, cursor(&requests[1]).1),
        (Some("Sat, 21 Nov 2026 00:19:21 GMT"), Some("W/2"))
    );
}

#[test]
fn eventsource_without_a_message_resumes_from_the_date_of_its_answer() {
    let fake = Fake::start(|_, number| match number {
        0 => Reply::Close(chunked(&[": \n"]) + END),
        _ => Reply::Hold(chunked(&[": \n", &event(&object(1, "a", "m", 20, 1))])),
    });
    let outcome = fake.run(&["sub", "a", "--count", "1", "--timeout", "20s"]);
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "m\n", "")
    );
    assert_eq!(
        (cursor(&fake.requests()[1]).0, cursor(&fake.requests()[1]).1),
        (Some(DATE), Some("W/0"))
    );
}

#[test]
fn event_ids_are_printed_and_sent_when_reconnecting() {
    let fake = Fake::start(|_, number| match number {
        0 => Reply::Close(chunked(&[": \n", "id: e 1\nevent: tt\ndata: x\n\ndata: y\n\n"]) + END),
        _ => Reply::Hold(chunked(&[": \n", "data: z\n\n"])),
    });
    let outcome = fake.run(&["sub", "a", "--json", "--count", "3", "--timeout", "20s"]);
    assert_eq!(
        outcome.stdout,
        "{\"text\":\"x\",\"eventid\":\"e 1\",\"eventtype\":\"tt\"}\n{\"text\":\"y\"}\n\
         {\"text\":\"z\"}\n"
    );
    let request = &fake.requests()[1];
    assert_eq!(request.header("Last-Event-ID"), Some("e 1"));
    assert!(request.line.ends_with("&eventid=e%201"), "{}", request.line);
}

#[test]
fn texts_that_broke_their_json_are_recovered() {
    let lines = [
        event(&object(1, "a", r#"say "hi""#, 21, 1)),
        format!(
            "data: {}\ndata: {}\n\n",
            object(2, "a", "two", 21, 2),
            object(2, "a", r#"li"nes"#, 21, 2)
        ),
        "data: {broken\n\n".to_owned(),
    ];
    let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &lines.concat()])));
    let outcome = fake.run(&["sub", "a", "--count", "3", "--timeout", "20s"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "say \"hi\"\ntwo\nli\"nes\n{broken\n")
    );
    let outcome = fake.run(&["sub", "a", "--count", "1", "--timeout", "20s", "--json"]);
    assert_eq!(
        outcome.stdout,
        "{\"id\":1,\"channel\":\"a\",\"text\":\"say \\\"hi\\\"\",\"tag\":1,\"time\":\"Sat, 21 Nov \
         2026 00:19:21 GMT\"}\n"
    );
}

#[test]
fn streaming_reads_objects_and_lines_and_resumes() {
    let whole = object(2, "a", "m2", 22, 1);
    let fake = Fake::start(move |_, number| match number {
        0 => Reply::Close(chunked(&[
            "HEADER\r\n",
            &object(1, "a", "m1", 21, 1),
            &object(-1, "", " ", 0, 0),
            &whole[..20],
        ])),
        _ => Reply::Hold(chunked(&[&whole, "\r\n"])),
    });
    let outcome = fake.run(&[
        "sub",
        "a",
        "--mode",
        "stream",
        "--count",
        "3",
        "--timeout",
        "20s",
    ]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "HEADER\nm1\nm2\n")
    );
    assert_eq!(
        fake.requests()[1].line,
        "GET /sub/a?time=Sat,%2021%20Nov%202026%2000:19:21%20GMT&tag=1"
    );
}

#[test]
fn polling_starts_at_the_servers_clock_and_repeats() {
    let fake = Fake::start(|_, number| match number {
        0 => Reply::Send(status("304 Not Modified", "")),
        1 => Reply::Send(status(
            "304 Not Modified",
            &format!("Last-Modified: {DATE}\r\nEtag: W/0\r\n"),
        )),
        _ => Reply::Send(ok(
            "Last-Modified: Sat, 21 Nov 2026 00:19:21 GMT\r\nEtag: W/1\r\n",
            &object(1, "a", "m1", 21, 1),
        )),
    });
    let outcome = fake.run(&[
        "sub",
        "a",
        "--mode",
        "poll",
        "--interval",
        "100ms",
        "--count",
        "1",
        "--timeout",
        "20s",
    ]);
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "m1\n", "")
    );
    let requests = fake.requests();
    assert_eq!(cursor(&requests[0]), (None, None, ""));
    for request in &requests[1..] {
        assert_eq!(
            (cursor(request).0, cursor(request).1),
            (Some(DATE), Some("W/0"))
        );
    }
}

#[test]
fn websocket_frames_are_messages_and_a_reconnect_resumes() {
    let fake = Fake::start(|_, number| match number {
        0 => Reply::Upgrade(
            [
                frame(1, object(1, "a", "say \"m1\"", 21, 1).as_bytes()),
                frame(9, b""),
                frame(1, b"plain\ntext"),
                frame(8, b""),
            ]
            .concat(),
        ),
        // No close frame: the connection just breaks.
        1 => Reply::Upgrade(
            [
                frame(1, object(1, "a", "m1", 21, 1).as_bytes()),
                frame(1, object(2, "a", "m2", 22, 1).as_bytes()),
            ]
            .concat(),
        ),
        _ => Reply::Upgrade(frame(1, object(3, "a", "m3", 23, 1).as_bytes())),
    });
    let outcome = fake.run(&[
        "sub",
        "a",
        "--mode",
        "ws",
        "--count",
        "4",
        "--timeout",
        "20s",
    ]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "say \"m1\"\nplain\ntext\nm2\nm3\n")
    );
    let requests = fake.requests();
    assert_eq!(
        (cursor(&requests[0]), requests[0].line.as_str()),
        ((None, None, ""), "GET /ws/a")
    );
    assert_eq!(cursor(&requests[1]).1, Some("W/1"));
    assert_eq!(
        (cursor(&requests[2]).0, cursor(&requests[2]).1),
        (Some("Sat, 21 Nov 2026 00:19:22 GMT"), Some("W/1"))
    );
}

#[test]
fn names_that_look_like_something_else_stay_the_same_after_a_reconnect() {
    for (name, path) in [
        ("x.b5.b0", "/ev/x.b5.b0"),
        (".", "/ev/..b0"),
        ("a/..", "/ev/a/...b0"),
    ] {
        let fake = Fake::start(|_, number| match number {
            0 => Reply::Close(chunked(&[": \n"]) + END),
            _ => Reply::Hold(chunked(&[": \n", "data: m\n\n"])),
        });
        assert_eq!(
            fake.run(&["sub", name, "--count", "1", "--timeout", "20s"])
                .code,
            0
        );
        for request in fake.requests() {
            assert_eq!(
                request.line.split('?').next(),
                Some(format!("GET {path}").as_str())
            );
        }
    }
}
