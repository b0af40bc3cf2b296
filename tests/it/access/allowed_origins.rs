//! The built-in locations and `--allow-origin`: publishing, reading and preflights.

use super::builtin_locations::{CROSS_SITE, EVIL, REQUESTS, ask, head, upgrade};
use crate::support::{Server, wait_until};

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
        let response = ask(&server, "POST", "/pub?id=c", &[("Origin", origin)]);
        assert_eq!(
            (
                response.head.status,
                response.head.get("Access-Control-Allow-Origin")
            ),
            (403, None),
            "{origin}"
        );
        assert_eq!(response.head.get("Vary"), Some("Origin"));
        assert_eq!(upgrade(&server, &[("Origin", origin)]), 403, "{origin}");
    }
    server.stop();
}

#[test]
fn preflights_of_allowed_origins_succeed_everywhere() {
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
        let response = ask(
            &server,
            "OPTIONS",
            path,
            &[&[("Origin", "https://app.test")], &asks[..]].concat(),
        );
        assert_eq!(
            (
                response.head.status,
                response.head.get("Access-Control-Allow-Origin")
            ),
            (204, Some("https://app.test")),
            "{path}"
        );
        let methods = response
            .head
            .get("Access-Control-Allow-Methods")
            .expect("methods");
        assert!(
            ["GET", "POST", "PUT", "DELETE"]
                .iter()
                .all(|method| methods.contains(method)),
            "{methods}"
        );
        let names = response
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
            response.head.get("Access-Control-Allow-Private-Network"),
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
    let response = ask(&server, "OPTIONS", "/pub", &private);
    assert_eq!(
        response.head.get("Access-Control-Allow-Private-Network"),
        Some("true")
    );
    server.stop();
}

#[test]
fn a_star_allows_all_origins_with_a_log_line() {
    let server = Server::start(&["--allow-origin", "*"]);
    wait_until("the log names the risk", || {
        server.stderr().contains("any web page in a browser")
    });
    for headers in [
        &[("Origin", EVIL)][..],
        &[("Origin", "null")],
        &[("Origin", EVIL), CROSS_SITE],
        &[CROSS_SITE],
    ] {
        let response = ask(&server, "POST", "/pub?id=c", headers);
        assert_eq!(
            (
                response.head.status,
                response.head.get("Access-Control-Allow-Origin")
            ),
            (200, Some("*")),
            "{headers:?}"
        );
        assert_eq!(response.head.get("Access-Control-Allow-Credentials"), None);
        assert_eq!(upgrade(&server, headers), 101, "{headers:?}");
    }
    server.stop();
}

#[test]
fn replayed_requests_are_checked_like_the_first_one() {
    let server = Server::start(&["--allow-origin", "https://app.test"]);
    let mut connection = server.connect();
    let mut publish = |headers: &[(&str, &str)]| {
        let response = connection.request("POST", "/pub?id=c", headers, Some(b"x"));
        (
            response.head.status,
            response
                .head
                .get("Access-Control-Allow-Origin")
                .map(str::to_owned),
            response
                .head
                .get("X-Content-Type-Options")
                .map(str::to_owned),
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
            let response = connection.request("GET", "/lp/c", &headers, None);
            assert_eq!(
                (
                    response.head.status,
                    response.head.get("X-Content-Type-Options")
                ),
                (expected, Some("nosniff")),
                "{origin:?}"
            );
            let allowed = origin.filter(|_| expected == 200);
            assert_eq!(
                response.head.get("Access-Control-Allow-Origin"),
                allowed,
                "{origin:?}"
            );
            assert_eq!(
                response.head.raw.matches("nosniff").count(),
                1,
                "{response:?}"
            );
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
