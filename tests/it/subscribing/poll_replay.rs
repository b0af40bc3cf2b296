//! Replay cache of polls: polls that differ only in their cursor get the same responses as first
//! ones.

use crate::support::{Connection, Response, Server, conf, object, show, wait_until};

/// The date and the tag of a message.
pub(super) type Cursor = [String; 2];

pub(super) const HTTP: &str = "push_stream_shared_memory_size 10m; map $http_if_none_match $of_tag \
                               { default \
                    ch; W/2 other; W/3 other; }";

/// Locations of publishers and statistics.
pub(super) const OTHERS: &str = "location /pub { push_stream_publisher admin; \
                                 push_stream_channels_path \
                      $arg_id; push_stream_store_messages on; } \
    location ~ ^/poll/(.*)$ { push_stream_subscriber polling; push_stream_channels_path $1; } \
    location /channels-stats { push_stream_channels_statistics; push_stream_channels_path \
    $arg_id; }";

pub(super) fn configuration(more: &str) -> String {
    let path = if more.contains("channels_path") {
        ""
    } else {
        "push_stream_channels_path $1;"
    };
    let poll =
        format!("location ~ ^/lp/(.*)$ {{ push_stream_subscriber long-polling; {path} {more} }}");
    conf(HTTP, &format!("{poll} {OTHERS}"))
}

/// A poll as most clients send it.
pub(super) fn poll(target: &str, [date, tag]: &Cursor, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nIf-Modified-Since: {date}\r\n\
         If-None-Match: {tag}\r\n{headers}\r\n"
    )
}

pub(super) fn cursor_of(response: &Response) -> Cursor {
    response.head.cursor().map(|(_, value)| value.to_owned())
}

/// A response without its date and connection headers; and whether the connection is kept.
fn answer(connection: &mut Connection, is_head: bool) -> (String, bool) {
    let mut head = connection.read_head();
    let body = if is_head {
        Vec::new()
    } else {
        connection.read_body()
    };
    let is_kept = head.get("connection") == Some("keep-alive");
    head.headers
        .retain(|(name, _)| !["Date", "Connection"].contains(&name.as_str()));
    (
        format!("{} {:?}\n{}", head.status, head.headers, show(&body)),
        is_kept,
    )
}

/// The cursors of these messages.
fn published(server: &Server, channel: &str, texts: &[&str]) -> Vec<Cursor> {
    let cursor = |text: &&str| {
        server.publish(channel, text);
        let newest = server
            .connect()
            .request("GET", &format!("/poll/{channel}.b1"), &[], None);
        cursor_of(&newest)
    };
    texts.iter().map(cursor).collect()
}

/// Polls of which some equal the previous one, and others nearly do.
fn polls(cursors: &[Cursor]) -> Vec<String> {
    let usual = |cursor: &Cursor| poll("/lp/ch", cursor, "");
    let first = usual(&cursors[0]);
    let later = usual(&cursors[1]);
    let mut polls: Vec<String> = cursors
        .iter()
        .cycle()
        .take(3 * cursors.len())
        .map(usual)
        .collect();
    for (from, to) in [
        ("", ""),
        ("If-None-Match: ", "If-None-Match:  "),
        ("If-None-Match: ", "If-None-Match: W/"),
        ("If-None-Match: ", "If-None-Match: 1"),
        ("If-None-Match: ", "If-None-Match: 99999999999999999999"),
        ("If-None-Match: ", "If-None-Match: x"),
        ("If-None-Match: ", "If-None-Match: \r\nX: "),
        ("If-None-Match: ", "If-None-Match: 0\r\nIf-None-Match: "),
        ("If-Modified-Since: ", "If-Modified-Since: x"),
        ("If-Modified-Since: ", "If-Modified-Since: \r\nX: "),
        (" GMT", ""),
        (" GMT", " UTC"),
        (" GMT", "  GMT"),
        (" GMT", " GMT "),
        ("localhost", "other"),
        ("/lp/ch", "/lp/ch.b2"),
        ("/lp/ch", "/lp/ch/"),
        ("/lp/ch", "/lp/other"),
        ("/lp/ch", "/lp/ch/other"),
        ("/lp/ch", "/lp/ch?callback=f"),
        (
            "/lp/ch",
            "/lp/ch?time=Thu%2C%2001%20Jan%201970%2000%3A00%3A00%20GMT",
        ),
        (
            "/lp/ch",
            "/lp/ch?tag=0&time=Thu%2C%2001%20Jan%201970%2000%3A00%3A00%20GMT",
        ),
        ("/lp/ch", "/lp/ALL"),
        ("/lp/ch", "/lp/"),
        ("/lp/ch", "/LP/ch"),
        ("GET", "HEAD"),
        ("GET", "OPTIONS"),
        ("\r\n\r\n", "\r\nLast-Event-ID: seven\r\n\r\n"),
        ("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"),
        ("\r\n\r\n", "\r\nAccept-Encoding: gzip\r\n\r\n"),
        ("HTTP/1.1", "HTTP/1.0"),
    ] {
        // Ordinary polls, which are cached, precede and follow each.
        polls.extend([
            first.clone(),
            later.clone(),
            later.replacen(from, to, 1),
            first.clone(),
        ]);
    }
    let lines: Vec<&str> = later.split_inclusive("\r\n").collect();
    let swapped = [lines[0], lines[3], lines[1], lines[2], "\r\n"].concat();
    polls.extend([
        swapped.clone(),
        swapped.replace(&cursors[1][1], &cursors[0][1]),
        swapped,
        first.clone(),
    ]);
    polls.push(first.replace("Host", "Connection: close\r\nHost"));
    polls
}

/// Responses to polls with this cursor, and to `polls`, are the same on a shared connection as on a
/// new one.
fn compare_polls(
    server: Server,
    usual: impl Fn(&Cursor) -> String,
    polls: impl Fn(&[Cursor]) -> Vec<String>,
) {
    let first = published(&server, "ch", &["one"]);
    let rest = published(&server, "ch", &["two", "three", "four"]);
    published(&server, "other", &["another"]);
    let cursors = [
        vec![["Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), "0".to_owned()]],
        first,
        rest[..2].to_vec(),
    ]
    .concat();
    let mut kept = server.connect();
    let newest = usual(&rest[2]);
    for request in std::iter::repeat_n(usual(&cursors[0]), 3)
        .chain([newest])
        .chain(polls(&cursors))
    {
        let mut single = server.connect();
        let is_head = request.starts_with("HEAD");
        kept.send(&request);
        single.send(&request);
        // Without a valid date they wait for the next message.
        let wait_for = |channel: &str| server.subscribers(channel) == 2;
        wait_until(&format!("both are answered or wait: {request}"), || {
            kept.has_received() && single.has_received()
                || ["ch", "other"].into_iter().any(wait_for)
        });
        if !kept.has_received() {
            ["ch", "other"]
                .into_iter()
                .filter(|channel| wait_for(channel))
                .for_each(|channel| drop(server.publish(channel, "awaited")));
        }
        let (ours, is_kept) = answer(&mut kept, is_head);
        assert_eq!(ours, answer(&mut single, is_head).0, "{request}");
        if !is_kept {
            kept = server.connect();
        }
    }
    server.stop();
}

fn compare(server: Server) {
    compare_polls(server, |cursor| poll("/lp/ch", cursor, ""), polls);
}

/// A poll with its cursor in query arguments, as `pushstream.js` can send it.
fn poll_by_arguments([date, tag]: &Cursor) -> String {
    let date = date.replace(' ', "%20").replace(',', "%2C");
    format!("GET /lp/ch?_=1&tag={tag}&time={date} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Polls by arguments, of which some equal the previous one, and others nearly do.
fn polls_by_arguments(cursors: &[Cursor]) -> Vec<String> {
    let first = poll_by_arguments(&cursors[0]);
    let later = poll_by_arguments(&cursors[1]);
    let cycle = cursors.iter().cycle().take(3 * cursors.len());
    let mut polls: Vec<String> = cycle.map(poll_by_arguments).collect();
    for (from, to) in [
        ("tag=", "tag=W/"),
        ("tag=", "tag=x"),
        ("tag=", "tag=&x="),
        ("tag=", "tag=%30"),
        ("time=", "time=x"),
        ("time=", "time=&x="),
        ("GMT", "GMT&eventid=7"),
        ("GMT", "GMT#"),
        ("%20GMT", "+GMT"),
        ("_=1", "_=2"),
        ("/lp/ch", "/lp/other"),
        ("\r\n\r\n", "\r\nIf-None-Match: 5\r\n\r\n"),
    ] {
        polls.extend([
            first.clone(),
            later.clone(),
            later.replacen(from, to, 1),
            first.clone(),
        ]);
    }
    polls
}

#[test]
fn polls_by_arguments_are_replayed_like_first_ones() {
    let start = |more: &str| {
        compare_polls(
            Server::with_conf(&configuration(&format!(
                "push_stream_last_received_message_time $arg_time; \
                 push_stream_last_received_message_tag $arg_tag; {more}"
            ))),
            poll_by_arguments,
            polls_by_arguments,
        );
    };
    for more in [
        "",
        "add_header X-Tag $arg_tag;",
        "add_header X-Target $request_uri;",
        "if ($arg_tag = 0) { return 403; }",
        "push_stream_last_event_id $arg_eventid;",
    ] {
        start(more);
    }
    compare_polls(
        Server::start(&["--shards", "1"]),
        poll_by_arguments,
        polls_by_arguments,
    );
}

#[test]
fn built_in_locations_replay_polls_like_first_ones() {
    compare(Server::start(&["--shards", "1"]));
}

#[test]
fn configured_locations_replay_polls_like_first_ones() {
    for more in [
        "",
        "push_stream_message_template '<~id~:~text~>';",
        "push_stream_allowed_origins $http_host;",
        "add_header X-Tag $http_if_none_match;",
        "add_header X-Fixed yes; add_header X-Host $http_host always;",
        "set $tag $http_if_none_match; add_header X-Tag $tag;",
        "gzip on; gzip_types text/plain application/json; gzip_min_length 1;",
        "if ($http_if_none_match = 0) { return 403; }",
        "push_stream_channels_path $1$http_other;",
        "push_stream_channels_path $of_tag;",
        "push_stream_last_received_message_tag $http_x; push_stream_last_received_message_time \
         $arg_time;",
        "push_stream_last_event_id $http_if_none_match;",
    ] {
        compare(Server::with_conf(&configuration(more)));
    }
}

/// A client that polls for one message after the other.
pub(super) struct Client {
    pub(super) connection: Connection,
    pub(super) cursor: Cursor,
}

impl Client {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            connection: server.connect(),
            cursor: ["Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), "0".to_owned()],
        }
    }

    pub(super) fn ask(&mut self) {
        self.connection.send(poll("/lp/ch", &self.cursor, ""));
    }

    /// The texts of the next response.
    pub(super) fn texts(&mut self) -> Vec<String> {
        let response = self.connection.read_response();
        assert_eq!(response.head.status, 200, "{response:?}");
        self.cursor = cursor_of(&response);
        let lines = response
            .body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty());
        lines
            .map(|line| object(line)["text"].as_str().expect("a text").to_owned())
            .collect()
    }
}

#[test]
fn replayed_polls_get_each_message_once() {
    let server = Server::start(&["--shards", "1"]);
    let mut client = Client::new(&server);
    let mut expected = Vec::new();
    for number in 0..60 {
        // Stored messages, messages during the wait, and several at once.
        let waits = number % 3 != 0;
        if waits {
            client.ask();
            server.wait_for_subscribers("ch", 1);
        }
        let texts: Vec<String> = (0..if number % 4 == 0 && !waits { 3 } else { 1 })
            .map(|part| format!("{number}.{part}"))
            .collect();
        for text in &texts {
            server.publish("ch", text);
        }
        if !waits {
            client.ask();
        }
        assert_eq!(client.texts(), texts);
        expected.extend(texts);
    }
    assert_eq!(server.subscribers("ch"), 0);
    assert_eq!(expected.len(), 70);
    server.stop();
}

#[test]
fn requests_pipelined_behind_a_replayed_poll_are_served_after_it() {
    let server = Server::start(&["--shards", "1"]);
    let mut client = Client::new(&server);
    for round in 0..6 {
        // The second one waits when the third arrives.
        let first = poll("/lp/ch", &client.cursor, "");
        server.publish("ch", format!("{round} first"));
        client.connection.send(first);
        assert_eq!(client.texts(), [format!("{round} first")]);
        let second = poll("/lp/ch", &client.cursor, "");
        client
            .connection
            .send(second + "GET /pub?id=ch HTTP/1.1\r\nHost: localhost\r\n\r\n");
        server.wait_for_subscribers("ch", 1);
        server.publish("ch", format!("{round} second"));
        assert_eq!(client.texts(), [format!("{round} second")]);
        let info = object(&client.connection.read_response().body);
        assert_eq!(
            (&info["published_messages"], &info["subscribers"]),
            (&(2 * round + 2).into(), &0.into())
        );
    }
    server.stop();
}
