//! The memory limit: charged memory matches process memory, and at the limit the server rejects new
//! data, shows statistics, allows deletion, and recovers.

use crate::support::{Connection, Response, Server, object, turn, wait_until};

/// The bound of the servers that are filled.
const CEILING: u64 = 32 * 1024 * 1024;

/// Process memory that is not charged: caches, stacks, freed memory that the allocator keeps.
pub(super) const MARGIN: u64 = 12 * 1024 * 1024;

/// Value of a memory counter in the statistics.
pub(super) fn counter(server: &Server, name: &str) -> u64 {
    object(&server.get("/channels-stats").body)[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {name}"))
}

/// Publishes to channels whose ids begin with `prefix`, many requests at a time, until one is
/// rejected; returns the number of accepted ones.
fn fill(server: &Server, prefix: &str, text: &[u8]) -> u64 {
    let mut number = 0;
    loop {
        let mut connection = server.connect();
        for _ in 0..500 {
            let path = format!("/pub?id={prefix}{number}");
            let response = connection.request("POST", &path, &[], Some(text));
            if response.head.status != 200 {
                assert_eq!(response.head.status, 500, "{response:?}");
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

pub(super) fn publish(server: &Server, channel: &str) -> Response {
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

/// Fills a server and compares process memory with the charged memory.
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
fn charged_memory_matches_process_memory() {
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
fn messages_are_rejected_while_memory_is_full() {
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
fn channels_and_subscribers_are_rejected_while_memory_is_full() {
    let server = Server::start(&[
        "--memory",
        "1m",
        "--keepalive-timeout",
        "10m",
        "--linger-time",
        "10m",
    ]);
    let mut follower = server.follow("/sub/c0", &[]);
    // Held to the end, so that no connection frees memory during the checks.
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
fn subscribers_are_rejected_until_others_leave() {
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
fn unread_messages_are_charged_to_the_memory_limit() {
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
