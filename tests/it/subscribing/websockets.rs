//! What clients send through websockets, where it once went to the wrong place or was kept for
//! ever.

use std::time::{Duration, Instant};

use crate::support::{
    Connection, Server, conf, find, frame, frame_with, object, opcode, wait_until,
};

/// The beginning of a frame that is larger than [`MOST`].
const OVERSIZED: [u8; 8] = [0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0];
const MOST: &str = "1000";
/// Payload of the close frame after it begins so.
const TOO_BIG: &[u8] = &[0x03, 0xf1];

fn published(server: &Server, channel: &str) -> u64 {
    object(&server.get(&format!("/pub?id={channel}")).body)["published_messages"]
        .as_u64()
        .expect("a number")
}

#[test]
fn nothing_behind_an_oversized_frame_is_taken_for_frames() {
    let server = Server::start(&["--max-websocket-message-size", MOST]);
    let forged = frame(opcode::TEXT, b"forged").repeat(100);
    for together in [true, false] {
        let mut websocket = server.websocket("/ws/c", &[]);
        if together {
            websocket.try_send([&OVERSIZED[..], &forged].concat());
        } else {
            websocket.try_send(OVERSIZED);
            websocket.try_send(&forged);
        }
        let close = websocket.read_frame();
        assert_eq!(
            (close.opcode(), close.payload.starts_with(TOO_BIG)),
            (opcode::CLOSE, true),
            "{close:?}"
        );
        websocket.try_send(&forged);
        websocket.expect_close();
        server.wait_for_subscribers("c", 0);
        assert_eq!(
            published(&server, "c"),
            0,
            "the payload of a refused frame was published"
        );
    }
    server.stop();
}

#[test]
fn nothing_behind_an_oversized_frame_is_taken_for_frames_while_the_socket_is_full() {
    const MESSAGES: u64 = 10;
    /// More than the buffers between client and server hold: when all is sent, most of it was read.
    const FORGED_BYTES: usize = 16 << 20;
    // On one shard a message is on its way when the next publication is answered, so the socket is
    // full at the end.
    let server = Server::start(&[
        "--shards",
        "1",
        "--max-websocket-message-size",
        MOST,
        "--max-lag",
        "100m",
    ]);
    let mut websocket = server.connect_with_small_window();
    websocket.upgrade("/ws/c", &[]);
    server.wait_for_subscribers("c", 1);
    for _ in 0..MESSAGES {
        server.publish("c", vec![b'x'; 1_000_000]);
    }
    assert_eq!(published(&server, "c"), MESSAGES);
    websocket.send(OVERSIZED);
    let forged = frame(opcode::TEXT, &[b'f'; 900]);
    let forged = forged.repeat(FORGED_BYTES / forged.len());
    websocket.send(&forged);
    assert_eq!(
        published(&server, "c"),
        MESSAGES,
        "the payload of a refused frame was published"
    );
    let rest = websocket.read_to_close();
    assert!(
        find(&rest, b"\"fff").is_none(),
        "a forged message was delivered"
    );
    server.wait_for_subscribers("c", 0);
    assert_eq!(published(&server, "c"), MESSAGES);
    server.stop();
}

#[test]
fn of_many_pings_of_a_client_that_does_not_read_the_newest_is_answered() {
    const MESSAGES: u64 = 10;
    const PINGS: u32 = 20_000;
    let server = Server::start(&["--shards", "1", "--max-lag", "100m"]);
    let mut websocket = server.connect_with_small_window();
    websocket.upgrade("/ws/c", &[]);
    server.wait_for_subscribers("c", 1);
    for _ in 0..MESSAGES {
        server.publish("c", vec![b'x'; 1_000_000]);
    }
    let pings: Vec<u8> = (0..PINGS)
        .flat_map(|number| frame(opcode::PING, &number.to_be_bytes()))
        .collect();
    websocket.send(pings);
    websocket.send(frame(opcode::TEXT, b"after the pings"));
    crate::support::wait_until("all pings were read", || {
        published(&server, "c") == MESSAGES + 1
    });
    let mut pongs = Vec::new();
    for _ in 0..MESSAGES + 2 {
        let frame = websocket.read_frame();
        if frame.opcode() == opcode::PONG {
            pongs.push(frame.payload);
        }
    }
    assert_eq!(
        pongs,
        [(PINGS - 1).to_be_bytes()],
        "one answer, to the newest ping"
    );
    server.stop();
}

#[test]
fn a_websocket_does_not_publish_to_a_channel_that_was_deleted_under_it() {
    let server = Server::start(&[]);
    let mut follower = server.follow("/sub/b", &[]);
    let mut websocket = server.websocket("/ws/a/b", &[]);
    server.wait_for_subscribers("b", 2);
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=a", &[], None)
            .head
            .status,
        200
    );
    for text in ["first", "second"] {
        websocket.send(frame(opcode::TEXT, text.as_bytes()));
        assert_eq!(
            follower.next_line().map(|message| message.text).as_deref(),
            Some(text)
        );
    }
    assert_eq!(
        server.get("/pub?id=a").head.status,
        404,
        "the deleted channel is back"
    );
    assert_eq!(published(&server, "b"), 2);
    server.stop();
}

#[test]
fn the_answer_to_a_close_does_not_come_to_a_closed_connection() {
    let server = Server::start(&["--linger-time", "1h"]);
    let mut websocket = server.websocket("/ws/a", &[]);
    server.wait_for_subscribers("a", 1);
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=a", &[], None)
            .head
            .status,
        200
    );
    assert_eq!(
        [(); 2].map(|()| websocket.read_frame().opcode()),
        [opcode::TEXT, opcode::CLOSE]
    );
    let mut successor = server.follow("/sub/a", &[]);
    // The server says that nothing more comes; if it took nothing more, what is sent first would
    // reset the connection.
    websocket.expect_close();
    for (opcode, payload) in [
        (opcode::TEXT, &b"too late"[..]),
        (opcode::PING, b""),
        (opcode::CLOSE, b""),
    ] {
        assert!(websocket.try_send(frame(opcode, payload)), "{opcode}");
    }
    server.publish("a", "in time");
    assert_eq!(
        successor.next_line().map(|message| message.text).as_deref(),
        Some("in time")
    );
    server.stop();
}

/// How a websocket ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The server closes it, and the client answers.
    Answered,
    /// The server closes it, and the client says nothing.
    Silent,
    /// The client closes it.
    OfClient,
    /// There was no websocket at all, but a last answer.
    LastAnswer,
}

/// A connection that got its last answer.
fn asked_for_the_last_time(server: &Server) -> Connection {
    let mut answered = None;
    wait_until("there is a place for a connection", || {
        let mut connection = server.connect();
        let is_sent = connection
            .try_send("GET /pub?id=x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let is_answered = is_sent
            && connection
                .try_read_head()
                .is_some_and(|head| head.status == 404);
        answered = is_answered.then_some(connection);
        is_answered
    });
    answered.expect("it was answered")
}

/// Websockets that have ended give up their place, though their clients keep their sockets.
fn check_places(linger_time: &str, ends: &[End]) {
    let server = Server::start(&["--max-connections", "2", "--linger-time", linger_time]);
    let mut publisher = server.connect();
    assert_eq!(
        publisher.request("GET", "/pub?id=a", &[], None).head.status,
        404
    );
    let mut held = Vec::new();
    for end in [ends, ends].concat() {
        let mut admitted = None;
        wait_until("there is a place for a websocket", || {
            let mut websocket = server.connect();
            let headers = "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                           Sec-WebSocket-Version: 13";
            let is_sent = websocket.try_send(format!(
                "GET /ws/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n{headers}\r\n\r\n"
            ));
            let is_admitted = is_sent
                && websocket
                    .try_read_head()
                    .is_some_and(|head| head.status == 101);
            admitted = is_admitted.then_some(websocket);
            is_admitted
        });
        let mut websocket = admitted.expect("it has a place");
        match end {
            End::Answered | End::Silent => {
                assert_eq!(
                    publisher
                        .request("DELETE", "/pub?id=a", &[], None)
                        .head
                        .status,
                    200
                );
                assert_eq!(
                    [(); 2].map(|()| websocket.read_frame().opcode()),
                    [opcode::TEXT, opcode::CLOSE],
                    "{end:?}"
                );
            }
            End::LastAnswer => {
                websocket.send(frame(opcode::CLOSE, b""));
                assert_eq!(websocket.read_frame().opcode(), opcode::CLOSE);
                websocket = asked_for_the_last_time(&server);
            }
            End::OfClient => {
                websocket.send(frame(opcode::CLOSE, b""));
                assert_eq!(websocket.read_frame().opcode(), opcode::CLOSE);
            }
        }
        if matches!(end, End::Answered) {
            websocket.send(frame(opcode::CLOSE, b""));
        }
        held.push(websocket);
    }
    server.stop();
}

#[test]
fn the_answer_to_a_close_ends_the_wait_for_it() {
    check_places("1h", &[End::Answered, End::OfClient]);
}

#[test]
fn the_answer_to_a_close_is_not_waited_for_longer_than_the_linger_time() {
    check_places("100ms", &[End::Silent, End::LastAnswer]);
    check_places("0", &[End::Silent, End::LastAnswer]);
}

#[test]
fn an_unfinished_websocket_message_is_ended_by_the_body_timeout() {
    let server = Server::start(&["--body-timeout", "1s"]);
    let mut idle = server.websocket("/ws/c", &[]);
    let begun = frame_with(opcode::TEXT, b"never ", Some([0; 4]));
    let half = frame(opcode::TEXT, b"complete");
    for unfinished in [&begun[..], &half[..9], &half[..1]] {
        let mut websocket = server.websocket("/ws/c", &[]);
        server.wait_for_subscribers("c", 2);
        websocket.send(unfinished);
        server.wait_for_subscribers("c", 1);
        websocket.read_to_close();
    }
    // One that has begun nothing may be silent for as long as it wants, also after a complete
    // message.
    for text in ["first", "second"] {
        idle.send(frame(opcode::TEXT, text.as_bytes()));
        assert_eq!(
            idle.next_text().map(|message| message.text).as_deref(),
            Some(text)
        );
    }
    server.stop();
}

#[test]
fn the_body_timeout_is_that_of_one_websocket_message_and_not_of_many() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let server = Server::start(&["--body-timeout", "1s"]);
    let mut websocket = server.websocket("/ws/c", &[]);
    let whole = frame(opcode::TEXT, b"one of many");
    let (first, second) = whole.split_at(whole.len() / 2);
    let end_and_begin = [second, first].concat();
    websocket.send(first);
    // A message is always under way, but each of them for a short time only.
    let begun = Instant::now();
    let mut number = 0;
    while begun.elapsed() < TIMEOUT * 2 {
        number += 1;
        websocket.send(&end_and_begin);
        let message = websocket.next_text().map(|message| message.id);
        assert_eq!(
            message,
            Some(number),
            "the websocket was dropped after {:?}",
            begun.elapsed()
        );
    }
    server.stop();
}

/// What a client sends, and the code of the close that it gets.
const VIOLATIONS: [(&str, u8, &[u8], bool, u16); 12] = [
    ("a frame without a mask", 0x81, b"a", false, 1002),
    ("RSV1", 0xc1, b"a", true, 1002),
    ("RSV2", 0xa1, b"a", true, 1002),
    ("RSV3", 0x91, b"a", true, 1002),
    ("a reserved opcode", 0x83, b"a", true, 1002),
    ("a reserved control opcode", 0x8b, b"", true, 1002),
    ("a continuation without a beginning", 0x80, b"a", true, 1002),
    ("a fragmented ping", 0x09, b"a", true, 1002),
    ("a ping of 126 bytes", 0x89, &[b'a'; 126], true, 1002),
    ("a close of one byte", 0x88, b"\x03", true, 1002),
    ("text that is not UTF-8", 0x81, b"\xff", true, 1007),
    ("binary", 0x82, b"a", true, 1003),
];

#[test]
fn frames_that_break_the_rules_close_the_built_in_websocket_and_publish_nothing() {
    let server = Server::start(&[]);
    for (what, first, payload, is_masked, code) in VIOLATIONS {
        let mut websocket = server.websocket("/ws/c", &[]);
        let mut bytes = frame_with(first, payload, is_masked.then_some([1, 2, 3, 4]));
        bytes.extend(frame(opcode::TEXT, b"behind it"));
        websocket.send(bytes);
        let close = websocket.read_frame();
        assert_eq!(
            (close.opcode(), &close.payload[..2]),
            (opcode::CLOSE, &code.to_be_bytes()[..]),
            "{what}"
        );
        websocket.send(frame(opcode::CLOSE, &code.to_be_bytes()));
        websocket.expect_close();
    }
    // Lengths that are not in their shortest form, known before the payload is there.
    for header in [
        &[0x81, 0xfe, 0, 1][..],
        &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1],
    ] {
        let mut websocket = server.websocket("/ws/c", &[]);
        websocket.send(header);
        let close = websocket.read_frame();
        assert_eq!(
            (close.opcode(), &close.payload[..2]),
            (opcode::CLOSE, &1002_u16.to_be_bytes()[..]),
            "{header:?}"
        );
    }
    let mut websocket = server.websocket("/ws/c", &[]);
    websocket.send(
        [
            frame_with(0x01, b"a", Some([1, 2, 3, 4])),
            frame(opcode::TEXT, b"b"),
        ]
        .concat(),
    );
    assert_eq!(
        &websocket.read_frame().payload[..2],
        &1002_u16.to_be_bytes(),
        "a text between fragments"
    );
    assert_eq!(published(&server, "c"), 0);
    server.stop();
}

#[test]
fn imported_websockets_take_the_frames_that_the_module_takes() {
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 10m;",
        "location /channels-stats { push_stream_channels_statistics; push_stream_channels_path \
         $arg_id; }
         location ~ ^/ws/(.*)$ {
             push_stream_subscriber websocket; push_stream_channels_path $1; \
             push_stream_websocket_allow_publish on;
         }",
    ));
    let mut websocket = server.websocket("/ws/c", &[]);
    websocket.send(
        [
            frame_with(0x81, b"no mask", None),
            frame_with(0xc1, b"RSV1", Some([1, 2, 3, 4])),
        ]
        .concat(),
    );
    assert_eq!(
        [
            websocket.read_frame().payload,
            websocket.read_frame().payload
        ],
        [b"no mask".to_vec(), b"RSV1".to_vec()]
    );
    server.stop();
}
