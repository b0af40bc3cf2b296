//! `pushctl sub` with a backlog or a start: requests until the first message.

use super::fake::{Fake, Reply, chunked, frame, object, ok, status};
use super::sub::{END, event};

#[test]
fn backlog_and_since_set_the_start() {
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
fn a_backlog_is_requested_until_its_channel_has_delivered() {
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
fn a_long_polling_backlog_is_requested_until_a_response_is_complete() {
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
fn quick_empty_long_poll_responses_do_not_busy_loop() {
    for response in [
        status("304 Not Modified", ""),
        ok("", &object(-3, "", "Timed out", 0, 0)),
    ] {
        let fake = Fake::always(&response);
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
