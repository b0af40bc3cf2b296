//! Requests that differ from an earlier one of their connection only in channel, message or cursor
//! are answered without routing them again. What the configuration reads of a request must show in
//! each response as if the request were the first one of its connection.

use crate::support::{Connection, Directory, Reply, ScriptedBackend, Server, conf, wait_until};

const HTTP: &str = "push_stream_shared_memory_size 10m;";

/// A location of publishers with further directives.
fn publisher(more: &str) -> String {
    format!(
        "location /pub {{ push_stream_publisher; push_stream_channels_path $arg_id;
         push_stream_channel_info_on_publish off; {more} }}\n"
    )
}

/// A directory with a file of one user, `ann` with the password `right`.
fn passwords() -> Directory {
    let directory = Directory::new("passwords");
    directory.write("users", "ann:{PLAIN}right\n");
    directory
}

/// The directive with that file.
fn user_file(directory: &Directory) -> String {
    let users = directory.path().join("users");
    format!("auth_basic_user_file {};", users.display())
}

/// Publishes to a channel; returns the status and the header `X-Out`.
fn publish(connection: &mut Connection, id: &str, text: &str) -> (u16, Option<String>) {
    let path = format!("/pub?id={id}");
    let response = connection.request("POST", &path, &[], Some(text.as_bytes()));
    let shown = response.head.get("X-Out").map(str::to_owned);
    (response.head.status, shown)
}

/// Asserts that a location responds alike on a kept connection and on new ones.
fn assert_same_as_first(http: &str, location: &str, shows: impl Fn(&str, &str) -> String) {
    let server = Server::with_conf(&conf(&format!("{HTTP}\n{http}"), location));
    let mut kept = server.connect();
    // Each channel exists, so that all but the first request may be replayed.
    let ids = ["first", "second", "bad", "third", "bad"];
    for id in ids {
        publish(&mut server.connect(), id, "x");
    }
    for (number, id) in ids.into_iter().cycle().take(15).enumerate() {
        let text = "x".repeat(number % 12 + 1);
        let expected = publish(&mut server.connect(), id, &text);
        let found = publish(&mut kept, id, &text);
        assert_eq!(found, expected, "{location}: request {number}");
        if found.0 == 413 {
            // It closes the connection.
            kept = server.connect();
        }
        if found.0 == 200 {
            assert_eq!(
                found.1,
                Some(shows(id, &text)),
                "{location}: request {number}"
            );
        }
    }
    server.stop();
}

#[test]
fn what_the_configuration_reads_of_a_publish_shows_in_each_response() {
    let add = |value: &str| publisher(&format!("add_header X-Out {value};"));
    assert_same_as_first("", &add("always"), |_, _| "always".to_owned());
    assert_same_as_first("", &add("$arg_id"), |id, _| id.to_owned());
    assert_same_as_first("", &add("\"$args\""), |id, _| format!("id={id}"));
    assert_same_as_first("", &add("$request_uri"), |id, _| format!("/pub?id={id}"));
    assert_same_as_first("", &add("\"$request\""), |id, _| {
        format!("POST /pub?id={id} HTTP/1.1")
    });
    let length = |_: &str, text: &str| text.len().to_string();
    assert_same_as_first("", &add("$content_length"), length);
    assert_same_as_first("", &add("$http_content_length"), length);
    let copied = publisher("set $copy $arg_id; add_header X-Out $copy;");
    assert_same_as_first("", &copied, |id, _| id.to_owned());
    let mapped = "map $arg_id $kind { default good; bad evil; }";
    let kind = |id: &str, _: &str| if id == "bad" { "evil" } else { "good" }.to_owned();
    assert_same_as_first(mapped, &add("$kind"), kind);
    for condition in ["$arg_id = bad", "$args ~ bad", "$request_uri ~ \"bad$\""] {
        let guarded = format!("if ({condition}) {{ return 403; }} add_header X-Out in;");
        assert_same_as_first("", &publisher(&guarded), |_, _| "in".to_owned());
    }
    let limited = publisher("client_max_body_size 8; add_header X-Out in;");
    assert_same_as_first("", &limited, |_, _| "in".to_owned());
    for denied in ["deny all;", "limit_except GET { deny all; }"] {
        assert_same_as_first("", &publisher(denied), |_, _| String::new());
    }
}

/// A publish with these values of the headers `X` and `Cookie`.
fn publish_with([id, x, cookie]: [&str; 3]) -> String {
    format!(
        "POST /pub?id={id} HTTP/1.1\r\nHost: a\r\nX: {x}\r\nCookie: c={cookie}\r\n\
         Content-Length: 1\r\n\r\nx"
    )
}

#[test]
fn pipelined_publishes_with_other_headers_are_answered_as_first_ones() {
    let requests = [
        ["a", "1", "p"],
        ["b", "1", "p"],
        ["a", "1", "p"],
        ["a", "2", "p"],
        ["b", "2", "p"],
        ["a", "2", "q"],
        ["a", "2", "q"],
        ["b", "2", "bad"],
        ["a", "1", "bad"],
        ["b", "3", "q"],
        ["a", "3", "q"],
        ["b", "1", "p"],
    ];
    let http = format!("{HTTP} map $http_x $mapped {{ default other; 2 two; }}");
    let location = publisher(
        "if ($cookie_c = bad) { return 403; }
         add_header X-Out \"$http_x $mapped $cookie_c\";",
    );
    let server = Server::with_conf(&conf(&http, &location));
    let respond = |connection: &mut Connection| {
        let head = connection.read_response().head;
        (head.status, head.get("X-Out").map(str::to_owned))
    };
    let first = requests.map(|parts| {
        let mut connection = server.connect();
        connection.send(publish_with(parts));
        respond(&mut connection)
    });
    let [last, denied] = [&first[11], &first[7]];
    assert_eq!(*last, (200, Some("1 other p".to_owned())));
    assert_eq!(denied.0, 403);
    let mut kept = server.connect();
    for _ in 0..2 {
        kept.send(requests.map(publish_with).concat());
        assert_eq!(requests.map(|_| respond(&mut kept)), first);
    }
    server.stop();
}

#[test]
fn values_that_change_by_themselves_change_with_each_publish() {
    for (value, kept) in [
        ("$request_id", false),
        ("$connection_requests", false),
        ("$pid", true),
    ] {
        let location = publisher(&format!("add_header X-Out {value};"));
        let server = Server::with_conf(&conf(HTTP, &location));
        let mut connection = server.connect();
        let shown: Vec<_> = (0..5)
            .map(|_| publish(&mut connection, "a", "x").1.expect("a value"))
            .collect();
        let changes = shown.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, if kept { 0 } else { 4 }, "{value}: {shown:?}");
        server.stop();
    }
}

#[test]
fn checks_are_made_for_each_publish() {
    let backend = ScriptedBackend::start(|_| Reply::ok(""));
    let locations = format!(
        "{}location /check {{ internal; proxy_pass http://{}; }}
         location /hooked {{ nchan_publisher; nchan_channel_id h;
             nchan_authorize_request /check; }}",
        publisher("auth_request /check;"),
        backend.address
    );
    let server = Server::with_conf(&conf(HTTP, &locations));
    let mut connection = server.connect();
    for _ in 0..4 {
        assert_eq!(publish(&mut connection, "a", "x").0, 200);
    }
    assert_eq!(backend.take().len(), 4);
    server.stop();
}

#[test]
fn other_credentials_on_the_same_connection_are_checked() {
    let directory = passwords();
    let location = publisher(&format!("auth_basic closed; {}", user_file(&directory)));
    let server = Server::with_conf(&conf(HTTP, &location));
    let mut connection = server.connect();
    let right = "Basic YW5uOnJpZ2h0";
    let wrong = "Basic YW5uOndyb25n";
    for (credentials, status) in [
        (right, 200),
        (right, 200),
        (right, 200),
        (wrong, 401),
        (right, 200),
        ("", 401),
    ] {
        let headers = [("Authorization", credentials)];
        let response = connection.request("POST", "/pub?id=a", &headers, Some(b"x"));
        assert_eq!(response.head.status, status, "{credentials}");
    }
    server.stop();
}

#[test]
fn a_changed_password_ends_the_replays_of_a_publisher() {
    let directory = passwords();
    let location = publisher(&format!("auth_basic closed; {}", user_file(&directory)));
    let server = Server::with_conf(&conf(HTTP, &location));
    let mut connection = server.connect();
    let mut publish = || {
        let headers = [("Authorization", "Basic YW5uOnJpZ2h0")];
        let response = connection.request("POST", "/pub?id=a", &headers, Some(b"x"));
        response.head.status
    };
    for _ in 0..3 {
        assert_eq!(publish(), 200);
    }
    directory.write("users", "ann:{PLAIN}another\n");
    // The result of a check is kept for ten seconds.
    wait_until("the new file is read", || publish() == 401);
    server.stop();
}

#[test]
fn a_publish_after_a_reload_is_routed_by_the_new_file() {
    let text = |header: &str| conf(HTTP, &publisher(&format!("add_header X-Out {header};")));
    let server = Server::with_conf(&text("before"));
    let mut connection = server.connect();
    for _ in 0..3 {
        let shown = publish(&mut connection, "a", "x").1;
        assert_eq!(shown.as_deref(), Some("before"));
    }
    assert!(server.reload_conf(&text("after")), "{}", server.stderr());
    for _ in 0..3 {
        let shown = publish(&mut connection, "a", "x").1;
        assert_eq!(shown.as_deref(), Some("after"));
    }
    server.stop();
}

#[test]
fn each_publish_that_a_condition_selects_is_logged() {
    let directory = Directory::new("logs");
    let log = directory.path().join("access.log");
    let http = format!(
        "{HTTP} map $arg_id $is_logged {{ default 0; loud 1; }} log_format id '$arg_id $status';
         access_log {} id if=$is_logged;",
        log.display()
    );
    let server = Server::with_conf(&conf(&http, &publisher("")));
    let mut connection = server.connect();
    for id in ["quiet", "quiet", "loud", "quiet", "loud", "loud"] {
        assert_eq!(publish(&mut connection, id, "x").0, 200);
    }
    server.stop();
    let lines = std::fs::read_to_string(&log).expect("a log");
    assert_eq!(lines, "loud 200\n".repeat(3));
}

#[test]
fn a_deleted_channel_is_created_again_by_the_next_publish() {
    let admin = "location /admin { push_stream_publisher admin; push_stream_channels_path \
                 $arg_id; }\n";
    let server = Server::with_conf(&conf(HTTP, &[admin, &publisher("")].concat()));
    let mut connection = server.connect();
    for _ in 0..3 {
        assert_eq!(publish(&mut connection, "a", "x").0, 200);
    }
    let deleted = server.connect().request("DELETE", "/admin?id=a", &[], None);
    assert_eq!(deleted.head.status, 200);
    assert_eq!(publish(&mut connection, "a", "x").0, 200);
    let info = server.get("/admin?id=a");
    let body = String::from_utf8(info.body).expect("JSON is UTF-8");
    assert!(body.contains("\"published_messages\": 1,"), "{body}");
    server.stop();
}

#[test]
fn an_empty_channel_id_does_not_open_restrictions_for_others() {
    let directory = passwords();
    let http = "map $arg_id $denied { default 0; ~^secret 1; }
                map $arg_id $realm { default off; ~^secret closed; }";
    let shown = "add_header X-Out \"$arg_o\";";
    let protected = format!("auth_basic $realm; {}", user_file(&directory));
    for (restriction, status) in [
        ("if ($arg_id ~ ^secret) { return 403; }", 403),
        ("if ($denied) { return 403; }", 403),
        (&protected, 401),
    ] {
        let locations = format!(
            "location /pub {{ {restriction} {shown} nchan_publisher; nchan_channel_id $arg_id; }}
             location /other {{ nchan_publisher; nchan_channel_id $arg_id; }}"
        );
        let server = Server::with_conf(&conf(&format!("{HTTP}{http}"), &locations));
        let post = |connection: &mut Connection, path: &str| {
            connection
                .request("POST", path, &[], Some(b"x"))
                .head
                .status
        };
        assert_eq!(post(&mut server.connect(), "/other?id=secret1"), 202);
        let mut connection = server.connect();
        for _ in 0..3 {
            assert_eq!(post(&mut connection, "/pub?id=&o=1"), 202, "{restriction}");
        }
        assert_eq!(
            post(&mut connection, "/pub?id=secret1&o=1"),
            status,
            "{restriction}"
        );
        for _ in 0..3 {
            assert_eq!(
                post(&mut connection, "/pub?id=open&o=1"),
                202,
                "{restriction}"
            );
        }
        assert_eq!(
            post(&mut connection, "/pub?id=secret1&o=1"),
            status,
            "{restriction}"
        );
        server.stop();
    }
}
