//! Followers that do not read: the policies of locations in every mode, with sockets that are
//! really full.

use crate::support::{Connection, Server, conf, object, wait_until};
use serde_json::Value;

/// Bytes of the text of one message.
const TEXT: usize = 60_000;
/// Bytes charged for it: what it takes of the shared memory that the configuration sets.
const CHARGED: usize = TEXT + 144;
/// More than all the buffers between server and client take.
const PUBLISHED: i64 = 400;

/// Every policy in every endless mode, with messages that are not stored, and a small bound.
const LOCATIONS: &str = r#"
    location /channels-stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; push_stream_store_messages on; }
    location /pubn { push_stream_publisher admin; push_stream_channels_path $arg_id; }
    push_stream_message_template "~id~ ~channel~ ~text~\n";
    pushctl_slow_consumer_bytes 300k;
    pushctl_gap_notice on;
    location ~ ^/sub-skip/(.*)$ { push_stream_subscriber; push_stream_channels_path $1; pushctl_slow_consumer skip; }
    location ~ ^/sub-latest/(.*)$ { push_stream_subscriber; push_stream_channels_path $1; pushctl_slow_consumer latest; }
    location ~ ^/sub-disconnect/(.*)$ { push_stream_subscriber; push_stream_channels_path $1; }
    location ~ ^/sub-wide/(.*)$ {
        push_stream_subscriber; push_stream_channels_path $1; pushctl_slow_consumer skip; pushctl_slow_consumer_bytes 2m;
    }"#;

fn server(args: &[&str]) -> Server {
    let text = conf("push_stream_shared_memory_size 200m;", LOCATIONS);
    // On one thread a round comes before the next message is published, so that only full sockets
    // keep followers behind.
    Server::try_with_conf(&text, &[&["--shards", "1"], args].concat())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Publishes without storing, numbered in the text as in the channel.
fn flood(server: &Server, path: &str, count: i64) {
    let mut publisher = server.connect();
    for _ in 0..count {
        let answer = publisher.request("POST", path, &[], Some(&[b'x'; TEXT]));
        assert_eq!(answer.head.status, 200);
    }
}

/// A follower that does not read from now on.
fn deaf(server: &Server, path: &str) -> Connection {
    let mut connection = server.connect_with_small_window();
    connection.send_request("GET", path, &[], None);
    assert_eq!(connection.read_head().status, 200, "{path}");
    connection
}

/// What a template location sends for a message or a gap: its id, its channel, and the number that
/// its text begins with.
fn line(connection: &mut Connection) -> Option<(i64, String, Option<i64>)> {
    let line = String::from_utf8(connection.try_read_until(b"\n")?).expect("the text is ASCII");
    let mut words = line.split_ascii_whitespace();
    let id = words
        .next()
        .and_then(|word| word.parse().ok())
        .expect("an id");
    let channel = words.next().expect("a channel").to_owned();
    Some((id, channel, words.next().and_then(|word| word.parse().ok())))
}

/// Messages without a gap between them, and how many are missing before them.
type Run = (i64, Vec<i64>);

/// Reads up to message `last`, and checks that everything is there once but for what the gaps
/// count.
fn runs(last: i64, what: &str, mut next: impl FnMut() -> (i64, Option<i64>)) -> Vec<Run> {
    let mut runs = vec![(0, Vec::new())];
    let mut expected = 1;
    while expected <= last {
        let (id, missed) = next();
        if id == -4 {
            let missed = missed.expect("a gap has a number");
            expected += missed;
            runs.push((missed, Vec::new()));
        } else {
            assert_eq!(id, expected, "{what}: after {runs:?}");
            expected += 1;
            runs.last_mut().expect("there is always one").1.push(id);
        }
    }
    assert!(runs.len() > 1, "{what}: nothing was missed");
    runs
}

/// How many messages came after the last gap.
fn last_run(runs: &[Run]) -> usize {
    runs.last().map_or(0, |(_, ids)| ids.len())
}

fn details(server: &Server) -> Value {
    object(&server.get("/channels-stats?details=1").body)
}

#[test]
fn each_follower_of_a_channel_is_treated_by_its_own_policy_and_bound() {
    let server = server(&[]);
    let mut followers = ["sub-skip", "sub-latest", "sub-wide"]
        .map(|location| deaf(&server, &format!("/{location}/a")));
    let mut dropped = deaf(&server, "/sub-disconnect/a");
    server.wait_for_subscribers("a", 4);
    flood(&server, "/pubn?id=a", PUBLISHED);
    let mut kept = Vec::new();
    let mut gaps = Vec::new();
    for (connection, what) in followers.iter_mut().zip(["skip", "latest", "wide"]) {
        let runs = runs(PUBLISHED, what, || {
            line(connection)
                .map(|(id, _, missed)| (id, missed))
                .expect("the stream goes on")
        });
        kept.push(last_run(&runs));
        gaps.push(runs.len() as u64 - 1);
    }
    assert_eq!(
        kept,
        [300 * 1024 / CHARGED, 1, 2048 * 1024 / CHARGED],
        "as much as the bounds hold"
    );
    let got = String::from_utf8(dropped.read_to_close()).expect("ASCII");
    assert!(
        !got.contains(&format!("{PUBLISHED} a ")),
        "nothing behind a gap comes to one that is dropped"
    );
    server.wait_for_subscribers("a", 3);
    let details = details(&server);
    let counted = [
        "slow_disconnected",
        "slow_skipped",
        "slow_latest",
        "slow_timed_out",
    ]
    .map(|name| details[name].as_u64());
    assert_eq!(counted, [1, gaps[0] + gaps[2], gaps[1], 0].map(Some));
    // All of them have had everything.
    flood(&server, "/pubn?id=a", 1);
    for connection in &mut followers {
        assert_eq!(line(connection).map(|(id, ..)| id), Some(PUBLISHED + 1));
    }
    wait_until("nothing is kept any more", || {
        self::details(&server)["lag_bytes"] == 0
    });
    server.stop();
}

#[test]
fn what_is_kept_for_followers_is_as_large_as_the_largest_bound_in_use() {
    let server = server(&[]);
    let lag = || details(&server)["lag_bytes"].as_u64().expect("a number");
    let narrow = deaf(&server, "/sub-skip/a");
    server.wait_for_subscribers("a", 1);
    flood(&server, "/pubn?id=a", PUBLISHED);
    assert!((200_000..=300 * 1024).contains(&lag()), "{}", lag());
    let wide = deaf(&server, "/sub-wide/a");
    server.wait_for_subscribers("a", 2);
    flood(&server, "/pubn?id=a", PUBLISHED);
    assert!((1_900_000..=2048 * 1024).contains(&lag()), "{}", lag());
    let info = object(&server.get("/channels-stats?id=a&details=1").body);
    assert_eq!(info["lag_bytes"], lag());
    drop(wide);
    wait_until("what was kept for the other one goes", || {
        lag() <= 300 * 1024
    });
    drop(narrow);
    wait_until("nothing is kept for nobody", || lag() == 0);
    server.stop();
}

/// The built-in locations with one stored message, so that followers fall out of what is kept.
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
fn in_every_mode_the_gap_comes_before_the_next_message_with_a_cursor_to_it() {
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
            // Of these one is stored: whatever else came after the gap is a gap now.
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
    let mut slow = deaf(&server, "/sub/a.b999");
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
fn of_several_channels_each_tells_its_own_gap_in_the_order_of_positions() {
    for policy in ["skip", "latest"] {
        let server = builtin(policy);
        let mut slow = deaf(&server, "/sub/a/b");
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
        // Within a second tags increase; seconds are told apart by the order in which they come.
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
fn a_channel_deleted_while_a_follower_is_behind_a_gap_says_both() {
    let server = builtin("skip");
    let mut slow = deaf(&server, "/sub/a");
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

#[test]
fn a_follower_that_takes_nothing_at_all_is_dropped_whatever_the_policy() {
    let server = Server::start(&[
        "--slow-consumer",
        "skip",
        "--max-lag",
        "300k",
        "--send-timeout",
        "1s",
    ]);
    let _deaf = deaf(&server, "/sub/a");
    server.wait_for_subscribers("a", 1);
    flood(&server, "/pub?id=a", PUBLISHED);
    server.wait_for_subscribers("a", 0);
    assert_eq!(
        object(&server.get("/channels-stats").body)["slow_timed_out"],
        1
    );
    server.stop();
}

#[test]
fn policies_that_make_no_sense_are_mistakes_with_their_place() {
    for (directive, error) in [
        (
            "pushctl_slow_consumer wait;",
            "invalid value \"wait\" in \"pushctl_slow_consumer\" directive, accepted values \
             (disconnect, skip, latest)",
        ),
        (
            "pushctl_slow_consumer_bytes 0;",
            "invalid value \"0\" in \"pushctl_slow_consumer_bytes\" directive",
        ),
        (
            "pushctl_gap_notice maybe;",
            "invalid value \"maybe\" in \"pushctl_gap_notice\" directive",
        ),
        (
            "pushctl_slow_consumers skip;",
            "unknown directive \"pushctl_slow_consumers\"",
        ),
    ] {
        let text = conf(
            "push_stream_shared_memory_size 10m;",
            &format!("location / {{ {directive} }}"),
        );
        let Err(said) = Server::try_with_conf(&text, &[]) else {
            panic!("{directive} is accepted")
        };
        assert!(
            said.contains(error) && said.contains("nginx.conf:6"),
            "{directive}: {said}"
        );
    }
}
