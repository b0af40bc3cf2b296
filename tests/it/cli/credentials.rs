//! Credentials on the command line, in files and in the environment: sent, but never shown.

use super::fake::{Fake, ok, run, status};
use crate::support::Directory;
use std::net::TcpListener;
use std::process::Command;

#[test]
fn credentials_are_sent_but_never_shown() {
    let fake = Fake::always(&status("500 Internal Server Error", ""));
    let closed = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .to_string();
    let commands: &[&[&str]] = &[
        &[
            "pub",
            "a",
            "x",
            "--pub-path",
            "/pub?key=hidden&id={channel}",
        ],
        &[
            "stats",
            "a",
            "--stats-path",
            "/stats?key=hidden&id={channel}",
        ],
        &["sub", "a", "--sub-path", "/sub?key=hidden&id={channel}"],
        &["sub", "a", "-m", "ws"],
        &["sub", "a", "-m", "lp"],
        &[
            "bench",
            "-n",
            "1",
            "--sub-path",
            "/sub?key=hidden&id={channel}",
        ],
    ];
    for args in commands {
        for server in [
            fake.url.trim_start_matches("http://"),
            &closed,
            "[::1",
            "127.0.0.1?x=hidden",
        ] {
            let url = format!("http://me:hid%64en@{server}");
            let outcome = run(&[&["--url", url.as_str()], *args].concat(), b"");
            assert_ne!(outcome.code, 0);
            assert!(
                !outcome.stderr.contains("hidden") && !outcome.stderr.contains("hid%64en"),
                "{args:?}: {}",
                outcome.stderr
            );
        }
    }
    for request in fake.requests() {
        assert_eq!(
            request.header("Authorization"),
            Some("Basic bWU6aGlkZGVu"),
            "{}",
            request.line
        );
    }
}

#[test]
fn headers_can_be_read_from_files() {
    let directory = Directory::new("headers");
    let file = directory.write("headers", "X-Key: k\n\nX-Other: o: p\r\n");
    let argument = format!("@{}", file.display());
    let fake = Fake::always(&ok("", ""));
    assert_eq!(
        fake.run(&["pub", "a", "x", "-H", &argument, "-H", "X-Third: t"])
            .code,
        0
    );
    let request = &fake.requests()[0];
    assert_eq!(
        ["X-Key", "X-Other", "X-Third"].map(|name| request.header(name)),
        [Some("k"), Some("o: p"), Some("t")]
    );
    let file = directory.write("wrong", "X-Key: k\nsecret\n");
    let outcome = fake.run(&["stats", "-H", &format!("@{}", file.display())]);
    assert_eq!(
        outcome.stderr,
        format!(
            "pushctl: cannot use the header in '{}', line 2: a header is written 'Name: value'\n",
            file.display()
        )
    );
    assert_eq!(outcome.code, 2);
}

#[test]
fn an_empty_environment_variable_names_no_server() {
    let mut command = Fake::always("").command(&[]);
    // Without `--url` only the invalid channel is reported.
    let program = command.get_program().to_owned();
    command = Command::new(program);
    let output = command
        .args(["pub", "a?", "x"])
        .env("PUSHCTL_URL", "")
        .output()
        .expect("the program starts");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("question mark"),
        "{output:?}"
    );
}
