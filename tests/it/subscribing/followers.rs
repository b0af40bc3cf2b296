//! Regression tests of followers of every mode: missed wake-ups, wrong disconnections, wrong order.

use crate::support::{Connection, Server, conf, object};
use serde_json::Value;

/// Every subscriber mode with a plain template, and publishers that store and that do not.
const LOCATIONS: &str = r#"
    location /channels-stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; }
    location /pubn { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages off; }
    location ~ ^/sub/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
        push_stream_message_template "<~text~>"; }
    location ~ ^/ev/(.*)$ { push_stream_subscriber eventsource; push_stream_channels_path $1; }
    location ~ ^/ws/(.*)$ { push_stream_subscriber websocket; push_stream_channels_path $1; }
    location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1; }
    location ~ ^/poll/(.*)$ { push_stream_subscriber polling; push_stream_channels_path $1; }"#;

fn server(args: &[&str]) -> Server {
    let text = conf("push_stream_shared_memory_size 100m;", LOCATIONS);
    Server::try_with_conf(&text, args).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_long_poll_that_finds_only_unstored_messages_waits_for_the_next() {
    let server = server(&[]);
    for (publisher, channel) in [("/pub", "b"), ("/pub", "a"), ("/pubn", "b"), ("/pubn", "a")] {
        server.publish("a", "stored");
        let seen = server.get("/poll/a.b1");
        let unstored = server
            .connect()
            .request("POST", "/pubn?id=a", &[], Some(b"unstored"));
        assert_eq!(unstored.head.status, 200);
        let mut waiting = server.connect();
        waiting.send_request("GET", "/lp/a/b", &seen.head.cursor(), None);
        server.wait_for_subscribers("a", 1);
        server.wait_for_subscribers("b", 1);
        let next = format!("{publisher} {channel}");
        let published = server.connect().request(
            "POST",
            &format!("{publisher}?id={channel}"),
            &[],
            Some(next.as_bytes()),
        );
        assert_eq!(object(&published.body)["subscribers"], 1, "{next}");
        assert_eq!(waiting.read_response().text(), next);
    }
    server.stop();
}

#[test]
fn a_follower_whose_socket_is_full_from_the_start_is_dropped() {
    const MESSAGES: usize = 20;
    // No other timer can wake the deadline check: no pings, and no other thread.
    let server = server(&["--send-timeout", "1s", "--shards", "1"]);
    let text = vec![b'x'; 1_000_000];
    for _ in 0..MESSAGES {
        server.publish("big", &text);
    }
    for mode in ["sub", "ev", "ws"] {
        let path = format!("/{mode}/big.b{MESSAGES}");
        let mut deaf = server.connect_with_small_window();
        if mode == "ws" {
            deaf.upgrade(&path, &[]);
        } else {
            deaf.send_request("GET", &path, &[], None);
            deaf.read_head();
        }
        server.wait_for_subscribers("big", 0);
    }
    server.stop();
}

#[test]
fn a_large_backlog_of_several_channels_is_sent_in_path_order() {
    const LARGE: usize = 60;
    let server = server(&[]);
    let text = |name: &str| format!("{name} {}", "x".repeat(50_000));
    let mut wanted: Vec<String> = (1..=LARGE)
        .map(|number| text(&format!("a{number}")))
        .collect();
    server.publish("b", "b1");
    for (number, text) in (1..).zip(&wanted) {
        server.publish("a", text);
        if number == LARGE / 2 {
            server.publish("b", "b2");
        }
    }
    let mut slow = server.connect_with_small_window();
    slow.send_request("GET", "/sub/a.b999/b.b999", &[], None);
    slow.read_head();
    // Published while most of the backlog is unsent: they follow the backlog.
    server.publish("b", "b3");
    server.publish("a", "a61");
    wanted.extend(["b1", "b2", "b3", "a61"].map(str::to_owned));
    for text in wanted {
        let got = String::from_utf8(slow.read_until(b">")).expect("the text is ASCII");
        let name = |text: &str| text.split(' ').next().map(str::to_owned);
        assert!(
            got == format!("<{text}>"),
            "got {:?}, want {:?}",
            name(&got),
            name(&text)
        );
    }
    server.stop();
}

#[test]
fn news_of_a_channel_is_not_swallowed_by_the_backlog_of_another() {
    const LARGE: usize = 300;
    // Several attempts: the publication must happen while the backlog is being sent.
    const ATTEMPTS: usize = 6;
    let server = server(&["--shards", "1"]);
    for _ in 0..LARGE {
        server.publish("a", "x".repeat(60_000));
    }
    for attempt in 0..ATTEMPTS {
        let other = format!("b{attempt}");
        let mut follower = server.connect();
        follower.send_request("GET", &format!("/sub/a.b{LARGE}/{other}"), &[], None);
        let reader = std::thread::spawn(move || {
            follower.read_head();
            (0..=LARGE).map(|_| follower.read_until(b">")).last()
        });
        server.wait_for_subscribers(&other, 1);
        if attempt % 2 == 0 {
            server.publish(&other, "news");
        } else {
            assert_eq!(
                server
                    .connect()
                    .request("DELETE", &format!("/pub?id={other}"), &[], None)
                    .head
                    .status,
                200
            );
        }
        let last = reader
            .join()
            .expect("the follower gets the news of both channels");
        let wanted: &[u8] = if attempt % 2 == 0 {
            b"<news>"
        } else {
            b"<Channel deleted>"
        };
        assert!(
            last.as_deref() == Some(wanted),
            "the backlog comes before it"
        );
    }
    server.stop();
}

#[test]
fn a_follower_of_several_channels_that_misses_messages_is_dropped() {
    let server = server(&[
        "--shards",
        "1",
        "--max-lag",
        "2m",
        "--max-stored-messages",
        "8",
    ]);
    let mut slow = server.connect_with_small_window();
    slow.send_request("GET", "/sub/a/b", &[], None);
    slow.read_head();
    server.wait_for_subscribers("b", 1);
    for _ in 0..8 {
        server.publish("b", "x".repeat(900_000));
    }
    // More than the backlog for slow followers: the first ones are dropped.
    for number in 1..=30 {
        server.publish("a", format!("a{number} {}", "x".repeat(100_000)));
    }
    // It may get the stored messages, but none after a gap.
    let got = String::from_utf8(slow.read_to_close()).expect("the messages are ASCII");
    assert!(
        !got.contains("<a") || got.contains("<a1 "),
        "messages behind a gap were sent"
    );
    server.stop();
}

/// Unsolicited data that a client may send.
static UNASKED: [u8; 40_000] = [b'x'; 40_000];

#[test]
fn a_stream_ignores_client_data_and_detects_disconnection() {
    let server = Server::start(&[]);
    let next_event: fn(&mut Connection) -> _ = Connection::next_event;
    for (path, next) in [
        ("/sub/a", Connection::next_line as fn(&mut Connection) -> _),
        ("/ev/a", next_event),
    ] {
        let mut follower = server.follow(path, &[]);
        server.wait_for_subscribers("a", 1);
        follower.send(UNASKED);
        server.publish("a", path);
        assert_eq!(
            next(&mut follower).map(|message| message.text).as_deref(),
            Some(path)
        );
        drop(follower);
        server.wait_for_subscribers("a", 0);
    }
    server.stop();
}

#[test]
fn a_long_poll_ends_when_its_client_sends_too_much() {
    let server = Server::start(&[]);
    let mut waiting = server.connect();
    waiting.send_request("GET", "/lp/a", &[], None);
    server.wait_for_subscribers("a", 1);
    waiting.try_send(UNASKED);
    server.wait_for_subscribers("a", 0);
    waiting.expect_close();
    let mut waiting = server.connect();
    waiting.send_request("GET", "/lp/a", &[], None);
    server.wait_for_subscribers("a", 1);
    waiting.try_send(UNASKED);
    drop(waiting);
    server.wait_for_subscribers("a", 0);
    server.stop();
}

#[test]
fn the_cursor_of_a_deletion_or_an_end_repeats_nothing_where_messages_are_objects() {
    let server = Server::start(&[]);
    for (mode, is_news) in [("lp", true), ("lp", false), ("jsonp", true)] {
        let a = format!("{mode}{is_news}a");
        let b = format!("{mode}{is_news}b");
        let path = format!("/{mode}/{a}/{b}?callback=f");
        let poll = format!("/poll/{a}/{b}");
        server.publish(&a, "one");
        server.publish(&b, "two");
        let seen = server.get(&format!("/poll/{a}.b1/{b}.b1"));
        let mut waiting = server.connect();
        waiting.send_request("GET", &path, &seen.head.cursor(), None);
        server.wait_for_subscribers(&b, 1);
        assert_eq!(
            server
                .connect()
                .request("DELETE", &format!("/pub?id={b}"), &[], None)
                .head
                .status,
            200
        );
        let reported = waiting.read_response();
        assert!(reported.text().contains("\"id\":-2,"), "{reported:?}");
        if is_news {
            server.publish(&a, "three");
        }
        let next = server
            .connect()
            .request("GET", &poll, &reported.head.cursor(), None);
        let texts: Vec<Value> = next
            .text()
            .lines()
            .map(|line| object(line.as_bytes())["text"].clone())
            .collect();
        assert_eq!(
            texts,
            if is_news { vec!["three"] } else { vec![] },
            "{mode}"
        );
    }
    // Shutdown looks like a time-out to the client.
    server.publish("a", "one");
    let seen = server.get("/poll/a.b1");
    let mut waiting = server.connect();
    waiting.send_request("GET", "/lp/a", &seen.head.cursor(), None);
    server.wait_for_subscribers("a", 1);
    server.terminate();
    let ended = waiting.read_response();
    assert_eq!(
        (ended.head.status, ended.head.cursor()[1]),
        (304, seen.head.cursor()[1])
    );
    drop(waiting);
    server.stop();
}

#[test]
fn a_deletion_is_reported_before_later_messages() {
    let server = Server::start(&["--shards", "1"]);
    let post = |channel: &str, text: &str| {
        format!(
            "POST /pub?id={channel} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n\
             {text}",
            text.len()
        )
    };
    server.publish("a", "before a");
    server.publish("b", "before b");
    let seen = server.get("/poll/a.b1/b.b1");
    let mut stream = server.follow("/sub/a/b", &[]);
    let mut poll = server.connect();
    poll.send_request("GET", "/lp/a/b", &seen.head.cursor(), None);
    server.wait_for_subscribers("b", 2);
    // In one piece, so that the publication to `b` is queued first and both are served together.
    let requests = [
        post("b", "one"),
        "DELETE /pub?id=a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        post("a", "two"),
        post("b", "three"),
    ];
    let mut publisher = server.connect();
    publisher.send(requests.concat());
    for _ in requests {
        assert_eq!(publisher.read_response().head.status, 200);
    }
    let reported: Vec<String> = (0..3)
        .filter_map(|_| stream.next_line())
        .map(|message| message.text)
        .collect();
    assert_eq!(
        reported,
        ["one", "Channel deleted", "three"],
        "every message is a cursor, and that of `three` would pass `two` over"
    );
    // A poll that resumes with the returned cursors gets everything, too.
    let mut texts: Vec<String> = Vec::new();
    let mut response = poll.read_response();
    loop {
        texts.extend(response.text().lines().map(|line| {
            object(line.as_bytes())["text"]
                .as_str()
                .expect("a text")
                .to_owned()
        }));
        if texts.last().is_some_and(|text| text == "three") {
            break;
        }
        response = server
            .connect()
            .request("GET", "/lp/a/b", &response.head.cursor(), None);
    }
    texts.retain(|text| text != "Channel deleted");
    assert_eq!(texts, ["one", "two", "three"]);
    drop(stream);
    server.stop();
}

#[test]
fn a_large_poll_is_answered_in_resumable_parts() {
    const MESSAGES: u64 = 8;
    let server = Server::start(&[]);
    // In JSON each of these bytes becomes six.
    let text = "\u{1}".repeat(60_000);
    for _ in 0..MESSAGES {
        server.publish("large", &text);
    }
    for mode in ["poll", "lp"] {
        let mut ids = Vec::new();
        let mut answers = 0;
        let mut response = server.get(&format!("/{mode}/large.b{MESSAGES}"));
        while ids.len() < MESSAGES as usize {
            assert!(
                response.body.len() < 2_000_000,
                "{mode}: an answer of {} bytes",
                response.body.len()
            );
            let lines: Vec<&[u8]> = response
                .body
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .collect();
            assert!(!lines.is_empty(), "{mode}: nothing after {ids:?}");
            ids.extend(
                lines
                    .iter()
                    .map(|line| object(line)["id"].as_u64().expect("a number")),
            );
            answers += 1;
            if ids.len() < MESSAGES as usize {
                response = server.connect().request(
                    "GET",
                    &format!("/{mode}/large"),
                    &response.head.cursor(),
                    None,
                );
            }
        }
        assert_eq!(ids, (1..=MESSAGES).collect::<Vec<u64>>(), "{mode}");
        assert!(answers > 2, "{mode}: {answers} answers");
    }
    server.stop();
}
