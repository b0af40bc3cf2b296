//! Gaps of slow consumers: which message precedes them, and the cursor that they carry.

use super::slow_consumers::{PUBLISHED, flood, last_run, runs, unread_follower};
use crate::support::{Connection, Server, object};
use serde_json::Value;

/// The built-in locations with one stored message, so that slow followers miss messages.
fn builtin(policy: &str) -> Server {
    Server::start(&[
        "--shards",
        "1",
        "--slow-consumer",
        policy,
        "--max-lag",
        "300k",
        "--max-stored-messages",
        "1",
    ])
}

/// The next object of a built-in location, gaps too.
fn object_of(connection: &mut Connection, mode: &str) -> Value {
    loop {
        let value = match mode {
            "ws" => {
                let frame = connection.read_frame();
                if frame.opcode() != crate::support::opcode::TEXT {
                    continue;
                }
                object(&frame.payload)
            }
            "ev" => {
                let event = String::from_utf8(connection.read_until(b"\n\n")).expect("UTF-8");
                let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) else {
                    continue;
                };
                let value = object(data.as_bytes());
                assert_eq!(
                    event.contains("event: gap\n"),
                    value["id"] == -4,
                    "{event:.100}"
                );
                assert_eq!(
                    event.contains("id: "),
                    value["id"] != -4,
                    "a gap leaves the last event id alone: {event:.100}"
                );
                value
            }
            _ => object(&connection.read_until(b"\n")),
        };
        if value["id"] != -1 {
            return value;
        }
    }
}

#[test]
fn every_mode_sends_a_gap_with_cursor_before_the_next_message() {
    for policy in ["skip", "latest"] {
        let server = builtin(policy);
        for mode in ["sub", "ev", "ws"] {
            let mut slow = server.connect_with_small_window();
            let path = format!("/{mode}/{mode}");
            if mode == "ws" {
                slow.upgrade(&path, &[]);
            } else {
                slow.send_request("GET", &path, &[], None);
                slow.read_head();
            }
            server.wait_for_subscribers(mode, 1);
            flood(&server, &format!("/pub?id={mode}"), PUBLISHED);
            let mut gap = Value::Null;
            let runs = runs(PUBLISHED, mode, || {
                let value = object_of(&mut slow, mode);
                if value["id"] == -4 {
                    gap = value.clone();
                    assert_eq!(
                        value["text"],
                        format!("{} messages missed", value["missed"])
                    );
                    assert_eq!(
                        (&value["channel"], &value["eventid"], &value["at_least"]),
                        (&mode.into(), &"".into(), &Value::Null)
                    );
                }
                (
                    value["id"].as_i64().expect("an id"),
                    value["missed"].as_i64(),
                )
            });
            let came = last_run(&runs);
            assert_eq!(came == 1, policy == "latest", "{came} after the gap");
            let field = |name: &str| gap[name].as_str().expect("a text").to_owned();
            let headers = [
                ("If-Modified-Since", field("time")),
                ("If-None-Match", format!("W/{}", field("tag"))),
            ];
            let headers = headers
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            let resumed = server
                .connect()
                .request("GET", &format!("/poll/{mode}"), &headers, None);
            let first = resumed.text().lines().find_map(|line| {
                Some(object(line.as_bytes())["id"].as_i64())
                    .flatten()
                    .filter(|id| *id > 0)
            });
            // One of these is stored: everything else after the gap is a gap now.
            assert_eq!(first, Some(PUBLISHED));
            let missed = resumed
                .head
                .get("X-Pushctl-Missed")
                .map_or(0, |count| count.parse().expect("a number"));
            assert_eq!(missed, came - 1);
        }
        server.stop();
    }
}

#[test]
fn a_backlog_that_goes_while_it_is_read_is_a_gap() {
    const STORED: i64 = 200;
    let server = Server::start(&[
        "--shards",
        "1",
        "--slow-consumer",
        "skip",
        "--max-lag",
        "300k",
        "--max-stored-messages",
        "200",
    ]);
    flood(&server, "/pub?id=a", STORED);
    let mut slow = unread_follower(&server, "/sub/a.b999");
    server.wait_for_subscribers("a", 1);
    flood(&server, "/pub?id=a", STORED);
    let runs = runs(2 * STORED, "backlog", || {
        let value = object_of(&mut slow, "sub");
        (
            value["id"].as_i64().expect("an id"),
            value["missed"].as_i64(),
        )
    });
    assert_eq!(last_run(&runs), STORED as usize, "all that is stored comes");
    assert!(!runs[0].1.is_empty(), "the backlog had begun");
    server.stop();
}

#[test]
fn each_channel_reports_its_gap_in_order_of_positions() {
    for policy in ["skip", "latest"] {
        let server = builtin(policy);
        let mut slow = unread_follower(&server, "/sub/a/b");
        server.wait_for_subscribers("b", 1);
        for _ in 0..PUBLISHED {
            flood(&server, "/pub?id=a", 1);
            server.publish("b", "small");
        }
        let mut next = [1, 1];
        let mut positions = Vec::new();
        let mut gaps = 0;
        while next != [PUBLISHED + 1; 2] {
            let value = object_of(&mut slow, "sub");
            let channel = usize::from(value["channel"] == "b");
            let position = (
                value["time"].as_str().map(str::to_owned),
                value["tag"]
                    .as_str()
                    .and_then(|tag| tag.parse::<u32>().ok()),
            );
            if value["id"] == -4 {
                next[channel] += value["missed"].as_i64().expect("a number");
                gaps += 1;
                continue;
            }
            assert_eq!(value["id"], next[channel], "channel {channel}");
            next[channel] += 1;
            positions.push(position);
        }
        assert!(gaps > 0, "nothing was missed");
        // Within a second tags increase; seconds are distinguished by their order.
        assert!(
            positions
                .windows(2)
                .all(|pair| pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1),
            "{policy}: out of order"
        );
        server.stop();
    }
}

#[test]
fn deletion_during_a_gap_reports_gap_and_deletion() {
    let server = builtin("skip");
    let mut slow = unread_follower(&server, "/sub/a");
    server.wait_for_subscribers("a", 1);
    flood(&server, "/pub?id=a", PUBLISHED);
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=a", &[], None)
            .head
            .status,
        200
    );
    runs(PUBLISHED, "deleted", || {
        let value = object_of(&mut slow, "sub");
        (
            value["id"].as_i64().expect("an id"),
            value["missed"].as_i64(),
        )
    });
    assert_eq!(object_of(&mut slow, "sub")["id"], -2);
    assert!(slow.read_body().is_empty());
    server.stop();
}
