//! Lists of channels at `/channels-stats`: however long they are, nobody waits for them but who asked.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{Connection, Server, conf, object, turn, wait_until};

/// Makes channels `c0`, `c1` and so on, with something behind.
fn make_channels(server: &Server, count: usize, behind: &str) {
    let lines: String = (0..count).map(|number| format!("{{\"channel\":\"c{number}{behind}\",\"text\":\"t\"}}\n")).collect();
    let made = server.connect().request("POST", "/pub", &[("Content-Type", "application/x-ndjson")], Some(lines.as_bytes()));
    assert_eq!(object(&made.body)["published"], count, "{}", made.text());
}

/// The ids of a list, in its order.
fn ids(body: &[u8]) -> Vec<String> {
    let infos = object(body)["infos"].as_array().cloned().unwrap_or_default();
    infos.iter().map(|info| info["channel"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_long_list_comes_whole_and_the_connection_goes_on() {
    const CHANNELS: usize = 5000;
    let server = Server::start(&["--shards", "1"]);
    make_channels(&server, CHANNELS, "");
    let all: Vec<String> = (0..CHANNELS).map(|number| format!("c{number}")).collect();
    let mut connection = server.connect();
    // With a body that nobody wants, and a request behind it.
    connection.send("GET /channels-stats?id=ALL HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    connection.send("GET /channels-stats?id=c49* HTTP/1.1\r\nHost: a\r\n\r\nGET /channels-stats HTTP/1.1\r\nHost: a\r\n\r\n");
    let list = connection.read_response();
    assert!(list.body.len() > 500_000, "longer than what is written at once: {}", list.body.len());
    assert_eq!((list.head.get("Connection"), list.head.get("Content-Length")), (Some("keep-alive"), Some(&*list.body.len().to_string())));
    assert_eq!(ids(&list.body), all);
    let expected: Vec<&String> = all.iter().filter(|id| id.starts_with("c49")).collect();
    assert_eq!(ids(&connection.read_response().body).iter().collect::<Vec<_>>(), expected);
    assert_eq!(object(&connection.read_response().body)["channels"], Value::from(CHANNELS));
    connection.send("GET /channels-stats?id=ALL HTTP/1.0\r\n\r\n");
    assert_eq!(ids(&connection.read_response().body), all);
    connection.expect_close();
    server.stop();
}

#[test]
fn a_list_has_the_headers_and_the_compression_of_its_location() {
    let locations = r#"
        location /pub { push_stream_publisher; push_stream_channels_path $arg_id; pushctl_batch on; }
        location /stats {
            push_stream_channels_statistics; push_stream_channels_path $arg_id;
            gzip on; gzip_types application/json; add_header X-Good yes;
        }"#;
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", locations));
    make_channels(&server, 3000, "");
    let plain = server.get("/stats?id=ALL");
    let packed = server.connect().request("GET", "/stats?id=ALL", &[("Accept-Encoding", "gzip")], None);
    assert_eq!((plain.head.get("X-Good"), plain.head.get("Content-Encoding")), (Some("yes"), None));
    assert_eq!((packed.head.get("X-Good"), packed.head.get("Content-Encoding")), (Some("yes"), Some("gzip")));
    let mut unpacked = Vec::new();
    GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).expect("a gzip member");
    assert_eq!((ids(&unpacked).len(), ids(&plain.body)), (3000, ids(&unpacked)));
    server.stop();
}

#[test]
fn lists_that_nobody_reads_count_against_the_memory() {
    const DEAF: usize = 24;
    // As much as may be coming in or going out.
    const ROOM: usize = 16 * 1024 * 1024;
    let _turn = turn();
    let server = Server::start(&["--memory", "16m", "--shards", "1"]);
    // A list is longer than what a socket takes of it.
    make_channels(&server, 8000, &"x".repeat(240));
    let list_bytes = server.get("/channels-stats?id=ALL").body.len();
    assert!(DEAF * list_bytes > 3 * ROOM, "{list_bytes} bytes");
    let before = server.memory("VmHWM");
    let deaf: Vec<Connection> = (0..DEAF)
        .map(|_| {
            let mut connection = server.connect_with_small_window();
            connection.send_request("GET", "/channels-stats?id=ALL", &[], None);
            connection
        })
        .collect();
    let dropped = || object(&server.get("/channels-stats").body)["dropped_requests_memory"].as_u64().unwrap_or_default();
    wait_until("those without room are dropped", || dropped() >= (DEAF - ROOM / list_bytes) as u64);
    let growth = server.memory("VmHWM").saturating_sub(before);
    assert!(growth < 2 * ROOM as u64, "memory grew by {growth} bytes");
    drop(deaf);
    wait_until("there is room again", || object(&server.get("/channels-stats").body)["incoming_used"] == 0);
    assert_eq!(server.get("/channels-stats?id=ALL").body.len(), list_bytes);
    server.stop();
}
