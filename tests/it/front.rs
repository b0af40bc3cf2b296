//! nginx in front, as `pushctl check --front` prints it: every mode goes through it.

use std::process::Command;

use super::support::{Directory, Nginx, Server, frame, opcode, program, wait_until};

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
    let text =
        format!("events {{}} http {{ push_stream_shared_memory_size 10m;\nserver {{ listen 127.0.0.1:{{{{PORT}}}};\n{LOCATIONS} }} }}");
    let server = Server::try_with_conf(&text, &["--listen", "127.0.0.1:0"]).expect("the file is served");
    let directory = Directory::new("front");
    // The port is put in when nginx starts; until then it is one that can be found again.
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let output = Command::new(program()).arg("check").arg(format!("--front={}", server.address())).arg(file).output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let front = String::from_utf8(output.stdout).expect("a text").replace("54321", "{{PORT}}");
    assert!(!front.contains("/app") && front.contains("server_name push.example;"), "{front}");
    let nginx = Nginx::start(&front);
    let get = |path: &str| nginx.connect().request("GET", path, &[], None);
    let subscribed = |count: u64| {
        let stats = get("/stats?id=ch1");
        stats.head.status == 200 && stats.text().contains(&format!("\"subscribers\": {count}}}"))
    };
    let follow = |path: &str| {
        let mut connection = nginx.connect();
        connection.send_request("GET", path, &[], None);
        connection
    };
    let (mut stream, mut events, mut poll) = (follow("/sub/ch1"), follow("/ev/ch1"), follow("/lp?id=ch1"));
    assert_eq!((stream.read_head().status, events.read_head().status), (200, 200));
    assert_eq!(stream.read_until(b"begin"), b"begin");
    let mut websocket = nginx.connect();
    let upgrade = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    websocket.send_request("GET", "/WS/ch1", &upgrade, None);
    assert_eq!(websocket.read_head().get("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    wait_until("four follow through nginx", || subscribed(4));
    let published = nginx.connect().request("POST", "/pub?id=ch1", &[], Some(b"one"));
    assert_eq!(published.head.status, 200, "{published:?}");
    assert_eq!(stream.read_until(b"one"), b"one");
    assert!(events.read_until(b"\n\n").ends_with(b"data: one\n\n"));
    assert_eq!(poll.read_response().text(), "one");
    assert_eq!(websocket.read_frame().payload, b"one");
    assert_eq!(
        nginx.connect().request("GET", "/poll?id=ch1", &[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")], None).text(),
        "one"
    );
    assert_eq!(get("/with%20space/poll?id=ch1").head.status, 304);
    // Cursors and JSONP go through as they are.
    let since = [("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")];
    let call = nginx.connect().request("GET", "/lp?id=ch1&callback=show", &since, None);
    assert_eq!((call.text(), call.head.get("Content-Type")), ("show([one]);", Some("application/javascript")));
    let [time, tag] = call.head.cursor();
    let nothing = nginx.connect().request("GET", "/poll?id=ch1", &[time, tag], None);
    assert_eq!((nothing.head.status, nothing.head.get("Etag")), (304, Some(tag.1)));
    // Nothing is held back in the other direction, either.
    websocket.send(frame(opcode::TEXT, b"two"));
    assert_eq!((stream.read_until(b"two"), events.read_until(b"\n\n")), (b"two".to_vec(), b"data: two\n\n".to_vec()));
    assert_eq!(nginx.connect().request("POST", "/pub?id=ch1", &[], Some(&[b'x'; 17])).head.status, 413);
    assert_eq!(nginx.connect().request("DELETE", "/pub?id=ch1", &[], None).head.status, 200);
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
    let server = Server::try_with_conf(&text, &["--listen", "127.0.0.1:0", "--real-ip-from", "127.0.0.1"]).expect("the file is served");
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let output = Command::new(program()).arg("check").arg(format!("--front={}", server.address())).arg(file).output();
    let output = output.expect("the program runs");
    let front = String::from_utf8(output.stdout).expect("a text");
    let has = |lines: &[&str]| {
        let lines = lines.join("\n");
        assert!(front.contains(&lines), "{lines}\nshould be in\n{front}");
    };
    assert!(front.contains(&format!("--listen {} --real-ip-from 127.0.0.1\n", server.address())), "{front}");
    has(&["        allow 127.0.0.1;", "        deny all;"]);
    has(&["        allow 192.0.2.0/24;", "        deny all;"]);
    let password = ["        satisfy any;", "        deny all;", r#"        auth_basic "the \"staff\"";"#];
    has(&[&password[..], &[&format!("        auth_basic_user_file {};", users.display())]].concat());
    has(&["        limit_except GET {", "            deny all;", "        }"]);
    let nginx = Nginx::start(&front.replace("54321", "{{PORT}}"));
    let status = |server: &mut super::support::Connection, method: &str, path: &str, headers: &[(&str, &str)]| {
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
        assert_eq!(status(&mut nginx.connect(), method, path, headers), expected, "{method} {path} through nginx");
        // Whoever reaches pushctl directly is who connects, unless nginx is believed.
        assert_eq!(status(&mut server.connect(), method, path, headers), expected, "{method} {path}");
    }
    // pushctl sees the clients of nginx: the same rules hold there.
    let behind = |client: &str, path: &str| server.connect().request("GET", path, &[("X-Real-IP", client)], None).head.status;
    assert_eq!([behind("192.0.2.7", "/others"), behind("192.0.2.7", "/own"), behind("203.0.113.9", "/others")], [404, 403, 403]);
    server.stop();
}
