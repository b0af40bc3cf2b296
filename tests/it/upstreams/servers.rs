//! Servers of `upstream` blocks: selection, failover, weights, and variables. Expected values were
//! recorded with nginx 1.22 and nchan 1.3.6.

use crate::support::{Directory, Reply, Response, ScriptedBackend, Server, conf, free_port};

/// A publisher, subscribers and an authorized location whose hooks use `pass`, with further
/// directives.
pub(super) fn locations(pass: &str, proxy: &str) -> String {
    format!(
        "location = /auth {{ internal; proxy_pass {pass}; {proxy} }}
        location ~ ^/pub/(\\w+)$ {{ nchan_publisher; nchan_channel_id $1; nchan_authorize_request \
        /auth; }}
        location ~ ^/sub/(\\w+)$ {{ nchan_subscriber; nchan_channel_id $1; nchan_authorize_request \
        /auth; }}
        location ~ ^/asked/(\\w+)$ {{ nchan_publisher; nchan_channel_id $1; \
        nchan_publisher_upstream_request /auth; }}
        location ~ ^/noticed/(\\w+)$ {{ nchan_subscriber; nchan_channel_id $1; \
        nchan_subscribe_request /auth; }}
        location /door {{ proxy_pass {pass}; {proxy} }}
        location ~ ^/free/(\\w+)$ {{ nchan_pubsub; nchan_channel_id $1; }}"
    )
}

pub(super) fn post(server: &Server, path: &str) -> Response {
    server.connect().request("POST", path, &[], Some(b"hello"))
}

pub(super) fn lower(request: &str) -> String {
    request.to_ascii_lowercase()
}

/// The statuses of an authorized publisher, one whose message is transformed, and the direct
/// location.
pub(super) fn statuses(server: &Server) -> [u16; 3] {
    [
        post(server, "/pub/a").head.status,
        post(server, "/asked/a").head.status,
        server.get("/door").head.status,
    ]
}

#[test]
fn a_name_in_proxy_pass_is_an_upstream_before_it_is_a_host() {
    let backend = ScriptedBackend::start(|_| Reply::ok("changed"));
    for (name, pass) in [
        ("my_app", "http://my_app/check"),
        ("localhost", "http://localhost/check"),
        ("My-App.example", "http://my-app.EXAMPLE/check"),
        ("my_app", "http://$to/check"),
    ] {
        let http = format!(
            "upstream {name} {{ server {}; }} map $host $to {{ default my_app; }}",
            backend.address
        );
        let server = Server::with_conf(&conf(&http, &locations(pass, "")));
        assert_eq!(statuses(&server), [202, 202, 200], "{pass}");
        let asked = backend.take();
        assert_eq!(asked.len(), 3, "{pass}: {asked:?}");
        let host = pass
            .trim_start_matches("http://")
            .trim_end_matches("/check")
            .replace("$to", "my_app");
        assert!(
            asked
                .iter()
                .all(|request| request.contains(&format!("\r\nhost: {host}\r\n"))),
            "{pass}: {asked:?}"
        );
        assert!(asked[0].starts_with("GET /check HTTP/1.1\r\n"), "{asked:?}");
        let mut follower = server.connect();
        follower.send_request(
            "GET",
            "/noticed/a",
            &[("Accept", "text/event-stream")],
            None,
        );
        assert_eq!(follower.read_head().status, 200);
        assert_eq!(backend.wait().len(), 1, "{pass}: the notice");
    }
}

#[test]
fn upstreams_reach_unix_sockets_and_every_address_of_a_name() {
    let directory = Directory::new("socket");
    let path = directory.path().join("app.sock");
    let backend = ScriptedBackend::at_path(&path, |_| Reply::ok("changed"));
    let direct = format!("http://{}:/check", backend.address);
    for pass in ["http://app/check", direct.as_str()] {
        let server = Server::with_conf(&conf(
            &format!("upstream app {{ server {}; }}", backend.address),
            &locations(pass, ""),
        ));
        assert_eq!(statuses(&server), [202, 202, 200], "{pass}");
        let host = if pass == direct { "localhost" } else { "app" };
        assert!(
            backend.take()[0].contains(&format!("\r\nhost: {host}\r\n")),
            "{pass}"
        );
    }
    let named = ScriptedBackend::start(|_| Reply::ok(""));
    let port = named.address.split(':').nth(1).expect("a port");
    let server = Server::with_conf(&conf(
        &format!("upstream app {{ server localhost:{port}; }}"),
        &locations("http://app", ""),
    ));
    assert_eq!(
        statuses(&server),
        [202, 202, 200],
        "::1 is tried as well, if there is one"
    );
}

#[test]
fn the_next_server_is_tried_when_one_fails() {
    for (what, failure) in [
        ("closes", Reply::Last(Vec::new())),
        (
            "breaks off in a head",
            Reply::Last(b"HTTP/1.1 200 OK\r\nX: ".to_vec()),
        ),
        ("is silent", Reply::Silence),
    ] {
        let broken = ScriptedBackend::start(move |_| failure.clone());
        let good = ScriptedBackend::start(|_| Reply::ok("good"));
        let http = format!(
            "upstream app {{ server {}; server {} backup; }}",
            broken.address, good.address
        );
        let server = Server::with_conf(&conf(
            &http,
            &locations("http://app", "proxy_read_timeout 300ms;"),
        ));
        assert_eq!(server.get("/door").text(), "good", "{what}");
        assert_eq!((broken.take().len(), good.take().len()), (1, 1), "{what}");
        assert_eq!(server.get("/door").text(), "good", "{what}");
        assert_eq!(
            (broken.take().len(), good.take().len()),
            (0, 1),
            "{what}: it is left out for ten seconds"
        );
    }
}

#[test]
fn a_server_that_does_not_listen_is_left_out_for_every_method() {
    let dead = free_port();
    let good = ScriptedBackend::start(|_| Reply::ok("good"));
    let http = format!(
        "upstream app {{ server 127.0.0.1:{dead}; server {}; }}",
        good.address
    );
    let server = Server::with_conf(&conf(&http, &locations("http://app", "")));
    for _ in 0..3 {
        assert_eq!(statuses(&server), [202, 202, 200]);
    }
    assert_eq!(good.take().len(), 9);
}

#[test]
fn a_message_that_may_have_arrived_is_not_sent_to_another_server() {
    let broken = ScriptedBackend::start(|_| Reply::Last(Vec::new()));
    let good = ScriptedBackend::start(|_| Reply::ok("good"));
    let http = format!(
        "upstream app {{ server {} max_fails=0; server {} backup; }}",
        broken.address, good.address
    );
    let server = Server::with_conf(&conf(&http, &locations("http://app", "")));
    assert_eq!(post(&server, "/asked/a").head.status, 500);
    assert_eq!(post(&server, "/door").head.status, 502);
    assert_eq!((broken.take().len(), good.take().len()), (2, 0));
    let unsafe_too = "proxy_next_upstream error timeout non_idempotent;";
    let server = Server::with_conf(&conf(&http, &locations("http://app", unsafe_too)));
    assert_eq!(post(&server, "/asked/a").head.status, 202);
    assert_eq!((broken.take().len(), good.take().len()), (1, 1));
    for no_next in [
        "proxy_next_upstream off;",
        "proxy_next_upstream_tries 1;",
        "proxy_next_upstream timeout;",
    ] {
        let server = Server::with_conf(&conf(&http, &locations("http://app", no_next)));
        assert_eq!(server.get("/door").head.status, 502, "{no_next}");
    }
}

#[test]
fn proxy_next_upstream_statuses_select_the_next_server() {
    for (status, next, expected) in [
        ("500 No", "http_500", (200, 1)),
        ("503 No", "http_503", (200, 1)),
        ("403 No", "http_403", (200, 1)),
        ("500 No", "error timeout http_502", (500, 0)),
        ("404 No", "error", (404, 0)),
    ] {
        let bad = ScriptedBackend::start(move |_| Reply::response(status, "", ""));
        let good = ScriptedBackend::start(|_| Reply::ok("good"));
        let http = format!(
            "upstream app {{ server {}; server {} backup; }}",
            bad.address, good.address
        );
        let server = Server::with_conf(&conf(
            &http,
            &locations("http://app", &format!("proxy_next_upstream {next};")),
        ));
        assert_eq!(
            (server.get("/door").head.status, good.take().len()),
            expected,
            "{status}, {next}"
        );
    }
}

#[test]
fn a_failed_server_is_retried_after_fail_timeout_unless_it_is_the_only_one() {
    let one = free_port();
    let other = free_port();
    let http = format!(
        "upstream two {{ server 127.0.0.1:{one}; server 127.0.0.1:{other}; }} upstream alone {{ \
         server 127.0.0.1:{one}; }}
        upstream down {{ server 127.0.0.1:{one} down; }}"
    );
    let locations = ["two", "alone", "down"]
        .map(|name| format!("location /{name} {{ proxy_pass http://{name}; }}"))
        .concat();
    let server = Server::with_conf(&conf(
        &http,
        &(locations + "location /free { nchan_pubsub; nchan_channel_id c; }"),
    ));
    let status = |path: &str| server.get(path).head.status;
    assert_eq!(
        [status("/two"), status("/alone"), status("/down")],
        [502; 3]
    );
    let _back = ScriptedBackend::at(one, |_| Reply::ok("back"));
    assert_eq!(
        [status("/two"), status("/alone"), status("/down")],
        [502, 200, 502]
    );
}

#[test]
fn requests_are_balanced_by_weight_or_by_key() {
    let backends: Vec<ScriptedBackend> = ["a", "b", "c"]
        .into_iter()
        .map(|name| ScriptedBackend::start(move |_| Reply::ok(name)))
        .collect();
    let [a, b, c] = [0, 1, 2].map(|number| backends[number].address.as_str());
    let http = format!(
        "upstream weight {{ server {a} weight=3; server {b}; }} upstream least {{ least_conn; \
         server {a} weight=3; server {b}; }}
        upstream key {{ hash $arg_k consistent; server {a}; server {b}; server {c}; }}
        upstream client {{ ip_hash; server {a}; server {b}; server {c}; keepalive 4; }}"
    );
    let locations = ["weight", "least", "key", "client"]
        .map(|name| format!("location /{name} {{ proxy_pass http://{name}; }}"))
        .concat();
    let server = Server::with_conf(&conf(
        &http,
        &(locations + "location /free { nchan_pubsub; nchan_channel_id c; }"),
    ));
    let names = |path: &str, count: usize| {
        (0..count)
            .map(|_| server.get(path).text().to_owned())
            .collect::<String>()
    };
    assert_eq!(names("/weight", 8), "aabaaaba", "as nginx does it");
    assert_eq!(names("/least", 8), "aabaaaba");
    let same = |names: String| names.bytes().all(|name| name == names.as_bytes()[0]);
    assert!(same(names("/client", 6)));
    let mut reached = String::new();
    for key in 0..30 {
        let names = names(&format!("/key?k={key}"), 2);
        reached += &names;
        assert!(same(names));
    }
    assert!(
        ["a", "b", "c"].iter().all(|name| reached.contains(name)),
        "{reached}"
    );
}

#[test]
fn variables_of_the_proxy_have_values() {
    let backend = ScriptedBackend::start(|_| Reply::ok(""));
    let headers = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header \
                   X-Host \"$proxy_host|$proxy_port\";
        proxy_set_header X-Length \"[$content_length]\"; proxy_set_header X-Empty \
        \"[$request_method $nchan_channel_id]\";";
    let server = Server::with_conf(&conf(
        &format!("upstream app {{ server {}; }}", backend.address),
        &(locations("http://app", headers)
            + &format!(
                "location /direct {{ proxy_pass http://{}; {headers} }}",
                backend.address
            )),
    ));
    let asked = |path: &str, sent: &[(&str, &str)]| {
        server.connect().request("POST", path, sent, Some(b"hello"));
        lower(&backend.wait().concat())
    };
    let request = asked("/pub/a", &[]);
    assert!(
        request.contains(
            "\r\nx-forwarded-for: 127.0.0.1\r\nx-host: app|80\r\nx-length: [0]\r\n\
                              x-empty: [post a]\r\n"
        ),
        "{request}"
    );
    let request = asked("/asked/a", &[("X-Forwarded-For", "6.6.6.6")]);
    assert!(
        request.contains("\r\nx-forwarded-for: 6.6.6.6, 127.0.0.1\r\n")
            && request.contains("\r\nx-length: [5]\r\n"),
        "{request}"
    );
    let request = asked(
        "/direct",
        &[
            ("X-Forwarded-For", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
        ],
    );
    assert!(
        request.contains("\r\nx-forwarded-for: 6.6.6.6, 7.7.7.7, 127.0.0.1\r\n"),
        "{request}"
    );
    let port = backend.address.split(':').nth(1).expect("a port");
    assert!(
        request.contains(&format!("\r\nx-host: 127.0.0.1:{port}|{port}\r\n")),
        "{request}"
    );
}
