//! `pushctl pub` with many messages: order, acknowledgements, and error reports.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::fake::{Fake, Outcome, Reply, command, ok, refused, run, status};
use crate::support::{Directory, Server};

pub(super) const INFO: &str = "{\"channel\": \"a\", \"published_messages\": 3, \
                               \"stored_messages\": 2, \
                    \"subscribers\": 1}\r\n";

/// The program against `url` with that input.
pub(super) fn publish(url: &str, args: &[&str], input: &str) -> Outcome {
    run(&[&["pub", "--url", url], args].concat(), input.as_bytes())
}

/// The object of `--json`, without the time.
fn books(outcome: &Outcome) -> Value {
    let mut value: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"));
    value
        .as_object_mut()
        .expect("an object")
        .remove("seconds")
        .expect("the time");
    value
}

/// The texts of the stored messages of channel `channel`.
fn stored(server: &Server, channel: &str, count: usize) -> Vec<String> {
    let mut stream = server.follow(&format!("/sub/{channel}.b{count}"), &[]);
    (0..count)
        .map(|_| stream.next_line().expect("a message").text)
        .collect()
}

#[test]
fn lines_arrive_each_once_and_in_order() {
    let server = Server::start(&[]);
    let lines: String = (1..=5000)
        .map(|number| format!("line {number}\r\n\n"))
        .collect();
    let outcome = publish(server.url(), &["c", "--lines", "--json"], &lines);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let expected = json!({"acknowledged": 5000, "total": null, "refused": 0, "refusals": [],
        "unanswered": [], "next": null, "error": null});
    assert_eq!(books(&outcome), expected);
    let expected: Vec<String> = (1..=5000).map(|number| format!("line {number}")).collect();
    assert_eq!(stored(&server, "c", 5000), expected);
    server.stop();
}

#[test]
fn all_lines_go_over_one_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let child = command(&["pub", "--url", &url, "c", "--lines"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    child
        .stdin
        .as_ref()
        .expect("it is piped")
        .write_all(b"one\ntwo\nthree")
        .expect("it reads");
    let (mut socket, _) = listener.accept().expect("a connection");
    let mut child = child;
    drop(child.stdin.take());
    // All three requests arrive before the first response.
    let mut requests = Vec::new();
    while !requests.ends_with(b"three") {
        let mut bytes = [0; 4096];
        let length = socket.read(&mut bytes).expect("requests");
        assert!(length > 0, "{}", String::from_utf8_lossy(&requests));
        requests.extend_from_slice(&bytes[..length]);
    }
    assert_eq!(
        String::from_utf8_lossy(&requests)
            .matches("POST /pub?id=c HTTP/1.1\r\n")
            .count(),
        3
    );
    socket
        .write_all(ok("", INFO).repeat(3).as_bytes())
        .expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let reported = String::from_utf8(output.stdout).expect("text");
    assert!(
        reported.starts_with("3 messages acknowledged in ") && reported.ends_with(" per second)\n"),
        "{reported}"
    );
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), b"".as_slice())
    );
}

#[test]
fn rejections_are_reported_with_their_line_and_end_the_run() {
    let fake = Fake::start(|request, _| {
        Reply::Send(if request.body == b"bad" {
            refused("403 Forbidden", "No.")
        } else {
            ok("", INFO)
        })
    });
    let directory = Directory::new("lines");
    let file = directory.write("lines", "one\ntwo\n\nbad\nfive\nsix\n");
    let file = file.to_str().expect("UTF-8");
    let args = ["c", "--lines", "--in-flight", "1", "-f", file];
    let outcome = publish(&fake.url, &args, "");
    let expected = format!(
        "pushctl: 2 of 5 acknowledged; nothing from line 5 on was sent; line 4 was rejected: \
         {}/pub?id=c returned 403 Forbidden: no\n",
        fake.url
    );
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (4, "", expected.as_str())
    );

    let outcome = publish(
        &fake.url,
        &[&args[..], &["--keep-going", "--json"]].concat(),
        "",
    );
    let reason = format!("{}/pub?id=c returned 403 Forbidden: no", fake.url);
    let expected = json!({"acknowledged": 4, "total": 5, "refused": 1, "refusals": [{"line": 4,
        "status": 403, "reason": reason}],
        "unanswered": [], "next": null, "error": reason});
    assert_eq!((outcome.code, books(&outcome)), (4, expected));
}

#[test]
fn unacknowledged_messages_are_reported_and_not_resent() {
    let fake = Fake::start(|_, number| match number {
        0 | 1 => Reply::Send(ok("", INFO)),
        _ => Reply::Close(String::new()),
    });
    let outcome = publish(&fake.url, &["c", "--lines", "--json"], "1\n2\n3\n4\n5\n");
    let expected = json!({"acknowledged": 2, "total": null, "refused": 0, "refusals": [],
        "unanswered": [[3, 5]]});
    let mut found = books(&outcome);
    let next = found
        .as_object_mut()
        .expect("an object")
        .remove("next")
        .expect("the line to resume at");
    assert!(
        next.is_null() || next == 6,
        "the end of the input is seen by then, or not: {next}"
    );
    let error = found
        .as_object_mut()
        .expect("an object")
        .remove("error")
        .expect("an error");
    assert!(
        error
            .as_str()
            .is_some_and(|error| error.starts_with("the connection to ")),
        "{error}"
    );
    assert_eq!((outcome.code, found), (3, expected));
    let unsent = if next.is_null() {
        ""
    } else {
        "; nothing from line 6 on was sent"
    };
    let reported = format!(
        "pushctl: 2 acknowledged; lines 3 to 5 were sent without a response, and may be published \
         or not{unsent}: the connection to "
    );
    assert!(outcome.stderr.starts_with(&reported), "{}", outcome.stderr);
    assert_eq!(fake.requests().len(), 3, "nothing came twice");
}

#[test]
fn unacknowledged_messages_are_resent_on_request() {
    let fake = Fake::start(|_, number| match number {
        2 => Reply::Close(String::new()),
        _ => Reply::Send(ok("", INFO)),
    });
    let outcome = publish(
        &fake.url,
        &["c", "--lines", "--retry-unanswered"],
        "1\n2\n3\n4\n5\n",
    );
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let bodies: Vec<_> = fake
        .requests()
        .iter()
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect();
    assert_eq!(bodies, ["1", "2", "3", "3", "4", "5"]);
}

#[test]
fn an_announced_end_of_the_connection_loses_and_repeats_nothing() {
    // Like nginx after `keepalive_requests`: the response announces the end, and pipelined requests
    // after it are discarded.
    let fake = Fake::start(|_, number| match number % 10 {
        9 => Reply::Close(ok("Connection: close\r\n", INFO)),
        _ => Reply::Send(ok("", INFO)),
    });
    let lines: String = (1..=95).map(|number| format!("{number}\n")).collect();
    // Few enough that the socket buffers them without a reset, which could discard responses.
    let outcome = publish(&fake.url, &["c", "--lines", "--in-flight", "4"], &lines);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let bodies: Vec<_> = fake
        .requests()
        .iter()
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .collect();
    assert_eq!(
        bodies,
        (1..=95)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
}

#[test]
fn an_interrupted_run_reports_acknowledged_messages() {
    let fake = Fake::start(|_, _| Reply::Send(ok("", INFO)));
    let mut child = fake
        .command(&["pub", "c", "--lines", "--rate", "1/h"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"one\ntwo\nthree\n").expect("it reads");
    fake.wait_for(1);
    // The response may not have been counted yet; wait for it.
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let reported = String::from_utf8(output.stderr).expect("text");
    assert_eq!(
        (output.status.code(), reported.as_str()),
        (
            Some(130),
            "pushctl: 1 acknowledged; nothing from line 2 on was sent; interrupted\n"
        )
    );
    drop(stdin);
}

#[test]
fn lines_go_out_while_the_source_waits() {
    let fake = Fake::always(&ok("", INFO));
    let mut child = fake
        .command(&["pub", "c", "--lines"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    for number in 1..=3 {
        stdin.write_all(b"x\n").expect("it reads");
        fake.wait_for(number);
    }
    drop(stdin);
    let line = BufReader::new(child.stdout.take().expect("it is piped"))
        .lines()
        .next()
        .expect("a line")
        .expect("text");
    assert!(line.starts_with("3 messages acknowledged"), "{line}");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_server_that_stops_answering_is_given_up() {
    let fake = Fake::start(|_, _| Reply::Hold(String::new()));
    let outcome = publish(&fake.url, &["c", "--lines", "--timeout", "100ms"], "1\n2\n");
    let expected = format!(
        "pushctl: 0 acknowledged; lines 1 to 2 were sent without a response, and may be published \
         or not: no response from {}/pub?id=c within 100ms (see --timeout)\n",
        fake.url
    );
    assert_eq!((outcome.code, outcome.stderr), (6, expected));
}

#[test]
fn a_non_http_response_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        socket
            .write_all(b"SSH-2.0-OpenSSH_9\r\n\r\n")
            .expect("it reads");
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let outcome = publish(&url, &["c", "--lines"], "1\n");
    assert_eq!(outcome.code, 7, "{}", outcome.stderr);
    server.join().expect("it ends");
    assert_eq!(
        publish(
            &Fake::always(&status("404 Not Found", "")).url,
            &["c", "--lines"],
            "1\n"
        )
        .code,
        5
    );
    assert_eq!(
        publish(&url, &["c", "--lines"], "1\n").code,
        3,
        "the subscriber has left"
    );
}
