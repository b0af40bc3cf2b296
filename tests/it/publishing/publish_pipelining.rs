//! Publishers whose next request is read before the server waits for it, and several at the same
//! time.

use std::thread;

use crate::support::{Server, object};

/// Requests of a busy publisher.
const REQUESTS: u64 = 200;

fn post(channel: &str, text: &str) -> String {
    format!(
        "POST /pub?id={channel} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

#[test]
fn requests_split_anywhere_are_answered() {
    let server = Server::start(&["--shards", "1"]);
    let mut follower = server.follow("/ev/ch", &[]);
    let mut publisher = server.connect();
    for number in 0..REQUESTS {
        let text = format!("message {number}");
        let request = post("ch", &text);
        // At another byte each time: whole, within the request line, a header, the end of the head,
        // the body.
        let (first, second) = request.split_at(number as usize % request.len());
        publisher.send(first);
        publisher.send(second);
        assert_eq!(
            object(&publisher.read_response().body)["published_messages"],
            number + 1
        );
        follower.read_until(format!("\"text\":\"{text}\"").as_bytes());
    }
    publisher.half_close();
    publisher.expect_close();
    server.stop();
}

#[test]
fn a_lone_publisher_of_a_large_channel_delays_no_client() {
    const FOLLOWERS: usize = 600;
    let server = Server::start(&["--shards", "1"]);
    let mut followers: Vec<_> = (0..FOLLOWERS)
        .map(|_| server.follow("/ev/ch", &[]))
        .collect();
    let mut other = server.follow("/ev/other", &[]);
    let mut publisher = server.connect();
    for number in 1..=24 {
        publisher.send(post("ch", &format!("message {number}")));
        assert_eq!(
            object(&publisher.read_response().body)["published_messages"],
            number
        );
        // It has been the only one for a while then.
        if number % 8 == 0 {
            server.publish("other", format!("other {number}"));
            other.read_until(format!("\"other {number}\"").as_bytes());
        }
    }
    for follower in &mut followers {
        for number in 1..=24 {
            let sent = follower.read_until(format!("\"message {number}\"").as_bytes());
            assert_eq!(
                String::from_utf8_lossy(&sent).matches("\"text\":").count(),
                1,
                "in order, and once"
            );
        }
    }
    server.stop();
}

#[test]
fn concurrent_publishers_get_responses_in_order() {
    let server = Server::start(&["--shards", "1"]);
    let mut follower = server.follow("/ev/ch", &[]);
    thread::scope(|scope| {
        for name in 0..8 {
            let mut publisher = server.connect();
            scope.spawn(move || {
                let mut last = 0;
                for number in 0..REQUESTS / 2 {
                    // Two at once, with responses in one piece or in two.
                    publisher.send(
                        [
                            post("ch", &format!("{name}:{number}a")),
                            post("ch", &format!("{name}:{number}b")),
                        ]
                        .concat(),
                    );
                    for _ in 0..2 {
                        let published =
                            object(&publisher.read_response().body)["published_messages"].as_u64();
                        assert!(published > Some(last), "{name}: {published:?} after {last}");
                        last = published.unwrap_or_default();
                    }
                }
            });
        }
    });
    // The messages of each publisher are complete and in order.
    let mut next = [0; 8];
    for _ in 0..8 * REQUESTS {
        follower.read_until(b"\"text\":\"");
        let text = String::from_utf8(follower.read_until(b"\"")).expect("the texts are UTF-8");
        let (name, number) = text
            .trim_end_matches('"')
            .split_once(':')
            .expect("a name and a number");
        let expected = &mut next[name.parse::<usize>().expect("a name")];
        assert_eq!(
            number,
            format!("{}{}", *expected / 2, ["a", "b"][*expected % 2]),
            "of publisher {name}"
        );
        *expected += 1;
    }
    server.stop();
}

#[test]
fn a_connection_that_publishes_and_then_follows_keeps_the_order() {
    let server = Server::start(&["--shards", "1"]);
    let mut other = server.follow("/ev/ch", &[]);
    let mut connection = server.connect();
    connection.send(format!(
        "{}{}GET /ev/ch.b1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        post("ch", "one"),
        post("ch", "two")
    ));
    for number in 1..=2 {
        assert_eq!(
            object(&connection.read_response().body)["published_messages"],
            number
        );
    }
    assert_eq!(connection.read_head().status, 200);
    assert!(
        !String::from_utf8_lossy(&connection.read_until(b"\"text\":\"two\"")).contains("\"one\"")
    );
    other.read_until(b"\"text\":\"one\"");
    other.read_until(b"\"text\":\"two\"");
    server.stop();
}

#[test]
fn busy_publishers_do_not_keep_others_or_the_end_waiting() {
    let server = Server::start(&["--shards", "1"]);
    let _follower = server.follow("/ev/ch", &[]);
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut publisher = server.connect();
            scope.spawn(move || {
                // Until the server ends.
                while publisher.try_send(post("ch", "busy")) && publisher.try_read_head().is_some()
                {
                    publisher.read_body();
                }
            });
        }
        for number in 1..=20 {
            assert_eq!(
                object(&server.publish("another", "text").body)["published_messages"],
                number
            );
        }
        server.stop();
    });
}
