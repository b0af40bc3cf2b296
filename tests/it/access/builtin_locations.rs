//! The built-in locations: safe from web pages of other origins, from names that lead to this
//! machine, and from scripts in messages; what closes a server that others can reach.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::support::{
    Connection, Directory, Head, Response, Server, Socket, conf, program, wait_until,
};

const EVIL: &str = "http://evil.test";
const CROSS_SITE: (&str, &str) = ("Sec-Fetch-Site", "cross-site");
const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// Sends a request with these headers; the name is `localhost` unless they say another one.
fn send(connection: &mut Connection, method: &str, path: &str, headers: &[(&str, &str)]) {
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

fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut connection = server.connect();
    send(&mut connection, method, path, headers);
    connection.read_response()
}

/// The head of an answer; of a stream, as soon as it is there.
fn head(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Head {
    let mut connection = server.connect();
    send(&mut connection, method, path, headers);
    connection.read_head()
}

fn status(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    head(server, method, path, headers).status
}

/// The status of a websocket's handshake.
fn upgrade(server: &Server, headers: &[(&str, &str)]) -> u16 {
    status(server, "GET", "/ws/c", &[&HANDSHAKE, headers].concat())
}

/// The status of a request with exactly this text.
fn raw(server: &Server, request: &str) -> u16 {
    let mut connection = server.connect();
    connection.send(request);
    connection.read_head().status
}

/// Everything that a page can do without asking before, and some that it has to ask for.
const REQUESTS: [(&str, &str); 14] = [
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

#[test]
fn pages_of_other_origins_can_do_nothing() {
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
            let answer = ask(&server, method, path, headers);
            assert_eq!(answer.head.status, 403, "{method} {path} {headers:?}");
            assert!(
                answer
                    .head
                    .explain()
                    .is_some_and(|text| text.contains("--allow-origin")),
                "{answer:?}"
            );
            assert!(
                answer.text().contains("--allow-origin") && !answer.text().contains("secret"),
                "{answer:?}"
            );
            assert_eq!(
                answer.head.get("Access-Control-Allow-Origin"),
                None,
                "{answer:?}"
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
fn pages_of_the_server_and_other_clients_notice_nothing() {
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
        // A proxy has changed the name; the browser knows better.
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
        // It protects what a script can read.
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

#[test]
fn allowed_origins_may_publish_and_read() {
    let server = Server::start(&[
        "--allow-origin",
        "https://app.test",
        "--allow-origin",
        "http://localhost:8000/",
        "--allow-origin",
        "null",
    ]);
    server.publish("c", "x");
    for origin in [
        "https://app.test",
        "https://APP.test:443",
        "http://localhost:8000",
        "null",
    ] {
        for site in ["cross-site", "same-site"] {
            let headers = [("Origin", origin), ("Sec-Fetch-Site", site)];
            for (method, path) in REQUESTS.into_iter().filter(|(_, path)| *path != "/nowhere") {
                let head = head(&server, method, path, &headers);
                assert_eq!(head.status, 200, "{method} {path} {origin}");
                assert_eq!(
                    head.get("Access-Control-Allow-Origin"),
                    Some(origin),
                    "{method} {path}"
                );
                assert_eq!(head.get("Vary"), Some("Origin"), "{method} {path}");
                let exposed = head
                    .get("Access-Control-Expose-Headers")
                    .expect("what may be read");
                assert!(
                    ["Last-Modified", "Etag", "X-Pushctl-Missed"]
                        .iter()
                        .all(|name| exposed.contains(name)),
                    "{exposed}"
                );
                if method == "DELETE" {
                    server.publish("c", "x");
                }
            }
            assert_eq!(upgrade(&server, &headers), 101, "{origin}");
        }
    }
    for origin in [
        "http://app.test",
        "https://app.test:8443",
        "https://app.test.evil.test",
        "https://evil.test",
        "http://localhost:8001",
    ] {
        let answer = ask(&server, "POST", "/pub?id=c", &[("Origin", origin)]);
        assert_eq!(
            (
                answer.head.status,
                answer.head.get("Access-Control-Allow-Origin")
            ),
            (403, None),
            "{origin}"
        );
        assert_eq!(answer.head.get("Vary"), Some("Origin"));
        assert_eq!(upgrade(&server, &[("Origin", origin)]), 403, "{origin}");
    }
    server.stop();
}

#[test]
fn preflights_of_allowed_origins_are_answered_everywhere() {
    let server = Server::start(&["--allow-origin", "https://app.test"]);
    let asks = [
        ("Access-Control-Request-Method", "DELETE"),
        ("Access-Control-Request-Headers", "event-id"),
    ];
    for path in [
        "/pub?id=c",
        "/channels-stats",
        "/ev/c",
        "/ws/c",
        "/lp/c",
        "/",
    ] {
        let answer = ask(
            &server,
            "OPTIONS",
            path,
            &[&[("Origin", "https://app.test")], &asks[..]].concat(),
        );
        assert_eq!(
            (
                answer.head.status,
                answer.head.get("Access-Control-Allow-Origin")
            ),
            (204, Some("https://app.test")),
            "{path}"
        );
        let methods = answer
            .head
            .get("Access-Control-Allow-Methods")
            .expect("methods");
        assert!(
            ["GET", "POST", "PUT", "DELETE"]
                .iter()
                .all(|method| methods.contains(method)),
            "{methods}"
        );
        let names = answer
            .head
            .get("Access-Control-Allow-Headers")
            .expect("headers")
            .to_ascii_lowercase();
        for name in [
            "content-type",
            "event-id",
            "event-type",
            "if-modified-since",
            "if-none-match",
            "last-event-id",
            "authorization",
        ] {
            assert!(names.contains(name), "{name} in {names}");
        }
        assert_eq!(
            answer.head.get("Access-Control-Allow-Private-Network"),
            None
        );
        let refused = ask(
            &server,
            "OPTIONS",
            path,
            &[&[("Origin", EVIL)], &asks[..]].concat(),
        );
        assert_eq!(
            (
                refused.head.status,
                refused.head.get("Access-Control-Allow-Methods")
            ),
            (403, None),
            "{path}"
        );
    }
    let private = [
        ("Origin", "https://app.test"),
        asks[0],
        ("Access-Control-Request-Private-Network", "true"),
    ];
    let answer = ask(&server, "OPTIONS", "/pub", &private);
    assert_eq!(
        answer.head.get("Access-Control-Allow-Private-Network"),
        Some("true")
    );
    server.stop();
}

#[test]
fn all_origins_are_allowed_by_a_star_and_the_log_says_so() {
    let server = Server::start(&["--allow-origin", "*"]);
    wait_until("the log says so", || {
        server.stderr().contains("every web page")
    });
    for headers in [
        &[("Origin", EVIL)][..],
        &[("Origin", "null")],
        &[("Origin", EVIL), CROSS_SITE],
        &[CROSS_SITE],
    ] {
        let answer = ask(&server, "POST", "/pub?id=c", headers);
        assert_eq!(
            (
                answer.head.status,
                answer.head.get("Access-Control-Allow-Origin")
            ),
            (200, Some("*")),
            "{headers:?}"
        );
        assert_eq!(answer.head.get("Access-Control-Allow-Credentials"), None);
        assert_eq!(upgrade(&server, headers), 101, "{headers:?}");
    }
    server.stop();
}

#[test]
fn repeated_requests_are_answered_as_the_first_one_was() {
    let server = Server::start(&["--allow-origin", "https://app.test"]);
    let mut connection = server.connect();
    let mut publish = |headers: &[(&str, &str)]| {
        let answer = connection.request("POST", "/pub?id=c", headers, Some(b"x"));
        (
            answer.head.status,
            answer
                .head
                .get("Access-Control-Allow-Origin")
                .map(str::to_owned),
            answer.head.get("X-Content-Type-Options").map(str::to_owned),
        )
    };
    let nosniff = || Some("nosniff".to_owned());
    for _ in 0..3 {
        for _ in 0..3 {
            assert_eq!(publish(&[]), (200, None, nosniff()));
        }
        for _ in 0..3 {
            assert_eq!(
                publish(&[("Origin", "https://app.test")]),
                (200, Some("https://app.test".to_owned()), nosniff())
            );
        }
        for _ in 0..3 {
            assert_eq!(publish(&[("Origin", EVIL)]), (403, None, nosniff()));
        }
    }
    // Polls with the same head but for their cursor.
    let mut cursor: Vec<(String, String)> = vec![
        (
            "If-Modified-Since".into(),
            "Thu, 01 Jan 1970 00:00:00 GMT".into(),
        ),
        ("If-None-Match".into(), "0".into()),
    ];
    for _ in 0..4 {
        server.publish("c", "y");
        for (origin, expected) in [
            (None, 200),
            (Some("https://app.test"), 200),
            (Some(EVIL), 403),
        ] {
            let mut headers: Vec<(&str, &str)> = cursor
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            headers.extend(origin.map(|origin| ("Origin", origin)));
            let answer = connection.request("GET", "/lp/c", &headers, None);
            assert_eq!(
                (
                    answer.head.status,
                    answer.head.get("X-Content-Type-Options")
                ),
                (expected, Some("nosniff")),
                "{origin:?}"
            );
            let allowed = origin.filter(|_| expected == 200);
            assert_eq!(
                answer.head.get("Access-Control-Allow-Origin"),
                allowed,
                "{origin:?}"
            );
            assert_eq!(answer.head.raw.matches("nosniff").count(), 1, "{answer:?}");
        }
        let last = connection.request("GET", "/poll/c.b1", &[], None);
        cursor = last
            .head
            .cursor()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }
    server.stop();
}

#[test]
fn a_loopback_server_goes_by_its_names_only() {
    let server = Server::start(&["--server-name", "Push.Example"]);
    server.publish("c", "x");
    let host = |name: &str| {
        raw(
            &server,
            &format!("DELETE /pub?id=none HTTP/1.1\r\nHost: {name}\r\n\r\n"),
        )
    };
    for name in [
        "localhost",
        "localhost:1",
        "LOCALHOST.",
        "127.0.0.1",
        "127.0.0.1:9080",
        "127.1",
        "0x7f000001",
        "192.168.1.7:80",
        "[::1]",
        "[::1]:9080",
        "[fe80::1]",
        "push.example",
        "PUSH.EXAMPLE.:80",
    ] {
        assert_eq!(host(name), 404, "{name}");
    }
    for name in [
        "attacker.test",
        "attacker.test:9080",
        "localhost.attacker.test",
        "127.0.0.1.attacker.test",
        "xlocalhost",
        "[::1].attacker.test",
        "push.example.attacker.test",
        "sub.push.example",
        "attacker.test:80:80",
        "[attacker.test]",
        "0xattacker",
        "\u{ff}",
    ] {
        assert!(matches!(host(name), 400 | 421), "{name}");
    }
    assert_eq!(
        (host("attacker.test"), host("localhost.attacker.test:9080")),
        (421, 421)
    );
    for (method, path) in REQUESTS {
        let answer = ask(&server, method, path, &[("Host", "attacker.test")]);
        assert_eq!(answer.head.status, 421, "{method} {path}");
        assert!(
            answer.text().contains("--server-name") && answer.text().contains("--real-ip-from"),
            "{answer:?}"
        );
    }
    assert_eq!(upgrade(&server, &[("Host", "attacker.test")]), 421);
    // A page under that name is not one of the server.
    assert_eq!(
        status(
            &server,
            "POST",
            "/pub?id=c",
            &[
                ("Host", "attacker.test"),
                ("Origin", "http://attacker.test")
            ]
        ),
        421
    );
    // Absolute targets, and what has no name.
    assert_eq!(
        raw(
            &server,
            "GET http://attacker.test/pub?id=c HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ),
        421
    );
    assert_eq!(
        raw(
            &server,
            "GET http://localhost/pub?id=c HTTP/1.1\r\nHost: attacker.test\r\n\r\n"
        ),
        421
    );
    assert_eq!(
        raw(
            &server,
            "GET http://localhost/pub?id=c HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ),
        200
    );
    assert_eq!(raw(&server, "GET /pub?id=c HTTP/1.0\r\n\r\n"), 200);
    // Headers that only proxies send do not count.
    let forwarded = [
        ("Host", "attacker.test"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Real-IP", "127.0.0.1"),
    ];
    assert_eq!(status(&server, "GET", "/pub?id=c", &forwarded), 421);
    wait_until("the log names the option", || {
        server.stderr().contains("--server-name")
    });
    server.stop();
}

#[test]
fn names_that_a_trusted_proxy_or_a_unix_socket_passes_on_are_not_checked() {
    let named = [("Host", "push.example")];
    let server = Server::start(&["--real-ip-from", "127.0.0.1"]);
    assert_eq!(status(&server, "GET", "/channels-stats", &named), 200);
    server.stop();
    let server = Server::start(&["--real-ip-from", "10.0.0.1"]);
    assert_eq!(status(&server, "GET", "/channels-stats", &named), 421);
    server.stop();
    let server = Server::start(&["--listen", "unix:x.sock"]);
    let socket =
        UnixStream::connect(server.directory().path().join("x.sock")).expect("the server listens");
    let mut connection = Connection::new(Socket::Unix(socket));
    send(&mut connection, "GET", "/channels-stats", &named);
    assert_eq!(connection.read_head().status, 200);
    server.stop();
    // Addresses that are not loopback have names that the server cannot know, unless they are
    // given.
    for (args, expected) in [
        (&["--listen", "0.0.0.0:0"][..], 200),
        (&["--listen", "0.0.0.0:0", "--server-name", "my.test"], 421),
    ] {
        let server = Server::start(args);
        let port = server
            .address()
            .rsplit(':')
            .next()
            .expect("a port")
            .to_owned();
        let socket = TcpStream::connect(format!("127.0.0.1:{port}")).expect("the server listens");
        let mut connection = Connection::new(Socket::Tcp(socket));
        send(&mut connection, "GET", "/channels-stats", &named);
        assert_eq!(connection.read_head().status, expected, "{args:?}");
        server.stop();
    }
}

#[test]
fn an_imported_configuration_decides_itself() {
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 10m;",
        "location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; }
         location /jsonp { push_stream_subscriber polling; push_stream_channels_path $arg_id; \
         push_stream_message_template ~text~; }",
    ));
    let headers = [("Host", "any.test"), ("Origin", EVIL), CROSS_SITE];
    let answer = ask(&server, "POST", "/pub?id=c", &headers);
    assert_eq!(
        (
            answer.head.status,
            answer.head.get("X-Content-Type-Options"),
            answer.head.get("Vary")
        ),
        (200, None, None)
    );
    let answer = ask(
        &server,
        "GET",
        "/jsonp?id=c&callback=alert(1)//",
        &[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")],
    );
    assert_eq!(answer.head.status, 304, "{answer:?}");
    server.stop();
}

#[test]
fn every_answer_says_that_its_type_is_not_to_be_guessed() {
    let server = Server::start(&[]);
    server.publish("c", "x");
    for (method, path) in REQUESTS.into_iter().chain([
        ("GET", "/poll/c"),
        ("GET", "/lp/ALL"),
        ("PATCH", "/pub"),
        ("GET", "/channels-stats?id=c*"),
    ]) {
        let head = head(&server, method, path, &[]);
        assert_eq!(
            head.raw
                .matches("X-Content-Type-Options: nosniff\r\n")
                .count(),
            1,
            "{method} {path}: {}",
            head.raw
        );
        if method == "DELETE" {
            server.publish("c", "x");
        }
    }
    let mut poll = server.connect();
    poll.send_request("GET", "/lp/d", &[], None);
    server.wait_for_subscribers("d", 1);
    server.publish("d", "x");
    assert_eq!(
        poll.read_head()
            .raw
            .matches("X-Content-Type-Options: nosniff\r\n")
            .count(),
        1
    );
    server.stop();
}

#[test]
fn proxies_are_asked_not_to_hold_back_streams() {
    let server = Server::start(&[]);
    for path in ["/sub/c", "/ev/c", "/iframe/c"] {
        let mut stream = server.connect();
        stream.send_request("GET", path, &[], None);
        assert_eq!(
            stream.read_head().get("X-Accel-Buffering"),
            Some("no"),
            "{path}"
        );
    }
    assert_eq!(server.get("/poll/c").head.get("X-Accel-Buffering"), None);
    server.stop();
    let imported = Server::with_conf(&conf(
        "push_stream_shared_memory_size 10m;",
        "location /ev { push_stream_subscriber eventsource; push_stream_channels_path $arg_id; }",
    ));
    let mut stream = imported.connect();
    stream.send_request("GET", "/ev?id=c", &[], None);
    assert_eq!(stream.read_head().get("X-Accel-Buffering"), None);
    imported.stop();
}

#[test]
fn callbacks_of_jsonp_are_names() {
    let server = Server::start(&[]);
    server.publish("c", "x");
    for callback in [
        "f",
        "cb_1",
        "%24",
        "a.b.c",
        "PushStreamManager[0].wrapper.cb",
    ] {
        for path in ["/jsonp/c.b1", "/lp/c.b1", "/poll/c.b1"] {
            let answer = server.get(&format!("{path}?callback={callback}"));
            assert_eq!(
                (answer.head.status, answer.head.get("Content-Type")),
                (200, Some("application/javascript")),
                "{path} {callback}"
            );
            assert!(
                answer.text().starts_with(&callback.replace("%24", "$")),
                "{}",
                answer.text()
            );
        }
    }
    let long = "a".repeat(300);
    for callback in [
        "alert(1)//",
        "alert%281%29",
        "a;b",
        "a%0ab",
        "1a",
        "a..b",
        "a[b]",
        "%3Cscript%3E",
        "a-b",
        "%c3%a9",
        &long,
    ] {
        for path in [
            "/jsonp/c.b1",
            "/jsonp/c",
            "/lp/c.b1",
            "/poll/c.b1",
            "/poll/c",
        ] {
            let answer = server.get(&format!("{path}?callback={callback}"));
            assert_eq!(answer.head.status, 400, "{path} {callback}");
            assert!(
                answer
                    .head
                    .explain()
                    .is_some_and(|text| text.contains("callback"))
                    && answer.body.is_empty(),
                "{answer:?}"
            );
        }
    }
    assert_eq!(
        server.get("/jsonp/c.b1?callback=").head.status,
        200,
        "an empty one counts as none"
    );
    server.stop();
}

#[test]
fn the_frame_of_the_javascript_client_runs_no_script_of_publishers() {
    let server = Server::start(&[]);
    let hostile = "</script><script>alert(1)</script><!--'\\\r\n\u{2028}\u{2029}\0";
    let escaped = "\\u003c/script\\u003e\\u003cscript\\u003ealert(1)\\u003c/\
                   script\\u003e\\u003c!--\\'\\\\\\r\\n\\u2028\\u2029\\u0000";
    server.publish("c", hostile);
    server.publish("c", "ordinary \"text\" & w\u{f6}rter");
    let mut stream = server.follow("/iframe/c.b2", &[]);
    let text =
        String::from_utf8(stream.read_until("w\u{f6}rter');</script>".as_bytes())).expect("UTF-8");
    assert!(
        text.contains(&format!("<script>p(1,'c','{escaped}');</script>")),
        "{text}"
    );
    assert!(
        text.ends_with("<script>p(2,'c','ordinary \"text\" & w\u{f6}rter');</script>"),
        "{text}"
    );
    // The channel, the farewell of a deleted channel, and bytes that are no text.
    let channel = "%3Cscript%3E'";
    assert_eq!(
        server
            .connect()
            .request(
                "POST",
                &format!("/pub?id={channel}"),
                &[],
                Some(b"a\xff\xc3'")
            )
            .head
            .status,
        200
    );
    let mut stream = server.follow("/iframe/%3Cscript%3E'.b1", &[]);
    stream.read_until(
        "<script>p(1,'\\u003cscript\\u003e\\'','a\u{fffd}\u{fffd}\\'');</script>".as_bytes(),
    );
    assert_eq!(
        server
            .connect()
            .request(
                "DELETE",
                &format!("/pub?id={channel}"),
                &[],
                Some(b"'</script>")
            )
            .head
            .status,
        200
    );
    stream.read_until(
        "<script>p(-2,'\\u003cscript\\u003e\\'','\\'\\u003c/script\\u003e');</script>".as_bytes(),
    );
    server.stop();
}

#[test]
fn a_server_that_others_can_reach_warns_unless_something_controls_the_access() {
    const WARNING: &str = "has no access control";
    let users = Directory::new("users");
    let file = users.write("users", "ann:{PLAIN}secret\n");
    let file = file.to_str().expect("a path in UTF-8");
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let server = Server::start(&["--listen", listen]);
        wait_until("it warns", || server.stderr().contains(WARNING));
        let stderr = server.stderr();
        let warning = stderr
            .lines()
            .find(|line| line.contains(WARNING))
            .unwrap_or_else(|| panic!("no warning in {stderr}"));
        assert!(
            warning.contains("--allow-from")
                && warning.contains("--basic-auth")
                && warning.contains(server.address()),
            "{warning}"
        );
        server.stop();
        for args in [["--allow-from", "10.0.0.0/8"], ["--basic-auth", file]] {
            let mut server = Server::start(&[&["--listen", listen], &args[..]].concat());
            server.terminate();
            server.wait();
            assert!(
                !server.stderr().contains(WARNING),
                "{args:?}: {}",
                server.stderr()
            );
        }
    }
    for listen in ["127.0.0.1:0", "127.8.0.1:0", "[::1]:0", "unix:x.sock"] {
        let mut server = Server::start(&["--listen", listen]);
        server.terminate();
        server.wait();
        assert!(
            !server.stderr().contains(WARNING),
            "{listen}: {}",
            server.stderr()
        );
    }
}

#[test]
fn clients_are_accepted_by_their_address() {
    let server = Server::start(&[
        "--allow-from",
        "10.0.0.0/8",
        "--allow-from",
        "192.0.2.1",
        "--real-ip-from",
        "127.0.0.1",
    ]);
    for (address, expected) in [
        ("10.1.2.3", 200),
        ("192.0.2.1", 200),
        ("192.0.2.2", 403),
        ("::1", 403),
    ] {
        let headers = [("X-Real-IP", address)];
        for (method, path) in [
            ("POST", "/pub?id=c"),
            ("GET", "/channels-stats"),
            ("GET", "/sub/c"),
            ("GET", "/"),
        ] {
            assert_eq!(
                status(&server, method, path, &headers),
                expected,
                "{method} {path} {address}"
            );
        }
        assert_eq!(
            upgrade(&server, &headers),
            if expected == 200 { 101 } else { 403 },
            "{address}"
        );
    }
    assert_eq!(
        server.get("/channels-stats").head.status,
        403,
        "this machine is not listed"
    );
    server.stop();
}

#[test]
fn clients_are_accepted_by_their_password() {
    let users = Directory::new("users");
    let file = users.write("users", "ann:{PLAIN}secret\n");
    let server = Server::start(&["--basic-auth", file.to_str().expect("a path in UTF-8")]);
    let ann = [("Authorization", "Basic YW5uOnNlY3JldA==")];
    for (method, path) in [
        ("POST", "/pub?id=c"),
        ("GET", "/channels-stats"),
        ("GET", "/sub/c"),
        ("GET", "/"),
    ] {
        assert_eq!(status(&server, method, path, &ann), 200, "{method} {path}");
        let answer = ask(&server, method, path, &[]);
        assert_eq!(
            (answer.head.status, answer.head.get("WWW-Authenticate")),
            (401, Some("Basic realm=\"pushctl\"")),
            "{method} {path}"
        );
        assert_eq!(
            status(
                &server,
                method,
                path,
                &[("Authorization", "Basic YW5uOndyb25n")]
            ),
            401,
            "{method} {path}"
        );
    }
    assert_eq!((upgrade(&server, &ann), upgrade(&server, &[])), (101, 401));
    // The tools take name and password in the url.
    let tool = |url: &str, args: &[&str]| {
        Command::new(program())
            .args(args)
            .args(["--url", url])
            .output()
            .expect("it runs")
    };
    let url = server.url().replace("http://", "http://ann:secret@");
    let published = tool(&url, &["pub", "c", "hello"]);
    assert!(published.status.success(), "{published:?}");
    for mode in ["ws", "ev", "lp", "poll", "stream"] {
        let read = tool(
            &url,
            &[
                "sub", "c", "--mode", mode, "--since", "all", "-n", "2", "-t", "20s", "--raw",
            ],
        );
        assert!(
            read.status.success() && String::from_utf8_lossy(&read.stdout).contains("hello"),
            "{mode}: {read:?}"
        );
    }
    assert!(tool(&url, &["stats", "c"]).status.success());
    assert!(!tool(server.url(), &["pub", "c", "hello"]).status.success());
    assert!(!server.stderr().contains("secret"), "{}", server.stderr());
    server.stop();
}

#[test]
fn wrong_values_of_the_options_say_what_is_expected() {
    let run = |args: &[&str]| {
        let output = Command::new(program())
            .arg("serve")
            .args(args)
            .output()
            .expect("it runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for (args, expected) in [
        (
            ["--allow-origin", "app.example"],
            "an origin such as https://app.example",
        ),
        (
            ["--allow-origin", "https://app.example/path"],
            "an origin such as https://app.example",
        ),
        (
            ["--allow-origin", "https://*.example"],
            "an origin such as https://app.example",
        ),
        (
            ["--server-name", "http://push.example"],
            "a host name such as push.example",
        ),
        (
            ["--server-name", "push.example:80"],
            "a host name such as push.example",
        ),
        (
            ["--server-name", "*.example"],
            "a host name such as push.example",
        ),
        (["--allow-from", "example"], "an address such as 10.0.0.1"),
    ] {
        let (code, stderr) = run(&args);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
    let (code, stderr) = run(&["--basic-auth", "no/such/file", "--listen", "127.0.0.1:0"]);
    assert!(
        code != Some(0) && stderr.contains("cannot read no/such/file (see --basic-auth)"),
        "{stderr}"
    );
    for args in [
        ["--allow-origin", "*"],
        ["--server-name", "a.test"],
        ["--allow-from", "10.0.0.1"],
        ["--basic-auth", "x"],
    ] {
        let (code, stderr) = run(&[&args[..], &["--nginx-conf", "x.conf"]].concat());
        assert!(
            code == Some(2) && stderr.contains("cannot be used with"),
            "{args:?}: {stderr}"
        );
    }
}
