//! Requests that wait for a back-end: what is sent before the wait, how far redirections lead, and
//! that a request that fails anyway calls no back-end.

use crate::support::{self, Directory, Reply, ScriptedBackend, Server, wait_until};

/// A configuration with these locations and a hook: without one, `proxy_pass` is left to the front.
fn conf(http: &str, locations: &str) -> String {
    let hook = "location /hooked { nchan_publisher; nchan_channel_id h; \
                nchan_authorize_request /unused; }
                location /unused { return 200; }\n";
    support::conf(http, &format!("{hook}{locations}"))
}

#[test]
fn a_finished_response_does_not_wait_for_the_next_request() {
    for location in [
        "location /slow { proxy_pass http://BACKEND; }",
        "location /slow { nchan_publisher; nchan_channel_id a; \
         nchan_publisher_upstream_request /hook; }
         location /hook { proxy_pass http://BACKEND; }",
        "location /slow { nchan_publisher; nchan_channel_id a; nchan_authorize_request /hook; }
         location /hook { proxy_pass http://BACKEND; }",
    ] {
        let backend = ScriptedBackend::start(|_| Reply::Silence);
        let publisher = "location /pub { nchan_publisher; nchan_channel_id b; }\n";
        let locations = location.replace("BACKEND", &backend.address);
        let server = Server::with_conf(&conf("", &format!("{publisher}{locations}")));
        let mut client = server.connect();
        let request =
            |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        client.send([request("/pub"), request("/slow")].concat());
        assert_eq!(client.read_response().head.status, 202, "{location}");
        assert_eq!(backend.wait().len(), 1);
    }
}

#[test]
fn an_index_that_leads_back_to_itself_ends_with_500_after_one_call() {
    let backend = ScriptedBackend::start(|_| {
        Reply::response("200 OK", "X-Accel-Redirect: /files/d/\r\n", "")
    });
    let directory = Directory::new("files");
    std::fs::create_dir(directory.path().join("d")).expect("a directory");
    directory.write("d/index.html", "the index");
    let files = directory.path().display();
    let locations = format!(
        "location /files {{ alias {files}; }}
         location = /files/d/index.html {{ proxy_pass http://{}; }}
         location /door {{ proxy_pass http://{}; }}",
        backend.address, backend.address
    );
    let log = directory.path().join("access.log");
    let http = format!(
        "log_format end '$request_uri $status'; access_log {} end;",
        log.display()
    );
    let server = Server::with_conf(&conf(&http, &locations));
    for path in ["/files/d/", "/door"] {
        assert_eq!(server.get(path).head.status, 500, "{path}");
        assert_eq!(backend.take().len(), 1, "{path}");
    }
    server.stop();
    let lines = std::fs::read_to_string(&log).expect("a log");
    assert_eq!(lines, "/files/d/ 500\n/door 500\n", "one line for each");
}

#[test]
fn an_index_that_is_a_directory_itself_ends_with_500() {
    let directory = Directory::new("files");
    std::fs::create_dir(directory.path().join("d")).expect("a directory");
    directory.write("d/index.html", "the index");
    let files = directory.path().display();
    // Each path has a directory `index` as its index.
    let cycle = format!(
        "location /files/ {{ alias {files}/; index d/; }}
         location /good/ {{ alias {files}/d/; }}"
    );
    let server = Server::with_conf(&conf("", &cycle));
    assert_eq!(server.get("/good/").head.status, 200);
    assert_eq!(server.get("/files/").head.status, 500);
    server.stop();
}

#[test]
fn a_request_whose_header_cannot_be_evaluated_calls_no_back_end() {
    let http = "map $arg_x $trap { \"~^(a+)+$\" deny; default ok; }";
    let trap = format!("x={}!", "a".repeat(40));
    for location in [
        "location /in { add_header X-Trap $trap; proxy_pass http://BACKEND; }",
        "location /in { add_header X-Trap $trap; auth_request /hook; nchan_publisher; \
         nchan_channel_id a; }
         location /hook { proxy_pass http://BACKEND; }",
        "location /in { add_header X-Trap $trap; nchan_publisher; nchan_channel_id a; \
         nchan_authorize_request /hook; }
         location /hook { proxy_pass http://BACKEND; }",
    ] {
        let backend = ScriptedBackend::start(|_| Reply::ok("called"));
        let locations = location.replace("BACKEND", &backend.address);
        let server = Server::with_conf(&conf(http, &locations));
        let post = |query: &str| {
            let path = format!("/in?{query}");
            server
                .connect()
                .request("POST", &path, &[], Some(b"x"))
                .head
                .status
        };
        assert!(post("x=good") < 300, "{location}");
        assert_eq!(backend.take().len(), 1, "{location}");
        assert_eq!(post(&trap), 500, "{location}");
        assert_eq!(backend.request_count(), 0, "{location}");
    }
}

#[test]
fn a_request_that_a_back_end_has_redirected_to_another_one_fails_as_in_its_new_location() {
    let leads = "X-Accel-Redirect: /second\r\nSet-Cookie: a=b\r\n";
    let backend = ScriptedBackend::start(move |_| Reply::response("200 OK", leads, ""));
    let locations = format!(
        "location /first {{ add_header X-In first always; proxy_pass http://{}; }}
         location /second {{ add_header X-In second always; proxy_pass http://{}; }}",
        backend.address, backend.address
    );
    let server = Server::with_conf(&conf("", &locations));
    let response = server.get("/first");
    assert_eq!(response.head.status, 500);
    assert_eq!(response.head.get("Set-Cookie"), Some("a=b"));
    assert_eq!(response.head.get("X-In"), Some("second"));
    assert_eq!(backend.take().len(), 1);
    server.stop();
}

#[test]
fn a_request_that_is_cut_off_while_it_waits_is_logged() {
    let backend = ScriptedBackend::start(|_| Reply::Silence);
    let directory = Directory::new("logs");
    let log = directory.path().join("access.log");
    let http = format!(
        "log_format cut '$uri $status'; access_log {} cut;",
        log.display()
    );
    let locations = "
        location /proxied { proxy_pass http://BACKEND; }
        location /checked { auth_request /hook; nchan_publisher; nchan_channel_id a; }
        location /authorized { nchan_publisher; nchan_channel_id a;
            nchan_authorize_request /hook; }
        location /passed { nchan_publisher; nchan_channel_id a;
            nchan_publisher_upstream_request /hook; }
        location /hook { internal; proxy_pass http://BACKEND; }"
        .replace("BACKEND", &backend.address);
    let paths = [
        "/authorized",
        "/checked",
        "/passed",
        "/proxied",
        "/proxied/part",
    ];
    for is_client in [false, true] {
        let _ = std::fs::remove_file(&log);
        let text = conf(&http, &locations);
        let server = Server::try_with_conf(&text, &["--grace", "100ms"]).expect("it starts");
        let clients: Vec<_> = paths
            .iter()
            .map(|path| {
                let length = if *path == "/proxied/part" { 2 } else { 1 };
                let mut client = server.connect();
                client.send(format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nx"
                ));
                client
            })
            .collect();
        wait_until("the back-end has the requests", || {
            backend.request_count() == 4
        });
        if is_client {
            drop(clients);
        }
        server.stop();
        backend.take();
        let text = std::fs::read_to_string(&log).expect("a log");
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        let expected = paths.map(|path| format!("{path} 499"));
        assert_eq!(lines, expected, "by the client: {is_client}");
    }
}
