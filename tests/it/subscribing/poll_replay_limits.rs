//! Limits, reloads and the end of the server for replayed polls.

use super::poll_replay::{Client, HTTP, OTHERS, configuration, cursor_of, poll};
use crate::support::{Connection, Server, conf};

/// A connection that remembers its poll, with the newest cursor of the channel.
fn cached_poll(server: &Server) -> Client {
    let mut client = Client::new(server);
    for text in ["one", "two", "three"] {
        server.publish("ch", text);
        client.connection.send(poll("/lp/ch", &client.cursor, ""));
        client.cursor = cursor_of(&client.connection.read_response());
    }
    client
}

#[test]
fn limits_apply_to_replayed_polls() {
    let http = "push_stream_shared_memory_size 10m; push_stream_max_subscribers_per_channel 1;";
    let poll = "push_stream_subscriber long-polling; push_stream_channels_path $1; \
                push_stream_authorized_channels_only on;";
    let live =
        "push_stream_publisher; push_stream_channels_path $arg_id; push_stream_store_messages off;";
    let locations =
        format!("location ~ ^/lp/(.*)$ {{ {poll} }} location /live {{ {live} }} {OTHERS}");
    let server = Server::with_conf(&conf(http, &locations));
    let mut client = cached_poll(&server);
    let mut second = cached_poll(&server);
    client.cursor.clone_from(&second.cursor);
    client.ask();
    server.wait_for_subscribers("ch", 1);
    second.ask();
    assert_eq!(
        second.connection.read_response().head.explain(),
        Some("Subscribers limit per channel has been exceeded.")
    );
    server.publish("ch", "four");
    client.cursor = cursor_of(&client.connection.read_response());
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=ch", &[], None)
            .head
            .status,
        200
    );
    // Not there, and there without a stored message.
    for _ in 0..2 {
        client.ask();
        let refusal = client.connection.read_response().head;
        assert_eq!(
            (refusal.status, refusal.explain()),
            (403, Some("Subscriber could not create channels."))
        );
        assert_eq!(
            server
                .connect()
                .request("POST", "/live?id=ch", &[], Some(b"not stored"))
                .head
                .status,
            200
        );
    }
    server.stop();
}

#[test]
fn a_replayed_poll_reports_dropped_messages() {
    let server = Server::start(&["--shards", "1", "--max-stored-messages", "2"]);
    let mut client = cached_poll(&server);
    for number in 4..=8 {
        server.publish("ch", number.to_string());
    }
    client.ask();
    let response = client.connection.read_response();
    assert_eq!(
        response.head.get("X-Pushctl-Missed"),
        Some("3"),
        "{response:?}"
    );
    server.stop();
}

#[test]
fn a_reload_applies_to_the_next_replayed_poll() {
    let server = Server::with_conf(&configuration(""));
    let mut client = cached_poll(&server);
    assert!(server.reload_conf(&configuration(
        "push_stream_longpolling_connection_ttl 1s; add_header X-New $http_if_none_match;"
    )));
    client.ask();
    assert_eq!(client.connection.read_response().head.status, 304);
    server.publish("ch", "four");
    let tag = client.cursor[1].clone();
    client.ask();
    assert_eq!(
        client.connection.read_response().head.get("X-New"),
        Some(tag.as_str())
    );
    assert!(server.reload_conf(&conf(
        HTTP,
        "location /pub { push_stream_publisher; push_stream_channels_path $arg_id; }"
    )));
    client.ask();
    assert_eq!(client.connection.read_response().head.status, 404);
    server.stop();
}

#[test]
fn a_replayed_poll_is_ended_by_shutdown() {
    let server = Server::start(&["--shards", "1"]);
    let mut client = cached_poll(&server);
    client.ask();
    server.wait_for_subscribers("ch", 1);
    server.terminate();
    let head = client.connection.read_head();
    assert_eq!((head.status, head.get("Connection")), (304, Some("close")));
    client.connection.expect_close();
    server.stop();
}

#[test]
fn cached_polls_do_not_use_memory_of_others() {
    const CLIENTS: usize = 900;
    let server = Server::start(&["--shards", "1", "--memory", "2500k"]);
    server.publish("ch", "first");
    let newest = server.get("/poll/ch.b1");
    let cookie = format!("Cookie: {}\r\n", "c".repeat(800));
    let mut cursor = cursor_of(&newest);
    let mut clients: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
    for round in 0..4 {
        clients
            .iter_mut()
            .for_each(|client| client.send(poll("/lp/ch", &cursor, &cookie)));
        server.wait_for_subscribers("ch", CLIENTS as u64);
        assert_eq!(server.publish("ch", round.to_string()).head.status, 200);
        for client in &mut clients {
            let response = client.read_response();
            assert_eq!(response.head.status, 200, "round {round}");
            cursor = cursor_of(&response);
        }
    }
    server.stop();
}
