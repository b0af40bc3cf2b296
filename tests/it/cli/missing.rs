//! A channel that is missing, a location that is missing, and counters that a server does not
//! report.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::fake::{Fake, Reply, ok, run, status};
use crate::support::{Directory, Server};

/// A server with these locations only.
fn server(directory: &Directory, memory: &str, locations: &str) -> Server {
    let conf = format!(
        "events {{}}\nhttp {{ {memory} server {{ listen 127.0.0.1:9103;\n{locations}\n}} }}\n"
    );
    let file = directory.write("nginx.conf", &conf);
    Server::start(&[
        "--nginx-conf",
        file.to_str().expect("UTF-8"),
        "--listen",
        "127.0.0.1:0",
    ])
}

/// The URL of a server with one reply to every request.
fn same_answer(response: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(socket.try_clone().expect("a socket can be cloned")).lines();
            let head = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .count();
            assert!(head > 0, "a request has a head");
            socket
                .write_all(response.as_bytes())
                .expect("the client reads");
        }
    });
    url
}

const MEMORY: &str = "push_stream_shared_memory_size 10m;";
const PUB: &str = "location = /pub { push_stream_publisher; push_stream_channels_path $arg_id; }";
const NCHAN: &str = "location = /pub { nchan_publisher; nchan_channel_id $arg_id; }\n\
                     location = /nchan_stub_status { nchan_stub_status; }";

#[test]
fn a_missing_statistics_location_is_not_an_empty_channel() {
    let directory = Directory::new("missing");
    let without = server(&directory, MEMORY, PUB);
    let url = without.url();
    for args in [
        &["wait", "-c", "n1", "--subscribers", "==0"][..],
        &["wait", "-c", "n1", "--subscribers", ">=1"],
        &["wait", "--stored", ">=1"],
        &["stats", "n1"],
        &["stats", "n1", "--assert", "stored=0"],
        &["stats", "ALL"],
        &["stats"],
    ] {
        let outcome = run(&[args, &["-u", url]].concat(), b"");
        assert_eq!(outcome.code, 5, "{args:?}: {}", outcome.stderr);
        assert!(
            outcome.stderr.contains("/channels-stats")
                && outcome.stderr.contains("no such location"),
            "{args:?}: {}",
            outcome.stderr
        );
    }
    without.stop();
    // Web servers that respond without a body and with a text.
    for response in [
        status("404 Not Found", ""),
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nnone"
            .to_owned(),
    ] {
        let outcome = run(
            &[
                "wait",
                "-c",
                "n1",
                "--subscribers",
                ">=1",
                "-u",
                &same_answer(response),
            ],
            b"",
        );
        assert_eq!(outcome.code, 5, "{}", outcome.stderr);
    }
}

#[test]
fn a_missing_channel_is_named_as_by_rm() {
    let server = Server::start(&[]);
    let url = server.url();
    for args in [&["stats", "nochan"][..], &["rm", "nochan"]] {
        let outcome = run(&[args, &["-u", url]].concat(), b"");
        assert_eq!(outcome.code, 5);
        assert!(
            outcome
                .stderr
                .starts_with("pushctl: channel 'nochan' does not exist"),
            "{}",
            outcome.stderr
        );
    }
    assert_eq!(
        run(
            &["wait", "-c", "nochan", "--subscribers", "==0", "-u", url],
            b""
        )
        .code,
        0
    );
    server.stop();
}

#[test]
fn counters_that_nchan_does_not_report_are_not_invented() {
    let directory = Directory::new("nchan");
    let server = server(&directory, "", NCHAN);
    let url = server.url();
    let of = |args: &[&str]| run(&[args, &["-u", url]].concat(), b"");
    for args in [&["pub", "a", "one"][..], &["pub", "a", "two"]] {
        let outcome = of(args);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
        assert!(
            outcome.stdout.starts_with("a: published, ") && !outcome.stdout.contains("1 published"),
            "{}",
            outcome.stdout
        );
    }
    for dialect in [&["--dialect", "nchan"][..], &[]] {
        let outcome = of(&[&["wait", "-c", "a", "--published", ">=2"], dialect].concat());
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("--published"), "{}", outcome.stderr);
        let outcome = of(&[&["wait", "-c", "none", "--published", "==0"], dialect].concat());
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        let outcome = of(&[&["wait", "-c", "a", "--stored", "==2", "--json"], dialect].concat());
        assert!(
            outcome.code == 0 && outcome.stdout.contains("\"published_messages\":null"),
            "{} {}",
            outcome.stdout,
            outcome.stderr
        );
        let outcome = of(&[&["stats", "ALL"], dialect].concat());
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!(
            outcome
                .stderr
                .contains("NHPM and nchan do not list channels"),
            "{}",
            outcome.stderr
        );
        let outcome = of(&[&["stats", "a", "--assert", "published=0"], dialect].concat());
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        let outcome = of(&[&["stats", "none"], dialect].concat());
        assert_eq!(outcome.code, 5, "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("channel 'none' does not exist"),
            "{}",
            outcome.stderr
        );
    }
    server.stop();
}

#[test]
fn errors_name_the_path_that_was_requested() {
    let fake = Fake::start(|request, _| {
        let is_own = request.line.starts_with("GET /publish");
        Reply::Send(if is_own {
            ok("", "<html>no counters</html>")
        } else {
            status("404 Not Found", "Content-Type: text/html\r\n")
        })
    });
    for args in [&["stats", "a"][..], &["wait", "-c", "a", "--stored", ">=1"]] {
        let outcome = fake.run(&[args, &["--dialect", "nchan", "--pub-path", "/publish"]].concat());
        assert_eq!(outcome.code, 7, "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("/publish?id=a") && !outcome.stderr.contains("/channels-stats"),
            "{}",
            outcome.stderr
        );
    }
    let outcome = fake.run(&["stats", "a", "--pub-path", "/publish"]);
    assert!(
        outcome.code == 5 && outcome.stderr.contains("/publish?id=a"),
        "{}",
        outcome.stderr
    );
    let outcome = fake.run(&["stats", "a", "--dialect", "nchan"]);
    assert!(
        outcome.code == 5 && outcome.stderr.contains("--pub-path"),
        "{}",
        outcome.stderr
    );
}
