//! Proxies in front, methods, names of servers, paths and headers: compared with Debian's nginx,
//! and logs at a syslog.

use crate::support::{
    ComparedRequest, Directory, Nginx, Response, SERVER_ON_PAGES, Server, wait_until,
};

const NONE: &[(&str, &str)] = &[];

/// Status, connection and body.
fn shown(response: &Response) -> String {
    let header = |name| response.head.get(name).unwrap_or("-").to_owned();
    let headers = [
        "ETag",
        "Accept-Ranges",
        "Content-Range",
        "Connection",
        "Location",
        "WWW-Authenticate",
    ]
    .map(header)
    .join(" | ");
    let body = String::from_utf8_lossy(&response.body)
        .replace("nginx/1.22.1", "SERVER")
        .replace(SERVER_ON_PAGES, "SERVER");
    format!("{} {headers}\n{body}", response.head.status)
}

/// Sends the same requests to both servers on one connection each, with a new one after a close.
fn compare(http: &str, requests: &[ComparedRequest<'_>]) {
    let nginx = Nginx::start(http);
    let server = Server::with_conf(&format!("events {{}}\nhttp {{\n{http}\n}}\n"));
    let mut theirs = nginx.connect();
    let mut ours = server.connect();
    for (method, target, headers) in requests {
        let [one, other] = [&mut theirs, &mut ours].map(|connection| {
            let host = headers
                .iter()
                .find(|(name, _)| *name == "Host")
                .map_or("localhost", |(_, host)| host);
            let lines: String = headers
                .iter()
                .filter(|(name, _)| *name != "Host")
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            connection.send(format!(
                "{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{lines}\r\n"
            ));
            connection.read_response()
        });
        assert_eq!(shown(&other), shown(&one), "{method} {target} {headers:?}");
        if one.head.get("Connection") == Some("close") {
            ours.expect_close();
            (theirs, ours) = (nginx.connect(), server.connect());
        }
    }
    server.stop();
}

#[test]
fn client_addresses_behind_proxies_match_nginx() {
    let http = r#"
        server {
            listen 127.0.0.1:{{PORT}}; server_name a; set_real_ip_from 127.0.0.0/8;
                set_real_ip_from 10.0.0.0/8; default_type text/plain;
            if ($remote_addr = 192.0.2.66) { return 410; }
            location /single { return 200 "$remote_addr:$remote_port $realip_remote_addr"; }
            location /list { real_ip_header X-Forwarded-For; return 200 "$remote_addr:$remote_port";
                }
            location /deny { deny 192.0.2.7; allow all; }
        }
        server {
            listen 127.0.0.1:{{PORT}}; server_name b; set_real_ip_from 127.0.0.1;
                set_real_ip_from 10.0.0.0/8;
            real_ip_header X-Forwarded-For; real_ip_recursive on; default_type text/plain;
            location / { return 200 "$remote_addr:$remote_port"; }
        }
        server {
            listen 127.0.0.1:{{PORT}}; server_name c; default_type text/plain;
                set_real_ip_from 10.0.0.0/8;
            location / { return 200 "$remote_addr"; }
            location /deny { set_real_ip_from 127.0.0.1; deny 192.0.2.7; allow all; }
        }"#;
    let b = ("Host", "b");
    let c = ("Host", "c");
    compare(
        http,
        &[
            ("GET", "/single", &[("X-Real-IP", "192.0.2.1")]),
            ("GET", "/single", &[("X-Real-IP", "192.0.2.1:99")]),
            ("GET", "/single", &[("X-Real-IP", "192.0.2.66")]),
            ("GET", "/deny", &[("X-Real-IP", "192.0.2.7")]),
            ("GET", "/deny", &[("X-Real-IP", "192.0.2.8")]),
            (
                "GET",
                "/",
                &[b, ("X-Forwarded-For", "198.51.100.1, 192.0.2.1, 10.1.1.1")],
            ),
            (
                "GET",
                "/",
                &[
                    b,
                    ("X-Forwarded-For", "198.51.100.1"),
                    ("X-Forwarded-For", "10.1.1.1"),
                ],
            ),
            ("GET", "/", &[b, ("X-Forwarded-For", "10.0.0.9, 10.1.1.1")]),
            ("GET", "/", &[b, ("X-Forwarded-For", "[2001:db8::1]:80")]),
            ("GET", "/", &[c, ("X-Real-IP", "192.0.2.1")]),
            ("GET", "/deny", &[c, ("X-Real-IP", "192.0.2.7")]),
        ],
    );
}

#[test]
fn methods_names_paths_and_headers_match_nginx() {
    let directory = Directory::new("surroundings");
    directory.write("users", "u:{PLAIN}p\n");
    directory.write("a.txt", "0123456789");
    let http = format!(
        r#"
        server {{
            listen 127.0.0.1:{{{{PORT}}}}; server_name "~^(?<sub>\w+)\.(a|b)\.example$" plain;
                default_type text/plain;
            location /names {{ return 200 "$sub $1 $2"; }}
            location ~ ^/re/(.*)$ {{ return 200 "$sub $1"; }}
            location /limited {{ limit_except GET {{ deny all; }} alias {0}/a.txt; }}
            location /password {{ limit_except HEAD OPTIONS {{ auth_basic "r";
                auth_basic_user_file {0}/users; }} alias {0}/a.txt; }}
            location /reverse {{ deny all; limit_except POST {{ allow all; }} alias {0}/a.txt; }}
            location /header {{ return 200 "$http_a_b"; }}
        }}
        server {{
            listen 127.0.0.1:{{{{PORT}}}}; server_name loose; default_type text/plain;
                underscores_in_headers on;
            keepalive_requests 3; location / {{ return 200 "$uri $http_a_b"; }}
        }}
        server {{
            listen 127.0.0.1:{{{{PORT}}}}; server_name files; root {0};
            location / {{ etag off; }} location /none/ {{ alias {0}/; max_ranges 0; }}
            location /never/ {{ alias {0}/; if_modified_since off; }}
            location /before/ {{ alias {0}/; if_modified_since before; }}
        }}"#,
        directory.path().display()
    );
    let sub = ("Host", "x.b.example");
    let loose = ("Host", "loose");
    let files = ("Host", "files");
    let past = ("If-Modified-Since", "Thu, 01 Jan 2004 00:00:00 GMT");
    let future = ("If-Modified-Since", "Thu, 01 Jan 2099 00:00:00 GMT");
    compare(
        &http,
        &[
            ("GET", "/names", &[sub]),
            ("GET", "/names", &[("Host", "plain")]),
            ("GET", "/re/it", &[sub]),
            ("GET", "/limited", NONE),
            ("POST", "/limited", NONE),
            ("PATCH", "/limited", NONE),
            ("GET", "/password", NONE),
            ("GET", "/password", &[("Authorization", "Basic dTpw")]),
            ("GET", "/password", &[("Authorization", "Basic dTpx")]),
            ("OPTIONS", "/password", NONE),
            ("GET", "/reverse", NONE),
            ("POST", "/reverse", NONE),
            ("GET", "/header", &[("A_B", "1")]),
            ("GET", "/header", &[("A-B", "1")]),
            ("GET", "/header//%61/../x", &[("A-B", "1")]),
            ("GET", "/x//y/./z", &[loose, ("A_B", "1")]),
            ("GET", "/x//../y", &[loose, ("A-B", "1")]),
            ("GET", "/z", &[loose]),
            ("GET", "/z", &[loose]),
            ("GET", "/a.txt", &[files]),
            ("GET", "/a.txt", &[files, ("If-None-Match", "*")]),
            ("GET", "/a.txt", &[files, past]),
            ("GET", "/none/a.txt", &[files, ("Range", "bytes=1-2")]),
            ("GET", "/never/a.txt", &[files, future]),
            ("GET", "/before/a.txt", &[files, future]),
            ("GET", "/before/a.txt", &[files, past]),
        ],
    );
}

#[test]
fn slashes_stay_where_they_are_not_merged() {
    let http = "merge_slashes off; server { listen 127.0.0.1:{{PORT}}; default_type text/plain;
        location / { return 200 \"$uri\"; } location //two { return 200 \"two $uri\"; } location ~ \
        ^/a/(.*)$ { return 200 $1; } }";
    let targets = [
        "/x//y/./z",
        "//two",
        "/x//../y",
        "/a//b//",
        "/a/%2Fb",
        "/a///..//c",
        "//",
        "/a/./",
    ];
    let requests: Vec<ComparedRequest<'_>> = targets
        .iter()
        .map(|target| ("GET", *target, NONE))
        .collect();
    compare(http, &requests);
}

#[test]
fn a_limit_on_methods_holds_for_push_locations() {
    let server = Server::with_conf(
        "events {}\nhttp { push_stream_shared_memory_size 10m; server { listen 127.0.0.1:{{PORT}}; \
         server_tokens off;
        location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; \
        limit_except GET { allow 10.0.0.1; deny all; } }
        location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1; \
        keepalive_requests 2; push_stream_longpolling_connection_ttl 50ms; } } }",
    );
    assert_eq!(server.get("/pub?id=a").head.status, 404);
    let refused = server
        .connect()
        .request("POST", "/pub?id=a", &[], Some(b"x"));
    assert_eq!(
        (refused.head.status, refused.head.get("Server")),
        (403, Some("pushctl"))
    );
    assert!(!refused.text().contains("pushctl v"), "{}", refused.text());
    let mut connection = server.connect();
    for kept in ["keep-alive", "close"] {
        let response = connection.request("GET", "/lp/a", &[], None);
        assert_eq!(
            (response.head.status, response.head.get("Connection")),
            (304, Some(kept))
        );
    }
    connection.expect_close();
    server.stop();
}

#[test]
fn the_host_of_an_absolute_target_goes_before_the_header() {
    let http = r#"
        server { listen 127.0.0.1:{{PORT}}; server_name a; default_type text/plain;
        location / { return 200 "a $host $http_host $uri"; } }
        server { listen 127.0.0.1:{{PORT}}; server_name b; default_type text/plain;
        location / { return 200 "b $host $http_host $uri"; } }
    "#;
    compare(
        http,
        &[
            ("GET", "http://b/x", &[("Host", "a")]),
            ("GET", "HTTP://B:81/x", &[("Host", "a")]),
            ("GET", "http://other/x?y", &[("Host", "b")]),
            ("GET", "/http://b/x", &[("Host", "a")]),
            ("GET", "/x?http://b/", &[("Host", "a")]),
        ],
    );
}

#[test]
fn listen_on_the_command_line_serves_the_servers_of_all_addresses() {
    let push = "push_stream_channels_statistics; push_stream_channels_path $arg_id;";
    let text = format!(
        "events {{}} http {{ push_stream_shared_memory_size 10m;
        server {{ listen {{{{PORT}}}}; listen [::1]:{{{{PORT}}}}; server_name push.example; return \
        301 https://$host$request_uri; }}
        server {{ listen {{{{PORT}}}}; server_name other.example; location / {{ return 200 other; \
        }} }}
        server {{ listen 127.0.0.1:{{{{PORT}}}}0; server_name push.example; location /stats {{ \
        {push} }} }}
        server {{ listen unix:/nowhere/at/all.sock; server_name unix.example; location /unix {{ \
        {push} }} }} }}"
    )
    .replace("{{PORT}}", "2345");
    let server =
        Server::try_with_conf(&text, &["--listen", "127.0.0.1:0"]).expect("the file is served");
    for (host, path, expected) in [
        ("push.example", "/stats?id=a", 404),
        ("unix.example", "/unix?id=a", 404),
        ("other.example", "/", 200),
        // A request without a host selects the server with push locations, not the redirection.
        ("127.0.0.1", "/stats?id=a", 404),
    ] {
        let mut connection = server.connect();
        connection.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        let response = connection.read_response();
        assert_eq!(response.head.status, expected, "{host}{path}");
        // pushctl's 404 is that of a missing channel.
        assert_eq!(response.head.get("Location"), None, "{host}{path}");
    }
    assert!(
        server.stderr().contains("serving 3 locations"),
        "{}",
        server.stderr()
    );
    assert!(
        !server.stderr().contains("no push location"),
        "{}",
        server.stderr()
    );
    server.stop();
    let server = Server::with_conf(
        "events {} http { server { listen 127.0.0.1:{{PORT}}; location / { return 200 x; } } }",
    );
    wait_until("it is reported", || {
        server
            .stderr()
            .contains("no push locations: no server of the configuration has one")
    });
    server.stop();
}
