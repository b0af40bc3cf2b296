//! Push locations behind `auth_request`: admission, and the order of decisions.

use super::auth_request::start_backend;
use crate::support::{Connection, ScriptedBackend, Server, conf, object, wait_until};
use std::io::{Read, Write};
use std::net::TcpListener;

/// Push locations of every kind behind `auth_request`.
fn guarded(backend: &ScriptedBackend, more: &str) -> String {
    let locations = format!(
        "auth_request /auth; auth_request_set $room $upstream_http_x_channel; auth_request_set \
         $user $upstream_http_x_user;
        add_header X-User $user;
        location = /auth {{ internal; proxy_pass http://{}/check; proxy_pass_request_body off; \
        proxy_set_header Content-Length \"\";
            proxy_set_header X-Original-URI $request_uri; proxy_read_timeout 200ms; }}
        location /pub {{ push_stream_publisher admin; push_stream_channels_path $arg_id; \
        push_stream_store_messages on; }}
        location /room {{ push_stream_publisher; push_stream_channels_path $room; }}
        location /sub {{ push_stream_subscriber; push_stream_channels_path $arg_id; }}
        location /poll {{ push_stream_subscriber polling; push_stream_channels_path $arg_id; }}
        location /lp {{ push_stream_subscriber long-polling; push_stream_channels_path $arg_id; }}
        location /ws {{ push_stream_subscriber websocket; push_stream_channels_path $arg_id; }}
        location /nchan {{ nchan_channel_id $arg_id; nchan_pubsub; }}
        location /nhpm-pub {{ set $push_channel_id $arg_id; push_publisher; }}
        location /nhpm-sub {{ set $push_channel_id $arg_id; push_subscriber; }}
        location /stats {{ push_stream_channels_statistics; push_stream_channels_path $arg_id; }}
        location /open {{ auth_request off; push_stream_channels_statistics; \
        push_stream_channels_path $arg_id; }}
        {more}",
        backend.address
    );
    conf("push_stream_shared_memory_size 10m;", &locations)
}

const PATHS: [(&str, &str); 13] = [
    ("POST", "/pub"),
    ("DELETE", "/pub"),
    ("PUT", "/pub"),
    ("GET", "/sub"),
    ("GET", "/poll"),
    ("GET", "/lp"),
    ("GET", "/ws"),
    ("GET", "/stats"),
    ("POST", "/nchan"),
    ("DELETE", "/nchan"),
    ("GET", "/nchan"),
    ("POST", "/nhpm-pub"),
    ("GET", "/nhpm-sub"),
];

/// Number of messages published to a channel.
fn published(server: &Server, channel: &str) -> u64 {
    let response = server.get(&format!("/open?id={channel}"));
    if response.head.status == 404 {
        0
    } else {
        object(&response.body)["published_messages"]
            .as_u64()
            .expect("a number")
    }
}

#[test]
fn push_locations_deny_clients_that_the_back_end_rejects() {
    let backend = start_backend();
    let server = Server::with_conf(&guarded(&backend, ""));
    for (want, expected) in [
        ("401", 401),
        ("403", 403),
        ("302", 500),
        ("500", 500),
        ("404", 500),
        ("silence", 500),
    ] {
        for (method, path) in PATHS {
            let upgrade = [
                ("X-Want", want),
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ];
            let headers = if path == "/ws" {
                &upgrade[..]
            } else {
                &upgrade[..1]
            };
            let body = (method == "POST").then_some(&b"hi"[..]);
            let response = server
                .connect()
                .request(method, &format!("{path}?id=a"), headers, body);
            assert_eq!(response.head.status, expected, "{method} {path} {want}");
            let challenge = (expected == 401).then_some("Digest q");
            assert_eq!(
                response.head.get("WWW-Authenticate"),
                challenge,
                "{method} {path} {want}"
            );
            let asked = backend.take();
            assert!(
                asked.len() == 1 && asked[0].starts_with("GET /check HTTP/1.1\r\n"),
                "{asked:?}"
            );
            assert!(
                !asked[0].to_ascii_lowercase().contains("content-length"),
                "{asked:?}"
            );
            assert!(
                asked[0]
                    .to_ascii_lowercase()
                    .contains(&format!("x-original-uri: {path}?id=a\r\n")),
                "{asked:?}"
            );
        }
    }
    assert_eq!(published(&server, "a"), 0);
    server.stop();
}

#[test]
fn a_redirect_is_no_decision() {
    let backend = start_backend();
    let text = guarded(&backend, "").replace("/check;", "/elsewhere;");
    let server = Server::with_conf(&text);
    assert_eq!(
        server
            .connect()
            .request("POST", "/pub?id=a", &[], Some(b"hi"))
            .head
            .status,
        500
    );
    assert_eq!((backend.take().len(), published(&server, "a")), (1, 0));
    server.stop();
}

#[test]
fn authorized_clients_publish_and_follow() {
    let backend = start_backend();
    let server = Server::with_conf(&guarded(&backend, ""));
    let response = server
        .connect()
        .request("POST", "/pub?id=a", &[], Some(b"first"));
    assert_eq!(
        (response.head.status, response.head.get("X-User")),
        (200, Some("bob"))
    );
    let from = ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(
        server
            .connect()
            .request("GET", "/poll?id=a", &[from], None)
            .text(),
        "first"
    );
    let mut follower = server.follow("/sub?id=a", &[]);
    assert_eq!(
        server
            .connect()
            .request("POST", "/pub?id=a", &[], Some(b"second"))
            .head
            .status,
        200
    );
    follower.read_until(b"second");
    let mut socket = server.connect();
    socket.upgrade("/ws?id=a", &[]);
    assert_eq!(
        server
            .connect()
            .request("POST", "/room?id=other", &[], Some(b"x"))
            .head
            .status,
        200
    );
    assert_eq!(
        (
            published(&server, "secret-room"),
            published(&server, "other")
        ),
        (1, 0),
        "the channel is the back-end's"
    );
    server.stop();
}

#[test]
fn requests_of_a_connection_are_authorized_in_order() {
    let backend = start_backend();
    let server = Server::with_conf(&guarded(&backend, ""));
    let mut connection = server.connect();
    // Pipelined requests that differ only in the back-end's decision.
    let publish = |want: &str| {
        format!(
            "POST /pub?id=a HTTP/1.1\r\nHost: a\r\nX-Want: {want}\r\nContent-Length: 2\r\n\r\nhi"
        )
    };
    let wants = ["200", "200", "403", "200", "401", "200", "500"];
    connection.send(wants.map(publish).concat().as_bytes());
    for want in wants {
        assert_eq!(connection.read_response().head.status.to_string(), want);
    }
    assert_eq!(
        (backend.take().len(), published(&server, "a")),
        (wants.len(), 4)
    );
    let mut polls = server.connect();
    for _ in 0..5 {
        let response = polls.request(
            "GET",
            "/poll?id=a",
            &[
                ("If-None-Match", "0"),
                ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ],
            None,
        );
        assert_eq!((response.head.status, backend.take().len()), (200, 1));
    }
    server.stop();
}

#[test]
fn a_body_is_not_read_before_authorization() {
    let backend = start_backend();
    let server = Server::with_conf(&guarded(&backend, ""));
    for (want, expected) in [("403", 403), ("200", 100)] {
        let mut connection = server.connect();
        let head = format!(
            "POST /pub?id=b HTTP/1.1\r\nHost: a\r\nX-Want: {want}\r\nExpect: 100-continue\r\n\
             Content-Length: 5\r\n\r\n"
        );
        connection.send(head.as_bytes());
        assert_eq!(connection.read_head().status, expected);
    }
    assert_eq!(published(&server, "b"), 0);
    server.stop();
}

#[test]
fn waiting_for_the_back_end_delays_no_other_client() {
    let backend = start_backend();
    let text = guarded(
        &backend,
        "location /quick { auth_request off; push_stream_publisher; push_stream_channels_path q; }",
    );
    let server = Server::try_with_conf(
        &text.replace("proxy_read_timeout 200ms;", ""),
        &["--hook-timeout", "60s"],
    )
    .expect("it starts");
    let mut waiting: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    for connection in &mut waiting {
        connection.send_request("POST", "/pub?id=a", &[("X-Want", "silence")], Some(b"hi"));
    }
    wait_until("all are asked about", || backend.request_count() == 20);
    assert_eq!(
        server
            .connect()
            .request("POST", "/quick", &[], Some(b"hi"))
            .head
            .status,
        200
    );
    drop(waiting);
    drop(server);
}

#[test]
fn an_unusable_auth_request_location_is_an_error() {
    let publisher = "push_stream_publisher; push_stream_channels_path c;";
    for (locations, expected) in [
        (
            format!("location /a {{ auth_request /x; {publisher} }}"),
            "leads to no location",
        ),
        (
            format!("location /a {{ auth_request /x; {publisher} }} location /x {{ root /tmp; }}"),
            "neither \"proxy_pass\" nor \"return\"",
        ),
        (
            format!("location /a {{ auth_request /b; {publisher} }} location /b {{ {publisher} }}"),
            "neither \"proxy_pass\" nor \"return\"",
        ),
        (
            format!(
                "location /a {{ auth_request /x; auth_request_set $a $upstream_addr; {publisher} \
                 }} location /x {{ return 204; }}"
            ),
            "the variable \"upstream_addr\" is not supported",
        ),
        (
            format!(
                "location /a {{ auth_request /x; auth_request_set a $status; {publisher} }} \
                 location /x {{ return 204; }}"
            ),
            "invalid variable name \"a\"",
        ),
    ] {
        let Err(error) = Server::try_with_conf(
            &conf("push_stream_shared_memory_size 10m;", &locations),
            &[],
        ) else {
            panic!("{locations} is accepted")
        };
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_redirect_to_a_guarded_location_is_authorized() {
    let backend = start_backend();
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = door.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut stream in door.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /pub?id=door\r\n\
                                   Content-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let server = Server::with_conf(&guarded(
        &backend,
        &format!("location /door {{ auth_request off; proxy_pass http://{address}; }}"),
    ));
    for (want, expected) in [("403", 403), ("200", 200)] {
        assert_eq!(
            server
                .connect()
                .request("POST", "/door", &[("X-Want", want)], Some(b"hi"))
                .head
                .status,
            expected
        );
    }
    assert_eq!(published(&server, "door"), 1);
    server.stop();
}
