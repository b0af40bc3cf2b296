//! Unexpected request bodies, and malformed chunked ones.

use crate::support::{Connection, Server, conf, frame, object, opcode};

/// Body bytes that must never be parsed as a request.
const SMUGGLED: &str = "DELETE /pub?id=victim HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The headers and the bytes of a body, with its length and in chunks.
fn framed(body: &[u8]) -> [(String, Vec<u8>); 2] {
    let (first, second) = body.split_at(body.len() / 2);
    let mut chunked = Vec::new();
    for piece in [first, second, b""] {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    [
        (format!("Content-Length: {}\r\n", body.len()), body.to_vec()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), chunked),
    ]
}

/// Sends a GET with a body.
fn send_get(connection: &mut Connection, path: &str, headers: &str, body: &[u8]) {
    let mut request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes();
    request.extend_from_slice(body);
    connection.send(request);
}

/// A server with a message in channel `victim`.
fn server() -> Server {
    let server = Server::start(&[]);
    server.publish("victim", "m1");
    server
}

fn check_victim(server: &Server) {
    let info = server.get("/pub?id=victim");
    assert_eq!(info.head.status, 200, "what stood in a body was done");
    assert_eq!(object(&info.body)["published_messages"], 1);
}

#[test]
fn the_body_of_a_long_poll_is_not_taken_for_a_request() {
    let server = server();
    for (headers, body) in framed(SMUGGLED.as_bytes()) {
        let mut connection = server.connect();
        send_get(&mut connection, "/lp/x", &headers, &body);
        connection.send_request("GET", "/pub?id=victim", &[], None);
        server.wait_for_subscribers("x", 1);
        server.publish("x", "answer");
        assert_eq!(
            object(&connection.read_response().body)["text"],
            "answer",
            "{headers}"
        );
        let info = connection.read_response();
        assert_eq!(
            (info.head.status, &object(&info.body)["channel"]),
            (200, &"victim".into()),
            "{headers}"
        );
        let poll = connection.request("GET", "/poll/x.b1", &[], None);
        assert_eq!(
            object(&poll.body)["text"],
            "answer",
            "{headers}: exactly one answer for each request"
        );
        check_victim(&server);
    }
    server.stop();
}

#[test]
fn the_body_of_an_immediate_response_is_not_parsed_as_a_request() {
    let server = server();
    server.publish("x", "stored");
    for path in [
        "/poll/x.b1",
        "/lp/x.b1",
        "/channels-stats?id=x",
        "/pub?id=x",
        "/nothing",
    ] {
        for (headers, body) in framed(SMUGGLED.as_bytes()) {
            let mut connection = server.connect();
            send_get(&mut connection, path, &headers, &body);
            let status = if path == "/nothing" { 404 } else { 200 };
            assert_eq!(
                connection.read_response().head.status,
                status,
                "{path} {headers}"
            );
            let info = connection.request("GET", "/pub?id=victim", &[], None);
            assert_eq!(
                (info.head.status, &object(&info.body)["channel"]),
                (200, &"victim".into()),
                "{path} {headers}"
            );
        }
    }
    check_victim(&server);
    server.stop();
}

#[test]
fn the_body_of_a_stream_is_not_taken_for_a_request() {
    let server = server();
    for path in ["/sub/x", "/ev/x"] {
        for (headers, body) in framed(SMUGGLED.as_bytes()) {
            let mut connection = server.connect();
            send_get(&mut connection, path, &headers, &body);
            assert_eq!(connection.read_head().status, 200, "{path} {headers}");
            server.wait_for_subscribers("x", 1);
            server.publish("x", "news");
            let message = if path == "/ev/x" {
                connection.next_event()
            } else {
                connection.next_line()
            };
            assert_eq!(
                message.map(|message| message.text).as_deref(),
                Some("news"),
                "{path} {headers}"
            );
            // With its only channel the stream ends, and requests that wait behind it would be
            // served.
            assert_eq!(
                server
                    .connect()
                    .request("DELETE", "/pub?id=x", &[], None)
                    .head
                    .status,
                200
            );
            connection.read_body();
            connection.half_close();
            assert_eq!(
                connection.read_to_close(),
                b"",
                "{path} {headers}: an unexpected response"
            );
            check_victim(&server);
        }
    }
    server.stop();
}

#[test]
fn the_body_of_a_websocket_handshake_is_not_taken_for_frames() {
    let server = server();
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (number, (headers, body)) in (1..).zip(framed(&frame(opcode::TEXT, b"forged"))) {
        let mut websocket = server.connect();
        send_get(
            &mut websocket,
            "/ws/x",
            &format!("{handshake}{headers}"),
            &body,
        );
        assert_eq!(websocket.read_head().status, 101, "{headers}");
        websocket.send(frame(opcode::TEXT, b"genuine"));
        let message = websocket.next_text().expect("the websocket is open");
        assert_eq!(
            (message.id, message.text.as_str()),
            (number, "genuine"),
            "{headers}"
        );
    }
    server.stop();
}

#[test]
fn an_oversized_body_of_a_subscription_is_rejected() {
    let locations = "location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; \
                     push_stream_channels_path $1; client_max_body_size 10; }";
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", locations));
    for (headers, body) in framed(b"eleven bytes") {
        let mut connection = server.connect();
        send_get(&mut connection, "/lp/x", &headers, &body);
        assert_eq!(connection.read_response().head.status, 413, "{headers}");
        connection.expect_close();
    }
    server.stop();
}

/// The only response to a POST with these chunks.
fn status_of_chunks(server: &Server, chunks: &str) -> u16 {
    let mut connection = server.connect();
    connection.send(format!(
        "POST /pub?id=x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
    ));
    let status = connection.read_response().head.status;
    if status != 200 {
        connection.expect_close();
    }
    status
}

#[test]
fn a_chunk_size_without_digits_is_rejected() {
    let server = server();
    for chunks in [
        "\r\n\r\n",
        ";extension\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n\r\n",
        "5\r\nhello\r\n;\r\n\r\n",
    ] {
        assert_eq!(status_of_chunks(&server, chunks), 400, "{chunks:?}");
    }
    assert_eq!(status_of_chunks(&server, "5\r\nhello\r\n0\r\n\r\n"), 200);
    assert_eq!(
        object(&server.get("/pub?id=x").body)["published_messages"],
        1
    );
    server.stop();
}

#[test]
fn an_oversized_chunk_is_rejected_before_it_arrives() {
    let server = server();
    for chunks in [
        "100001\r\n",
        "ffffffffffffffff\r\n",
        "5\r\nhello\r\nffffc\r\n",
    ] {
        assert_eq!(status_of_chunks(&server, chunks), 413, "{chunks:?}");
    }
    assert_eq!(status_of_chunks(&server, "5\r\nhello\r\n0\r\n\r\n"), 200);
    assert_eq!(
        object(&server.get("/pub?id=x").body)["published_messages"],
        1
    );
    server.stop();
}
