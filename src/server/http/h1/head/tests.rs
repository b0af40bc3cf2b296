//! Tests of parsing heads.

use super::*;

fn outcome(bytes: &str) -> String {
    let parsed = parse(
        bytes.as_bytes(),
        200,
        &Endpoints::default(),
        |request, _| {
            format!(
                "{} {} {}",
                request.method,
                String::from_utf8_lossy(&request.path),
                String::from_utf8_lossy(request.query)
            )
        },
    );
    match parsed {
        ParsedHead::Incomplete => "incomplete".to_owned(),
        ParsedHead::Complete(_, length, text) => format!("{text} {length:?}"),
        ParsedHead::Bad(response) => response.head.status.0.to_string(),
    }
}

/// The host of a request with this Host header and this target.
fn host(header: &str, target: &str) -> Option<String> {
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: {header}\r\n\r\n");
    match parse(
        bytes.as_bytes(),
        200,
        &Endpoints::default(),
        |request, _| request.host(),
    ) {
        ParsedHead::Complete(_, _, host) => host,
        _ => None,
    }
}

#[test]
fn hosts_end_where_they_do_in_nginx() {
    // Each was tried with nginx 1.22.1.
    for (header, expected) in [
        ("B", "b"),
        ("b.", "b"),
        ("b:80:1", "b"),
        ("b:", "b"),
        ("b:x", "b"),
        ("b.:80", "b"),
        ("b:80.", "b"),
        (".b", ".b"),
        ("[::1]", "[::1]"),
        ("[::1]:80:1", "[::1]"),
        ("[::1]x", "[::1]"),
        ("[::1", "[::1"),
        ("b[:80", "b["),
        ("a_b", "a_b"),
        ("u@b", "u@b"),
    ] {
        assert_eq!(host(header, "/").as_deref(), Some(expected), "{header}");
    }
    for (target, expected) in [
        ("HTTP://B:80/x", "b"),
        ("https://b.?x", "b"),
        ("h1+-.://[::1]:80", "[::1]"),
        ("http://b/x?http://c/", "b"),
    ] {
        assert_eq!(host("a", target).as_deref(), Some(expected), "{target}");
    }
}

#[test]
fn heads_are_parsed_or_rejected() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(300));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(300));
    for (bytes, expected) in [
        (
            "GET /a%20b?id=1#f HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a b id=1 None",
        ),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /  None"),
        (
            "POST http://h/p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            "POST /p q Bytes(5)",
        ),
        (
            "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "POST /p  Chunked",
        ),
        ("GET / HTTP/1.0\r\n\r\n", "GET /  None"),
        ("GET / HTTP/1.1\r\n", "incomplete"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: [::1]:80 \r\n\r\n", "GET /  None"),
        ("GET ftp://h?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET / q None"),
        (
            "GET http://[::1]:80/p HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /p  None",
        ),
        ("GET http://h#f HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http://h:80:1/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http://a_b/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http://[::1/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET 1http://h/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http:/h/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n", "400"),
        ("GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: .\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: b\t\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\t\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tchunked\r\n\r\n",
            "501",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
             transfer-encoding: chunked\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ("GET http://../p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http://u@h/p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\nHost: a..b\r\n\r\n", "400"),
        ("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /a  HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("G ET /a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / FTP\r\n\r\n", "400"),
        ("GET / HTTP/2", "incomplete"),
        ("GET /ä", "incomplete"),
        ("\u{16}\u{3}\u{1}", "400"),
        ("\n\r GET /x", "400"),
        ("\r\nGET /ä HTTP/1.1\r\nHost: a\r\n\r\n", "GET /ä  None"),
        ("GÄT /x HTTP/2.0\r\nHost: a\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "501",
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        (&long, "414"),
        (&many, "400"),
    ] {
        assert_eq!(outcome(bytes), expected, "{bytes}");
    }
}
