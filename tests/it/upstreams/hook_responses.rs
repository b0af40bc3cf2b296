//! Responses of hooks: `return`, redirections, rejections, and back-ends that do not respond.

use super::servers::{locations, post, statuses};
use crate::support::{Connection, Directory, Reply, ScriptedBackend, Server, conf, free_port};
use std::net::TcpListener;

#[test]
fn a_hook_can_be_a_return() {
    let locations =
        "location ~ ^/code/(?<code>\\d+)$ { if ($code = 200) { return 200; } if ($code \
                     = 204) { return 204; }
            if ($code = 304) { return 304; } if ($code = 404) { return 404; } if ($code = 403) { \
            return 403 text; } return 401; }
        location ~ ^/pub/(\\d+)$ { nchan_publisher; nchan_channel_id c; nchan_authorize_request \
        /code/$1; }
        location ~ ^/sub/(\\d+)$ { nchan_subscriber; nchan_channel_id $1; nchan_authorize_request \
        /code/$1; }
        location ~ ^/up/(\\d+)$ { nchan_pubsub; nchan_channel_id u$1; \
        nchan_publisher_upstream_request /code/$1; }";
    let server = Server::with_conf(&conf("", locations));
    let with_type = |path: &str| {
        server
            .connect()
            .request("POST", path, &[("Content-Type", "text/x")], Some(b"hello"))
            .head
            .status
    };
    for (code, publisher, upstream, message) in [
        (200, 202, 202, Some(None)),
        (204, 202, 204, None),
        (304, 403, 202, Some(Some("text/x"))),
        (403, 403, 403, None),
        (404, 404, 403, None),
    ] {
        assert_eq!(with_type(&format!("/pub/{code}")), publisher, "{code}");
        assert_eq!(with_type(&format!("/up/{code}")), upstream, "{code}");
        if let Some(content_type) = message {
            let stored = server.get(&format!("/up/{code}"));
            assert_eq!(
                (stored.text(), stored.head.get("Content-Type")),
                ("hello", content_type),
                "{code}"
            );
        }
    }
    for (code, status, text) in [
        (401, 401, "401 Authorization Required"),
        (403, 403, "text"),
        (404, 404, "404 Not Found"),
        (304, 403, "403"),
    ] {
        let response = server.get(&format!("/sub/{code}"));
        assert_eq!(response.head.status, status);
        assert!(
            response.text().contains(text),
            "{code}: {}",
            response.text()
        );
        assert_eq!(
            server
                .connect()
                .upgrade(&format!("/sub/{code}"), &[])
                .status,
            status
        );
    }
    let mut admitted = server.connect();
    admitted.send_request("GET", "/sub/204", &[("Accept", "text/event-stream")], None);
    assert_eq!(admitted.read_head().status, 200);
}

/// A response that leads to an internal location, with headers that nginx keeps and some that it
/// does not.
const LEADS: &str = "X-Accel-Redirect: /inside\r\nSet-Cookie: sid=1\r\nset-cookie: lang=de\r\n\
                     Cache-Control: private\r\nExpires: 0\r\n\
     Content-Disposition: attachment\r\nX-Other: 1\r\nEtag: \"x\"\r\nVary: X\r\n\
     Content-Type: text/zzz\r\n";

const KEPT: &str = "Set-Cookie: sid=1\r\nset-cookie: lang=de\r\nCache-Control: private\r\n\
                    Expires: 0\r\nContent-Disposition: attachment\r\n";

#[test]
fn headers_that_nginx_keeps_survive_a_redirection_to_a_location() {
    let backend = ScriptedBackend::start(|_| Reply::response("200 OK", LEADS, "thrown away"));
    let directory = Directory::new("files");
    directory.write("page.txt", "a file");
    let inside = [
        (
            "subscriber",
            "nchan_subscriber; nchan_channel_id c;".to_owned(),
        ),
        (
            "publisher",
            "nchan_publisher; nchan_channel_id c;".to_owned(),
        ),
        ("answer", "return 403;".to_owned()),
        (
            "file",
            format!("alias {}/page.txt;", directory.path().display()),
        ),
    ];
    for (what, inside) in inside {
        let door = format!(
            "location /door {{ proxy_pass http://{}/; }}",
            backend.address
        );
        let server = Server::with_conf(&conf(
            "",
            &format!(
                "{door} location = /inside {{ internal; {inside} }} location /ps {{ nchan_pubsub; \
                 nchan_channel_id c; }}"
            ),
        ));
        post(&server, "/ps");
        let method = if what == "publisher" { "POST" } else { "GET" };
        let response = server.connect().request(
            method,
            "/door",
            &[],
            (method == "POST").then_some(&b"x"[..]),
        );
        assert!(
            response.head.raw.contains(KEPT),
            "{what}: {}",
            response.head.raw
        );
        assert!(
            !response.head.raw.contains("X-Other") && !response.head.raw.contains("X-Accel"),
            "{what}: {}",
            response.head.raw
        );
        assert!(!response.text().contains("thrown"), "{what}");
        if what == "subscriber" {
            assert_eq!(
                response.head.get("Content-Type"),
                Some("text/zzz"),
                "the message has none"
            );
            let mut stream = server.connect();
            stream.send_request("GET", "/door", &[("Accept", "text/event-stream")], None);
            assert!(stream.read_head().raw.contains(KEPT));
            let upgraded = server.connect().upgrade("/door", &[]);
            assert!(
                upgraded.status == 101 && upgraded.raw.contains(KEPT),
                "{}",
                upgraded.raw
            );
        }
    }
}

#[test]
fn a_location_can_ignore_redirections_and_hide_headers() {
    let backend = ScriptedBackend::start(|_| Reply::response("200 OK", LEADS, "its own"));
    let server = Server::with_conf(&conf(
        "",
        &locations(
            &format!("http://{}", backend.address),
            "proxy_ignore_headers X-Accel-Redirect; proxy_hide_header X-Other;",
        ),
    ));
    let response = server.get("/door");
    assert_eq!(response.text(), "its own");
    assert!(
        response.head.raw.contains("\r\nset-cookie: lang=de\r\n")
            && !response.head.raw.contains("X-Other"),
        "{}",
        response.head.raw
    );
}

#[test]
fn rejections_keep_the_spelling_and_order_of_headers() {
    let headers = "X-Banana: too-ripe\r\nx-lower: a\r\nX-UPPER: b\r\nx-banana: twice\r\n\
                   WWW-Authenticate: Basic realm=\"x\"\r\n";
    let interim = format!(
        "HTTP/1.1 100 Continue\r\nX-Not: this\r\n\r\nHTTP/1.1 403 No\r\n\
         {headers}Content-Length: 4\r\n\r\nripe"
    );
    let backend = ScriptedBackend::start(move |_| Reply::Bytes(interim.clone().into_bytes()));
    let server = Server::with_conf(&conf(
        "",
        &locations(&format!("http://{}", backend.address), ""),
    ));
    for _ in 0..2 {
        // The second time on a connection that was open already.
        let response = server.get("/sub/a");
        assert_eq!((response.head.status, response.text()), (403, "ripe"));
        assert!(
            response.head.raw.contains(headers) && !response.head.raw.contains("X-Not"),
            "{}",
            response.head.raw
        );
    }
}

#[test]
fn a_closed_back_end_is_502_and_a_silent_one_504() {
    let truncated = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_vec();
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n".to_vec();
    for (what, reply, status) in [
        ("silent", Reply::Silence, 504),
        ("stops in its body", Reply::Bytes(truncated.clone()), 504),
        ("closed", Reply::Last(Vec::new()), 502),
        ("garbage", Reply::Last(b"hello there\r\n\r\n".to_vec()), 502),
        ("truncated", Reply::Last(truncated), 502),
        ("truncated chunks", Reply::Last(chunks), 502),
        (
            "no status",
            Reply::Last(b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n".to_vec()),
            502,
        ),
    ] {
        let backend = ScriptedBackend::start(move |_| reply.clone());
        let server = Server::with_conf(&conf(
            "",
            &locations(
                &format!("http://{}", backend.address),
                "proxy_read_timeout 200ms;",
            ),
        ));
        assert_eq!(statuses(&server), [status, 500, status], "{what}");
        for accept in ["*/*", "text/event-stream"] {
            let response = server
                .connect()
                .request("GET", "/sub/a", &[("Accept", accept)], None);
            assert_eq!(
                (response.head.status, response.text()),
                (status, ""),
                "{what}"
            );
        }
        assert_eq!(
            server.connect().upgrade("/sub/a", &[]).status,
            status,
            "{what}"
        );
    }
    let refused = Server::with_conf(&conf(
        "",
        &locations(&format!("http://127.0.0.1:{}", free_port()), ""),
    ));
    assert_eq!(statuses(&refused), [502, 500, 502]);
}

#[test]
fn notices_of_subscribers_reach_the_next_server_as_well() {
    let dead = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address");
    let good = ScriptedBackend::start(|_| Reply::ok(""));
    let http = format!("upstream app {{ server {dead}; server {}; }}", good.address);
    let server = Server::with_conf(&conf(&http, &locations("http://app", "")));
    let mut followers: Vec<Connection> = Vec::new();
    for _ in 0..2 {
        let mut follower = server.connect();
        follower.send_request(
            "GET",
            "/noticed/a",
            &[("Accept", "text/event-stream")],
            None,
        );
        assert_eq!(follower.read_head().status, 200);
        followers.push(follower);
        assert_eq!(good.wait().len(), 1);
    }
}
