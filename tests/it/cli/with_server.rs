//! `pushctl with-server` and `serve --ready-file` from outside.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::fake::{command, run};
use crate::support::{Directory, program, wait_until};

/// Starts a shell script with a temporary broker and reads the broker's address from its first
/// line.
fn start(script: &str) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut child = command(&["with-server", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    let address = line
        .trim_end()
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("no url: {line}"))
        .to_owned();
    (child, stdout, address)
}

fn is_gone(address: &str) -> bool {
    TcpStream::connect(address).is_err()
}

#[test]
fn the_command_reaches_the_broker_and_its_code_is_passed_on() {
    let script = "echo $PUSHCTL_URL; \"$0\" pub a x --quiet && \"$0\" stats a --json; exit 42";
    let pushctl = program();
    let pushctl = pushctl.to_str().expect("UTF-8");
    let outcome = run(
        &[
            "with-server",
            "--max-channels",
            "10",
            "--",
            "sh",
            "-c",
            script,
            pushctl,
        ],
        b"",
    );
    let (url, rest) = outcome.stdout.split_once('\n').expect("lines");
    let info = "{\"channel\": \"a\", \"published_messages\": 1, \"stored_messages\": 1, \
                \"subscribers\": 0, \"dropped_messages\": 0, \"lag_bytes\": 0}\n";
    assert_eq!(
        (outcome.code, rest, outcome.stderr.as_str()),
        (42, info, "")
    );
    assert!(
        is_gone(url.trim_start_matches("http://")),
        "the broker has ended"
    );
}

#[test]
fn signals_reach_the_command_and_the_broker_ends() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let (mut child, _stdout, address) = start("echo $PUSHCTL_URL; exec tail -f /dev/null");
        assert!(!is_gone(&address));
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        assert_eq!(
            child.wait().expect("it ends").code(),
            Some(code),
            "{signal:?}"
        );
        assert!(is_gone(&address), "{signal:?}");
    }
}

#[test]
fn a_command_that_handles_a_signal_has_its_own_code() {
    let (mut child, mut stdout, address) = start(
        "trap 'echo got it; exit 7' TERM; echo $PUSHCTL_URL; while :; do read x || wait; done",
    );
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    drop(child.stdin.take());
    let mut line = String::new();
    stdout.read_line(&mut line).expect("text");
    assert_eq!(
        (line.as_str(), child.wait().expect("it ends").code()),
        ("got it\n", Some(7))
    );
    assert!(is_gone(&address));
}

#[test]
fn the_broker_ends_with_us_even_if_we_are_killed() {
    // The command ends when this test closes its standard input.
    let (mut child, _stdout, address) = start("echo $PUSHCTL_URL; cat");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    wait_until("the broker is gone", || is_gone(&address));
}

#[test]
fn unstartable_commands_have_shell_exit_codes() {
    let directory = Directory::new("with-server");
    let file = directory.write("no-program", "x");
    let file = file.to_str().expect("UTF-8");
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &["with-server", "--", "/nonexistent/program"],
            127,
            "cannot run '/nonexistent/program'",
        ),
        (&["with-server", "--", file], 126, "cannot run"),
        (
            &["with-server", "--nginx-conf", "/nonexistent", "--", "true"],
            125,
            "the broker did not start",
        ),
        (
            &["with-server", "--frobnicate", "--", "true"],
            125,
            "--frobnicate",
        ),
        (&["with-server"], 2, "COMMAND"),
        (&["with-server", "--max-channels", "1", "--"], 2, "COMMAND"),
        (&["with-server", "false", "--", "x"], 1, ""),
        (
            &["with-server", "--url", "http://h", "--", "true"],
            125,
            "--url",
        ),
        (
            &["--url", "http://h", "with-server", "true"],
            2,
            "do not apply to this command",
        ),
    ];
    for (args, code, mention) in cases {
        let outcome = run(args, b"");
        assert_eq!(outcome.code, *code, "{args:?}: {}", outcome.stderr);
        assert!(
            outcome.stderr.contains(mention),
            "{args:?}: {}",
            outcome.stderr
        );
    }
    assert_eq!(run(&["with-server", "--help"], b"").code, 0);
}

#[test]
fn the_ready_file_exists_while_the_server_listens() {
    let directory = Directory::new("ready");
    let file = directory.path().join("ready");
    let mut server = Command::new(program())
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log-level",
            "off",
            "--ready-file",
        ])
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    wait_until("the file is there", || file.exists());
    let text = std::fs::read_to_string(&file).expect("it is whole");
    let address = text
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix('\n'))
        .unwrap_or_else(|| panic!("{text}"));
    assert!(!is_gone(address));
    kill_process(Pid::from_child(&server), Signal::TERM).expect("it runs");
    assert_eq!(server.wait().expect("it ends").code(), Some(0));
    assert!(!file.exists());
    assert_eq!(
        std::fs::read_dir(directory.path())
            .expect("it is there")
            .count(),
        0,
        "nothing is left behind"
    );
}
