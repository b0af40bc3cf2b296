//! Usage errors, unreachable servers and interruptions: stderr and exit codes.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::fake::{Fake, Reply, chunked, object, ok, run, status};
use crate::support::{DEADLINE, wait_until};

#[test]
fn exit_codes_are_in_the_help() {
    let outcome = run(&["--help"], b"");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert!(
        outcome.stdout.contains("    6  timed out\n"),
        "{}",
        outcome.stdout
    );
    for command in ["pub", "sub", "stats", "bench"] {
        let outcome = run(&[command, "--help"], b"");
        assert!(
            outcome.stdout.contains("    6  timed out\n"),
            "{command}: {}",
            outcome.stdout
        );
    }
}

#[test]
fn the_help_is_shown_as_it_was_written() {
    let whole = run(&["pub", "--help"], b"").stdout;
    let example = "  pushctl pub load '{\"n\":{number}}' --template --repeat 1000 --rate 100/s";
    assert!(whole.lines().any(|line| line == example), "{whole}");
    for part in ["{number:6}", "{number%10}", "{random:100}"] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    for command in [
        "serve",
        "pub",
        "sub",
        "stats",
        "bench",
        "wait",
        "rm",
        "with-server",
        "servers",
        "completions",
    ] {
        for option in ["-h", "--help"] {
            let outcome = run(&[command, option], b"");
            assert_eq!(
                (outcome.code, outcome.stderr.as_str()),
                (0, ""),
                "{command}"
            );
            // clap makes a line break of a brace, an n and a brace: half a quotation is left on a
            // line.
            let examples = outcome
                .stdout
                .split_once("Examples:\n")
                .map_or("", |(_, rest)| rest);
            let examples = examples.split("\n\n").next().unwrap_or_default();
            for line in examples.lines() {
                assert!(
                    line.starts_with("  ") && line.matches('\'').count() % 2 == 0,
                    "{command}: {line}"
                );
            }
        }
    }
}

#[test]
fn usage_errors_name_the_option() {
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
        (
            &["bench", "--url", "http://127.0.0.1:1", "--bind", "::1"],
            "no address of the family of --bind",
        ),
        (
            &[
                "bench",
                "--url",
                "http://127.0.0.1:1",
                "--bind",
                "192.0.2.1",
            ],
            "cannot connect from 192.0.2.1 (--bind)",
        ),
        (
            &[
                "bench",
                "--url",
                "unix:/nowhere.sock",
                "--bind",
                "127.0.0.1",
            ],
            "--bind",
        ),
        (&["pub", "a?b", "x"], "question mark"),
        (&["sub", "a?b"], "question mark"),
        (&["stats", "a?b"], "question mark"),
        (&["pub", "", "x"], "a channel id is empty"),
        (&["stats", ""], "a channel id is empty"),
        (
            &["sub", "a", "--mode", "poll", "--interval", "1ms"],
            "100ms",
        ),
        (&["stats", "--watch=1ms"], "100ms"),
        (&["pub", "a", "x{n%0}", "--template"], "'{n%0}'"),
        (&["frobnicate"], "frobnicate"),
    ];
    for (args, mention) in cases {
        let outcome = run(args, b"");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{args:?}");
        assert!(
            outcome.stderr.contains(mention),
            "{args:?}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn an_unreachable_server_is_reported_with_a_remedy() {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let commands: &[&[&str]] = &[
        &["pub", "a", "x"],
        &["stats"],
        &["sub", "a"],
        &["sub", "a", "-m", "ws"],
        &["sub", "a", "-m", "lp"],
        &["bench", "-n", "3"],
    ];
    for args in commands {
        let outcome = run(&[args, ["--url", url.as_str()].as_slice()].concat(), b"");
        let expected = format!(
            "pushctl: cannot reach {url}: connection refused (start a server with 'pushctl serve', \
             or name one with --url)\n"
        );
        assert_eq!(
            (outcome.code, outcome.stdout.as_str(), outcome.stderr),
            (3, "", expected),
            "{args:?}"
        );
    }
}

#[test]
fn an_interrupted_subscription_has_its_own_exit_code() {
    let fake = Fake::start(|_, _| Reply::Hold(chunked(&[": \n"])));
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let before = fake.requests().len();
        let child = fake.spawn(&["sub", "a"]);
        fake.wait_for(before + 1);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal)
            .expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        let reported = b"pushctl: interrupted after 0 messages\n".as_slice();
        assert_eq!(
            (
                output.status.code(),
                output.stdout.as_slice(),
                output.stderr.as_slice()
            ),
            (Some(130), b"".as_slice(), reported)
        );
    }
}

/// Waits for the end of a program that a bug would keep running.
fn ending(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return status;
        }
        if Instant::now() > end {
            child.kill().expect("it is ours");
            panic!("it does not end");
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_message_that_is_still_being_read_can_be_interrupted() {
    // Shells start background jobs with SIGINT ignored, which is inherited.
    let ignored = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let ignored = ignored
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .expect("the ignored signals");
    let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a mask");
    let is_heeded = |signal: &Signal| ignored & (1 << (signal.as_raw() - 1)) == 0;
    for signal in [Signal::INT, Signal::TERM].into_iter().filter(is_heeded) {
        let mut child = Fake::always("")
            .command(&["pub", "a"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // More than a pipe holds: when this returns, it is being read.
        stdin.write_all(&[b'x'; 300_000]).expect("it reads");
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        assert_eq!(ending(&mut child).signal(), Some(signal.as_raw()));
    }
}

#[test]
fn a_reader_that_stalls_stops_neither_signals_nor_time_outs() {
    let many: String = (1..=2000)
        .map(|id| format!("data: {}\n\n", object(id, "a", &"x".repeat(1000), 21, 1)))
        .collect();
    let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &many])));
    for (args, code) in [
        (["sub", "a", "--timeout", "1h"], 130),
        (["sub", "a", "--timeout", "3s"], 0),
    ] {
        let mut child = fake.spawn(&args);
        let stdout = child.stdout.take().expect("it is piped");
        if code == 130 {
            // 16 pages with at least three lines each: a line that does not fit moves to the next
            // page.
            wait_until("the pipe is full", || {
                rustix::io::ioctl_fionread(&stdout).expect("a pipe") > 16 * 3000
            });
            kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
        }
        assert_eq!(ending(&mut child).code(), Some(code), "{args:?}");
    }
}

#[test]
fn a_closed_stderr_does_not_panic() {
    let fake = Fake::always(&status("500 Internal Server Error", ""));
    for (args, code) in [
        (&["stats"][..], 7),
        (&["sub", "a", "--retries", "1"], 7),
        (&["pub", "a?", "x"], 2),
        (&["bench", "-n", "1"], 7),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut child = fake
            .command(args)
            .stdin(Stdio::null())
            .stderr(writer)
            .spawn()
            .expect("the program starts");
        assert_eq!(ending(&mut child).code(), Some(code), "{args:?}");
    }
}

#[test]
fn another_protocol_has_one_exit_code() {
    let fake = Fake::start(|_, _| Reply::Close("SSH-2.0-OpenSSH_9\r\n".to_owned()));
    for args in [
        &["pub", "a", "x"][..],
        &["stats"],
        &["sub", "a"],
        &["sub", "a", "-m", "poll"],
        &["bench", "-n", "1"],
    ] {
        let outcome = fake.run(args);
        assert_eq!(outcome.code, 7, "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_full_disk_is_reported_with_the_lines_written() {
    let fake = Fake::always(&ok("", ""));
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let output = fake
        .command(&["pub", "a", "x"])
        .stdout(full)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .starts_with("pushctl: cannot write standard output: "),
        "{output:?}"
    );
}
