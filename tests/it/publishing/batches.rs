//! Batches: many messages in one request, one JSON object per line.

use crate::support::{Connection, Directory, Response, Server, conf, object, wait_until};

pub(super) const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");
const GOOD: &str = "{\"channel\":\"a\",\"text\":\"one\"}\n\r\n  {\"text\":\"two\"}\r\n\
                    {\"channel\":\"b\",\"base64\":\"dGhyZWU=\",\
                    \"event_id\":\"7\",\"event_type\":\"t\"}";

pub(super) fn post(server: &Server, path: &str, body: impl AsRef<[u8]>) -> Response {
    server
        .connect()
        .request("POST", path, &[NDJSON], Some(body.as_ref()))
}

fn texts(server: &Server, channel: &str) -> Vec<String> {
    let response = server.get(&format!("/poll/{channel}.b100000"));
    response
        .body
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| object(line)["text"].as_str().expect("a text").to_owned())
        .collect()
}

pub(super) fn published(server: &Server, channel: &str) -> u64 {
    let response = server.get(&format!("/channels-stats?id={channel}"));
    if response.head.status == 404 {
        0
    } else {
        object(&response.body)["published_messages"]
            .as_u64()
            .expect("a number")
    }
}

/// The body in chunks of `size`, without the head.
pub(super) fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

pub(super) fn send_head(connection: &mut Connection, framing: &str) {
    connection.send(format!(
        "POST /pub?id=d HTTP/1.1\r\nHost: localhost\r\n\
                             Content-Type: application/x-ndjson\r\n{framing}\r\n\r\n"
    ));
}

#[test]
fn a_batch_is_published_in_its_order_and_counted() {
    let server = Server::start(&[]);
    let mut follower = server.follow("/sub/a/b/d", &[]);
    let response = post(&server, "/pub?id=d", GOOD);
    assert_eq!(
        (response.head.status, response.body.as_slice()),
        (200, &b"{\"published\":3}\r\n"[..])
    );
    assert_eq!(response.head.get("Content-Type"), Some("application/json"));
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
fn the_connection_is_kept_after_a_batch() {
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
fn a_batch_is_the_same_wherever_it_is_cut() {
    let server = Server::start(&[]);
    let mut rounds = 0;
    for cut in 1..GOOD.len() {
        let mut connection = server.connect();
        let (first, second) = GOOD.as_bytes().split_at(cut);
        send_head(&mut connection, &format!("Content-Length: {}", GOOD.len()));
        connection.send(first);
        // The response to another request shows that the server had time to read the first piece.
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
            "the connection is kept"
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
fn lines_are_published_on_arrival_and_survive_a_disconnect() {
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
fn a_large_batch_reaches_followers_whole_while_others_are_served() {
    const LINES: usize = 20_000;
    let server = Server::start(&["--shards", "1", "--max-stored-messages", "100000"]);
    let mut follower = server.follow("/sub/d", &[]);
    let body: String = (0..LINES)
        .map(|number| format!("{{\"text\":\"{number}\"}}\n"))
        .collect();
    let mut publisher = server.connect();
    publisher.send_request("POST", "/pub?id=d", &[NDJSON], Some(body.as_bytes()));
    server.publish("other", "concurrent");
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
fn imported_locations_publish_the_raw_body_by_default() {
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
fn a_batch_is_authorized_answered_and_logged_by_its_location() {
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
    let headers = |response: &Response| {
        (
            response.head.get("X-Good").is_some(),
            response.head.get("X-Any").is_some(),
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
