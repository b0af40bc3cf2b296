//! Regression tests of websocket input: misread frames, lost connections.

use crate::support::{Server, find, frame, object, opcode};

/// The beginning of a frame that is larger than [`MOST`].
const OVERSIZED: [u8; 8] = [0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0];
const MOST: &str = "1000";
/// Start of the payload of the close frame.
const TOO_BIG: &[u8] = &[0x03, 0xf1];

pub(super) fn published(server: &Server, channel: &str) -> u64 {
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
fn only_the_newest_of_many_unread_pings_is_answered() {
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
