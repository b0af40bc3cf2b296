//! Hooks of nchan with hostile clients and back-ends: invalid statuses, redirections, and bounded
//! notices.

use std::net::TcpListener;

use crate::support::{Connection, Reply, ScriptedBackend, Server, conf, wait_until};

/// A back-end that gives every request this response, and then closes the connection.
pub(super) fn start_backend(response: impl Into<Vec<u8>>) -> ScriptedBackend {
    let response = response.into();
    ScriptedBackend::start(move |_| Reply::Last(response.clone()))
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
pub(super) const FORBIDDEN: &str =
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

pub(super) fn with_authorization_by(proxy: &str) -> Server {
    let locations = format!(
        "location ~ ^/sub/(.*)$ {{ nchan_channel_id $1; nchan_channel_id_split_delimiter \",\"; \
         nchan_subscriber;
            nchan_authorize_request /auth; set $whole $1; }}
        location ~ ^/raw/(?<name>.*)$ {{ nchan_channel_id $name; nchan_channel_id_split_delimiter \
        \",\"; nchan_subscriber;
            nchan_authorize_request /raw-auth; }}
        location = /auth {{ internal; {proxy} }}
        location = /raw-auth {{ internal; {} }}",
        proxy.replace("$whole", "$name")
    );
    Server::with_conf(&conf("", &locations))
}

pub(super) fn hook_requests_for(
    server: &Server,
    backend: &ScriptedBackend,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, Vec<String>) {
    let status = server
        .connect()
        .request("GET", path, headers, None)
        .head
        .status;
    (status, backend.take())
}

#[test]
fn a_back_end_that_is_to_see_no_bodies_sees_none() {
    let backend = start_backend("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
    let locations = format!(
        "location = /pub {{ nchan_publisher; nchan_channel_id c; nchan_publisher_upstream_request \
         /up; }}
        location = /up {{ internal; proxy_pass http://{}; proxy_pass_request_body off; }}
        location = /pass {{ proxy_pass http://{0}; proxy_pass_request_body off; }}",
        backend.address
    );
    let server = Server::with_conf(&conf("", &locations));
    for (path, status) in [("/pub", 202), ("/pass", 304)] {
        assert_eq!(
            server
                .connect()
                .request("POST", path, &[], Some(b"message"))
                .head
                .status,
            status,
            "{path}"
        );
        let asked = backend.take();
        let head = asked[0].to_ascii_lowercase();
        assert!(
            asked.len() == 1 && head.ends_with("\r\n\r\n") && !head.contains("content-length: 7"),
            "{asked:?}"
        );
    }
}

#[test]
fn the_path_of_an_internal_redirection_is_decoded_and_stays_inside() {
    for (target, status, channel) in [
        ("/in/a%20b", 202, "a%20b"),
        ("/in/../b", 404, "..%2fb"),
        ("/in/%2e%2e/b", 404, "..%2fb"),
        ("in/b", 404, "b"),
    ] {
        let response = format!(
            "HTTP/1.1 200 OK\r\nX-Accel-Redirect: {target}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let backend = start_backend(response);
        let locations = format!(
            "location = /to {{ proxy_pass http://{}; }}
            location ~ ^/in/(.*)$ {{ internal; nchan_pubsub; nchan_channel_id $1; }}
            location ~ ^/at/(.*)$ {{ nchan_publisher; nchan_channel_id $1; }}",
            backend.address
        );
        let server = Server::with_conf(&conf("", &locations));
        assert_eq!(
            server
                .connect()
                .request("POST", "/to", &[], Some(b"hi"))
                .head
                .status,
            status,
            "{target}"
        );
        let there = if status == 202 { 200 } else { 404 };
        assert_eq!(
            server.get(&format!("/at/{channel}")).head.status,
            there,
            "{target}"
        );
    }
}

#[test]
fn client_headers_do_not_override_configured_ones() {
    let backend = start_backend(FORBIDDEN);
    let server = with_authorization_by(&format!(
        "proxy_pass http://{}/auth; proxy_set_header X-Chan $whole;",
        backend.address
    ));
    for path in ["/raw/secret,%01", "/raw/secret,%7F"] {
        let (status, asked) = hook_requests_for(&server, &backend, path, &[("X-Chan", "public")]);
        assert_eq!(
            (status, asked),
            (502, Vec::new()),
            "{path}: nothing legal can be said"
        );
    }
    for (path, value) in [("/raw/secret", "secret"), ("/sub/secret,%01", "secret,%01")] {
        let (status, asked) = hook_requests_for(
            &server,
            &backend,
            path,
            &[("X-Chan", "public"), ("X_Chan", "public"), ("X-Other", "1")],
        );
        assert_eq!((status, asked.len()), (403, 1));
        let head = asked[0].to_ascii_lowercase();
        assert!(
            head.contains(&format!("\r\nx-chan: {value}\r\n"))
                && head.contains("\r\nx-other: 1\r\n"),
            "{head}"
        );
        assert!(!head.contains("public"), "{head}");
    }
}

#[test]
fn invalid_hook_statuses_become_502() {
    for response in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    ] {
        let backend = start_backend(response);
        let server = with_authorization_by(&format!("proxy_pass http://{}/;", backend.address));
        let (status, asked) = hook_requests_for(&server, &backend, "/sub/x", &[]);
        assert_eq!((status, asked.len()), (502, 1), "{response}");
    }
}

fn with_notices_to(address: &str, options: &[&str]) -> Server {
    let locations = format!(
        "location = /u {{ nchan_channel_id $arg_id; nchan_pubsub; nchan_subscribe_request /came; \
         nchan_unsubscribe_request /left; }}
        location = /stub {{ push_stream_channels_statistics; push_stream_channels_path $arg_id; }}
        location = /came {{ internal; proxy_pass http://{address}/came?id=$nchan_channel_id; }}
        location = /left {{ internal; proxy_pass http://{address}/left?id=$nchan_channel_id; \
        proxy_set_header X-Chan $nchan_channel_id; }}"
    );
    Server::try_with_conf(
        &conf("push_stream_shared_memory_size 64m;", &locations),
        options,
    )
    .expect("a server")
}

fn follow(server: &Server, id: usize, headers: &[(&str, &str)]) -> Connection {
    let mut connection = server.connect();
    let headers = [&[("Accept", "text/event-stream")], headers].concat();
    connection.send_request("GET", &format!("/u?id={id}"), &headers, None);
    assert_eq!(connection.read_head().status, 200);
    connection
}

/// A number of the detailed statistics.
fn detail(server: &Server, name: &str) -> u64 {
    let text = server.get("/stub?details=1").text().to_owned();
    let statistics: serde_json::Value = serde_json::from_str(&text).expect("statistics in JSON");
    statistics[name]
        .as_u64()
        .or_else(|| statistics[name].as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{name} in {text}"))
}

#[test]
fn notices_to_a_silent_back_end_are_bounded() {
    // Connections are not accepted: they wait in the queue of the kernel.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let server = with_notices_to(
        &address,
        &[
            "--shards",
            "1",
            "--max-hook-notices",
            "10",
            "--hook-timeout",
            "2s",
        ],
    );
    let before = detail(&server, "connection_memory_used");
    let long = "x".repeat(7000);
    for id in 0..30 {
        drop(follow(&server, id, &[("X-Long", &long)]));
    }
    wait_until("those beyond are dropped", || {
        detail(&server, "dropped_hook_notices") == 50
    });
    let most = detail(&server, "connection_memory_used");
    assert!(
        most > before + 10 * 7000,
        "they are charged: {before}, {most}"
    );
    wait_until("they are given up", || {
        detail(&server, "connection_memory_used") < before + 10 * 7000 / 2
    });
    drop(follow(&server, 31, &[]));
    assert_eq!(
        detail(&server, "dropped_hook_notices"),
        50,
        "there is room again"
    );
}

#[test]
fn shutdown_sends_unsubscribe_notices() {
    let backend = start_backend(OK);
    let mut server = with_notices_to(&backend.address, &[]);
    let followers: Vec<Connection> = (0..40).map(|id| follow(&server, id, &[])).collect();
    let mut asked = Vec::new();
    wait_until("all came", || {
        asked.extend(backend.take());
        asked.len() == followers.len()
    });
    assert!(
        asked.iter().all(|head| head.starts_with("GET /came?id=")),
        "{asked:?}"
    );
    server.terminate();
    server.wait();
    let left = backend.take();
    assert_eq!(left.len(), followers.len(), "{left:?}");
    assert!(left.iter().all(|head| head.starts_with("GET /left?id=")
        && head.to_ascii_lowercase().contains("\r\nx-chan: ")));
}
