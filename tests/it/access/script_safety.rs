//! Responses of the built-in locations that browsers could run or store: content types, JSONP
//! callbacks and the frame of the JavaScript client.

use super::builtin_locations::{REQUESTS, head};
use crate::support::{Server, conf};

#[test]
fn every_response_disables_content_sniffing() {
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
fn streams_disable_proxy_buffering() {
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
            let response = server.get(&format!("{path}?callback={callback}"));
            assert_eq!(
                (response.head.status, response.head.get("Content-Type")),
                (200, Some("application/javascript")),
                "{path} {callback}"
            );
            assert!(
                response.text().starts_with(&callback.replace("%24", "$")),
                "{}",
                response.text()
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
            let response = server.get(&format!("{path}?callback={callback}"));
            assert_eq!(response.head.status, 400, "{path} {callback}");
            assert!(
                response
                    .head
                    .explain()
                    .is_some_and(|text| text.contains("callback"))
                    && response.body.is_empty(),
                "{response:?}"
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
