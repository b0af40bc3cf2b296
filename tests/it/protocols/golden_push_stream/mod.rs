//! The recorded exchanges of nginx-push-stream-module (`tests/golden/push-stream/`) against the
//! built server.
//!
//! Every case has its nginx.conf and server; several run concurrently. Compared are status, reason,
//! the exact set of headers with their values (except `Server` and `Date`), bodies, frames, and
//! when connections end. The recording depends on time (it reads until the connection is idle), so
//! a case that differs is run a second time without others, which the summary reports.
//!
//! `PUSHCTL_GOLDEN=text` runs only the cases whose name contains the text.

mod client;
mod fields;
mod matching;
mod replay;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::support::turn;

/// Cases at a time: they mostly wait.
const AT_A_TIME: usize = 6;
/// Recorded cases.
const CASES: usize = 168;

/// A file of another kind in the same folder.
const CONFIGURATIONS: &str = "config-errors.json";

/// Expected failures, and what they wait for.
const WAITING: &[(&str, &str)] = &[
    (
        "eventsource.lines",
        "[quirk] lines after a NUL byte get their `data:`, too: clients would not see them",
    ),
    (
        "misc.reload_closes_subscribers",
        "nothing: a reload keeps subscribers, whom the module ends with its old worker processes",
    ),
    (
        "polling.if_none_match_equal_etag",
        "[quirk] nginx's own conditional filter is not imitated",
    ),
    (
        "polling.jsonp",
        "[quirk] an empty callback counts as none instead of breaking the response",
    ),
    (
        "publisher.if_none_match_star",
        "[quirk] nginx's own conditional filter is not imitated",
    ),
    (
        "publisher.quotes_in_id",
        "[security] a channel id is escaped in the info of its channel: it cannot forge fields",
    ),
    (
        "publisher.unread_body_on_error",
        "[quirk] an unread body is discarded, not parsed as the next request",
    ),
    (
        "publisher.url_encoding",
        "[quirk] a NUL byte in an id does not cut it in outputs",
    ),
    (
        "websocket.close_from_client",
        "[quirk] a close with a usual code is answered with a close frame",
    ),
    (
        "websocket.fragments",
        "[quirk] an empty last fragment does not lose the message",
    ),
    (
        "websocket.fragment_errors",
        "[quirk] a text frame within a fragmented message closes, also if it is not final",
    ),
    (
        "websocket.frame_with_handshake",
        "[quirk] a frame in the segment of the handshake is not lost",
    ),
    (
        "websocket.templates_if_double_frame",
        "[quirk] the header is framed once also if an `if` block was taken",
    ),
    (
        "websocket.two_frames_one_segment",
        "[quirk] frames that arrive together do not wait for more data",
    ),
    (
        "websocket.utf8",
        "[quirk] surrogates are not UTF-8 and close",
    ),
];

#[test]
fn recorded_exchanges_are_reproduced() {
    let _turn = turn();
    let wanted = std::env::var("PUSHCTL_GOLDEN").unwrap_or_default();
    let cases: Vec<Value> = cases()
        .into_iter()
        .filter(|case| name(case).contains(&wanted))
        .collect();
    let mut failed = replay_all(&cases);
    let mut again = Vec::new();
    let mut unexpected = Vec::new();
    for case in &cases {
        let waiting = WAITING.iter().any(|(waiting, _)| *waiting == name(case));
        if let Some(error) = failed.get(name(case)).filter(|_| !waiting).cloned() {
            match replay::run(case) {
                Ok(()) => {
                    again.push(name(case));
                    failed.remove(name(case));
                }
                Err(second) if second == error => {
                    unexpected.push(format!("{}: {error}", name(case)))
                }
                Err(second) => unexpected.push(format!(
                    "{}: {second}\n   and among the others: {error}",
                    name(case)
                )),
            }
        } else if waiting && !failed.contains_key(name(case)) {
            unexpected.push(format!("{} passes: take it out of WAITING", name(case)));
        }
    }
    print_summary(&cases, &failed, &again);
    assert!(
        unexpected.is_empty(),
        "{} cases differ:\n{}",
        unexpected.len(),
        unexpected.join("\n")
    );
    assert!(
        !wanted.is_empty() || cases.len() == CASES,
        "{} cases instead of {CASES}",
        cases.len()
    );
}

#[test]
fn every_waiting_case_exists_once() {
    let cases = cases();
    for (number, (waiting, reason)) in WAITING.iter().enumerate() {
        assert!(
            cases.iter().any(|case| name(case) == *waiting),
            "there is no case {waiting}"
        );
        assert!(
            WAITING[..number].iter().all(|(other, _)| other != waiting),
            "{waiting} is there twice"
        );
        assert!(!reason.is_empty(), "{waiting} waits for nothing");
    }
}

/// The errors of the cases that fail, by name.
fn replay_all(cases: &[Value]) -> BTreeMap<String, String> {
    let mut queue: Vec<&Value> = cases.iter().collect();
    queue.sort_by_key(|case| pauses(case));
    let queue = Mutex::new(queue);
    let failed = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = { queue.lock().expect("no case panics").pop() } {
                    if let Err(error) = replay::run(case) {
                        failed
                            .lock()
                            .expect("no case panics")
                            .insert(name(case).to_owned(), error);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no case panics")
}

/// Waiting time of the case, used to start the longest first.
fn pauses(case: &Value) -> u64 {
    let steps = case["steps"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    steps
        .iter()
        .map(|step| {
            step["ms"]
                .as_u64()
                .or(step["idle_ms"].as_u64())
                .unwrap_or(100)
        })
        .sum()
}

fn cases() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/push-stream");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of recorded cases")
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
                && !path.ends_with(CONFIGURATIONS)
        })
        .collect();
    files.sort();
    let read = |path: &Path| -> Vec<Value> {
        let text = std::fs::read(path).expect("a file of recorded cases");
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files.iter().flat_map(|path| read(path)).collect()
}

fn name(case: &Value) -> &str {
    case["name"].as_str().expect("a case has a name")
}

/// Prints past the test runner's capture, so that the numbers are visible on success, too.
fn print_summary(cases: &[Value], failed: &BTreeMap<String, String>, again: &[&str]) {
    let mut out = std::io::stdout().lock();
    let mut line =
        |text: String| writeln!(out, "{text}").expect("stdout of the test can be written");
    line(format!(
        "\ngolden: {} of {} passed",
        cases.len() - failed.len(),
        cases.len()
    ));
    for name in again {
        line(format!(
            "golden: {name} passed at the second attempt, alone"
        ));
    }
    for (name, reason) in WAITING
        .iter()
        .filter(|(name, _)| failed.contains_key(*name))
    {
        line(format!("golden: {name} waits for {reason}"));
    }
}
