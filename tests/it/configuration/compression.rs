//! Compressed responses (`gzip`): files and pages as Debian's nginx sends them, and all responses
//! of push locations.

use std::io::Read;

use flate2::read::GzDecoder;
use flate2::{Decompress, FlushDecompress};

use crate::support::{Connection, Directory, Nginx, Response, SERVER_ON_PAGES, Server, conf};

/// End of every block of a stream.
const BLOCK_END: &[u8] = &[0, 0, 0xff, 0xff];
const GZIP: (&str, &str) = ("Accept-Encoding", "gzip, deflate, br");

fn unzipped(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = GzDecoder::new(body);
    decoder
        .read_to_end(&mut plain)
        .expect("a complete member with the right checksum");
    assert!(
        decoder.into_inner().is_empty(),
        "nothing follows the member"
    );
    plain
}

/// A stream in gzip.
struct Zipped {
    connection: Connection,
    unzip: Decompress,
    raw: Vec<u8>,
}

impl Zipped {
    fn follow(server: &Server, path: &str) -> Self {
        let mut connection = server.connect();
        connection.send_request("GET", path, &[GZIP], None);
        let head = connection.read_head();
        assert_eq!(
            (head.status, head.get("Content-Encoding")),
            (200, Some("gzip")),
            "{head:?}"
        );
        Self {
            connection,
            unzip: Decompress::new_gzip(15),
            raw: Vec::new(),
        }
    }

    /// The text of the next block.
    fn next(&mut self) -> String {
        let block = self.connection.read_until(BLOCK_END);
        self.raw.extend_from_slice(&block);
        let mut plain = Vec::with_capacity(256 * 1024);
        self.unzip
            .decompress_vec(&block, &mut plain, FlushDecompress::Sync)
            .expect("a block");
        String::from_utf8(plain).expect("UTF-8")
    }

    /// The text of the whole stream, which must be complete.
    fn whole(mut self) -> String {
        self.raw.extend_from_slice(&self.connection.read_body());
        String::from_utf8(unzipped(&self.raw)).expect("UTF-8")
    }
}

const LOCATIONS: &str = r#"
    location /channels-stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; }
    location ~ ^/sub/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
        push_stream_header_template "H|"; push_stream_footer_template "|F";
        push_stream_message_template "<~text~>"; }
    location ~ ^/bare/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
        push_stream_ping_message_interval 300ms; push_stream_message_template "<~id~>"; }
    location ~ ^/ev/(.*)$ { push_stream_subscriber eventsource; push_stream_channels_path $1; }
    location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1; }
    location ~ ^/poll/(.*)$ { push_stream_subscriber polling; push_stream_channels_path $1; }
    location ~ ^/ws/(.*)$ { push_stream_subscriber websocket; push_stream_channels_path $1; }"#;

fn server(gzip: &str) -> Server {
    Server::with_conf(&conf(
        &format!("push_stream_shared_memory_size 10m; {gzip}"),
        LOCATIONS,
    ))
}

#[test]
fn streams_share_blocks_and_end_with_the_right_checksum() {
    let server = server("gzip on; gzip_types text/plain text/event-stream;");
    let mut early = Zipped::follow(&server, "/sub/a/b");
    assert_eq!(early.next(), "H|");
    server.publish("a", "one");
    server.publish("b", "x".repeat(100_000));
    assert_eq!(early.next(), "<one>");
    assert_eq!(early.next().len(), 100_002);
    let mut late = Zipped::follow(&server, "/sub/b.b1");
    assert_eq!((late.next().as_str(), late.next().len()), ("H|", 100_002));
    let mut events = Zipped::follow(&server, "/ev/b");
    assert_eq!(events.next(), ": \n");
    server.publish("b", "two");
    assert_eq!(
        (
            early.next().as_str(),
            late.next().as_str(),
            events.next().as_str()
        ),
        ("<two>", "<two>", "data: two\n\n")
    );
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=b", &[], Some(b""))
            .head
            .status,
        200
    );
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=a", &[], Some(b""))
            .head
            .status,
        200
    );
    let big = "x".repeat(100_000);
    assert_eq!(late.whole(), format!("H|<{big}><two><Channel deleted>|F"));
    assert_eq!(
        early.whole(),
        format!("H|<one><{big}><two><Channel deleted><Channel deleted>|F")
    );
    assert!(events.whole().starts_with(": \ndata: two\n\n"));
    server.stop();
}

#[test]
fn a_stream_without_header_template_begins_and_is_pinged() {
    let server = server("gzip on; gzip_types text/plain;");
    let mut follower = Zipped::follow(&server, "/bare/a");
    assert_eq!(
        (follower.next().as_str(), follower.next().as_str()),
        ("<-1>", "<-1>")
    );
    server.publish("a", "x");
    while follower.next() != "<1>" {}
    server.terminate();
    let text = follower.whole();
    assert!(
        text.starts_with("<-1><-1>") && text.contains("<1>"),
        "{text}"
    );
    server.stop();
}

#[test]
fn polls_and_statistics_are_compressed_and_types_decide() {
    let server = server("gzip on; gzip_types text/plain; gzip_min_length 0; gzip_vary on;");
    let ask = |path: &str| {
        let mut connection = server.connect();
        connection.send_request("GET", path, &[GZIP], None);
        connection
    };
    let mut waiting = ask("/lp/a");
    server.wait_for_subscribers("a", 1);
    assert_eq!(
        server.publish("a", "hello").head.get("Content-Encoding"),
        None,
        "JSON is not among the types"
    );
    let check = |response: &Response, what: &str| {
        let header = |name| response.head.get(name);
        assert_eq!(
            (
                header("Content-Encoding"),
                header("Vary"),
                header("Transfer-Encoding"),
                header("Content-Length")
            ),
            (Some("gzip"), Some("Accept-Encoding"), Some("chunked"), None),
            "{what}"
        );
        assert_eq!(unzipped(&response.body), b"hello", "{what}");
    };
    check(&waiting.read_response(), "a waiting poll");
    let since = ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT");
    for path in ["/lp/a", "/lp/a", "/poll/a", "/lp/a.b1"] {
        let mut connection = server.connect();
        check(&connection.request("GET", path, &[GZIP, since], None), path);
        let plain = connection.request("GET", path, &[since], None);
        let header = |name| plain.head.get(name);
        assert_eq!(
            (plain.text(), header("Content-Encoding"), header("Vary")),
            ("hello", None, Some("Accept-Encoding")),
            "{path}"
        );
    }
    let plain = ask("/channels-stats?id=a").read_response();
    assert!(plain.text().contains("\"channel\"") && plain.head.get("Vary").is_none());
    let statistics = server.connect().request(
        "GET",
        "/channels-stats?id=a",
        &[GZIP, ("Accept", "text/plain")],
        None,
    );
    assert!(
        unzipped(&statistics.body).starts_with(b"channel: a\r\n"),
        "{statistics:?}"
    );
    let nothing = server.connect().request("GET", "/poll/a", &[GZIP], None);
    assert_eq!(
        (nothing.head.status, nothing.head.get("Content-Encoding")),
        (304, None)
    );
    server.stop();
}

#[test]
fn gzip_directives_apply_to_old_clients_and_proxies() {
    let server = server(
        "gzip on; gzip_types *; gzip_proxied no-cache expired; gzip_disable msie6 \"old\"; \
         gzip_http_version 1.0;",
    );
    server.publish("a", "x".repeat(100));
    let encoding = |headers: &[(&str, &str)]| {
        let response = server.connect().request("GET", "/poll/a.b1", headers, None);
        response.head.get("Content-Encoding").map(str::to_owned)
    };
    let gzip = Some("gzip".to_owned());
    assert_eq!(encoding(&[GZIP]), gzip);
    assert_eq!(encoding(&[("Accept-Encoding", "gzip;q=0")]), None);
    assert_eq!(encoding(&[GZIP, ("User-Agent", "OLD/1")]), None);
    assert_eq!(encoding(&[GZIP, ("User-Agent", "MSIE 6.0")]), None);
    assert_eq!(
        encoding(&[GZIP, ("Via", "proxy")]),
        gzip,
        "the answers expired in 1970"
    );
    let mut connection = server.connect();
    connection.send("GET /sub/a.b1 HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = connection.read_head();
    assert_eq!(
        (
            head.get("Content-Encoding"),
            head.get("Transfer-Encoding"),
            head.get("Connection")
        ),
        (Some("gzip"), None, Some("close"))
    );
    connection.read_until(BLOCK_END);
    let block = connection.read_until(BLOCK_END);
    assert!(block.len() < 60, "100 times the same is short: {block:?}");
    server.stop();
}

/// The comparable part of a response: status, headers, and the decoded body.
fn comparable(response: &Response) -> String {
    let mut headers: Vec<String> = response
        .head
        .headers
        .iter()
        .filter(|(name, _)| !["server", "date"].contains(&name.to_ascii_lowercase().as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    headers.sort();
    let is_zipped = response.head.get("Content-Encoding").is_some() && !response.body.is_empty();
    let body = if is_zipped {
        unzipped(&response.body)
    } else {
        response.body.clone()
    };
    let body = String::from_utf8_lossy(&body)
        .replace("nginx/1.22.1", "SERVER")
        .replace(SERVER_ON_PAGES, "SERVER");
    let body = if body.len() > 2000 {
        format!("{} bytes", body.len())
    } else {
        body
    };
    format!("{}\n{}\n\n{body}", response.head.status, headers.join("\n"))
}

#[test]
fn files_and_pages_are_compressed_as_by_nginx() {
    let directory = Directory::new("gzip");
    directory.write("index.html", &"home page ".repeat(10_000));
    directory.write("short.html", "short");
    directory.write("plain.txt", &"text ".repeat(100));
    let http = format!(
        "gzip on; gzip_vary on; types {{ text/html html; text/plain txt; }} default_type \
         text/x-default;
        server {{ listen 127.0.0.1:{{{{PORT}}}}; root {0};
            location /all/ {{ alias {0}/; gzip_types *; gzip_comp_level 9; add_header X-A a; }}
            location /proxied/ {{ alias {0}/; gzip_proxied no_etag; }} location /off/ {{ alias \
            {0}/; gzip off; }}
            location /if/ {{ alias {0}/; gzip off; if ($arg_z) {{ gzip on; }} }}
            location /return {{ default_type text/html; return 200 \"some text that is long \
            enough\"; }}
            location /deny {{ deny all; }} location /bad {{ return 400; }} }}",
        directory.path().display()
    );
    let nginx = Nginx::start(&http);
    let server = Server::with_conf(&format!("events {{}}\nhttp {{\n{http}\n}}\n"));
    let tag = "\"x\"";
    for (method, target, headers) in [
        ("GET", "/index.html", &[GZIP][..]),
        ("HEAD", "/index.html", &[GZIP]),
        ("GET", "/index.html", &[]),
        ("GET", "/index.html", &[GZIP, ("Range", "bytes=0-9")]),
        ("GET", "/index.html", &[("Range", "bytes=0-9")]),
        ("GET", "/index.html", &[GZIP, ("Via", "1.1 proxy")]),
        ("GET", "/index.html", &[GZIP, ("If-None-Match", tag)]),
        (
            "GET",
            "/index.html",
            &[("Accept-Encoding", "deflate, gzip;q=0.5")],
        ),
        ("GET", "/index.html", &[("Accept-Encoding", "gzip;q=0.0")]),
        ("GET", "/", &[GZIP]),
        ("GET", "/short.html", &[GZIP]),
        ("GET", "/plain.txt", &[GZIP]),
        ("GET", "/all/plain.txt", &[GZIP]),
        ("GET", "/all/nothing", &[GZIP]),
        ("GET", "/proxied/index.html", &[GZIP, ("Via", "1.1 proxy")]),
        ("GET", "/off/index.html", &[GZIP]),
        ("GET", "/if/index.html?z=1", &[GZIP]),
        ("GET", "/if/index.html", &[GZIP]),
        ("GET", "/return", &[GZIP]),
        ("HEAD", "/return", &[GZIP]),
        ("GET", "/deny", &[GZIP]),
        ("GET", "/bad", &[GZIP]),
        ("GET", "/nothing", &[GZIP]),
        ("POST", "/index.html", &[GZIP]),
    ] {
        let [theirs, ours] = [nginx.connect(), server.connect()].map(|mut connection| {
            let body = (method == "POST").then_some(&b"x"[..]);
            connection.send_request(method, target, headers, body);
            let head = connection.read_head();
            let body = if method == "HEAD" {
                Vec::new()
            } else {
                connection.read_body()
            };
            comparable(&Response { head, body })
        });
        assert_eq!(ours, theirs, "{method} {target} {headers:?}");
    }
    server.stop();
}
