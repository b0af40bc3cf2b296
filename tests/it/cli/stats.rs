//! `pushctl stats` from outside.

use std::io::{BufRead as _, BufReader};

use super::fake::{Fake, Outcome, Reply, ok, status};

pub(super) const SUMMARY: &str = "{\"hostname\": \"vm\", \"time\": \"2026-11-21T00:25:18\", \
                                  \"channels\": 2, \
                       \"wildcard_channels\": 0, \"published_messages\": 12, \"stored_messages\": \
                       2, \"messages_in_trash\": 0, \"channels_in_delete\": 0, \
                       \"channels_in_trash\": 0, \"subscribers\": 1, \"uptime\": 3661, \
                       \"by_worker\": [\r\n{\"pid\": \"30209\", \"subscribers\": 0, \"uptime\": \
                       3661},\r\n{\"pid\": \"30210\", \"subscribers\": 1, \"uptime\": 0}\r\n]}\r\n";
const GROUP: &str = "{\"hostname\": \"vm\", \"time\": \"t\", \"channels\": 2, \
                     \"wildcard_channels\": 0, \"uptime\": 0, \"infos\": [\r\n\
                     {\"channel\": \"a\", \"published_messages\": 1, \"stored_messages\": 1, \
                     \"subscribers\": 0},\r\n{\"channel\": \"news/today\", \"published_messages\": \
                     2000, \"stored_messages\": 10, \"subscribers\": 12}\r\n]}\r\n";

#[test]
fn stats_shows_the_summary() {
    let fake = Fake::always(&ok("", SUMMARY));
    let expected = "\
hostname                             vm
time                2026-11-21T00:25:18
uptime                         1h 1m 1s
channels                              2
wildcard channels                     0
subscribers                           1
published messages                   12
stored messages                       2
messages in trash                     0
channels in delete                    0
channels in trash                     0

worker  subscribers    uptime
30209             0  1h 1m 1s
30210             1        0s
";
    let outcome = fake.run(&["stats"]);
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, expected, "")
    );
    assert_eq!(fake.requests()[0].line, "GET /channels-stats");
}

#[test]
fn stats_shows_channels_aligned() {
    let fake = Fake::always(&ok("", GROUP));
    let outcome = fake.run(&["stats", "n*"]);
    let expected = "\
channel     subscribers  published  stored
a                     0          1       1
news/today           12      2,000      10

2 channels, 12 subscribers, 11 stored
";
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, expected));
    assert_eq!(fake.requests()[0].line, "GET /channels-stats?id=n*");
}

#[test]
fn stats_json_is_the_servers_object_on_one_line() {
    let outcome = Fake::always(&ok("", SUMMARY)).run(&["stats", "--json"]);
    assert_eq!(outcome.stdout, format!("{}\n", SUMMARY.replace("\r\n", "")));
}

#[test]
fn stats_distinguishes_a_missing_channel_from_an_unexpected_response() {
    let fake = Fake::always(&status("404 Not Found", ""));
    let outcome = fake.run(&["stats", "nope"]);
    assert_eq!(outcome.code, 5);
    assert_eq!(
        outcome.stderr,
        format!(
            "pushctl: channel 'nope' does not exist ({}/channels-stats?id=nope)\n",
            fake.url
        )
    );

    let outcome = Fake::always(&ok("", "<html>")).run(&["stats"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (7, ""));
}

#[test]
fn stats_watch_runs_until_its_output_is_closed() {
    let fake = Fake::always(&ok("", GROUP));
    let mut child = fake.spawn(&["stats", "ALL", "--json", "--watch=100ms"]);
    let lines: Vec<_> = BufReader::new(child.stdout.take().expect("it is piped"))
        .lines()
        .take(3)
        .map(Result::unwrap_or_default)
        .collect();
    assert_eq!(lines, vec![GROUP.replace("\r\n", ""); 3]);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), b"".as_slice()),
        "a broken pipe is success"
    );
}

#[test]
fn plain_http_needs_no_certificates() {
    let fake = Fake::always(&ok("", GROUP));
    let mut command = fake.command(&["stats", "ALL", "--json"]);
    let output = command
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .expect("the program starts");
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).as_ref()
        ),
        (Some(0), "")
    );
}

#[test]
fn one_strange_channel_does_not_hide_the_others() {
    let fake = Fake::always(&ok("", &GROUP.replace("news/today", "a\"b\\c\u{1b}")));
    let outcome = fake.run(&["stats", "ALL"]);
    let names: Vec<_> = outcome
        .stdout
        .lines()
        .take(3)
        .map(|line| line.split("  ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        (outcome.code, names),
        (0, vec!["channel", "a", "a\"b\\c\\u{1b}"])
    );
    let outcome = fake.run(&["stats", "ALL", "--json"]);
    let group: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(
        (outcome.code, &group["infos"][1]["channel"]),
        (0, &"a\"b\\c\u{1b}".into())
    );
    let outcome = Fake::always(&ok("", "<html>")).run(&["stats", "--json"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (7, ""),
        "only JSON is printed as JSON"
    );
}

#[test]
fn stats_watch_continues_after_a_failure() {
    let fake = Fake::start(|_, number| match number {
        1 => Reply::Send(status("502 Bad Gateway", "")),
        _ => Reply::Send(ok("", GROUP)),
    });
    let mut child = fake.spawn(&["stats", "ALL", "--json", "--watch=100ms"]);
    let lines = BufReader::new(child.stdout.take().expect("it is piped"))
        .lines()
        .take(3)
        .map_while(Result::ok)
        .count();
    let output = child.wait_with_output().expect("it ends");
    let reported = String::from_utf8(output.stderr).expect("text");
    assert_eq!(
        (lines, reported),
        (
            3,
            format!(
                "pushctl: {}/channels-stats?id=ALL returned 502 Bad Gateway\n",
                fake.url
            )
        )
    );
}

#[test]
fn an_interval_parsed_as_a_channel_is_reported() {
    let fake = Fake::always(&status("404 Not Found", ""));
    let outcome = fake.run(&["stats", "--watch", "1s"]);
    assert_eq!(outcome.code, 5);
    assert!(outcome.stderr.contains("--watch=1s"), "{}", outcome.stderr);
}

#[test]
fn the_status_text_of_nchan_is_understood() {
    let text = "total published messages: 1007\nstored messages: 3\nshared memory used: 16K\n\
                shared memory limit: 131072K\nchannels: 2\nsubscribers: 5\n\
                redis pending commands: 0\nnchan version: 1.3.6\n";
    let fake = Fake::always(&ok("", text));
    let outcome = fake.run(&[
        "stats",
        "--stats-path",
        "/nchan_stub_status",
        "--assert",
        "subscribers=5,shared_memory_used_bytes<1MiB",
    ]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    for line in [
        "hostname            nchan 1.3.6",
        "published messages        1,007",
        "shared memory limit  128 MiB",
    ] {
        assert!(
            outcome.stdout.lines().any(|found| found == line),
            "{line}:\n{}",
            outcome.stdout
        );
    }
    assert_eq!(fake.requests()[0].line, "GET /nchan_stub_status");
}

#[test]
fn plain_output_repeats_without_a_terminal() {
    let fake = Fake::always(&ok("", GROUP));
    let tables = |outcome: &Outcome| outcome.stdout.matches("channel     subscribers").count();
    let (outcome, _) = fake.run_for(&["stats", "ALL", "--watch=100ms"], "--timeout", |outcome| {
        tables(outcome) >= 2
    });
    assert!(
        outcome.code == 0 && tables(&outcome) >= 2 && !outcome.stdout.contains('\u{1b}'),
        "{}",
        outcome.stdout
    );
}
