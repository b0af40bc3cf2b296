//! Invalid requests next to a healthy follower of the same channel, which must miss nothing.

use crate::support::{Connection, Server, object, show};

/// A server and a follower of channel `c` that expects every message.
pub(crate) struct Scene {
    /// The server.
    pub(crate) server: Server,
    pub(super) follower: Connection,
    /// Messages published on `c` so far.
    pub(super) published: i64,
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

    /// Publishes and checks that exactly this message arrives next.
    pub(crate) fn check(&mut self) {
        let text = format!("healthy {}", self.published + 1);
        self.publish(&text);
    }

    /// Publishes this text and checks that exactly this message arrives next.
    pub(crate) fn publish(&mut self, text: &str) {
        self.server.publish("c", text);
        self.arrives(text);
    }

    /// Checks that this message, published elsewhere, arrives next.
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

    /// The next line that the healthy follower receives, unchanged.
    pub(super) fn line(&mut self) -> Vec<u8> {
        self.published += 1;
        self.follower.read_until(b"\n")
    }

    /// Checks that the follower still works and nothing else was published, and stops the server.
    pub(crate) fn end(mut self) {
        self.check();
        let info = self.server.get("/pub?id=c");
        assert_eq!(
            object(&info.body)["published_messages"],
            self.published,
            "unexpected messages: {}",
            info.text()
        );
        self.server.stop();
    }

    /// Sends bytes on a new connection and reads until the server closes it.
    pub(super) fn answers(&self, request: impl AsRef<[u8]>) -> String {
        // Shown only if the test fails.
        eprintln!("sending {}", show(request.as_ref()));
        let mut connection = self.server.connect();
        connection.try_send(request.as_ref());
        String::from_utf8(connection.read_to_close()).expect("answers are UTF-8")
    }

    /// Sends bytes that must be answered with this status and a closed connection, and nothing
    /// else.
    pub(super) fn refused(&mut self, request: impl AsRef<[u8]>, statuses: &[&str]) {
        let response = self.answers(request.as_ref());
        let expected = statuses
            .iter()
            .any(|status| response.starts_with(&format!("HTTP/1.1 {status}")));
        assert!(
            expected,
            "{} is answered {response:?}, want {statuses:?}",
            show(request.as_ref())
        );
        assert_eq!(
            response.matches("HTTP/1.1 ").count(),
            1,
            "more than one answer: {response:?}"
        );
        assert!(response.contains("Connection: close\r\n"), "{response:?}");
        self.check();
    }
}

pub(super) fn post(headers: &str, body: &str) -> String {
    format!("POST /pub?id=c HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
}

#[test]
fn an_oversized_body_is_rejected_and_the_connection_closed() {
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
    // The size is detected while reading: the response may be lost in the reset of a connection
    // with unread bytes.
    let chunks = format!("{:x}\r\n{}\r\n", 65536, "x".repeat(65536)).repeat(17);
    let response = scene.answers(post("Transfer-Encoding: chunked\r\n", &chunks));
    assert!(
        response.is_empty() || response.starts_with("HTTP/1.1 413 "),
        "{response:?}"
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
fn an_oversized_head_is_rejected() {
    let mut scene = Scene::new(&["--max-header-size", "8192"]);
    let large = "x".repeat(9000);
    for unfinished in [
        format!("X-Large: {large}"),
        format!("X-Large: {large}\r\n\r\n"),
        "X: y\r\n".repeat(1500),
    ] {
        let request = format!("GET /sub/c HTTP/1.1\r\nHost: localhost\r\n{unfinished}");
        let response = scene.answers(&request);
        assert!(
            response.starts_with("HTTP/1.1 400 "),
            "{response:?} to {}",
            show(request.as_bytes())
        );
        assert!(
            response.contains("400 Request Header Or Cookie Too Large"),
            "{response:?}"
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
fn an_overlong_channel_id_is_rejected() {
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
        let response = scene.server.connect().request(
            method,
            path,
            &[],
            (method == "POST").then_some(b"x".as_slice()),
        );
        assert_eq!(
            (response.head.status, response.head.explain()),
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
fn a_path_without_channel_is_rejected() {
    let mut scene = Scene::new(&[]);
    for (method, path) in [
        ("POST", "/pub"),
        ("POST", "/pub?id="),
        ("PUT", "/pub?other=c"),
        ("GET", "/pub"),
        ("DELETE", "/pub"),
    ] {
        let response = scene
            .server
            .connect()
            .request(method, path, &[], Some(b"x"));
        assert_eq!(
            (response.head.status, response.head.explain()),
            (400, Some("No channel id provided.")),
            "{method} {path}"
        );
    }
    for mode in ["sub", "ev", "lp", "poll"] {
        let response = scene.server.get(&format!("/{mode}/"));
        assert_eq!(
            (response.head.status, response.head.explain()),
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
            let response =
                scene
                    .server
                    .connect()
                    .request(method, &format!("/pub?id={id}"), &[], Some(b"x"));
            let explain = Some("Channel id not authorized for this method.");
            assert_eq!(
                (response.head.status, response.head.explain()),
                (403, explain),
                "{method} {id}"
            );
        }
        let response = scene.server.get(&format!("/sub/{id}"));
        assert_eq!(response.head.status, 403, "a subscription to {id}");
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
fn an_empty_publication_is_rejected() {
    let mut scene = Scene::new(&[]);
    for (headers, body) in [
        ("Content-Length: 0\r\n", ""),
        ("", ""),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ] {
        let mut connection = scene.server.connect();
        connection.send(post(headers, body));
        let response = connection.read_response();
        assert_eq!(
            (response.head.status, response.head.explain()),
            (400, Some("Empty post requests are not allowed.")),
            "{headers:?}"
        );
        scene.check();
    }
    scene.end();
}
