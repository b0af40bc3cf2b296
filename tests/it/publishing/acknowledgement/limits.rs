//! Bounds on publishes that are not acknowledged: their number, their memory and their time.

use super::{builtin_engine, engine, post, statistic, stored};
use crate::support::{frame, object, opcode, wait_until};

/// Never acknowledges messages to channels that begin with `stuck`.
const STUCK: &str = "delay=1ms,never=stuck";

#[test]
fn a_publish_that_is_not_acknowledged_in_time_gets_503() {
    let arguments = ["--publish-timeout", "200ms"];
    let Some(server) = engine(STUCK, &arguments) else {
        return;
    };
    let mut follower = server.follow("/sub?id=other", &[]);
    let mut publisher = server.connect();
    publisher.send(post("/pub?id=stuck", "a") + &post("/pub?id=other", "b"));
    let response = publisher.read_response();
    assert_eq!(response.head.status, 503);
    let reason = response.head.explain().expect("a reason");
    assert!(
        reason.contains("may have been published or not"),
        "{reason}"
    );
    // The next one on the connection, and readers, are not affected.
    assert_eq!(publisher.read_response().head.status, 200);
    follower.read_until(b"b\n");
    for path in [
        "/nchan?id=stuck",
        "/nhpm?id=stuck",
        "/several?a=other&b=stuck",
    ] {
        let response = publisher.request("POST", path, &[], Some(b"text"));
        assert_eq!(response.head.status, 503, "{path}");
        assert!(
            response.text().contains("may have been published or not"),
            "{path}"
        );
    }
    let headers = [("Content-Type", "application/x-ndjson")];
    let lines = b"{\"channel\":\"other\",\"text\":\"c\"}\n{\"channel\":\"stuck\",\"text\":\"d\"}\n";
    let response = publisher.request("POST", "/pub", &headers, Some(lines));
    let answer = object(&response.body);
    assert_eq!(
        (response.head.status, &answer["error"]["line"]),
        (503, &2.into()),
        "{answer}"
    );
    assert_eq!(answer["published"], 1, "{answer}");
    assert!(server.stderr().contains("--publish-timeout"));
    server.stop();
}

#[test]
fn a_websocket_whose_message_is_not_acknowledged_is_closed() {
    let Some(server) = engine(STUCK, &["--publish-timeout", "200ms"]) else {
        return;
    };
    let mut websocket = server.websocket("/nchan?id=stuck", &[]);
    websocket.send(frame(opcode::TEXT, b"a"));
    let close = websocket.read_frame();
    assert_eq!(
        (close.opcode(), &close.payload[..2]),
        (opcode::CLOSE, &[0x03, 0xf5][..])
    );
    let mut websocket = server.websocket("/ws?id=stuck", &[]);
    websocket.send(frame(opcode::TEXT, b"a"));
    websocket.expect_close();
    server.stop();
}

#[test]
fn further_publishes_get_503_while_too_many_are_pending() {
    let arguments = ["--publish-timeout", "1m", "--max-pending-publishes", "40"];
    let Some(server) = engine(STUCK, &arguments) else {
        return;
    };
    let mut follower = server.follow("/sub?id=other", &[]);
    let mut stuck = server.connect();
    let requests: String = (0..40).map(|_| post("/pub?id=stuck", "a")).collect();
    stuck.send(requests);
    let mut publisher = server.connect();
    let mut rejected = None;
    wait_until("the engine has no room", || {
        let response = publisher.request("POST", "/pub?id=other", &[], Some(b"b"));
        let is_full = response.head.status == 503;
        rejected = is_full.then_some(response);
        is_full
    });
    let rejected = rejected.expect("it was rejected");
    let reason = rejected.head.explain().expect("a reason");
    assert!(reason.contains("Too many publishes"), "{reason}");
    for path in ["/nchan?id=other", "/nhpm?id=other"] {
        let response = publisher.request("POST", path, &[], Some(b"text"));
        assert_eq!(response.head.status, 503, "{path}");
    }
    assert!(server.stderr().contains("--max-pending-publishes"));
    // Nothing was published with a 503, and what reads is not affected.
    let log = stored(&server, "other");
    assert!(log.iter().all(|text| text == "b"), "{log:?}");
    for _ in &log {
        follower.read_until(b"b\n");
    }
    assert!(!stuck.has_received());
    // A connection that waits ends at once when the server stops without grace.
    drop(stuck);
}

#[test]
fn the_memory_of_pending_publishes_is_bounded() {
    let arguments = ["--publish-timeout", "1m", "--memory", "16m"];
    let Some(server) = builtin_engine(STUCK, &arguments) else {
        return;
    };
    // Half of the memory is for incoming data.
    let text = "x".repeat(500_000);
    let mut waiting = Vec::new();
    wait_until("there is no memory left", || {
        let mut publisher = server.connect();
        publisher.send(post("/pub?id=stuck", &text));
        waiting.push(publisher);
        waiting.iter_mut().any(|publisher| publisher.has_received())
    });
    assert!((8..30).contains(&waiting.len()), "{}", waiting.len());
    let rejected = waiting
        .iter_mut()
        .find_map(|publisher| publisher.has_received().then_some(publisher))
        .expect("one was rejected");
    assert_eq!(rejected.read_response().head.status, 500);
    assert!(statistic(&server, "incoming_used") <= 8 * 1024 * 1024);
    assert!(server.memory("VmHWM") < 100 * 1024 * 1024);
    // Small messages to other channels still fit.
    let response = server
        .connect()
        .request("POST", "/pub?id=other", &[], Some(b"b"));
    assert_eq!(response.head.status, 200);
}

#[test]
fn no_connection_uses_up_all_pending_publishes() {
    // A websocket may have 16 of them, a pipelining client 64, and a batch 256.
    const BOUNDS: u64 = 16 + 64 + 256;
    let arguments = ["--publish-timeout", "1m", "--max-pending-publishes", "340"];
    let Some(server) = builtin_engine(STUCK, &arguments) else {
        return;
    };
    let mut follower = server.follow("/ev/other", &[]);
    let mut websocket = server.websocket("/ws/stuck", &[]);
    let mut pipelining = server.connect();
    let mut batch = server.connect();
    let line = "{\"channel\":\"stuck\",\"text\":\"a\"}\n".repeat(1000);
    batch.send(format!(
        "POST /pub HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n{line}",
        line.len()
    ));
    websocket.send(frame(opcode::TEXT, b"a").repeat(1000));
    pipelining.send(post("/pub?id=stuck", "a").repeat(1000));
    // Each takes more than this.
    wait_until("each waits for the engine", || {
        statistic(&server, "incoming_used") > BOUNDS * 1024
    });
    for number in 0..20 {
        let text = format!("text {number}");
        server.publish("other", &text);
        follower.read_until(text.as_bytes());
    }
    assert!(!pipelining.has_received() && !batch.has_received());
}
