//! Memory of requests, messages and pings that clients leave unfinished or unread.

use super::memory_limit::{MARGIN, counter};
use crate::support::{Connection, Server, object, turn, wait_until};

#[test]
fn heads_that_are_not_complete_are_charged_to_the_memory_limit() {
    const HEADS: usize = 600;
    let server = Server::start(&["--memory", "4m", "--header-timeout", "1h"]);
    let head = format!("GET /pub?id=a HTTP/1.1\r\nX: {}", "x".repeat(30_000));
    let mut connections: Vec<Connection> = (0..HEADS).map(|_| server.connect()).collect();
    for connection in &mut connections {
        // Some are rejected by then.
        let _ = connection.try_send(&head);
    }
    // 8 MiB may be coming in.
    let mut closed = [false; HEADS];
    wait_until("those without room are closed", || {
        for (connection, closed) in connections.iter_mut().zip(&mut closed) {
            *closed = *closed || connection.closed_within(std::time::Duration::ZERO);
        }
        closed.iter().filter(|closed| !**closed).count() <= 300
    });
    drop(connections);
    wait_until("requests work again", || {
        let mut connection = server.connect();
        connection.send(&head);
        connection.send("\r\nHost: localhost\r\n\r\n");
        connection
            .try_read_head()
            .is_some_and(|head| head.status == 404)
    });
    server.stop();
}

/// Unfinished requests of many clients. Each single request is small enough.
fn fill_with_unfinished() -> Vec<(&'static str, usize, Vec<u8>)> {
    let ids = |count: usize| {
        (0..count)
            .map(|number| format!("a{number}"))
            .collect::<Vec<_>>()
            .join("/")
    };
    let header = "y".repeat(31_000);
    let ids = ids(990);
    let text = "x".repeat(190_000);
    let ndjson = "Content-Type: application/x-ndjson\r\n";
    [
        (
            "long heads",
            1500,
            format!(
                "POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\nX: {header}\r\n\
                                      Content-Length: 100\r\n\r\nab"
            ),
        ),
        (
            "long heads of followers",
            1500,
            format!(
                "GET /sub/a HTTP/1.1\r\nHost: localhost\r\nX: {header}\r\n\
                     Content-Length: 100\r\n\r\nab"
            ),
        ),
        (
            "ids",
            1000,
            format!(
                "DELETE /pub?id={ids} HTTP/1.1\r\nHost: localhost\r\n\
                               Content-Length: 100\r\n\r\nab"
            ),
        ),
        (
            "ids of batches",
            1000,
            format!(
                "POST /pub?id={ids} HTTP/1.1\r\nHost: localhost\r\n\
                                          {ndjson}Content-Length: 100\r\n\r\n{{"
            ),
        ),
        (
            "half lines",
            400,
            format!(
                "POST /pub HTTP/1.1\r\nHost: localhost\r\n\
                                     {ndjson}Content-Length: 2000000\r\n\r\n{{\"text\":\"{text}"
            ),
        ),
    ]
    .map(|(what, count, bytes)| (what, count, bytes.into_bytes()))
    .into()
}

#[cfg(target_os = "linux")]
#[test]
fn whatever_clients_leave_half_done_the_process_stays_within_twice_the_memory() {
    const MEMORY: u64 = 16 * 1024 * 1024;
    let _turn = turn();
    for (what, count, bytes) in fill_with_unfinished() {
        let server = Server::start(&["--memory", "16m", "--shards", "1"]);
        // A response means that all of it has started.
        assert_eq!(server.get("/channels-stats").head.status, 200, "{what}");
        let descriptors = server.descriptors();
        let before = server.memory("VmRSS");
        let mut held: Vec<Connection> = (0..count).map(|_| server.connect()).collect();
        for connection in &mut held {
            // Those without memory are rejected.
            let _ = connection.try_send(&bytes);
        }
        assert_eq!(server.get("/channels-stats").head.status, 200, "{what}");
        assert!(
            counter(&server, "incoming_used") <= counter(&server, "incoming_limit"),
            "{what}"
        );
        // The server ends each of them after reading all of it.
        held.iter_mut().for_each(Connection::half_close);
        wait_until("all are gone", || server.descriptors() <= descriptors);
        let growth = server.memory("VmHWM").saturating_sub(before);
        eprintln!("{what}: {growth} bytes of {MEMORY}");
        assert!(
            growth <= 2 * MEMORY + MARGIN,
            "{what}: the process grew by {growth} bytes, the bound is {MEMORY}"
        );
        server.stop();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn pings_of_clients_that_do_not_read_take_no_memory() {
    const CLIENTS: u64 = 100;
    let _turn = turn();
    let server = Server::start(&["--memory", "16m", "--shards", "1"]);
    let mut held: Vec<Connection> = (0..CLIENTS)
        .map(|_| server.connect_with_small_window())
        .collect();
    for websocket in &mut held {
        websocket.upgrade("/ws/c", &[]);
    }
    server.wait_for_subscribers("c", CLIENTS);
    (0..10).for_each(|_| drop(server.publish("c", vec![b'x'; 500_000])));
    let before = server.memory("VmRSS");
    let pings = crate::support::frame(crate::support::opcode::PING, b"").repeat(8000);
    for websocket in &mut held {
        websocket.send(&pings);
        websocket.send(crate::support::frame(crate::support::opcode::TEXT, b"done"));
    }
    wait_until("all pings were read", || {
        object(&server.get("/channels-stats?id=c").body)["published_messages"].as_u64()
            == Some(10 + CLIENTS)
    });
    let growth = server.memory("VmHWM").saturating_sub(before);
    assert!(growth < 8_000_000, "memory grew by {growth} bytes");
    assert_eq!(
        server.subscribers("c"),
        CLIENTS,
        "no client is dropped for pinging"
    );
    server.stop();
}
