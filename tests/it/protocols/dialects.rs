//! NHPM and nchan next to push-stream: published configurations and loops, one channel in several
//! dialects, and errors in configurations. The recorded exchanges are in `golden_nchan`.

use crate::support::{Connection, Server, conf};

/// The configuration of a user of NHPM, as it was published.
const SEED_COMET: &str = "
    location /pub {
        set $push_channel_id $arg_id;
        push_publisher;#角色
        push_store_messages on; #打开消息队列
        push_max_message_buffer_length 20;#长度
        push_message_timeout 2h;#过期时长
    }
    location /sub {
        push_subscriber;
        push_subscriber_concurrency broadcast;#广播的形式
        set $push_channel_id $arg_id;
        default_type  text/plain;
    }";

/// Another one's.
const SEED_ACTIVITY: &str = "
    # internal publish endpoint (keep it private / protected)
    location /publish {
        set $push_channel_id $arg_id; #/?id=239aff3 or somesuch
        push_publisher;
        push_store_messages on; # enable message queueing
        push_message_timeout 2h; # expire buffered messages after 2 hours
        push_max_message_buffer_length 10; # store 10 messages
        push_min_message_recipients 0; # minimum recipients before purge
    }
    # public long-polling endpoint
    location /activity {
        push_subscriber;
        push_subscriber_concurrency broadcast;
        set $push_channel_id $arg_id;
        default_type text/plain;
    }";

/// The same channel in the terms of each dialect.
const MIXED: &str = "
    set $push_channel_id $arg_id;
    location = /ps-pub { push_stream_publisher admin; push_stream_channels_path $arg_id; \
    push_stream_store_messages on; }
    location = /ps-sub { push_stream_subscriber; push_stream_channels_path $arg_id; \
    push_stream_message_template '~text~|~event-type~;'; }
    location = /ps-poll { push_stream_subscriber polling; push_stream_channels_path $arg_id; \
    push_stream_message_template '~text~;'; }
    location = /nhpm-pub { push_publisher; }
    location = /nhpm-poll { push_subscriber interval-poll; }
    location = /nhpm-sub { push_subscriber; }
    location = /nchan-pub { nchan_publisher; nchan_channel_id $arg_id; }
    location = /nchan-sub { nchan_subscriber; nchan_channel_id $arg_id; }";

fn mixed() -> Server {
    Server::with_conf(&conf("push_stream_shared_memory_size 10m;", MIXED))
}

pub(super) fn post(
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let response = server
        .connect()
        .request("POST", path, headers, Some(body.as_bytes()));
    (response.head.status, response.text().to_owned())
}

/// Polls on like the original clients: with the date of the last response, and with its Etag if the
/// client supports it.
fn poll(connection: &mut Connection, path: &str, cursor: &mut Option<(String, String)>) -> String {
    let pair = cursor.clone();
    let headers: Vec<(&str, &str)> = pair
        .iter()
        .flat_map(|(date, tag)| {
            [
                ("If-Modified-Since", date.as_str()),
                ("If-None-Match", tag.as_str()),
            ]
        })
        .collect();
    let response = connection.request("GET", path, &headers, None);
    assert_eq!(response.head.status, 200, "{:?}", response.head);
    let get = |name| {
        response
            .head
            .get(name)
            .expect("a message has a position")
            .to_owned()
    };
    *cursor = Some((get("Last-Modified"), get("Etag")));
    response.text().to_owned()
}

#[test]
fn the_comet_article_examples_work() {
    let server = Server::with_conf(&conf("", SEED_COMET));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let (status, info) = post(&server, "/pub?id=miss", &form, "a=text");
    assert_eq!(
        (status, info.as_str()),
        (
            202,
            "queued messages: 1\r\nlast requested: 0 sec. ago (-1=never)\r\nactive subscribers: 0"
        )
    );
    // Its loop begins with an empty date, and ignores the Etag.
    let first = server
        .connect()
        .request("GET", "/sub?id=miss", &[("If-Modified-Since", "")], None);
    assert_eq!((first.head.status, first.text()), (200, "a=text"));
    assert_eq!(
        first.head.get("Content-Type"),
        Some("application/x-www-form-urlencoded")
    );
    let date = first.head.get("Last-Modified").expect("a date").to_owned();
    let mut waiting = server.connect();
    waiting.send_request("GET", "/sub?id=miss", &[("If-Modified-Since", &date)], None);
    crate::support::wait_until("the loop waits", || {
        server
            .get("/pub?id=miss")
            .text()
            .ends_with("active subscribers: 1")
    });
    assert_eq!(post(&server, "/pub?id=miss", &form, "a=more").0, 201);
    assert_eq!(waiting.read_response().text(), "a=more");
}

#[test]
fn the_ruby_article_example_works() {
    let server = Server::with_conf(&conf("", SEED_ACTIVITY));
    let mut listeners: Vec<_> = (0..2).map(|_| (server.connect(), None::<String>)).collect();
    for number in 0..4 {
        for (listener, modified) in &mut listeners {
            let headers: Vec<(&str, &str)> = modified
                .iter()
                .map(|date| ("If-Modified-Since", date.as_str()))
                .collect();
            listener.send_request("GET", "/activity?id=pub", &headers, None);
        }
        // The listeners ignore the Etag: within one second a date alone would select the second
        // message of that second.
        crate::support::wait_until("both wait", || {
            server
                .get("/publish?id=pub")
                .text()
                .ends_with("active subscribers: 2")
        });
        let text = format!("Hello @ {number}");
        assert_eq!(post(&server, "/publish?id=pub", &[], &text).0, 201);
        for (listener, modified) in &mut listeners {
            let response = listener.read_response();
            assert_eq!(response.text(), text);
            *modified = response.head.get("Last-Modified").map(str::to_owned);
        }
        // "Every 5 seconds" is shortened to the next second.
        let second = server
            .get("/publish?id=pub")
            .head
            .get("Date")
            .map(str::to_owned);
        crate::support::wait_until("the next second", || {
            server
                .get("/publish?id=pub")
                .head
                .get("Date")
                .map(str::to_owned)
                != second
        });
    }
}

#[test]
fn a_push_stream_message_is_seen_by_the_others_in_their_terms() {
    let server = mixed();
    let mut event_source = server.connect();
    event_source.send_request(
        "GET",
        "/nchan-sub?id=c",
        &[("Accept", "text/event-stream")],
        None,
    );
    assert_eq!(event_source.read_head().status, 200);
    event_source.read_until(b": hi\n\n");
    let (status, _) = post(
        &server,
        "/ps-pub?id=c",
        &[("Event-Type", "kind"), ("Event-Id", "own")],
        "one",
    );
    assert_eq!(status, 200);
    let event = String::from_utf8(event_source.read_until(b"\n\n")).expect("an event in UTF-8");
    let id = event
        .strip_prefix("event: kind\nid: ")
        .and_then(|rest| rest.split('\n').next())
        .expect("an id")
        .to_owned();
    assert_eq!(event, format!("event: kind\nid: {id}\ndata: one\n\n"));
    assert!(
        id.ends_with(":0"),
        "tags count from 0 in each channel: {id}"
    );
    assert_eq!(post(&server, "/ps-pub?id=other", &[], "x").0, 200);
    assert_eq!(post(&server, "/ps-pub?id=c", &[], "two").0, 200);
    let resumed =
        server
            .connect()
            .request("GET", "/nchan-sub?id=c", &[("Last-Event-ID", &id)], None);
    assert_eq!(resumed.text(), "two", "the id leads to the next message");
    let mut connection = server.connect();
    let mut cursor = None;
    assert_eq!(poll(&mut connection, "/nhpm-poll?id=c", &mut cursor), "one");
    assert_eq!(poll(&mut connection, "/nhpm-poll?id=c", &mut cursor), "two");
    let info = server
        .connect()
        .request("GET", "/nhpm-pub?id=c", &[("Accept", "text/json")], None);
    assert!(
        info.text().starts_with("{\"messages\": 2, "),
        "{}",
        info.text()
    );
    assert_eq!(info.head.get("Content-Type"), Some("text/json"));
}

#[test]
fn messages_of_nhpm_and_nchan_are_seen_by_push_stream() {
    let server = mixed();
    let mut stream = server.follow("/ps-sub?id=c", &[]);
    assert_eq!(
        post(
            &server,
            "/nchan-pub?id=c",
            &[("X-EventSource-Event", "kind"), ("Content-Type", "text/x")],
            "one"
        )
        .0,
        201
    );
    assert_eq!(
        post(
            &server,
            "/nhpm-pub?id=c",
            &[("Content-Type", "text/y")],
            "two"
        )
        .0,
        201
    );
    stream.read_until(b"one|kind;two|;");
    let polled = server.connect().request(
        "GET",
        "/ps-poll?id=c",
        &[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")],
        None,
    );
    assert_eq!(polled.text(), "one;two;");
    let info = server.connect().request("GET", "/ps-pub?id=c", &[], None);
    assert!(
        info.text()
            .contains("\"published_messages\": 2, \"stored_messages\": 2, \"subscribers\": 1"),
        "{}",
        info.text()
    );
    let first = server.connect().request("GET", "/nhpm-sub?id=c", &[], None);
    assert_eq!(
        (
            first.text(),
            first.head.get("Content-Type"),
            first.head.get("Etag")
        ),
        ("one", Some("text/x"), Some("0"))
    );
}

#[test]
fn deleting_ends_the_subscribers_of_every_dialect() {
    let server = mixed();
    let mut event_source = server.connect();
    event_source.send_request(
        "GET",
        "/nchan-sub?id=c",
        &[("Accept", "text/event-stream")],
        None,
    );
    event_source.read_head();
    event_source.read_until(b": hi\n\n");
    let mut waiting = server.connect();
    waiting.send_request("GET", "/nhpm-sub?id=c", &[], None);
    crate::support::wait_until("it waits", || {
        server
            .get("/nhpm-pub?id=c")
            .text()
            .ends_with("active subscribers: 2")
    });
    let deleted = server
        .connect()
        .request("DELETE", "/ps-pub?id=c", &[], Some(b""));
    assert_eq!(deleted.head.status, 200);
    assert_eq!(event_source.read_to_close(), b":410: 410 Gone\n\n");
    assert_eq!(waiting.read_response().head.status, 410);
}

#[test]
fn only_the_newest_of_the_waiting_stays_whatever_the_shard() {
    let locations = "set $push_channel_id $arg_id; location = /pub { push_publisher; }
        location = /sub { push_subscriber; push_subscriber_concurrency last; }";
    let server = Server::try_with_conf(&conf("", locations), &["--shards", "3"]).expect("a server");
    let waiting = |count: &str| {
        server
            .get("/pub?id=c")
            .text()
            .ends_with(&format!("active subscribers: {count}"))
    };
    let mut before: Option<Connection> = None;
    for _ in 0..20 {
        let mut next = server.connect();
        next.send_request("GET", "/sub?id=c", &[], None);
        if let Some(mut before) = before.replace(next) {
            assert_eq!(before.read_response().head.status, 409);
        } else {
            crate::support::wait_until("the first one waits", || waiting("1"));
        }
    }
    crate::support::wait_until("one waits", || waiting("1"));
    assert_eq!(post(&server, "/pub?id=c", &[], "z").0, 201);
    assert_eq!(before.expect("the newest").read_response().text(), "z");
}

#[test]
fn a_message_stays_until_enough_recipients_had_it() {
    let locations = "set $push_channel_id $arg_id;
        location = /pub { push_publisher; push_message_timeout 1s; push_min_message_recipients 2; \
        push_max_message_buffer_length 2; }
        location = /sub { push_subscriber interval-poll; }";
    let server = Server::with_conf(&conf("", locations));
    for text in ["1", "2", "3"] {
        post(&server, "/pub?id=c", &[], text);
    }
    let queued = || {
        server
            .get("/pub?id=c")
            .text()
            .lines()
            .next()
            .map(str::to_owned)
            .unwrap_or_default()
    };
    assert_eq!(queued(), "queued messages: 2", "never beyond the maximum");
    let begin = server.get("/pub?id=c").head.get("Date").map(str::to_owned);
    assert_eq!(server.get("/sub?id=c").text(), "2");
    let mut seconds = std::collections::HashSet::from([begin]);
    crate::support::wait_until("the time is over", || {
        seconds.insert(server.get("/pub?id=c").head.get("Date").map(str::to_owned));
        seconds.len() > 3
    });
    assert_eq!(queued(), "queued messages: 2", "one reader is not enough");
    assert_eq!(server.get("/sub?id=c").text(), "2");
    assert_eq!(queued(), "queued messages: 1", "the second reader was");
}
