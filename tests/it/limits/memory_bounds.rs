//! Memory stays bounded whatever clients ask for, leave unread or leave unfinished.

use std::collections::BTreeMap;

use rustix::process::Signal;

use crate::support::{Connection, Message, Server, frame_with, object, opcode, turn, wait_until};

/// Text of a message that is nearly as large as the default limit allows.
const LARGE: usize = 1_000_000;

/// The messages of a body of the built-in locations.
fn messages(body: &[u8]) -> Vec<Message> {
    body.split_inclusive(|byte| *byte == b'\n')
        .map(Message::parse)
        .collect()
}

#[test]
fn responses_are_bounded_for_any_number_of_channels() {
    let server = Server::start(&[]);
    for _ in 0..4 {
        server.publish("a", vec![b'x'; LARGE]);
    }
    let response = server.get(&format!("/poll/{}", ["a.b9"; 200].join("/")));
    assert!(
        (LARGE..6_000_000).contains(&response.body.len()),
        "{} bytes",
        response.body.len()
    );
    let rest = server
        .connect()
        .request("GET", "/poll/a", &response.head.cursor(), None);
    let newest = messages(&response.body)
        .iter()
        .map(|message| message.id)
        .max();
    let next = messages(&rest.body).first().map(|message| message.id);
    assert_eq!(
        next,
        newest.map(|id| id + 1),
        "the cursor leads on to the message after the newest"
    );
    server.stop();
}

#[test]
fn cursors_of_truncated_responses_reach_every_message_once() {
    const MESSAGES: i64 = 5;
    let server = Server::start(&[]);
    let channels = ["a", "b", "c"];
    for number in 1..=MESSAGES {
        for channel in channels {
            server.publish(channel, format!("{channel}{number} {}", "x".repeat(LARGE)));
        }
    }
    let mut got: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut response = server.get("/poll/a.b9/b.b9/c.b9");
    let mut answers = 0;
    while response.head.status == 200 {
        answers += 1;
        assert!(answers <= 3 * MESSAGES, "the cursors lead nowhere: {got:?}");
        assert!(
            response.body.len() < 6_000_000,
            "{} bytes",
            response.body.len()
        );
        for message in messages(&response.body) {
            assert!(
                message
                    .text
                    .starts_with(&format!("{}{} ", message.channel, message.id)),
                "{} {}",
                message.channel,
                message.id
            );
            got.entry(message.channel).or_default().push(message.id);
        }
        response = server
            .connect()
            .request("GET", "/poll/a/b/c", &response.head.cursor(), None);
    }
    assert_eq!(response.head.status, 304);
    assert!(answers > 1, "nothing was cut");
    let wanted = channels
        .map(|channel| (channel.to_owned(), (1..=MESSAGES).collect()))
        .into();
    assert_eq!(got, wanted);
    server.stop();
}

#[test]
fn a_large_frame_is_shared_by_its_followers() {
    const DEAF: u64 = 60;
    const MOST_GROWTH: u64 = 100_000_000;
    let _turn = turn();
    let server = Server::start(&["--shards", "1"]);
    // A round reaches the oldest follower last.
    let mut healthy = server.follow("/sub/big", &[]);
    server.wait_for_subscribers("big", 1);
    let deaf: Vec<Connection> = (0..DEAF)
        .map(|_| {
            let mut connection = server.connect_with_small_window();
            connection.send_request("GET", "/sub/big", &[], None);
            connection
        })
        .collect();
    server.wait_for_subscribers("big", DEAF + 1);
    let before = server.memory("VmRSS");
    // Six bytes of JSON for each.
    let text = "\u{1}".repeat(LARGE);
    server.publish("big", &text);
    assert!(
        healthy
            .next_line()
            .is_some_and(|message| message.text == text),
        "the healthy follower gets it whole"
    );
    let growth = server.memory("VmHWM").saturating_sub(before);
    assert!(growth < MOST_GROWTH, "memory grew by {growth} bytes");
    drop(deaf);
    server.wait_for_subscribers("big", 1);
    server.publish("big", "next");
    assert_eq!(
        healthy.next_line().map(|message| message.text).as_deref(),
        Some("next")
    );
    server.stop();
}

#[test]
fn long_responses_are_charged_before_the_next() {
    const DEAF: usize = 80;
    // As much as may be coming in or going out.
    const ROOM: usize = 16 * 1024 * 1024;
    let _turn = turn();
    let server = Server::start(&["--memory", "16m", "--shards", "1"]);
    server.publish("a", vec![b'x'; LARGE]);
    let answer_bytes = server.get("/poll/a.b1").body.len();
    let before = server.memory("VmHWM");
    let mut deaf: Vec<Connection> = (0..DEAF)
        .map(|_| server.connect_with_small_window())
        .collect();
    // All of them are there when the first is answered.
    server.signal(Signal::STOP);
    deaf.iter_mut()
        .for_each(|client| client.send_request("GET", "/poll/a.b1", &[], None));
    server.signal(Signal::CONT);
    let dropped = || {
        object(&server.get("/channels-stats").body)["dropped_requests_memory"]
            .as_u64()
            .unwrap_or_default()
    };
    wait_until("those without room are dropped", || {
        dropped() >= (DEAF - ROOM / answer_bytes) as u64
    });
    let growth = server.memory("VmHWM").saturating_sub(before);
    assert!(growth < 2 * ROOM as u64, "memory grew by {growth} bytes");
    drop(deaf);
    server.stop();
}

/// Charged against the 8 MiB minimum for input: at most nine of them fit.
const UNFINISHED: usize = 18;
const UNFINISHED_BYTES: usize = 900 * 1024;
const MOST_THAT_FIT: usize = 9;

/// Waits until only as many connections are left as fit; returns which are closed.
fn wait_for_refusals(connections: &mut [Connection]) -> Vec<&mut Connection> {
    let mut closed = [false; UNFINISHED];
    wait_until("all that have no room are closed", || {
        for (connection, closed) in connections.iter_mut().zip(&mut closed) {
            *closed = *closed || connection.closed_within(std::time::Duration::ZERO);
        }
        closed.iter().filter(|closed| !**closed).count() <= MOST_THAT_FIT
    });
    connections
        .iter_mut()
        .zip(closed)
        .filter(|(_, closed)| *closed)
        .map(|(connection, _)| connection)
        .collect()
}

/// Waits until there is room for a message of a megabyte again.
fn wait_for_room(server: &Server) {
    wait_until("publishing works again", || {
        server
            .connect()
            .request("POST", "/pub?id=a", &[], Some(&[b'x'; LARGE]))
            .head
            .status
            == 200
    });
}

#[test]
fn unfinished_bodies_are_charged_to_the_memory_limit() {
    let server = Server::start(&["--memory", "4m", "--body-timeout", "30s"]);
    let mut connections: Vec<Connection> = (0..UNFINISHED).map(|_| server.connect()).collect();
    for (number, connection) in connections.iter_mut().enumerate() {
        let framing = if number % 2 == 0 {
            "Content-Length: 1000000\r\n\r\n"
        } else {
            "Transfer-Encoding: chunked\r\n\r\nf4240\r\n"
        };
        connection.send(format!(
            "POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\n{framing}"
        ));
        // If it is rejected first, the rest does not matter.
        connection.try_send(vec![b'x'; UNFINISHED_BYTES]);
    }
    let refused = wait_for_refusals(&mut connections);
    // A response can be lost in the reset of a connection with unread bytes, but not all of them.
    let answers: Vec<u16> = refused
        .into_iter()
        .filter_map(|connection| Some(connection.try_read_head()?.status))
        .collect();
    assert!(
        !answers.is_empty() && answers.iter().all(|status| *status == 500),
        "{answers:?}"
    );
    drop(connections);
    wait_for_room(&server);
    server.stop();
}

#[test]
fn unfinished_websocket_messages_are_charged_to_the_memory_limit() {
    let server = Server::start(&["--memory", "4m", "--body-timeout", "30s"]);
    let fragment = frame_with(opcode::TEXT, &[b'x'; UNFINISHED_BYTES], Some([0; 4]));
    let mut whole_frame = fragment.clone();
    whole_frame[0] |= 0x80;
    // Fragments that are complete, or a frame that is not.
    for unfinished in [&fragment[..], &whole_frame[..whole_frame.len() - 1]] {
        let mut websockets: Vec<Connection> = (0..UNFINISHED)
            .map(|_| server.websocket("/ws/w", &[]))
            .collect();
        for websocket in &mut websockets {
            websocket.try_send(unfinished);
        }
        wait_for_refusals(&mut websockets);
        drop(websockets);
        server.wait_for_subscribers("w", 0);
        wait_for_room(&server);
        assert_eq!(
            server
                .connect()
                .request("DELETE", "/pub?id=a", &[], None)
                .head
                .status,
            200
        );
    }
    assert_eq!(
        object(&server.get("/pub?id=w").body)["published_messages"],
        0
    );
    server.stop();
}
