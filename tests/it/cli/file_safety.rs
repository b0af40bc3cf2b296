//! Files that `pushctl` writes where others could have put a link, a FIFO or a lock.

use super::fake::object;
use super::sub_safety::objects;
use crate::support::{Directory, wait_until};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `sub` with a cursor file in the directory that has something in its way.
fn with_cursor(directory: &Directory) -> super::fake::Outcome {
    let file = directory.path().join("c");
    objects(&[object(1, "a", "m", 21, 1)]).run(&[
        "sub",
        "a",
        "-n",
        "1",
        "--cursor-file",
        file.to_str().expect("UTF-8"),
    ])
}

fn is_cursor(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"seen\":{\"a\""))
}

#[test]
fn a_link_in_the_place_of_a_temporary_file_is_replaced_and_not_followed() {
    let directory = Directory::new("safe-temporary");
    let victim = directory.write("victim", "precious");
    symlink(&victim, directory.path().join("c.tmp")).expect("a directory of ours");
    assert_eq!(with_cursor(&directory).code, 0);
    assert!(is_cursor(&directory.path().join("c")));
    assert_eq!(
        std::fs::read_to_string(&victim).expect("it is there"),
        "precious"
    );

    let directory = Directory::new("safe-hard-link");
    let victim = directory.write("victim", "precious");
    std::fs::hard_link(&victim, directory.path().join("c.tmp")).expect("a directory of ours");
    assert_eq!(with_cursor(&directory).code, 0);
    assert_eq!(
        std::fs::read_to_string(&victim).expect("it is there"),
        "precious"
    );

    let directory = Directory::new("safe-fifo");
    fifo(&directory.path().join("c.tmp"));
    assert_eq!(with_cursor(&directory).code, 0);
    assert!(is_cursor(&directory.path().join("c")));

    let directory = Directory::new("safe-directory");
    std::fs::create_dir(directory.path().join("c.tmp")).expect("it is new");
    let outcome = with_cursor(&directory);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("c.tmp'"), "{}", outcome.stderr);
}

#[test]
fn a_lock_that_is_no_regular_file_is_rejected() {
    let directory = Directory::new("safe-lock");
    let lock = directory.path().join("c.lock");
    let victim = directory.path().join("victim");
    for make in [
        &(|path: &Path| symlink(&victim, path).expect("a directory of ours")) as &dyn Fn(&Path),
        &fifo,
    ] {
        make(&lock);
        let outcome = with_cursor(&directory);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (1, ""),
            "{}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.contains("c.lock'") && outcome.stderr.contains("not a regular file"),
            "{}",
            outcome.stderr
        );
        assert!(!victim.exists(), "the link was followed");
        std::fs::remove_file(&lock).expect("it is ours");
    }
}

#[test]
fn a_fifo_in_the_place_of_the_cursor_is_rejected_at_once() {
    let directory = Directory::new("safe-cursor");
    fifo(&directory.path().join("c"));
    let outcome = with_cursor(&directory);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("not a regular file"),
        "{}",
        outcome.stderr
    );
    assert!(
        !directory.path().join("c.lock").exists(),
        "a lock was left behind"
    );
}

#[test]
fn a_linked_cursor_is_replaced_where_it_is_and_anything_else_is_left_alone() {
    let directory = Directory::new("safe-linked");
    std::fs::create_dir(directory.path().join("real")).expect("it is new");
    let link = directory.path().join("c");
    let real = directory.path().join("real/c");
    directory.write("real/c", "precious");
    symlink(&real, &link).expect("a directory of ours");
    let outcome = with_cursor(&directory);
    assert_eq!(
        (
            outcome.code,
            std::fs::read_to_string(&real)
                .expect("it is there")
                .as_str()
        ),
        (2, "precious"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn the_temporary_name_of_a_ready_file_is_not_followed() {
    let directory = Directory::new("safe-ready");
    let victim = directory.write("victim", "precious");
    let script = "ln -s victim ready.$$; exec \"$0\" serve --listen 127.0.0.1:0 --ready-file ready";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_pushctl")])
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("sh is there");
    let ready = directory.path().join("ready");
    wait_until("the server is ready", || ready.exists());
    let text = std::fs::read_to_string(&ready);
    let kept = std::fs::read_to_string(&victim);
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    assert!(text.expect("it is there").contains("127.0.0.1:"));
    assert_eq!(kept.expect("it is there"), "precious");
}

fn fifo(path: &Path) {
    assert!(
        Command::new("mkfifo")
            .arg(path)
            .status()
            .expect("coreutils are there")
            .success()
    );
}
