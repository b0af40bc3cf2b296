//! Limits on connections: slow, excessive and dead ones. A healthy follower must miss nothing.

use std::net::TcpStream;
use std::time::Duration;

use super::bad_input::Scene;
use crate::support::{Connection, Server, Socket, object, opcode, show, turn, wait_until};

/// Sends `bytes` one by one until the server closes the connection; returns how many it took.
fn drip(connection: &mut Connection, bytes: impl Iterator<Item = u8>) -> usize {
    const PAUSE: Duration = Duration::from_millis(20);
    for (count, byte) in bytes.enumerate() {
        if !connection.try_send([byte]) || connection.closed_within(PAUSE) {
            return count;
        }
    }
    panic!("the slow client was never closed");
}

/// The number of occurrences of `needle` in the server's log.
fn logged(server: &Server, needle: &str) -> usize {
    server.stderr().matches(needle).count()
}

/// The complete response to a rejected connection.
fn refusal(mut connection: Connection) -> String {
    show(&connection.read_to_close())
}

const REJECTED: &str = "HTTP/1.1 503 Service Unavailable\\r\\nContent-Length: \
     0\\r\\nRetry-After: 5\\r\\nConnection: \
     close\\r\\n\\r\\n";

#[test]
fn a_body_that_drips_is_cut_off_though_no_pause_is_long() {
    let mut scene = Scene::new(&["--body-timeout", "1s", "--min-body-rate", "1k"]);
    for framing in [
        "Content-Length: 100000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffff\r\n",
    ] {
        let mut slow = scene.server.connect();
        slow.send(format!(
            "POST /pub?id=c HTTP/1.1\r\nHost: localhost\r\n{framing}"
        ));
        let taken = drip(&mut slow, std::iter::repeat_n(b'x', 3000));
        assert!(taken > 10, "it has the first second anyway: {taken} bytes");
        scene.check();
    }
    scene.end();
}

#[test]
fn slow_bodies_are_accepted_without_a_minimum_rate() {
    let mut scene = Scene::new(&["--body-timeout", "1s", "--min-body-rate", "0"]);
    let mut slow = scene.server.connect();
    slow.send("POST /pub?id=c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n");
    for byte in b"as slow as this is." {
        slow.send([*byte]);
        assert!(
            !slow.closed_within(Duration::from_millis(100)),
            "closed though bytes came"
        );
    }
    slow.send(".");
    assert_eq!(slow.read_response().head.status, 200);
    scene.arrives("as slow as this is..");
    scene.end();
}

/// Locations of an imported file in which a read may take a second.
fn imported(arguments: &[&str]) -> Server {
    let locations = "client_body_timeout 1s;
        location ~ /ws/(.*) { push_stream_subscriber websocket; push_stream_channels_path $1;
            push_stream_websocket_allow_publish on; push_stream_message_template ~text~; }
        location ~ /nchan/(.*) { nchan_pubsub websocket; nchan_channel_id $1; }
        location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; }";
    Server::try_with_conf(
        &crate::support::conf("push_stream_shared_memory_size 10m;", locations),
        arguments,
    )
    .expect("a valid configuration")
}

/// Sends bytes with pauses that are shorter than the limit, for several times as long as that in
/// all; whether the connection is still open then.
fn trickle(connection: &mut Connection, bytes: &[u8]) -> bool {
    const PAUSE: Duration = Duration::from_millis(250);
    bytes
        .iter()
        .all(|byte| connection.try_send([*byte]) && !connection.closed_within(PAUSE))
}

#[test]
fn in_imported_locations_the_body_timeout_is_the_time_between_two_reads() {
    let server = imported(&[]);
    let message = crate::support::frame(opcode::TEXT, b"hello");
    let mut clients = [
        server.websocket("/ws/c", &[]),
        server.websocket("/nchan/c", &[]),
        server.connect(),
    ];
    let upload = b"POST /pub?id=c HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    clients[2].send(upload);
    std::thread::scope(|scope| {
        for (client, bytes) in clients
            .iter_mut()
            .zip([&message[..], &message, b"to follow"])
        {
            scope.spawn(move || assert!(trickle(client, bytes), "closed though bytes came"));
        }
    });
    assert_eq!(clients[2].read_response().head.status, 200);
    let published =
        |server: &Server| object(&server.get("/pub?id=c").body)["published_messages"].as_u64();
    wait_until("all messages are published", || {
        published(&server) == Some(3)
    });
    server.stop();
}

#[test]
fn a_minimum_rate_applies_to_imported_locations_if_it_is_given() {
    let server = imported(&["--min-body-rate", "1k"]);
    let mut websocket = server.websocket("/ws/c", &[]);
    let message = crate::support::frame(opcode::TEXT, &[b'x'; 100]);
    let taken = drip(&mut websocket, message.into_iter());
    assert!(taken > 10, "it has the first second anyway: {taken} bytes");
    server.stop();
}

#[test]
fn a_websocket_message_that_drips_is_cut_off_though_no_pause_is_long() {
    let mut scene = Scene::new(&["--body-timeout", "1s", "--min-body-rate", "1k"]);
    let mut slow = scene.server.websocket("/ws/c", &[]);
    let message = crate::support::frame(opcode::TEXT, &[b'x'; 120]);
    let taken = drip(&mut slow, message.into_iter());
    assert!(taken > 10, "it has the first second anyway: {taken} bytes");
    scene.check();
    scene.end();
}

#[test]
fn connections_of_one_address_are_limited() {
    let scene = Scene::new(&["--max-connections-per-address", "5"]);
    let mut held: Vec<Connection> = (0..3).map(|_| scene.server.follow("/sub/x", &[])).collect();
    let last = scene.server.connect();
    assert_eq!(refusal(scene.server.connect()), REJECTED);
    assert_eq!(refusal(scene.server.connect()), REJECTED);
    // Another loopback address is another client.
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket
        .bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into())
        .expect("the whole of 127/8 is ours");
    let address: std::net::SocketAddr = scene.server.address().parse().expect("an address");
    socket.connect(&address.into()).expect("the server listens");
    let mut other = Connection::new(Socket::Tcp(TcpStream::from(socket)));
    assert_eq!(
        other
            .request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );
    held.pop();
    drop(last);
    wait_until("there is room again", || {
        let mut connection = scene.server.connect();
        connection.try_send("GET /pub?id=c HTTP/1.1\r\nHost: localhost\r\n\r\n")
            && connection
                .try_read_head()
                .is_some_and(|head| head.status == 200)
    });
    assert_eq!(
        logged(&scene.server, "too many from one address"),
        1,
        "logged once: {}",
        scene.server.stderr()
    );
    held.clear();
    scene.server.wait_for_subscribers("x", 0);
    scene.end();
}

#[test]
fn total_connections_are_limited_and_existing_ones_kept() {
    let mut scene = Scene::new(&["--max-connections", "10"]);
    let mut publisher = scene.server.connect();
    assert_eq!(
        publisher.request("GET", "/pub?id=c", &[], None).head.status,
        200
    );
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() < 10, "no connection is rejected");
        let mut connection = scene.server.connect();
        connection.send_request("GET", "/sub/x", &[], None);
        match connection.read_head().status {
            200 => held.push(connection),
            status => break status,
        }
    };
    assert_eq!(refused, 503);
    assert_eq!(refusal(scene.server.connect()), REJECTED);
    assert_eq!(
        publisher
            .request("POST", "/pub?id=c", &[], Some(b"in spite of all"))
            .head
            .status,
        200
    );
    scene.arrives("in spite of all");
    drop(held);
    wait_until("there is room again", || {
        let response = publisher.request("GET", "/pub?id=x", &[], None);
        String::from_utf8_lossy(&response.body).contains("\"subscribers\": 0")
    });
    scene.check();
    assert_eq!(
        logged(&scene.server, "too many open connections"),
        1,
        "{}",
        scene.server.stderr()
    );
    scene.end();
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_flood_is_shed_without_harming_followers() {
    const LIMIT: u64 = 64;
    const FLOOD: usize = 300;
    let _turn = turn();
    let server = Server::with_descriptors(LIMIT, &["--shards", "2"]);
    wait_until("the limit is reported", || {
        logged(&server, "capacity is about 32 connections") == 1
    });
    let mut follower = server.follow("/sub/c", &[]);
    let mut publisher = server.connect();
    let mut publish = |text: &str| {
        publisher
            .request("POST", "/pub?id=c", &[], Some(text.as_bytes()))
            .head
            .status
    };
    assert_eq!(publish("before"), 200);
    let mut flood: Vec<Connection> = (0..FLOOD).map(|_| server.connect()).collect();
    wait_until("those without a descriptor are rejected", || {
        flood
            .iter_mut()
            .filter_map(|connection| connection.closed_within(Duration::ZERO).then_some(()))
            .count()
            >= FLOOD - LIMIT as usize
    });
    assert_eq!(publish("during"), 200);
    // The flood is stable: rejected connections are closed, and the server is idle. A busy loop
    // would consume CPU time.
    let before = server.cpu_ticks();
    for _ in 0..50 {
        assert_eq!(publish("still"), 200);
        std::thread::sleep(Duration::from_millis(20));
    }
    let spent = server.cpu_ticks() - before;
    assert!(spent < 50, "{spent} hundredths of a second for 50 messages");
    assert_eq!(
        logged(&server, "cannot accept connections"),
        1,
        "{}",
        server.stderr()
    );
    let refused = flood
        .into_iter()
        .map(refusal_if_closed)
        .filter(|text| text == REJECTED)
        .count();
    assert!(refused >= FLOOD - LIMIT as usize, "{refused}");
    wait_until("connections are accepted again", || {
        let mut connection = server.connect();
        let served = connection.try_send("GET /pub?id=c HTTP/1.1\r\nHost: localhost\r\n\r\n")
            && connection
                .try_read_head()
                .is_some_and(|head| head.status == 200);
        served && logged(&server, "connections are accepted again") == 1
    });
    assert_eq!(
        logged(&server, "cannot accept connections"),
        1,
        "{}",
        server.stderr()
    );
    let texts: Vec<String> = (0..52)
        .map_while(|_| Some(follower.next_line()?.text))
        .collect();
    assert_eq!(
        (texts.len(), texts[0].as_str(), texts[1].as_str()),
        (52, "before", "during")
    );
    server.stop();
}

/// The received bytes, if the server has closed the connection.
fn refusal_if_closed(mut connection: Connection) -> String {
    if connection.closed_within(Duration::ZERO) {
        refusal(connection)
    } else {
        String::new()
    }
}

#[test]
fn a_websocket_without_pongs_is_dropped() {
    // The built-in locations ping every few seconds.
    let server = Server::start(&["--ping-timeout", "1s"]);
    let mut dead = server.websocket("/ws/c", &[]);
    let mut alive = server.websocket("/ws/c", &[]);
    let mut stream = server.follow("/sub/c", &[]);
    server.wait_for_subscribers("c", 3);
    loop {
        if alive.read_frame().opcode() == opcode::PING {
            alive.send(crate::support::frame(opcode::PONG, b""));
        }
        if server.subscribers("c") < 3 {
            break;
        }
    }
    assert_eq!(dead.read_frame().opcode(), opcode::PING);
    dead.expect_close();
    assert_eq!(
        server.subscribers("c"),
        2,
        "streams are not asked for an answer"
    );
    server.publish("c", "to those who live");
    let text = loop {
        match alive.read_frame() {
            frame if frame.opcode() == opcode::PING => {
                alive.send(crate::support::frame(opcode::PONG, b""))
            }
            frame => break frame.payload,
        }
    };
    assert!(String::from_utf8_lossy(&text).contains("to those who live"));
    assert!(
        std::iter::from_fn(|| stream.next_line())
            .any(|message| message.text == "to those who live")
    );
    server.stop();
}

#[test]
fn a_template_location_expects_no_pongs() {
    let locations =
        "location ~ /ws/(.*) { push_stream_subscriber websocket; push_stream_channels_path $1; \
         push_stream_ping_message_interval 1s; }
        location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; }";
    let conf = crate::support::conf("push_stream_shared_memory_size 10m;", locations);
    let server =
        Server::try_with_conf(&conf, &["--ping-timeout", "1s"]).expect("a valid configuration");
    let mut websocket = server.websocket("/ws/c", &[]);
    for _ in 0..4 {
        assert_eq!(websocket.read_frame().opcode(), opcode::PING);
    }
    server.stop();
}
