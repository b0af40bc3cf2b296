//! Every limit that rejects something logs a line with the option that sets it, at most once per
//! second.

use crate::support::{Connection, Server, frame, opcode, wait_until};

/// Starts a server, provokes the limit until the log names the option, and checks that the log is
/// not flooded.
fn check(args: &[&str], option: &str, mut exceed: impl FnMut(&Server)) {
    let server = Server::start(args);
    wait_until(&format!("the log names {option}"), || {
        exceed(&server);
        server.stderr().contains(&format!("({option}"))
    });
    for _ in 0..20 {
        exceed(&server);
    }
    let stderr = server.stderr();
    let mut seconds: Vec<&str> = stderr
        .lines()
        .filter(|line| line.contains(&format!("({option}")))
        .filter_map(|line| line.get(..19))
        .collect();
    let lines = seconds.len();
    seconds.dedup();
    assert_eq!(
        lines,
        seconds.len(),
        "more than one line in a second: {stderr}"
    );
    server.stop();
}

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let mut connection = server.connect();
    connection.send_request("POST", path, headers, Some(body));
    connection.read_head().status
}

#[test]
fn the_memory_limit_is_logged() {
    let large = vec![b'x'; 900_000];
    check(&["--memory", "4m"], "--memory", |server| {
        post(server, "/pub?id=b", &[], &large);
    });
}

#[test]
fn limits_on_channels_and_subscribers_are_logged() {
    let mut number = 0;
    check(&["--max-channels", "2"], "--max-channels", |server| {
        number += 1;
        post(server, &format!("/pub?id=c{number}"), &[], b"x");
    });
    let mut first: Option<Connection> = None;
    check(
        &["--max-subscribers-per-channel", "1"],
        "--max-subscribers-per-channel",
        |server| {
            first.get_or_insert_with(|| server.follow("/sub/a", &[]));
            assert_eq!(server.get("/sub/a").head.status, 403);
            server.connect().upgrade("/ws/a", &[]);
        },
    );
    check(
        &["--max-channels-per-request", "2"],
        "--max-channels-per-request",
        |server| {
            assert_eq!(server.get("/poll/a/b/c").head.status, 400);
        },
    );
    check(
        &["--max-channel-id-length", "2"],
        "--max-channel-id-length",
        |server| {
            assert_eq!(server.get("/poll/abc").head.status, 400);
        },
    );
}

#[test]
fn limits_on_sizes_are_logged() {
    check(&["--max-body-size", "10"], "--max-body-size", |server| {
        assert_eq!(post(server, "/pub?id=a", &[], b"12345678901"), 413);
        let mut chunked = server.connect();
        chunked.send(
            "POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\n\
                      Transfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n",
        );
        assert_eq!(chunked.read_head().status, 413);
    });
    let batch = [("Content-Type", "application/x-ndjson")];
    check(&["--max-batch-size", "10"], "--max-batch-size", |server| {
        assert_eq!(
            post(
                server,
                "/pub?id=a",
                &batch,
                b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n"
            ),
            413
        );
    });
    check(
        &["--max-header-size", "1k"],
        "--max-header-size",
        |server| {
            let long = "x".repeat(2000);
            assert_eq!(
                server
                    .connect()
                    .request("GET", "/pub", &[("X", &long)], None)
                    .head
                    .status,
                400
            );
            assert_eq!(server.get(&format!("/pub?id={long}")).head.status, 414);
        },
    );
    check(
        &["--max-websocket-message-size", "10"],
        "--max-websocket-message-size",
        |server| {
            let mut websocket = server.websocket("/ws/a", &[]);
            websocket.send(frame(opcode::TEXT, b"12345678901"));
            assert_eq!(websocket.read_frame().opcode(), opcode::CLOSE);
        },
    );
}

#[test]
fn limits_on_connections_are_logged() {
    for option in ["--max-connections", "--max-connections-per-address"] {
        let mut held: Option<Connection> = None;
        check(&[option, "1"], option, |server| {
            held.get_or_insert_with(|| server.follow("/sub/a", &[]));
            // The response may be lost if the request reaches a closed connection.
            let _ = server.connect().try_read_head();
        });
    }
}
