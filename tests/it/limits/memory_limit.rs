//! The memory ceiling: what is charged is what the process takes, and when it is reached the server
//! refuses, shows its statistics, lets channels be deleted, and works again.

use crate::support::{Connection, Response, Server, object, turn, wait_until};

/// The bound of the servers that are filled.
const CEILING: u64 = 32 * 1024 * 1024;

/// What the process may take beside what is charged: caches, stacks, freed memory that the
/// allocator keeps.
const MARGIN: u64 = 12 * 1024 * 1024;

/// What the ceiling says in statistics.
fn counter(server: &Server, name: &str) -> u64 {
    object(&server.get("/channels-stats").body)[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {name}"))
}

/// Publishes to channels whose ids begin with `prefix`, many requests at a time, until that is
/// refused; returns how many were taken.
fn fill(server: &Server, prefix: &str, text: &[u8]) -> u64 {
    let mut number = 0;
    loop {
        let mut connection = server.connect();
        for _ in 0..500 {
            let path = format!("/pub?id={prefix}{number}");
            let answer = connection.request("POST", &path, &[], Some(text));
            if answer.head.status != 200 {
                assert_eq!(answer.head.status, 500, "{answer:?}");
                return number;
            }
            number += 1;
        }
    }
}

fn delete(server: &Server, channel: &str) -> Response {
    server
        .connect()
        .request("DELETE", &format!("/pub?id={channel}"), &[], None)
}

fn publish(server: &Server, channel: &str) -> Response {
    server
        .connect()
        .request("POST", &format!("/pub?id={channel}"), &[], Some(b"text"))
}

/// Follows in one of the modes.
fn follow(server: &Server, number: usize) -> Connection {
    match number % 4 {
        0 => server.websocket("/ws/c", &[]),
        1 => {
            let mut connection = server.connect();
            connection.send_request("GET", "/lp/c", &[], None);
            connection
        }
        2 => server.follow(&format!("/ev/c{number}"), &[]),
        _ => server.follow("/sub/c", &[]),
    }
}

/// Fills a server and compares what the process took with what was there to take.
fn check_accounting(what: &str, server: Server, fill: impl FnOnce(&Server) -> Vec<Connection>) {
    let before = server.memory("VmRSS");
    let held = fill(&server);
    let growth = server.memory("VmRSS").saturating_sub(before);
    eprintln!("{what}: {growth} bytes of {CEILING}");
    assert!(
        growth <= CEILING + MARGIN,
        "{what}: the process grew by {growth} bytes, the bound is {CEILING}"
    );
    assert!(
        growth >= CEILING / 2,
        "{what}: the process grew by no more than {growth} bytes, and {CEILING} were charged"
    );
    drop(held);
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_charged_is_what_the_process_takes() {
    let _turn = turn();
    let start = || Server::start(&["--memory", "32m", "--max-stored-messages", "1000000"]);
    for (what, bytes) in [
        ("channels", 1),
        ("small messages", 300),
        ("large messages", 100_000),
    ] {
        check_accounting(what, start(), |server| {
            fill(server, "c", &vec![b'x'; bytes]);
            Vec::new()
        });
    }
    check_accounting("subscribers and messages", start(), |server| {
        let held = (0..4000).map(|number| follow(server, number)).collect();
        fill(server, "m", &[b'x'; 1000]);
        held
    });
}

#[test]
fn messages_that_do_not_fit_are_refused_until_there_is_room() {
    let server = Server::start(&["--memory", "4m"]);
    let mut follower = server.follow("/sub/kept", &[]);
    let large = vec![b'x'; 1_000_000];
    while server
        .connect()
        .request("POST", "/pub?id=big", &[], Some(&large))
        .head
        .status
        == 200
    {}
    let stored = server.get("/channels-stats?id=big");
    let refused = server
        .connect()
        .request("POST", "/pub?id=big", &[], Some(&large));
    assert_eq!(
        (refused.head.status, refused.head.get("Connection")),
        (500, Some("close")),
        "{refused:?}"
    );
    assert_eq!(
        refused.head.get("Cache-Control"),
        Some("no-cache, no-store, must-revalidate"),
        "{refused:?}"
    );
    assert_eq!(
        server.get("/channels-stats?id=big").body,
        stored.body,
        "a refused message changes nothing"
    );
    assert!(counter(&server, "channels") >= 2, "statistics are shown");
    assert_eq!(delete(&server, "big").head.status, 200);
    wait_until("there is room again", || {
        server
            .connect()
            .request("POST", "/pub?id=kept", &[], Some(&large))
            .head
            .status
            == 200
    });
    assert_eq!(
        follower
            .next_line()
            .map(|message| (message.id, message.text.len())),
        Some((1, large.len()))
    );
    server.stop();
}

#[test]
fn channels_and_subscribers_that_do_not_fit_are_refused_until_there_is_room() {
    let server = Server::start(&[
        "--memory",
        "1m",
        "--keepalive-timeout",
        "10m",
        "--linger-time",
        "10m",
    ]);
    let mut follower = server.follow("/sub/c0", &[]);
    // Held to the end, so that no connection gives back room while the refusals are checked.
    let mut publishers = Vec::new();
    let stores = |number: &usize| {
        let mut publisher = server.connect();
        let status = publisher
            .request("POST", &format!("/pub?id=c{number}"), &[], Some(b"x"))
            .head
            .status;
        publishers.push(publisher);
        status == 200
    };
    let channels = (0..).take_while(stores).count();
    assert!(channels > 100, "{channels}");
    // Publishing to a new channel: a head without explanation. Following one: an empty explanation.
    let refused = publish(&server, "new");
    assert_eq!(
        (refused.head.status, refused.body.len()),
        (500, 0),
        "{refused:?}"
    );
    for path in ["/sub/new", "/ev/new", "/lp/new", "/poll/new"] {
        let refused = server.get(path);
        assert_eq!(
            (refused.head.status, refused.head.explain()),
            (500, Some("")),
            "{path}: {refused:?}"
        );
    }
    let mut websocket = server.connect();
    assert_eq!(websocket.upgrade("/ws/new", &[]).status, 101);
    let close = websocket.read_frame();
    assert_eq!(
        close.payload[2..],
        *b"{\"http_status\": 500, \"explain\":\"\"}"
    );
    websocket.expect_close();
    assert_eq!(server.get("/channels-stats").head.status, 200);
    for number in 0..channels.min(100) {
        assert_eq!(
            delete(&server, &format!("c{}", channels - 1 - number))
                .head
                .status,
            200
        );
    }
    wait_until("there is room again", || {
        publish(&server, "new").head.status == 200
    });
    assert_eq!(
        server
            .follow("/sub/new.b1", &[])
            .next_line()
            .map(|message| message.text)
            .as_deref(),
        Some("text")
    );
    assert_eq!(
        follower.next_line().map(|message| message.text).as_deref(),
        Some("x"),
        "who followed before still does"
    );
    server.stop();
}

#[test]
fn subscribers_that_do_not_fit_are_refused_until_others_leave() {
    let server = Server::start(&["--memory", "1m"]);
    let mut followers = Vec::new();
    let refused = loop {
        let mut connection = server.connect();
        connection.send_request("GET", "/sub/c", &[], None);
        let head = connection.read_head();
        if head.status != 200 {
            break head;
        }
        followers.push(connection);
        assert!(
            followers.len() < 2000,
            "the bound does not hold for subscribers"
        );
    };
    assert_eq!((refused.status, refused.explain()), (500, Some("")));
    assert!(followers.len() > 100, "{}", followers.len());
    let count = followers.len() as u64;
    assert_eq!(server.subscribers("c"), count);
    assert_eq!(counter(&server, "subscribers"), count);
    followers.truncate(followers.len() - 20);
    server.wait_for_subscribers("c", count - 20);
    let mut late = server.follow("/sub/c", &[]);
    server.publish("c", "to all");
    for follower in followers.iter_mut().chain([&mut late]) {
        assert_eq!(
            follower.next_line().map(|message| message.text).as_deref(),
            Some("to all")
        );
    }
    server.stop();
}

#[test]
fn what_slow_subscribers_do_not_take_counts_against_the_memory() {
    const SLOW: u64 = 40;
    let _turn = turn();
    let server = Server::start(&["--memory", "8m", "--shards", "1"]);
    let mut healthy = server.follow("/sub/c", &[]);
    let before = server.memory("VmRSS");
    // Six bytes of JSON for each.
    let text = vec![1; 300_000];
    let slow: Vec<Connection> = (0..SLOW)
        .map(|number| {
            let mut connection = server.connect_with_small_window();
            connection.send_request("GET", &format!("/sub/s{number}/c"), &[], None);
            connection.read_head();
            connection
        })
        .collect();
    server.wait_for_subscribers("c", SLOW + 1);
    for number in 0..SLOW {
        // The socket takes some, and one waits, as far as there is room.
        for _ in 0..5 {
            server
                .connect()
                .request("POST", &format!("/pub?id=s{number}"), &[], Some(&text));
        }
        delete(&server, &format!("s{number}"));
    }
    wait_until("some are dropped", || server.subscribers("c") < SLOW + 1);
    let growth = server.memory("VmHWM").saturating_sub(before);
    assert!(growth < 40_000_000, "memory grew by {growth} bytes");
    drop(slow);
    server.wait_for_subscribers("c", 1);
    server.publish("c", "healthy");
    assert_eq!(
        healthy.next_line().map(|message| message.text).as_deref(),
        Some("healthy")
    );
    server.stop();
}

#[test]
fn heads_that_are_not_complete_count_against_the_memory() {
    const HEADS: usize = 600;
    let server = Server::start(&["--memory", "4m", "--header-timeout", "1h"]);
    let head = format!("GET /pub?id=a HTTP/1.1\r\nX: {}", "x".repeat(30_000));
    let mut connections: Vec<Connection> = (0..HEADS).map(|_| server.connect()).collect();
    for connection in &mut connections {
        // Some are refused meanwhile.
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

/// What many clients leave half done. Each request of them is small enough for itself.
fn hoarded() -> Vec<(&'static str, usize, Vec<u8>)> {
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
    for (what, count, bytes) in hoarded() {
        let server = Server::start(&["--memory", "16m", "--shards", "1"]);
        // An answer means that all of it has started.
        assert_eq!(server.get("/channels-stats").head.status, 200, "{what}");
        let descriptors = server.descriptors();
        let before = server.memory("VmRSS");
        let mut held: Vec<Connection> = (0..count).map(|_| server.connect()).collect();
        for connection in &mut held {
            // Those without room are refused.
            let _ = connection.try_send(&bytes);
        }
        assert_eq!(server.get("/channels-stats").head.status, 200, "{what}");
        assert!(
            counter(&server, "incoming_used") <= counter(&server, "incoming_limit"),
            "{what}"
        );
        // Which ends each of them after all of it was read.
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
        "nobody is dropped for pinging"
    );
    server.stop();
}
