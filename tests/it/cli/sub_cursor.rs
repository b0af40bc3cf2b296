//! `pushctl sub --cursor-file` and `--exec`: when the cursor is written, who can use it, and in
//! which order it advances.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::fake::{Fake, Reply, chunked, object};
use crate::support::{Directory, wait_until};

/// A server that sends these numbered messages to EventSource subscribers, whatever their cursor,
/// and then stalls.
fn numbered(count: u32) -> Fake {
    let events: String = (1..=count)
        .map(|id| {
            format!(
                "data: {}\n\n",
                object(i64::from(id), "a", &format!("m{id}"), 21, id)
            )
        })
        .collect();
    Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &events])))
}

fn content(fake: &Fake, tag: u32) -> String {
    format!(
        "{{\"version\":1,\"server\":\"{}\",\"channels\":[\"a\"],\"start\":\"1795220360:0\",\
         \"seen\":{{\"a\":{{\"at\":\"1795220361:{tag}\",\"id\":{tag}}}}}}}\n",
        fake.url
    )
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("it was written")
}

#[test]
fn the_next_run_resumes_after_the_last_line_in_any_mode() {
    let directory = Directory::new("cursor-next");
    let file = directory.path().join("c");
    let path = file.to_str().expect("UTF-8");
    let fake = numbered(4);
    let first = fake.run(&["sub", "a", "-n", "2", "--cursor-file", path]);
    assert_eq!(
        (first.code, first.stdout.as_str(), first.stderr.as_str()),
        (0, "m1\nm2\n", "")
    );
    assert_eq!(read(&file), content(&fake, 2));
    // The fake repeats all messages: those before the cursor are not printed again, and --backlog
    // applies to the first run only.
    let next = fake.run(&[
        "sub",
        "a",
        "-n",
        "1",
        "--cursor-file",
        path,
        "--backlog",
        "9",
    ]);
    assert_eq!((next.code, next.stdout.as_str()), (0, "m3\n"));
    assert_eq!(
        fake.requests()[1].line,
        "GET /ev/a?time=Sat,%2021%20Nov%202026%2000:19:21%20GMT&tag=2"
    );
    let _ = fake.run_for(
        &["sub", "a", "-n", "1", "--cursor-file", path, "-m", "lp"],
        "--timeout",
        |_| fake.requests().len() > 2,
    );
    assert_eq!(
        fake.requests()[2].line,
        "GET /lp/a?time=Sat,%2021%20Nov%202026%2000:19:21%20GMT&tag=3"
    );
}

#[test]
fn a_cursor_file_is_for_one_server_one_set_of_channels_and_one_run() {
    let directory = Directory::new("cursor-refused");
    let file = directory.path().join("c");
    let path = file.to_str().expect("UTF-8");
    let fake = numbered(1);
    assert_eq!(
        fake.run(&["sub", "a", "-n", "1", "--cursor-file", path])
            .code,
        0
    );
    let outcome = fake.run(&["sub", "a", "b", "--cursor-file", path]);
    let mend = "(use that one, another file, or remove this one to start over)";
    assert_eq!(
        (outcome.code, outcome.stderr),
        (
            2,
            format!(
                "pushctl: cannot use the cursor file '{path}': it is for the channels 'a', not 'a \
                 b' {mend}\n"
            )
        )
    );
    let other = numbered(1);
    let outcome = other.run(&["sub", "a", "--cursor-file", path]);
    assert_eq!(
        (outcome.code, outcome.stderr),
        (
            2,
            format!(
                "pushctl: cannot use the cursor file '{path}': it is for the server {}, not {} \
                 {mend}\n",
                fake.url, other.url
            )
        )
    );
    let before = fake.requests().len();
    let mut child = fake.spawn(&["sub", "a", "--cursor-file", path]);
    fake.wait_for(before + 1);
    let outcome = fake.run(&["sub", "a", "--cursor-file", path]);
    assert_eq!(
        (outcome.code, outcome.stderr),
        (
            1,
            format!(
                "pushctl: the cursor file '{path}' is in use by another run (stop that one, or use \
                 another file)\n"
            )
        )
    );
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
    for (text, mention) in [
        ("", "it is not a cursor"),
        ("{}", "it is not a cursor"),
        (&content(&fake, 1).replace(":1,", ":2,"), "version is 2"),
    ] {
        std::fs::write(&file, text).expect("it is ours");
        let outcome = fake.run(&["sub", "a", "--cursor-file", path]);
        assert_eq!(outcome.code, 2, "{text}");
        assert!(
            outcome.stderr.contains(mention) && outcome.stderr.contains("remove "),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn the_cursor_does_not_move_if_the_line_is_not_written() {
    let directory = Directory::new("cursor-full");
    let file = directory.path().join("c");
    let fake = numbered(3);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let mut command = fake.command(&["sub", "a", "-n", "3", "--cursor-file"]);
    let output = command
        .arg(&file)
        .stdout(full)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        !std::fs::read_to_string(&file)
            .unwrap_or_default()
            .contains("\"at\""),
        "it moved"
    );
}

#[test]
fn exec_receives_the_message_and_its_fields() {
    let fake = numbered(2);
    let command = "printf '%s|' \"$PUSHCTL_CHANNEL\" \"$PUSHCTL_ID\" \"$PUSHCTL_TIME\" \
         \"$PUSHCTL_TAG\" \
         \"$PUSHCTL_CURSOR\" \"${PUSHCTL_EVENT_ID-none}\"; cat; echo";
    let outcome = fake.run(&["sub", "a", "-n", "2", "--exec", command]);
    let line =
        |id| format!("a|{id}|Sat, 21 Nov 2026 00:19:21 GMT|{id}|1795220361:{id}|none|m{id}\n");
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, (line(1) + &line(2)).as_str(), "")
    );
    let outcome = fake.run(&[
        "sub",
        "a",
        "-n",
        "2",
        "--exec",
        r#"[ "$PUSHCTL_ID" = 2 ] || exit 3"#,
    ]);
    assert_eq!(
        (outcome.code, outcome.stderr.as_str()),
        (
            9,
            "pushctl: the command of --exec failed: exit status: 3 (message at 1795220361:1)\n"
        )
    );
}

#[test]
fn the_cursor_stays_before_the_oldest_command_that_did_not_succeed() {
    let directory = Directory::new("cursor-ack");
    let file = directory.path().join("c");
    let path = file.to_str().expect("UTF-8");
    let fake = numbered(4);
    let fails = r#"[ "$PUSHCTL_ID" != 2 ]"#;
    let outcome = fake.run(&[
        "sub",
        "a",
        "-n",
        "4",
        "--cursor-file",
        path,
        "--exec",
        fails,
        "--ack-on-success",
    ]);
    assert_eq!((outcome.code, read(&file)), (9, content(&fake, 1)));
    // Several at a time, in whatever order they end: the second waits for the mark of the last.
    std::fs::remove_file(&file).expect("it is ours");
    let marks = directory.path().join("mark");
    let mark = marks.to_str().expect("UTF-8");
    let waits = format!(
        "case $PUSHCTL_ID in 4) : > {mark};; 2) while ! [ -e {mark} ]; do sleep 0.02; done; exit \
         1;; esac"
    );
    let outcome = fake.run(&[
        "sub",
        "a",
        "-n",
        "4",
        "--cursor-file",
        path,
        "--exec",
        &waits,
        "--jobs",
        "4",
        "--ack-on-success",
        "--timeout",
        "20s",
    ]);
    assert_eq!(
        (outcome.code, read(&file)),
        (9, content(&fake, 1)),
        "{}",
        outcome.stderr
    );
    let outcome = fake.run(&[
        "sub",
        "a",
        "-n",
        "3",
        "--cursor-file",
        path,
        "--exec",
        "cat; echo",
        "--ack-on-success",
    ]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str(), read(&file)),
        (0, "m2\nm3\nm4\n", content(&fake, 4))
    );
}

#[test]
fn only_a_regular_file_is_a_cursor_file() {
    let directory = Directory::new("cursor-regular");
    let fake = numbered(1);
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(directory.path().join("nowhere"), &link)
        .expect("a directory of ours");
    let large = directory.path().join("large");
    std::fs::File::create(&large)
        .and_then(|file| file.set_len((16 << 20) + 1))
        .expect("a sparse file");
    for (path, mention) in [
        ("/dev/full", "not a regular file"),
        (
            directory.path().to_str().expect("UTF-8"),
            "not a regular file",
        ),
        (link.to_str().expect("UTF-8"), "it is a broken link"),
        (large.to_str().expect("UTF-8"), "it is larger than 16 MiB"),
    ] {
        let outcome = fake.run(&["sub", "a", "-n", "1", "--cursor-file", path]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (2, ""),
            "{path}: {}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.contains(mention),
            "{path}: {}",
            outcome.stderr
        );
    }
    assert!(!Path::new("/dev/full.lock").exists());
    assert!(link.is_symlink() && fake.requests().is_empty());
}

#[test]
fn an_interrupted_run_of_commands_names_the_oldest_that_is_not_done() {
    let directory = Directory::new("cursor-interrupted");
    let fake = numbered(4);
    // The second of four is not done while the others are.
    let path = |name: &str| {
        directory
            .path()
            .join(name)
            .to_str()
            .expect("UTF-8")
            .to_owned()
    };
    let file = path("c");
    let marks = path("mark");
    let command = format!(
        "if [ $PUSHCTL_ID = 2 ]; then while ! [ -e {marks}.go ]; do sleep 0.02; done; fi; : > \
         {marks}$PUSHCTL_ID"
    );
    let mut child = fake.spawn(&[
        "sub",
        "a",
        "--exec",
        &command,
        "--jobs",
        "4",
        "--cursor-file",
        &file,
    ]);
    wait_until("the others are done", || {
        [1, 3, 4]
            .iter()
            .all(|id| Path::new(&format!("{marks}{id}")).exists())
    });
    wait_until("the first is noted", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text == content(&fake, 1))
    });
    // The second signal ends it without waiting for the command.
    wait_until("it is interrupted", || {
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
        child.try_wait().expect("it is ours").is_some()
    });
    std::fs::write(format!("{marks}.go"), "").expect("a directory of ours");
    let output = child.wait_with_output().expect("it ends");
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(
        reported.contains(", all up to 1795220361:1 (resume with --since 1795220361:1)"),
        "{reported}"
    );
}
