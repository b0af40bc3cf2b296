//! Usage errors, unreachable servers and interruptions: what is on stderr, and the exit codes.

use std::net::TcpListener;

use super::cli_fake::{Fake, Reply, chunked, run};

#[test]
fn exit_codes_are_in_the_help() {
    let outcome = run(&["--help"], b"");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert!(outcome.stdout.contains("    6  timed out\n"), "{}", outcome.stdout);
}

#[test]
fn wrong_usage_is_told_with_its_option() {
    let cases: &[(&[&str], &str)] = &[
        (&["pub"], "CHANNEL"),
        (&["sub"], "CHANNEL"),
        (&["sub", "a", "--mode", "carrier-pigeon"], "--mode"),
        (&["sub", "a", "--since", "yesterday"], "--since"),
        (&["sub", "a", "--backlog", "1", "--since", "5m"], "--since"),
        (&["sub", "a", "--count", "0"], "--count"),
        (&["sub", "a", "--timeout", "soon"], "--timeout"),
        (&["sub", "a", "-H", "no colon"], "--header"),
        (&["sub", "a//b"], "a channel id is empty"),
        (&["pub", "a", "x", "--url", "ftp://h"], "--url"),
        (&["pub", "a", "x", "--event-id", "two\nlines"], "event-id"),
        (&["bench", "--mode", "poll"], "--mode"),
        (&["bench", "-n", "2", "--channels", "3"], "--channels"),
        (&["bench", "--size", "5"], "--size"),
        (&["bench", "--rate", "0"], "--rate"),
        (&["bench", "--url", "https://127.0.0.1:1"], "--url"),
        (&["frobnicate"], "frobnicate"),
    ];
    for (args, mention) in cases {
        let outcome = run(args, b"");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{args:?}");
        assert!(outcome.stderr.contains(mention), "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn an_unreachable_server_is_told_with_what_to_do() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let url = format!("http://127.0.0.1:{port}");
    let commands: &[&[&str]] =
        &[&["pub", "a", "x"], &["stats"], &["sub", "a"], &["sub", "a", "-m", "ws"], &["sub", "a", "-m", "lp"], &["bench", "-n", "3"]];
    for args in commands {
        let outcome = run(&[args, ["--url", url.as_str()].as_slice()].concat(), b"");
        let expected =
            format!("pushctl: cannot reach {url}: connection refused (start a server with 'pushctl serve', or name one with --url)\n");
        assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr), (3, "", expected), "{args:?}");
    }
}

#[test]
fn an_interrupted_subscription_has_a_code_of_its_own() {
    let fake = Fake::start(|_, _| Reply::Hold(chunked(&[": \n"])));
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let before = fake.requests().len();
        let child = fake.spawn(&["sub", "a"]);
        fake.wait_for(before + 1);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), output.stdout.as_slice(), output.stderr.as_slice()), (Some(130), b"".as_slice(), b"".as_slice()));
    }
}
