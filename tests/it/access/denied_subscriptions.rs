//! A channel that a client may not read stays closed in every mode of every protocol family, also
//! on a connection whose earlier requests were allowed, and no denied request makes a channel.

use crate::support::{Connection, Server, conf, frame, opcode};

const HTTP: &str = "push_stream_shared_memory_size 32M; push_stream_events_channel_id events;";

/// Where subscribers may read channels that exist, and not the events channel.
const LOCATIONS: &str = "
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; pushctl_batch on; }
    location /stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    push_stream_authorized_channels_only on;
    location /streaming { push_stream_subscriber; push_stream_channels_path $arg_id; }
    location /polling { push_stream_subscriber polling; push_stream_channels_path $arg_id; }
    location /long-polling { push_stream_subscriber long-polling;
        push_stream_channels_path $arg_id; }
    location /eventsource { push_stream_subscriber eventsource;
        push_stream_channels_path $arg_id; }
    location /websocket { push_stream_subscriber websocket; push_stream_channels_path $arg_id;
        push_stream_websocket_allow_publish on; }
    location /nhpm { push_subscriber; set $push_channel_id $arg_id;
        push_authorized_channels_only on; }
    nchan_channel_id $arg_id;
    nchan_subscribe_existing_channels_only on;
    nchan_access_control_allow_origin https://good.test;
    location /nchan { nchan_subscriber; }
    location /nchan-poll { nchan_subscriber intervalpoll; }
    location /nchan-info { nchan_subscriber_info; }
    location /nchan-publisher { nchan_publisher; }
    location /nchan-group { nchan_group_location; nchan_channel_group a;
        nchan_channel_group_accounting on; }
    location /nchan-both { nchan_pubsub; nchan_subscribe_existing_channels_only off;
        nchan_channel_group $arg_group; }";

const EVENT_STREAM: (&str, &str) = ("Accept", "text/event-stream");
const EVIL_PAGE: (&str, &str) = ("Origin", "https://evil.test");
const GOOD_PAGE: (&str, &str) = ("Origin", "https://good.test");

/// Asks for everything that is stored.
const FROM_THE_FIRST: [(&str, &str); 2] = [
    ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("If-None-Match", "0"),
];

/// The locations that answer a denied subscriber with a status, and what is asked there.
const SUBSCRIBERS: [(&str, &[(&str, &str)]); 9] = [
    ("/streaming", &[]),
    ("/polling", &[]),
    ("/long-polling", &[]),
    ("/eventsource", &[]),
    ("/nhpm", &[]),
    ("/nchan", &[]),
    ("/nchan", &[EVENT_STREAM]),
    ("/nchan-poll", &[]),
    ("/nchan-info", &[EVENT_STREAM]),
];

fn status(connection: &mut Connection, path: &str, headers: &[(&str, &str)]) -> u16 {
    connection.request("GET", path, headers, None).head.status
}

#[test]
fn closed_channels_are_closed_in_every_mode() {
    let server = Server::with_conf(&conf(HTTP, LOCATIONS));
    server.publish("open", "text");
    for id in ["missing", "events"] {
        for (location, headers) in SUBSCRIBERS {
            let path = format!("{location}?id={id}");
            let denied = status(&mut server.connect(), &path, headers);
            assert_eq!(denied, 403, "{path} {headers:?}");
        }
        let mut websocket = server.websocket(&format!("/websocket?id={id}"), &[]);
        let close = websocket.read_frame();
        let reason = String::from_utf8_lossy(&close.payload).into_owned();
        assert_eq!(close.opcode(), opcode::CLOSE, "{id}: {reason}");
        assert!(reason.contains("\"http_status\": 403"), "{id}: {reason}");
        let head = server.connect().upgrade(&format!("/nchan?id={id}"), &[]);
        assert_eq!(head.status, 403, "{id}");
    }
    // One closed channel closes the whole path.
    for location in ["/streaming", "/polling", "/long-polling", "/eventsource"] {
        for path in ["open/missing", "open/events", "open/ALL", "open/o*"] {
            let path = format!("{location}?id={path}");
            assert_eq!(status(&mut server.connect(), &path, &[]), 403, "{path}");
        }
    }
    let found = server.get("/stats?id=missing").head.status;
    assert_eq!(found, 404, "a denied subscriber has made the channel");
    server.stop();
}

#[test]
fn closed_channels_are_closed_after_polls_that_were_allowed() {
    let server = Server::with_conf(&conf(HTTP, LOCATIONS));
    server.publish("open", "text");
    for location in [
        "/polling",
        "/long-polling",
        "/nhpm",
        "/nchan",
        "/nchan-poll",
    ] {
        let mut poller = server.connect();
        for id in ["missing", "events"] {
            // The third request is a replay of the second one, where polls are replayed.
            for _ in 0..3 {
                let allowed = status(&mut poller, &format!("{location}?id=open"), &FROM_THE_FIRST);
                assert_eq!(allowed, 200, "{location}");
            }
            let denied = status(&mut poller, &format!("{location}?id={id}"), &FROM_THE_FIRST);
            assert_eq!(denied, 403, "{location}?id={id}");
        }
    }
    server.stop();
}

#[test]
fn foreign_pages_are_rejected_at_every_endpoint_of_nchan() {
    let server = Server::with_conf(&conf(HTTP, LOCATIONS));
    server.publish("open", "text");
    for (method, path) in [
        ("GET", "/nchan?id=open"),
        ("GET", "/nchan-poll?id=open"),
        ("GET", "/nchan-publisher?id=open"),
        ("POST", "/nchan-publisher?id=open"),
        ("GET", "/nchan-group"),
    ] {
        let body = (method == "POST").then_some(&b"text"[..]);
        let mut client = server.connect();
        let mut ask = |page: &[(&str, &str)]| client.request(method, path, page, body).head.status;
        for _ in 0..3 {
            assert!(matches!(ask(&[]), 200..300), "{method} {path}");
        }
        assert_eq!(ask(&[EVIL_PAGE]), 403, "{method} {path}");
        assert!(matches!(ask(&[GOOD_PAGE]), 200..300), "{method} {path}");
    }
    for (page, expected) in [(EVIL_PAGE, 403), (GOOD_PAGE, 200)] {
        let mut client = server.connect();
        let headers = [EVENT_STREAM, page];
        client.send_request("GET", "/nchan-info?id=open", &headers, None);
        assert_eq!(client.read_head().status, expected, "{page:?}");
    }
    for path in ["/nchan?id=open", "/nchan-both?id=open&group=b"] {
        let evil = server.connect().upgrade(path, &[EVIL_PAGE]);
        let good = server.connect().upgrade(path, &[GOOD_PAGE]);
        assert_eq!((evil.status, good.status), (403, 101), "{path}");
    }
    server.stop();
}

#[test]
fn websockets_of_nchan_publish_only_where_requests_may() {
    let server = Server::with_conf(&conf(HTTP, LOCATIONS));
    let mut open = server.websocket("/nchan-both?id=a&group=own", &[]);
    open.send(frame(opcode::TEXT, b"text"));
    assert_eq!(open.read_frame().payload, b"text");
    for path in ["/nchan-both?id=a&group=meta", "/nchan-both?id=events"] {
        let head = server.connect().upgrade(path, &[]);
        assert_eq!(head.status, 403, "{path}");
    }
    server.stop();
}

#[test]
fn a_batch_publishes_only_where_requests_may() {
    let server = Server::with_conf(&conf(HTTP, LOCATIONS));
    let mut client = server.connect();
    let mut batch = |path: &str, lines: &str| {
        let headers = [("Content-Type", "application/x-ndjson")];
        let body = Some(lines.as_bytes());
        client.request("POST", path, &headers, body).head.status
    };
    let line = "{\"text\":\"text\"}\n";
    for _ in 0..3 {
        assert_eq!(batch("/pub?id=open", line), 200);
    }
    for id in ["events", "ALL", "open/events", "o*"] {
        assert_eq!(batch(&format!("/pub?id={id}"), line), 403, "{id}");
        let named = format!("{{\"channel\":\"{id}\",\"text\":\"text\"}}\n");
        assert_eq!(batch("/pub?id=open", &named), 403, "{id}");
    }
    server.stop();
}
