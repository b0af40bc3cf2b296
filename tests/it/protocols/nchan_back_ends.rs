//! nchan's hooks, groups and limits.

use super::nchan::post;
use crate::support::{Connection, Reply, ScriptedBackend, Server, conf, wait_until};

/// The address of a back-end that gives every request this response.
fn backend(response: &'static [u8]) -> String {
    ScriptedBackend::start(|_| Reply::Last(response.to_vec())).address
}

#[test]
fn passwords_and_hooks_are_both_required() {
    let directory = crate::support::Directory::new("hooks");
    // The password is "secret".
    let users = directory.write("users", "u:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    let address = backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let locations = format!(
        "location = /ps {{ nchan_pubsub; nchan_channel_id $arg_id; nchan_authorize_request /auth;
            auth_basic \"x\"; auth_basic_user_file {}; }}
        location = /auth {{ internal; proxy_pass http://{address}/; }}",
        users.display()
    );
    let server = Server::with_conf(&conf("", &locations));
    assert_eq!(post(&server, "/ps?id=c", &[], b"x"), 401);
    assert_eq!(
        post(
            &server,
            "/ps?id=c",
            &[("Authorization", "Basic dTp3cm9uZw==")],
            b"x"
        ),
        401
    );
    let right = [("Authorization", "Basic dTpzZWNyZXQ=")];
    assert_eq!(post(&server, "/ps?id=c", &right, b"x"), 202);
    // A subscriber with an unused body is admitted as well.
    let response = server
        .connect()
        .request("GET", "/ps?id=c", &right, Some(b"unwanted"));
    assert_eq!((response.head.status, response.text()), (200, "x"));
}

#[test]
fn an_oversized_hook_response_denies_access() {
    let address = backend(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\nConnection: close\r\n\r\n");
    let locations = format!(
        "location = /ps {{ nchan_pubsub; nchan_channel_id $arg_id; \
         nchan_publisher_upstream_request /up; }}
        location = /info {{ nchan_publisher; nchan_channel_id $arg_id; }}
        location = /up {{ internal; proxy_pass http://{address}/; }}"
    );
    let server = Server::try_with_conf(&conf("", &locations), &["--max-hook-answer", "1000"])
        .expect("a server");
    assert_eq!(post(&server, "/ps?id=c", &[], b"x"), 500);
    let info = server.get("/info?id=c");
    assert!(
        info.text().starts_with("queued messages: 0\r\n"),
        "nothing was published: {}",
        info.text()
    );
}

#[test]
fn requests_to_back_ends_wait_for_their_places() {
    let address = backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let locations = format!(
        "location = /ps {{ nchan_pubsub; nchan_channel_id $arg_id; nchan_authorize_request /auth; }}
        location = /auth {{ internal; proxy_pass http://{address}/; }}"
    );
    let server = Server::try_with_conf(
        &conf("", &locations),
        &["--shards", "1", "--max-hooks", "1"],
    )
    .expect("a server");
    let mut connections: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    connections
        .iter_mut()
        .for_each(|connection| connection.send_request("POST", "/ps?id=c", &[], Some(b"x")));
    assert!(
        connections
            .iter_mut()
            .all(|connection| connection.read_response().head.status == 202)
    );
}

#[test]
fn a_group_counts_only_its_own_channels() {
    let locations = "
        location = /group { nchan_group_location; nchan_channel_group $arg_g; \
        nchan_channel_group_accounting on; }
        location = /pub { nchan_publisher; nchan_channel_id $arg_id; nchan_channel_group $arg_g; \
        nchan_channel_group_accounting on;
            nchan_message_buffer_length 2; }
        location = /sub { nchan_subscriber; nchan_channel_id $arg_id; nchan_channel_group $arg_g; \
        nchan_channel_group_accounting on; }";
    let server = Server::with_conf(&conf("", locations));
    let counts = || {
        let body = server.get("/group?g=g").text().to_owned();
        let number = |line: usize| {
            body.lines().nth(line).and_then(|line| {
                line.split(": ")
                    .nth(1)?
                    .split(' ')
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
        };
        [0, 1, 2, 3].map(|line| number(line).expect("a number"))
    };
    assert_eq!(counts(), [0; 4]);
    for number in 0..5 {
        assert_eq!(
            post(
                &server,
                &format!("/pub?g=g&id={}", number % 2),
                &[],
                b"text"
            ),
            202
        );
    }
    assert_eq!(post(&server, "/pub?g=other&id=1", &[], b"text"), 202);
    let mut follower = server.connect();
    follower.send_request(
        "GET",
        "/sub?g=g&id=0",
        &[("Accept", "text/event-stream")],
        None,
    );
    follower.read_head();
    follower.read_until(b": hi\n\n");
    let [channels, subscribers, messages, memory] = counts();
    assert_eq!(
        (channels, subscribers, messages),
        (2, 1, 4),
        "the buffers hold two messages each"
    );
    assert!(memory > 0);
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?g=g&id=1", &[], None)
            .head
            .status,
        200
    );
    assert_eq!(
        counts()[..3],
        [2, 1, 2],
        "a deleted channel of nchan leaves an empty one"
    );
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/group?g=g", &[], None)
            .head
            .status,
        200
    );
    assert!(follower.read_to_close().ends_with(b":410: 410 Gone\n\n"));
    wait_until("the group is empty", || counts() == [0; 4]);
}

#[test]
fn requests_with_hooks_are_logged_once() {
    let directory = crate::support::Directory::new("log");
    let file = directory.path().join("access.log");
    let good = backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let bad =
        backend(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    let leads_on = backend(
        b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /in?id=c\r\nContent-Length: 0\r\n\
                             Connection: close\r\n\r\n",
    );
    let http = format!(
        "log_format short '$request_uri $status'; access_log {} short;",
        file.display()
    );
    let locations = format!(
        "location = /good {{ nchan_pubsub; nchan_channel_id c; nchan_authorize_request \
         /auth-good; }}
        location = /bad {{ nchan_pubsub; nchan_channel_id c; nchan_authorize_request /auth-bad; }}
        location = /auth-good {{ internal; proxy_pass http://{good}/; }}
        location = /auth-bad {{ internal; proxy_pass http://{bad}/; }}
        location = /accel {{ proxy_pass http://{leads_on}/; }}
        location = /in {{ internal; nchan_pubsub; nchan_channel_id $arg_id; }}"
    );
    let mut server = Server::with_conf(&conf(&http, &locations));
    assert_eq!(post(&server, "/good", &[], b"x"), 202);
    assert_eq!(post(&server, "/accel", &[], b"y"), 202);
    let get = |path: &str| server.connect().request("GET", path, &[], None);
    assert_eq!((get("/good").text(), get("/accel").text()), ("x", "x"));
    let refused = get("/bad");
    assert_eq!((refused.head.status, refused.text()), (403, "no"));
    assert_eq!(get("/in?id=c").head.status, 404);
    server.terminate();
    server.wait();
    let log = std::fs::read_to_string(&file).expect("a log");
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "/accel 200",
            "/accel 202",
            "/bad 403",
            "/good 200",
            "/good 202",
            "/in?id=c 404"
        ]
    );
}

#[test]
fn large_messages_count_in_full_and_the_limit_is_named() {
    let locations = "location = /pub { nchan_publisher; nchan_channel_id $arg_id; \
                     nchan_message_buffer_length 100; client_max_body_size 8m; }";
    let server = Server::with_conf(&conf("nchan_max_reserved_memory 20m;", locations));
    let large = vec![b'x'; 4 << 20];
    let post = |id: &str| {
        server
            .connect()
            .request("POST", &format!("/pub?id={id}"), &[], Some(&large))
            .head
            .status
    };
    let statuses: Vec<u16> = (0..6).map(|_| post("a")).collect();
    assert!(
        statuses.starts_with(&[202; 4]) && statuses.ends_with(&[500]),
        "{statuses:?}"
    );
    assert_eq!(post("b"), 500, "the limit is one for all channels");
    wait_until("the limit is logged", || {
        server.stderr().contains("nchan_shared_memory_size")
    });
}
