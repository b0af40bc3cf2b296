//! `pushctl` against a real nchan: every mode across cut connections, reloads and restarts, without
//! loss or duplicates.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::fake::run;
use super::nchan_server::Nchan;
use crate::support::Directory;
use crate::support::{DEADLINE, Relay, program, wait_until};

/// Modes with the paths of the locations that have them.
pub(super) const MODES: [(&str, &str); 8] = [
    ("ev", "/sub/{channel}"),
    ("ws", "/sub/{channel}"),
    ("lp", "/sub/{channel}"),
    ("stream", "/sub/{channel}"),
    ("poll", "/poll/{channel}"),
    ("lp", "/batch/{channel}"),
    ("lp", "/etag/{channel}"),
    ("ws", "/pubsub/{channel}"),
];

/// A running `sub`, killed on drop.
pub(super) struct Sub {
    pub(super) child: Child,
    pub(super) lines: Receiver<String>,
}

impl Sub {
    pub(super) fn start(url: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program());
        command
            .arg("sub")
            .args(args)
            .args(["--url", url])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command
            .env_remove("PUSHCTL_URL")
            .spawn()
            .expect("the program starts");
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(sender.send(line)))
        });
        Self { child, lines }
    }

    /// The next lines.
    pub(super) fn take(&self, count: usize, who: &str) -> Vec<String> {
        let line = |number| {
            self.lines
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|_| panic!("{who}: only {number} of {count} lines came"))
        };
        (0..count).map(line).collect()
    }

    /// Waits for its end: the rest of its lines, and its exit code.
    pub(super) fn end(mut self) -> (Vec<String>, Option<i32>) {
        let mut status = None;
        wait_until("sub ends", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        (
            self.lines.iter().collect(),
            status.and_then(|status| status.code()),
        )
    }
}

impl Drop for Sub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn publish(nchan: &Nchan, channel: &str, text: &str) {
    let outcome = run(
        &["pub", channel, text, "--quiet", "--url", &nchan.url()],
        b"",
    );
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

/// Publishes texts over one process.
pub(super) fn publish_all(nchan: &Nchan, channel: &str, texts: &[String]) {
    let outcome = run(
        &["pub", channel, "--lines", "--quiet", "--url", &nchan.url()],
        (texts.join("\n") + "\n").as_bytes(),
    );
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

/// Waits until the clock shows another second: positions are in seconds.
pub(super) fn next_second() {
    let second = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_secs())
    };
    let before = second();
    wait_until("another second has begun", || second() > before);
}

pub(super) fn texts(from: usize, to: usize) -> Vec<String> {
    (from..=to)
        .map(|number| format!("message {number} {{\"id\":{number}}}"))
        .collect()
}

#[test]
fn every_mode_loses_and_repeats_nothing_over_cuts() {
    const BURSTS: usize = 12;
    const BURST: usize = 5;
    let nchan = Nchan::start();
    let all = texts(1, BURSTS * BURST);
    let count = all.len().to_string();
    let relays: Vec<Relay> = MODES.iter().map(|_| Relay::to(&nchan.address)).collect();
    let subs: Vec<Sub> = MODES
        .iter()
        .zip(&relays)
        .map(|((mode, path), relay)| {
            let args = [
                "ch1",
                "--mode",
                mode,
                "--sub-path",
                path,
                "--since",
                "all",
                "--count",
                &count,
                "--interval",
                "100ms",
            ];
            // One that is cut before it is up is not to give up.
            let args = [&args[..], &["--retry", "20"]].concat();
            Sub::start(&relay.url(), &args)
        })
        .collect();
    for (burst, texts) in all.chunks(BURST).enumerate() {
        publish_all(&nchan, "ch1", texts);
        match burst % 4 {
            1 => {
                wait_until("all have come back, so that each is cut", || {
                    relays.iter().all(|relay| relay.connections() > burst / 4)
                });
                relays.iter().for_each(Relay::cut);
            }
            3 => subs.iter().zip(MODES).for_each(|(sub, mode)| {
                let expected = &all[(burst - 3) * BURST..(burst + 1) * BURST];
                assert_eq!(
                    sub.take(4 * BURST, &format!("{mode:?}, burst {burst}")),
                    expected,
                    "{mode:?}, burst {burst}"
                );
            }),
            _ => {}
        }
    }
    for (sub, mode) in subs.into_iter().zip(MODES) {
        assert_eq!(
            sub.end(),
            (Vec::new(), Some(0)),
            "{mode:?}: the count is reached, and nothing more came"
        );
    }
    assert!(relays.iter().all(|relay| relay.connections() > 3));
    assert_eq!(nchan.alarms(), Vec::<String>::new());
}

#[test]
fn a_cursor_file_resumes_in_any_mode_and_after_kills() {
    let nchan = Nchan::start();
    let directory = Directory::new("cursor");
    let file = directory.path().join("cursor");
    let file = file.to_str().expect("UTF-8");
    let all = texts(1, 8 * MODES.len());
    let mut published = 0;
    for (mode, path) in MODES {
        publish_all(&nchan, "ch1", &all[published..published + 8]);
        let start = [
            "--since",
            "all",
            "--cursor-file",
            file,
            "--mode",
            mode,
            "--sub-path",
            path,
        ];
        // The first run is killed when it has dealt with some messages; the second one does the
        // rest.
        let before = std::fs::read_to_string(file).unwrap_or_default();
        let mut killed = Sub::start(&nchan.url(), &[&["ch1"][..], &start].concat());
        let mut first = killed.take(3, path);
        let moved = |text: String| text != before && text.contains("event_id");
        wait_until("the cursor has moved", || {
            std::fs::read_to_string(file).is_ok_and(moved)
        });
        killed.child.kill().expect("it runs");
        first.extend(killed.lines.iter());
        let (rest, _) = Sub::start(
            &nchan.url(),
            &[&["ch1", "--idle-timeout", "1s"][..], &start].concat(),
        )
        .end();
        let expected = &all[published..published + 8];
        assert_eq!(first, expected[..first.len()], "{mode} {path}");
        assert_eq!(rest, expected[8 - rest.len()..], "{mode} {path}: the rest");
        // Lines printed after the last cursor update may be repeated; none is lost.
        assert!(
            first.len() + rest.len() >= 8 && rest.len() < 8,
            "{mode} {path}: {first:?} {rest:?}"
        );
        published += 8;
    }
    let expected = run(
        &[
            "sub",
            "ch1",
            "--cursor-file",
            file,
            "--idle-timeout",
            "300ms",
            "--url",
            &nchan.url(),
            "--sub-path",
            "/sub/{channel}",
        ],
        b"",
    );
    assert_eq!(
        (expected.code, expected.stdout.as_str()),
        (0, ""),
        "nothing is left"
    );
    assert_eq!(nchan.alarms(), Vec::<String>::new());
}

#[test]
fn new_messages_are_those_since_the_start_in_every_mode() {
    let nchan = Nchan::start();
    publish_all(&nchan, "ch1", &texts(1, 3));
    next_second();
    // Without a position, nchan sends its oldest messages.
    let subs: Vec<Sub> = MODES
        .iter()
        .map(|(mode, path)| {
            Sub::start(
                &nchan.url(),
                &["ch1", "--mode", mode, "--sub-path", path, "--count", "2"],
            )
        })
        .collect();
    // Five of them wait on the channel, the polling one does not; all receive a message.
    wait_until("they wait", || {
        let info = run(&["stats", "ch1", "--json", "--url", &nchan.url()], b"");
        serde_json::from_str::<Value>(&info.stdout)
            .is_ok_and(|info| info["subscribers"].as_u64() == Some(MODES.len() as u64 - 1))
    });
    publish(&nchan, "ch1", "new 1");
    publish(&nchan, "ch1", "new 2");
    for (sub, mode) in subs.into_iter().zip(MODES) {
        assert_eq!(
            sub.end(),
            (vec!["new 1".to_owned(), "new 2".to_owned()], Some(0)),
            "{mode:?}"
        );
    }
    assert_eq!(nchan.alarms(), Vec::<String>::new());
}
