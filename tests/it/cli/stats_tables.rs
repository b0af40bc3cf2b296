//! `pushctl stats` tables: sorting, filters, units, assertions, and comparison of two saved
//! responses.

use super::fake::{Fake, ok};
use super::stats::SUMMARY;
use crate::support::Directory;

/// Five channels with different counters, one of them with a detail.
const FIVE: &str = "{\"hostname\": \"vm\", \"infos\": [\r\n\
                    {\"channel\": \"b\", \"published_messages\": 7, \"stored_messages\": 2, \
                    \"subscribers\": 3},\r\n{\"channel\": \"a\", \"published_messages\": 9, \
                    \"stored_messages\": 1, \"subscribers\": 3},\r\n\
                    {\"channel\": \"news/1\", \"published_messages\": 1, \"stored_messages\": 0, \
                    \"subscribers\": 0, \"missed\": 5},\r\n\
                    {\"channel\": \"news/2\", \"published_messages\": 2, \"stored_messages\": \
                    2000000, \"subscribers\": 12345},\r\n\
                    {\"channel\": \"日本\\u202e\", \"published_messages\": 3, \
                    \"stored_messages\": \
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
        "a selection implies channels"
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
fn failed_assertions_show_the_values() {
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
    let (code, reported) = run(&["--assert", "readers>=1"]);
    assert_eq!(
        (code, reported.as_str()),
        (
            2,
            "pushctl: cannot assert 'readers>=1': there is no field 'readers'; there are: \
             subscribers, published_messages, stored_messages\n"
        )
    );
    let (code, reported) = run(&["--assert", "subscribers"]);
    assert!(
        code == 2 && reported.contains("'subscribers' is not a condition"),
        "{reported}"
    );
}

#[test]
fn two_saved_responses_are_compared() {
    let directory = Directory::new("stats");
    let folder = directory.path();
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
