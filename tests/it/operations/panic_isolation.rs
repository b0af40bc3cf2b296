//! Injected panics: each costs only the connection or follower that it concerns.

use std::time::Instant;

use crate::support::{Connection, Server, object, wait_until};

/// A server that panics at the failpoint `fault`; `None` if the build under test has no failpoints.
fn faulty(fault: &str) -> Option<Server> {
    let has_faults = cfg!(debug_assertions) && std::env::var_os("PUSHCTL_BIN").is_none();
    has_faults.then(|| {
        let server = Server::with_environment(&[("PUSHCTL_FAULT", fault)], &["--shards", "1"]);
        // From here on it has opened all its descriptors.
        server.get("/channels-stats");
        server
    })
}

const FOLLOWERS: usize = 8;

/// A follower over HTTP/1.0, whose stream just ends when the connection does.
fn follow(server: &Server, path: &str) -> Connection {
    let mut connection = server.connect();
    connection.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
    assert_eq!(connection.read_head().status, 200, "{path}");
    connection
}

/// Followers on one channel or two.
fn followers(server: &Server) -> Vec<Connection> {
    let followers = (0..FOLLOWERS)
        .map(|number| follow(server, ["/sub/a/b", "/sub/a", "/sub/b/a"][number % 3]))
        .collect();
    server.wait_for_subscribers("a", FOLLOWERS as u64);
    followers
}

/// The texts that a follower receives until `last`, or until it is closed.
fn texts(connection: &mut Connection, last: &str) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(message) = connection.next_line() {
        texts.push(message.text);
        if texts.last().is_some_and(|text| text == last) {
            break;
        }
    }
    texts
}

/// Checks that all but `lost` followers receive everything, that counters and descriptors are
/// right, and that the log has one line of the panic.
fn check(server: Server, mut followers: Vec<Connection>, descriptors: usize, lost: usize) {
    server.publish("b", "one more");
    server.publish("a", "last");
    let ended: Vec<bool> = followers
        .iter_mut()
        .map(|follower| {
            texts(follower, "last")
                .last()
                .is_none_or(|text| text != "last")
        })
        .collect();
    assert_eq!(
        ended.iter().filter(|ended| **ended).count(),
        lost,
        "{ended:?}"
    );
    server.wait_for_subscribers("a", (followers.len() - lost) as u64);
    drop(followers);
    for channel in ["a", "b"] {
        server.wait_for_subscribers(channel, 0);
    }
    wait_until("all descriptors are closed", || {
        server.descriptors() <= descriptors
    });
    let statistics = object(&server.get("/channels-stats").body);
    assert_eq!(statistics["subscribers"], 0);
    wait_until("the panic is logged", || {
        server.stderr().contains("panic: fault at")
    });
    let log = server.stderr();
    let panics: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("panic: fault at"))
        .collect();
    assert_eq!(panics.len(), 1, "{log}");
    assert!(
        panics[0].contains("the connection is closed") && panics[0].contains("src/server/"),
        "{log}"
    );
    assert!(
        !log.contains("continues after"),
        "delivery and time-keeping were not touched: {log}"
    );
    server.stop();
}

#[test]
fn a_panic_in_a_request_costs_its_connection() {
    let Some(server) = faulty("request:20") else {
        return;
    };
    let descriptors = server.descriptors();
    let mut followers = Vec::new();
    for number in 0..4 {
        followers.push(server.follow(
            if number % 2 == 0 {
                "/sub/a"
            } else {
                "/sub/a/b"
            },
            &[],
        ));
    }
    let mut failed = 0;
    for _ in 0..20 {
        let mut connection = server.connect();
        connection.send_request("GET", "/channels-stats", &[], None);
        failed += usize::from(connection.try_read_head().is_none());
    }
    assert_eq!(failed, 1);
    check(server, followers, descriptors + 1, 0);
}

#[test]
fn a_panic_in_a_delivery_costs_its_follower() {
    // Thirteen passes are the beginnings of the followers.
    for pass in ["14", "16", "21", "25"] {
        let Some(server) = faulty(&format!("delivery:{pass}")) else {
            return;
        };
        let descriptors = server.descriptors();
        let followers = followers(&server);
        server.publish("a", "first");
        server.publish("a", "second");
        check(server, followers, descriptors + 1, 1);
    }
}

#[test]
fn a_panic_in_a_delivery_by_the_only_publisher_costs_the_follower() {
    // After the beginnings of the followers, and when the publisher has been alone for a while.
    let Some(server) = faulty("delivery:100") else {
        return;
    };
    let descriptors = server.descriptors();
    let followers = followers(&server);
    let mut publisher = server.connect();
    for number in 1..=20 {
        publisher
            .send("POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\ntext");
        assert_eq!(
            object(&publisher.read_response().body)["published_messages"],
            number
        );
    }
    drop(publisher);
    check(server, followers, descriptors + 1, 1);
}

#[test]
fn a_panic_while_attaching_or_detaching_costs_that_follower_only() {
    for (fault, lost) in [("leaving:1", 0), ("leaving:2", 0), ("leaving:3", 0)] {
        let Some(server) = faulty(fault) else { return };
        let descriptors = server.descriptors();
        let mut followers = followers(&server);
        // In the middle, on two channels.
        for number in [3, 0] {
            drop(followers.remove(number));
            server.wait_for_subscribers("a", followers.len() as u64);
        }
        check(server, followers, descriptors + 1, lost);
    }
    let Some(server) = faulty("attaching:3") else {
        return;
    };
    let descriptors = server.descriptors();
    let mut followers = Vec::new();
    for number in 0..6 {
        let mut connection = server.connect();
        connection.send_request("GET", "/sub/a/b", &[], None);
        match connection.try_read_head() {
            Some(_) => followers.push(connection),
            None => assert_eq!(number, 2),
        }
    }
    check(server, followers, descriptors + 1, 0);
}

#[test]
fn a_failing_replayed_poll_costs_its_connection() {
    // The second one: the first was remembered, and is not routed again.
    let Some(server) = faulty("repeated poll:2") else {
        return;
    };
    server.publish("a", "text");
    let newest = server.get("/poll/a.b1");
    let [(date, at), (tag, of)] = newest.head.cursor();
    let old = [(date, "Thu, 01 Jan 1970 00:00:00 GMT"), (tag, "0")];
    let mut first = server.connect();
    let mut second = server.connect();
    for client in [&mut first, &mut second] {
        assert_eq!(client.request("GET", "/lp/a", &old, None).head.status, 200);
    }
    for _ in 0..2 {
        assert_eq!(first.request("GET", "/lp/a", &old, None).head.status, 200);
    }
    first.send_request("GET", "/lp/a", &[(date, at), (tag, of)], None);
    first.expect_close();
    assert_eq!(second.request("GET", "/lp/a", &old, None).head.status, 200);
    assert_eq!(server.subscribers("a"), 0);
    server.stop();
}

#[test]
fn a_failing_list_is_500() {
    let Some(server) = faulty("list:1") else {
        return;
    };
    server.publish("a", "text");
    let mut follower = server.follow("/sub/a", &[]);
    let mut client = server.connect();
    assert_eq!(
        client
            .request("GET", "/channels-stats?id=ALL", &[], None)
            .head
            .status,
        500
    );
    client.expect_close();
    wait_until("the panic is logged", || {
        server
            .stderr()
            .contains("the request for the list fails with 500")
    });
    assert_eq!(
        object(&server.get("/channels-stats?id=ALL").body)["infos"][0]["channel"],
        "a"
    );
    assert_eq!(object(&server.get("/channels-stats").body)["panics"], 1);
    server.publish("a", "next");
    assert_eq!(
        follower.next_line().map(|message| message.text).as_deref(),
        Some("next")
    );
    server.stop();
}

#[test]
fn recurring_panics_are_counted_and_rate_limited_in_the_log() {
    // The first request is that of `faulty`.
    let Some(server) = faulty("request:2+") else {
        return;
    };
    let begin = Instant::now();
    let mut panics = 0;
    let lines = || -> Vec<String> {
        server
            .stderr()
            .lines()
            .filter(|line| line.contains("panic: fault at"))
            .map(str::to_owned)
            .collect()
    };
    // Until a line counts all earlier ones.
    wait_until("suppressed lines are counted", || {
        for _ in 0..20 {
            let mut connection = server.connect();
            connection.send_request("GET", "/channels-stats", &[], None);
            connection.expect_close();
            panics += 1;
        }
        lines().len() >= 3
    });
    let lines = lines();
    let suppressed = |line: &String| {
        line.split("suppressed=")
            .nth(1)?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    };
    let suppressed: Vec<u64> = lines.iter().filter_map(suppressed).collect();
    let logged = suppressed.iter().sum::<u64>() + lines.len() as u64;
    assert_eq!(
        (suppressed.len(), suppressed[0]),
        (lines.len(), 0),
        "{lines:?}"
    );
    assert!(
        suppressed[1] > 0 && logged <= panics && logged + 40 > panics,
        "{panics} panics: {lines:?}"
    );
    assert!(
        lines.len() as u64 <= begin.elapsed().as_secs() + 2,
        "{lines:?}"
    );
    server.stop();
}
