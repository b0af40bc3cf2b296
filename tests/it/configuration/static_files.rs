//! Static files and access logs, compared with Debian's nginx.

use crate::support::{ComparedRequest, Directory, Server, compare, conf, wait_until};

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
    let mut requests: Vec<ComparedRequest<'_>> = Vec::new();
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
fn scripts_of_other_handlers_are_not_served() {
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
fn a_large_file_is_complete_and_the_connection_is_kept() {
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
fn requests_are_logged_once_and_logs_are_reopened() {
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
