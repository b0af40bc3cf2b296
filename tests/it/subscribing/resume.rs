//! Clients that resume: a plain EventSource by the id of its last event.

use crate::support::{Connection, Server, conf, object};

/// An event of the built-in `/ev`: its id, and the text of its message or of the gap.
fn event(stream: &mut Connection) -> (Option<String>, String) {
    loop {
        let event = String::from_utf8(stream.read_until(b"\n\n")).expect("UTF-8");
        let field = |name: &str| {
            event
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::to_owned)
        };
        if let Some(data) = field("data: ") {
            return (
                field("id: "),
                object(data.as_bytes())["text"]
                    .as_str()
                    .expect("a text")
                    .to_owned(),
            );
        }
    }
}

pub(super) fn texts(stream: &mut Connection, count: usize) -> Vec<String> {
    (0..count).map(|_| event(stream).1).collect()
}

#[test]
fn every_event_has_a_position_that_resumes_exactly() {
    let server = Server::start(&[]);
    let mut stream = server.follow("/ev/a", &[]);
    let publish = |channel: &str, text: &str, headers: &[(&str, &str)]| {
        let response = server.connect().request(
            "POST",
            &format!("/pub?id={channel}"),
            headers,
            Some(text.as_bytes()),
        );
        assert_eq!(response.head.status, 200);
    };
    publish("a", "one", &[]);
    publish("a", "two", &[("Event-Id", "e2"), ("Event-Type", "price")]);
    let raw = String::from_utf8(stream.read_until(b"\"eventid\":\"e2\"}\n\n")).expect("UTF-8");
    assert!(
        raw.contains("event: price\n") && !raw.contains("id: e2"),
        "the publisher's id is a field of the object: {raw}"
    );
    let of_two = raw
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .next_back()
        .expect("an id")
        .to_owned();
    let value = raw
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .next_back()
        .map(|data| object(data.as_bytes()))
        .expect("data");
    assert_eq!(of_two.split(':').nth(1), value["tag"].as_str());
    drop(stream);
    publish("a", "three", &[]);
    publish("a", "four", &[("Event-Id", &of_two)]);
    // The other parameters of the URL, which stay the same when a browser reconnects.
    for path in [
        "/ev/a",
        "/ev/a.b1",
        "/ev/a.b9",
        "/ev/a?time=Thu,%2001%20Jan%201970%2000:00:01%20GMT&tag=1",
        "/ev/a?eventid=e2",
    ] {
        let mut stream = server.follow(path, &[("Last-Event-ID", &of_two)]);
        assert_eq!(texts(&mut stream, 2), ["three", "four"], "{path}");
    }
    // A publisher's event id still works, as an argument or if it is not one of pushctl.
    assert_eq!(
        texts(&mut server.follow("/ev/a?eventid=e2", &[]), 2),
        ["three", "four"]
    );
    assert_eq!(
        texts(&mut server.follow("/ev/a", &[("Last-Event-ID", "e2")]), 2),
        ["three", "four"]
    );
    // In other modes, too, unless it is the event id of a message.
    let of_one = raw
        .lines()
        .find_map(|line| line.strip_prefix("id: ").filter(|id| *id != of_two))
        .expect("another id")
        .to_owned();
    let poll = server
        .connect()
        .request("GET", "/poll/a", &[("Last-Event-ID", &of_one)], None);
    assert_eq!(poll.head.get("X-Pushctl-Missed"), None, "{poll:?}");
    server.stop();
}

#[test]
fn an_eventsource_of_several_channels_resumes_in_all_of_them() {
    let server = Server::start(&[]);
    let mut stream = server.follow("/ev/a/b/c", &[]);
    for (channel, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
        server.publish(channel, text);
    }
    let events: Vec<_> = (0..4).map(|_| event(&mut stream)).collect();
    drop(stream);
    for (channel, text) in [("c", "5"), ("a", "6"), ("b", "7")] {
        server.publish(channel, text);
    }
    for (seen, (id, _)) in events.iter().enumerate() {
        let mut stream = server.follow(
            "/ev/a/b/c.b1",
            &[("Last-Event-ID", id.as_deref().expect("an id"))],
        );
        let expected: Vec<String> = (seen + 2..=7).map(|text| text.to_string()).collect();
        assert_eq!(texts(&mut stream, expected.len()), expected);
    }
    server.stop();
}

#[test]
fn a_stream_has_an_id_before_its_first_message() {
    let server = Server::start(&[]);
    for path in ["/ev/new", "/ev/new/other", "/ev/new.b5"] {
        let mut stream = server.follow(path, &[]);
        let start = String::from_utf8(stream.read_until(b"\n\n")).expect("UTF-8");
        let id = start
            .strip_prefix(": \nid: ")
            .and_then(|rest| rest.strip_suffix("\n\n"))
            .unwrap_or_else(|| panic!("{start:?}"))
            .to_owned();
        drop(stream);
        server.publish("new", "missed");
        let mut stream = server.follow(path, &[("Last-Event-ID", &id)]);
        assert_eq!(texts(&mut stream, 1), ["missed"], "{path}");
        assert_eq!(
            server
                .connect()
                .request("DELETE", "/pub?id=new", &[], None)
                .head
                .status,
            200
        );
    }
    // A subscription with pending messages must not skip them.
    server.publish("a", "stored");
    let mut stream = server.follow("/ev/a.b5", &[]);
    assert!(stream.read_until(b"\n\n").starts_with(b": \nid: "));
    let imported = Server::with_conf(&conf(
        "push_stream_shared_memory_size 10m;",
        "location /pub { push_stream_publisher; push_stream_channels_path $arg_id; }
         location /ev { push_stream_subscriber eventsource; push_stream_channels_path $arg_id; }",
    ));
    let mut stream = imported.follow("/ev?id=a", &[]);
    imported.publish("a", "x");
    assert_eq!(
        stream.read_until(b"\n\n"),
        b": \ndata: x\n\n",
        "as the module"
    );
    imported.stop();
    server.stop();
}
