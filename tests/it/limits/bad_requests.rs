//! Malformed requests and cursors next to a healthy follower.

use super::bad_input::{Scene, post};
use crate::support::{find, show};

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
        let response = half_closed.read_to_close();
        assert!(
            find(&response, b" 200 ").is_none(),
            "{} is answered {}",
            show(request.as_bytes()),
            show(&response)
        );
        let response = scene.answers(&request);
        assert!(
            !response.contains(" 200 "),
            "{} and then silence is answered {response:?}",
            show(request.as_bytes())
        );
        scene.check();
    }
    scene.end();
}

#[test]
fn chunked_bodies_are_decoded_or_rejected() {
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
    let response = scene.answers(post(
        "Connection: close\r\nTransfer-Encoding: chunked\r\n",
        "\r\n\r\n",
    ));
    assert!(response.starts_with("HTTP/1.1 400 "), "{response:?}");
    // The largest accepted size is announced, but the bytes are not sent.
    let response = scene.answers(chunked("ffffffffffffffff\r\nHello"));
    assert!(!response.contains(" 200 "), "{response:?}");
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
fn ambiguous_requests_are_rejected() {
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
fn non_http_input_is_rejected() {
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
        let response = scene.answers(garbage);
        let refused = response.is_empty()
            || ["400", "405", "505"]
                .iter()
                .any(|status| response.contains(status));
        assert!(
            refused && !response.contains("200 OK"),
            "{garbage:?} is answered {response:?}"
        );
        scene.check();
    }
    scene.end();
}

#[test]
fn an_invalid_cursor_is_ignored() {
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
        let response = scene
            .server
            .connect()
            .request("GET", "/poll/c", &[(name, value)], None);
        assert_eq!(
            (response.head.status, response.body.len()),
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
        let response = scene.server.get(&format!("/poll/c?{query}"));
        assert_eq!(response.head.status, 304, "{query}: {response:?}");
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
        let response =
            scene
                .server
                .connect()
                .request("GET", "/poll/c", &[("Last-Event-ID", value)], None);
        assert_eq!(
            (response.head.status, response.head.get("X-Pushctl-Missed")),
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
