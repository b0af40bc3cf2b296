//! Followers that do not read: the policies of locations in every mode, with sockets that are
//! really full.

use crate::support::{Connection, Server, conf, object, wait_until};
use serde_json::Value;

/// Bytes of the text of one message.
pub(super) const TEXT: usize = 60_000;
/// Bytes charged for it in the configured shared memory.
const CHARGED: usize = TEXT + 144;
/// More than all buffers between server and client hold.
pub(super) const PUBLISHED: i64 = 400;

/// Every policy in every endless mode, with messages that are not stored, and a small bound.
const LOCATIONS: &str = r#"
    location /channels-stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; }
    location /pubn { push_stream_publisher admin; push_stream_channels_path $arg_id; }
    push_stream_message_template "~id~ ~channel~ ~text~\n";
    pushctl_slow_consumer_bytes 300k;
    pushctl_gap_notice on;
    location ~ ^/sub-skip/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
        pushctl_slow_consumer skip; }
    location ~ ^/sub-latest/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
        pushctl_slow_consumer latest; }
    location ~ ^/sub-disconnect/(.*)$ { push_stream_subscriber; push_stream_channels_path $1; }
    location ~ ^/sub-wide/(.*)$ {
        push_stream_subscriber; push_stream_channels_path $1; pushctl_slow_consumer skip;
            pushctl_slow_consumer_bytes 2m;
    }"#;

pub(super) fn server(args: &[&str]) -> Server {
    let text = conf("push_stream_shared_memory_size 200m;", LOCATIONS);
    // On one thread a round precedes the next publication, so that only full sockets delay
    // followers.
    Server::try_with_conf(&text, &[&["--shards", "1"], args].concat())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Publishes without storing, numbered in the text as in the channel.
pub(super) fn flood(server: &Server, path: &str, count: i64) {
    let mut publisher = server.connect();
    for _ in 0..count {
        let response = publisher.request("POST", path, &[], Some(&[b'x'; TEXT]));
        assert_eq!(response.head.status, 200);
    }
}

/// A follower that does not read from now on.
pub(super) fn unread_follower(server: &Server, path: &str) -> Connection {
    let mut connection = server.connect_with_small_window();
    connection.send_request("GET", path, &[], None);
    assert_eq!(connection.read_head().status, 200, "{path}");
    connection
}

/// Output of a template location for a message or a gap: its id, its channel, and the number at the
/// start of its text.
pub(super) fn line(connection: &mut Connection) -> Option<(i64, String, Option<i64>)> {
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
pub(super) type Run = (i64, Vec<i64>);

/// Reads up to message `last`, and checks that everything arrived once except for the counted gaps.
pub(super) fn runs(
    last: i64,
    what: &str,
    mut next: impl FnMut() -> (i64, Option<i64>),
) -> Vec<Run> {
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

/// The number of messages after the last gap.
pub(super) fn last_run(runs: &[Run]) -> usize {
    runs.last().map_or(0, |(_, ids)| ids.len())
}

fn details(server: &Server) -> Value {
    object(&server.get("/channels-stats?details=1").body)
}

#[test]
fn each_follower_of_a_channel_is_treated_by_its_own_policy_and_bound() {
    let server = server(&[]);
    let mut followers = ["sub-skip", "sub-latest", "sub-wide"]
        .map(|location| unread_follower(&server, &format!("/{location}/a")));
    let mut dropped = unread_follower(&server, "/sub-disconnect/a");
    server.wait_for_subscribers("a", 4);
    flood(&server, "/pubn?id=a", PUBLISHED);
    let mut kept = Vec::new();
    let mut gaps = Vec::new();
    for (connection, what) in followers.iter_mut().zip(["skip", "latest", "wide"]) {
        let runs = runs(PUBLISHED, what, || {
            line(connection)
                .map(|(id, _, missed)| (id, missed))
                .expect("the stream continues")
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
    // All of them have received everything.
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
fn the_shared_backlog_is_as_large_as_the_largest_bound() {
    let server = server(&[]);
    let lag = || details(&server)["lag_bytes"].as_u64().expect("a number");
    let narrow = unread_follower(&server, "/sub-skip/a");
    server.wait_for_subscribers("a", 1);
    flood(&server, "/pubn?id=a", PUBLISHED);
    assert!((200_000..=300 * 1024).contains(&lag()), "{}", lag());
    let wide = unread_follower(&server, "/sub-wide/a");
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
    wait_until("the backlog is empty without followers", || lag() == 0);
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
    let _deaf = unread_follower(&server, "/sub/a");
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
fn invalid_policies_are_errors_with_file_and_line() {
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
