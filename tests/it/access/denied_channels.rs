//! What a client may not do with a channel stays denied on every path: requests, replays of
//! requests, lines of batches, websockets, in all protocol families.

use crate::support::{Connection, Server, conf, frame, opcode};

const HTTP: &str = "push_stream_shared_memory_size 32M; push_stream_events_channel_id events;";

const LOCATIONS: &str = "
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; pushctl_batch on; }
    location /plain { push_stream_publisher; push_stream_channels_path $arg_id; }
    location /events { push_stream_subscriber; push_stream_channels_path events;
        push_stream_message_template \"~text~\\n\";
        push_stream_allow_connections_to_events_channel on; }
    location /lp { push_stream_subscriber long-polling; push_stream_channels_path $arg_id;
        push_stream_authorized_channels_only on; }
    location /ws { push_stream_subscriber websocket; push_stream_channels_path $arg_id;
        push_stream_message_template \"~text~\"; push_stream_websocket_allow_publish on;
        push_stream_allow_connections_to_events_channel on; }
    location /mute { push_stream_subscriber websocket; push_stream_channels_path $arg_id;
        push_stream_message_template \"~text~\"; }
    location /nhpm { push_publisher; set $push_channel_id $arg_id; }
    location /nchan { nchan_publisher; nchan_channel_id $arg_id; }
    location /grouped { nchan_publisher http; nchan_channel_id $arg_id;
        nchan_channel_group $arg_group; }
    location /group { nchan_group_location; nchan_channel_group $arg_group; }";

/// A publisher's request on this connection; returns its status.
fn post(connection: &mut Connection, path: &str, text: &str) -> u16 {
    connection
        .request("POST", path, &[], Some(text.as_bytes()))
        .head
        .status
}

#[test]
fn no_client_publishes_to_the_events_channel_on_any_path() {
    let server = Server::with_conf(&conf(HTTP, LOCATIONS));
    let mut events = server.follow("/events", &[]);
    for (path, good) in [
        ("/pub", 200),
        ("/plain", 200),
        ("/nhpm", 202),
        ("/nchan", 202),
    ] {
        let mut publisher = server.connect();
        // The third request is a replay of the second one.
        for _ in 0..3 {
            let status = post(&mut publisher, &format!("{path}?id=normal"), "normal");
            assert_eq!(status, good, "{path}");
        }
        let status = post(&mut publisher, &format!("{path}?id=events"), "forged");
        assert_eq!(status, 403, "{path} after replays");
        let status = post(
            &mut server.connect(),
            &format!("{path}?id=events"),
            "forged",
        );
        assert_eq!(status, 403, "{path}");
    }
    let lines = "{\"channel\":\"normal\",\"text\":\"line\"}\n\
                 {\"channel\":\"normal/events\",\"text\":\"forged\"}\n";
    let batch = server.connect().request(
        "POST",
        "/pub",
        &[("Content-Type", "application/x-ndjson")],
        Some(lines.as_bytes()),
    );
    assert_eq!(batch.head.status, 403);
    let reason = "Only internal routines can change events channel.";
    let body = String::from_utf8(batch.body).expect("JSON is UTF-8");
    assert!(
        body.contains(reason) && body.contains("\"published\":1"),
        "{body}"
    );
    let mut websocket = server.websocket("/ws?id=normal/events", &[]);
    websocket.send(frame(opcode::TEXT, b"text of a websocket"));
    assert_eq!(websocket.read_frame().payload, b"text of a websocket");
    let deleted = server
        .connect()
        .request("DELETE", "/pub?id=events", &[], None);
    assert_eq!(deleted.head.status, 403);
    // An event of the server ends the reading: nothing that was forged came before.
    let mut websocket = server.websocket("/mute?id=last", &[]);
    let mut seen = events.read_until(b"last");
    seen.extend(events.read_until(b"\n"));
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(
        !seen.contains("forged") && !seen.contains("text of a websocket"),
        "{seen}"
    );
    // Where websockets may not publish, a text is not published either.
    websocket.send(frame(opcode::TEXT, b"unwanted"));
    server.publish("last", "wanted");
    assert_eq!(websocket.read_frame().payload, b"wanted");
    server.stop();
}

#[test]
fn a_replayed_poll_is_denied_once_its_channel_is_gone() {
    let server = Server::with_conf(&conf(HTTP, LOCATIONS));
    let mut poller = server.connect();
    let mut cursor = ["Thu, 01 Jan 1970 00:00:00 GMT", "0"].map(str::to_owned);
    let mut poll = |cursor: &[String; 2]| {
        let headers = [
            ("If-Modified-Since", &cursor[0][..]),
            ("If-None-Match", &cursor[1]),
        ];
        poller.request("GET", "/lp?id=a", &headers, None)
    };
    for text in ["1", "2", "3"] {
        server.publish("a", text);
        let response = poll(&cursor);
        assert_eq!(response.head.status, 200);
        cursor = response.head.cursor().map(|(_, value)| value.to_owned());
    }
    let deleted = server.connect().request("DELETE", "/pub?id=a", &[], None);
    assert_eq!(deleted.head.status, 200);
    assert_eq!(poll(&cursor).head.status, 403);
    server.stop();
}

#[test]
fn a_request_that_names_its_group_cannot_change_the_group_of_events() {
    let server = Server::with_conf(&conf(HTTP, LOCATIONS));
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(post(&mut client, "/grouped?group=own&id=a", "x"), 202);
    }
    assert_eq!(post(&mut client, "/grouped?group=meta&id=a", "x"), 403);
    for (method, path) in [
        ("DELETE", "/grouped?group=meta&id=a"),
        ("DELETE", "/group?group=meta"),
    ] {
        let response = server.connect().request(method, path, &[], None);
        assert_eq!(response.head.status, 403, "{method} {path}");
    }
    server.stop();
}
