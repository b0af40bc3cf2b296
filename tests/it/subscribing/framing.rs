//! Framing of streams: followers of one channel get the same payload, as chunks, unframed up to the
//! end of the connection, and compressed.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::support::{Connection, Server, conf};

const LOCATIONS: &str = r#"
    location /channels-stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; }
    location ~ ^/sub/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
        push_stream_header_template "H|"; push_stream_footer_template "|F";
        push_stream_message_template "<~text~>"; }"#;

fn server() -> Server {
    Server::with_conf(&conf(
        "push_stream_shared_memory_size 100m; gzip on; gzip_types text/plain;",
        LOCATIONS,
    ))
}

/// Sends this head and waits for the stream. Returns its connection, and its head.
fn follow(server: &Server, head: &str) -> (Connection, String) {
    let mut connection = server.connect();
    connection.send(head);
    let head = connection.read_head();
    assert_eq!(head.status, 200, "{head:?}");
    (connection, head.raw)
}

fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    loop {
        let line = chunks.split(|byte| *byte == b'\r').next();
        let line = std::str::from_utf8(line.expect("a head")).expect("digits");
        let length = usize::from_str_radix(line, 16).expect("digits");
        let chunk = &chunks[line.len() + 2..];
        payload.extend_from_slice(&chunk[..length]);
        chunks = chunk[length..].strip_prefix(b"\r\n").expect("a line end");
        if length == 0 {
            assert!(chunks.is_empty(), "nothing follows the last chunk");
            return payload;
        }
    }
}

#[test]
fn chunked_unframed_and_compressed_followers_get_the_same_payload() {
    let server = server();
    let large = "x".repeat(5000);
    for text in ["one", &large, "two"] {
        server.publish("a", text);
    }
    let (mut chunked, chunked_head) = follow(
        &server,
        "GET /sub/a.b3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let (mut unframed, unframed_head) = follow(&server, "GET /sub/a.b3 HTTP/1.0\r\n\r\n");
    let (mut zipped, zipped_head) = follow(
        &server,
        "GET /sub/a.b3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n",
    );
    let chunks = "Transfer-Encoding: chunked\r\n";
    assert!(chunked_head.contains(chunks) && !chunked_head.contains("gzip"));
    assert!(!unframed_head.contains(chunks) && !unframed_head.contains("gzip"));
    assert!(zipped_head.contains(chunks) && zipped_head.contains("Content-Encoding: gzip\r\n"));
    server.wait_for_subscribers("a", 3);
    server.publish("a", "three");
    let deleted = server.connect().request("DELETE", "/pub?id=a", &[], None);
    assert_eq!(deleted.head.status, 200);

    let payload = format!("H|<one><{large}><two><three><Channel deleted>|F");
    let chunked = chunked.read_to_close();
    let expected = format!(
        "2\r\nH|\r\n5\r\n<one>\r\n138a\r\n<{large}>\r\n5\r\n<two>\r\n7\r\n<three>\r\n\
         11\r\n<Channel deleted>\r\n2\r\n|F\r\n0\r\n\r\n"
    );
    assert_eq!(String::from_utf8(chunked).expect("UTF-8"), expected);
    let unframed = unframed.read_to_close();
    assert_eq!(String::from_utf8(unframed).expect("UTF-8"), payload);
    let member = unchunked(&zipped.read_to_close());
    let mut unzipped = String::new();
    GzDecoder::new(&member[..])
        .read_to_string(&mut unzipped)
        .expect("a complete member with the right checksum");
    assert_eq!(unzipped, payload);
    server.stop();
}

#[test]
fn a_frame_that_fills_the_socket_is_resumed_in_each_framing() {
    const MESSAGES: usize = 60;
    let server = server();
    let texts: Vec<String> = (0..MESSAGES)
        .map(|number| format!("{number}").repeat(100_000))
        .collect();
    for text in &texts {
        server.publish("a", text);
    }
    let [mut chunked, mut unframed] = ["HTTP/1.1\r\nHost: a", "HTTP/1.0"].map(|version| {
        let mut connection = server.connect_with_small_window();
        let path = format!("/sub/a.b{MESSAGES}");
        connection.send(format!("GET {path} {version}\r\nConnection: close\r\n\r\n"));
        connection.read_head();
        connection
    });
    server.wait_for_subscribers("a", 2);
    let deleted = server.connect().request("DELETE", "/pub?id=a", &[], None);
    assert_eq!(deleted.head.status, 200);

    let messages: String = texts.iter().map(|text| format!("<{text}>")).collect();
    let payload = format!("H|{messages}<Channel deleted>|F");
    assert!(unframed.read_to_close() == payload.as_bytes());
    assert!(unchunked(&chunked.read_to_close()) == payload.as_bytes());
    server.stop();
}
