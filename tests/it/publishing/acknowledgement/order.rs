//! Order of responses while messages wait for their acknowledgement.

use super::{engine, post, stored, try_read_response};
use crate::support::{frame, object, opcode};

#[test]
fn pipelined_responses_keep_the_order_of_the_requests() {
    let Some(server) = engine("delay=1ms..30ms", &["--shards", "1"]) else {
        return;
    };
    let mut publisher = server.connect();
    // Two channels, whose messages overtake each other, rejections that need no engine, and
    // requests that do not publish, which see the messages before them.
    let mut requests = String::new();
    for number in 0..30 {
        requests += &post("/pub?id=a", &format!("a{number}"));
        requests += &post("/pub?id=b", &format!("b{number}"));
        requests += &post("/pub?id=ALL", "forbidden");
        requests += "GET /channels-stats?id=b HTTP/1.1\r\nHost: localhost\r\n\r\n";
    }
    publisher.send(requests);
    for number in 1..=30 {
        for channel in ["a", "b"] {
            let info = object(&publisher.read_response().body);
            assert_eq!(info["channel"], channel, "{number}");
            assert_eq!(info["published_messages"], number, "{number}");
        }
        assert_eq!(publisher.read_response().head.status, 403, "{number}");
        let info = object(&publisher.read_response().body);
        assert_eq!(info["published_messages"], number, "the message before it");
    }
    server.stop();
}

#[test]
fn pipelined_messages_are_in_flight_together() {
    let Some(server) = engine("delay=100ms", &["--shards", "1"]) else {
        return;
    };
    let mut publisher = server.connect();
    let begin = std::time::Instant::now();
    let requests: String = (0..300)
        .map(|number| post("/pub?id=a", &number.to_string()))
        .collect();
    publisher.send(requests);
    for _ in 0..300 {
        assert_eq!(publisher.read_response().head.status, 200);
    }
    // One after the other would take 30 seconds.
    assert!(begin.elapsed().as_secs() < 15, "{:?}", begin.elapsed());
    server.stop();
}

#[test]
fn the_last_response_of_a_connection_waits_for_its_acknowledgement() {
    let Some(server) = engine("delay=20ms", &[]) else {
        return;
    };
    let mut publisher = server.connect();
    let last =
        "POST /pub?id=a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nb";
    let ignored = post("/pub?id=a", "c");
    publisher.send(post("/pub?id=a", "a") + last + &ignored);
    for count in 1..=2 {
        let response = publisher.read_response();
        assert_eq!(object(&response.body)["published_messages"], count);
    }
    publisher.expect_close();
    assert_eq!(stored(&server, "a"), ["a", "b"]);
    server.stop();
}

#[test]
fn an_error_ends_the_connection_as_without_a_delay() {
    let Some(server) = engine("delay=5ms,error=every:3", &["--shards", "1"]) else {
        return;
    };
    let mut publisher = server.connect();
    let requests: String = (1..=5)
        .map(|number| post("/pub?id=a", &number.to_string()))
        .collect();
    publisher.send(requests);
    let statuses: Vec<u16> = std::iter::from_fn(|| try_read_response(&mut publisher))
        .map(|response| response.head.status)
        .collect();
    assert_eq!(statuses, [200, 200, 500]);
    let log = stored(&server, "a");
    assert!(!log.contains(&"3".to_owned()), "{log:?}");
    server.stop();
}

#[test]
fn events_that_no_request_waits_for_arrive_in_order() {
    let Some(server) = engine("delay=1ms..9ms,events", &[]) else {
        return;
    };
    let mut events = server.follow("/sub?id=events", &[]);
    let mut publisher = server.connect();
    for number in 0..20 {
        let response = publisher.request("POST", &format!("/pub?id=c{number}"), &[], Some(b"text"));
        assert_eq!(response.head.status, 200);
    }
    for number in 0..20 {
        let event = format!("{{\"type\": \"channel_created\", \"channel\": \"c{number}\"}}\n");
        assert_eq!(events.read_until(b"\n"), event.as_bytes());
    }
    server.stop();
}

#[test]
fn deletions_wait_for_their_acknowledgement() {
    let Some(server) = engine("delay=20ms", &[]) else {
        return;
    };
    for (path, publisher) in [
        ("/pub?id=a", 200),
        ("/nchan?id=b", 202),
        ("/nhpm?id=c", 202),
    ] {
        let mut client = server.connect();
        let delete = format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.send(post(path, "text") + &delete + &delete);
        assert_eq!(client.read_response().head.status, publisher, "{path}");
        assert_eq!(client.read_response().head.status, 200, "{path}");
        assert!(
            stored(&server, &path[path.len() - 1..]).is_empty(),
            "{path}"
        );
    }
    server.stop();
}

#[test]
fn replies_of_a_websocket_keep_the_order_of_its_frames() {
    let Some(server) = engine("delay=1ms..9ms", &[]) else {
        return;
    };
    let mut websocket = server.websocket("/nchan?id=a", &[("Accept", "text/json")]);
    // More than may wait together, with pings between them.
    let mut frames = Vec::new();
    for number in 0..100 {
        frames.extend(frame(opcode::TEXT, format!("{number}").as_bytes()));
        frames.extend(frame(opcode::PING, format!("{number}").as_bytes()));
    }
    websocket.send(frames);
    for number in 0..100 {
        let reply = websocket.read_frame();
        assert_eq!(reply.opcode(), opcode::TEXT, "{number}");
        assert_eq!(object(&reply.payload)["messages"], number + 1);
        let pong = websocket.read_frame();
        assert_eq!(pong.opcode(), opcode::PONG);
        assert_eq!(pong.payload, format!("{number}").as_bytes());
    }
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(stored(&server, "a"), expected);
    server.stop();
}

#[test]
fn a_batch_counts_what_is_acknowledged_and_ends_at_the_first_error() {
    let Some(server) = engine("delay=3ms,error=every:500", &[]) else {
        return;
    };
    let lines: String = (1..=600)
        .map(|number| {
            format!(
                "{{\"channel\":\"c{}\",\"text\":\"{number}\"}}\n",
                number % 7
            )
        })
        .collect();
    let headers = [("Content-Type", "application/x-ndjson")];
    let mut publisher = server.connect();
    let response = publisher.request("POST", "/pub", &headers, Some(lines.as_bytes()));
    let answer = object(&response.body);
    assert_eq!(response.head.status, 500, "{answer}");
    assert_eq!(answer["error"]["line"], 500, "{answer}");
    let logged: usize = (0..7)
        .map(|channel| stored(&server, &format!("c{channel}")).len())
        .sum();
    assert_eq!(answer["published"], logged, "{answer}");
    assert!((499..600).contains(&logged), "{logged}");
    server.stop();
}
