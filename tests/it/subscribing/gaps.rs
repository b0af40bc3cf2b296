//! Subscribers that resume with a cursor older than the stored messages get the number of missed
//! messages.

use crate::support::{Connection, Head, Response, Server, conf, object};
use serde_json::Value;

/// Keeps two messages of each channel.
fn server() -> Server {
    Server::start(&["--max-stored-messages", "2"])
}

/// Publishes `count` messages with event ids `eN`; returns the cursor of each as headers.
fn publish(server: &Server, channel: &str, count: usize) -> Vec<Cursor> {
    let path = format!("/poll/{channel}.b1");
    let one = |number| {
        let event_id = format!("e{number}");
        let reply = server.connect().request(
            "POST",
            &format!("/pub?id={channel}"),
            &[("Event-Id", &event_id)],
            Some(b"x"),
        );
        assert_eq!(reply.head.status, 200);
        Cursor::of(&server.get(&path).head)
    };
    (1..=count).map(one).collect()
}

/// A position in a poll response.
#[derive(Clone)]
struct Cursor {
    time: String,
    tag: String,
}

impl Cursor {
    fn of(head: &Head) -> Self {
        let [(_, time), (_, tag)] = head.cursor();
        Self {
            time: time.to_owned(),
            tag: tag.to_owned(),
        }
    }

    fn headers(&self) -> [(&str, &str); 2] {
        [
            ("If-Modified-Since", &self.time),
            ("If-None-Match", &self.tag),
        ]
    }
}

fn resume(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    server.connect().request("GET", path, headers, None)
}

/// Id and `missed` of each object of a response.
fn objects(reply: &Response) -> Vec<(i64, Option<u64>)> {
    let pair = |line: &str| {
        let value = object(line.as_bytes());
        (
            value["id"].as_i64().expect("an id"),
            value["missed"].as_u64(),
        )
    };
    reply.text().lines().map(pair).collect()
}

fn missed(reply: &Response) -> Option<&str> {
    reply.head.get("X-Pushctl-Missed")
}

fn next(connection: &mut Connection, mode: &str) -> Value {
    if mode == "ws" {
        return object(&connection.read_frame().payload);
    }
    loop {
        let line = connection.read_until(b"\n");
        match mode {
            "ev" => {
                if let Some(data) = line.strip_prefix(b"data: ") {
                    return object(data);
                }
            }
            _ => return object(&line),
        }
    }
}

#[test]
fn every_mode_reports_messages_dropped_since_the_cursor() {
    let server = server();
    let cursors = publish(&server, "a", 10);
    for mode in ["sub", "ev", "ws"] {
        for (seen, count) in [(3, 5), (7, 1), (8, 0)] {
            let mut follower = server.connect();
            let path = format!("/{mode}/a");
            let headers = cursors[seen - 1].headers();
            if mode == "ws" {
                follower.upgrade(&path, &headers);
            } else {
                follower.send_request("GET", &path, &headers, None);
                follower.read_head();
            }
            if count > 0 {
                let gap = next(&mut follower, mode);
                assert_eq!(
                    (&gap["id"], &gap["missed"], &gap["at_least"]),
                    (&(-4).into(), &count.into(), &Value::Null),
                    "{mode} {seen}"
                );
                let text = format!("{count} messages missed");
                assert_eq!(
                    (&gap["channel"], &gap["text"], &gap["eventid"]),
                    (&"a".into(), &text.into(), &"".into())
                );
                let time = gap["time"].as_str().expect("a text");
                let tag = gap["tag"].as_str().expect("a text");
                let again = resume(
                    &server,
                    "/poll/a",
                    &[("If-Modified-Since", time), ("If-None-Match", tag)],
                );
                assert_eq!(
                    (objects(&again), missed(&again)),
                    (vec![(9, None), (10, None)], None),
                    "a cursor that misses nothing more"
                );
            }
            assert_eq!(next(&mut follower, mode)["id"], 9, "{mode} {seen}");
            assert_eq!(next(&mut follower, mode)["id"], 10);
        }
    }
    for mode in ["poll", "lp"] {
        let reply = resume(&server, &format!("/{mode}/a"), &cursors[2].headers());
        assert_eq!(
            (objects(&reply), missed(&reply)),
            (vec![(-4, Some(5)), (9, None), (10, None)], Some("5")),
            "{mode}"
        );
        let again = resume(&server, "/poll/a", &reply.head.cursor());
        assert_eq!(
            (again.head.status, missed(&again)),
            (304, None),
            "{mode} reports it once"
        );
    }
    let call = resume(&server, "/jsonp/a?callback=f", &cursors[2].headers());
    let arguments = call
        .text()
        .strip_prefix("f([")
        .and_then(|rest| rest.strip_suffix("]);"))
        .expect("a call");
    let objects = object(format!("[{arguments}]").as_bytes());
    assert_eq!(
        (&objects[0]["missed"], &objects[1]["id"]),
        (&5.into(), &9.into())
    );
    server.stop();
}

#[test]
fn a_dropped_event_id_resumes_at_the_oldest_message_with_a_gap() {
    let server = server();
    publish(&server, "a", 6);
    let mut follower = server.follow("/ev/a", &[("Last-Event-ID", "e2")]);
    let text = String::from_utf8(follower.read_until(b"\"eventid\":\"e5\"}")).expect("UTF-8");
    assert!(
        text.contains(
            "event: gap\ndata: {\"id\":-4,\"channel\":\"a\",\"text\":\"2 messages \
                           missed\",\"missed\":2,\"tag\""
        ),
        "{text}"
    );
    let reply = resume(&server, "/poll/a", &[("Last-Event-ID", "e5")]);
    assert_eq!((objects(&reply), missed(&reply)), (vec![(6, None)], None));
    let unknown = resume(&server, "/poll/a", &[("Last-Event-ID", "unknown")]);
    // It may be from an earlier run of the server: all stored messages are new to the client.
    assert_eq!(
        (objects(&unknown), missed(&unknown)),
        (vec![(-4, Some(4)), (5, None), (6, None)], Some("4+"))
    );
    server.stop();
}

#[test]
fn explicit_starts_report_no_gap() {
    let server = server();
    let cursors = publish(&server, "a", 6);
    let all = [("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")];
    for (path, headers, status) in [
        ("/poll/a", &all[..], 200),
        ("/poll/a.b9", &[], 200),
        ("/poll/a", &[], 304),
    ] {
        let reply = resume(&server, path, headers);
        assert_eq!(
            (reply.head.status, missed(&reply)),
            (status, None),
            "{path}"
        );
    }
    // A channel without dropped messages has no gap, nor has a recreated one.
    server.publish("b", "x");
    let reply = resume(&server, "/poll/b", &cursors[0].headers());
    assert_eq!((objects(&reply), missed(&reply)), (vec![(1, None)], None));
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=a", &[], None)
            .head
            .status,
        200
    );
    server.publish("a", "x");
    let reply = resume(&server, "/poll/a", &cursors[0].headers());
    assert_eq!((objects(&reply), missed(&reply)), (vec![(1, None)], None));
    server.stop();
}

#[test]
fn far_behind_the_number_is_a_lower_bound() {
    let server = server();
    let first = publish(&server, "a", 2).remove(1);
    let mut publisher = server.connect();
    for _ in 0..500 {
        assert_eq!(
            publisher
                .request("POST", "/pub?id=a", &[], Some(b"x"))
                .head
                .status,
            200
        );
    }
    let reply = resume(&server, "/poll/a", &first.headers());
    // 498 is the truth.
    let count = missed(&reply)
        .and_then(|text| text.strip_suffix('+'))
        .and_then(|text| text.parse::<u64>().ok());
    assert!(
        count.is_some_and(|count| (249..498).contains(&count)),
        "{:?}",
        missed(&reply)
    );
    let gap = object(reply.text().lines().next().unwrap_or_default().as_bytes());
    assert_eq!(
        (gap["missed"].as_u64(), &gap["at_least"]),
        (count, &true.into())
    );
    server.stop();
}

#[test]
fn several_channels_are_counted_one_by_one_and_the_cursor_holds_for_all() {
    let server = server();
    let start = publish(&server, "c", 1).remove(0);
    publish(&server, "a", 5);
    publish(&server, "b", 4);
    let reply = resume(&server, "/poll/a/b/c", &start.headers());
    let ids = vec![
        (-4, Some(3)),
        (-4, Some(2)),
        (4, None),
        (5, None),
        (3, None),
        (4, None),
    ];
    assert_eq!((objects(&reply), missed(&reply)), (ids, Some("5")));
    let mut follower = server.connect();
    follower.send_request("GET", "/sub/a/b/c", &start.headers(), None);
    follower.read_head();
    for (channel, count) in [("a", 3), ("b", 2)] {
        let gap = next(&mut follower, "sub");
        assert_eq!(
            (&gap["channel"], &gap["missed"]),
            (&channel.into(), &count.into())
        );
        let time = gap["time"].as_str().expect("a text");
        let tag = gap["tag"].as_str().expect("a text");
        let again = resume(
            &server,
            "/poll/a/b/c",
            &[("If-Modified-Since", time), ("If-None-Match", tag)],
        );
        // The next message is in `a`; the gap of `b` follows it.
        let rest = vec![(-4, Some(2)), (4, None), (5, None), (3, None), (4, None)];
        assert_eq!(
            (objects(&again), missed(&again)),
            (rest, Some("2")),
            "nothing is passed over"
        );
    }
    let details = object(&server.get("/channels-stats").body);
    assert_eq!(details["missed_at_resume"], 14);
    assert_eq!(
        object(&server.get("/channels-stats?id=a").body)["dropped_messages"],
        3
    );
    server.stop();
}

#[test]
fn a_gap_is_reported_once_on_an_emptied_channel() {
    let server = Server::start(&["--message-ttl", "1s"]);
    let cursors = publish(&server, "a", 3);
    crate::support::wait_until("the messages expire", || {
        object(&server.get("/channels-stats?id=a").body)["stored_messages"] == 0
    });
    for mode in ["poll", "lp"] {
        let reply = resume(&server, &format!("/{mode}/a"), &cursors[0].headers());
        assert_eq!(
            (reply.head.status, objects(&reply), missed(&reply)),
            (200, vec![(-4, Some(2))], Some("2")),
            "{mode}"
        );
        let again = resume(&server, "/poll/a", &reply.head.cursor());
        assert_eq!((again.head.status, missed(&again)), (304, None));
    }
    let mut follower = server.connect();
    follower.send_request("GET", "/sub/a", &cursors[1].headers(), None);
    follower.read_head();
    assert_eq!(next(&mut follower, "sub")["missed"], 1);
    server.stop();
}

const LOCATIONS: &str = r#"
    push_stream_store_messages on;
    location /channels-stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; }
    location ~ ^/poll/(.*)$ { push_stream_subscriber polling; push_stream_channels_path $1; }
    location ~ ^/sub/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
        push_stream_message_template "~id~ ~text~\n"; }
    location ~ ^/reported/(.*)$ {
        push_stream_subscriber; push_stream_channels_path $1;
            push_stream_message_template "~id~ ~text~\n"; pushctl_gap_notice on;
    }
    location ~ ^/reported-ev/(.*)$ { push_stream_subscriber eventsource;
        push_stream_channels_path $1; pushctl_gap_notice on; }
    location ~ ^/reported-poll/(.*)$ { push_stream_subscriber polling; push_stream_channels_path $1;
        pushctl_gap_notice on; }"#;

#[test]
fn imported_locations_report_gaps_on_request() {
    let http = "push_stream_shared_memory_size 10m; push_stream_max_messages_stored_per_channel 1;";
    let server = Server::with_conf(&conf(http, LOCATIONS));
    let first = publish(&server, "a", 4).remove(0);
    let follow = |path: &str| {
        let mut follower = server.connect();
        follower.send_request("GET", path, &first.headers(), None);
        follower.read_head();
        follower
    };
    assert_eq!(follow("/sub/a").read_until(b"\n"), b"4 x\n");
    assert_eq!(
        follow("/reported/a").read_until(b"4 x\n"),
        b"-4 2 messages missed\n4 x\n"
    );
    let event =
        String::from_utf8(follow("/reported-ev/a").read_until(b"data: x\n")).expect("UTF-8");
    assert!(
        event.contains(
            "event: gap\ndata: {\"id\":-4,\"channel\":\"a\",\"text\":\"2 messages \
                            missed\",\"missed\":2,"
        ),
        "{event}"
    );
    let silent = resume(&server, "/poll/a", &first.headers());
    assert_eq!((silent.text(), missed(&silent)), ("x", None));
    let reported = resume(&server, "/reported-poll/a", &first.headers());
    assert_eq!((reported.text(), missed(&reported)), ("x", Some("2")));
    // Only the module's numbers, unless gaps are requested.
    assert!(
        !server
            .get("/channels-stats")
            .text()
            .contains("missed_at_resume")
    );
    for (accept, line) in [
        ("application/json", "\"missed_at_resume\": 10"),
        ("text/plain", "\r\nmissed_at_resume: 10\r\n"),
        ("text/yaml", "\r\n  missed_at_resume: 10\r\n"),
        (
            "text/xml",
            "\r\n  <missed_at_resume>10</missed_at_resume>\r\n",
        ),
    ] {
        let reply = resume(&server, "/channels-stats?details=1", &[("Accept", accept)]);
        assert!(reply.text().contains(line), "{accept}: {}", reply.text());
    }
    server.stop();
}
