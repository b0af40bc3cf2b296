//! `pushctl sub`: deletions, rejections, retries, time-outs and truncated messages.

use super::fake::{Fake, Outcome, Reply, chunked, frame, object, ok, refused, status};
use super::sub::{cursor, event};
use std::io::{BufRead as _, BufReader};

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
fn rejections_are_reported_and_not_retried() {
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
fn failures_are_retried_up_to_the_limit() {
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
fn a_timeout_fails_only_with_a_requested_count() {
    let fake =
        Fake::start(|_, _| Reply::Hold(chunked(&[": \n", &event(&object(1, "a", "m", 21, 1))])));
    let has_come = |outcome: &Outcome| !outcome.stdout.is_empty();
    let (outcome, limit) = fake.run_for(&["sub", "a", "--count", "2"], "--timeout", has_come);
    let reported = format!("pushctl: received 1 of 2 messages (--count) within {limit}\n");
    assert_eq!(
        (outcome.code, outcome.stdout.as_str(), outcome.stderr),
        (6, "m\n", reported)
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
fn a_rejection_in_a_close_frame_is_reported() {
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
