//! Channel lists at `/channels-stats`: their size delays no other client.

use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{Connection, Directory, Server, conf, object, turn, wait_until};

/// Makes channels `c0`, `c1` and so on, with something behind.
fn make_channels(server: &Server, count: usize, behind: &str) {
    let lines: String = (0..count)
        .map(|number| format!("{{\"channel\":\"c{number}{behind}\",\"text\":\"t\"}}\n"))
        .collect();
    let made = server.connect().request(
        "POST",
        "/pub",
        &[("Content-Type", "application/x-ndjson")],
        Some(lines.as_bytes()),
    );
    assert_eq!(object(&made.body)["published"], count, "{}", made.text());
}

/// The ids of a list, in its order.
fn ids(body: &[u8]) -> Vec<String> {
    let infos = object(body)["infos"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    infos
        .iter()
        .map(|info| info["channel"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_long_list_is_complete_and_the_connection_is_kept() {
    const CHANNELS: usize = 5000;
    let server = Server::start(&["--shards", "1"]);
    make_channels(&server, CHANNELS, "");
    let all: Vec<String> = (0..CHANNELS).map(|number| format!("c{number}")).collect();
    let mut connection = server.connect();
    // With an unused body, and a pipelined request after it.
    connection.send(
        "GET /channels-stats?id=ALL HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody",
    );
    connection.send(
        "GET /channels-stats?id=c49* HTTP/1.1\r\nHost: localhost\r\n\r\n\
               GET /channels-stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    let list = connection.read_response();
    assert!(
        list.body.len() > 500_000,
        "longer than what is written at once: {}",
        list.body.len()
    );
    assert_eq!(
        (list.head.get("Connection"), list.head.get("Content-Length")),
        (Some("keep-alive"), Some(&*list.body.len().to_string()))
    );
    assert_eq!(ids(&list.body), all);
    let expected: Vec<&String> = all.iter().filter(|id| id.starts_with("c49")).collect();
    assert_eq!(
        ids(&connection.read_response().body)
            .iter()
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        object(&connection.read_response().body)["channels"],
        Value::from(CHANNELS)
    );
    connection.send("GET /channels-stats?id=ALL HTTP/1.0\r\n\r\n");
    assert_eq!(ids(&connection.read_response().body), all);
    connection.expect_close();
    server.stop();
}

#[test]
fn a_list_has_the_headers_and_the_compression_of_its_location() {
    let locations = r#"
        location /pub { push_stream_publisher; push_stream_channels_path $arg_id; pushctl_batch on;
            }
        location /stats {
            push_stream_channels_statistics; push_stream_channels_path $arg_id;
            gzip on; gzip_types application/json; add_header X-Good yes;
        }"#;
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", locations));
    make_channels(&server, 3000, "");
    let plain = server.get("/stats?id=ALL");
    let packed =
        server
            .connect()
            .request("GET", "/stats?id=ALL", &[("Accept-Encoding", "gzip")], None);
    assert_eq!(
        (plain.head.get("X-Good"), plain.head.get("Content-Encoding")),
        (Some("yes"), None)
    );
    assert_eq!(
        (
            packed.head.get("X-Good"),
            packed.head.get("Content-Encoding")
        ),
        (Some("yes"), Some("gzip"))
    );
    let mut unpacked = Vec::new();
    GzDecoder::new(&packed.body[..])
        .read_to_end(&mut unpacked)
        .expect("a gzip member");
    assert_eq!(
        (ids(&unpacked).len(), ids(&plain.body)),
        (3000, ids(&unpacked))
    );
    server.stop();
}

/// Lists of the same channels that are not the same: bytes of the longest are returned, too.
fn different_lists() -> Vec<(String, &'static str)> {
    let kinds = [
        "application/json",
        "text/plain",
        "text/x-yaml",
        "application/xml",
        "application/yaml",
        "text/x-json",
    ];
    let prefixes = ["ALL", "c*", "*"];
    let details = ["0", "1"];
    let lists = prefixes.into_iter().flat_map(|prefix| {
        details.map(|details| format!("/channels-stats?id={prefix}&details={details}"))
    });
    lists
        .flat_map(|path| kinds.map(|kind| (path.clone(), kind)))
        .collect()
}

#[test]
fn unread_lists_are_charged_to_the_memory_limit() {
    // As much as may be coming in or going out.
    const ROOM: usize = 16 * 1024 * 1024;
    let _turn = turn();
    let server = Server::start(&["--memory", "16m", "--shards", "1"]);
    // A list exceeds the socket buffers.
    make_channels(&server, 8000, &"x".repeat(240));
    let list_bytes = server.get("/channels-stats?id=ALL&details=0").body.len();
    let lists = different_lists();
    // `*` is `ALL`.
    assert!(
        lists.len() / 3 * 2 * list_bytes > 3 * ROOM,
        "{list_bytes} bytes"
    );
    let before = server.memory("VmHWM");
    let mut deaf = Vec::new();
    for (path, kind) in &lists {
        let mut connection = server.connect_with_small_window();
        connection.send_request("GET", path, &[("Accept", kind)], None);
        deaf.push(connection);
    }
    let refused = || {
        object(&server.get("/channels-stats").body)["dropped_requests_memory"]
            .as_u64()
            .unwrap_or_default()
    };
    wait_until("those without memory are rejected", || {
        refused() >= (lists.len() / 3 * 2 - ROOM / list_bytes) as u64
    });
    let growth = server.memory("VmHWM").saturating_sub(before);
    assert!(growth < 2 * ROOM as u64, "memory grew by {growth} bytes");
    drop(deaf);
    wait_until("there is room again", || {
        object(&server.get("/channels-stats").body)["incoming_used"] == 0
    });
    assert_eq!(
        server.get("/channels-stats?id=ALL&details=0").body.len(),
        list_bytes
    );
    server.stop();
}

#[test]
fn a_shared_list_is_charged_once() {
    const CLIENTS: usize = 40;
    let Some((server, _directory, file)) = stalled(&["--memory", "32m"]) else {
        return;
    };
    make_channels(&server, 8000, &"x".repeat(240));
    let ask = |_| {
        let mut client = server.connect_with_small_window();
        client.send(
            "GET /channels-stats HTTP/1.1\r\nHost: localhost\r\n\r\n\
                   GET /channels-stats?id=ALL HTTP/1.1\r\nHost: localhost\r\n\r\n",
        );
        assert_eq!(client.read_response().head.status, 200);
        client
    };
    let first = ask(0);
    wait_until("it is begun", || file.with_extension("reached").exists());
    // These are concurrent: responses may use half of the memory, and they need 100 MB in all.
    let clients: Vec<Connection> = (1..CLIENTS).map(ask).collect();
    std::fs::remove_file(file).expect("the file is there");
    for mut client in clients.into_iter().chain([first]) {
        assert_eq!(ids(&client.read_response().body).len(), 8000);
    }
    server.stop();
}

/// Ends with the connection once it is read.
const LAST: &str = "GET /channels-stats?id=ALL HTTP/1.0\r\n\r\n";

#[test]
fn lists_that_were_sent_take_no_memory_while_their_connections_linger() {
    const CLIENTS: usize = 40;
    let _turn = turn();
    let server = Server::start(&["--memory", "16m", "--shards", "1", "--linger-time", "1m"]);
    make_channels(&server, 8000, &"x".repeat(240));
    let list_bytes = server.get("/channels-stats?id=ALL").body.len();
    let before = server.memory("VmHWM");
    let mut lingering = Vec::new();
    for _ in 0..CLIENTS {
        let mut connection = server.connect();
        connection.send(LAST);
        assert_eq!(connection.read_response().body.len(), list_bytes);
        lingering.push(connection);
    }
    let growth = server.memory("VmHWM").saturating_sub(before);
    assert!(
        growth < 6 * list_bytes as u64,
        "memory grew by {growth} bytes, a list has {list_bytes}"
    );
    server.stop();
}

#[test]
fn a_compressed_list_that_was_sent_is_not_counted_any_more() {
    let locations = r#"
        location /pub { push_stream_publisher; push_stream_channels_path $arg_id; pushctl_batch on;
            }
        location /channels-stats { push_stream_channels_statistics;
            push_stream_channels_path $arg_id; gzip on; gzip_types *; }"#;
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 64m;", locations));
    make_channels(&server, 20_000, "");
    let mut client = server.connect();
    client.send(
        "GET /channels-stats?id=ALL HTTP/1.1\r\nHost: localhost\r\n\
                 Accept-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbody",
    );
    let list = client.read_response();
    assert!(
        list.head.get("Content-Encoding") == Some("gzip") && list.body.len() > 50_000,
        "{} bytes",
        list.body.len()
    );
    // This is the charged memory now.
    client.send("GET /chan");
    let incoming =
        || object(&server.get("/channels-stats?details=1").body)["incoming_used"].as_u64();
    wait_until("half a head is counted", || {
        incoming().is_some_and(|bytes| (1..16 * 1024).contains(&bytes))
    });
    client.send("nels-stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.read_response().head.status, 200);
    server.stop();
}

/// A server of one shard that pauses before it builds a list while this file exists; `None` if the
/// build under test has no failpoints.
fn stalled(args: &[&str]) -> Option<(Server, Directory, PathBuf)> {
    let has_faults = cfg!(debug_assertions) && std::env::var_os("PUSHCTL_BIN").is_none();
    has_faults.then(|| {
        let directory = Directory::new("lists");
        let file = directory.write("stall", "");
        let stall = format!("list:{}", file.display());
        let server = Server::with_environment(
            &[("PUSHCTL_STALL", &stall)],
            &[&["--shards", "1"][..], args].concat(),
        );
        (server, directory, file)
    })
}

#[test]
fn lists_delay_no_other_client() {
    let Some((server, _directory, file)) = stalled(&["--max-waiting-lists", "2"]) else {
        return;
    };
    server.publish("a", "m1");
    let mut follower = server.follow("/sub/a", &[]);
    let ask = |path: &str| {
        let mut client = server.connect();
        // After the first response the shard builds the list.
        client.send(format!(
            "GET /channels-stats HTTP/1.1\r\nHost: localhost\r\n\r\n\
                             GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        assert_eq!(client.read_response().head.status, 200);
        client
    };
    // The first list is being built: later requests must see newer data.
    let mut first = ask("/channels-stats?id=ALL");
    wait_until("it is begun", || file.with_extension("reached").exists());
    server.publish("b", "m1");
    server.publish("a", "m2");
    assert_eq!(
        follower.next_line().map(|message| message.text).as_deref(),
        Some("m2")
    );
    // Clients that disconnect, clients that wait, another list, and one client too many.
    for _ in 0..50 {
        ask("/channels-stats?id=ALL");
    }
    let mut second = ask("/channels-stats?id=ALL");
    let mut third = ask("/channels-stats?id=b*");
    let refused = ask("/channels-stats?id=c*").read_response();
    assert_eq!(
        (
            refused.head.status,
            refused.head.get("Retry-After"),
            refused.head.get("Connection")
        ),
        (503, Some("1"), Some("keep-alive"))
    );
    assert!(
        [&mut first, &mut second, &mut third]
            .into_iter()
            .all(|client| !client.has_received())
    );
    std::fs::remove_file(file).expect("the file is there");
    assert_eq!(
        ids(&first.read_response().body).first().map(String::as_str),
        Some("a")
    );
    assert_eq!(ids(&second.read_response().body), ["a", "b"]);
    assert_eq!(ids(&third.read_response().body), ["b"]);
    assert_eq!(
        ids(&second
            .request("GET", "/channels-stats?id=ALL", &[], None)
            .body),
        ["a", "b"]
    );
    server.stop();
}

#[test]
fn requested_lists_are_sent_before_shutdown() {
    let Some((mut server, _directory, file)) = stalled(&["--grace", "1m"]) else {
        return;
    };
    server.publish("a", "m1");
    let mut client = server.connect();
    client.send_request("GET", "/channels-stats?id=ALL", &[], None);
    wait_until("it is begun", || file.with_extension("reached").exists());
    server.terminate();
    wait_until("the server has heard of its end", || {
        server.stderr().contains("stopping: ")
    });
    std::fs::remove_file(file).expect("the file is there");
    let list = client.read_response();
    assert_eq!(
        (list.head.get("Connection"), ids(&list.body)),
        (Some("close"), vec!["a".to_owned()])
    );
    assert!(server.wait().success());
}
