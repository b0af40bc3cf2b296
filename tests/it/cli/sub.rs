//! `pushctl sub` from outside, against answers of the original module: what is printed, and which
//! cursor is sent.

use std::io::{BufRead as _, BufReader};

use super::fake::{
    DATE, Fake, Outcome, Reply, Request, chunked, frame, object, ok, refused, status,
};

const END: &str = "0\r\n\r\n";

/// The cursor of a request as headers, and as arguments.
fn cursor(request: &Request) -> (Option<&str>, Option<&str>, &str) {
    (
        request.header("If-Modified-Since"),
        request.header("If-None-Match"),
        request.line.split_once('?').map_or("", |(_, query)| query),
    )
}

fn event(object: &str) -> String {
    format!("data: {object}\n\n")
}

#[test]
fn long_polling_sends_back_what_it_got() {
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
        // Cut within an event: that one is not printed now, but when it comes whole.
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
fn streaming_reads_objects_and_lines_and_goes_on_after_a_break() {
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
fn polling_starts_at_the_servers_clock_and_asks_again() {
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
fn backlog_and_since_say_where_to_start() {
    let fake = Fake::start(|_, number| match number % 2 {
        0 => Reply::Close(chunked(&[": \n"]) + END),
        _ => Reply::Hold(chunked(&[": \n", &event(&object(1, "a", "m", 40, 1))])),
    });
    assert_eq!(
        fake.run(&[
            "sub",
            "a",
            "b.b2",
            "--backlog",
            "5",
            "--count",
            "1",
            "--timeout",
            "20s"
        ])
        .code,
        0
    );
    assert_eq!(
        fake.run(&[
            "sub",
            "a",
            "--since",
            "2026-11-21T00:19:30Z",
            "--count",
            "1",
            "--timeout",
            "20s"
        ])
        .code,
        0
    );
    let lines: Vec<_> = fake
        .requests()
        .into_iter()
        .map(|request| request.line)
        .collect();
    assert_eq!(lines[0], "GET /ev/a.b5/b.b2");
    assert_eq!(lines[1], lines[0], "nothing of the backlogs has come yet");
    assert_eq!(
        lines[2],
        "GET /ev/a?time=Sat,%2021%20Nov%202026%2000:19:30%20GMT&tag=0"
    );
    assert_eq!(lines[3], lines[2]);
}

#[test]
fn a_deleted_channel_ends_and_the_last_one_ends_the_subscription() {
    let events = [
        event(&object(-2, "a", "Channel deleted", 0, 0)),
        event(&object(1, "b", "still", 21, 1)),
        event(&object(-2, "b", "Channel deleted", 0, 0)),
    ];
    let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &events.concat()])));
    let outcome = fake.run(&["sub", "a", "b"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (11, "still\n"));
    assert_eq!(
        outcome.stderr,
        "pushctl: channel 'a' was deleted: Channel deleted\n\
         pushctl: channel 'b' was deleted: Channel deleted\n"
    );
}

#[test]
fn a_refusal_is_told_and_never_tried_again() {
    for mode in ["ev", "lp", "stream", "poll"] {
        let fake = Fake::always(&refused(
            "403 Forbidden",
            "Subscriber could not create channels.",
        ));
        let outcome = fake.run(&["sub", "a", "--mode", mode, "--retries", "5"]);
        let path = if mode == "stream" { "sub" } else { mode };
        assert_eq!(
            outcome.stderr,
            format!(
                "pushctl: {}/{path}/a returned 403 Forbidden: subscriber could not create \
                 channels\n",
                fake.url
            )
        );
        assert_eq!((outcome.code, fake.requests().len()), (4, 1));
    }
}

#[test]
fn failures_are_tried_again_as_often_as_allowed() {
    let fake = Fake::always(&status("503 Service Unavailable", ""));
    let outcome = fake.run(&["sub", "a", "--retries", "2"]);
    assert_eq!((outcome.code, fake.requests().len()), (7, 3));
    assert!(
        outcome
            .stderr
            .ends_with("returned 503 Service Unavailable\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_timeout_fails_only_if_a_count_was_asked_for() {
    let fake =
        Fake::start(|_, _| Reply::Hold(chunked(&[": \n", &event(&object(1, "a", "m", 21, 1))])));
    let has_come = |outcome: &Outcome| !outcome.stdout.is_empty();
    let (outcome, limit) = fake.run_for(&["sub", "a", "--count", "2"], "--timeout", has_come);
    let told = format!("pushctl: received 1 of 2 messages (--count) within {limit}\n");
    assert_eq!(
        (outcome.code, outcome.stdout.as_str(), outcome.stderr),
        (6, "m\n", told)
    );
    let (outcome, _) = fake.run_for(&["sub", "a"], "--timeout", has_come);
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "m\n", "")
    );
}

#[test]
fn a_broken_pipe_is_success() {
    let many: String = (1..=20_000)
        .map(|id| event(&object(id, "a", "m", 21, 1)))
        .collect();
    let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &many])));
    let mut child = fake.spawn(&["sub", "a", "--json"]);
    let line = BufReader::new(child.stdout.take().expect("it is piped"))
        .lines()
        .next()
        .expect("a line")
        .expect("text");
    assert!(line.starts_with("{\"id\":1,"), "{line}");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), b"".as_slice())
    );
}

#[test]
fn websocket_frames_are_messages_and_a_reconnect_goes_on_after_them() {
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
fn a_refusal_in_a_close_frame_is_told_like_any_other() {
    let reason =
        b"\x03\xf0{\"http_status\": 403, \"explain\":\"Subscriber could not create channels.\"}";
    let fake = Fake::start(move |_, _| Reply::Upgrade(frame(8, reason)));
    let outcome = fake.run(&["sub", "a", "--mode", "ws", "--retries", "5"]);
    assert_eq!(
        outcome.stderr,
        format!(
            "pushctl: {}/ws/a returned 403 Forbidden: subscriber could not create channels\n",
            fake.url
        )
    );
    assert_eq!((outcome.code, fake.requests().len()), (4, 1));
}

#[test]
fn a_page_is_no_event_stream() {
    let fake = Fake::always(&ok("Content-Type: text/html\r\n", "<html>"));
    let outcome = fake.run(&["sub", "a"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (7, ""));
    assert!(
        outcome
            .stderr
            .contains("it is not an event stream but text/html"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_backlog_is_asked_for_until_its_channel_has_given_something() {
    for mode in ["ev", "stream", "ws"] {
        let fake = Fake::start(move |_, number| {
            let objects = match number {
                0 => vec![],
                1 => vec![object(1, "a", "a1", 10, 1)],
                _ => vec![object(2, "a", "a2", 11, 1), object(7, "b", "b7", 9, 1)],
            };
            match mode {
                "ws" => Reply::Upgrade(
                    objects
                        .iter()
                        .flat_map(|object| frame(1, object.as_bytes()))
                        .collect(),
                ),
                "ev" => Reply::Close(
                    chunked(&[
                        ": \n",
                        &objects
                            .iter()
                            .map(|object| event(object))
                            .collect::<String>(),
                    ])
                    .replace("0\r\n\r\n", ""),
                ),
                _ => {
                    Reply::Close(chunked(&["\n", &objects.concat(), "\n"]).replace("0\r\n\r\n", ""))
                }
            }
        });
        let outcome = fake.run(&[
            "sub",
            "a",
            "b",
            "-m",
            mode,
            "--backlog",
            "5",
            "--count",
            "3",
            "--timeout",
            "20s",
        ]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "a1\na2\nb7\n"),
            "{mode}: {}",
            outcome.stderr
        );
        let paths: Vec<_> = fake
            .requests()
            .iter()
            .map(|request| {
                request
                    .line
                    .split(['/', '?'])
                    .skip(2)
                    .take(2)
                    .collect::<Vec<_>>()
                    .join("/")
            })
            .collect();
        assert_eq!(paths, ["a.b5/b.b5", "a.b5/b.b5", "a/b.b5"], "{mode}");
    }
}

#[test]
fn a_backlog_of_long_polling_is_asked_for_until_an_answer_came_whole() {
    let fake = Fake::start(|_, number| match number {
        0 => Reply::Close(
            "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n".to_owned()
                + &object(1, "a", "a1", 10, 1),
        ),
        1 => Reply::Send(ok(
            "Last-Modified: Sat, 21 Nov 2026 00:19:10 GMT\r\nEtag: W/1\r\n",
            &object(1, "a", "a1", 10, 1),
        )),
        _ => Reply::Send(ok(
            "Last-Modified: Sat, 21 Nov 2026 00:19:30 GMT\r\nEtag: W/1\r\n",
            &object(2, "a", "a2", 30, 1),
        )),
    });
    let outcome = fake.run(&[
        "sub",
        "a",
        "b",
        "-m",
        "lp",
        "--backlog",
        "5",
        "--count",
        "2",
        "--timeout",
        "20s",
        "--retries",
        "3",
    ]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "a1\na2\n"));
    let lines: Vec<_> = fake
        .requests()
        .into_iter()
        .map(|request| request.line)
        .collect();
    assert_eq!(lines[0], "GET /lp/a.b5/b.b5");
    assert!(
        lines[1].starts_with("GET /lp/a.b5/b.b5") && lines[2].starts_with("GET /lp/a/b?"),
        "{lines:?}"
    );
}

#[test]
fn quick_empty_answers_of_long_polling_are_not_asked_for_in_a_circle() {
    for answer in [
        status("304 Not Modified", ""),
        ok("", &object(-3, "", "Timed out", 0, 0)),
    ] {
        let fake = Fake::always(&answer);
        assert_eq!(
            fake.run(&["sub", "a", "-m", "lp", "--timeout", "1s"]).code,
            0
        );
        assert!(
            fake.requests().len() < 10,
            "{} requests",
            fake.requests().len()
        );
    }
}

#[test]
fn a_message_cut_off_by_an_end_without_framing_is_not_printed() {
    let first = object(1, "a", "m1", 26, 1);
    let second = object(2, "a", "m2", 26, 2);
    let cut = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nLast-Modified: Sat, 21 Nov 2026 00:19:26 GMT\r\n\
         Etag: W/2\r\n\r\n{first}{}",
        &second[..30]
    );
    for mode in ["stream", "lp", "poll"] {
        let cut = cut.clone();
        let second = second.clone();
        let fake = Fake::start(move |_, number| match number {
            0 => Reply::Close(cut.clone()),
            _ => Reply::Send(ok(
                "Last-Modified: Sat, 21 Nov 2026 00:19:26 GMT\r\nEtag: W/2\r\n",
                &second,
            )),
        });
        let outcome = fake.run(&[
            "sub",
            "a",
            "-m",
            mode,
            "--interval",
            "100ms",
            "--count",
            "2",
            "--timeout",
            "20s",
        ]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "m1\nm2\n"),
            "{mode}"
        );
        assert_eq!(cursor(&fake.requests()[1]).1, Some("W/1"), "{mode}");
    }
}

#[test]
fn a_count_that_a_deletion_prevents_is_a_failure() {
    let events =
        event(&object(1, "a", "m1", 21, 1)) + &event(&object(-2, "a", "Channel deleted", 0, 0));
    let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &events])));
    let outcome = fake.run(&["sub", "a", "--count", "3"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (11, "m1\n"));
    assert!(
        outcome
            .stderr
            .ends_with("pushctl: the last channel was deleted 2 messages before --count\n"),
        "{}",
        outcome.stderr
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
