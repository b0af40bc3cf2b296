//! The built-in locations against web pages of other origins: which requests are rejected.

use crate::support::{Connection, Head, Response, Server, wait_until};

pub(super) const EVIL: &str = "http://evil.test";
pub(super) const CROSS_SITE: (&str, &str) = ("Sec-Fetch-Site", "cross-site");
const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// Sends a request with these headers; `Host` defaults to `localhost`.
pub(super) fn send(
    connection: &mut Connection,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) {
    let mut request = format!("{method} {path} HTTP/1.1\r\n");
    if headers.iter().all(|(name, _)| *name != "Host") {
        request += "Host: localhost\r\n";
    }
    headers
        .iter()
        .for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
    request += if matches!(method, "POST" | "PUT") {
        "Content-Length: 1\r\n\r\nx"
    } else {
        "\r\n"
    };
    connection.send(request);
}

pub(super) fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut connection = server.connect();
    send(&mut connection, method, path, headers);
    connection.read_response()
}

/// The head of a response, read as soon as it is complete.
pub(super) fn head(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Head {
    let mut connection = server.connect();
    send(&mut connection, method, path, headers);
    connection.read_head()
}

pub(super) fn status(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    head(server, method, path, headers).status
}

/// The status of a websocket's handshake.
pub(super) fn upgrade(server: &Server, headers: &[(&str, &str)]) -> u16 {
    status(server, "GET", "/ws/c", &[&HANDSHAKE, headers].concat())
}

/// Requests that a page can send without a preflight, and some that need one.
pub(super) const REQUESTS: [(&str, &str); 14] = [
    ("POST", "/pub?id=c"),
    ("PUT", "/pub?id=c"),
    ("DELETE", "/pub?id=c"),
    ("GET", "/pub?id=c"),
    ("OPTIONS", "/pub?id=c"),
    ("GET", "/channels-stats?id=ALL"),
    ("GET", "/jsonp/c.b1?callback=f"),
    ("GET", "/poll/c.b1"),
    ("GET", "/lp/c.b1"),
    ("GET", "/sub/c.b1"),
    ("GET", "/ev/c.b1"),
    ("GET", "/iframe/c.b1"),
    ("GET", "/"),
    ("GET", "/nowhere"),
];

/// The status of a request with exactly this text.
pub(super) fn raw(server: &Server, request: &str) -> u16 {
    let mut connection = server.connect();
    connection.send(request);
    connection.read_head().status
}

#[test]
fn pages_of_other_origins_are_rejected() {
    let server = Server::start(&[]);
    let own = format!("http://{}", server.address());
    server.publish("c", "secret");
    let other_port = "http://127.0.0.1:1";
    let origins: [&[(&str, &str)]; 10] = [
        &[("Origin", EVIL)],
        &[("Origin", other_port)],
        &[("Origin", "null")],
        &[("Origin", "nonsense")],
        &[("Origin", "")],
        &[("Origin", &own), ("Origin", EVIL)],
        &[CROSS_SITE],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Origin", &own), CROSS_SITE],
        &[("Sec-Fetch-Site", "same-origin"), CROSS_SITE],
    ];
    for headers in origins {
        for (method, path) in REQUESTS {
            let response = ask(&server, method, path, headers);
            assert_eq!(response.head.status, 403, "{method} {path} {headers:?}");
            assert!(
                response
                    .head
                    .explain()
                    .is_some_and(|text| text.contains("--allow-origin")),
                "{response:?}"
            );
            assert!(
                response.text().contains("--allow-origin") && !response.text().contains("secret"),
                "{response:?}"
            );
            assert_eq!(
                response.head.get("Access-Control-Allow-Origin"),
                None,
                "{response:?}"
            );
        }
        assert_eq!(upgrade(&server, headers), 403, "{headers:?}");
    }
    let statistics = ask(&server, "GET", "/channels-stats?id=c", &[]);
    assert!(
        statistics
            .text()
            .contains("\"published_messages\": 1, \"stored_messages\": 1, \"subscribers\": 0"),
        "{}",
        statistics.text()
    );
    wait_until("the log names the option", || {
        server.stderr().contains("--allow-origin")
    });
    server.stop();
}

#[test]
fn same_origin_pages_and_other_clients_are_unaffected() {
    let server = Server::start(&[]);
    server.publish("c", "x");
    let port = server
        .address()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let own = format!("http://{}", server.address());
    let own_https = format!("https://{}", server.address());
    let upper = format!("HTTP://{}", server.address());
    let host = ("Host", server.address());
    let (localhost, localhost_origin) = (
        format!("localhost:{port}"),
        format!("http://localhost:{port}"),
    );
    let origins: [&[(&str, &str)]; 9] = [
        &[],
        &[host, ("Origin", &own)],
        &[host, ("Origin", &own_https)],
        &[host, ("Origin", &upper)],
        &[("Host", &localhost), ("Origin", &localhost_origin)],
        &[host, ("Origin", &own), ("Sec-Fetch-Site", "same-origin")],
        &[host, ("Sec-Fetch-Site", "none")],
        // A proxy has rewritten `Host`; `Sec-Fetch-Site` of the browser takes precedence.
        &[
            host,
            ("Origin", "https://push.example"),
            ("Sec-Fetch-Site", "same-origin"),
        ],
        &[host, ("Origin", "null"), ("Sec-Fetch-Site", "same-origin")],
    ];
    for headers in origins {
        for (method, path) in REQUESTS {
            let expected = if path == "/nowhere" { 404 } else { 200 };
            assert_eq!(
                status(&server, method, path, headers),
                expected,
                "{method} {path} {headers:?}"
            );
            if method == "DELETE" {
                server.publish("c", "x");
            }
        }
        assert_eq!(upgrade(&server, headers), 101, "{headers:?}");
    }
    server.stop();
}

#[test]
fn the_user_may_follow_links_and_open_addresses() {
    let server = Server::start(&[]);
    server.publish("c", "x");
    let opened = [
        CROSS_SITE,
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    for path in ["/", "/channels-stats", "/pub?id=c", "/sub/c"] {
        assert_eq!(status(&server, "GET", path, &opened), 200, "{path}");
    }
    // A form that a page sends, and a frame in a page.
    assert_eq!(status(&server, "POST", "/pub?id=c", &opened), 403);
    for path in ["/", "/iframe/c"] {
        let framed = [
            CROSS_SITE,
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "iframe"),
        ];
        assert_eq!(status(&server, "GET", path, &framed), 403, "{path}");
        assert_eq!(
            head(&server, "GET", path, &[]).get("Content-Security-Policy"),
            Some("frame-ancestors 'self'"),
            "{path}"
        );
    }
    server.stop();
}

#[test]
fn scripts_of_pages_over_plain_http_show_themselves_by_their_referer() {
    let server = Server::start(&["--allow-origin", "http://app.test"]);
    server.publish("c", "x");
    let own = format!("http://{}/page?x", server.address());
    let host = ("Host", server.address());
    for (referer, expected) in [
        (own.as_str(), 200),
        ("http://app.test/page", 200),
        ("http://app.test.evil.test/", 403),
        ("http://evil.test/", 403),
    ] {
        let headers = [host, ("Referer", referer)];
        assert_eq!(
            status(&server, "GET", "/jsonp/c.b1?callback=f", &headers),
            expected,
            "{referer}"
        );
        // Only readable responses are protected.
        assert_eq!(
            status(&server, "GET", "/poll/c.b1", &headers),
            200,
            "{referer}"
        );
    }
    server.stop();
}

#[test]
fn scripts_of_pages_that_show_nothing_of_themselves_read_nothing() {
    let browser = (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36",
    );
    for (options, expected) in [
        (&[][..], 403),
        (&["--allow-origin", "http://app.test"], 403),
        (&["--allow-origin", "*"], 200),
    ] {
        let server = Server::start(options);
        server.publish("c", "x");
        for path in ["/jsonp/c.b1", "/lp/c.b1", "/poll/c.b1"] {
            let call = format!("{path}?callback=f");
            let hosts = ["0.0.0.0:9080", "10.0.0.1", "[::ffff:127.0.0.1]:9080"];
            for host in hosts {
                assert_eq!(
                    status(&server, "GET", &call, &[("Host", host), browser]),
                    expected,
                    "{host} {call} {options:?}"
                );
            }
            assert_eq!(
                status(
                    &server,
                    "GET",
                    &call,
                    &[
                        ("Host", hosts[0]),
                        browser,
                        ("Referer", "http://0.0.0.0:9080/")
                    ]
                ),
                200
            );
            // Scripts read no JSON, and clients that are not browsers no scripts.
            assert_eq!(status(&server, "GET", path, &[browser]), 200, "{path}");
            assert_eq!(
                status(&server, "GET", &call, &[("User-Agent", "curl/8.15.0")]),
                200,
                "{path}"
            );
        }
        server.stop();
    }
}
