//! Debian's nchan without `--dialect`, with locations that begin with new messages, and with its
//! streams under `bench`.

use super::fake::{Outcome, run};
use super::nchan_server::Nchan;

/// Runs the program against it.
fn with(nchan: &Nchan, args: &[&str]) -> Outcome {
    run(&[args, &["--url", &nchan.url()]].concat(), b"")
}

fn publish(nchan: &Nchan, channel: &str, texts: &[&str]) {
    for text in texts {
        let outcome = with(nchan, &["pub", channel, text]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    }
}

#[test]
fn nchan_is_found_at_its_usual_path() {
    let nchan = Nchan::start();
    publish(&nchan, "q1", &["one", "two"]);
    for mode in ["ev", "ws", "lp", "poll", "stream", "auto"] {
        let outcome = with(
            &nchan,
            &[
                "sub", "q1", "--mode", mode, "--since", "all", "-n", "2", "-t", "20s",
            ],
        );
        // Its usual path is that of streams here as well, and has no interval polling.
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "one\ntwo\n"),
            "{mode}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn a_server_without_push_locations_is_an_error() {
    let server = crate::support::Nginx::start("server { listen 127.0.0.1:{{PORT}}; }");
    let url = format!("http://127.0.0.1:{}", server.port());
    let outcome = run(&["sub", "q1", "--url", &url], b"");
    assert_eq!(outcome.code, 5);
    assert!(
        outcome
            .stderr
            .contains("/ev/q1 returned 404 Not Found: no such location"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_start_has_effect_where_the_location_begins_with_new_messages() {
    let nchan = Nchan::start();
    publish(&nchan, "q1", &["one", "two"]);
    publish(&nchan, "q2", &["three"]);
    let options = ["--dialect", "nchan", "--sub-path", "/newest/{channel}"];
    for mode in ["ev", "ws", "lp", "stream"] {
        let outcome = with(
            &nchan,
            &[
                &[
                    "sub", "q1", "-m", mode, "--since", "all", "-n", "2", "-t", "20s",
                ],
                &options[..],
            ]
            .concat(),
        );
        assert_eq!(
            (
                outcome.code,
                outcome.stdout.as_str(),
                outcome.stderr.as_str()
            ),
            (0, "one\ntwo\n", ""),
            "{mode}"
        );
        let outcome = with(
            &nchan,
            &[
                &[
                    "sub", "q1", "-m", mode, "--since", "1h", "-n", "2", "-t", "20s",
                ],
                &options[..],
            ]
            .concat(),
        );
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "one\ntwo\n"),
            "{mode}: {}",
            outcome.stderr
        );
    }
    let outcome = with(
        &nchan,
        &[
            &[
                "sub", "q1", "q2", "-m", "ws", "--since", "all", "-n", "3", "-t", "20s",
            ],
            &options[..],
        ]
        .concat(),
    );
    let mut lines: Vec<&str> = outcome.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        (outcome.code, lines),
        (0, vec!["one", "three", "two"]),
        "{}",
        outcome.stderr
    );
    assert!(nchan.alarms().is_empty(), "{:?}", nchan.alarms());
}

#[test]
fn a_cursor_takes_effect_without_messages() {
    let nchan = Nchan::start();
    let directory = crate::support::Directory::new("newest");
    let file = directory.path().join("c");
    let options = ["--dialect", "nchan", "--sub-path", "/newest/{channel}"];
    for mode in ["ev", "lp"] {
        super::sub_start::kill_when_written(
            &nchan.url(),
            &[&["sub", "q1", "-m", mode], &options[..]].concat(),
            &file,
        );
        publish(&nchan, "q1", &["one"]);
        let kept = ["--cursor-file", file.to_str().expect("UTF-8")];
        let outcome = with(
            &nchan,
            &[
                &["sub", "q1", "-m", mode, "-n", "1", "-t", "20s"],
                &options[..],
                &kept,
            ]
            .concat(),
        );
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "one\n"),
            "{mode}: {}",
            outcome.stderr
        );
        std::fs::remove_file(&file).expect("it is ours");
        assert_eq!(with(&nchan, &["rm", "q1", "--dialect", "nchan"]).code, 0);
    }
    assert!(nchan.alarms().is_empty(), "{:?}", nchan.alarms());
}

#[test]
fn a_start_that_may_have_no_effect_is_reported() {
    let nchan = Nchan::start();
    publish(&nchan, "q1", &["one"]);
    let args = [
        "sub",
        "q1",
        "--dialect",
        "nchan",
        "--sub-path",
        "/newest/{channel}",
        "--pub-path",
        "/nothing?id={channel}",
    ];
    let outcome = with(
        &nchan,
        &[&args[..], &["--since", "all", "-t", "5s"]].concat(),
    );
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""));
    assert!(
        outcome.stderr.contains("the start may have no effect")
            && outcome.stderr.contains("--pub-path"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

#[test]
fn bench_measures_the_streams_of_nchan_and_rejects_a_location_without_one() {
    let nchan = Nchan::start();
    let args = [
        "bench",
        "--dialect",
        "nchan",
        "-n",
        "20",
        "--messages",
        "20",
        "--rate",
        "100",
        "-m",
        "stream",
        "--json",
    ];
    for path in ["/newest/{channel}", "/chunked/{channel}"] {
        let outcome = with(&nchan, &[&args[..], &["--sub-path", path]].concat());
        assert_eq!(
            outcome.code, 0,
            "{path}: {} {}",
            outcome.stdout, outcome.stderr
        );
        assert!(
            outcome.stdout.contains("\"delivered\":400"),
            "{path}: {}",
            outcome.stdout
        );
    }
    let outcome = with(
        &nchan,
        &[
            &args[..],
            &["--sub-path", "/batch/{channel}", "--timeout", "20s"],
        ]
        .concat(),
    );
    assert_eq!(outcome.code, 7, "{} {}", outcome.stdout, outcome.stderr);
    // Without a dialect, too.
    let outcome = with(
        &nchan,
        &[
            "bench",
            "-n",
            "20",
            "--messages",
            "20",
            "--rate",
            "100",
            "-m",
            "ev",
            "--json",
        ],
    );
    assert_eq!(outcome.code, 0, "{} {}", outcome.stdout, outcome.stderr);
}
