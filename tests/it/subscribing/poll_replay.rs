//! Clients that come back for the next message with the same request and another cursor: the
//! answers are those that each poll gets as the first of a connection.

use crate::support::{Connection, Response, Server, conf, object, show, wait_until};

/// The date and the tag of a message.
type Cursor = [String; 2];

const HTTP: &str = "push_stream_shared_memory_size 10m; map $http_if_none_match $of_tag { default \
                    ch; W/2 other; W/3 other; }";

/// Locations of publishers and statistics.
const OTHERS: &str = "location /pub { push_stream_publisher admin; push_stream_channels_path \
                      $arg_id; push_stream_store_messages on; } \
    location ~ ^/poll/(.*)$ { push_stream_subscriber polling; push_stream_channels_path $1; } \
    location /channels-stats { push_stream_channels_statistics; push_stream_channels_path \
    $arg_id; }";

fn configuration(more: &str) -> String {
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
fn poll(target: &str, [date, tag]: &Cursor, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nIf-Modified-Since: {date}\r\n\
         If-None-Match: {tag}\r\n{headers}\r\n"
    )
}

fn cursor_of(response: &Response) -> Cursor {
    response.head.cursor().map(|(_, value)| value.to_owned())
}

/// What a connection is answered, but for its date and what becomes of the connection; and whether
/// that goes on.
fn answer(connection: &mut Connection, is_head: bool) -> (String, bool) {
    let mut head = connection.read_head();
    let body = if is_head {
        Vec::new()
    } else {
        connection.read_body()
    };
    let goes_on = head.get("connection") == Some("keep-alive");
    head.headers
        .retain(|(name, _)| !["Date", "Connection"].contains(&name.as_str()));
    (
        format!("{} {:?}\n{}", head.status, head.headers, show(&body)),
        goes_on,
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

/// Polls of which some are like the one before them, and others nearly.
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
        // Before and after each there are usual ones, which are remembered.
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

/// Every poll is answered on a connection with others as on one of its own.
fn compare(server: Server) {
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
    let newest = poll("/lp/ch", &rest[2], "");
    for request in std::iter::repeat_n(polls(&cursors)[0].clone(), 3)
        .chain([newest])
        .chain(polls(&cursors))
    {
        let mut single = server.connect();
        let is_head = request.starts_with("HEAD");
        kept.send(&request);
        single.send(&request);
        // Without a date that can be understood they wait for what comes next.
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
        let (ours, goes_on) = answer(&mut kept, is_head);
        assert_eq!(ours, answer(&mut single, is_head).0, "{request}");
        if !goes_on {
            kept = server.connect();
        }
    }
    server.stop();
}

#[test]
fn built_in_locations_answer_repeated_polls_as_single_ones() {
    compare(Server::start(&["--shards", "1"]));
}

#[test]
fn configured_locations_answer_repeated_polls_as_single_ones() {
    for more in [
        "",
        "push_stream_message_template '<~id~:~text~>';",
        "push_stream_allowed_origins $http_host;",
        "add_header X-Tag $http_if_none_match;",
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
struct Client {
    connection: Connection,
    cursor: Cursor,
}

impl Client {
    fn new(server: &Server) -> Self {
        Self {
            connection: server.connect(),
            cursor: ["Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), "0".to_owned()],
        }
    }

    fn ask(&mut self) {
        self.connection.send(poll("/lp/ch", &self.cursor, ""));
    }

    /// The texts of the next answer.
    fn texts(&mut self) -> Vec<String> {
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
fn repeated_polls_get_each_message_once_whether_they_wait_or_not() {
    let server = Server::start(&["--shards", "1"]);
    let mut client = Client::new(&server);
    let mut expected = Vec::new();
    for number in 0..60 {
        // What is there already, what comes while it waits, and several at once.
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
fn requests_behind_a_repeated_poll_are_served_after_it() {
    let server = Server::start(&["--shards", "1"]);
    let mut client = Client::new(&server);
    for round in 0..6 {
        // The second one waits, and the third comes while it does.
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

/// A connection that remembers its poll, with the newest cursor of the channel.
fn accustomed(server: &Server) -> Client {
    let mut client = Client::new(server);
    for text in ["one", "two", "three"] {
        server.publish("ch", text);
        client.connection.send(poll("/lp/ch", &client.cursor, ""));
        client.cursor = cursor_of(&client.connection.read_response());
    }
    client
}

#[test]
fn limits_hold_for_repeated_polls() {
    let http = "push_stream_shared_memory_size 10m; push_stream_max_subscribers_per_channel 1;";
    let poll = "push_stream_subscriber long-polling; push_stream_channels_path $1; \
                push_stream_authorized_channels_only on;";
    let live =
        "push_stream_publisher; push_stream_channels_path $arg_id; push_stream_store_messages off;";
    let locations =
        format!("location ~ ^/lp/(.*)$ {{ {poll} }} location /live {{ {live} }} {OTHERS}");
    let server = Server::with_conf(&conf(http, &locations));
    let mut client = accustomed(&server);
    let mut second = accustomed(&server);
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
fn a_repeated_poll_is_told_of_messages_that_are_gone() {
    let server = Server::start(&["--shards", "1", "--max-stored-messages", "2"]);
    let mut client = accustomed(&server);
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
fn a_reload_holds_for_the_next_of_repeated_polls() {
    let server = Server::with_conf(&configuration(""));
    let mut client = accustomed(&server);
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
fn the_end_of_the_server_is_told_to_a_repeated_poll() {
    let server = Server::start(&["--shards", "1"]);
    let mut client = accustomed(&server);
    client.ask();
    server.wait_for_subscribers("ch", 1);
    server.terminate();
    let head = client.connection.read_head();
    assert_eq!((head.status, head.get("Connection")), (304, Some("close")));
    client.connection.expect_close();
    server.stop();
}

#[test]
fn polls_that_are_remembered_take_no_room_that_others_need() {
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
