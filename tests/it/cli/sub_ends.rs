//! `pushctl sub`: conditions that end a run, output formats, start positions and fallback, byte by
//! byte.

use super::fake::{DATE, Fake, Outcome, Reply, chunked, object, ok};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};

fn event(object: &str) -> String {
    format!("data: {object}\n\n")
}

/// A server that sends these texts to EventSource subscribers, and then stalls.
fn texts(texts: &[&str]) -> Fake {
    let events: String = (1..)
        .zip(texts)
        .map(|(id, text)| event(&object(id, "a", text, 21, id as u32)))
        .collect();
    Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &events])))
}

fn ended(outcome: &Outcome) -> (i32, &str, &str) {
    (outcome.code, &outcome.stdout, &outcome.stderr)
}

#[test]
fn patterns_end_a_run_behind_their_message() {
    let fake = texts(&["building", "step 1 of 2", "ERROR: disk", "finished"]);
    assert_eq!(
        ended(&fake.run(&["sub", "a", "--until", "^step [0-9]"])),
        (0, "building\nstep 1 of 2\n", "")
    );
    let outcome = fake.run(&[
        "sub",
        "a",
        "--until",
        "finished",
        "--fail-on",
        "(?i)error",
        "--timeout",
        "20s",
    ]);
    assert_eq!(
        ended(&outcome),
        (
            9,
            "building\nstep 1 of 2\nERROR: disk\n",
            "pushctl: a message matched --fail-on\n"
        )
    );
    let outcome = fake.run(&["sub", "a", "--until", "never", "--timeout", "500ms"]);
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (6, "pushctl: no message matched --until within 500ms\n")
    );
    let outcome = fake.run(&["sub", "a", "--until", "never", "--count", "1"]);
    assert_eq!(
        ended(&outcome),
        (
            6,
            "building\n",
            "pushctl: no message matched --until before --count was reached\n"
        )
    );
    let outcome = fake.run(&["sub", "a", "--until", "("]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("--until") && outcome.stderr.contains("unclosed group"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_silent_channel_ends_a_run_with_an_idle_time_out() {
    let fake = texts(&["m1", "m2"]);
    let have_come = |outcome: &Outcome| outcome.stdout.lines().count() == 2;
    let (outcome, _) = fake.run_for(&["sub", "a"], "--idle-timeout", have_come);
    assert_eq!(ended(&outcome), (0, "m1\nm2\n", ""));
    let (outcome, limit) = fake.run_for(&["sub", "a", "--count", "3"], "--idle-timeout", have_come);
    let reported =
        format!("pushctl: received 2 of 3 messages (--count): none arrived for {limit}\n");
    assert_eq!(ended(&outcome), (6, "m1\nm2\n", reported.as_str()));
}

#[test]
fn a_deletion_may_be_fine() {
    let events =
        event(&object(1, "a", "m1", 21, 1)) + &event(&object(-2, "a", "Channel deleted", 0, 0));
    let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &events])));
    assert_eq!(
        ended(&fake.run(&["sub", "a", "--deleted-ok"])),
        (
            0,
            "m1\n",
            "pushctl: channel 'a' was deleted: Channel deleted\n"
        )
    );
    assert_eq!(
        fake.run(&["sub", "a", "--deleted-ok", "--until", "x"]).code,
        11
    );
    let outcome = fake.run(&["sub", "a", "--deleted-ok", "--json"]);
    let last = outcome.stdout.lines().last().expect("two lines");
    assert_eq!(
        last,
        r#"{"channel":"a","deleted":true,"text":"Channel deleted"}"#
    );
    let events = event(&object(-2, "a", r"bye\u001b[2J\nall", 0, 0));
    let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &events])));
    let outcome = fake.run(&["sub", "a", "--deleted-ok"]);
    assert_eq!(
        ended(&outcome),
        (
            0,
            "",
            "pushctl: channel 'a' was deleted: bye\\u{1b}[2J\\nall\n"
        )
    );
}

#[test]
fn messages_are_printed_in_the_requested_format() {
    let fake = texts(&["m1", "m2"]);
    let outcome = fake.run(&[
        "sub",
        "a",
        "-n",
        "2",
        "--template",
        r"{unix}:{tag}\t{channel}#{id} {{{text}}} {event_id}|",
    ]);
    assert_eq!(
        ended(&outcome),
        (
            0,
            "1795220361:1\ta#1 {m1} |\n1795220361:2\ta#2 {m2} |\n",
            ""
        )
    );
    let outcome = fake.run(&[
        "sub",
        "a",
        "-n",
        "2",
        "-o",
        "template",
        "--template",
        r"{text},\c",
    ]);
    assert_eq!(ended(&outcome), (0, "m1,m2,", ""));
    assert_eq!(
        ended(&fake.run(&["sub", "a", "-n", "2", "--raw"])),
        (0, "m1m2", "")
    );
    assert_eq!(
        ended(&fake.run(&["sub", "a", "-n", "2", "--output", "text"])),
        (0, "m1\nm2\n", "")
    );
    assert_eq!(
        fake.run(&["sub", "a", "-n", "1", "--json"]).stdout,
        fake.run(&["sub", "a", "-n", "1", "-o", "json"]).stdout
    );
    for (args, mention) in [
        (
            &["--template", "{txt}"][..],
            "unknown field '{txt}' (known: channel, text, time, unix, tag",
        ),
        (&["--output", "template"], "--template"),
        (
            &["--output", "json", "--template", "x"],
            "--template conflicts with --output",
        ),
        (&["--raw", "--json"], "--json"),
        (&["--jobs", "2"], "--exec"),
        (&["--ack-on-success", "--exec", "true"], "--cursor-file"),
    ] {
        let outcome = fake.run(&[&["sub", "a"], args].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{args:?}");
        assert!(
            outcome.stderr.contains(mention),
            "{args:?}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn raw_bytes_are_printed_as_published() {
    let response = r#"{"id":1,"channel":"a","base64":"/wAK"}"#;
    let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &event(response)])));
    let output = fake
        .command(&["sub", "a", "--raw", "-n", "1"])
        .output()
        .expect("the program starts");
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), b"\xff\0\n".as_slice())
    );
}

#[test]
fn places_to_start_become_cursors() {
    for (since, line, event_id) in [
        (
            "all",
            "GET /ev/a?time=Thu,%2001%20Jan%201970%2000:00:01%20GMT&tag=0",
            None,
        ),
        ("now", "GET /ev/a", None),
        ("-7", "GET /ev/a.b7", None),
        (
            "1795220360:3",
            "GET /ev/a?time=Sat,%2021%20Nov%202026%2000:19:20%20GMT&tag=3",
            None,
        ),
        ("id:e 1", "GET /ev/a?eventid=e%201", Some("e 1")),
    ] {
        let fake = texts(&["m"]);
        assert_eq!(
            ended(&fake.run(&["sub", "a", "-n", "1", "--since", since])),
            (0, "m\n", ""),
            "{since}"
        );
        let request = &fake.requests()[0];
        assert_eq!(
            (request.line.as_str(), request.header("Last-Event-ID")),
            (line, event_id),
            "{since}"
        );
    }
}

const GAP: &str = "{\"id\":-4,\"channel\":\"a\",\"text\":\"4 messages \
     missed\",\"missed\":4,\"tag\":\"9\",\"time\":\"Sat, 21 Nov 2026 00:19:21 \
     GMT\",\"eventid\":\"\"}";

#[test]
fn gaps_are_reported_once_and_can_be_failures() {
    // Gaps reported by the server, and those derived from ids, each without the other.
    let said = format!("event: gap\n{}", event(GAP)) + &event(&object(6, "a", "m6", 22, 1));
    let shown = event(&object(1, "a", "m1", 21, 1)) + &event(&object(6, "a", "m6", 22, 1));
    let reported = "pushctl: channel 'a': 4 messages were missed, the server had dropped them\n";
    for (events, before) in [(said, ""), (shown, "m1\n")] {
        let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &events])));
        let outcome = fake.run(&["sub", "a", "--until", "m6"]);
        assert_eq!(
            ended(&outcome),
            (0, format!("{before}m6\n").as_str(), reported)
        );
        let outcome = fake.run(&["sub", "a", "--until", "m6", "--fail-on-gap"]);
        assert_eq!(ended(&outcome), (10, before, reported));
        let outcome = fake.run(&["sub", "a", "--until", "m6", "--json"]);
        assert!(
            outcome
                .stdout
                .contains("{\"id\":-4,\"channel\":\"a\",\"text\":\"4 messages "),
            "{}",
            outcome.stdout
        );
        assert!(
            outcome.stdout.contains("\"missed\":4"),
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn long_polling_reports_gaps_in_a_header() {
    for (header, reported) in [
        ("3", "3 messages were missed"),
        ("3+", "3 messages at least were missed"),
    ] {
        let headers =
            format!("X-Pushctl-Missed: {header}\r\nLast-Modified: {DATE}\r\nEtag: W/1\r\n");
        let fake = Fake::start(move |_, number| match number {
            0 => Reply::Send(ok(
                "Last-Modified: Sat, 21 Nov 2026 00:19:19 GMT\r\nEtag: W/1\r\n",
                &object(1, "a", "m1", 19, 1),
            )),
            _ => Reply::Send(ok(&headers, &object(9, "a", "m9", 20, 1))),
        });
        let outcome = fake.run(&["sub", "a", "-m", "lp", "-n", "2"]);
        assert_eq!(
            ended(&outcome),
            (
                0,
                "m1\nm9\n",
                format!("pushctl: channel 'a': {reported}, the server had dropped them\n").as_str()
            )
        );
    }
}

#[test]
fn an_interrupted_run_reports_its_progress() {
    let fake = texts(&["m1", "m2"]);
    let mut child = fake.spawn(&["sub", "a"]);
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    assert_eq!(lines.nth(1).expect("a line").expect("text"), "m2");
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let expected = "pushctl: interrupted after 2 messages, the last at 1795220361:2 (resume \
                    with --since 1795220361:2)\n";
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).as_ref()
        ),
        (Some(130), expected)
    );
}

#[test]
fn a_reader_that_goes_ends_the_run_without_another_message() {
    let fake = texts(&["m1"]);
    let mut child = fake.spawn(&["sub", "a"]);
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "m1");
    drop(lines);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), b"".as_slice())
    );
}
