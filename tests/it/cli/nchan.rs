//! `pushctl` against the real nchan: every mode is followed over cut connections, reloads and
//! restarts, nothing is lost, nothing comes twice; its answers are understood.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::fake::{Outcome, run};
use super::nchan_server::Nchan;
use super::stats::new_folder;
use crate::support::{DEADLINE, Relay, program, wait_until};

/// Modes with the paths of the locations that have them.
const MODES: [(&str, &str); 8] = [
    ("ev", "/sub/{channel}"),
    ("ws", "/sub/{channel}"),
    ("lp", "/sub/{channel}"),
    ("stream", "/sub/{channel}"),
    ("poll", "/poll/{channel}"),
    ("lp", "/batch/{channel}"),
    ("lp", "/etag/{channel}"),
    ("ws", "/pubsub/{channel}"),
];

/// A running `sub`; it is killed when this value goes.
struct Sub {
    child: Child,
    lines: Receiver<String>,
}

impl Sub {
    fn start(url: &str, args: &[&str]) -> Self {
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
    fn take(&self, count: usize, who: &str) -> Vec<String> {
        let line = |number| {
            self.lines
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|_| panic!("{who}: only {number} of {count} lines came"))
        };
        (0..count).map(line).collect()
    }

    /// Waits for its end: the rest of its lines, and its exit code.
    fn end(mut self) -> (Vec<String>, Option<i32>) {
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

fn publish(nchan: &Nchan, channel: &str, text: &str) {
    let outcome = run(
        &["pub", channel, text, "--quiet", "--url", &nchan.url()],
        b"",
    );
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

/// Publishes texts over one process.
fn publish_all(nchan: &Nchan, channel: &str, texts: &[String]) {
    let outcome = run(
        &["pub", channel, "--lines", "--quiet", "--url", &nchan.url()],
        (texts.join("\n") + "\n").as_bytes(),
    );
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

/// Waits until the clock shows another second: positions are in seconds.
fn next_second() {
    let second = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_secs())
    };
    let before = second();
    wait_until("another second has begun", || second() > before);
}

fn texts(from: usize, to: usize) -> Vec<String> {
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
fn a_cursor_file_goes_on_in_any_mode_and_after_kills() {
    let nchan = Nchan::start();
    let file = new_folder().join("cursor");
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
        // What was printed after the cursor was last written may come again; nothing is lost, and
        // not all comes again.
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
    // nchan gives its oldest messages to whoever asks without a place.
    let subs: Vec<Sub> = MODES
        .iter()
        .map(|(mode, path)| {
            Sub::start(
                &nchan.url(),
                &["ch1", "--mode", mode, "--sub-path", path, "--count", "2"],
            )
        })
        .collect();
    // Five of them wait at the channel; the polling one does not, so all get something that they
    // can tell.
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

#[test]
fn messages_have_the_same_keys_as_those_of_other_servers() {
    let nchan = Nchan::start();
    let url = nchan.url();
    let hostile = r#"{"id":-2,"channel":"other","text":"forged"}"#;
    run(
        &[
            "pub",
            "ch1",
            hostile,
            "--event-type",
            "price",
            "--url",
            &url,
        ],
        b"",
    );
    for (mode, path) in MODES {
        let outcome = run(
            &[
                "sub",
                "ch1",
                "--json",
                "--mode",
                mode,
                "--sub-path",
                path,
                "--since",
                "all",
                "--count",
                "1",
                "--url",
                &url,
            ],
            b"",
        );
        let message: Value = serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|_| panic!("{mode} {path}: {outcome:?}"));
        let time = message["time"].clone();
        let tag = message["tag"].clone();
        let id = message["eventid"].as_str().expect("an id").to_owned();
        let mut expected =
            json!({"channel": "ch1", "text": hostile, "tag": tag, "time": time, "eventid": id});
        if mode == "ev" {
            expected["eventtype"] = "price".into();
        }
        assert_eq!(
            (&message, tag, id.ends_with(":0")),
            (&expected, json!(0), true),
            "{mode} {path}"
        );
    }
}

#[test]
fn several_channels_are_followed_with_their_names() {
    let nchan = Nchan::start();
    let relays: Vec<Relay> = (0..4).map(|_| Relay::to(&nchan.address)).collect();
    let subs: Vec<Sub> = ["ev", "ws", "lp", "stream"]
        .iter()
        .zip(&relays)
        .map(|(mode, relay)| {
            let args = [
                "a",
                "b",
                "--mode",
                mode,
                "--dialect",
                "nchan",
                "--since",
                "all",
                "--count",
                "40",
                "--template",
                "{channel} {text}",
            ];
            let args = [&args[..], &["--retry", "20"]].concat();
            Sub::start(&relay.url(), &args)
        })
        .collect();
    for burst in 0..4 {
        for channel in ["a", "b"] {
            publish_all(&nchan, channel, &texts(burst * 5 + 1, burst * 5 + 5));
        }
        relays.iter().for_each(Relay::cut);
    }
    for (sub, mode) in subs.into_iter().zip(["ev", "ws", "lp", "stream"]) {
        let (lines, code) = sub.end();
        assert_eq!((lines.len(), code), (40, Some(0)), "{mode}: {lines:?}");
        for channel in ["a ", "b "] {
            let own: Vec<&str> = lines
                .iter()
                .filter_map(|line| line.strip_prefix(channel))
                .collect();
            assert_eq!(own, texts(1, 20), "{mode}: channel {channel}");
        }
    }
}

/// What nchan keeps in memory is gone after a reload, too. Each mode has a channel of its own:
/// several that come back to one channel without messages make nchan fall, which is the next test.
fn forgets(how: impl Fn(&mut Nchan)) {
    let mut nchan = Nchan::start();
    let name = |number: usize| format!("ch{number}");
    let subs: Vec<Sub> = (0..MODES.len())
        .map(|number| {
            publish_all(&nchan, &name(number), &texts(1, 3));
            let (mode, path) = MODES[number];
            Sub::start(
                &nchan.url(),
                &[
                    &name(number),
                    "--mode",
                    mode,
                    "--sub-path",
                    path,
                    "--since",
                    "all",
                    "--count",
                    "5",
                ],
            )
        })
        .collect();
    for (sub, (_, path)) in subs.iter().zip(MODES) {
        assert_eq!(sub.take(3, path), texts(1, 3), "{path}");
    }
    publish(&nchan, "mark", "x");
    how(&mut nchan);
    // It counts the messages of a second from 0 again, so those of the second before would be old
    // ones.
    next_second();
    wait_until("the new process answers", || {
        run(&["stats", "mark", "--url", &nchan.url()], b"").code == 5
    });
    for number in 0..MODES.len() {
        publish_all(&nchan, &name(number), &texts(4, 5));
    }
    for (sub, mode) in subs.into_iter().zip(MODES) {
        assert_eq!(sub.end(), (texts(4, 5), Some(0)), "{mode:?}");
    }
}

#[test]
fn a_restarted_server_is_followed_on() {
    forgets(Nchan::restart);
}

#[test]
fn a_reloaded_server_is_followed_on() {
    forgets(|nchan| nchan.reload());
}

#[test]
fn several_that_come_back_to_a_channel_without_messages_get_over_its_fall() {
    let mut nchan = Nchan::start();
    publish(&nchan, "ch1", "one");
    let subs: Vec<Sub> = ["ev", "ws", "lp"]
        .iter()
        .map(|mode| {
            Sub::start(
                &nchan.url(),
                &[
                    "ch1",
                    "--mode",
                    mode,
                    "--dialect",
                    "nchan",
                    "--since",
                    "all",
                    "--count",
                    "2",
                ],
            )
        })
        .collect();
    for sub in &subs {
        assert_eq!(sub.take(1, "first"), ["one"]);
    }
    nchan.restart();
    next_second();
    wait_until("all wait again", || {
        run(
            &[
                "stats",
                "ch1",
                "--assert",
                "subscribers=3",
                "--url",
                &nchan.url(),
            ],
            b"",
        )
        .code
            == 0
    });
    publish(&nchan, "ch1", "two");
    for sub in subs {
        assert_eq!(sub.end(), (vec!["two".to_owned()], Some(0)));
    }
}

#[test]
fn streams_without_ids_are_printed_message_by_message() {
    let nchan = Nchan::start();
    for path in ["/raw/{channel}", "/chunked/{channel}"] {
        let channel = &path[1..4];
        publish(&nchan, channel, "{\"id\":1,\"text\":\"as it is\"}");
        publish(&nchan, channel, "two");
        let args = [
            "sub",
            channel,
            "--mode",
            "stream",
            "--dialect",
            "nchan",
            "--sub-path",
            path,
            "--since",
            "all",
            "--count",
            "2",
            "--timeout",
            "20s",
            "--url",
            &nchan.url(),
        ];
        let outcome = run(&args, b"");
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "{\"id\":1,\"text\":\"as it is\"}\ntwo\n"),
            "{path}: {outcome:?}"
        );
    }
}

#[test]
fn a_deleted_channel_ends_a_long_poll_and_backlogs_are_refused() {
    let nchan = Nchan::start();
    let url = nchan.url();
    publish(&nchan, "ch1", "one");
    let sub = Sub::start(
        &url,
        &[
            "ch1",
            "--mode",
            "lp",
            "--dialect",
            "nchan",
            "--since",
            "all",
        ],
    );
    assert_eq!(sub.take(1, "lp"), ["one"]);
    wait_until("it waits again", || {
        run(
            &["stats", "ch1", "--assert", "subscribers=1", "--url", &url],
            b"",
        )
        .code
            == 0
    });
    assert_eq!(run(&["rm", "ch1", "--url", &url], b"").code, 0);
    assert_eq!(sub.end(), (Vec::new(), Some(11)));
    for args in [
        &["sub", "ch1", "--backlog", "3", "--dialect", "nchan"][..],
        &["sub", "ch1.b3", "--sub-path", "/sub/{channel}"],
    ] {
        let outcome = run(&[args, &["--url", &url]].concat(), b"");
        assert!(
            outcome.code == 2
                && outcome
                    .stderr
                    .contains("cannot start N messages back (use --since all"),
            "{outcome:?}"
        );
    }
}

fn answer(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"))
}

#[test]
fn publications_and_statistics_are_understood() {
    let nchan = Nchan::start();
    let url = nchan.url();
    for dialect in [&[][..], &["--dialect", "nchan"]] {
        let with = |args: &[&str]| run(&[args, dialect, &["--url", &url]].concat(), b"");
        let published = answer(&with(&["pub", "ch1", "hello", "--json"]));
        let keys = [
            "channel",
            "published_messages",
            "stored_messages",
            "subscribers",
        ];
        assert!(
            keys.iter().all(|key| published.get(key).is_some()),
            "{published}"
        );
        assert_eq!(
            (&published["channel"], &published["published_messages"]),
            (&json!("ch1"), &Value::Null)
        );
        let info = answer(&with(&["stats", "ch1", "--json"]));
        assert_eq!(
            (&info["stored_messages"], &info["last_message_id"]),
            (&published["stored_messages"], &published["last_message_id"])
        );
        assert_eq!(
            with(&["stats", "ch1", "--assert", "stored>=1,subscribers=0"]).code,
            0
        );
        let table = with(&["stats", "ch1"]).stdout;
        assert!(table.contains("ch1") && table.contains(" - "), "{table}");
        let summary = answer(&with(&["stats", "--json"]));
        assert!(
            summary["channels"] == 1 && summary["published_messages"].as_u64() >= Some(1),
            "{summary}"
        );
        assert_eq!(with(&["stats", "nobody"]).code, 5);
        assert_eq!(
            with(&[
                "wait",
                "--channel",
                "ch1",
                "--stored",
                ">=1",
                "--timeout",
                "10s"
            ])
            .code,
            0
        );
        assert_eq!(
            with(&["pub", "ch1", "x", "--require-subscribers", "1"]).code,
            12
        );
        assert_eq!(with(&["rm", "nobody"]).code, 5);
        assert_eq!(with(&["rm", "ch1"]).code, 0);
    }
    let many = run(
        &["pub", "ch2", "--lines", "--json", "--url", &url],
        b"a\nb\nc\n",
    );
    assert_eq!(many.code, 0, "{many:?}");
    assert_eq!(
        answer(&run(&["stats", "ch2", "--json", "--url", &url], b""))["stored_messages"],
        3
    );
    let refused = run(
        &[
            "pub",
            "ch1",
            "x",
            "--event-id",
            "1",
            "--dialect",
            "nchan",
            "--url",
            &url,
        ],
        b"",
    );
    assert_eq!(refused.code, 2, "{refused:?}");
}

#[test]
fn a_profile_names_the_dialect() {
    let nchan = Nchan::start();
    let folder = new_folder();
    let file = folder.join("config.toml");
    let write = |dialect: &str| {
        let text = format!(
            "default = \"n\"\n[servers.n]\nurl = \"{}\"\ndialect = \"{dialect}\"\nmode = \"lp\"\n",
            nchan.url()
        );
        std::fs::write(&file, text).expect("a file");
    };
    let with = |args: &[&str], file: &Path| {
        run(
            &[args, &["--config-file", file.to_str().expect("UTF-8")]].concat(),
            b"",
        )
    };
    write("nchan");
    assert_eq!(with(&["pub", "ch1.b5", "hello"], &file).code, 0);
    assert_eq!(
        with(&["sub", "ch1.b5", "--since", "all", "--count", "1"], &file).stdout,
        "hello\n",
        "the name is a name"
    );
    write("nshan");
    let outcome = with(&["stats"], &file);
    assert!(
        outcome.code == 2
            && outcome
                .stderr
                .contains("unknown dialect 'nshan' (push-stream, nhpm or nchan)"),
        "{outcome:?}"
    );
}

#[test]
fn bench_measures_nchan_by_its_dialect() {
    let nchan = Nchan::start();
    let bench = |mode: &str| {
        let outcome = run(
            &[
                "bench",
                "--dialect",
                "nchan",
                "-n",
                "20",
                "--mode",
                mode,
                "--messages",
                "10",
                "--json",
                "--url",
                &nchan.url(),
            ],
            b"",
        );
        let report = answer(&outcome);
        (
            report["delivered"].clone(),
            report["lost"].clone(),
            report["duplicated"].clone(),
        )
    };
    for mode in ["ev", "ws"] {
        let (_, lost, duplicated) = bench(mode);
        assert_eq!((lost, duplicated), (json!(0), json!(0)), "{mode}");
    }
}
