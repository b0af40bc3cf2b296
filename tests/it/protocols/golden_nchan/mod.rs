//! The recorded exchanges of NHPM 0.73 and nchan 1.3.7 (`tests/golden/nhpm/`,
//! `tests/golden/nchan/`) against the built server.
//!
//! Every case has its nginx.conf, server and back-end; many run concurrently, because they mostly
//! wait, first for the start of a second. A case that differs is run a second time without others,
//! as in `golden_push_stream`.
//!
//! A case with a `defect` documents an error of the original: if the text begins with `step N`, any
//! response to those steps is accepted. `PUSHCTL_GOLDEN_NCHAN=text` runs only the cases whose name
//! contains the text.

mod backend;
mod clock;
mod conn;
mod frames;
mod matching;
mod replay;

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::support::turn;

/// Cases at a time.
const AT_A_TIME: usize = 10;
/// Recorded cases of each file.
const FILES: [(&str, usize); 2] = [("nhpm/nhpm-0.73.json", 53), ("nchan/nchan-1.3.7.json", 67)];
/// Expected failures, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn recorded_exchanges_of_nhpm_and_nchan_are_reproduced() {
    let _turn = turn();
    let wanted = std::env::var("PUSHCTL_GOLDEN_NCHAN").unwrap_or_default();
    let cases: Vec<(String, Value)> = FILES
        .iter()
        .flat_map(|(file, count)| cases(file, *count))
        .collect();
    let cases: Vec<&(String, Value)> = cases
        .iter()
        .filter(|(name, _)| name.contains(&wanted))
        .collect();
    let queue = Mutex::new(cases.clone());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = { queue.lock().expect("no case panics").pop() } {
                    if replay::run(&case.1).is_err() {
                        failed.lock().expect("no case panics").push(case);
                    }
                }
            });
        }
    });
    let mut unexpected = Vec::new();
    for (name, case) in failed.into_inner().expect("no case panics") {
        match replay::run(case) {
            Ok(()) => line(&format!(
                "golden: {name} passed at the second attempt, alone"
            )),
            Err(error) if EXCEPTIONS.iter().any(|(known, _)| known == name) => {
                line(&format!("golden: {name}: {error}"))
            }
            Err(error) => unexpected.push(format!("{name}: {error}")),
        }
    }
    line(&format!(
        "golden: {} of {} cases of NHPM and nchan passed",
        cases.len() - unexpected.len(),
        cases.len()
    ));
    assert!(
        unexpected.is_empty(),
        "{} cases differ:\n{}",
        unexpected.len(),
        unexpected.join("\n")
    );
}

/// The cases of a file, with their names.
fn cases(file: &str, count: usize) -> Vec<(String, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let text = std::fs::read(&path).expect("a file of recorded cases");
    let all: Value = serde_json::from_slice(&text).expect("recorded cases in JSON");
    let cases = all["cases"].as_array().expect("a list of cases");
    assert_eq!(cases.len(), count, "{file}");
    let kind = file.split('/').next().unwrap_or_default();
    cases
        .iter()
        .map(|case| {
            (
                format!("{kind}.{}", case["name"].as_str().unwrap_or_default()),
                case.clone(),
            )
        })
        .collect()
}

/// Prints past the test runner's capture.
fn line(text: &str) {
    writeln!(std::io::stdout().lock(), "{text}").expect("stdout of the test can be written");
}
