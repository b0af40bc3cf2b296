//! Order of pipelined responses, and connections that are half or fully closed.

use super::wire::server;
use crate::support::{object, opcode};

#[test]
fn requests_behind_a_long_poll_are_answered_after_it() {
    let server = server();
    let mut connection = server.connect();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let post = "POST /pub?id=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nm2";
    connection.send(format!(
        "{}{post}{}{}",
        get("/lp/a"),
        get("/lp/a"),
        get("/poll/b.b1")
    ));
    server.wait_for_subscribers("a", 1);
    assert_eq!(
        server.get("/pub?id=b").head.status,
        404,
        "what is behind the long-poll has to wait for it"
    );
    server.publish("a", "m1");
    assert_eq!(connection.read_response().body, b"m1");
    assert_eq!(object(&connection.read_response().body)["channel"], "b");
    server.wait_for_subscribers("a", 1);
    server.publish("a", "m3");
    assert_eq!(connection.read_response().body, b"m3");
    assert_eq!(connection.read_response().body, b"m2");
    let later = connection.request("GET", "/poll/a.b9", &[], None);
    assert_eq!(later.body, b"m1m3");
    server.stop();
}

#[test]
fn pipelined_publishes_are_answered_in_order() {
    const COUNT: u64 = 200;
    let server = server();
    let mut connection = server.connect();
    let requests: String = (1..=COUNT)
        .map(|number| {
            let body = format!("m{number};");
            format!(
                "POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        })
        .collect();
    connection.send(requests);
    for number in 1..=COUNT {
        assert_eq!(
            object(&connection.read_response().body)["published_messages"],
            number
        );
    }
    let want: String = (1..=COUNT).map(|number| format!("m{number};")).collect();
    assert_eq!(server.get("/poll/a.b999").text(), want);
    server.stop();
}

#[test]
fn expect_continue_is_answered_before_the_body() {
    let server = server();
    let mut connection = server.connect();
    connection.send(
        "POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
                     Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(connection.read_head().raw, "HTTP/1.1 100 Continue\r\n\r\n");
    connection.send("Hello");
    assert_eq!(
        object(&connection.read_response().body)["published_messages"],
        1
    );
    let huge = "POST /pub?id=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\
                Expect: 100-continue\r\n\r\n";
    connection.send(huge);
    assert_eq!(
        connection.read_response().head.status,
        413,
        "an oversized body is rejected without 100 Continue"
    );
    server.stop();
}

#[test]
fn a_half_closed_client_gets_its_response() {
    let server = server();
    for request in [
        "POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nm1",
        "GET /poll/a.b1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /channels-stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut connection = server.connect();
        connection.send(request);
        connection.half_close();
        assert_eq!(connection.read_response().head.status, 200, "{request}");
        connection.expect_close();
    }
    server.stop();
}

#[test]
fn a_half_close_ends_a_subscription() {
    let server = server();
    let mut subscribers = vec![
        server.follow("/sub/a", &[]),
        server.follow("/ev/a", &[]),
        server.websocket("/ws/a", &[]),
    ];
    let mut waiting = server.connect();
    waiting.send_request("GET", "/lp/a", &[], None);
    subscribers.push(waiting);
    server.wait_for_subscribers("a", 4);
    for subscriber in &mut subscribers {
        subscriber.half_close();
    }
    server.wait_for_subscribers("a", 0);
    for subscriber in &mut subscribers {
        subscriber.read_to_close();
    }
    server.stop();
}

#[test]
fn a_closed_connection_ends_a_subscription() {
    let server = server();
    let stream = server.follow("/sub/a", &[]);
    let mut websocket = server.websocket("/ws/a", &[]);
    server.wait_for_subscribers("a", 2);
    drop(stream);
    server.wait_for_subscribers("a", 1);
    websocket.send(crate::support::frame(opcode::CLOSE, b""));
    assert_eq!(websocket.read_frame().opcode(), opcode::CLOSE);
    websocket.expect_close();
    server.wait_for_subscribers("a", 0);
    server.stop();
}
