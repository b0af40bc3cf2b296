//! `pushctl bench` from outside, against a small server that can be made to lose, repeat and
//! reorder.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::fake::{Fake, Outcome, Reply, chunked, ok, refused, run};
use super::resume::Server;

/// Fault that the server injects for the message with that id, for its first subscriber.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Lose(usize),
    Repeat(usize),
    /// Sends it after the next one.
    Delay(usize),
    /// Changes a letter of it.
    Damage(usize),
    /// Leaves out its first letter.
    Shorten(usize),
    /// Hangs up instead of sending it, to all subscribers.
    HangUp(usize),
    /// Neither accepts nor answers it.
    Silence(usize),
    /// Delivers it and responds half a second later.
    Stall(usize),
}

/// Duration of a stall; messages delayed by it are later than most of this.
const STALL: std::time::Duration = std::time::Duration::from_millis(500);

/// A broker of eventsource messages with one channel.
pub(super) fn broker(fault: Fault) -> Fake {
    let subscribers = Arc::new(Mutex::new(Vec::new()));
    let messages = Mutex::new(Vec::<String>::new());
    Fake::start(move |request, _| {
        if request.line.starts_with("GET /ev/") {
            return Reply::Keep(chunked(&[": \n"]), Arc::clone(&subscribers));
        }
        let mut sockets = subscribers.lock().expect("no test fails with the lock");
        if request.line.starts_with("GET /channels-stats?id=bench-") {
            let count = sockets.len();
            return Reply::Send(ok(
                "",
                &format!(
                    "{{\"channels\": 1, \"infos\": [\r\n\
                     {{\"channel\": \"x\", \"published_messages\": 0, \"stored_messages\": 0, \
                     \"subscribers\": {count}}}\r\n]}}\r\n"
                ),
            ));
        }
        if request.line.starts_with("DELETE /pub?id=bench-") {
            return Reply::Send(refused("200 OK", "Channel deleted."));
        }
        assert!(
            request.line.starts_with("POST /pub?id=bench-"),
            "{}",
            request.line
        );
        let mut messages = messages.lock().expect("no test fails with the lock");
        let id = messages.len() + 1;
        let text = String::from_utf8(request.body.clone()).expect("texts of bench are ascii");
        let data = format!("data: {{\"id\":{id},\"channel\":\"x\",\"text\":\"{text}\"}}\n\n");
        if fault == Fault::Silence(id) {
            return Reply::Hold(String::new());
        }
        if fault == Fault::HangUp(id) {
            sockets.clear();
        }
        messages.push(format!("{:x}\r\n{data}\r\n", data.len()));
        for (number, socket) in sockets.iter_mut().enumerate() {
            let which: Vec<usize> = match fault {
                Fault::Lose(bad) if number == 0 && id == bad => vec![],
                Fault::Repeat(bad) if number == 0 && id == bad => vec![id, id],
                Fault::Delay(bad) if number == 0 && id == bad => vec![],
                Fault::Delay(bad) if number == 0 && id == bad + 1 => vec![id, bad],
                _ => vec![id],
            };
            for id in which {
                let message = match fault {
                    Fault::Damage(bad) if number == 0 && id == bad => {
                        messages[id - 1].replacen("xx", "xy", 1)
                    }
                    // The chunk keeps its length.
                    Fault::Shorten(bad) if number == 0 && id == bad => messages[id - 1]
                        .replacen("data: ", "data:  ", 1)
                        .replacen("xx", "x", 1),
                    _ => messages[id - 1].clone(),
                };
                socket.write_all(message.as_bytes()).expect("bench reads");
            }
        }
        if fault == Fault::Stall(id) {
            drop((sockets, messages));
            std::thread::sleep(STALL);
        }
        Reply::Send(ok("", ""))
    })
}

pub(super) fn bench(fault: Fault, args: &[&str]) -> (Outcome, Value) {
    let outcome =
        broker(fault).run(&[&["bench", "-n", "3", "--messages", "10", "--json"], args].concat());
    let report = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    (outcome, report)
}

#[test]
fn bench_reports_a_faultless_run() {
    for args in [
        ["--publishers", "1"],
        ["--publishers", "4"],
        ["--rate", "1000"],
        ["--size", "5000"],
    ] {
        let (outcome, report) = bench(Fault::None, &args);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{args:?}");
        assert_eq!(outcome.stdout.lines().count(), 1);
        for (key, value) in [
            ("published", 10),
            ("expected", 30),
            ("delivered", 30),
            ("lost", 0),
            ("duplicated", 0),
            ("reordered", 0),
            ("subscribers", 3),
        ] {
            assert_eq!(report[key], value, "{args:?}: {key}");
        }
        assert!(report["deliveries_per_second"].as_f64() > Some(0.0));
        let latency: Vec<f64> = ["p50", "p90", "p99", "p99.9", "max"]
            .iter()
            .map(|key| report["latency_ms"][key].as_f64().expect("a number"))
            .collect();
        assert!(latency[0] > 0.0 && latency.is_sorted(), "{latency:?}");
    }
}

#[test]
fn bench_reports_lost_repeated_and_reordered_messages() {
    for (fault, expected) in [
        (Fault::Lose(4), [1, 0, 0]),
        (Fault::Lose(10), [1, 0, 0]),
        (Fault::Repeat(4), [0, 1, 0]),
        (Fault::Delay(4), [0, 0, 1]),
    ] {
        let (outcome, report) = bench(fault, &["--timeout", "2s"]);
        assert_eq!(
            [&report["lost"], &report["duplicated"], &report["reordered"]],
            expected
        );
        assert_eq!(outcome.code, 8);
    }
}

#[test]
fn bench_leaves_no_channel_behind() {
    let fake = broker(Fault::None);
    assert_eq!(fake.run(&["bench", "-n", "2", "--messages", "3"]).code, 0);
    let lines: Vec<_> = fake
        .requests()
        .into_iter()
        .map(|request| request.line)
        .collect();
    let channel = lines
        .iter()
        .find_map(|line| line.strip_prefix("GET /ev/"))
        .expect("a subscriber connects");
    assert_eq!(lines.last(), Some(&format!("DELETE /pub?id={channel}")));
}

#[test]
fn bench_ends_when_a_subscriber_is_rejected() {
    let fake = Fake::always(&refused(
        "403 Forbidden",
        "Subscribers limit per channel has been exceeded.",
    ));
    let outcome = fake.run(&["bench", "-n", "2", "--mode", "lp"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (4, ""));
    assert!(
        outcome
            .stderr
            .ends_with("returned 403 Forbidden: subscribers limit per channel has been exceeded\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn bench_finds_no_fault_in_our_own_server() {
    let server = Server::start();
    for mode in ["ev", "ws", "lp", "stream"] {
        let args = [
            "bench",
            "--url",
            &server.address,
            "--mode",
            mode,
            "-n",
            "100",
            "--channels",
            "3",
            "--messages",
            "40",
            "--publishers",
            "4",
            "--json",
        ];
        let outcome = run(&args, b"");
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (0, ""),
            "{mode}: {}",
            outcome.stdout
        );
        let report: Value = serde_json::from_str(&outcome.stdout).expect("one object");
        assert_eq!(report["processes"], 1);
        for (key, value) in [
            ("published", 120),
            ("delivered", 4000),
            ("lost", 0),
            ("duplicated", 0),
            ("reordered", 0),
            ("disconnected", 0),
        ] {
            assert_eq!(report[key], value, "{mode}: {key}");
        }
    }
}

#[test]
fn bench_reports_corrupt_texts() {
    for fault in [Fault::Damage(4), Fault::Shorten(10)] {
        let (outcome, report) = bench(fault, &["--timeout", "2s"]);
        assert_eq!(
            [&report["corrupt"], &report["lost"], &report["delivered"]],
            [1, 0, 30]
        );
        assert_eq!(outcome.code, 8);
    }
}

#[test]
fn bench_reports_why_subscribers_disconnected() {
    let (outcome, report) = bench(Fault::HangUp(4), &["--timeout", "20s"]);
    assert_eq!(
        (outcome.code, &report["lost"], &report["disconnected"]),
        (8, &21.into(), &3.into())
    );
    assert!(
        outcome.stderr.starts_with(
            "pushctl: 3 of 3 subscribers were disconnected; the first one: the connection to "
        ),
        "{}",
        outcome.stderr
    );
}

#[test]
fn bench_gives_up_on_a_silent_server() {
    let fake = broker(Fault::Silence(4));
    let outcome = fake.run(&[
        "bench",
        "-n",
        "3",
        "--messages",
        "10",
        "--json",
        "--timeout",
        "1s",
    ]);
    let report: Value = serde_json::from_str(&outcome.stdout).expect("what was done is reported");
    assert_eq!(
        (
            outcome.code,
            &report["published"],
            &report["delivered"],
            &report["lost"]
        ),
        (6, &3.into(), &9.into(), &0.into())
    );
    assert!(
        outcome.stderr.ends_with(" within 1s (see --timeout)\n"),
        "{}",
        outcome.stderr
    );
    assert!(
        fake.requests()
            .last()
            .is_some_and(|request| request.line.starts_with("DELETE "))
    );
}

#[test]
fn bench_tidies_up_when_interrupted() {
    let fake = broker(Fault::None);
    let child = fake.spawn(&["bench", "-n", "2", "--rate", "5", "--messages", "1000"]);
    // Two subscribers, at least one count of them, and a message.
    let is_post = |request: &super::fake::Request| request.line.starts_with("POST ");
    crate::support::wait_until("a message is published", || {
        fake.requests().iter().any(is_post)
    });
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    )
    .expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let report = String::from_utf8(output.stdout).expect("UTF-8");
    // Results up to the interruption are reported.
    assert_eq!(
        (
            output.status.code(),
            report.contains("published") && report.contains("delivered")
        ),
        (Some(130), true),
        "{report}"
    );
    assert!(
        fake.requests()
            .last()
            .is_some_and(|request| request.line.starts_with("DELETE "))
    );
}

#[test]
fn a_stalling_server_makes_everything_behind_it_late() {
    let (outcome, report) = bench(Fault::Stall(3), &["--rate", "200"]);
    assert_eq!(
        (outcome.code, &report["delivered"], &report["rate"]),
        (0, &30.into(), &200.0.into())
    );
    // Seven of ten messages were due long before they could be sent, which their latencies show.
    assert!(
        report["latency_ms"]["p50"].as_f64() > Some(400.0),
        "{report}"
    );
    assert!(report["behind_ms"].as_f64() > Some(400.0), "{report}");
}
