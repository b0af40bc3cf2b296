//! Batches: many messages in one request, one JSON object per line.

use crate::support::{Connection, Directory, Response, Server, conf, object, wait_until};

const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");
const GOOD: &str = "{\"channel\":\"a\",\"text\":\"one\"}\n\r\n  {\"text\":\"two\"}\r\n\
                    {\"channel\":\"b\",\"base64\":\"dGhyZWU=\",\"event_id\":\"7\",\"event_type\":\"t\"}";

fn post(server: &Server, path: &str, body: impl AsRef<[u8]>) -> Response {
    server
        .connect()
        .request("POST", path, &[NDJSON], Some(body.as_ref()))
}

fn texts(server: &Server, channel: &str) -> Vec<String> {
    let answer = server.get(&format!("/poll/{channel}.b100000"));
    answer
        .body
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| object(line)["text"].as_str().expect("a text").to_owned())
        .collect()
}

fn published(server: &Server, channel: &str) -> u64 {
    let answer = server.get(&format!("/channels-stats?id={channel}"));
    if answer.head.status == 404 {
        0
    } else {
        object(&answer.body)["published_messages"]
            .as_u64()
            .expect("a number")
    }
}

/// The body in chunks of `size`, without the head.
fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn send_head(connection: &mut Connection, framing: &str) {
    connection.send(format!(
        "POST /pub?id=d HTTP/1.1\r\nHost: localhost\r\n\
                             Content-Type: application/x-ndjson\r\n{framing}\r\n\r\n"
    ));
}

#[test]
fn a_batch_is_published_in_its_order_and_counted() {
    let server = Server::start(&[]);
    let mut follower = server.follow("/sub/a/b/d", &[]);
    let answer = post(&server, "/pub?id=d", GOOD);
    assert_eq!(
        (answer.head.status, answer.body.as_slice()),
        (200, &b"{\"published\":3}\r\n"[..])
    );
    assert_eq!(answer.head.get("Content-Type"), Some("application/json"));
    let received: Vec<_> = (0..3)
        .map(|_| follower.next_line().expect("a message"))
        .collect();
    let seen: Vec<_> = received
        .iter()
        .map(|message| {
            (
                message.channel.as_str(),
                message.text.as_str(),
                message.event_id.as_str(),
            )
        })
        .collect();
    for expected in [("a", "one", ""), ("d", "two", ""), ("b", "three", "7")] {
        assert!(seen.contains(&expected), "{seen:?}");
    }
    server.stop();
}

#[test]
fn the_connection_goes_on_after_a_batch() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for _ in 0..3 {
        assert_eq!(
            connection
                .request(
                    "POST",
                    "/pub",
                    &[NDJSON],
                    Some(b"{\"channel\":\"a\",\"text\":\"x\"}\n")
                )
                .body,
            b"{\"published\":1}\r\n"
        );
        assert_eq!(
            connection
                .request(
                    "PUT",
                    "/pub",
                    &[("content-type", "Application/X-NDJSON; charset=utf-8")],
                    Some(b"")
                )
                .body,
            b"{\"published\":0}\r\n"
        );
    }
    assert_eq!(
        connection
            .request("POST", "/pub?id=a", &[], Some(b"plain"))
            .head
            .status,
        200
    );
    assert_eq!(texts(&server, "a"), ["x", "x", "x", "plain"]);
    server.stop();
}

#[test]
fn the_first_bad_line_ends_a_batch_and_the_answer_names_it() {
    let server = Server::start(&["--max-channel-id-length", "5", "--max-body-size", "100"]);
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(100));
    let cases: [(&str, &[u8], u16, &str); 19] = [
        (
            "",
            b"{\"chanel\":\"a\",\"text\":\"x\"}",
            400,
            "unknown field `chanel`, expected one of `channel`, `text`, `base64`, `event_id`, \
             `event_type` (column 9)",
        ),
        (
            "?id=d",
            b"{\"text\":\"x\",\"text\":\"y\"}",
            400,
            "duplicate field `text` (column 18)",
        ),
        (
            "?id=d",
            b"{\"text\":5}",
            400,
            "invalid type: integer `5`, expected a string (column 9)",
        ),
        (
            "?id=d",
            b"{\"text\":\"x\"} {}",
            400,
            "trailing characters (column 14)",
        ),
        (
            "?id=d",
            b"{\"text\":\"x",
            400,
            "EOF while parsing a string (column 10)",
        ),
        (
            "?id=d",
            b"[\"d\",\"x\"]",
            400,
            "the line is not a JSON object",
        ),
        ("?id=d", b"hello", 400, "the line is not a JSON object"),
        (
            "?id=d",
            b"{\"text\":\"\xff\"}",
            400,
            "the line is not UTF-8 after 9 bytes",
        ),
        (
            "?id=d",
            b"{\"text\":\"x\",\"base64\":\"eA==\"}",
            400,
            "the line has both \"text\" and \"base64\"",
        ),
        (
            "?id=d",
            b"{\"channel\":\"d\"}",
            400,
            "the line has neither \"text\" nor \"base64\"",
        ),
        (
            "?id=d",
            b"{\"base64\":\"?\"}",
            400,
            "invalid \"base64\": Invalid symbol 63, offset 0.",
        ),
        (
            "?id=d",
            b"{\"text\":\"\"}",
            400,
            "Empty post requests are not allowed.",
        ),
        (
            "?id=d",
            b"{\"text\":\"x\",\"event_id\":\"a\\nb\"}",
            400,
            "\"event_id\" contains a line break or NUL",
        ),
        ("", b"{\"text\":\"x\"}", 400, "No channel id provided."),
        (
            "?id=d",
            b"{\"channel\":\"\",\"text\":\"x\"}",
            400,
            "No channel id provided.",
        ),
        (
            "",
            b"{\"channel\":\"ALL\",\"text\":\"x\"}",
            403,
            "Channel id not authorized for this method.",
        ),
        (
            "",
            b"{\"channel\":\"a*\",\"text\":\"x\"}",
            403,
            "Channel id not authorized for this method.",
        ),
        (
            "",
            b"{\"channel\":\"longer\",\"text\":\"x\"}",
            400,
            "Channel id is too large.",
        ),
        (
            "?id=d",
            long.as_bytes(),
            413,
            "the line is longer than 100 bytes (--max-body-size)",
        ),
    ];
    for (number, (query, line, status, reason)) in cases.iter().enumerate() {
        let mut body =
            b"{\"channel\":\"ok\",\"text\":\"1\"}\n\n{\"channel\":\"ok\",\"text\":\"2\"}\n"
                .to_vec();
        body.extend_from_slice(line);
        body.extend_from_slice(b"\n{\"channel\":\"never\",\"text\":\"3\"}\n");
        let mut connection = server.connect();
        let answer = connection.request("POST", &format!("/pub{query}"), &[NDJSON], Some(&body));
        let expected = serde_json::json!({"published": 2, "error": {"line": 4, "status": status, "reason": reason}});
        assert_eq!(
            (answer.head.status, object(&answer.body)),
            (*status, expected),
            "{}",
            String::from_utf8_lossy(line)
        );
        connection.half_close();
        connection.expect_close();
        assert_eq!(published(&server, "ok"), 2 * (number as u64 + 1));
    }
    assert_eq!(
        (published(&server, "never"), published(&server, "d")),
        (0, 0)
    );
    server.stop();
}

#[test]
fn limits_on_channels_are_403_with_the_count() {
    let server = Server::start(&["--max-channels", "2", "--max-channels-per-request", "2"]);
    let line = |channel: &str| format!("{{\"channel\":\"{channel}\",\"text\":\"x\"}}\n");
    let answer = post(
        &server,
        "/pub",
        ["a", "b", "a", "c", "a"].map(line).concat(),
    );
    let error = serde_json::json!({"line": 4, "status": 403, "reason": "Number of channels were exceeded."});
    assert_eq!(
        (answer.head.status, object(&answer.body)),
        (403, serde_json::json!({"published": 3, "error": error}))
    );
    let answer = post(&server, "/pub", line("a/b") + &line("a/b/a"));
    let error = serde_json::json!({"line": 2, "status": 400, "reason": "Too many channels in one request."});
    assert_eq!(
        (answer.head.status, object(&answer.body)),
        (400, serde_json::json!({"published": 1, "error": error}))
    );
    assert_eq!((published(&server, "a"), published(&server, "b")), (3, 2));
    server.stop();
}

#[test]
fn a_batch_is_the_same_wherever_it_is_cut() {
    let server = Server::start(&[]);
    let mut rounds = 0;
    for cut in 1..GOOD.len() {
        let mut connection = server.connect();
        let (first, second) = GOOD.as_bytes().split_at(cut);
        send_head(&mut connection, &format!("Content-Length: {}", GOOD.len()));
        connection.send(first);
        // The answer to another request shows that the server had time to read the first piece.
        server.get("/pub?id=nothing");
        connection.send(second);
        assert_eq!(
            connection.read_response().body,
            b"{\"published\":3}\r\n",
            "cut at {cut}"
        );
        rounds += 1;
    }
    for size in [1, 2, 7, 1000] {
        let mut connection = server.connect();
        send_head(&mut connection, "Transfer-Encoding: chunked");
        for piece in chunked(GOOD.as_bytes(), size).chunks(11) {
            connection.send(piece);
        }
        assert_eq!(
            connection.read_response().body,
            b"{\"published\":3}\r\n",
            "chunks of {size}"
        );
        assert_eq!(
            connection
                .request("GET", "/pub?id=a", &[], None)
                .head
                .status,
            200,
            "the connection goes on"
        );
        rounds += 1;
    }
    assert_eq!(
        ["a", "b", "d"].map(|channel| published(&server, channel)),
        [rounds; 3]
    );
    server.stop();
}

#[test]
fn lines_are_published_as_they_come_and_stay_when_the_publisher_leaves() {
    let server = Server::start(&[]);
    let mut follower = server.follow("/sub/d", &[]);
    let mut connection = server.connect();
    send_head(&mut connection, "Content-Length: 1000");
    connection.send("{\"text\":\"one\"}\n{\"text\":\"two\"}\n{\"text\":\"thr");
    assert_eq!(
        follower.next_line().expect("before the batch ends").text,
        "one"
    );
    assert_eq!(
        follower.next_line().expect("before the batch ends").text,
        "two"
    );
    drop(connection);
    server.publish("d", "last");
    assert_eq!(
        follower.next_line().expect("the connection is open").text,
        "last"
    );
    assert_eq!(published(&server, "d"), 3);
    server.stop();
}

#[test]
fn a_batch_that_is_too_large_is_413() {
    let server = Server::start(&["--max-batch-size", "100"]);
    let line = "{\"text\":\"0123456789\"}\n";
    let announced = post(&server, "/pub?id=d", line.repeat(10));
    let error = |line: u64| {
        serde_json::json!({"line": line, "status": 413, "reason": "the batch \
        is larger than 100 bytes (--max-batch-size)"})
    };
    assert_eq!(
        (announced.head.status, object(&announced.body)),
        (413, serde_json::json!({"published": 0, "error": error(1)}))
    );
    let mut connection = server.connect();
    send_head(&mut connection, "Transfer-Encoding: chunked");
    connection.send(chunked(line.repeat(10).as_bytes(), line.len()));
    let answer = connection.read_response();
    assert_eq!(
        (answer.head.status, object(&answer.body)),
        (413, serde_json::json!({"published": 4, "error": error(5)}))
    );
    assert_eq!(published(&server, "d"), 4);
    server.stop();
}

#[test]
fn broken_chunks_end_a_batch_after_what_came_before() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    send_head(&mut connection, "Transfer-Encoding: chunked");
    connection.send("f\r\n{\"text\":\"one\"}\n\r\nnonsense\r\n");
    let answer = connection.read_response();
    let error = serde_json::json!({"line": 2, "status": 400, "reason": "the chunks of the body are malformed"});
    assert_eq!(
        (answer.head.status, object(&answer.body)),
        (400, serde_json::json!({"published": 1, "error": error}))
    );
    server.stop();
}

#[test]
fn a_full_store_ends_a_batch_with_500_and_works_again_afterwards() {
    let server = Server::start(&["--memory", "1m", "--max-stored-messages", "1000000"]);
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1000));
    let answer = post(&server, "/pub?id=d", line.repeat(2000));
    assert_eq!(answer.head.status, 500);
    let count = object(&answer.body)["published"]
        .as_u64()
        .expect("a number");
    assert_eq!(object(&answer.body)["error"]["line"], count + 1);
    assert!(
        (100..2000).contains(&count) && published(&server, "d") == count,
        "{count}"
    );
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=d", &[], None)
            .head
            .status,
        200
    );
    wait_until("there is room again", || {
        post(&server, "/pub?id=d", &line).head.status == 200
    });
    server.stop();
}

#[test]
fn lines_that_never_end_count_against_the_memory() {
    let server = Server::start(&["--memory", "8m", "--max-body-size", "20m"]);
    let mut connection = server.connect();
    send_head(&mut connection, "Content-Length: 10000000");
    connection.send("{\"text\":\"one\"}\n");
    connection.send(vec![b'x'; 9_500_000]);
    let answer = connection.read_response();
    let reason = "no memory left for the line (the bound is set by --memory)";
    let error = serde_json::json!({"line": 2, "status": 500, "reason": reason});
    assert_eq!(
        (answer.head.status, object(&answer.body)),
        (500, serde_json::json!({"published": 1, "error": error}))
    );
    drop(connection);
    wait_until("there is room again", || {
        post(&server, "/pub?id=d", "{\"text\":\"x\"}").head.status == 200
    });
    server.stop();
}

#[test]
fn a_large_batch_reaches_followers_whole_while_others_are_served() {
    const LINES: usize = 20_000;
    let server = Server::start(&["--shards", "1", "--max-stored-messages", "100000"]);
    let mut follower = server.follow("/sub/d", &[]);
    let body: String = (0..LINES)
        .map(|number| format!("{{\"text\":\"{number}\"}}\n"))
        .collect();
    let mut publisher = server.connect();
    publisher.send_request("POST", "/pub?id=d", &[NDJSON], Some(body.as_bytes()));
    server.publish("other", "meanwhile");
    for number in 0..LINES {
        assert_eq!(
            follower.next_line().expect("a message").text,
            number.to_string()
        );
    }
    assert_eq!(
        publisher.read_response().body,
        format!("{{\"published\":{LINES}}}\r\n").as_bytes()
    );
    server.stop();
}

#[test]
fn the_connection_goes_on_after_a_failed_batch_that_was_read_whole() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for framing in [
        "Content-Length: 3\r\n\r\n{}\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n",
    ] {
        connection.send(format!(
            "POST /pub?id=d HTTP/1.1\r\nHost: localhost\r\n\
                                 Content-Type: application/x-ndjson\r\n{framing}"
        ));
        let answer = connection.read_response();
        assert_eq!(
            (answer.head.status, answer.head.get("Connection")),
            (400, Some("keep-alive")),
            "{answer:?}"
        );
    }
    assert_eq!(
        connection
            .request("POST", "/pub?id=d", &[NDJSON], Some(b"{\"text\":\"x\"}"))
            .body,
        b"{\"published\":1}\r\n"
    );
    // Where more is to come, the server says that it takes no further request, and reads on to the
    // end of the body only.
    send_head(&mut connection, "Content-Length: 100");
    connection.send("{}\n");
    let answer = connection.read_response();
    assert_eq!(
        (answer.head.status, answer.head.get("Connection")),
        (400, Some("close")),
        "{answer:?}"
    );
    assert!(
        connection.closed_within(std::time::Duration::from_secs(5)),
        "the client is told at once"
    );
    server.stop();
}

#[test]
fn a_batch_that_names_too_many_channels_is_refused_before_its_lines() {
    let server = Server::start(&["--max-channels-per-request", "2"]);
    let answer = post(
        &server,
        "/pub?id=a/b/c",
        "{\"channel\":\"d\",\"text\":\"x\"}\n",
    );
    assert_eq!(
        (answer.head.status, answer.head.explain()),
        (400, Some("Too many channels in one request.")),
        "{answer:?}"
    );
    assert_eq!(published(&server, "d"), 0);
    server.stop();
}

#[test]
fn a_publisher_may_wait_for_continue() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    send_head(
        &mut connection,
        "Expect: 100-continue\r\nContent-Length: 14",
    );
    assert_eq!(connection.read_head().status, 100);
    connection.send("{\"text\":\"one\"}");
    assert_eq!(connection.read_response().body, b"{\"published\":1}\r\n");
    server.stop();
}

#[test]
fn imported_locations_publish_the_body_as_it_is_unless_told_otherwise() {
    let conf = |batch: &str| {
        format!(
            "events {{}}\nhttp {{ push_stream_shared_memory_size 32m; server {{ listen \
             127.0.0.1:{{{{PORT}}}};\n\
             location /pub {{ push_stream_publisher; push_stream_channels_path $arg_id; \
             push_stream_store_messages on; {batch} }}\n\
             location ~ /poll/(.*) {{ push_stream_subscriber polling; push_stream_channels_path \
             $1; push_stream_message_template '<~text~>'; }} }} }}\n"
        )
    };
    for (batch, expected) in [
        ("", "<{\"text\":\"x\"}>"),
        ("pushctl_batch off;", "<{\"text\":\"x\"}>"),
        ("pushctl_batch on;", "<x>"),
    ] {
        let server = Server::with_conf(&conf(batch));
        assert_eq!(
            post(&server, "/pub?id=d", "{\"text\":\"x\"}").head.status,
            200
        );
        assert_eq!(server.get("/poll/d.b1").text(), expected, "{batch}");
        server.stop();
    }
}

#[test]
fn a_batch_is_let_in_answered_and_logged_as_its_location_says() {
    let directory = Directory::new("batch-log");
    let log = directory.path().join("access.log");
    let http = format!(
        "push_stream_shared_memory_size 32m; log_format f '$request_method $uri $status \
         $body_bytes_sent'; access_log {} f;",
        log.display()
    );
    let location = "location /pub { push_stream_publisher; push_stream_channels_path $arg_id; \
                    pushctl_batch on;
        add_header X-Good g; add_header X-Any a always; if ($arg_key != k) { return 403; } }";
    let server = Server::with_conf(&conf(&http, location));
    assert_eq!(post(&server, "/pub?id=d", GOOD).head.status, 403);
    let good = post(&server, "/pub?id=d&key=k", GOOD);
    let bad = post(&server, "/pub?id=d&key=k", "nothing");
    let headers = |answer: &Response| {
        (
            answer.head.get("X-Good").is_some(),
            answer.head.get("X-Any").is_some(),
        )
    };
    assert_eq!((good.head.status, headers(&good)), (200, (true, true)));
    assert_eq!((bad.head.status, headers(&bad)), (400, (false, true)));
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("three lines are written", || read().lines().count() == 3);
    let lines: Vec<String> = read().lines().skip(1).map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            format!("POST /pub 200 {}", good.body.len()),
            format!("POST /pub 400 {}", bad.body.len())
        ]
    );
    server.stop();
}
