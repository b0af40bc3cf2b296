//! `pushctl stats` from outside.

use std::io::{BufRead as _, BufReader};

use super::fake::{Fake, Outcome, Reply, ok, status};

const SUMMARY: &str = "{\"hostname\": \"vm\", \"time\": \"2026-11-21T00:25:18\", \"channels\": 2, \
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
fn stats_tells_a_missing_channel_from_a_strange_answer() {
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
fn stats_watch_goes_on_until_nobody_reads() {
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
fn stats_watch_goes_on_after_a_failure() {
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
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(
        (lines, told),
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
fn an_interval_that_was_taken_for_a_channel_is_told() {
    let fake = Fake::always(&status("404 Not Found", ""));
    let outcome = fake.run(&["stats", "--watch", "1s"]);
    assert_eq!(outcome.code, 5);
    assert!(outcome.stderr.contains("--watch=1s"), "{}", outcome.stderr);
}

/// Five channels with numbers of their own, one with a detail.
const FIVE: &str = "{\"hostname\": \"vm\", \"infos\": [\r\n\
                    {\"channel\": \"b\", \"published_messages\": 7, \"stored_messages\": 2, \
                    \"subscribers\": 3},\r\n{\"channel\": \"a\", \"published_messages\": 9, \
                    \"stored_messages\": 1, \"subscribers\": 3},\r\n\
                    {\"channel\": \"news/1\", \"published_messages\": 1, \"stored_messages\": 0, \
                    \"subscribers\": 0, \"missed\": 5},\r\n\
                    {\"channel\": \"news/2\", \"published_messages\": 2, \"stored_messages\": \
                    2000000, \"subscribers\": 12345},\r\n\
                    {\"channel\": \"日本\\u202e\", \"published_messages\": 3, \"stored_messages\": \
                    4, \"subscribers\": 1}\r\n], \"x\": 1}\r\n";

#[test]
fn channels_are_sorted_and_filtered() {
    let fake = Fake::always(&ok("", FIVE));
    let first = |args: &[&str]| {
        let outcome = fake.run(&[&["stats"], args].concat());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{args:?}");
        let names = outcome
            .stdout
            .lines()
            .skip(1)
            .map_while(|line| line.split("  ").next().filter(|name| !name.is_empty()));
        names.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(first(&["ALL"]), "b a news/1 news/2 日本\\u{202e}");
    assert_eq!(
        first(&["--sort", "subscribers"]),
        "news/2 a b 日本\\u{202e} news/1"
    );
    assert_eq!(
        first(&["--sort", "stored", "--top", "2"]),
        "news/2 日本\\u{202e}"
    );
    assert_eq!(
        first(&["--sort", "published", "--reverse", "--top", "1"]),
        "news/1"
    );
    assert_eq!(
        first(&["--sort", "name"]),
        "a b news/1 news/2 日本\\u{202e}"
    );
    assert_eq!(
        first(&["--filter", "news*", "--min-subscribers", "1"]),
        "news/2"
    );
    assert_eq!(first(&["--filter", "/^.$/"]), "b a");
    assert!(
        fake.requests()
            .iter()
            .all(|request| request.line == "GET /channels-stats?id=ALL"),
        "whoever selects wants channels"
    );
}

#[test]
fn the_table_of_channels_has_units_details_and_a_sum() {
    let outcome =
        Fake::always(&ok("", FIVE)).run(&["stats", "--sort", "subscribers", "--top", "4"]);
    let expected = "\
channel       subscribers  published     stored
news/2             12,345          2  2,000,000
a                       3          9          1
b                       3          7          2
日本\\u{202e}            1          3          4

4 of 5 channels, 12,352 subscribers, 2,000,007 stored
";
    assert_eq!(outcome.stdout, expected);
    let outcome = Fake::always(&ok("", FIVE)).run(&["stats", "--filter", "news/1"]);
    let expected = "channel  subscribers  published  stored  missed\n\
                    news/1             0          1       0       5\n\n\
                    1 of 5 channels, 0 subscribers, 0 stored\n";
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn json_is_selected_without_touching_it() {
    let outcome =
        Fake::always(&ok("", FIVE)).run(&["stats", "--json", "--sort", "name", "--top", "2"]);
    let expected = "{\"hostname\": \"vm\", \"infos\": [{\"channel\": \"a\", \
                    \"published_messages\": 9, \"stored_messages\": 1, \"subscribers\": \
                    3},{\"channel\": \"b\", \"published_messages\": 7, \"stored_messages\": 2, \
                    \"subscribers\": 3}], \"x\": 1}\n";
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, expected));
}

#[test]
fn unknown_numbers_of_a_server_are_details() {
    let body = SUMMARY.replace(
        "\"uptime\": 3661, \"by",
        "\"uptime\": 3661, \"memory_used\": 1572864, \
                                            \"slow_consumers\": {\"dropped\": 12345}, \"by",
    );
    let fake = Fake::always(&ok("", &body));
    let outcome = fake.run(&[
        "stats",
        "--assert",
        "memory_used<=2MiB,slow_consumers.dropped>12k,uptime>=1h,workers=2",
    ]);
    let details =
        "\ndetails\nmemory used             1.50 MiB\nslow consumers dropped    12,345\n\nworker";
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert!(outcome.stdout.contains(details), "{}", outcome.stdout);
}

#[test]
fn assertions_tell_the_values() {
    let fake = Fake::always(&ok("", FIVE));
    let run = |args: &[&str]| {
        let outcome = fake.run(&[&["stats", "ALL", "--json"], args].concat());
        (outcome.code, outcome.stderr)
    };
    assert_eq!(run(&["--assert", "published>=1"]), (0, String::new()));
    assert_eq!(
        run(&["--assert", "subscribers>=1,stored<2k"]),
        (
            8,
            "pushctl: assertion failed: news/1: 'subscribers>=1' does not hold: subscribers is 0\n\
             pushctl: assertion failed: news/2: 'stored<2k' does not hold: stored is 2000000\n"
                .to_owned()
        )
    );
    assert_eq!(
        run(&["--assert", "subscribers>=1", "--filter", "none"]),
        (
            8,
            "pushctl: assertion failed: there is no such channel\n".to_owned()
        )
    );
    let (code, told) = run(&["--assert", "readers>=1"]);
    assert_eq!(
        (code, told.as_str()),
        (
            2,
            "pushctl: cannot assert 'readers>=1': there is no field 'readers'; there are: \
             subscribers, published_messages, stored_messages\n"
        )
    );
    let (code, told) = run(&["--assert", "subscribers"]);
    assert!(
        code == 2 && told.contains("'subscribers' is not a condition"),
        "{told}"
    );
}

#[test]
fn two_saved_answers_are_compared() {
    let folder = new_folder();
    let path = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a folder for tests is writable");
        path.to_str().expect("its name is UTF-8").to_owned()
    };
    let newer = SUMMARY
        .replace("\"published_messages\": 12", "\"published_messages\": 2012")
        .replace(
            "\"subscribers\": 1, \"uptime\": 3661",
            "\"subscribers\": 0, \"uptime\": 3671",
        );
    let old = path("old.json", SUMMARY);
    let new = path("new.json", &newer);
    let outcome = super::fake::run(&["stats", "--diff", &old, &new], b"");
    let expected = "                         old        new  change  per second
uptime              1h 1m 1s  1h 1m 11s    +10s
channels                   2          2       0
wildcard channels          0          0       0
subscribers                1          0      -1
published messages        12      2,012  +2,000         200
stored messages            2          2       0
messages in trash          0          0       0
channels in delete         0          0       0
channels in trash          0          0       0
";
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, expected, "")
    );
    let channels = FIVE
        .replace("\"news/1\"", "\"news/3\"")
        .replace("12345", "12300");
    let five = path("five.json", FIVE);
    let other = path("other.json", &channels);
    let outcome = super::fake::run(&["stats", "--diff", &five, &other], b"");
    let expected = "\
channel           subscribers  published  stored
news/2   changed          -45          0       0
news/3       new            0         +1       0
news/1      gone            0         -1       0

1 changed, 1 new, 1 gone, 3 unchanged
";
    assert_eq!(outcome.stdout, expected);
    let outcome = super::fake::run(&["stats", "--diff", &five, &other, "--json"], b"");
    let expected = "{\"changed\":{\"news/\
                    2\":{\"published_messages\":{\"change\":0,\"new\":2,\"old\":2},\
                    \"stored_messages\":{\"change\":0,\"new\":2000000,\"old\":2000000},\
                    \"subscribers\":{\"change\":-45,\"new\":12300,\"old\":12345}}},\
                    \"gone\":[\"news/1\"],\"new\":[\"news/3\"],\"unchanged\":3}\n";
    assert_eq!(outcome.stdout, expected);
    let outcome = super::fake::run(&["stats", "--diff", &five, &old], b"");
    assert_eq!(outcome.code, 2);
    assert!(
        outcome
            .stderr
            .contains("one is of a server, the other one of channels"),
        "{}",
        outcome.stderr
    );
    assert_eq!(
        super::fake::run(&["stats", "--diff", &five, "/nonexistent"], b"").code,
        2
    );
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
fn plain_output_repeats_where_there_is_no_terminal() {
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

/// A new folder for one test.
pub(super) fn new_folder() -> std::path::PathBuf {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("stats-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the folder for tests is writable");
    folder
}
