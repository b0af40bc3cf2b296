//! A server that is paused (a stopped process, a suspended machine, a starved core) does not time
//! out its clients: input received during the pause is in time. Every limit here is shorter than
//! the pause.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::support::{Connection, Directory, Server, conf, frame, object, opcode, wait_until};

/// Longer than every limit that is set here.
const PAUSE: Duration = Duration::from_millis(2500);

/// Clients of each kind.
const CLIENTS: usize = 5;

fn counter(server: &Server, name: &str) -> u64 {
    object(&server.get("/channels-stats").body)[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {name}"))
}

const UPLOAD_HEAD: &str = "POST /pub?id=c HTTP/1.1\r\nHost: localhost\r\n";

#[test]
fn an_idle_connection_serves_a_request_received_during_a_pause() {
    let server = Server::start(&["--keepalive-timeout", "1s", "--header-timeout", "1s"]);
    let mut used: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
    for connection in &mut used {
        assert_eq!(
            connection
                .request("POST", "/pub?id=c", &[], Some(b"before"))
                .head
                .status,
            200
        );
    }
    let mut unused: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
    let mut begun: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
    begun
        .iter_mut()
        .for_each(|connection| connection.send(UPLOAD_HEAD));
    // Connections are accepted in their order.
    assert_eq!(server.get("/pub?id=c").head.status, 200);
    server.pause(PAUSE, || {
        for connection in used.iter_mut().chain(&mut unused) {
            connection.send_request("POST", "/pub?id=c", &[], Some(b"during"));
        }
        begun
            .iter_mut()
            .for_each(|connection| connection.send("Content-Length: 6\r\n\r\nduring"));
    });
    for connection in used.iter_mut().chain(&mut unused).chain(&mut begun) {
        assert_eq!(connection.read_response().head.status, 200);
    }
    assert_eq!(
        object(&server.get("/pub?id=c").body)["published_messages"].as_u64(),
        Some(4 * CLIENTS as u64)
    );
    assert_eq!(
        counter(&server, "keepalive_timeouts") + counter(&server, "header_timeouts"),
        0
    );
    server.stop();
}

#[test]
fn the_rest_of_a_body_that_arrives_during_a_pause_is_in_time() {
    let server = Server::start(&["--body-timeout", "1s", "--min-body-rate", "1m"]);
    let framings = [
        "Content-Length: 10\r\n\r\nfirst",
        "Transfer-Encoding: chunked\r\n\r\na\r\nfirst",
    ];
    let mut uploads: Vec<Connection> = (0..2 * CLIENTS).map(|_| server.connect()).collect();
    for (upload, framing) in uploads.iter_mut().zip(framings.iter().cycle()) {
        upload.send(format!("{UPLOAD_HEAD}{framing}"));
    }
    let mut batch = server.connect();
    batch.send(format!(
        "{UPLOAD_HEAD}Content-Type: application/x-ndjson\r\n\
                        Content-Length: 26\r\n\r\n{{\"text\":\"1\"}}\n"
    ));
    let mut websocket = server.websocket("/ws/c", &[]);
    let message = frame(opcode::TEXT, b"from a websocket");
    websocket.send(&message[..8]);
    assert_eq!(server.get("/channels-stats").head.status, 200);
    server.pause(PAUSE, || {
        for (number, upload) in uploads.iter_mut().enumerate() {
            upload.send(if number % 2 == 0 {
                "after"
            } else {
                "after\r\n0\r\n\r\n"
            });
        }
        batch.send("{\"text\":\"2\"}\n");
        websocket.send(&message[8..]);
    });
    for connection in uploads.iter_mut().chain([&mut batch]) {
        assert_eq!(connection.read_response().head.status, 200);
    }
    let texts: Vec<String> = (0..)
        .map(|_| String::from_utf8(websocket.read_frame().payload).expect("JSON"))
        .take(2 * CLIENTS + 3)
        .collect();
    assert!(
        texts.iter().any(|text| text.contains("from a websocket")),
        "{texts:?}"
    );
    assert_eq!(counter(&server, "body_timeouts"), 0);
    server.stop();
}

#[test]
fn a_pong_received_during_a_pause_is_accepted() {
    let locations = "location ~ /ws/(.*) { nchan_subscriber websocket; nchan_channel_id $1; \
                     nchan_websocket_ping_interval 1s; }
        location /pub { nchan_publisher; nchan_channel_id $arg_id; }";
    let server = Server::with_conf(&conf("", locations));
    let mut websockets: Vec<Connection> = (0..CLIENTS)
        .map(|_| server.websocket("/ws/c", &[]))
        .collect();
    for websocket in &mut websockets {
        assert_eq!(websocket.read_frame().opcode(), opcode::PING);
    }
    server.pause(PAUSE, || {
        websockets
            .iter_mut()
            .for_each(|websocket| websocket.send(frame(opcode::PONG, b"")))
    });
    let mut publisher = server.connect();
    assert!(
        publisher
            .request("POST", "/pub?id=c", &[], Some(b"after"))
            .head
            .status
            < 300
    );
    for websocket in &mut websockets {
        let text = loop {
            match websocket.read_frame() {
                ping if ping.opcode() == opcode::PING => websocket.send(frame(opcode::PONG, b"")),
                other => break other.payload,
            }
        };
        assert_eq!(text, b"after");
    }
    server.stop();
}

#[test]
fn reads_during_a_pause_reset_the_send_timeout() {
    const LARGE: usize = 8_000_000;
    // Over TCP, the kernel may stop sending to a full receive window for more than a second. A unix
    // socket has room as soon as the client has read. With one shard, the response to a request
    // shows that the shard has written what it could to the other connections.
    let directory = Directory::new("pauses");
    let socket = format!("unix:{}", directory.path().join("s").display());
    let server = Server::start(&[
        "--listen",
        &socket,
        "--shards",
        "1",
        "--send-timeout",
        "2s",
        "--max-body-size",
        "10m",
        "--max-lag",
        "16m",
    ]);
    let text = "x".repeat(LARGE);
    server.publish("c", &text);
    let mut follower = server.connect();
    let mut reader = server.connect();
    follower.send_request("GET", "/sub/c.b1", &[], None);
    reader.send_request("GET", "/poll/c.b1", &[], None);
    assert_eq!(follower.read_head().status, 200);
    for connection in [&mut follower, &mut reader] {
        wait_until("the server sends the message", || connection.has_received());
    }
    assert_eq!(server.get("/channels-stats").head.status, 200);
    // Bytes in kernel buffers can be read; the server still has to write the rest.
    server.pause(PAUSE, || {
        [&mut follower, &mut reader].map(Connection::read_what_is_there)
    });
    // Read both at once, so that neither client stalls for longer than the limit.
    let (message, response) = thread::scope(|scope| {
        let message = scope.spawn(|| follower.next_line());
        let response = reader.read_response();
        (message.join().expect("the follower is served"), response)
    });
    assert!(message.is_some_and(|message| message.text == text));
    assert_eq!(response.head.status, 200);
    assert_eq!(
        (
            counter(&server, "slow_timed_out"),
            counter(&server, "send_timeouts")
        ),
        (0, 0)
    );
    server.stop();
}

#[test]
fn a_message_during_a_pause_precedes_the_long_poll_timeout() {
    let locations =
        "location ~ /lp/(.*) { push_stream_subscriber long-polling; push_stream_channels_path $1;
            push_stream_longpolling_connection_ttl 1s; }
        location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; }";
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", locations));
    let mut publisher = server.connect();
    assert_eq!(
        publisher
            .request("POST", "/pub?id=c", &[], Some(b""))
            .head
            .status,
        400
    );
    let mut polls: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
    polls
        .iter_mut()
        .for_each(|poll| poll.send_request("GET", "/lp/c", &[], None));
    wait_until("all wait", || {
        let info = publisher.request("GET", "/pub?id=c", &[], None);
        info.head.status == 200
            && object(&info.body)["subscribers"].as_u64() == Some(CLIENTS as u64)
    });
    server.pause(PAUSE, || {
        publisher.send_request("POST", "/pub?id=c", &[], Some(b"during"))
    });
    for poll in &mut polls {
        let response = poll.read_response();
        assert_eq!(
            (response.head.status, response.body.as_slice()),
            (200, &b"during"[..])
        );
    }
    server.stop();
}

#[test]
fn the_response_of_a_back_end_that_arrives_during_a_pause_is_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let locations = format!(
        "location /pub {{ nchan_channel_id $arg_id; nchan_publisher; nchan_authorize_request \
         /auth; }}
        location = /auth {{ internal; proxy_pass http://{address}/auth; }}"
    );
    let server = Server::try_with_conf(&conf("", &locations), &["--hook-timeout", "1s"])
        .expect("a valid configuration");
    let mut publisher = server.connect();
    publisher.send_request("POST", "/pub?id=c", &[], Some(b"text"));
    listener
        .set_nonblocking(true)
        .expect("the socket accepts options");
    let mut asked = None;
    wait_until("the server asks", || {
        asked = listener.accept().ok();
        asked.is_some()
    });
    let (mut asked, _) = asked.expect("it asked");
    asked
        .set_nonblocking(false)
        .expect("the socket accepts options");
    asked
        .set_read_timeout(Some(crate::support::DEADLINE))
        .expect("a positive time");
    read_head(&mut asked);
    server.pause(PAUSE, || {
        asked
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .expect("the server is there")
    });
    assert_eq!(publisher.read_response().head.status, 202);
    server.stop();
}

fn read_head(stream: &mut TcpStream) {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    while !read.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut piece).expect("a request");
        read.extend_from_slice(&piece[..count]);
    }
}

#[test]
fn a_close_that_arrives_during_a_pause_ends_a_websocket_cleanly() {
    let server = Server::start(&["--linger-time", "1s"]);
    let mut websocket = server.websocket("/ws/c", &[]);
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=c", &[], None)
            .head
            .status,
        200
    );
    while websocket.read_frame().opcode() != opcode::CLOSE {}
    server.pause(PAUSE, || {
        websocket.send(frame(opcode::CLOSE, &1000_u16.to_be_bytes()))
    });
    websocket.read_to_end().expect("the end, not a reset");
    assert_eq!(counter(&server, "linger_timeouts"), 0);
    server.stop();
}

#[test]
fn a_client_that_sends_nothing_is_ended_after_its_time_and_the_reason_is_counted() {
    let server = Server::start(&[
        "--keepalive-timeout",
        "1s",
        "--header-timeout",
        "1s",
        "--body-timeout",
        "1s",
        "--linger-time",
        "1s",
        "--log-level",
        "debug",
    ]);
    let mut idle = server.connect();
    assert_eq!(
        idle.request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );
    let mut silent = server.connect();
    let mut head = server.connect();
    head.send("GET / HT");
    let mut body = server.connect();
    body.send(format!("{UPLOAD_HEAD}Content-Length: 10\r\n\r\nx"));
    let mut websocket = server.websocket("/ws/c", &[]);
    websocket.send(&frame(opcode::TEXT, b"text")[..4]);
    for connection in [&mut idle, &mut silent, &mut head, &mut body, &mut websocket] {
        connection.expect_close();
    }
    for (name, count) in [
        ("keepalive_timeouts", 1),
        ("header_timeouts", 2),
        ("body_timeouts", 2),
    ] {
        assert_eq!(counter(&server, name), count, "{name}");
        assert_eq!(
            server.stderr().matches(&format!("\"{name}\"")).count() as u64,
            count,
            "{name}: {}",
            server.stderr()
        );
    }
    server.stop();
}

#[test]
fn the_end_of_subscriptions_is_counted_with_its_reason() {
    let server = Server::start(&[]);
    let mut followers = [server.follow("/sub/a", &[]), server.follow("/ev/a", &[])];
    let mut interrupted = server.connect();
    interrupted.send_request("GET", "/lp/b", &[], None);
    server.wait_for_subscribers("b", 1);
    let flood = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "x".repeat(1000)
    )
    .repeat(20);
    interrupted.send(flood);
    interrupted.expect_close();
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=a", &[], None)
            .head
            .status,
        200
    );
    followers
        .iter_mut()
        .for_each(|follower| drop(follower.read_body()));
    for (name, count) in [
        ("ended_channel_deleted", 2),
        ("dropped_subscribers_pipelining", 1),
        ("ended_time_to_live", 0),
    ] {
        assert_eq!(counter(&server, name), count, "{name}");
    }
    server.stop();
}

impl Connection {
    /// Keeps the received bytes until no more arrive.
    fn read_what_is_there(&mut self) {
        assert!(
            !self.closed_within(Duration::from_millis(100)),
            "the connection is open"
        );
    }
}
