//! Requests as rules evaluate them: targets, hosts, headers and addresses. Compared with Debian's
//! nginx byte by byte where both accept a request; where pushctl is stricter, it must reject.

use crate::support::{Nginx, Server, show};

/// Sends `request` on a new connection, and returns status and body. Everything is read up to the
/// end.
pub(super) fn answer(mut connection: crate::support::Connection, request: &[u8]) -> (u16, Vec<u8>) {
    connection.send(request);
    let response = connection.read_response();
    (response.head.status, response.body)
}

/// The servers to compare.
pub(super) struct Both {
    pub(super) nginx: Nginx,
    pub(super) server: Server,
}

impl Both {
    pub(super) fn start(http: &str) -> Self {
        Self {
            nginx: Nginx::start(http),
            server: Server::with_conf(&format!("events {{}}\nhttp {{\n{http}\n}}\n")),
        }
    }

    /// Asserts that the responses are equal except for the text of error pages.
    pub(super) fn assert_equal(&self, request: &[u8]) -> u16 {
        let (status, body) = answer(self.nginx.connect(), request);
        let (own_status, own_body) = answer(self.server.connect(), request);
        assert_eq!(own_status, status, "{}", show(request));
        if status < 400 {
            assert_eq!(show(&own_body), show(&body), "{}", show(request));
        }
        status
    }

    pub(super) fn assert_rejected_here(&self, request: &[u8]) {
        let (status, _) = answer(self.server.connect(), request);
        assert_eq!(status, 400, "{}", show(request));
    }
}

pub(super) fn get(target: &[u8], lines: &[u8]) -> Vec<u8> {
    [
        b"GET ",
        target,
        b" HTTP/1.1\r\n",
        lines,
        b"Connection: close\r\n\r\n",
    ]
    .concat()
}

const VARIABLES: &str = r#"
    server { listen 127.0.0.1:{{PORT}}; server_name a; default_type text/plain;
        location / {
            set $target "$request_uri|$request|$uri|$document_uri|$args|$query_string|$is_args";
            return 200 "$target|$arg_id|$host|$http_host|$server_name"; } }
    server { listen 127.0.0.1:{{PORT}}; server_name b; default_type text/plain;
    location / { return 200 "b $host|$http_host|$request_uri"; } }
    server { listen 127.0.0.1:{{PORT}}; server_name "~^(?<name>x+)\.re$"; default_type text/plain;
        location / { return 200 "re $host|$name"; } }
    server { listen 127.0.0.1:{{PORT}}; server_name ""; default_type text/plain;
    location / { return 200 "none $host|$http_host"; } }"#;

#[test]
fn variables_of_the_request_line_match_nginx() {
    let both = Both::start(VARIABLES);
    let mut accepted = 0;
    for target in [
        &b"http://a/ru?id=secret"[..],
        b"http://a",
        b"http://a?x=1",
        b"http://a/?x",
        b"HTTP://A/x",
        b"https://a/x",
        b"ftp://a/x",
        b"h1+-.://a/x",
        b"http://[::1]:80/x",
        b"http://a:80?x",
        b"http://a:/x",
        b"http://b:80/x",
        b"http://B./x",
        b"http://xx.re/x",
        b"http://a/x#f?y",
        b"http://a/x?http://b/",
        b"http://.a/x",
        b"/x#f?y",
        b"/x?y#f",
        b"//x//y",
        b"/a/../b",
        b"/a/./b",
        b"/a%2fb%3fc",
        b"/x?",
        b"/x?a=1&id=2&ID=3",
        b"/x?id&id=4",
        b"/a\\b+c",
        b"/\xe9\xff?id=\xe9",
        b"http://a/\xe9",
        "/é?id=é".as_bytes(),
        b"/%e9",
        b"/a%0ab",
        b"http://u@a/x",
        b"http://u:p@a/x",
        b"http:///x",
        b"http://a#f",
        b"http://a:80:1/x",
        b"http://a_b/x",
        b"http://a%2fb/x",
        b"http://a;b/x",
        b"http://a..b/x",
        b"http://b\\/x",
        b"1http://a/",
        b"http:/a/x",
        b"http:a",
        b"*",
        b"?x",
        b"a/b",
        b"/..",
        b"/a%00b",
        b"/%zz",
        b"/%2e%2e/x",
        b"/a\x7fb",
    ] {
        accepted += u32::from(both.assert_equal(&get(target, b"Host: hosthdr\r\n")) == 200);
    }
    assert_eq!(accepted, 32, "both accept these");
    both.server.stop();
}

#[test]
fn hosts_select_the_same_server_as_nginx_or_are_rejected() {
    let both = Both::start(VARIABLES);
    for host in [
        &b""[..],
        b" ",
        b"a",
        b"B",
        b"b.",
        b"b..",
        b"b:80",
        b"b:80:1",
        b"b:",
        b"b:x",
        b"b.:80",
        b"b:80.",
        b".b",
        b"a/b",
        b"b\\x",
        b"b x",
        b"b\tx",
        b"b\t",
        b"[::1]",
        b"[::1]:80",
        b"[::1",
        b"::1",
        b"[::1]x",
        b"[::1]:80:1",
        b"[::1].",
        b"a_b",
        b"b\0",
        b"u@b",
        b"b,a",
        b"b%41",
        b"b..c",
        b".",
        b":80",
        b"[",
        b"b[:80",
        b"b:[x]",
        b"XX.RE",
        b"xx.re.",
        b"b\x01",
        b"b\x7f",
        b"a\"b",
    ] {
        both.assert_equal(&get(b"/x", &[b"Host: ", host, b"\r\n"].concat()));
    }
    for host in [&b"b?x"[..], b"b#x", b"b\xe9"] {
        both.assert_rejected_here(&get(b"/x", &[b"Host: ", host, b"\r\n"].concat()));
    }
    for (target, lines) in [
        (&b"/x"[..], &b""[..]),
        (b"/x", b"Host: b\r\nHost: b\r\n"),
        (b"http://b/x", b"Host:\r\n"),
        (b"http://b/x", b"Host: a/b\r\n"),
        (b"http://b/x", b""),
    ] {
        assert_eq!(
            both.assert_equal(&get(target, lines)),
            400,
            "{}",
            show(lines)
        );
    }
    for (target, lines) in [
        (&b"/x"[..], &b""[..]),
        (b"/x", b"Host:\r\n"),
        (b"http://b/x", b""),
    ] {
        both.assert_equal(&[b"GET ", target, b" HTTP/1.0\r\n", lines, b"\r\n"].concat());
    }
    both.server.stop();
}

#[test]
fn repeated_headers_are_joined_or_rejected_as_by_nginx() {
    let both = Both::start(
        r#"server { listen 127.0.0.1:{{PORT}}; default_type text/plain; location / {
            set $first "$http_cookie|$http_x_forwarded_for|$http_foo|$http_x_u|$http_via";
            return 200 "$first|$http_accept|$cookie_a|$http_range|$content_type"; } }"#,
    );
    for lines in [
        "Cookie: a=b\r\nCookie: role=guest\r\n",
        "Cookie: x=1\r\ncookie:\r\nCookie: a=2\r\n",
        "Cookie: b=a=3, a=4\r\n",
        "Cookie: a = 4; a=5 ; c\r\n",
        "Cookie: x;\ta=1\r\n",
        "Cookie: a; a=1, b; c\r\n",
        "Cookie: A=1\r\nCookie: a=2\r\n",
        "X-Forwarded-For: 1, 2\r\nX-Forwarded-For:\r\nx-forwarded-for: 3\r\n",
        "Foo: 1\r\nFoo: 2\r\n",
        "Foo:\r\nFoo: 2\r\n",
        "Via: 1\r\nVia: 2\r\n",
        "Accept: 1\r\nAccept: 2\r\n",
        "Content-Type: 1\r\nContent-Type: 2\r\n",
        "Foo:\t 1\t \r\n",
        "Foo: \r\nX-U:\t\r\n",
        "X_U: 1\r\n",
        "X-U: 1\r\nX_U: 2\r\n",
        "Foo: a\nX-U: b\r\n",
    ] {
        assert_eq!(
            both.assert_equal(&get(b"/", format!("Host: a\r\n{lines}").as_bytes())),
            200,
            "{lines}"
        );
    }
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Authorization",
        "Expect",
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "If-Unmodified-Since",
        "If-Range",
        "Content-Range",
        "Range",
        "User-Agent",
        "Referer",
        "Upgrade",
        "TE",
        "Origin",
        "X-Real-IP",
        "Accept-Encoding",
        "Accept-Language",
        "Last-Event-ID",
        "Keep-Alive",
        "Depth",
        "Destination",
        "Date",
    ] {
        let value = match name {
            "Content-Length" => "0",
            "Transfer-Encoding" => "chunked",
            _ => "x",
        };
        let host = if name == "Host" { "" } else { "Host: a\r\n" };
        both.assert_equal(&get(
            b"/",
            format!(
                "{host}{name}: {value}\r\n{}: {value}\r\n",
                name.to_lowercase()
            )
            .as_bytes(),
        ));
    }
    for lines in [
        &b"Foo : 1\r\n"[..],
        b" Foo: 1\r\n",
        b"Foo: 1\r\n 2\r\n",
        b"Foo: a\0b\r\n",
        b"Foo: a\rb\r\n",
        b": x\r\n",
        b"Fo\0o: 1\r\n",
    ] {
        assert_eq!(
            both.assert_equal(&get(b"/", &[b"Host: a\r\n", lines].concat())),
            400,
            "{}",
            show(lines)
        );
    }
    both.server.stop();
}

#[test]
fn headers_with_underscores_match_nginx() {
    let both = Both::start(
        r#"underscores_in_headers on; server { listen 127.0.0.1:{{PORT}}; default_type text/plain;
            location / {
                return 200 "$http_x_u|$http_x_forwarded_for|$http_user_agent|$http_content_type"; }
                }"#,
    );
    for lines in [
        "X_U: 1\r\n",
        "X-U: 1\r\nX_U: 2\r\n",
        "X_U: 1\r\nX-U: 2\r\n",
        "X_Forwarded_For: 1\r\n",
        "User_Agent: 1\r\nUser-Agent: 2\r\n",
    ] {
        assert_eq!(
            both.assert_equal(&get(b"/", format!("Host: a\r\n{lines}").as_bytes())),
            200,
            "{lines}"
        );
    }
    both.server.stop();
}

#[test]
fn the_client_behind_a_proxy_is_whom_nginx_takes_for_it() {
    let both = Both::start(
        r#"default_type text/plain;
        server { listen 127.0.0.1:{{PORT}}; server_name one; set_real_ip_from 127.0.0.1;
            location / { if ($realip_remote_addr != $remote_addr) {
                return 200 "$remote_addr $remote_port"; } return 200 peer; } }
        server { listen 127.0.0.1:{{PORT}}; server_name list; set_real_ip_from 127.0.0.1;
            set_real_ip_from 10.0.0.0/8;
            real_ip_header X-Forwarded-For; real_ip_recursive on;
            location / { if ($realip_remote_addr != $remote_addr) {
                return 200 "$remote_addr $remote_port"; } return 200 peer; } }"#,
    );
    for value in [
        "10.0.0.1",
        "[10.0.0.1]",
        "\t10.0.0.1",
        "10.0.0.1\t",
        " 10.0.0.1 ",
        "010.0.0.1",
        "0x0a.0.0.1",
        "10.1",
        "10..0.1",
        "10.0.0.1:80",
        "10.0.0.1:0",
        "10.0.0.1:x",
        "10.0.0.2, 10.0.0.1",
        "10.0.0.2\t10.0.0.1",
        "::1",
        "[::1]",
        "[::1]:80",
        "fe80::1%lo",
        "::ffff:10.0.0.1",
        "::ffff:010.0.0.1",
        "::10.0.0.1",
        "unix:",
        ":1::2",
        "1:2:3:4:5:6:7::",
        "255.255.255.255",
        "",
    ] {
        both.assert_equal(&get(
            b"/",
            format!("Host: one\r\nX-Real-IP: {value}\r\n").as_bytes(),
        ));
    }
    for lines in [
        "X-Real-IP: 10.0.0.1\r\nX-Real-IP: 10.0.0.2\r\n",
        "X-Real-IP:\r\nX-Real-IP: 10.0.0.2\r\n",
    ] {
        both.assert_equal(&get(b"/", format!("Host: one\r\n{lines}").as_bytes()));
    }
    for lines in [
        "1.1.1.1, 10.0.0.2",
        "1.1.1.1\t, 10.0.0.2",
        "1.1.1.1, 10.0.0.2\t",
        "1.1.1.1 ,, 10.0.0.2,",
        "bad, 10.0.0.2",
        "1.1.1.1, [10.0.0.2]",
        "1.1.1.1, ::ffff:10.0.0.3, 10.0.0.2",
        "1.1.1.1\r\nX-Forwarded-For: 10.0.0.2",
        "1.1.1.1, \r\nX-Forwarded-For: ",
        ",1.1.1.1",
    ] {
        both.assert_equal(&get(
            b"/",
            format!("Host: list\r\nX-Forwarded-For: {lines}\r\n").as_bytes(),
        ));
    }
    both.server.stop();
}
