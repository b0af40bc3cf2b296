//! Requests that nobody should send, each beside a healthy follower of the same channel that must
//! miss nothing.

use crate::support::{Connection, Server, find, object, show};

/// A server and a follower of channel `c` that expects every message.
pub(crate) struct Scene {
    /// The server.
    pub(crate) server: Server,
    follower: Connection,
    /// Messages published on `c` so far.
    published: i64,
}

impl Scene {
    /// Starts a server with these arguments and the follower.
    pub(crate) fn new(args: &[&str]) -> Self {
        let server = Server::start(args);
        let follower = server.follow("/sub/c", &[]);
        server.wait_for_subscribers("c", 1);
        let mut scene = Self {
            server,
            follower,
            published: 0,
        };
        scene.check();
        scene
    }

    /// Publishes and checks that exactly this message comes next.
    pub(crate) fn check(&mut self) {
        let text = format!("healthy {}", self.published + 1);
        self.publish(&text);
    }

    /// Publishes this text and checks that exactly this message comes next.
    pub(crate) fn publish(&mut self, text: &str) {
        self.server.publish("c", text);
        self.arrives(text);
    }

    /// Checks that this message, published by somebody, comes next.
    pub(crate) fn arrives(&mut self, text: &str) {
        self.published += 1;
        let message = self
            .follower
            .next_line()
            .expect("the healthy follower is still served");
        assert_eq!(
            (message.id, message.text.as_str()),
            (self.published, text),
            "what the healthy follower got"
        );
    }

    /// The next line that the healthy follower gets, as it is.
    fn line(&mut self) -> Vec<u8> {
        self.published += 1;
        self.follower.read_until(b"\n")
    }

    /// Checks once more that all is well, and that nothing else was published, and stops the
    /// server.
    pub(crate) fn end(mut self) {
        self.check();
        let info = self.server.get("/pub?id=c");
        assert_eq!(
            object(&info.body)["published_messages"],
            self.published,
            "messages that nobody published: {}",
            info.text()
        );
        self.server.stop();
    }

    /// Sends bytes on a new connection and reads what comes until the server closes it.
    fn answers(&self, request: impl AsRef<[u8]>) -> String {
        // Shown only if the test fails.
        eprintln!("sending {}", show(request.as_ref()));
        let mut connection = self.server.connect();
        connection.try_send(request.as_ref());
        String::from_utf8(connection.read_to_close()).expect("answers are UTF-8")
    }

    /// Sends bytes that must be answered with this status and a closed connection, and nothing
    /// else.
    fn refused(&mut self, request: impl AsRef<[u8]>, statuses: &[&str]) {
        let answer = self.answers(request.as_ref());
        let expected = statuses
            .iter()
            .any(|status| answer.starts_with(&format!("HTTP/1.1 {status}")));
        assert!(
            expected,
            "{} is answered {answer:?}, want {statuses:?}",
            show(request.as_ref())
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "more than one answer: {answer:?}"
        );
        assert!(answer.contains("Connection: close\r\n"), "{answer:?}");
        self.check();
    }
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /pub?id=c HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_connection_closed() {
    let mut scene = Scene::new(&[]);
    scene.refused(
        post("Content-Length: 1048577\r\n", "beginning"),
        &["413 Request Entity Too Large"],
    );
    scene.refused(
        post("Content-Length: 18446744073709551615\r\n", ""),
        &["413 ", "400 "],
    );
    scene.refused(
        post("Content-Length: 18446744073709551616\r\n", ""),
        &["413 ", "400 "],
    );
    // Found to be too large while it is read: the answer may be lost in the reset of a connection
    // with unread bytes.
    let chunks = format!("{:x}\r\n{}\r\n", 65536, "x".repeat(65536)).repeat(17);
    let answer = scene.answers(post("Transfer-Encoding: chunked\r\n", &chunks));
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413 "),
        "{answer:?}"
    );
    scene.check();
    let largest = "y".repeat(1 << 20);
    scene.publish(&largest);
    scene.end();
}

#[test]
fn a_configured_body_size_holds_to_the_byte() {
    let mut scene = Scene::new(&["--max-body-size", "100"]);
    scene.publish(&"x".repeat(100));
    scene.refused(
        post("Content-Length: 101\r\n", &"x".repeat(101)),
        &["413 Request Entity Too Large"],
    );
    scene.refused(
        post(
            "Transfer-Encoding: chunked\r\n",
            &format!("65\r\n{}\r\n0\r\n\r\n", "x".repeat(101)),
        ),
        &["413 "],
    );
    scene.end();
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let mut scene = Scene::new(&["--max-header-size", "8192"]);
    let large = "x".repeat(9000);
    for unfinished in [
        format!("X-Large: {large}"),
        format!("X-Large: {large}\r\n\r\n"),
        "X: y\r\n".repeat(1500),
    ] {
        let request = format!("GET /sub/c HTTP/1.1\r\nHost: localhost\r\n{unfinished}");
        let answer = scene.answers(&request);
        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "{answer:?} to {}",
            show(request.as_bytes())
        );
        assert!(
            answer.contains("400 Request Header Or Cookie Too Large"),
            "{answer:?}"
        );
        scene.check();
    }
    scene.refused(
        format!("GET /sub/{large} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        &["414 Request-URI Too Large"],
    );
    scene.refused(format!("GET /sub/{large}"), &["414 Request-URI Too Large"]);
    scene.end();
}

#[test]
fn a_channel_id_that_is_too_long_is_refused() {
    let mut scene = Scene::new(&["--max-channel-id-length", "10"]);
    let too_large = Some("Channel id is too large.");
    for (method, path) in [
        ("POST", "/pub?id=12345678901"),
        ("GET", "/pub?id=c/12345678901"),
        ("GET", "/channels-stats?id=12345678901"),
        ("GET", "/sub/c/12345678901"),
        ("GET", "/ev/12345678901.b5"),
        ("GET", "/lp/12345678901"),
        ("GET", "/poll/%31%32345678901"),
    ] {
        let answer = scene.server.connect().request(
            method,
            path,
            &[],
            (method == "POST").then_some(b"x".as_slice()),
        );
        assert_eq!(
            (answer.head.status, answer.head.explain()),
            (400, too_large),
            "{method} {path}"
        );
        scene.check();
    }
    let mut websocket = scene.server.websocket("/ws/12345678901", &[]);
    assert_eq!(
        websocket.read_frame().payload,
        b"\x03\xf0{\"http_status\": 400, \"explain\":\"Channel id is too large.\"}"
    );
    websocket.expect_close();
    scene.server.publish("1234567890", "ten bytes are allowed");
    scene.end();
}

#[test]
fn a_path_without_channel_is_refused() {
    let mut scene = Scene::new(&[]);
    for (method, path) in [
        ("POST", "/pub"),
        ("POST", "/pub?id="),
        ("PUT", "/pub?other=c"),
        ("GET", "/pub"),
        ("DELETE", "/pub"),
    ] {
        let answer = scene
            .server
            .connect()
            .request(method, path, &[], Some(b"x"));
        assert_eq!(
            (answer.head.status, answer.head.explain()),
            (400, Some("No channel id provided.")),
            "{method} {path}"
        );
    }
    for mode in ["sub", "ev", "lp", "poll"] {
        let answer = scene.server.get(&format!("/{mode}/"));
        assert_eq!(
            (answer.head.status, answer.head.explain()),
            (400, Some("No channel id provided.")),
            "/{mode}/"
        );
    }
    scene.server.websocket("/ws/", &[]).expect_close();
    scene.check();
    scene.end();
}

#[test]
fn all_and_stars_are_no_targets() {
    let scene = Scene::new(&[]);
    for id in [
        "ALL", "*", "c*", "a*b", "%2A", "ALL.b3", "%41LL", "c/ALL", "c/x*",
    ] {
        for method in ["POST", "PUT", "GET", "DELETE"] {
            let answer =
                scene
                    .server
                    .connect()
                    .request(method, &format!("/pub?id={id}"), &[], Some(b"x"));
            let explain = Some("Channel id not authorized for this method.");
            assert_eq!(
                (answer.head.status, answer.head.explain()),
                (403, explain),
                "{method} {id}"
            );
        }
        let answer = scene.server.get(&format!("/sub/{id}"));
        assert_eq!(answer.head.status, 403, "a subscription to {id}");
    }
    scene.end();
}

#[test]
fn bytes_that_are_not_utf8_arrive_as_base64() {
    let mut scene = Scene::new(&[]);
    scene.server.publish("c", b"\xff\xfe\"\n");
    let line = scene.line();
    let value = object(&line);
    assert_eq!(
        (value["base64"].as_str(), value.get("text")),
        (Some("//4iCg=="), None),
        "{}",
        show(&line)
    );
    scene.end();
}

#[test]
fn a_truncated_body_is_not_published() {
    let mut scene = Scene::new(&["--body-timeout", "1s"]);
    for request in [
        post("Content-Length: 100\r\n", "only a part"),
        post("Transfer-Encoding: chunked\r\n", "ff\r\nonly a part"),
        post("Transfer-Encoding: chunked\r\n", "4\r\npart\r\n"),
        post("Transfer-Encoding: chunked\r\n", "4\r\npart\r\n0\r\n"),
        post("Transfer-Encoding: chunked\r\n", "4"),
    ] {
        let mut gone = scene.server.connect();
        gone.send(&request);
        drop(gone);
        let mut half_closed = scene.server.connect();
        half_closed.send(&request);
        half_closed.half_close();
        let answer = half_closed.read_to_close();
        assert!(
            find(&answer, b" 200 ").is_none(),
            "{} is answered {}",
            show(request.as_bytes()),
            show(&answer)
        );
        let answer = scene.answers(&request);
        assert!(
            !answer.contains(" 200 "),
            "{} and then silence is answered {answer:?}",
            show(request.as_bytes())
        );
        scene.check();
    }
    scene.end();
}

#[test]
fn chunked_bodies_are_understood_or_refused() {
    let mut scene = Scene::new(&["--body-timeout", "1s"]);
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    for good in [
        "5\r\nHello\r\n0\r\n\r\n",
        "2\r\nHe\r\n003;name=value\r\nllo\r\n0\r\n\r\n",
        "5\r\nHello\r\n0\r\nTrailer: x\r\n\r\n",
    ] {
        let mut connection = scene.server.connect();
        connection.send(chunked(good));
        assert_eq!(connection.read_response().head.status, 200, "{good:?}");
        scene.arrives("Hello");
        assert_eq!(
            connection
                .request("GET", "/pub?id=c", &[], None)
                .head
                .status,
            200,
            "after {good:?}"
        );
    }
    // A chunk without size is read as the last one, so this is an empty publication.
    let answer = scene.answers(post(
        "Connection: close\r\nTransfer-Encoding: chunked\r\n",
        "\r\n\r\n",
    ));
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    // The largest size that fits is announced, and then the bytes do not come.
    let answer = scene.answers(chunked("ffffffffffffffff\r\nHello"));
    assert!(!answer.contains(" 200 "), "{answer:?}");
    scene.check();
    for bad in [
        "zz\r\nHello\r\n0\r\n\r\n",
        "-5\r\nHello\r\n0\r\n\r\n",
        "0x5\r\nHello\r\n0\r\n\r\n",
        "+5\r\nHello\r\n0\r\n\r\n",
        "5\r\nHelloXX0\r\n\r\n",
        "5\r\nHello world\r\n0\r\n\r\n",
        "10000000000000000\r\nHello",
        "fffffffffffffffffffffffffff5\r\nHello\r\n0\r\n\r\n",
    ] {
        scene.refused(chunked(bad), &["400 ", "413 "]);
    }
    scene.end();
}

#[test]
fn an_empty_publication_is_refused() {
    let mut scene = Scene::new(&[]);
    for (headers, body) in [
        ("Content-Length: 0\r\n", ""),
        ("", ""),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ] {
        let mut connection = scene.server.connect();
        connection.send(post(headers, body));
        let answer = connection.read_response();
        assert_eq!(
            (answer.head.status, answer.head.explain()),
            (400, Some("Empty post requests are not allowed.")),
            "{headers:?}"
        );
        scene.check();
    }
    scene.end();
}

#[test]
fn requests_with_two_readings_are_refused() {
    let mut scene = Scene::new(&[]);
    let smuggled = post("Content-Length: 8\r\n", "smuggled");
    let as_chunk = format!("0\r\n\r\n{smuggled}");
    for (headers, body) in [
        (
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            as_chunk.as_str(),
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            as_chunk.as_str(),
        ),
        ("Transfer-Encoding: xchunked\r\n", as_chunk.as_str()),
        (
            "Transfer-Encoding: chunked, identity\r\n",
            as_chunk.as_str(),
        ),
        ("Transfer-Encoding : chunked\r\n", as_chunk.as_str()),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "xx"),
        ("Content-Length: 1, 2\r\n", "xx"),
        ("Content-Length: +2\r\n", "xx"),
        ("Content-Length: -1\r\n", "xx"),
        ("Content-Length: 0x2\r\n", "xx"),
        ("Content-Length: 2 2\r\n", "xx"),
        ("Content-Length : 2\r\n", "xx"),
    ] {
        scene.refused(
            format!("{}{smuggled}", post(headers, body)),
            &["400 Bad Request", "501 Not Implemented"],
        );
    }
    let old = format!(
        "POST /pub?id=c HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n\
         {smuggled}"
    );
    scene.refused(old, &["400 Bad Request"]);
    scene.end();
}

#[test]
fn what_is_not_http_is_refused() {
    let mut scene = Scene::new(&[]);
    for garbage in [
        "\0\u{1}\u{2}\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
        "GET\r\n\r\n",
        "GET /sub/c HTTP/1.1\r\n\r\n",
        "GET /sub/c HTTP/9.9\r\nHost: localhost\r\n\r\n",
        "GET /sub/c HTTP/1.1\r\nHost: localhost\r\nbroken line\r\n\r\n",
        "GET /sub/c\0d HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = scene.answers(garbage);
        let refused = answer.is_empty()
            || ["400", "405", "505"]
                .iter()
                .any(|status| answer.contains(status));
        assert!(
            refused && !answer.contains("200 OK"),
            "{garbage:?} is answered {answer:?}"
        );
        scene.check();
    }
    scene.end();
}

#[test]
fn a_cursor_that_makes_no_sense_counts_as_none() {
    let mut scene = Scene::new(&[]);
    for (name, value) in [
        ("If-Modified-Since", "yesterday"),
        ("If-Modified-Since", ""),
        ("If-Modified-Since", "Thu, 1 Jan 1970 00:00:00 GMT"),
        ("If-Modified-Since", "Sun, 99 Nov 1994 99:99:99 GMT"),
        ("If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ("If-None-Match", "\"quoted\""),
        ("If-None-Match", "W/99999999999999999999999"),
        ("If-None-Match", "-1"),
    ] {
        let answer = scene
            .server
            .connect()
            .request("GET", "/poll/c", &[(name, value)], None);
        assert_eq!(
            (answer.head.status, answer.body.len()),
            (304, 0),
            "{name}: {value}"
        );
        scene.check();
    }
    for query in [
        "time=yesterday&tag=x",
        "time=%zz&tag=%",
        "tag=-1",
        "tag=99999999999999999999",
        "time=&tag=&eventid=",
    ] {
        let answer = scene.server.get(&format!("/poll/c?{query}"));
        assert_eq!(answer.head.status, 304, "{query}: {answer:?}");
        let mut stream = scene.server.follow(&format!("/sub/c?{query}"), &[]);
        scene.server.wait_for_subscribers("c", 2);
        scene.check();
        let message = stream.next_line().expect("a live message");
        assert_eq!(message.id, scene.published, "{query}: nothing old was sent");
        drop(stream);
        scene.server.wait_for_subscribers("c", 1);
    }
    // An event id that no message has may be one of an earlier run: the client is informed that it
    // may have missed messages.
    for value in ["unknown", "\u{e9}\u{2028}"] {
        let answer =
            scene
                .server
                .connect()
                .request("GET", "/poll/c", &[("Last-Event-ID", value)], None);
        assert_eq!(
            (answer.head.status, answer.head.get("X-Pushctl-Missed")),
            (200, Some("0+")),
            "{value}"
        );
        scene.check();
    }
    let all = scene.server.get("/poll/c.b99999999999999999999999");
    assert_eq!(
        all.text().lines().count() as i64,
        scene.published,
        "a backtrack that is too large counts as all"
    );
    scene.end();
}
