//! Servers that send without end: responses, messages and interim responses are read up to a limit.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fake::{Fake, Reply, chunked, ok, run};

/// Starts a server that sends `head` and then `piece` until the client disconnects. Returns its URL
/// and the number of bytes sent.
fn endless(head: &'static str, piece: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(socket.try_clone().expect("a socket can be cloned"));
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let mut result = socket.write_all(head.as_bytes());
            while result.is_ok() {
                result = socket.write_all(piece);
                counted.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    });
    (url, sent)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
/// Upper bound of bytes in socket buffers when the client stops reading.
const ON_THE_WAY: usize = 24 << 20;

#[test]
fn publication_responses_are_read_up_to_the_limit() {
    for args in [&["pub", "a", "x"][..], &["rm", "a"]] {
        let (url, sent) = endless(OK, &[b'x'; 65536]);
        let outcome = run(&[args, &["--url", url.as_str()]].concat(), b"");
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (0, ""),
            "its status is known: {args:?}"
        );
        assert!(sent.load(Ordering::Relaxed) < ON_THE_WAY, "{args:?}");
    }
}

#[test]
fn interim_responses_without_end_are_an_error() {
    let (url, _) = endless("", b"HTTP/1.1 100 Continue\r\n\r\n");
    let outcome = run(&["pub", "a", "--lines", "--url", &url], b"one\ntwo\n");
    assert_eq!(outcome.code, 7, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("more than 64 interim responses"),
        "{}",
        outcome.stderr
    );
    for args in [&["pub", "a", "x"][..], &["stats"], &["rm", "a"]] {
        let outcome = run(
            &[args, &["--timeout", "500ms", "--url", url.as_str()]].concat(),
            b"",
        );
        assert_eq!(outcome.code, 6, "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_head_without_end_is_an_error() {
    let (url, _) = endless("HTTP/1.1 200 OK\r\n", b"X-A: b\r\n");
    for args in [
        &["pub", "a", "x"][..],
        &["pub", "a", "--lines"],
        &["stats"],
        &["rm", "a"],
        &["sub", "a", "-m", "lp"],
    ] {
        let outcome = run(&[args, &["--url", url.as_str()]].concat(), b"one\n");
        assert!(
            matches!(outcome.code, 3 | 7),
            "{args:?}: {} {}",
            outcome.code,
            outcome.stderr
        );
    }
}

#[test]
fn a_message_above_the_limit_ends_sub_in_every_mode() {
    let large = "x".repeat(60_000);
    let object = format!("{{\"id\":1,\"channel\":\"a\",\"text\":\"{large}");
    let frame = [
        &[0x81, 126][..],
        &60_000_u16.to_be_bytes(),
        large.as_bytes(),
    ]
    .concat();
    let many_lines = format!("data: {}\n", "x".repeat(100)).repeat(600);
    let servers: [(&str, Fake); 6] = [
        (
            "stream",
            Fake::start(move |_, _| Reply::Hold(chunked(&[&object, &object]))),
        ),
        ("ev", {
            let line = format!("data: {large}");
            Fake::start(move |_, _| Reply::Hold(chunked(&[&line, "x"])))
        }),
        (
            "ev",
            Fake::start(move |_, _| Reply::Hold(chunked(&[&many_lines, "data: x\n"]))),
        ),
        ("ws", Fake::start(move |_, _| Reply::Upgrade(frame.clone()))),
        ("lp", Fake::always(&ok("", &large))),
        ("poll", Fake::always(&ok("", &large))),
    ];
    for (mode, fake) in servers {
        let outcome = fake.run(&["sub", "a", "-m", mode, "--max-message-size", "50k"]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (7, ""),
            "{mode}: {}",
            outcome.stderr
        );
        assert!(
            outcome
                .stderr
                .contains("sent more than 50 KiB at once (see --max-message-size"),
            "{mode}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn time_limits_are_documented_with_their_defaults() {
    for command in ["pub", "stats", "rm"] {
        let help = run(&[command, "--help"], b"").stdout;
        assert!(help.contains("[default: 30s]"), "{command}: {help}");
    }
    let help = run(&["sub", "--help"], b"").stdout;
    assert!(
        help.contains("--max-message-size <SIZE>") && help.contains("[default: 64m]"),
        "{help}"
    );
}

#[test]
fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        let sockets: Vec<_> = listener.incoming().map_while(Result::ok).collect();
        sockets
            .into_iter()
            .for_each(|mut socket| drop(socket.read(&mut [0])));
    });
    for args in [
        &["pub", "a", "x"][..],
        &["stats"],
        &["rm", "a"],
        &["wait", "-c", "a", "--stored", ">=1"],
    ] {
        let outcome = run(
            &[args, &["--timeout", "300ms", "--url", url.as_str()]].concat(),
            b"",
        );
        assert_eq!(outcome.code, 6, "{args:?}: {}", outcome.stderr);
    }
}

#[test]
fn partial_responses_do_not_extend_the_timeout_of_pub() {
    for head in [
        "HTTP/1.1 200 OK\r\nX-A: ",
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a connection");
            let mut result = socket.write_all(head.as_bytes());
            // Ten times in the time that is left.
            while result.is_ok() {
                std::thread::park_timeout(std::time::Duration::from_millis(50));
                result = socket.write_all(b"x");
            }
        });
        let outcome = run(
            &["pub", "a", "--lines", "--timeout", "500ms", "--url", &url],
            b"one\n",
        );
        assert_eq!(outcome.code, 6, "{head:?}: {}", outcome.stderr);
    }
}

#[test]
fn an_oversized_response_names_only_options_of_its_command() {
    let (url, _) = endless(OK, &[b' '; 65536]);
    let outcome = run(&["stats", "--url", &url], b"");
    assert_eq!(outcome.code, 7, "{}", outcome.stderr);
    assert!(
        outcome.stderr.ends_with("it is larger than 64 MiB\n"),
        "{}",
        outcome.stderr
    );
}
