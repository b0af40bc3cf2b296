//! `pushctl wait` from outside.

use std::net::TcpListener;
use std::process::Stdio;

use super::fake::{Fake, Reply, command, ok, run, status};
use crate::support::Server;

fn info(subscribers: u64) -> String {
    ok(
        "",
        &format!(
            "{{\"channel\": \"a\", \"published_messages\": 3, \"stored_messages\": 2, \
             \"subscribers\": {subscribers}}}\r\n"
        ),
    )
}

#[test]
fn wait_polls_until_the_condition_holds() {
    let fake = Fake::start(|_, number| {
        Reply::Send(if number == 0 {
            status("404 Not Found", "")
        } else {
            info(number as u64 - 1)
        })
    });
    let outcome = fake.run(&[
        "wait",
        "-c",
        "a",
        "--subscribers",
        ">=2",
        "--stored",
        "==2",
        "--json",
    ]);
    let json =
        "{\"channel\":\"a\",\"published_messages\":3,\"stored_messages\":2,\"subscribers\":2}\n";
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, json, "")
    );
    let lines: Vec<_> = fake
        .requests()
        .iter()
        .map(|request| request.line.clone())
        .collect();
    assert_eq!(lines, vec!["GET /channels-stats?id=a"; 4]);
}

#[test]
fn wait_reports_the_last_values_on_timeout() {
    let fake = Fake::always(&info(1));
    let args = [
        "wait",
        "-c",
        "a",
        "--subscribers",
        ">=2",
        "--published",
        "<9",
    ];
    let (outcome, limit) = fake.run_for(&args, "--timeout", |outcome| {
        !outcome.stderr.contains("did not respond")
    });
    let reported = format!(
        "pushctl: timed out after {limit}: a: 3 published, 2 stored, 1 subscriber (wanted: \
         subscribers >=2, published <9)\n"
    );
    assert_eq!(
        (outcome.code, outcome.stdout.as_str(), outcome.stderr),
        (6, "", reported)
    );
}

#[test]
fn a_missing_channel_has_no_subscribers() {
    let fake = Fake::always(&status("404 Not Found", ""));
    assert_eq!(
        fake.run(&["wait", "-c", "a", "--subscribers", "==0"]).code,
        0
    );
}

#[test]
fn wait_ready_waits_for_a_server() {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let outcome = run(&["wait", "--url", &url, "--ready", "--timeout", "2s"], b"");
    assert_eq!(outcome.code, 6);
    assert!(
        outcome.stderr.starts_with(&format!(
            "pushctl: timed out after 2s: cannot reach {url}: "
        )),
        "{}",
        outcome.stderr
    );
    let waiting = command(&["wait", "--url", &url])
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts");
    let server = Server::start(&["--listen", &format!("127.0.0.1:{port}")]);
    let output = waiting.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), b"".as_slice())
    );
    server.stop();
}

#[test]
fn a_proxy_error_is_not_ready() {
    let fake = Fake::start(|_, number| {
        Reply::Send(status(
            [
                "502 Bad Gateway",
                "503 Service Unavailable",
                "404 Not Found",
            ][number.min(2)],
            "",
        ))
    });
    assert_eq!(fake.run(&["wait"]).code, 0);
    assert_eq!(fake.requests().len(), 3);
}

#[test]
fn a_rejection_ends_the_wait() {
    let fake = Fake::always(&status("403 Forbidden", ""));
    let outcome = fake.run(&["wait", "--subscribers", ">=1"]);
    assert_eq!(
        (outcome.code, fake.requests().len()),
        (4, 1),
        "{}",
        outcome.stderr
    );
}

#[test]
fn invalid_conditions_are_reported_with_a_remedy() {
    for (args, mention) in [
        (&["wait", "--subscribers", "3"][..], "'>=3'"),
        (&["wait", "--stored", ">=many"], "'many' is not a number"),
        (&["wait", "--ready", "--stored", ">=1"], "--stored"),
        (
            &["wait", "-c", "news*", "--stored", ">=1"],
            "name one channel",
        ),
        (&["wait", "--interval", "1ms"], "100ms"),
    ] {
        let outcome = run(args, b"");
        assert_eq!(outcome.code, 2, "{args:?}");
        assert!(
            outcome.stderr.contains(mention),
            "{args:?}: {}",
            outcome.stderr
        );
    }
}
