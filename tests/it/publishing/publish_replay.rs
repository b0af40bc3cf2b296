//! Replay cache of publish requests: replayed requests get the same responses as first ones.

use crate::support::{Connection, Response, Server, conf, object, show};

/// A request of a publisher.
fn post(target: &str, headers: &str, text: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

fn usual(channel: &str, text: &str) -> String {
    post(&format!("/pub?id={channel}"), "", text)
}

/// A response without its date and connection headers; and whether the connection is kept.
fn answer(connection: &mut Connection, request: &str) -> (String, bool) {
    connection.send(request);
    let Response { mut head, body } = connection.read_response();
    let is_kept = head.get("connection") == Some("keep-alive");
    head.headers
        .retain(|(name, _)| !["Date", "Connection"].contains(&name.as_str()));
    (
        format!("{} {:?}\n{}", head.status, head.headers, show(&body)),
        is_kept,
    )
}

/// Requests of which some equal the previous one, and others nearly do.
fn requests() -> Vec<String> {
    let mut requests: Vec<String> = [
        "ch",
        "ch",
        "ch",
        "other",
        "ch",
        "other",
        "a-B_9:c.d",
        "a-B_9:c.d",
    ]
    .map(|id| usual(id, "text"))
    .into();
    let others = [
        "",
        "ALL",
        "new",
        "a.b5",
        "a",
        "a/b",
        "a%62",
        "ab",
        "a+b",
        "ch&id=other",
        "ch&x=1",
        "ch#",
        "ch?",
        "a*b",
        "\u{e9}",
        "longer-than-it-may-be",
        "sixteen-or-fewer",
        "forbidden",
    ];
    for id in others {
        // An ordinary request, which is cached, precedes and follows each.
        requests.extend([
            usual("ch", "before"),
            usual(id, "text"),
            usual("ch", "after"),
        ]);
    }
    for text in [
        "",
        "x",
        &"x".repeat(1000),
        &"x".repeat(1001),
        "\r\n\r\nPOST /",
        "\u{0}\u{7f}\u{e4}\"\\",
    ] {
        requests.extend([
            usual("ch", "before"),
            usual("ch", text),
            usual("ch", "after"),
        ]);
    }
    for (headers, text) in [
        ("Event-Id: 7\r\nEvent-Type: news\r\n", "events"),
        ("Accept: text/xml\r\n", "xml"),
        ("Accept: text/plain\r\n", "plain"),
    ] {
        requests
            .extend((0..3).map(|number| post("/pub?id=ch", headers, &format!("{text} {number}"))));
    }
    // Locations with gzip.
    requests.extend((0..3).map(|number| {
        post(
            "/pub?id=ch",
            "Accept-Encoding: gzip\r\n",
            &format!("packed {number}"),
        )
    }));
    for length in ["4", "04", "000000000000004", "4 ", " 4"] {
        requests.push(usual("ch", "text").replace(": 4", &format!(": {length}")));
    }
    requests.extend([
        usual("ch", "text"),
        usual("ch", "text").replace("POST", "PUT"),
        usual("ch", "text"),
        usual("ch", "text").replace("/pub?", "/PUB?"),
        usual("ch", "HTTP/1.0").replace("HTTP/1.1", "HTTP/1.0"),
        usual("ch", "text"),
        "DELETE /pub?id=ch HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        usual("ch", "after the channel was deleted"),
        usual("ch", "and again"),
        usual("ch", "the last one").replace("Host", "Connection: close\r\nHost"),
    ]);
    requests
}

/// Responses are the same on a shared connection as on a new one, and so are the messages.
fn compare(start: impl Fn() -> Server) {
    let one = start();
    let other = start();
    let followers = [&one, &other].map(|server| server.follow("/sub/ch", &[]));
    let mut kept = one.connect();
    for request in requests() {
        let (ours, is_kept) = answer(&mut kept, &request);
        let (theirs, _) = answer(&mut other.connect(), &request);
        assert_eq!(ours, theirs, "{request}");
        if !is_kept {
            kept = one.connect();
        }
    }
    let [ours, theirs] = followers.map(|mut follower| {
        let bytes = follower.read_body();
        // Up to the deletion of the channel. Times and tags differ between servers.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split("\"text\":")
            .map(|part| part.split(",\"tag\"").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    });
    assert_eq!(ours, theirs);
    one.stop();
    other.stop();
}

const LIMITS: &str = "push_stream_shared_memory_size 10m; push_stream_max_channel_id_length 16; \
                      client_max_body_size 1000;";
const FOLLOWED: &str = "location ~ ^/sub/(.*)$ { push_stream_subscriber; push_stream_channels_path \
                        $1; \
    push_stream_message_template '{\"text\":\"~text~\",\"tag\":\"~tag~\"}\\n'; }";

fn publisher(more: &str) -> String {
    let store = if more.contains("store_messages") {
        ""
    } else {
        "push_stream_store_messages on;"
    };
    format!(
        "{FOLLOWED} location /pub {{ push_stream_publisher admin; push_stream_channels_path \
         $arg_id; {store} {more} }}"
    )
}

#[test]
fn built_in_locations_replay_requests_like_first_ones() {
    compare(|| {
        Server::start(&[
            "--shards",
            "1",
            "--max-channel-id-length",
            "16",
            "--max-body-size",
            "1000",
        ])
    });
}

#[test]
fn configured_locations_replay_requests_like_first_ones() {
    for more in [
        "",
        "push_stream_channel_info_on_publish off;",
        "push_stream_store_messages off;",
        "add_header X-Fixed yes; add_header X-Host $http_host always;",
        "if ($http_x) { return 403; }",
    ] {
        compare(|| Server::with_conf(&conf(LIMITS, &publisher(more))));
    }
}

#[test]
fn variables_of_the_channel_are_evaluated_per_request() {
    for more in [
        "add_header X-Channel $arg_id;",
        "push_stream_allowed_origins $arg_id;",
        "if ($arg_id = forbidden) { return 403; }",
        "if ($args ~ other) { set $x 1; } add_header X-Other $x;",
        "gzip on; gzip_types application/json; gzip_min_length 1;",
    ] {
        compare(|| Server::with_conf(&conf(LIMITS, &publisher(more))));
    }
}

#[test]
fn messages_for_nchan_get_into_the_channels_that_they_name() {
    for more in ["", "nchan_channel_id_split_delimiter -;"] {
        let locations = format!(
            "nchan_channel_group g; location /pub {{ nchan_publisher; nchan_channel_id $arg_id; \
             nchan_max_channel_id_length 8; {more} }}
             location ~ ^/sub/(.*)$ {{ nchan_subscriber intervalpoll; nchan_channel_id $1; \
             nchan_subscriber_first_message -1; }}"
        );
        let server = Server::with_conf(&conf("", &locations));
        let mut connection = server.connect();
        let newest = |channel: &str| {
            let response = server.get(&format!("/sub/{channel}"));
            String::from_utf8_lossy(&response.body).into_owned()
        };
        let mut counts = std::collections::HashMap::new();
        for (number, channel) in ["a", "a", "b", "b", "a", "c-d", "a", "c-d", "b"]
            .into_iter()
            .cycle()
            .take(27)
            .enumerate()
        {
            let count = counts.entry(channel).or_insert(0);
            // The default of nchan_message_buffer_length.
            *count = 10.min(*count + 1);
            let text = format!("message {number}");
            let (answer, _) = answer(&mut connection, &usual(channel, &text));
            assert!(answer.starts_with("202 "), "{answer}");
            if more.is_empty() || channel != "c-d" {
                assert!(
                    answer.contains(&format!("queued messages: {count}\\r")),
                    "{answer}"
                );
                assert_eq!(newest(channel), text);
            } else {
                assert_eq!([newest("c"), newest("d")], [text.clone(), text]);
            }
        }
        let (rejected, _) = answer(&mut connection, &usual("too-long-id", "text"));
        assert!(rejected.starts_with("403 "), "{rejected}");
        server.stop();
    }
}

#[test]
fn a_reload_holds_for_the_next_of_repeated_requests() {
    let server = Server::with_conf(&conf(LIMITS, &publisher("")));
    let mut connection = server.connect();
    for number in 1..=3 {
        connection.send(usual("ch", "text"));
        assert_eq!(
            object(&connection.read_response().body)["published_messages"],
            number
        );
    }
    assert!(server.reload_conf(&conf(
        LIMITS,
        &publisher("push_stream_channel_info_on_publish off;")
    )));
    connection.send(usual("ch", "text"));
    assert_eq!(connection.read_response().body, b"");
    assert!(server.reload_conf(&conf(LIMITS, FOLLOWED)));
    connection.send(usual("ch", "text"));
    assert_eq!(connection.read_response().head.status, 404);
    server.stop();
}

#[test]
fn repeated_requests_are_counted_and_logged_each() {
    let location = publisher("keepalive_requests 5;");
    let server = Server::with_conf(&conf(LIMITS, &location));
    let mut connection = server.connect();
    let is_kept: Vec<bool> = (0..5)
        .map(|_| answer(&mut connection, &usual("ch", "text")).1)
        .collect();
    assert_eq!(is_kept, [true, true, true, true, false]);
    connection.expect_close();
    server.stop();

    let directory = crate::support::Directory::new("repeated");
    let log = directory.path().join("access.log");
    let format = format!(
        "log_format channels '$arg_id'; access_log {} channels; {LIMITS}",
        log.display()
    );
    let server = Server::with_conf(&conf(&format, &publisher("")));
    let mut connection = server.connect();
    for channel in ["a", "a", "b", "a", "c"] {
        assert!(answer(&mut connection, &usual(channel, "text")).1);
    }
    server.stop();
    assert_eq!(
        std::fs::read_to_string(&log).expect("a log"),
        "a\na\nb\na\nc\n"
    );
}

#[test]
fn a_full_store_rejects_replayed_requests() {
    let server = Server::start(&["--memory", "2m", "--shards", "1"]);
    let mut connection = server.connect();
    let text = "x".repeat(20_000);
    let refused = (0..1000).find_map(|_| {
        connection.send(usual("ch", &text));
        Some(connection.read_response()).filter(|response| response.head.status != 200)
    });
    let refused = refused.expect("the store is full");
    assert_eq!(
        (refused.head.status, refused.head.get("connection")),
        (500, Some("close"))
    );
    assert_eq!(
        refused.head.get("cache-control"),
        Some("no-cache, no-store, must-revalidate")
    );
    connection.expect_close();
    server.stop();
}

#[test]
fn replayed_responses_have_the_current_date() {
    let server = Server::start(&["--shards", "1"]);
    let mut connection = server.connect();
    let mut date = || {
        connection.send(usual("ch", "text"));
        let date = connection
            .read_response()
            .head
            .get("date")
            .expect("a date")
            .to_owned();
        httpdate::parse_http_date(&date).expect("a date")
    };
    let first = date();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let before = std::time::SystemTime::now();
        let date = date();
        // A date has no fractions of a second.
        assert!(
            date + std::time::Duration::from_secs(1) > before
                && date <= std::time::SystemTime::now()
        );
        if date > first {
            break;
        }
        assert!(
            std::time::Instant::now() < until,
            "the date does not change"
        );
    }
    server.stop();
}
