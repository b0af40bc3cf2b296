//! `sub`: messages lost in a restart of the server are a gap of unknown size, whether the server
//! reports it or only message ids show it.

use super::fake::{Fake, Outcome, Reply, chunked, frame, object, ok};
use crate::support::Directory;

const REASON: &str = "the server was restarted, or the channel was deleted and created again";

pub(super) fn reported(channel: &str) -> String {
    format!("pushctl: channel '{channel}': an unknown number of messages was missed, {REASON}\n")
}

fn events(objects: &[String]) -> String {
    let events: String = objects
        .iter()
        .map(|object| format!("data: {object}\n\n"))
        .collect();
    chunked(&[": \n", &events])
}

/// A server that sends `first` on the first connection and `later` on all others, in every mode.
pub(super) fn restarted(before: &[String], after: &[String]) -> Fake {
    let before = before.to_vec();
    let after = after.to_vec();
    Fake::start(move |request, number| {
        let objects = if number == 0 { &before } else { &after };
        match request.line.split(['/', '?']).nth(1) {
            Some("ev") if number == 0 => Reply::Close(events(objects)),
            Some("ev") => Reply::Hold(events(objects)),
            Some("sub") if number == 0 => Reply::Close(chunked(&[&objects.concat()])),
            Some("sub") => Reply::Hold(chunked(&[&objects.concat()])),
            Some("ws") => Reply::Upgrade(
                objects
                    .iter()
                    .flat_map(|object| frame(1, object.as_bytes()))
                    .collect(),
            ),
            _ => {
                let second = if number == 0 { 21 } else { 41 };
                let headers =
                    format!("Last-Modified: Sat, 21 Nov 2026 00:19:{second} GMT\r\nEtag: W/9\r\n");
                Reply::Send(ok(&headers, &objects.concat()))
            }
        }
    })
}

/// Standard error without the notices of reconnecting.
pub(super) fn gaps(outcome: &Outcome) -> String {
    outcome
        .stderr
        .lines()
        .filter(|line| line.contains("missed"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn an_id_that_goes_back_is_reported_once_in_every_mode() {
    let before = [object(4, "a", "m4", 21, 1), object(5, "a", "m5", 21, 2)];
    let after = [object(1, "a", "new1", 40, 1), object(2, "a", "new2", 40, 2)];
    for mode in ["ev", "ws", "lp", "stream", "poll"] {
        let args = [
            "sub",
            "-t",
            "60s",
            "a",
            "-m",
            mode,
            "-n",
            "4",
            "--interval",
            "100ms",
        ];
        let outcome = restarted(&before, &after).run(&args);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "m4\nm5\nnew1\nnew2\n"),
            "{mode}: {}",
            outcome.stderr
        );
        assert_eq!(gaps(&outcome), reported("a"), "{mode}");
        let outcome = restarted(&before, &after).run(&[&args[..], &["--fail-on-gap"]].concat());
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (10, "m4\nm5\n"),
            "{mode}: {}",
            outcome.stderr
        );
        let outcome = restarted(&before, &after).run(&[&args[..], &["--json"]].concat());
        let gap = "{\"id\":-4,\"channel\":\"a\",\"text\":\"an unknown number of messages was \
             missed\",\"missed\":0,\"at_least\":true}";
        assert_eq!(
            outcome.stdout.lines().filter(|line| *line == gap).count(),
            1,
            "{mode}: {}",
            outcome.stdout
        );
    }
}

#[test]
fn a_later_run_reports_the_gap_once() {
    for mode in ["ev", "lp", "stream"] {
        let directory = Directory::new("gap-runs");
        let file = directory.path().join("c");
        let args = [
            "sub",
            "-t",
            "60s",
            "a",
            "-m",
            mode,
            "-n",
            "1",
            "--cursor-file",
            file.to_str().expect("UTF-8"),
            "--fail-on-gap",
        ];
        let fake = restarted(
            &[object(3, "a", "m3", 21, 1)],
            &[object(1, "a", "new1", 40, 1)],
        );
        assert_eq!(fake.run(&args).stdout, "m3\n", "{mode}");
        let outcome = fake.run(&args);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str(), gaps(&outcome)),
            (10, "", reported("a")),
            "{mode}"
        );
        let outcome = fake.run(&args);
        assert_eq!(
            (
                outcome.code,
                outcome.stdout.as_str(),
                outcome.stderr.as_str()
            ),
            (0, "new1\n", ""),
            "{mode}"
        );
    }
}

#[test]
fn known_gaps_are_reported_by_one_run_only() {
    let directory = Directory::new("gap-known");
    let file = directory.path().join("c");
    let args = [
        "sub",
        "-t",
        "60s",
        "a",
        "-n",
        "1",
        "--cursor-file",
        file.to_str().expect("UTF-8"),
        "--fail-on-gap",
    ];
    let fake = restarted(
        &[object(3, "a", "m3", 21, 1)],
        &[object(9, "a", "m9", 40, 1)],
    );
    assert_eq!(fake.run(&args).code, 0);
    assert_eq!(fake.run(&args).code, 10);
    let outcome = fake.run(&args);
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "m9\n", "")
    );
}

#[test]
fn commands_are_run_behind_a_restart_too() {
    let fake = restarted(
        &[object(5, "a", "m5", 21, 1)],
        &[object(1, "a", "new1", 40, 1)],
    );
    let outcome = fake.run(&["sub", "-t", "60s", "a", "-n", "2", "--exec", "cat; echo"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str(), gaps(&outcome)),
        (0, "m5\nnew1\n", reported("a"))
    );
    let fake = restarted(
        &[object(5, "a", "m5", 21, 1)],
        &[object(1, "a", "new1", 40, 1)],
    );
    assert_eq!(
        fake.run(&[
            "sub",
            "-t",
            "60s",
            "a",
            "-n",
            "2",
            "--exec",
            "cat; echo",
            "--fail-on-gap"
        ])
        .code,
        10
    );
}

#[test]
fn gaps_are_counted_per_channel() {
    let before = [object(5, "a", "a5", 21, 1), object(7, "b", "b7", 21, 2)];
    let after = [object(1, "a", "a1", 40, 1), object(8, "b", "b8", 40, 2)];
    let outcome = restarted(&before, &after).run(&["sub", "-t", "60s", "a", "b", "-n", "4"]);
    assert_eq!(
        (outcome.stdout.as_str(), gaps(&outcome)),
        ("a5\nb7\na1\nb8\n", reported("a"))
    );
    let after = [object(1, "a", "a1", 40, 1), object(2, "b", "b2", 40, 2)];
    let outcome = restarted(&before, &after).run(&["sub", "-t", "60s", "a", "b", "-n", "4"]);
    assert_eq!(gaps(&outcome), reported("a") + &reported("b"));
}

#[test]
fn repetitions_and_messages_of_other_workers_are_no_restart() {
    let before = [object(1, "a", "m1", 21, 1), object(2, "a", "m2", 21, 2)];
    let after = [&before[..], &[object(3, "a", "m3", 22, 1)]].concat();
    let outcome =
        restarted(&before, &after).run(&["sub", "-t", "60s", "a", "-n", "3", "--fail-on-gap"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "m1\nm2\nm3\n"),
        "{}",
        outcome.stderr
    );
    // Two workers of the module: the later message overtakes the earlier one.
    let order = [
        object(1, "a", "m1", 21, 1),
        object(3, "a", "m3", 21, 3),
        object(2, "a", "m2", 21, 2),
        object(4, "a", "m4", 21, 4),
    ];
    let outcome = restarted(&order, &[]).run(&["sub", "-t", "60s", "a", "-n", "4"]);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.contains("unknown")),
        ("m1\nm3\nm2\nm4\n", false),
        "{}",
        outcome.stderr
    );
}

#[test]
fn messages_without_places_show_a_restart_behind_a_new_one() {
    let bare = |id: u32| format!("{{\"id\":{id},\"channel\":\"a\",\"text\":\"m{id}\"}}");
    let all = [bare(5), bare(6), bare(1), bare(2)];
    let outcome = restarted(&all, &[]).run(&["sub", "-t", "60s", "a", "-n", "4"]);
    assert_eq!(
        (outcome.stdout.as_str(), gaps(&outcome)),
        ("m5\nm6\nm1\nm2\n", reported("a"))
    );
    // Positions of complete responses are exact.
    let outcome =
        restarted(&[bare(5)], &[bare(1)]).run(&["sub", "-t", "60s", "a", "-m", "lp", "-n", "2"]);
    assert_eq!(
        (outcome.stdout.as_str(), gaps(&outcome)),
        ("m5\nm1\n", reported("a"))
    );
}

#[test]
fn a_recreated_channel_starts_without_a_gap() {
    let all = [
        object(5, "a", "a5", 21, 1),
        object(-2, "a", "bye", 0, 0),
        object(1, "b", "b1", 22, 1),
    ];
    let outcome = restarted(
        &all,
        &[object(1, "a", "a1", 40, 1), object(2, "b", "b2", 40, 2)],
    )
    .run(&["sub", "-t", "60s", "a", "b", "-n", "3"]);
    assert_eq!(gaps(&outcome), "", "{}", outcome.stderr);
}
