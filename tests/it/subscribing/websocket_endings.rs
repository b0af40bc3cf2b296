//! How websockets end: close handshakes, linger time, body timeout and protocol violations.

use super::websockets::published;
use crate::support::{Connection, Server, conf, frame, frame_with, opcode, wait_until};
use std::time::{Duration, Instant};

#[test]
fn a_close_response_is_not_sent_to_a_closed_connection() {
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
    // The server half-closes the connection; if it stopped reading, further input would reset the
    // connection.
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
    /// The server closes it, and the client responds.
    Answered,
    /// The server closes it, and the client does not respond.
    Silent,
    /// The client closes it.
    OfClient,
    /// No websocket, but a final response.
    LastAnswer,
}

/// A connection after its final response.
fn after_final_response(server: &Server) -> Connection {
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
fn check_connection_slots(linger_time: &str, ends: &[End]) {
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
                websocket = after_final_response(&server);
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
fn a_close_response_ends_the_linger_time() {
    check_connection_slots("1h", &[End::Answered, End::OfClient]);
}

#[test]
fn a_missing_close_response_is_awaited_for_the_linger_time_only() {
    check_connection_slots("100ms", &[End::Silent, End::LastAnswer]);
    check_connection_slots("0", &[End::Silent, End::LastAnswer]);
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
    // A client without an unfinished message may be silent forever, also after a complete message.
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

/// Client frames, and the close code that they cause.
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
    // Lengths that are not in their shortest form, rejected before the payload arrives.
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
