//! Clients that misbehave over time: invalid websocket frames, slow bytes, unread responses. A
//! healthy follower of the same channel must miss nothing.

use std::time::Duration;

use super::bad_input::Scene;
use crate::support::{Connection, Frame, Message, frame, frame_with, opcode};

/// Reads to the end of a websocket and returns the payload of the close frame, if any; other frames
/// fail the test.
fn close_payload(websocket: &mut Connection, what: &str) -> Option<Vec<u8>> {
    let mut payload = None;
    while let Some(frame) = websocket.try_read_frame() {
        assert_eq!(
            (frame.opcode(), payload.is_none()),
            (opcode::CLOSE, true),
            "{what}: only one close frame may come: {frame:?}"
        );
        payload = Some(frame.payload);
    }
    payload
}

#[test]
fn a_malformed_websocket_frame_ends_its_connection() {
    let mut scene = Scene::new(&[]);
    let mask = Some([1, 2, 3, 4]);
    let wrong: &[(&str, Vec<u8>)] = &[
        ("binary", frame(opcode::BINARY, b"x")),
        ("reserved opcode 3", frame_with(0x83, b"x", mask)),
        ("reserved opcode 11", frame_with(0x8b, b"", mask)),
        (
            "continuation without start",
            frame(opcode::CONTINUATION, b"x"),
        ),
        (
            "text within a fragmented message",
            [
                frame_with(opcode::TEXT, b"a", mask),
                frame(opcode::TEXT, b"b"),
            ]
            .concat(),
        ),
        ("not UTF-8", frame(opcode::TEXT, b"\xff\xfe")),
        ("overlong UTF-8", frame(opcode::TEXT, b"\xc0\x80")),
    ];
    for (what, bytes) in wrong {
        let mut websocket = scene.server.websocket("/ws/c", &[]);
        websocket.send(bytes);
        close_payload(&mut websocket, what);
        scene.server.wait_for_subscribers("c", 1);
        scene.check();
    }
    scene.end();
}

#[test]
fn an_oversized_websocket_message_closes_with_1009() {
    const TOO_BIG: &[u8] = &[0x03, 0xf1];
    let mut scene = Scene::new(&["--max-websocket-message-size", "1000"]);
    let begin = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let fragment = frame_with(opcode::TEXT, &[b'x'; 600], Some([0; 4]));
    let rest = frame(opcode::CONTINUATION, &[b'x'; 600]);
    for bytes in [
        begin(1 << 40),
        begin(u64::MAX),
        begin(1 << 63),
        frame(opcode::TEXT, &[b'x'; 1001]),
        [fragment, rest].concat(),
    ] {
        let mut websocket = scene.server.websocket("/ws/c", &[]);
        websocket.try_send(&bytes);
        let payload = close_payload(&mut websocket, "too big");
        assert!(
            payload
                .as_ref()
                .is_some_and(|payload| payload.starts_with(TOO_BIG)),
            "{payload:?} after {:02x?}",
            &bytes[..14]
        );
        scene.server.wait_for_subscribers("c", 1);
        scene.check();
    }
    let mut websocket = scene.server.websocket("/ws/c", &[]);
    let largest = "x".repeat(1000);
    websocket.send(frame(opcode::TEXT, largest.as_bytes()));
    scene.arrives(&largest);
    scene.end();
}

#[test]
fn an_unfinished_websocket_frame_harms_no_other_client() {
    let mut scene = Scene::new(&[]);
    let whole = frame(opcode::TEXT, b"never complete");
    for length in [1, 2, 5, 10] {
        let mut websocket = scene.server.websocket("/ws/c", &[]);
        websocket.send(&whole[..length]);
        scene.server.wait_for_subscribers("c", 2);
        scene.check();
        assert!(
            websocket
                .next_text()
                .is_some_and(|message| message.text.starts_with("healthy")),
            "it is served until it goes"
        );
        drop(websocket);
        scene.server.wait_for_subscribers("c", 1);
    }
    scene.end();
}

#[test]
fn websocket_pings_are_answered_and_pongs_ignored() {
    let mut scene = Scene::new(&[]);
    let mut websocket = scene.server.websocket("/ws/c", &[]);
    websocket.send(frame(opcode::PONG, b"unasked"));
    websocket.send(frame(opcode::PING, b""));
    assert_eq!(
        websocket.read_frame(),
        Frame {
            header: vec![0x80 | opcode::PONG, 0],
            payload: Vec::new()
        }
    );
    scene.server.wait_for_subscribers("c", 2);
    scene.check();
    assert_eq!(websocket.next_text().map(|message| message.id), Some(2));
    scene.end();
}

#[test]
fn an_incomplete_handshake_is_rejected() {
    let mut scene = Scene::new(&[]);
    let complete = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: x",
        "Sec-WebSocket-Version: 13",
    ];
    for missing in 0..complete.len() {
        let mut connection = scene.server.connect();
        let headers: String = (0..4)
            .filter(|number| *number != missing)
            .map(|number| format!("{}\r\n", complete[number]))
            .collect();
        connection.send(format!(
            "GET /ws/c HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        ));
        let head = connection.read_head();
        assert_eq!(head.status, 400, "without {}", complete[missing]);
        assert!(head.explain().is_some_and(|explain| {
            explain.starts_with("Don't have at least one of the mandatory headers")
        }));
        connection.expect_close();
    }
    scene.check();
    scene.end();
}

/// Sends the bytes one by one, with a healthy message between any two, until the server closes the
/// connection.
fn drip(
    scene: &mut Scene,
    connection: &mut Connection,
    bytes: impl Iterator<Item = u8>,
) -> Vec<u8> {
    const PAUSE: Duration = Duration::from_millis(50);
    for byte in bytes {
        let sent = connection.try_send([byte]);
        scene.check();
        if !sent || connection.closed_within(PAUSE) {
            return connection.read_to_close();
        }
    }
    panic!("the slow client was never closed");
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let mut scene = Scene::new(&["--header-timeout", "1s"]);
    let head = b"GET /sub/c HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
        .iter()
        .copied()
        .chain(std::iter::repeat_n(b'x', 400));
    let mut connection = scene.server.connect();
    let response = drip(&mut scene, &mut connection, head);
    assert!(
        response.is_empty() || response.starts_with(b"HTTP/1.1 408 "),
        "{}",
        crate::support::show(&response)
    );
    let mut second = scene.server.connect();
    assert_eq!(
        second.request("GET", "/pub?id=c", &[], None).head.status,
        200
    );
    let head = b"GET /pub?id=c HTTP/1.1\r\nX-Slow: "
        .iter()
        .copied()
        .chain(std::iter::repeat_n(b'x', 400));
    drip(&mut scene, &mut second, head);
    scene.end();
}

#[test]
fn a_body_and_an_idle_connection_are_cut_off() {
    let mut scene = Scene::new(&["--body-timeout", "1s", "--keepalive-timeout", "1s"]);
    let mut stalled = scene.server.connect();
    stalled
        .send("POST /pub?id=c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nbeginning");
    let mut idle = scene.server.connect();
    assert_eq!(idle.request("GET", "/pub?id=c", &[], None).head.status, 200);
    idle.expect_close();
    let response = stalled.read_to_close();
    assert!(
        response.is_empty() || response.starts_with(b"HTTP/1.1 408 "),
        "{}",
        crate::support::show(&response)
    );
    scene.check();
    scene.end();
}

#[test]
fn a_subscriber_that_never_reads_is_dropped_alone() {
    let mut scene = Scene::new(&["--send-timeout", "1s"]);
    let mut deaf = Vec::new();
    for mode in ["sub", "ev", "ws"] {
        let mut connection = scene.server.connect_with_small_window();
        if mode == "ws" {
            connection.upgrade("/ws/c", &[]);
        } else {
            connection.send_request("GET", &format!("/{mode}/c"), &[], None);
        }
        deaf.push(connection);
    }
    scene.server.wait_for_subscribers("c", 4);
    let mut published = 0;
    while scene.server.subscribers("c") > 1 {
        published += 1;
        assert!(
            published < 2000,
            "no client was dropped after {published} messages"
        );
        scene.publish(&format!("{published} {}", "x".repeat(200_000)));
    }
    scene.end();
}

#[test]
fn a_paused_subscriber_catches_up() {
    const COUNT: i64 = 400;
    let mut scene = Scene::new(&[]);
    let mut pausing: Vec<(&str, Connection)> = Vec::new();
    for mode in ["sub", "ev", "ws"] {
        let mut connection = scene.server.connect_with_small_window();
        if mode == "ws" {
            connection.upgrade("/ws/c", &[]);
        } else {
            connection.send_request("GET", &format!("/{mode}/c"), &[], None);
            connection.read_head();
        }
        pausing.push((mode, connection));
    }
    scene.server.wait_for_subscribers("c", 4);
    let text = |number: i64| format!("{number} {}", "x".repeat(20_000));
    for number in 0..COUNT {
        scene.publish(&text(number));
    }
    for (mode, connection) in &mut pausing {
        let next = |connection: &mut Connection| -> Option<Message> {
            match *mode {
                "ev" => connection.next_event(),
                "ws" => connection.next_text(),
                _ => connection.next_line(),
            }
        };
        for number in 0..COUNT {
            let message = next(connection)
                .unwrap_or_else(|| panic!("/{mode}: ended before message {number}"));
            assert_eq!(
                (message.id, message.text == text(number)),
                (number + 2, true),
                "/{mode}"
            );
        }
    }
    scene.end();
}
