//! Reports of `pushctl bench`: text, HTML page, comparisons, assertions.

use serde_json::Value;

use super::bench::{Fault, broker};
use crate::support::Directory;

/// `text` with every number that varies from run to run written as `#`.
fn normalised(text: &str) -> String {
    let mut shown = String::new();
    for word in text.split_inclusive(|letter: char| letter.is_whitespace()) {
        let bare = word.trim_end();
        let is_number = bare.starts_with(|letter: char| letter.is_ascii_digit())
            || bare.starts_with('-') && bare.len() > 1;
        shown.push_str(if is_number { "#" } else { bare });
        shown.push_str(&word[bare.len()..]);
    }
    shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
        .collect()
}

#[test]
fn the_text_has_facts_percentiles_bars_and_a_verdict() {
    let fake = broker(Fault::None);
    let outcome = fake.run(&["bench", "-n", "2", "--messages", "3", "--rate", "1000"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let (top, bottom) = outcome.stdout.split_once("up to").expect("bars");
    let expected = "\
mode ev
subscribers #
channels #
publishers #
message size # B
connected in # s
published # in # s
requested rate #
delivered # in # s
deliveries per second #

latency deliver connect
min # UNIT # UNIT
mean # UNIT # UNIT
p50 # UNIT # UNIT
p90 # UNIT # UNIT
p99 # UNIT # UNIT
p99.9 # UNIT # UNIT
max # UNIT # UNIT
sent late (max) # UNIT

";
    let units = normalised(top)
        .replace(" us", " UNIT")
        .replace(" µs", " UNIT")
        .replace(" ms", " UNIT");
    assert_eq!(units.trim_end(), expected.trim_end());
    assert!(
        bottom.ends_with(
            "6 of 6 deliveries\n0 lost, 0 duplicated, 0 reordered, 0 corrupt, 0 disconnected\n"
        ),
        "{bottom}"
    );
    assert!(
        outcome
            .stdout
            .lines()
            .all(|line| line.chars().count() <= 80),
        "{}",
        outcome.stdout
    );
}

#[test]
fn bars_are_ascii_where_there_is_no_utf8() {
    for (locale, is_ascii) in [("C", true), ("C.UTF-8", false)] {
        let fake = broker(Fault::None);
        let mut command = fake.command(&["bench", "-n", "2", "--messages", "3"]);
        let output = command
            .env("LC_ALL", locale)
            .output()
            .expect("the program starts");
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(text.is_ascii(), is_ascii, "{text}");
        assert!(
            text.contains(if is_ascii { "#####" } else { "█████" }),
            "{text}"
        );
    }
}

#[test]
fn the_html_report_is_self_contained() {
    let directory = Directory::new("bench");
    let page = directory.path().join("report.html");
    let fake = broker(Fault::Lose(2));
    let outcome = fake.run(&[
        "bench",
        "-n",
        "2",
        "--messages",
        "5",
        "--json",
        "--timeout",
        "1s",
        "--report",
        page.to_str().expect("UTF-8"),
    ]);
    assert_eq!(outcome.code, 8);
    let page = std::fs::read_to_string(page).expect("it is written");
    assert!(page.starts_with("<!doctype html>\n") && page.ends_with("</body></html>\n"));
    for part in [
        "prefers-color-scheme:dark",
        "<h2>Throughput over time</h2>",
        "<h2>Ledger</h2>",
        "<th>lost</th><td>1</td>",
        "messages were lost",
        &fake.url,
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    for foreign in [
        "<script", "<link", "<img", "src=", "href=", "@import", "url(", "NaN", "Infinity",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn an_unwritable_report_is_reported_before_the_run() {
    let fake = broker(Fault::None);
    let outcome = fake.run(&["bench", "-n", "2", "--report", "/nonexistent/report.html"]);
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (
            2,
            "pushctl: cannot write '/nonexistent/report.html': no such directory (see \
             --report)\n"
        )
    );
    assert_eq!(fake.requests().len(), 0);
}

#[test]
fn runs_are_compared() {
    let directory = Directory::new("bench");
    let folder = directory.path();
    let old = folder.join("old.json");
    let first = broker(Fault::None).run(&["bench", "-n", "2", "--messages", "3", "--json"]);
    std::fs::write(&old, &first.stdout).expect("the folder is writable");
    let old = old.to_str().expect("UTF-8");
    let fake = broker(Fault::Lose(2));
    let args = [
        "bench",
        "-n",
        "3",
        "--messages",
        "3",
        "--timeout",
        "1s",
        "--compare",
        old,
    ];
    let outcome = fake.run(&args);
    assert_eq!(outcome.code, 8);
    let (_, compared) = outcome.stdout.split_once("\ncompared ").expect("a table");
    let line = |start: &str| {
        compared
            .lines()
            .find(|line| line.starts_with(start))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(line("lost").as_deref(), Some("lost 0 1 new"));
    assert_eq!(line("corrupt").as_deref(), Some("corrupt 0 0 0"));
    assert!(
        line("latency p99 ").is_some_and(|line| line.ends_with('%') || line.ends_with(" 0")),
        "{compared}"
    );
    assert!(
        compared.ends_with("\nThe runs have different parameters: subscribers (was 2, is 3).\n"),
        "{compared}"
    );

    let outcome = broker(Fault::None).run(&[
        "bench",
        "-n",
        "2",
        "--messages",
        "3",
        "--json",
        "--compare",
        old,
    ]);
    let report: Value = serde_json::from_str(&outcome.stdout).expect("one object");
    assert_eq!(
        (outcome.code, &report["compared"]["changes"]["lost"]["new"]),
        (0, &0.0.into())
    );
    assert_eq!(report["compared"]["parameters"], Value::Array(Vec::new()));
    let outcome = fake.run(&["bench", "--compare", "/nonexistent"]);
    assert!(
        outcome.code == 2 && outcome.stderr.contains("(see --compare)"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn conditions_decide_the_exit_code() {
    let run = |conditions: &str| {
        let fake = broker(Fault::None);
        let outcome = fake.run(&[
            "bench",
            "-n",
            "2",
            "--messages",
            "3",
            "--json",
            "--assert",
            conditions,
        ]);
        // Errors are reported before the run.
        assert_eq!(
            outcome.code == 2,
            fake.requests().is_empty(),
            "{conditions}"
        );
        (outcome.code, outcome.stderr)
    };
    assert_eq!(
        run("p99<1h,lost=0,delivered=6,deliveries_per_second>0,connect_p99<1h"),
        (0, String::new())
    );
    assert_eq!(
        run("delivered>6,lost=0"),
        (
            8,
            "pushctl: assertion failed: 'delivered>6' does not hold: delivered is 6\n".to_owned()
        )
    );
    let (code, reported) = run("p98<1ms");
    assert!(
        code == 2
            && reported.contains(
                "there is no field 'p98'; there are: min, mean, p50, p90, p99, p99.9, max, lost, "
            ),
        "{reported}"
    );
    let (code, reported) = run("p99<5");
    assert!(
        code == 2 && reported.contains("write it with a unit"),
        "{reported}"
    );
}
