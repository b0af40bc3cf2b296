//! `tests/pipeline.sh` with a temporary broker.

use std::path::Path;

use super::fake::run;

#[test]
fn the_pipeline_runs() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipeline.sh");
    let script = script.to_str().expect("UTF-8");
    let outcome = run(
        &["with-server", "--", script, env!("CARGO_BIN_EXE_pushctl")],
        b"",
    );
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (0, ""),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stdout.ends_with("pipeline: ok\n"),
        "{}",
        outcome.stdout
    );
}
