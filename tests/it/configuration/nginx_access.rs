//! What stands around the push endpoints (`return`, `map`, access, files, added headers, logs),
//! compared with Debian's nginx: the same file, the same requests, the same answers.

use crate::support::{Connection, Directory, Nginx, Response, Server, conf, wait_until};

/// Method, target and headers of a request.
pub(crate) type Asked<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// Headers that every server has its own of.
const OWN: [&str; 2] = ["server", "date"];

/// What can be compared of an answer: status line, headers in the order of their names, body.
pub(crate) fn comparable(response: &Response, port: &str) -> String {
    let line = response.head.raw.split("\r\n").next().unwrap_or_default();
    let mut headers: Vec<String> = response
        .head
        .headers
        .iter()
        .filter(|(name, _)| !OWN.contains(&name.to_ascii_lowercase().as_str()))
        .map(|(name, value)| format!("{name}: {}", value.replace(port, "PORT")))
        .collect();
    headers.sort();
    let body = String::from_utf8_lossy(&response.body)
        .replace("nginx/1.22.1", "SERVER")
        .replace("pushctl v0.1", "SERVER");
    format!("{line}\n{}\n\n{body}", headers.join("\n"))
}

/// Sends a request; a HEAD's answer has no body.
fn answer(connection: &mut Connection, (method, target, headers): Asked<'_>) -> Response {
    let body = matches!(method, "POST" | "PUT").then_some(&b"x"[..]);
    connection.send_request(method, target, headers, body);
    if method == "HEAD" {
        Response {
            head: connection.read_head(),
            body: Vec::new(),
        }
    } else {
        connection.read_response()
    }
}

/// Asks both servers, each request on a connection of its own.
pub(crate) fn compare(http: &str, requests: &[Asked<'_>]) {
    compare_with(http, "", requests);
}

/// As [`compare`], with a further location in the last server of pushctl's file.
pub(crate) fn compare_with(http: &str, location: &str, requests: &[Asked<'_>]) {
    let nginx = Nginx::start(http);
    let (first, last) = http.rsplit_once('}').expect("a server");
    let server = Server::with_conf(&format!(
        "events {{}}\nhttp {{\n{first}\n{location}}}{last}\n}}\n"
    ));
    let port = server
        .address()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    for request in requests {
        let theirs = comparable(
            &answer(&mut nginx.connect(), *request),
            &nginx.port().to_string(),
        );
        let ours = comparable(&answer(&mut server.connect(), *request), &port);
        assert_eq!(ours, theirs, "{request:?}");
    }
    server.stop();
}

#[test]
fn returns_and_variables_are_those_of_nginx() {
    let http = r#"
        map $arg_m $mapped { default d; "A b" space; one 1; ~^x(?<rest>.*)$ "x-$rest"; ~*^Y(.) "y-$1"; \~t tilde; zero ""; }
        map $http_host $site { hostnames; default none; .a.example sub; *.b.example b; c.* c; }
        map $mapped $twice { 1 uno; default "<$mapped>"; }
        server {
            listen 127.0.0.1:{{PORT}}; server_name first.example other; default_type text/x-test; types { text/html html; }
            add_header X-Good "g$arg_a"; add_header X-Any a always; add_header X-Empty $arg_none;
            set $outer "o$arg_a"; if ($arg_server = stop) { return 410 "server $outer"; }
            location /r200 { return 200; } location /r204 { return 204; } location /r301 { return 301 /x?y; }
            location /url { return https://e.example/$arg_a; } location /text { return 200 "hi $arg_a\n"; }
            location /t.html { return 403 "no"; } location /r404 { return 404; } location /r418 { return 418; }
            location /r500 { return 500; } location /r401 { return 401; } location /r429 { return 429; } location /empty { return 200 ""; }
            location /r302 { return 302 http://x/; } location /r307 { return 307 /a; } location /r303 { return 303 /a; }
            location /map { return 200 "$mapped|$twice|$site"; }
            location /vars { return 200 "$request_method|$uri|$document_uri|$request_uri|$args|$query_string|$is_args|$arg_A|$host|$server_name|$scheme|$remote_addr|$server_addr|$server_protocol|$request|$http_x_y|$cookie_c|$content_type|$content_length|$remote_user|$https"; }
            location /set { set $x 1; set $x "$x$outer"; if ($arg_b ~ "^v(.)(?<named>.)") { set $x "$1-$named-$x"; } if ($arg_c) { return 202 "c $x"; } return 200 $x; }
            location ~ ^/re/(\w+)/(?<tail>.*)$ { set $one $1; if ($arg_d ~ z) { return 201 "$one $tail"; } return 200 "$1 $tail"; }
            location /own { add_header X-Own o; return 200 own; }
            location /break { set $y 1; break; return 404; }
        }"#;
    let x: &[(&str, &str)] = &[];
    let mut requests: Vec<Asked<'_>> = Vec::new();
    for target in [
        "/r200",
        "/r204",
        "/r301",
        "/url?a=1",
        "/text?a=b",
        "/t.html",
        "/r404",
        "/r418",
        "/r500",
        "/r401",
        "/r429",
        "/empty",
        "/r302",
        "/r307",
        "/r303",
        "/map",
        "/map?m=a%20b",
        "/map?m=ONE",
        "/map?m=xyz",
        "/map?m=yz",
        "/map?m=Yz",
        "/map?m=~t",
        "/map?m=zero",
        "/vars?a=1&B=2",
        "/vars//%61/../b",
        "/set?a=1",
        "/set?b=vwz",
        "/set?c=1&b=vab",
        "/set?c=0",
        "/re/a/b/c",
        "/re/a/b?d=z",
        "/own",
        "/own?server=stop&a=5",
        "/map?server=stop",
    ] {
        requests.push(("GET", target, x));
    }
    requests.extend([
        ("HEAD", "/text?a=b", x),
        ("POST", "/text?a=b", x),
        ("POST", "/r404", x),
        (
            "GET",
            "/vars",
            &[
                ("X-Y", "y"),
                ("Cookie", "a=b; C=d"),
                ("Content-Type", "t/t"),
                ("Authorization", "Basic dTpw"),
            ],
        ),
    ]);
    compare(http, &requests);
}

#[test]
fn hostnames_in_a_map_are_those_of_nginx() {
    let http = "map $arg_h $site { hostnames; default none; .a.example sub; *.b.example b; c.* c; \
                www.b.example exact; }
        server { listen 127.0.0.1:{{PORT}}; location / { default_type text/plain; return 200 \
        $site; } }";
    let targets = [
        "a.example",
        "x.a.example",
        "x.b.example",
        "b.example",
        "c.d",
        "c",
        "www.b.example",
        "WWW.B.EXAMPLE.",
        "",
        "y.x.b.example",
        ".a.example",
        ".b.example",
        ".b.example.",
        "b.example.",
        "c.",
        "c..",
        ".",
    ];
    let targets = targets.map(|host| format!("/?h={host}"));
    let requests: Vec<Asked<'_>> = targets
        .iter()
        .map(|target| ("GET", target.as_str(), &[][..]))
        .collect();
    compare(http, &requests);
}

#[test]
fn access_is_that_of_nginx() {
    let users = Directory::new("users");
    // The passwords are "secret": apr1, {SHA}, SHA-512 crypt, plain.
    let file = users.write(
        "htpasswd",
        "# comment\nann:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n\
         ben:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=:x\n\
         cid:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.\
         Pq.H91p5hVO1\ndan:{PLAIN}secret\n",
    );
    let file = file.display();
    let http = format!(
        r#"server {{ listen 127.0.0.1:{{{{PORT}}}}; default_type text/plain; root {0}; add_header X-Any a always;
            location /all {{ deny all; }} location /net {{ allow 127.0.0.0/8; deny all; }} location /not {{ deny 127.0.0.1; allow all; }}
            location /pass {{ auth_basic "A $arg_r"; auth_basic_user_file {file}; }}
            location /both {{ deny all; auth_basic B; auth_basic_user_file {file}; }}
            location /any {{ satisfy any; deny all; auth_basic B; auth_basic_user_file {file}; }}
            location /in {{ satisfy any; allow 127.0.0.1; deny all; auth_basic B; auth_basic_user_file {file}; }}
            location /off {{ auth_basic off; auth_basic_user_file {file}; }}
            location /none {{ auth_basic B; auth_basic_user_file {file}.none; }}
            location /internal {{ internal; }}
        }}"#,
        users.path().display()
    );
    let basic = [
        "Basic YW5uOnNlY3JldA==",
        "Basic YmVuOnNlY3JldA==",
        "Basic Y2lkOnNlY3JldA==",
        "Basic ZGFuOnNlY3JldA==",
    ];
    let wrong = [
        "Basic YW5uOnNlY3JldHQ=",
        "Basic bm9ib2R5OnNlY3JldA==",
        "Basic !!!",
        "Bearer x",
        "Basic YW5uOg==",
    ];
    let mut headers: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    headers.extend(
        basic
            .iter()
            .chain(&wrong)
            .map(|value| vec![("Authorization", *value)]),
    );
    let mut requests: Vec<Asked<'_>> = Vec::new();
    for target in [
        "/all",
        "/net",
        "/not",
        "/both",
        "/any",
        "/in",
        "/off",
        "/none",
        "/internal",
    ] {
        requests.extend(
            headers[..2]
                .iter()
                .map(|headers| ("GET", target, headers.as_slice())),
        );
    }
    requests.extend(
        headers
            .iter()
            .map(|headers| ("GET", "/pass?r=x", headers.as_slice())),
    );
    compare(&http, &requests);
}

#[test]
fn a_push_location_with_a_password_needs_it_in_every_mode() {
    let users = Directory::new("users");
    let file = users.write(
        "htpasswd",
        "ann:$2b$04$abcdefghijklmnopqrstuuzwwq.in3OYL4.pkB6TmFlI5pl.3mvQ.\n",
    );
    let location = |path: &str, kind: &str| {
        format!("location {path} {{ {kind}; push_stream_channels_path c; }}\n")
    };
    let locations = [
        format!(
            "auth_basic Push; auth_basic_user_file {}; add_header X-Added \"<$arg_a>\"; add_header \
             X-Always y always;",
            file.display()
        ),
        location(
            "/pub",
            "push_stream_publisher; push_stream_store_messages on",
        ),
        location("/sub", "push_stream_subscriber"),
        location("/ev", "push_stream_subscriber eventsource"),
        location("/lp", "push_stream_subscriber long-polling"),
        location("/poll", "push_stream_subscriber polling"),
        location("/ws", "push_stream_subscriber websocket"),
        location("/stats", "push_stream_channels_statistics"),
    ];
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 10m;",
        &locations.concat(),
    ));
    // "secret password"
    let authorization = ("Authorization", "Basic YW5uOnNlY3JldCBwYXNzd29yZA==");
    for path in ["/pub", "/sub", "/ev", "/lp", "/poll", "/ws", "/stats"] {
        for headers in [&[][..], &[("Authorization", "Basic YW5uOnNlY3JldA==")]] {
            let refused = server.connect().request("GET", path, headers, None);
            assert_eq!(
                (refused.head.status, refused.head.get("WWW-Authenticate")),
                (401, Some("Basic realm=\"Push\"")),
                "{path}"
            );
            assert_eq!(
                (refused.head.get("X-Added"), refused.head.get("X-Always")),
                (None, Some("y")),
                "{path}"
            );
        }
    }
    let mut poll = server.connect();
    poll.send_request("GET", "/lp?a=1", &[authorization], None);
    wait_until("the long-poll waits", || {
        let stats = server
            .connect()
            .request("GET", "/stats", &[authorization], None);
        stats.text().contains("\"subscribers\": 1")
    });
    let published = server
        .connect()
        .request("POST", "/pub?a=2", &[authorization], Some(b"hi"));
    let polled = poll.read_response();
    assert_eq!(
        (
            polled.text(),
            published.head.get("X-Added"),
            polled.head.get("X-Added")
        ),
        ("hi", Some("<2>"), Some("<1>"))
    );
    for (path, added) in [
        ("/sub?a=3", "<3>"),
        ("/ev?a=4", "<4>"),
        ("/poll?a=5", "<5>"),
        ("/lp?a=6", "<6>"),
    ] {
        let mut follower = server.connect();
        follower.send_request(
            "GET",
            path,
            &[
                authorization,
                ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ],
            None,
        );
        let head = follower.read_head();
        assert_eq!(
            (head.status, head.get("X-Added"), head.get("X-Always")),
            (200, Some(added), Some("y")),
            "{path}"
        );
    }
    server.stop();
}

#[test]
fn files_are_served_as_by_nginx() {
    let directory = Directory::new("files");
    for (name, text) in [
        ("index.html", "home"),
        ("a.txt", "0123456789"),
        ("sp ace.txt", "space"),
        ("sub.html", "not here"),
        ("noext", "plain"),
    ] {
        directory.write(name, text);
    }
    for folder in ["sub", "deep", "empty"] {
        std::fs::create_dir(directory.path().join(folder)).expect("a folder");
    }
    directory.write("sub/index.htm", "second index");
    directory.write("deep/x.php", "<?php secret");
    directory.write("deep/index.php", "<?php secret index");
    std::os::unix::fs::symlink("a.txt", directory.path().join("link.txt")).expect("a link");
    let a = std::fs::File::options()
        .write(true)
        .open(directory.path().join("a.txt"))
        .expect("a file");
    a.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_767_323_045))
        .expect("a time");
    let http = format!(
        "server {{ listen 127.0.0.1:{{{{PORT}}}}; root {0}; index index.html index.htm; types {{ \
         text/html html htm; text/plain txt; }}
            default_type text/x-default; add_header X-A a;
            location /alias/ {{ alias {0}/sub/; }} location = /one {{ alias {0}/a.txt; }} location \
            ~ ^/re/(.*)$ {{ alias {0}/$1; }}
            location ~ \\.htm$ {{ add_header X-Index i; }} location /forbidden {{ deny all; }} }}",
        directory.path().display()
    );
    let x: &[(&str, &str)] = &[];
    let mut requests: Vec<Asked<'_>> = Vec::new();
    for target in [
        "/",
        "/a.txt",
        "/noext",
        "/sp%20ace.txt",
        "/link.txt",
        "/sub",
        "/sub?q=1",
        "/sub/",
        "/empty",
        "/empty/",
        "/nothing",
        "/nothing/",
        "/a.txt/",
        "/alias/index.htm",
        "/alias/",
        "/one",
        "/re/a.txt",
        "/../etc/passwd",
        "/sub/../a.txt",
        "/sub/%2e%2e/a.txt",
        "/index.html",
        "/%2e%2e/%2e%2e/etc/passwd",
    ] {
        requests.push(("GET", target, x));
    }
    requests.extend([
        ("HEAD", "/a.txt", x),
        ("POST", "/a.txt", x),
        ("PUT", "/a.txt", x),
        ("DELETE", "/", x),
        ("POST", "/sub/", x),
    ]);
    let tag = "\"695735a5-a\"";
    let conditions: &[&[(&str, &str)]] = &[
        &[("Range", "bytes=2-4")],
        &[("Range", "bytes=-3")],
        &[("Range", "bytes=7-")],
        &[("Range", "bytes=7-100")],
        &[("Range", "lines=1-2")],
        &[("If-Modified-Since", "Fri, 02 Jan 2026 03:04:05 GMT")],
        &[("If-Modified-Since", "Fri, 02 Jan 2027 03:04:05 GMT")],
        &[("If-None-Match", tag)],
        &[("If-None-Match", "\"other\", W/\"695735a5-a\"")],
        &[("If-None-Match", "\"other\"")],
        &[
            ("If-None-Match", tag),
            ("If-Modified-Since", "Fri, 02 Jan 2027 03:04:05 GMT"),
        ],
        &[("If-Match", "\"x\"")],
        &[("If-Match", tag)],
        &[("If-Unmodified-Since", "Fri, 02 Jan 2025 03:04:05 GMT")],
        &[("If-Range", tag), ("Range", "bytes=0-1")],
        &[("If-Range", "\"x\""), ("Range", "bytes=0-1")],
    ];
    requests.extend(conditions.iter().map(|headers| ("GET", "/a.txt", *headers)));
    compare(&http, &requests);
}

#[test]
fn what_another_server_would_run_is_not_shown() {
    let directory = Directory::new("scripts");
    directory.write("x.php", "<?php secret");
    directory.write("index.php", "<?php secret index");
    directory.write("page.txt", "page");
    let server = Server::with_conf(&conf(
        "",
        &format!(
            "root {}; index index.php;\nlocation ~ \\.php$ {{ fastcgi_pass 127.0.0.1:1; }}\n\
             location /guarded {{ auth_request /x; }}\n\
             location /app {{ proxy_pass http://127.0.0.1:1; }}",
            directory.path().display()
        ),
    ));
    for (target, status) in [
        ("/x.php", 404),
        ("/", 404),
        ("/page.txt", 200),
        ("/guarded/../x.php", 404),
        ("/app/../page.txt", 200),
    ] {
        let response = server.get(target);
        assert_eq!(response.head.status, status, "{target}: {response:?}");
        assert!(!response.text().contains("secret"), "{target}");
    }
    server.stop();
}

#[test]
fn a_large_file_comes_whole_and_the_connection_goes_on() {
    const SIZE: usize = 3_000_000;
    let directory = Directory::new("large");
    let text: String = (0..SIZE)
        .map(|at| char::from(b'a' + u8::try_from(at % 23).expect("small")))
        .collect();
    directory.write("large", &text);
    let server = Server::with_conf(&conf("", &format!("root {};", directory.path().display())));
    let mut connection = server.connect();
    for _ in 0..2 {
        let response = connection.request("GET", "/large", &[], None);
        assert!(
            response.body == text.as_bytes(),
            "{} bytes",
            response.body.len()
        );
    }
    assert_eq!(
        connection
            .request("GET", "/large", &[("Range", "bytes=2999998-")], None)
            .body,
        &text.as_bytes()[SIZE - 2..]
    );
    server.stop();
}

#[test]
fn requests_are_logged_once_and_logs_are_opened_anew() {
    let directory = Directory::new("logs");
    let log = directory.path().join("access.log");
    let http = format!(
        "push_stream_shared_memory_size 10m;\n\
         log_format f '$request_method $uri $status $body_bytes_sent \"$http_x\" $arg_a';\n\
         log_format j escape=json '{{\"x\":\"$http_x\"}}'; access_log {0} f; access_log {0}.json j \
         if=$arg_json;",
        log.display()
    );
    let locations =
        "location /text { return 200 hello; } location /quiet { access_log off; return 200 x; }
        location /pub { push_stream_publisher; push_stream_channels_path c; }
        location /sub { push_stream_subscriber; push_stream_channels_path c; }";
    let server = Server::with_conf(&conf(&http, locations));
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    server
        .connect()
        .request("GET", "/text?a=1&json=1", &[("X", "a\"b\\c\u{e9}")], None);
    server.get("/quiet");
    server.get("/none");
    server.connect().request("POST", "/pub", &[], Some(b"hi"));
    wait_until("three lines are written", || read().lines().count() == 3);
    let published = "{\"channel\": \"c\", \"published_messages\": 1, \"stored_messages\": 0, \
                     \"subscribers\": 0}\r\n"
        .len();
    let first = "GET /text 200 5 \"a\\x22b\\x5Cc\\xC3\\xA9\" 1\nGET /none 404 153 \"-\" -\n";
    assert_eq!(
        read(),
        format!("{first}POST /pub 200 {published} \"-\" -\n")
    );
    let moved = directory.path().join("moved");
    std::fs::rename(&log, &moved).expect("the log can be moved");
    server.signal(rustix::process::Signal::USR1);
    wait_until("the signal is seen", || {
        server.stderr().contains("reopened the access logs")
    });
    drop(server.follow("/sub", &[]));
    wait_until("the subscription is logged at its end", || {
        read() == "GET /sub 499 0 \"-\" -\n"
    });
    let json =
        std::fs::read_to_string(directory.path().join("access.log.json")).expect("the second log");
    assert_eq!(json, "{\"x\":\"a\\\"b\\\\c\u{e9}\"}\n");
    assert_eq!(
        std::fs::read_to_string(moved)
            .expect("the first log")
            .lines()
            .count(),
        3
    );
    server.stop();
}
