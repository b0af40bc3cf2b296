//! Upstream connections: reuse, retries after a close, and limits on responses.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Reply, ScriptedBackend, Server, conf, next_request};

/// An authorized location and a publisher whose hooks use `pass`.
fn door(pass: &str) -> String {
    format!(
        "location = /auth {{ internal; proxy_pass {pass}; }}
        location = /pub {{ nchan_publisher; nchan_channel_id c; nchan_authorize_request /auth; }}
        location /door {{ proxy_pass {pass}; }}"
    )
}

#[test]
fn a_closed_upstream_connection_is_reopened() {
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    // It announces that the connection stays, and closes it.
    let backend = ScriptedBackend::start(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())
    });
    let http = format!(
        "upstream app {{ server {}; keepalive 4; }}",
        backend.address
    );
    let server = Server::with_conf(&conf(&http, &door("http://app")));
    for number in 1..=5 {
        assert_eq!(server.get("/door").head.status, 200, "request {number}");
    }
    assert_eq!(answered.load(Ordering::Relaxed), 5);
}

/// Responds to the first request of each connection, and to any further one with `second`.
fn answers_once(second: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut read = Vec::new();
                for response in [
                    &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown"[..],
                    second,
                ] {
                    if next_request(&mut stream, &mut read).is_none()
                        || stream.write_all(response).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn requests_share_connections_only_in_an_upstream_with_keepalive() {
    let backend = answers_once(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nshared");
    for (keepalive, pass, expected) in [
        ("", "http://app", "own"),
        ("", &*format!("http://{backend}"), "own"),
        ("keepalive 1;", "http://app", "shared"),
    ] {
        let http = format!("upstream app {{ server {backend}; {keepalive} }}");
        let server = Server::with_conf(&conf(&http, &door(pass)));
        let mut client = server.connect();
        let texts = [(), ()].map(|()| client.request("GET", "/door", &[], None).text().to_owned());
        assert_eq!(texts, ["own", expected], "{keepalive} {pass}");
    }
    let backend = ScriptedBackend::start(|_| Reply::ok(""));
    let server = Server::with_conf(&conf("", &door(&format!("http://{}", backend.address))));
    assert_eq!(server.get("/door").head.status, 200);
    assert!(backend.take()[0].contains("\r\nconnection: close\r\n"));
}

#[test]
fn a_request_on_a_connection_that_ends_is_repeated_unless_it_may_have_an_effect() {
    let http = format!(
        "upstream app {{ server {}; keepalive 1; }}",
        answers_once(b"")
    );
    let server = Server::with_conf(&conf(&http, &door("http://app")));
    let mut client = server.connect();
    for number in 1..=4 {
        assert_eq!(
            client.request("GET", "/door", &[], None).text(),
            "own",
            "request {number}"
        );
    }
    let _kept = client.request("GET", "/door", &[], None);
    assert_eq!(
        client
            .request("POST", "/door", &[], Some(b"hello"))
            .head
            .status,
        502
    );
}

#[test]
fn responses_of_back_ends_may_have_hundreds_of_headers() {
    let headers: String = (0..400)
        .map(|number| format!("X-{number}: a\r\n"))
        .collect();
    let backend = ScriptedBackend::start(move |_| Reply::response("200 OK", &headers, "many"));
    let server = Server::with_conf(&conf("", &door(&format!("http://{}", backend.address))));
    assert_eq!(
        server
            .connect()
            .request("POST", "/pub", &[], Some(b"hello"))
            .head
            .status,
        202
    );
    let response = server.get("/door");
    assert_eq!(
        (response.text(), response.head.get("X-399")),
        ("many", Some("a"))
    );
}
