//! Comparison of the built server with Debian's nginx: the same file, the same requests.

use super::{Connection, Nginx, Response, Server};

/// Server name on pushctl's error pages.
pub(crate) const SERVER_ON_PAGES: &str = concat!(
    "pushctl v",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR")
);

/// Method, target and headers of a request.
pub(crate) type ComparedRequest<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// Headers whose values differ between any two servers.
const EXCLUDED_HEADERS: [&str; 2] = ["server", "date"];

/// The comparable part of a response: status line, headers in the order of their names, body.
pub(crate) fn comparable(response: &Response, port: &str) -> String {
    let line = response.head.raw.split("\r\n").next().unwrap_or_default();
    let mut headers: Vec<String> = response
        .head
        .headers
        .iter()
        .filter(|(name, _)| !EXCLUDED_HEADERS.contains(&name.to_ascii_lowercase().as_str()))
        .map(|(name, value)| format!("{name}: {}", value.replace(port, "PORT")))
        .collect();
    headers.sort();
    let body = String::from_utf8_lossy(&response.body)
        .replace("nginx/1.22.1", "SERVER")
        .replace(SERVER_ON_PAGES, "SERVER");
    format!("{line}\n{}\n\n{body}", headers.join("\n"))
}

/// Sends a request, with a body of one byte where the method has one, and reads the response.
fn respond_to(connection: &mut Connection, request: ComparedRequest<'_>) -> Response {
    let (method, target, headers) = request;
    let body = matches!(method, "POST" | "PUT").then_some(&b"x"[..]);
    connection.request(method, target, headers, body)
}

/// Asserts that both servers respond alike, with a connection per request.
pub(crate) fn compare(http: &str, requests: &[ComparedRequest<'_>]) {
    compare_with(http, "", requests);
}

/// As [`compare`], with a further location in the last server of pushctl's file.
pub(crate) fn compare_with(http: &str, location: &str, requests: &[ComparedRequest<'_>]) {
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
        let expected = comparable(
            &respond_to(&mut nginx.connect(), *request),
            &nginx.port().to_string(),
        );
        let actual = comparable(&respond_to(&mut server.connect(), *request), &port);
        assert_eq!(actual, expected, "{request:?}");
    }
    server.stop();
}
