//! nginx in front, as printed by `pushctl check --front`: every mode works through it.

use std::process::Command;

use crate::support::{Directory, Nginx, Server, frame, opcode, program, wait_until};

/// The push locations of a file, with all kinds of patterns.
const LOCATIONS: &str = r#"
    server_name push.example;
    location /stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    location = /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; client_max_body_size 16; }
    location ^~ /sub/ { location ~ "^/sub/(\w{1,9})$" { push_stream_subscriber;
        push_stream_channels_path $1; push_stream_header_template "begin"; } }
    location ~ ^/ev/(.+)$ { push_stream_subscriber eventsource; push_stream_channels_path $1; }
    location ~* ^/ws/(.+)$ { push_stream_subscriber websocket; push_stream_channels_path $1;
        push_stream_websocket_allow_publish on; }
    location /lp { push_stream_subscriber long-polling; push_stream_channels_path $arg_id; }
    location /poll { push_stream_subscriber polling; push_stream_channels_path $arg_id; }
    location "/with space/poll" { push_stream_subscriber polling; push_stream_channels_path $arg_id;
        }
    location /app { proxy_pass http://127.0.0.1:1; }
"#;

/// Prints the configuration of the nginx in front of the server at `address`.
fn print_front(text: &str, address: &str) -> String {
    let directory = Directory::new("front");
    // The port is substituted when nginx starts; until then it is a recognizable number.
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let output = Command::new(program())
        .arg("check")
        .arg(format!("--front={address}"))
        .arg(file)
        .output();
    let output = output.expect("the program runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("a text")
        .replace("54321", "{{PORT}}")
}

#[test]
fn every_mode_works_through_nginx_in_front() {
    let text = format!(
        "events {{}} http {{ push_stream_shared_memory_size 10m;\n\
         server {{ listen 127.0.0.1:{{{{PORT}}}};\n{LOCATIONS} }} }}"
    );
    let server =
        Server::try_with_conf(&text, &["--listen", "127.0.0.1:0"]).expect("the file is served");
    let front = print_front(&text, server.address());
    assert!(
        !front.contains("/app") && front.contains("server_name push.example;"),
        "{front}"
    );
    let nginx = Nginx::start(&front);
    let get = |path: &str| nginx.connect().request("GET", path, &[], None);
    let subscribed = |count: u64| {
        let stats = get("/stats?id=ch1");
        stats.head.status == 200
            && stats
                .text()
                .contains(&format!("\"subscribers\": {count}}}"))
    };
    let follow = |path: &str| {
        let mut connection = nginx.connect();
        connection.send_request("GET", path, &[], None);
        connection
    };
    let (mut stream, mut events, mut poll) =
        (follow("/sub/ch1"), follow("/ev/ch1"), follow("/lp?id=ch1"));
    assert_eq!(
        (stream.read_head().status, events.read_head().status),
        (200, 200)
    );
    assert_eq!(stream.read_until(b"begin"), b"begin");
    let mut websocket = nginx.connect();
    let head = websocket.upgrade("/WS/ch1", &[]);
    assert_eq!(
        head.get("Sec-WebSocket-Accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    wait_until("four follow through nginx", || subscribed(4));
    let published = nginx
        .connect()
        .request("POST", "/pub?id=ch1", &[], Some(b"one"));
    assert_eq!(published.head.status, 200, "{published:?}");
    assert_eq!(stream.read_until(b"one"), b"one");
    assert!(events.read_until(b"\n\n").ends_with(b"data: one\n\n"));
    assert_eq!(poll.read_response().text(), "one");
    assert_eq!(websocket.read_frame().payload, b"one");
    assert_eq!(
        nginx
            .connect()
            .request(
                "GET",
                "/poll?id=ch1",
                &[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")],
                None
            )
            .text(),
        "one"
    );
    assert_eq!(get("/with%20space/poll?id=ch1").head.status, 304);
    // Cursors and JSONP are passed unchanged.
    let since = [("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")];
    let call = nginx
        .connect()
        .request("GET", "/lp?id=ch1&callback=show", &since, None);
    assert_eq!(
        (call.text(), call.head.get("Content-Type")),
        ("show([one]);", Some("application/javascript"))
    );
    let [time, tag] = call.head.cursor();
    let nothing = nginx
        .connect()
        .request("GET", "/poll?id=ch1", &[time, tag], None);
    assert_eq!(
        (nothing.head.status, nothing.head.get("Etag")),
        (304, Some(tag.1))
    );
    // Nothing is held back in the other direction, either.
    websocket.send(frame(opcode::TEXT, b"two"));
    assert_eq!(
        (stream.read_until(b"two"), events.read_until(b"\n\n")),
        (b"two".to_vec(), b"data: two\n\n".to_vec())
    );
    assert_eq!(
        nginx
            .connect()
            .request("POST", "/pub?id=ch1", &[], Some(&[b'x'; 17]))
            .head
            .status,
        413
    );
    assert_eq!(
        nginx
            .connect()
            .request("DELETE", "/pub?id=ch1", &[], None)
            .head
            .status,
        200
    );
    assert_eq!(events.read_until(b"\n\n"), b"data: Channel deleted\n\n");
    server.stop();
}

/// Access rules stay in force: nginx checks them, and pushctl sees the addresses of clients.
#[test]
fn rules_of_locations_hold_in_front_and_behind() {
    let directory = Directory::new("front-rules");
    let users = directory.write("users", "anna:{PLAIN}secret\n");
    let text = format!(
        r#"events {{}} http {{ push_stream_shared_memory_size 10m;
        server {{ listen 127.0.0.1:{{{{PORT}}}};
    location /own {{ push_stream_channels_statistics; push_stream_channels_path a; allow 127.0.0.1;
        deny all; }}
    location /others {{ push_stream_channels_statistics; push_stream_channels_path a;
        allow 192.0.2.0/24; deny all; }}
    location /secret {{ push_stream_channels_statistics; push_stream_channels_path a;
        satisfy any; deny all; auth_basic "the \"staff\""; auth_basic_user_file {}; }}
    location /get {{ push_stream_publisher admin; push_stream_channels_path a;
    limit_except GET {{ deny all; }} }} }} }}"#,
        users.display()
    );
    let server = Server::try_with_conf(
        &text,
        &["--listen", "127.0.0.1:0", "--real-ip-from", "127.0.0.1"],
    )
    .expect("the file is served");
    let front = print_front(&text, server.address());
    let has = |lines: &[&str]| {
        let lines = lines.join("\n");
        assert!(front.contains(&lines), "{lines}\nshould be in\n{front}");
    };
    assert!(
        front.contains(&format!(
            "--listen {} --real-ip-from 127.0.0.1\n",
            server.address()
        )),
        "{front}"
    );
    has(&["        allow 127.0.0.1;", "        deny all;"]);
    has(&["        allow 192.0.2.0/24;", "        deny all;"]);
    let password = [
        "        satisfy any;",
        "        deny all;",
        r#"        auth_basic "the \"staff\"";"#,
    ];
    has(&[
        &password[..],
        &[&format!(
            "        auth_basic_user_file {};",
            users.display()
        )],
    ]
    .concat());
    has(&[
        "        limit_except GET {",
        "            deny all;",
        "        }",
    ]);
    let nginx = Nginx::start(&front);
    let status = |server: &mut crate::support::Connection,
                  method: &str,
                  path: &str,
                  headers: &[(&str, &str)]| {
        server.request(method, path, headers, None).head.status
    };
    let secret = [("Authorization", "Basic YW5uYTpzZWNyZXQ=")];
    for (method, path, headers, expected) in [
        ("GET", "/own", &[][..], 404),
        ("GET", "/others", &[], 403),
        ("GET", "/secret", &[], 401),
        ("GET", "/secret", &secret, 404),
        ("GET", "/get", &[], 404),
        ("DELETE", "/get", &[], 403),
    ] {
        assert_eq!(
            status(&mut nginx.connect(), method, path, headers),
            expected,
            "{method} {path} through nginx"
        );
        // A direct client keeps its own address unless nginx is trusted to set it.
        assert_eq!(
            status(&mut server.connect(), method, path, headers),
            expected,
            "{method} {path}"
        );
    }
    // pushctl sees the clients of nginx: the same rules hold there.
    let behind = |client: &str, path: &str| {
        server
            .connect()
            .request("GET", path, &[("X-Real-IP", client)], None)
            .head
            .status
    };
    assert_eq!(
        [
            behind("192.0.2.7", "/others"),
            behind("192.0.2.7", "/own"),
            behind("203.0.113.9", "/others")
        ],
        [404, 403, 403]
    );
    server.stop();
}

/// The configuration that `check --front` prints for a file, and the options of `serve` in its
/// first lines.
pub(super) fn printed(file: &std::path::Path, address: &str) -> (String, Vec<String>) {
    let output = Command::new(program())
        .arg("check")
        .arg(format!("--front={address}"))
        .arg(file)
        .output()
        .expect("the program runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let front = String::from_utf8(output.stdout).expect("a text");
    let options = front
        .lines()
        .find_map(|line| line.strip_prefix("#     "))
        .expect("options")
        .split(' ')
        .map(str::to_owned)
        .collect();
    (front, options)
}

/// Serves a file with options that may name several addresses.
pub(super) fn serve(file: &std::path::Path, options: &[String]) -> Server {
    let mut args = vec!["--nginx-conf", file.to_str().expect("UTF-8")];
    args.extend(options.iter().map(String::as_str));
    Server::start(&args)
}

#[test]
fn internal_locations_are_reached_through_redirects_of_nginx_only() {
    let text = "events {} http { push_stream_shared_memory_size 10m; push_stream_store_messages \
                on; server { listen 127.0.0.1:{{PORT}};
    location /pub { push_stream_publisher; push_stream_channels_path $arg_id; }
    location ~ ^/sub/(.+)$ { internal; push_stream_subscriber polling; push_stream_channels_path \
    $1; } } }";
    let directory = Directory::new("front-internal");
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let report = Command::new(program())
        .arg("check")
        .arg(&file)
        .output()
        .expect("the program runs");
    let report = String::from_utf8(report.stdout).expect("a text");
    assert!(
        report.contains("requests to this location get 404 unless pushctl itself redirects them"),
        "{report}"
    );
    let socket = format!("unix:{}", directory.path().join("s").display());
    let (front, options) = printed(&file, &socket);
    assert!(
        options.ends_with(&["--front-enforces".to_owned(), "internal".to_owned()]),
        "{options:?}"
    );
    let server = serve(&file, &options);
    let redirects =
        "location /open { if ($arg_k != s) { return 403; } rewrite ^ /sub/$arg_c last; }
        location /accel { proxy_pass http://127.0.0.1:{{PORT}}/app; }
        location /app { add_header X-Accel-Redirect /sub/$arg_c; return 204; }
        # Everything else";
    let nginx = Nginx::start(
        &front
            .replace("54321", "{{PORT}}")
            .replace("# Everything else", redirects),
    );
    assert_eq!(
        nginx
            .connect()
            .request("POST", "/pub?id=a", &[], Some(b"hi"))
            .head
            .status,
        200
    );
    let since = [("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")];
    let get = |path: &str| nginx.connect().request("GET", path, &since, None);
    for path in ["/open?c=a&k=s", "/accel?c=a"] {
        let response = get(path);
        assert_eq!(
            (response.head.status, response.text()),
            (200, "hi"),
            "{path}: {response:?}"
        );
    }
    assert_eq!(
        [get("/open?c=a").head.status, get("/sub/a").head.status],
        [403, 404]
    );
    server.stop();
    // Without the option `internal` holds for the front, too.
    let options: Vec<String> = options
        .into_iter()
        .take_while(|option| option != "--front-enforces")
        .collect();
    let server = serve(&file, &options);
    assert_eq!(
        [get("/open?c=a&k=s").head.status, get("/sub/a").head.status],
        [404, 404]
    );
    server.stop();
}
