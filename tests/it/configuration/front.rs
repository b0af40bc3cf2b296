//! nginx in front, as `pushctl check --front` prints it: every mode goes through it.

use std::process::Command;

use crate::support::{
    Connection, Directory, Nginx, Server, Socket, frame, opcode, program, wait_until,
};

/// The push locations of a file, with all kinds of patterns.
const LOCATIONS: &str = r#"
    server_name push.example;
    location /stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    location = /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; push_stream_store_messages on; client_max_body_size 16; }
    location ^~ /sub/ { location ~ "^/sub/(\w{1,9})$" { push_stream_subscriber; push_stream_channels_path $1; push_stream_header_template "begin"; } }
    location ~ ^/ev/(.+)$ { push_stream_subscriber eventsource; push_stream_channels_path $1; }
    location ~* ^/ws/(.+)$ { push_stream_subscriber websocket; push_stream_channels_path $1; push_stream_websocket_allow_publish on; }
    location /lp { push_stream_subscriber long-polling; push_stream_channels_path $arg_id; }
    location /poll { push_stream_subscriber polling; push_stream_channels_path $arg_id; }
    location "/with space/poll" { push_stream_subscriber polling; push_stream_channels_path $arg_id; }
    location /app { proxy_pass http://127.0.0.1:1; }
"#;

#[test]
fn every_mode_works_through_nginx_in_front() {
    let text = format!(
        "events {{}} http {{ push_stream_shared_memory_size 10m;\n\
         server {{ listen 127.0.0.1:{{{{PORT}}}};\n{LOCATIONS} }} }}"
    );
    let server =
        Server::try_with_conf(&text, &["--listen", "127.0.0.1:0"]).expect("the file is served");
    let directory = Directory::new("front");
    // The port is put in when nginx starts; until then it is one that can be found again.
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let output = Command::new(program())
        .arg("check")
        .arg(format!("--front={}", server.address()))
        .arg(file)
        .output();
    let output = output.expect("the program runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let front = String::from_utf8(output.stdout)
        .expect("a text")
        .replace("54321", "{{PORT}}");
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
    let upgrade = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    websocket.send_request("GET", "/WS/ch1", &upgrade, None);
    assert_eq!(
        websocket.read_head().get("Sec-WebSocket-Accept"),
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
    // Cursors and JSONP go through as they are.
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

/// Who may enter stays who may enter: nginx asks, and pushctl sees the clients behind it.
#[test]
fn rules_of_locations_hold_in_front_and_behind() {
    let directory = Directory::new("front-rules");
    let users = directory.write("users", "anna:{PLAIN}secret\n");
    let text = format!(
        r#"events {{}} http {{ push_stream_shared_memory_size 10m; server {{ listen 127.0.0.1:{{{{PORT}}}};
    location /own {{ push_stream_channels_statistics; push_stream_channels_path a; allow 127.0.0.1; deny all; }}
    location /others {{ push_stream_channels_statistics; push_stream_channels_path a; allow 192.0.2.0/24; deny all; }}
    location /secret {{ push_stream_channels_statistics; push_stream_channels_path a;
        satisfy any; deny all; auth_basic "the \"staff\""; auth_basic_user_file {}; }}
    location /get {{ push_stream_publisher admin; push_stream_channels_path a; limit_except GET {{ deny all; }} }} }} }}"#,
        users.display()
    );
    let server = Server::try_with_conf(
        &text,
        &["--listen", "127.0.0.1:0", "--real-ip-from", "127.0.0.1"],
    )
    .expect("the file is served");
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let output = Command::new(program())
        .arg("check")
        .arg(format!("--front={}", server.address()))
        .arg(file)
        .output();
    let output = output.expect("the program runs");
    let front = String::from_utf8(output.stdout).expect("a text");
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
    let nginx = Nginx::start(&front.replace("54321", "{{PORT}}"));
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
        // Whoever reaches pushctl directly is who connects, unless nginx is believed.
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
fn printed(file: &std::path::Path, address: &str) -> (String, Vec<String>) {
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
fn serve(file: &std::path::Path, options: &[String]) -> Server {
    let mut args = vec!["--nginx-conf", file.to_str().expect("UTF-8")];
    args.extend(options.iter().map(String::as_str));
    Server::start(&args)
}

/// Ports of the loopback that were free a moment ago, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners =
        [(); N].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    listeners
        .each_ref()
        .map(|listener| listener.local_addr().expect("bound").port())
}

fn at(port: u16) -> Connection {
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    Connection::new(Socket::Tcp(stream))
}

#[test]
fn servers_that_differ_by_their_port_only_work_through_nginx() {
    let [publisher, subscriber, statistics] = free_ports();
    let text = format!(
        "events {{}} http {{ push_stream_shared_memory_size 32M; push_stream_store_messages on;
        server {{ listen 127.0.0.1:{publisher}; location /pub {{ push_stream_publisher; \
        push_stream_channels_path $arg_id; }} }}
        server {{ listen 127.0.0.1:{subscriber}; location ~ /sub/(.*) {{ push_stream_subscriber \
        long-polling; push_stream_channels_path $1; }} }}
        server {{ listen 127.0.0.1:{statistics}; location /pub {{ push_stream_channels_statistics; \
        push_stream_channels_path $arg_id; }} }} }}"
    );
    let directory = Directory::new("front-ports");
    let file = directory.write("nginx.conf", &text);
    // The printed ports follow each other; some may be taken.
    let (front, server) = (0..20)
        .find_map(|_| {
            let [port] = free_ports();
            let (front, options) = printed(&file, &format!("127.0.0.1:{port}"));
            let are_free =
                (0..3).all(|more| std::net::TcpListener::bind(("127.0.0.1", port + more)).is_ok());
            are_free.then(|| (front, serve(&file, &options)))
        })
        .expect("three free ports in a row");
    assert!(!server.stderr().contains("hides"), "{}", server.stderr());
    let nginx = Nginx::start(&format!(
        "{front} server {{ listen 127.0.0.1:{{{{PORT}}}}; }}"
    ));
    let mut poll = at(subscriber);
    poll.send_request("GET", "/sub/a", &[], None);
    wait_until("the poll waits", || {
        at(statistics)
            .request("GET", "/pub?id=a", &[], None)
            .text()
            .contains("\"subscribers\": 1}")
    });
    let published = at(publisher).request("POST", "/pub?id=a", &[], Some(b"through three ports"));
    assert_eq!(published.head.status, 200, "{published:?}");
    assert_eq!(poll.read_response().text(), "through three ports");
    // What is not at a port is not there.
    assert_eq!(
        at(publisher)
            .request("GET", "/sub/a", &[], None)
            .head
            .status,
        404
    );
    assert_eq!(
        at(statistics)
            .request("POST", "/pub?id=a", &[], Some(b"x"))
            .head
            .status,
        405
    );
    drop(nginx);
    server.stop();
    // One address for all of them hides two, which is reported.
    let server = serve(&file, &["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
    let hidden = |port: u16| {
        server.stderr().contains(&format!(
            "hides a server with push locations (without a name, http://127.0.0.1:{port} "
        ))
    };
    wait_until("the hidden servers are reported", || {
        hidden(subscriber) && hidden(statistics)
    });
    assert!(!hidden(publisher), "{}", server.stderr());
    server.stop();
    let output = Command::new(program())
        .args(["serve", "--nginx-conf"])
        .arg(&file)
        .args(["--listen", "1=127.0.0.1:0"])
        .output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("the configuration does not listen on 1"),
        "{output:?}"
    );
}

#[test]
fn servers_of_one_port_with_names_and_another_port_keep_their_defaults() {
    let [first, second] = free_ports();
    let location = |path: &str| {
        format!("location {path} {{ push_stream_publisher; push_stream_channels_path a; }}")
    };
    let text = format!(
        "events {{}} http {{ push_stream_shared_memory_size 32M;
        server {{ listen 127.0.0.1:{first}; listen 127.0.0.1:{second}; server_name a; {} }}
        server {{ listen 127.0.0.1:{second} default_server; server_name b; {} }} }}",
        location("/a"),
        location("/b")
    );
    let directory = Directory::new("front-names");
    let file = directory.write("nginx.conf", &text);
    let sockets = directory.path().join("s");
    let (front, options) = printed(&file, &format!("unix:{}", sockets.display()));
    let server = serve(&file, &options);
    let nginx = Nginx::start(&format!(
        "{front} server {{ listen 127.0.0.1:{{{{PORT}}}}; }}"
    ));
    let status = |port: u16, host: &str, path: &str| {
        let mut connection = at(port);
        connection.send(format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx"
        ));
        connection.read_response().head.status
    };
    for (port, host, expected) in [
        (first, "a", [200, 404]),
        (first, "other", [200, 404]),
        (second, "a", [200, 404]),
        (second, "other", [404, 200]),
        (second, "b", [404, 200]),
    ] {
        assert_eq!(
            [status(port, host, "/a"), status(port, host, "/b")],
            expected,
            "{port} {host}"
        );
    }
    drop(nginx);
    server.stop();
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
        let answer = get(path);
        assert_eq!(
            (answer.head.status, answer.text()),
            (200, "hi"),
            "{path}: {answer:?}"
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

#[test]
fn directives_that_pushctl_does_not_enforce_stay_in_force_in_front() {
    let text = r#"events {} http { push_stream_shared_memory_size 10m; limit_req_zone $arg_key zone=keys:1m rate=1r/m;
    map $arg_level $refused { default 0; low 1; }
    server { listen 127.0.0.1:{{PORT}}; limit_conn_zone_unknown_to_all x;
    location /pub { push_stream_publisher; push_stream_channels_path $arg_id; limit_req zone=keys burst=1 nodelay; limit_req_status 429;
        valid_referers none a.example; error_page 429 @late; auth_delay 1s; }
    location @late { return 598 "late"; } location /other { return 200 other; } } }"#;
    let text = text.replace("limit_conn_zone_unknown_to_all x;", "");
    let directory = Directory::new("front-guards");
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let report = Command::new(program())
        .arg("check")
        .arg(&file)
        .output()
        .expect("the program runs");
    assert_eq!(
        report.status.code(),
        Some(2),
        "it is refused without a front"
    );
    let (front, options) = printed(
        &file,
        &format!("unix:{}", directory.path().join("s").display()),
    );
    for line in [
        "limit_req_zone $arg_key zone=keys:1m rate=1r/m;",
        "        limit_req zone=keys burst=1 nodelay;",
        "        limit_req_status 429;",
        "        valid_referers none a.example;",
        "        auth_delay 1s;",
        "    location @late {",
    ] {
        assert!(front.lines().any(|known| known == line), "{line}\n{front}");
    }
    assert!(
        !front.contains("/other") && !front.contains("$refused"),
        "{front}"
    );
    assert_eq!(
        options.last().map(String::as_str),
        Some("limit_req,valid_referers,auth_delay")
    );
    let server = serve(&file, &options);
    let nginx = Nginx::start(&front.replace("54321", "{{PORT}}"));
    let publish = |key: &str| {
        nginx
            .connect()
            .request("POST", &format!("/pub?id=a&key={key}"), &[], Some(b"hi"))
    };
    assert_eq!(
        [publish("one"), publish("one"), publish("two")].map(|answer| answer.head.status),
        [200; 3]
    );
    let late = publish("one");
    assert_eq!((late.head.status, late.text()), (429, "late"), "{late:?}");
    server.stop();
}

#[test]
fn what_the_front_keeps_is_copied_with_what_it_refers_to() {
    let text = r#"events {} http { push_stream_shared_memory_size 10m; lua_shared_dict seen 1m; init_by_lua_block { seen = { "}" } }
    ssl_protocols TLSv1.3; proxy_set_header X-From front; deny 10.0.0.1;
    map $arg_near $who { 1 "in side"; } upstream users { server 127.0.0.1:1; keepalive 2; } upstream unused { server 127.0.0.1:2; }
    server { listen 443 ssl http2 default_server; listen [::]:443 ssl; server_name a.example; ssl_certificate a.pem; ssl_certificate_key a.key;
    ssl_verify_client on; ssl_client_certificate ca.pem; set $kind $arg_kind;
    location = /check { internal; proxy_pass http://users/check; proxy_pass_request_body off; }
    location /pub { push_stream_publisher; push_stream_channels_path $arg_id; auth_pam "Se cure"; auth_pam_service_name nginx;
        access_by_lua_block { if ngx.location.capture("/check").status ~= 200 then return ngx.exit(403) end }
        more_set_headers "X-Kind: $kind $who"; proxy_read_timeout 3s; }
    location / { auth_digest all; location /in { push_stream_subscriber; push_stream_channels_path a; if ($arg_k) { limit_rate 1k; } } }
    location /out { proxy_pass http://unused; } } }"#;
    let directory = Directory::new("front-copies");
    let (front, options) = printed(&directory.write("nginx.conf", text), "127.0.0.1:9080");
    for lines in [
        "lua_shared_dict seen 1m;\ninit_by_lua_block { seen = { \"}\" } }\n",
        "map $arg_near $who {\n    1 \"in side\";\n}\n",
        "upstream users {\n    server 127.0.0.1:1;\n    keepalive 2;\n}\n",
        "    listen 443 ssl http2 default_server;\n    listen \"[::]:443\" ssl;\n    server_name \
         a.example;\n",
        "    ssl_protocols TLSv1.3;\n",
        "    deny 10.0.0.1;\n",
        "    set $kind $arg_kind;\n",
        "    ssl_verify_client on;\n    ssl_client_certificate ca.pem;\n",
        "        auth_pam \"Se cure\";\n        auth_pam_service_name nginx;\n        \
         access_by_lua_block { if ngx.location.capture(\"/check\").status ~= 200 then return \
         ngx.exit(403) end }\n        more_set_headers \"X-Kind: $kind $who\";\n    }\n",
        "    location / {\n        auth_digest all;\n\n        location /in {\n            \
         proxy_pass http://pushctl;\n",
        "    location = /check {\n        internal;\n        proxy_pass \
         http://users/check;\n        proxy_pass_request_body off;\n        proxy_set_header \
         X-From front;\n    }\n",
    ] {
        assert!(front.contains(lines), "{lines}\nis not in\n{front}");
    }
    assert!(
        !front.contains("unused") && !front.contains("proxy_read_timeout 3s"),
        "{front}"
    );
    let guards = options.last().expect("options");
    let expected = [
        "access_by_lua_block",
        "auth_digest",
        "auth_pam",
        "ssl_verify_client",
    ];
    let mut guards: Vec<&str> = guards.split(',').collect();
    guards.sort_unstable();
    assert_eq!(guards, expected);
}

#[test]
fn conditions_on_variables_that_pushctl_does_not_know_decide_in_front() {
    let push = "push_stream_publisher; push_stream_channels_path $arg_id;";
    let text = format!(
        r#"events {{}} http {{ push_stream_shared_memory_size 10m; geo $arg_from $near {{ default 0; 10.0.0.0/8 1; }}
    map $near $far {{ 0 1; default 0; }}
    server {{ listen 127.0.0.1:{{{{PORT}}}};
    location /near {{ if ($near != 1) {{ return 403; }} {push} }}
    location /far {{ if ($far) {{ return 402; }} {push} }}
    location /set {{ set $one $near; if ($arg_id) {{ set $two x$one; }} if ($two != x1) {{ return 401; }} {push} }}
    location /deny {{ if ($near = 0) {{ set $deny 1; }} if ($deny) {{ return 409; }} {push} }}
    location /part {{ if ($near ~ (?<part>.*)) {{ set $copy $part; }} if ($copy != 1) {{ return 410; }} {push} }}
    location /any {{ {push} }} }} }}"#
    );
    let directory = Directory::new("front-variables");
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let report = Command::new(program())
        .arg("check")
        .arg(&file)
        .output()
        .expect("the program runs");
    assert_eq!(report.status.code(), Some(2));
    let report = String::from_utf8(report.stdout).expect("a text");
    for (line, variable) in [(4, "near"), (5, "far"), (6, "two")] {
        let expected = format!(
            "nginx.conf:{line}: variable \"${variable}\" is used by a rule of a push location"
        );
        assert!(report.contains(&expected), "{expected}\n{report}");
    }
    let (front, options) = printed(
        &file,
        &format!("unix:{}", directory.path().join("s").display()),
    );
    let server = serve(&file, &options);
    let nginx = Nginx::start(&front.replace("54321", "{{PORT}}"));
    let status = |path: &str, from: &str| {
        nginx
            .connect()
            .request(
                "POST",
                &format!("{path}?id=a&from={from}"),
                &[],
                Some(b"hi"),
            )
            .head
            .status
    };
    for (path, from, expected) in [
        ("/near", "10.0.0.1", 200),
        ("/near", "192.0.2.1", 403),
        ("/far", "10.0.0.1", 200),
        ("/far", "192.0.2.1", 402),
        ("/set", "10.0.0.1", 200),
        ("/set", "192.0.2.1", 401),
        ("/deny", "10.0.0.1", 200),
        ("/deny", "192.0.2.1", 409),
        ("/part", "10.0.0.1", 200),
        ("/part", "192.0.2.1", 410),
        ("/any", "", 200),
    ] {
        assert_eq!(status(path, from), expected, "{path} {from}");
    }
    server.stop();
}
