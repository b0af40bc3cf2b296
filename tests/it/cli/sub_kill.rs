//! `pushctl sub --cursor-file` killed at any moment, in every mode, while messages arrive: the next
//! run resumes exactly after the cursor. `PUSHCTL_KILLS=200` sets the number of kills per mode.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::resume::Server;
use crate::support::{Directory, wait_until};

/// Messages that are published ahead of the subscriber, at most.
const AHEAD: u64 = 300;

#[test]
fn killed_subscribers_resume_exactly_after_their_cursor_in_any_mode() {
    let kills = std::env::var("PUSHCTL_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(40);
    let server = Server::start();
    std::thread::scope(|scope| {
        for mode in ["ev", "ws", "lp", "stream", "poll"] {
            let server = &server;
            scope.spawn(move || kill_again_and_again(server, mode, kills));
        }
    });
}

/// State shared by a test and its publisher.
#[derive(Default)]
struct Flow {
    published: AtomicU64,
    seen: AtomicU64,
    is_over: AtomicBool,
}

/// Publishes 1, 2, 3, ... to each of two channels, the second one getting a tenth.
fn publish(server: &Server, channels: &[String; 2], flow: &Flow) {
    let mut socket = TcpStream::connect(&server.address).expect("the server listens");
    let mut answers = BufReader::new(socket.try_clone().expect("a socket can be cloned"));
    let mut numbers = [0_u64; 2];
    while !flow.is_over.load(Ordering::Relaxed) {
        let published = numbers[0] + numbers[1];
        if published >= flow.seen.load(Ordering::Relaxed) + AHEAD {
            std::thread::park_timeout(Duration::from_millis(1));
            continue;
        }
        let which = usize::from(published % 10 == 9);
        numbers[which] += 1;
        let text = numbers[which].to_string();
        let request = format!(
            "POST /pub?id={} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{text}",
            channels[which],
            text.len()
        );
        socket
            .write_all(request.as_bytes())
            .expect("the server reads");
        let mut line = String::new();
        while !line.starts_with("{\"channel\"") {
            line.clear();
            assert_ne!(
                answers.read_line(&mut line).expect("the server answers"),
                0,
                "the server hung up"
            );
        }
        flow.published.store(published + 1, Ordering::Relaxed);
    }
}

/// Ends the publisher also when the test fails.
struct Over<'a>(&'a Flow);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

fn kill_again_and_again(server: &Server, mode: &str, kills: u64) {
    let directory = Directory::new(&format!("kill-{mode}"));
    let cursor = directory.path().join("cursor");
    let output = directory.path().join("output");
    let channels = [format!("{mode}-a"), format!("{mode}-b")];
    let flow = Flow::default();
    std::thread::scope(|scope| {
        let _over = Over(&flow);
        let publisher = scope.spawn(|| publish(server, &channels, &flow));
        let mut random = kills + mode.len() as u64;
        let mut done: BTreeMap<String, u64> = BTreeMap::new();
        let mut clean = 0;
        for kill in 0..kills {
            let from = std::fs::metadata(&output).map_or(0, |file| file.len());
            let mut child = subscriber(server, mode, &channels, &cursor, &output);
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let wanted = from + (random >> 33) % 1500;
            wait_until("it prints", || {
                std::fs::metadata(&output).is_ok_and(|file| file.len() > wanted)
            });
            if kill % 2 == 0 {
                // Half of them are stopped first, so that some are killed between two lines.
                kill_process(Pid::from_child(&child), Signal::STOP).expect("it runs");
            }
            child.kill().expect("it runs");
            child.wait().expect("it ends");
            clean += u64::from(check(&output, from, &cursor, &mut done));
            flow.seen.store(done.values().sum(), Ordering::Relaxed);
        }
        flow.is_over.store(true, Ordering::Relaxed);
        publisher.join().expect("all was published");
        // A last run prints the rest and ends by itself, unless everything has been printed.
        let missing = flow.published.load(Ordering::Relaxed) - done.values().sum::<u64>();
        if missing > 0 {
            let from = std::fs::metadata(&output).map_or(0, |file| file.len());
            let mut child = subscriber_with(
                server,
                mode,
                &channels,
                &cursor,
                &output,
                &["--count", &missing.to_string(), "--timeout", "20s"],
            );
            assert_eq!(child.wait().expect("it ends").code(), Some(0), "{mode}");
            assert!(
                check(&output, from, &cursor, &mut done),
                "{mode}: the last run ended between lines"
            );
        }
        assert_eq!(
            done.values().sum::<u64>(),
            flow.published.load(Ordering::Relaxed),
            "{mode}"
        );
        assert!(clean > 0, "{mode}: never killed between two lines");
        if std::env::var_os("PUSHCTL_KILLS").is_some() {
            eprintln!(
                "{mode}: {kills} kills, {clean} of them between two lines, {} messages",
                done.values().sum::<u64>()
            );
        }
    });
}

fn subscriber(
    server: &Server,
    mode: &str,
    channels: &[String; 2],
    cursor: &Path,
    output: &Path,
) -> std::process::Child {
    subscriber_with(server, mode, channels, cursor, output, &[])
}

fn subscriber_with(
    server: &Server,
    mode: &str,
    channels: &[String; 2],
    cursor: &Path,
    output: &Path,
    more: &[&str],
) -> std::process::Child {
    let stdout = OpenOptions::new()
        .create(true)
        .append(true)
        .open(output)
        .expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushctl"));
    command.args([
        "--url",
        &format!("http://{}", server.address),
        "sub",
        &channels[0],
        &channels[1],
        "--mode",
        mode,
    ]);
    command
        .args([
            "--since",
            "all",
            "--template",
            "{channel} {text}",
            "--interval",
            "100ms",
            "--cursor-file",
        ])
        .arg(cursor)
        .args(more);
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the program starts")
}

/// Checks the output of a run from `from` on: the numbers of each channel continue after its
/// cursor. Stores the new cursor; true if it is after the last line.
fn check(output: &Path, from: u64, cursor: &Path, done: &mut BTreeMap<String, u64>) -> bool {
    let bytes = std::fs::read(output).expect("it was written");
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1)
        .max(from as usize);
    // A line that the kill cut in two is none.
    OpenOptions::new()
        .write(true)
        .open(output)
        .and_then(|file| file.set_len(whole as u64))
        .expect("it is ours");
    let mut last = done.clone();
    for line in String::from_utf8_lossy(&bytes[from as usize..whole]).lines() {
        let (channel, number) = line.split_once(' ').expect("channel and number");
        let before = last
            .insert(channel.to_owned(), number.parse().expect("a number"))
            .unwrap_or(0);
        assert_eq!(
            number.parse(),
            Ok(before + 1),
            "{channel}: lost or repeated"
        );
    }
    let text = std::fs::read_to_string(cursor).unwrap_or_else(|_| "{}".to_owned());
    let content: Value = serde_json::from_str(&text).expect("the file is whole at any moment");
    for (channel, seen) in content["seen"].as_object().into_iter().flatten() {
        let id = seen["id"].as_u64().expect("pushctl sends ids");
        assert!(
            id <= last.get(channel).copied().unwrap_or(0),
            "{channel}: the cursor runs ahead of what was printed"
        );
        assert!(
            id >= done.get(channel).copied().unwrap_or(0),
            "{channel}: the cursor went back"
        );
        done.insert(channel.clone(), id);
    }
    *done == last
}
