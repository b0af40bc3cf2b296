//! Subscribers of channels whose log the engine has to fill first.

use super::engine;
use crate::support::{Server, opcode};

fn publish(server: &Server, channel: &str, text: &str) {
    let path = format!("/pub?id={channel}");
    let response = server
        .connect()
        .request("POST", &path, &[], Some(text.as_bytes()));
    assert_eq!(response.head.status, 200, "{response:?}");
}

#[test]
fn subscribers_wait_until_their_channels_are_open() {
    let Some(server) = engine("delay=30ms", &["--shards", "1"]) else {
        return;
    };
    for channel in ["a", "b", "c"] {
        publish(&server, channel, &format!("old {channel}"));
    }
    let mut stream = server.follow("/sub?id=a.b10/b.b10", &[]);
    stream.read_until(b"old a\n");
    stream.read_until(b"old b\n");
    publish(&server, "b", "new");
    stream.read_until(b"new\n");
    let mut websocket = server.websocket("/ws?id=c.b10", &[]);
    let message = websocket.read_frame();
    assert_eq!(
        (message.opcode(), &message.payload[..]),
        (opcode::TEXT, &b"old c"[..])
    );
    server.stop();
}

#[test]
fn requests_behind_a_subscriber_that_waits_keep_their_order() {
    let Some(server) = engine("delay=30ms", &["--shards", "1"]) else {
        return;
    };
    publish(&server, "a", "old");
    let mut client = server.connect();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.send(
        super::post("/pub?id=a", "new")
            + &get("/poll?id=a.b10")
            + &get("/poll?id=new.b10")
            + &get("/channels-stats?id=a"),
    );
    assert_eq!(client.read_response().head.status, 200);
    assert_eq!(client.read_response().text(), "old\nnew\n");
    assert_eq!(client.read_response().head.status, 304);
    assert_eq!(client.read_response().head.status, 200);
    server.stop();
}

#[test]
fn a_subscriber_of_a_channel_that_does_not_open_in_time_gets_503() {
    let arguments = ["--publish-timeout", "200ms", "--shards", "1"];
    let Some(server) = engine("delay=1ms,open=never:stuck", &arguments) else {
        return;
    };
    let mut other = server.follow("/sub?id=other", &[]);
    for path in ["/sub?id=stuck", "/poll?id=stuck", "/ws?id=other/stuck"] {
        let mut client = server.connect();
        client.upgrade_or_get(path);
        assert_eq!(client.read_head().status, 503, "{path}");
    }
    assert_eq!(server.subscribers("stuck"), 0);
    publish(&server, "other", "text");
    other.read_until(b"text\n");
    server.stop();
}

impl crate::support::Connection {
    /// Sends a request that opens a websocket where the location is one.
    fn upgrade_or_get(&mut self, path: &str) {
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        let headers = if path.starts_with("/ws") {
            &headers[..]
        } else {
            &[]
        };
        self.send_request("GET", path, headers, None);
    }
}
