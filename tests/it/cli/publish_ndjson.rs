//! `pushctl pub --ndjson`, repeated texts, the required number of subscribers, and proxies.

use super::fake::{Fake, command, ok};
use super::many::{INFO, publish};
use std::io::Write as _;
use std::process::Stdio;

#[test]
fn ndjson_names_channel_id_and_type() {
    let fake = Fake::always(&ok("", INFO));
    let input = "{\"channel\":\"x\",\"text\":\"t1\",\"event_id\":\"i\",\"event_type\":\"y\"}\n\n\
                 {\"base64\":\"/wA=\"}\n";
    let outcome = publish(
        &fake.url,
        &["d", "--ndjson", "--event-type", "z", "--quiet"],
        input,
    );
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "", "")
    );
    let requests = fake.requests();
    let seen = |number: usize| {
        let request = &requests[number];
        (
            request.line.as_str(),
            request.body.as_slice(),
            request.header("Event-Id"),
            request.header("Event-Type"),
        )
    };
    assert_eq!(
        seen(0),
        ("POST /pub?id=x", b"t1".as_slice(), Some("i"), Some("y"))
    );
    assert_eq!(
        seen(1),
        ("POST /pub?id=d", [0xff, 0].as_slice(), None, Some("z"))
    );
}

#[test]
fn an_invalid_ndjson_line_is_reported_with_its_field() {
    let fake = Fake::always(&ok("", INFO));
    let cases = [
        (
            "{\"txt\":\"x\"}",
            "cannot use line 2 of standard input: unknown field 'txt' (known: channel, \
             text, base64, event_id, event_type)",
        ),
        (
            "{\"text\":7}",
            "cannot use line 2 of standard input: the field 'text' is not a string",
        ),
        (
            "nonsense",
            "cannot use line 2 of standard input: invalid JSON (column 2)",
        ),
    ];
    for (line, expected) in cases {
        let outcome = publish(
            &fake.url,
            &["d", "--ndjson"],
            &format!("{{\"text\":\"good\"}}\n{line}\n"),
        );
        let expected =
            format!("pushctl: 1 acknowledged; nothing from line 2 on was sent: {expected}\n");
        assert_eq!((outcome.code, outcome.stderr), (2, expected));
    }
    let outcome = publish(&fake.url, &["--ndjson"], "{\"text\":\"good\"}\n");
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("line 1: it has no field 'channel'"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn repeated_texts_have_counters() {
    let fake = Fake::always(&ok("", INFO));
    let args = [
        "c{n%2}",
        "{\"n\":{n:3}}",
        "--template",
        "--repeat",
        "3",
        "--event-id",
        "e{n}",
        "-c",
        "d",
        "--quiet",
    ];
    assert_eq!(publish(&fake.url, &args, "").code, 0);
    let seen: Vec<_> = fake
        .requests()
        .iter()
        .map(|request| {
            (
                request.line.clone(),
                String::from_utf8_lossy(&request.body).into_owned(),
                request.header("Event-Id").map(str::to_owned),
            )
        })
        .collect();
    let expected = [
        ("c1", "001", "e1"),
        ("c0", "002", "e2"),
        ("c1", "003", "e3"),
    ];
    let expected: Vec<_> = expected
        .map(|(channel, text, id)| {
            (
                format!("POST /pub?id={channel}/d"),
                format!("{{\"n\":{text}}}"),
                Some(id.to_owned()),
            )
        })
        .into();
    assert_eq!(seen, expected);
}

#[test]
fn too_few_subscribers_have_an_exit_code() {
    let fake = Fake::always(&ok("", INFO));
    assert_eq!(
        publish(&fake.url, &["a", "x", "--require-subscribers", "1"], "").code,
        0
    );
    let outcome = publish(&fake.url, &["a", "x", "--require-subscribers", "2"], "");
    let reported = "pushctl: a channel has 1 subscribers, fewer than 2 (see --require-subscribers; \
                    the message is published nevertheless)\n";
    assert_eq!((outcome.code, outcome.stderr.as_str()), (12, reported));
    let outcome = publish(
        &fake.url,
        &[
            "a",
            "--lines",
            "--in-flight",
            "1",
            "--require-subscribers",
            "2",
        ],
        "x\ny\n",
    );
    assert_eq!(outcome.code, 12, "{}", outcome.stderr);
    assert_eq!(fake.requests().len(), 3, "the second line was not sent");
    let outcome = publish(
        &Fake::always(&ok("", "")).url,
        &["a", "x", "--require-subscribers", "1"],
        "",
    );
    assert_eq!(outcome.code, 7, "{}", outcome.stderr);
}

#[test]
fn a_proxy_is_used_one_message_after_the_other() {
    let proxy = Fake::always(&ok("", INFO));
    let mut child = command(&[
        "pub",
        "--url",
        "http://push.example",
        "c",
        "--lines",
        "--quiet",
    ])
    .env("http_proxy", &proxy.url)
    .stdin(Stdio::piped())
    .spawn()
    .expect("it starts");
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(b"1\n2\n")
        .expect("it reads");
    assert_eq!(
        child.wait_with_output().expect("it ends").status.code(),
        Some(0)
    );
    let lines: Vec<_> = proxy
        .requests()
        .iter()
        .map(|request| request.line.clone())
        .collect();
    assert_eq!(lines, vec!["POST http://push.example/pub?id=c"; 2]);
}
