//! Responses byte by byte, where the recorded exchanges do not look: order and spelling of headers,
//! old and pipelining clients, `Expect`, half-closed connections.

use crate::support::{Connection, NO_CACHE, Server, conf};

const SERVER: &str = concat!("Server: pushctl/", env!("CARGO_PKG_VERSION"), "\r\n");

/// Every endpoint of the module, with short timers.
pub(super) fn server() -> Server {
    let locations = r#"
        location /channels-stats { push_stream_channels_statistics;
            push_stream_channels_path $arg_id; }
        location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
            push_stream_store_messages on; }
        location ~ ^/sub/(.*)$ {
            push_stream_subscriber; push_stream_channels_path $1;
            push_stream_header_template "HEAD|"; push_stream_message_template "<~text~>";
                push_stream_footer_template "|FOOT";
        }
        location ~ ^/ev/(.*)$ { push_stream_subscriber eventsource; push_stream_channels_path $1; }
        location ~ ^/ws/(.*)$ { push_stream_subscriber websocket; push_stream_channels_path $1; }
        location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1; }
        location ~ ^/short/(.*)$ {
            push_stream_subscriber long-polling; push_stream_channels_path $1;
                push_stream_longpolling_connection_ttl 100ms;
        }
        location ~ ^/poll/(.*)$ { push_stream_subscriber polling; push_stream_channels_path $1; }"#;
    Server::with_conf(&conf("push_stream_shared_memory_size 10m;", locations))
}

/// A head in which the dates are checked to be dates and replaced by `DATE`.
fn masked(head: &str) -> String {
    let mut masked = String::new();
    for line in head.split_inclusive("\r\n") {
        match line.split_once(": ") {
            Some((name @ ("Date" | "Last-Modified"), value)) => {
                let value = value.trim_end();
                let time = httpdate::parse_http_date(value)
                    .unwrap_or_else(|_| panic!("not a date: {line:?}"));
                assert_eq!(
                    httpdate::fmt_http_date(time),
                    value,
                    "not the preferred form of a date"
                );
                masked.push_str(&format!("{name}: DATE\r\n"));
            }
            _ => masked.push_str(line),
        }
    }
    masked
}

/// Sends the request and returns the head, dates masked, and the body of the response.
fn exchange(connection: &mut Connection, request: &str) -> (String, String) {
    connection.send(request);
    let response = connection.read_response();
    (
        masked(&response.head.raw),
        String::from_utf8(response.body).expect("a body in UTF-8"),
    )
}

#[test]
fn publisher_responses_are_exact() {
    let server = server();
    let mut connection = server.connect();
    let (head, body) = exchange(
        &mut connection,
        "POST /pub?id=ch1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\nHello World!",
    );
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 200 OK\r\n{SERVER}Date: DATE\r\nContent-Type: application/json\r\n\
             Content-Length: 85\r\nConnection: keep-alive\r\n{NO_CACHE}\r\n"
        )
    );
    assert_eq!(
        body,
        "{\"channel\": \"ch1\", \"published_messages\": 1, \"stored_messages\": 1, \
         \"subscribers\": 0}\r\n"
    );
    let (head, body) = exchange(
        &mut connection,
        "DELETE /pub?id=ch1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    let explain = "X-Nginx-PushStream-Explain: Channel deleted.\r\n";
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 200 OK\r\n{SERVER}Date: DATE\r\nContent-Length: 0\r\n\
             Connection: keep-alive\r\n{NO_CACHE}{explain}\r\n"
        )
    );
    assert_eq!(body, "");
    let (head, _) = exchange(
        &mut connection,
        "PATCH /pub?id=ch1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 405 Not Allowed\r\n{SERVER}Date: DATE\r\nContent-Length: 0\r\n\
             Connection: close\r\n{NO_CACHE}Allow: GET, POST, PUT, DELETE\r\n\r\n"
        )
    );
    connection.expect_close();
    server.stop();
}

#[test]
fn polling_responses_are_exact() {
    let server = server();
    let date = server
        .publish("a", "m1")
        .head
        .get("Date")
        .map(str::to_owned)
        .expect("a date");
    let mut connection = server.connect();
    let (head, body) = exchange(
        &mut connection,
        "GET /poll/a.b1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 200 OK\r\n{SERVER}Date: DATE\r\nContent-Type: text/plain\r\n\
             Last-Modified: DATE\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\
             {NO_CACHE}Etag: W/1\r\n\r\n"
        )
    );
    assert_eq!(body, "m1");
    let cursor = format!("If-Modified-Since: {date}\r\nIf-None-Match: W/1\r\n");
    let not_modified = format!(
        "HTTP/1.1 304 Not Modified\r\n{SERVER}Date: DATE\r\nContent-Type: text/plain\r\n\
         Content-Length: 0\r\nLast-Modified: DATE\r\nConnection: keep-alive\r\n{NO_CACHE}"
    );
    let (head, _) = exchange(
        &mut connection,
        &format!("GET /poll/a HTTP/1.1\r\nHost: localhost\r\n{cursor}\r\n"),
    );
    assert_eq!(head, format!("{not_modified}Etag: W/1\r\n\r\n"));
    let (head, _) = exchange(
        &mut connection,
        "GET /short/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(head, format!("{not_modified}Etag: W/0\r\n\r\n"));
    server.stop();
}

#[test]
fn streams_begin_and_end_exactly() {
    let server = server();
    server.publish("a", "m1");
    let mut connection = server.connect();
    connection.send("GET /sub/a.b1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let stream_head = |content_type: &str| {
        format!(
            "HTTP/1.1 200 OK\r\n{SERVER}Date: DATE\r\nContent-Type: {content_type}\r\n\
             Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n{NO_CACHE}\r\n"
        )
    };
    assert_eq!(
        masked(&connection.read_head().raw),
        stream_head("text/plain")
    );
    assert_eq!(connection.read_until(b">"), b"HEAD|<m1>");
    let mut events = server.connect();
    events.send("GET /ev/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(
        masked(&events.read_head().raw),
        stream_head("text/event-stream; charset=utf-8")
    );
    assert_eq!(events.read_until(b"\n"), b": \n");
    server.wait_for_subscribers("a", 2);

    let (head, _) = exchange(
        &mut server.connect(),
        "DELETE /pub?id=a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(connection.read_body(), b"<Channel deleted>|FOOT");
    assert_eq!(events.read_body(), b"data: Channel deleted\n\n");
    for connection in [&mut connection, &mut events] {
        let (head, _) = exchange(
            connection,
            "GET /pub?id=a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        );
        assert!(
            head.starts_with("HTTP/1.1 404 Not Found\r\n"),
            "the connection can be used again: {head}"
        );
    }
    server.stop();
}

#[test]
fn websocket_handshake_is_exact() {
    let server = server();
    let mut connection = server.connect();
    let head = connection.upgrade("/ws/a", &[]);
    assert_eq!(
        head.raw,
        format!(
            "HTTP/1.1 101 Switching Protocols\r\n{NO_CACHE}Upgrade: WebSocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
    );
    server.publish("a", "hello");
    let frame = connection.read_frame();
    assert_eq!(
        (frame.header.as_slice(), frame.payload.as_slice()),
        (b"\x81\x05".as_slice(), b"hello".as_slice())
    );
    let (head, _) = exchange(
        &mut server.connect(),
        "POST /ws/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
    );
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 405 Not Allowed\r\n{SERVER}Date: DATE\r\nContent-Length: 0\r\n\
             Connection: close\r\nAllow: GET\r\n\r\n"
        )
    );
    server.stop();
}

#[test]
fn http_1_0_bodies_end_with_the_connection() {
    let server = server();
    let mut publisher = server.connect();
    let request =
        "POST /pub?id=a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nm1";
    let (head, _) = exchange(&mut publisher, request);
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Connection: keep-alive\r\n"),
        "{head}"
    );
    let (head, _) = exchange(
        &mut publisher,
        "POST /pub?id=a HTTP/1.0\r\nContent-Length: 2\r\n\r\nm2",
    );
    assert!(head.contains("Connection: close\r\n"), "{head}");
    publisher.expect_close();

    let mut poll = server.connect();
    poll.send("GET /poll/a.b2 HTTP/1.0\r\n\r\n");
    let head = masked(&poll.read_head().raw);
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 200 OK\r\n{SERVER}Date: DATE\r\nContent-Type: text/plain\r\n\
             Last-Modified: DATE\r\nConnection: close\r\n{NO_CACHE}Etag: W/{}\r\n\r\n",
            head.split("W/")
                .nth(1)
                .and_then(|rest| rest.split('\r').next())
                .unwrap_or_default()
        )
    );
    assert_eq!(poll.read_body(), b"m1m2");

    let mut stream = server.connect();
    stream.send("GET /sub/a HTTP/1.0\r\n\r\n");
    let head = stream.read_head();
    assert_eq!(
        (head.get("Transfer-Encoding"), head.get("Connection")),
        (None, Some("close")),
        "{head:?}"
    );
    server.wait_for_subscribers("a", 1);
    server.publish("a", "m3");
    assert_eq!(stream.read_until(b">"), b"HEAD|<m3>");
    server.connect().request("DELETE", "/pub?id=a", &[], None);
    assert_eq!(stream.read_body(), b"<Channel deleted>|FOOT");
    server.stop();
}
