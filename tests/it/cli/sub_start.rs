//! `sub --cursor-file`: the start is recorded as soon as it is known, in every mode and however the
//! run ends, so that the next run resumes there.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::fake::{Fake, Reply, chunked, command, object, run};
use super::nchan_server::Nchan;
use crate::support::{Directory, Server, conf, wait_until};

const MODES: [&str; 5] = ["ev", "ws", "lp", "stream", "poll"];

/// A server whose subscriptions are never answered, not even with a head.
fn mute() -> Fake {
    Fake::start(|_, _| Reply::Hold(String::new()))
}

/// The content of a cursor file with this start only.
fn started(fake: &Fake, channels: &str, start: &str) -> String {
    format!(
        "{{\"version\":1,\"server\":\"{}\",\"channels\":[{channels}],\"start\":\"{start}\",\
         \"seen\":{{}}}}\n",
        fake.url
    )
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Runs the program until the file exists, then kills it.
pub(super) fn kill_when_written(url: &str, args: &[&str], file: &PathBuf) {
    let mut child = command(&[args, &["--url", url, "--cursor-file"]].concat())
        .arg(file)
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts");
    wait_until("the cursor is written", || file.exists());
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
}

#[test]
fn the_start_is_recorded_before_the_server_responds() {
    for mode in MODES {
        for (args, channels, start) in [
            (&["a"][..], "\"a\"", "1795220360:0"),
            (&["b", "a"], "\"a\",\"b\"", "1795220360:0"),
            (&["a", "-n", "1"], "\"a\"", "1795220360:0"),
            (&["a", "--since", "all"], "\"a\"", "1:0"),
            (&["a", "--since", "1795220300:3"], "\"a\"", "1795220300:3"),
            (&["a", "--since", "784111777"], "\"a\"", "784111777:0"),
            (&["a", "--backlog", "5"], "\"a\"", "1795220360:0"),
            (&["a", "--exec", "cat"], "\"a\"", "1795220360:0"),
        ] {
            let fake = mute();
            let directory = Directory::new("start");
            let file = directory.path().join("c");
            kill_when_written(&fake.url, &[&["sub", "--mode", mode], args].concat(), &file);
            assert_eq!(
                text(&file),
                started(&fake, channels, start),
                "{mode} {args:?}"
            );
        }
    }
}

#[test]
fn the_start_after_an_event_id_is_written_too() {
    let fake = mute();
    let directory = Directory::new("start-event");
    let file = directory.path().join("c");
    kill_when_written(
        &fake.url,
        &["sub", "a", "-m", "lp", "--since", "id:e 1"],
        &file,
    );
    assert!(
        text(&file).contains("\"event_id\":\"e 1\""),
        "{}",
        text(&file)
    );
}

#[test]
fn a_run_that_is_interrupted_or_ends_in_an_error_leaves_the_start() {
    let directory = Directory::new("start-ends");
    let file = directory.path().join("c");
    let path = file.to_str().expect("UTF-8");
    for mode in ["lp", "stream", "ev"] {
        let fake = mute();
        let mut child = fake.spawn(&["sub", "a", "-m", mode, "-n", "1", "--cursor-file", path]);
        wait_until("the cursor is written", || file.exists());
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        assert_eq!(child.wait().expect("it ends").code(), Some(130), "{mode}");
        assert_eq!(
            text(&file),
            started(&fake, "\"a\"", "1795220360:0"),
            "{mode}"
        );
        std::fs::remove_file(&file).expect("it is ours");
        let fake = Fake::start(|_, _| Reply::Close(String::new()));
        assert_eq!(
            fake.run(&[
                "sub",
                "a",
                "-m",
                mode,
                "--retry",
                "0",
                "--cursor-file",
                path
            ])
            .code,
            3,
            "{mode}"
        );
        assert_eq!(
            text(&file),
            started(&fake, "\"a\"", "1795220360:0"),
            "{mode}"
        );
        std::fs::remove_file(&file).expect("it is ours");
    }
}

#[test]
fn a_server_without_a_clock_is_followed_from_the_time_of_this_machine() {
    let directory = Directory::new("start-clock");
    let file = directory.path().join("c");
    // None of its responses has a date.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                use std::io::{Read as _, Write as _};
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = socket.read(&mut bytes) {
                    if bytes[..length].starts_with(b"HEAD") {
                        let _ = socket
                            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                    }
                }
            });
        }
    });
    let before = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs();
    kill_when_written(&url, &["sub", "a", "-m", "lp"], &file);
    let text = text(&file);
    let start = text
        .split("\"start\":\"")
        .nth(1)
        .and_then(|rest| rest.split(':').next())
        .expect("a start");
    assert!(start.parse::<u64>().expect("seconds") >= before, "{text}");
}

/// A server with push-stream's locations as the module has them: no header, so no byte before the
/// first message.
const PUSH_STREAM: &str = "
    location /pub { push_stream_publisher; push_stream_channels_path $arg_id; \
    push_stream_store_messages on; }
    location ~ ^/sub/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
      push_stream_last_received_message_time $arg_time; push_stream_last_received_message_tag \
      $arg_tag;
      push_stream_message_template \
      '{\"id\":~id~,\"channel\":\"~channel~\",\"text\":\"~text~\",\
      \"tag\":\"~tag~\",\"time\":\"~time~\"}';
      }
    location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1;
      push_stream_message_template \
      '{\"id\":~id~,\"channel\":\"~channel~\",\"text\":\"~text~\",\
      \"tag\":\"~tag~\",\"time\":\"~time~\"}';
      }";

/// Messages published between two runs, the first without messages, are printed by the second.
fn loses_nothing(url: &str, mode: &str, options: &[&str]) {
    let directory = Directory::new("start-next");
    let file = directory.path().join("c");
    let path = file.to_str().expect("UTF-8");
    let args = [&["sub", "ch", "--mode", mode], options].concat();
    kill_when_written(url, &args, &file);
    for text in ["one", "two"] {
        let outcome = run(&[&["pub", "ch", text, "--url", url], options].concat(), b"");
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    }
    let outcome = run(
        &[
            &args[..],
            &["-n", "2", "-t", "20s", "--url", url, "--cursor-file", path],
        ]
        .concat(),
        b"",
    );
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "one\ntwo\n"),
        "{mode}: {}",
        outcome.stderr
    );
}

#[test]
fn the_next_run_resumes_after_a_run_without_messages() {
    for mode in MODES {
        let server = Server::start(&[]);
        loses_nothing(server.url(), mode, &[]);
    }
    for mode in ["stream", "lp"] {
        let server = Server::with_conf(&conf("push_stream_shared_memory_size 16m;", PUSH_STREAM));
        loses_nothing(server.url(), mode, &[]);
    }
}

#[test]
fn the_next_run_resumes_after_a_run_without_messages_from_nchan() {
    for mode in ["ev", "ws", "lp", "stream"] {
        let nchan = Nchan::start();
        loses_nothing(&nchan.url(), mode, &["--dialect", "nchan"]);
    }
}

#[test]
fn a_backlog_is_printed_even_if_the_start_is_recorded() {
    let directory = Directory::new("start-backlog");
    let file = directory.path().join("c");
    let events = format!("data: {}\n\n", object(7, "a", "old", 10, 1));
    let fake = Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &events])));
    let path = file.to_str().expect("UTF-8");
    let outcome = fake.run(&["sub", "a", "-b", "5", "-n", "1", "--cursor-file", path]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "old\n"));
}
