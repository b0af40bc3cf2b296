//! Directives of nginx that clients see in responses: the charset, and responses without chunks.

use crate::support::{Nginx, Server, conf};

/// The status and the content type of a response.
fn content_type(mut connection: crate::support::Connection, path: &str) -> (u16, Option<String>) {
    let response = connection.request("GET", path, &[("Connection", "close")], None);
    (
        response.head.status,
        response.head.get("Content-Type").map(str::to_owned),
    )
}

#[test]
fn a_charset_is_added_to_the_types_of_nginx() {
    let http = r#"charset utf-8; types { text/css css; text/plain txt; application/javascript js;
        text/xml xml; }
        server { listen 127.0.0.1:{{PORT}};
        location = /plain { default_type text/plain; return 200 x; }
        location = /json { default_type application/json; return 200 x; }
        location = /upper { default_type Text/Plain; return 200 x; }
        location = /parameter { default_type "text/plain; format=flowed"; return 200 x; }
        location = /has { default_type "text/plain; charset=koi8-r"; return 200 x; }
        location = /off { charset off; default_type text/plain; return 200 x; }
        location = /types { charset_types application/json; default_type application/json;
            return 200 x; }
        location = /others { charset_types application/json; default_type text/plain; return 200 x;
            }
        location = /html { charset_types application/json; default_type text/html; return 200 x; }
        location = /all { charset_types *; default_type image/x; return 200 x; }
        location = /inner { charset koi8-r; default_type text/plain; return 200 x; }
        location = /if { default_type text/plain; if ($arg_c) { charset koi8-r; return 200 x; }
            return 200 y; }
        location = /401 { return 401; }
        location = /302 { return 302 /x; }
        location = /404 { default_type text/plain; return 404 x; }
        location = /page-off { charset off; return 404; }
        location = /a.css { return 200 x; }
        location = /a.js { return 200 x; }
        location = /a.xml { return 200 x; } }"#;
    let nginx = Nginx::start(http);
    let server = Server::with_conf(&format!("events {{}} http {{ {http} }}"));
    for path in [
        "/plain",
        "/json",
        "/upper",
        "/parameter",
        "/has",
        "/off",
        "/types",
        "/others",
        "/html",
        "/all",
        "/inner",
        "/if",
        "/if?c=1",
        "/401",
        "/302",
        "/404",
        "/page-off",
        "/a.css",
        "/a.js",
        "/a.xml",
        "/none",
    ] {
        assert_eq!(
            content_type(server.connect(), path),
            content_type(nginx.connect(), path),
            "{path}"
        );
    }
    server.stop();
}

#[test]
fn messages_have_the_charset_of_their_location() {
    let locations = "location /pub { push_stream_publisher admin; push_stream_channels_path \
                     $arg_id; push_stream_store_messages on; }
        location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1; }
        location ~ ^/poll/(.*)$ { default_type text/xml; push_stream_subscriber polling; \
        push_stream_channels_path $1; }
        location ~ ^/sub/(.*)$ { charset koi8-r; push_stream_subscriber; push_stream_channels_path \
        $1; }
        location ~ ^/off/(.*)$ { charset off; push_stream_subscriber; push_stream_channels_path \
        $1; }
        location ~ ^/ev/(.*)$ { push_stream_subscriber eventsource; push_stream_channels_path \
        $1; }";
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 32m; charset utf-8;",
        locations,
    ));
    server.publish("a", "text");
    for (path, expected) in [
        ("/lp/a.b1", "text/plain; charset=utf-8"),
        ("/poll/a.b1", "text/xml; charset=utf-8"),
        ("/sub/a.b1", "text/plain; charset=koi8-r"),
        ("/off/a.b1", "text/plain"),
        ("/ev/a.b1", "text/event-stream; charset=utf-8"),
    ] {
        let mut connection = server.connect();
        connection.send_request("GET", path, &[], None);
        assert_eq!(
            connection.read_head().get("Content-Type"),
            Some(expected),
            "{path}"
        );
    }
    server.stop();
}

#[test]
fn without_chunks_a_stream_ends_with_its_connection() {
    let locations = "location /pub { push_stream_publisher admin; push_stream_channels_path \
                     $arg_id; push_stream_store_messages on; }
        location ~ ^/sub/(.*)$ { push_stream_subscriber; push_stream_channels_path $1; \
        push_stream_message_template ~text~; }
        location ~ ^/ev/(.*)$ { push_stream_subscriber eventsource; push_stream_channels_path $1; }
        location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1; \
        push_stream_message_template ~text~; }
        location ~ ^/on/(.*)$ { chunked_transfer_encoding on; push_stream_subscriber; \
        push_stream_channels_path $1; }";
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 32m; chunked_transfer_encoding off;",
        locations,
    ));
    let mut publisher = server.connect();
    for _ in 0..2 {
        let response = publisher.request("POST", "/pub?id=a", &[], Some(b"text"));
        assert_eq!(
            response.head.get("Connection"),
            Some("keep-alive"),
            "an answer with a length leaves the connection open"
        );
    }
    for (path, expected) in [
        ("/sub/a.b1", "text"),
        ("/ev/a.b1", "data: text\n\n"),
        ("/lp/a.b1", "text"),
    ] {
        let mut connection = server.connect();
        connection.send_request("GET", path, &[], None);
        let head = connection.read_head();
        assert_eq!(
            (head.get("Transfer-Encoding"), head.get("Connection")),
            (None, Some("close")),
            "{path}"
        );
        let body =
            String::from_utf8_lossy(&connection.read_until(expected.as_bytes())).into_owned();
        assert!(
            !body.contains("\r\n4\r\n") && !body.starts_with(|first: char| first.is_ascii_digit()),
            "{path}: {body:?}"
        );
    }
    let mut connection = server.connect();
    connection.send_request("GET", "/on/a.b1", &[], None);
    assert_eq!(
        connection.read_head().get("Transfer-Encoding"),
        Some("chunked")
    );
    server.stop();
}
