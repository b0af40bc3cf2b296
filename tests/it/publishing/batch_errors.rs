//! Batches that fail: bad lines, limits, sizes and broken chunks.

use super::batches::{NDJSON, chunked, post, published, send_head};
use crate::support::{Server, object, wait_until};

/// Query, line, and the status and reason of the response.
const BAD_LINES: [(&str, &[u8], u16, &str); 18] = [
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
];

#[test]
fn the_first_bad_line_ends_a_batch_and_is_reported() {
    let server = Server::start(&["--max-channel-id-length", "5", "--max-body-size", "100"]);
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(100));
    let long_line = (
        "?id=d",
        long.as_bytes(),
        413,
        "the line is longer than 100 bytes (--max-body-size)",
    );
    let cases = BAD_LINES.iter().chain(std::iter::once(&long_line));
    for (number, (query, line, status, reason)) in cases.enumerate() {
        let mut body =
            b"{\"channel\":\"ok\",\"text\":\"1\"}\n\n{\"channel\":\"ok\",\"text\":\"2\"}\n"
                .to_vec();
        body.extend_from_slice(line);
        body.extend_from_slice(b"\n{\"channel\":\"never\",\"text\":\"3\"}\n");
        let mut connection = server.connect();
        let response = connection.request("POST", &format!("/pub{query}"), &[NDJSON], Some(&body));
        let expected = serde_json::json!({"published": 2, "error": {"line": 4, "status": status,
            "reason": reason}});
        assert_eq!(
            (response.head.status, object(&response.body)),
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
    let response = post(
        &server,
        "/pub",
        ["a", "b", "a", "c", "a"].map(line).concat(),
    );
    let error = serde_json::json!({"line": 4, "status": 403,
        "reason": "Number of channels were exceeded."});
    assert_eq!(
        (response.head.status, object(&response.body)),
        (403, serde_json::json!({"published": 3, "error": error}))
    );
    let response = post(&server, "/pub", line("a/b") + &line("a/b/a"));
    let error = serde_json::json!({"line": 2, "status": 400,
        "reason": "Too many channels in one request."});
    assert_eq!(
        (response.head.status, object(&response.body)),
        (400, serde_json::json!({"published": 1, "error": error}))
    );
    assert_eq!((published(&server, "a"), published(&server, "b")), (3, 2));
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
    let response = connection.read_response();
    assert_eq!(
        (response.head.status, object(&response.body)),
        (413, serde_json::json!({"published": 4, "error": error(5)}))
    );
    assert_eq!(published(&server, "d"), 4);
    server.stop();
}

#[test]
fn broken_chunks_end_a_batch_after_the_preceding_lines() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    send_head(&mut connection, "Transfer-Encoding: chunked");
    connection.send("f\r\n{\"text\":\"one\"}\n\r\nnonsense\r\n");
    let response = connection.read_response();
    let error = serde_json::json!({"line": 2, "status": 400,
        "reason": "the chunks of the body are malformed"});
    assert_eq!(
        (response.head.status, object(&response.body)),
        (400, serde_json::json!({"published": 1, "error": error}))
    );
    server.stop();
}

#[test]
fn a_full_store_ends_a_batch_with_500_and_recovers() {
    let server = Server::start(&["--memory", "1m", "--max-stored-messages", "1000000"]);
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1000));
    let response = post(&server, "/pub?id=d", line.repeat(2000));
    assert_eq!(response.head.status, 500);
    let count = object(&response.body)["published"]
        .as_u64()
        .expect("a number");
    assert_eq!(object(&response.body)["error"]["line"], count + 1);
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
fn lines_that_never_end_are_charged_to_the_memory_limit() {
    let server = Server::start(&["--memory", "8m", "--max-body-size", "20m"]);
    let mut connection = server.connect();
    send_head(&mut connection, "Content-Length: 10000000");
    connection.send("{\"text\":\"one\"}\n");
    connection.send(vec![b'x'; 9_500_000]);
    let response = connection.read_response();
    let reason = "no memory left for the line (the bound is set by --memory)";
    let error = serde_json::json!({"line": 2, "status": 500, "reason": reason});
    assert_eq!(
        (response.head.status, object(&response.body)),
        (500, serde_json::json!({"published": 1, "error": error}))
    );
    drop(connection);
    wait_until("there is room again", || {
        post(&server, "/pub?id=d", "{\"text\":\"x\"}").head.status == 200
    });
    server.stop();
}

#[test]
fn the_connection_is_kept_after_a_failed_batch_that_was_read() {
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
        let response = connection.read_response();
        assert_eq!(
            (response.head.status, response.head.get("Connection")),
            (400, Some("keep-alive")),
            "{response:?}"
        );
    }
    assert_eq!(
        connection
            .request("POST", "/pub?id=d", &[NDJSON], Some(b"{\"text\":\"x\"}"))
            .body,
        b"{\"published\":1}\r\n"
    );
    // If more input is pending, the server announces the close and reads only to the end of the
    // body.
    send_head(&mut connection, "Content-Length: 100");
    connection.send("{}\n");
    let response = connection.read_response();
    assert_eq!(
        (response.head.status, response.head.get("Connection")),
        (400, Some("close")),
        "{response:?}"
    );
    assert!(
        connection.closed_within(std::time::Duration::from_secs(5)),
        "the client is notified at once"
    );
    server.stop();
}

#[test]
fn a_batch_with_too_many_channels_is_rejected_before_its_lines() {
    let server = Server::start(&["--max-channels-per-request", "2"]);
    let response = post(
        &server,
        "/pub?id=a/b/c",
        "{\"channel\":\"d\",\"text\":\"x\"}\n",
    );
    assert_eq!(
        (response.head.status, response.head.explain()),
        (400, Some("Too many channels in one request.")),
        "{response:?}"
    );
    assert_eq!(published(&server, "d"), 0);
    server.stop();
}
