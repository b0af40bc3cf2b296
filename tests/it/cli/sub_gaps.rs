//! `sub`: messages that were lost because a server started again are a gap of unknown size, whether
//! the server says so or only the ids of its messages show it.

use super::fake::{Fake, Outcome, Reply, chunked, frame, object, ok, run};
use crate::support::{Directory, Server, conf};

const REASON: &str = "the server was restarted, or the channel was deleted and created again";

fn told(channel: &str) -> String {
    format!("pushctl: channel '{channel}': an unknown number of messages was missed, {REASON}\n")
}

fn events(objects: &[String]) -> String {
    let events: String = objects
        .iter()
        .map(|object| format!("data: {object}\n\n"))
        .collect();
    chunked(&[": \n", &events])
}

/// A server that gives these messages in the first connection and those in all others, in every
/// mode.
fn restarted(before: &[String], after: &[String]) -> Fake {
    let before = before.to_vec();
    let after = after.to_vec();
    Fake::start(move |request, number| {
        let objects = if number == 0 { &before } else { &after };
        match request.line.split(['/', '?']).nth(1) {
            Some("ev") if number == 0 => Reply::Close(events(objects)),
            Some("ev") => Reply::Hold(events(objects)),
            Some("sub") if number == 0 => Reply::Close(chunked(&[&objects.concat()])),
            Some("sub") => Reply::Hold(chunked(&[&objects.concat()])),
            Some("ws") => Reply::Upgrade(
                objects
                    .iter()
                    .flat_map(|object| frame(1, object.as_bytes()))
                    .collect(),
            ),
            _ => {
                let second = if number == 0 { 21 } else { 41 };
                let headers =
                    format!("Last-Modified: Sat, 21 Nov 2026 00:19:{second} GMT\r\nEtag: W/9\r\n");
                Reply::Send(ok(&headers, &objects.concat()))
            }
        }
    })
}

/// Standard error without the notices of reconnecting.
fn gaps(outcome: &Outcome) -> String {
    outcome
        .stderr
        .lines()
        .filter(|line| line.contains("missed"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn an_id_that_goes_back_is_reported_once_in_every_mode() {
    let before = [object(4, "a", "m4", 21, 1), object(5, "a", "m5", 21, 2)];
    let after = [object(1, "a", "new1", 40, 1), object(2, "a", "new2", 40, 2)];
    for mode in ["ev", "ws", "lp", "stream", "poll"] {
        let args = [
            "sub",
            "-t",
            "60s",
            "a",
            "-m",
            mode,
            "-n",
            "4",
            "--interval",
            "100ms",
        ];
        let outcome = restarted(&before, &after).run(&args);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "m4\nm5\nnew1\nnew2\n"),
            "{mode}: {}",
            outcome.stderr
        );
        assert_eq!(gaps(&outcome), told("a"), "{mode}");
        let outcome = restarted(&before, &after).run(&[&args[..], &["--fail-on-gap"]].concat());
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (10, "m4\nm5\n"),
            "{mode}: {}",
            outcome.stderr
        );
        let outcome = restarted(&before, &after).run(&[&args[..], &["--json"]].concat());
        let gap = r#"{"id":-4,"channel":"a","text":"an unknown number of messages was missed","missed":0,"at_least":true}"#;
        assert_eq!(
            outcome.stdout.lines().filter(|line| *line == gap).count(),
            1,
            "{mode}: {}",
            outcome.stdout
        );
    }
}

#[test]
fn a_later_run_reports_it_and_the_one_after_that_goes_on() {
    for mode in ["ev", "lp", "stream"] {
        let directory = Directory::new("gap-runs");
        let file = directory.path().join("c");
        let args = [
            "sub",
            "-t",
            "60s",
            "a",
            "-m",
            mode,
            "-n",
            "1",
            "--cursor-file",
            file.to_str().expect("UTF-8"),
            "--fail-on-gap",
        ];
        let fake = restarted(
            &[object(3, "a", "m3", 21, 1)],
            &[object(1, "a", "new1", 40, 1)],
        );
        assert_eq!(fake.run(&args).stdout, "m3\n", "{mode}");
        let outcome = fake.run(&args);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str(), gaps(&outcome)),
            (10, "", told("a")),
            "{mode}"
        );
        let outcome = fake.run(&args);
        assert_eq!(
            (
                outcome.code,
                outcome.stdout.as_str(),
                outcome.stderr.as_str()
            ),
            (0, "new1\n", ""),
            "{mode}"
        );
    }
}

#[test]
fn known_gaps_are_reported_by_one_run_only_too() {
    let directory = Directory::new("gap-known");
    let file = directory.path().join("c");
    let args = [
        "sub",
        "-t",
        "60s",
        "a",
        "-n",
        "1",
        "--cursor-file",
        file.to_str().expect("UTF-8"),
        "--fail-on-gap",
    ];
    let fake = restarted(
        &[object(3, "a", "m3", 21, 1)],
        &[object(9, "a", "m9", 40, 1)],
    );
    assert_eq!(fake.run(&args).code, 0);
    assert_eq!(fake.run(&args).code, 10);
    let outcome = fake.run(&args);
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "m9\n", "")
    );
}

#[test]
fn commands_are_run_behind_a_restart_too() {
    let fake = restarted(
        &[object(5, "a", "m5", 21, 1)],
        &[object(1, "a", "new1", 40, 1)],
    );
    let outcome = fake.run(&["sub", "-t", "60s", "a", "-n", "2", "--exec", "cat; echo"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str(), gaps(&outcome)),
        (0, "m5\nnew1\n", told("a"))
    );
    let fake = restarted(
        &[object(5, "a", "m5", 21, 1)],
        &[object(1, "a", "new1", 40, 1)],
    );
    assert_eq!(
        fake.run(&[
            "sub",
            "-t",
            "60s",
            "a",
            "-n",
            "2",
            "--exec",
            "cat; echo",
            "--fail-on-gap"
        ])
        .code,
        10
    );
}

#[test]
fn each_channel_counts_by_itself() {
    let before = [object(5, "a", "a5", 21, 1), object(7, "b", "b7", 21, 2)];
    let after = [object(1, "a", "a1", 40, 1), object(8, "b", "b8", 40, 2)];
    let outcome = restarted(&before, &after).run(&["sub", "-t", "60s", "a", "b", "-n", "4"]);
    assert_eq!(
        (outcome.stdout.as_str(), gaps(&outcome)),
        ("a5\nb7\na1\nb8\n", told("a"))
    );
    let after = [object(1, "a", "a1", 40, 1), object(2, "b", "b2", 40, 2)];
    let outcome = restarted(&before, &after).run(&["sub", "-t", "60s", "a", "b", "-n", "4"]);
    assert_eq!(gaps(&outcome), told("a") + &told("b"));
}

#[test]
fn repetitions_and_messages_of_other_workers_are_no_restart() {
    let before = [object(1, "a", "m1", 21, 1), object(2, "a", "m2", 21, 2)];
    let after = [&before[..], &[object(3, "a", "m3", 22, 1)]].concat();
    let outcome =
        restarted(&before, &after).run(&["sub", "-t", "60s", "a", "-n", "3", "--fail-on-gap"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "m1\nm2\nm3\n"),
        "{}",
        outcome.stderr
    );
    // Two workers of the module: the later message overtakes the earlier one.
    let order = [
        object(1, "a", "m1", 21, 1),
        object(3, "a", "m3", 21, 3),
        object(2, "a", "m2", 21, 2),
        object(4, "a", "m4", 21, 4),
    ];
    let outcome = restarted(&order, &[]).run(&["sub", "-t", "60s", "a", "-n", "4"]);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.contains("unknown")),
        ("m1\nm3\nm2\nm4\n", false),
        "{}",
        outcome.stderr
    );
}

#[test]
fn messages_without_places_show_a_restart_behind_a_new_one() {
    let bare = |id: u32| format!("{{\"id\":{id},\"channel\":\"a\",\"text\":\"m{id}\"}}");
    let all = [bare(5), bare(6), bare(1), bare(2)];
    let outcome = restarted(&all, &[]).run(&["sub", "-t", "60s", "a", "-n", "4"]);
    assert_eq!(
        (outcome.stdout.as_str(), gaps(&outcome)),
        ("m5\nm6\nm1\nm2\n", told("a"))
    );
    // Places of whole answers are exact.
    let outcome =
        restarted(&[bare(5)], &[bare(1)]).run(&["sub", "-t", "60s", "a", "-m", "lp", "-n", "2"]);
    assert_eq!(
        (outcome.stdout.as_str(), gaps(&outcome)),
        ("m5\nm1\n", told("a"))
    );
}

const NOTICE: &str =
    r#"{"id":-4,"channel":"a","text":"messages missed","missed":0,"at_least":true,"eventid":""}"#;
const NOTICE_WITH_PLACE: &str = r#"{"id":-4,"channel":"a","text":"messages missed","missed":0,"at_least":true,"tag":"0","time":"Sat, 21 Nov 2026 00:19:30 GMT","eventid":""}"#;

#[test]
fn what_the_server_says_is_not_reported_again() {
    for notice in [NOTICE, NOTICE_WITH_PLACE] {
        for mode in ["ev", "ws", "stream"] {
            let after = [
                notice.to_owned(),
                notice.to_owned(),
                object(1, "a", "new1", 40, 1),
                object(2, "a", "new2", 40, 2),
            ];
            let outcome = restarted(&[object(5, "a", "m5", 21, 1)], &after)
                .run(&["sub", "-t", "60s", "a", "-m", mode, "-n", "3"]);
            assert_eq!(
                (outcome.code, outcome.stdout.as_str()),
                (0, "m5\nnew1\nnew2\n"),
                "{mode}: {}",
                outcome.stderr
            );
            assert_eq!(gaps(&outcome), told("a"), "{mode}: {notice}");
            let outcome = restarted(&[object(5, "a", "m5", 21, 1)], &after).run(&[
                "sub",
                "-t",
                "60s",
                "a",
                "-m",
                mode,
                "-n",
                "3",
                "--fail-on-gap",
            ]);
            assert_eq!(outcome.code, 10, "{mode}");
        }
    }
}

#[test]
fn an_answer_to_a_poll_reports_a_restart_in_a_header() {
    let script = |number: usize| match number {
        0 => ok(
            "Last-Modified: Sat, 21 Nov 2026 00:19:21 GMT\r\nEtag: W/1\r\n",
            &object(5, "a", "m5", 21, 1),
        ),
        _ => ok(
            "X-Pushctl-Missed: 0+\r\nLast-Modified: Sat, 21 Nov 2026 00:19:40 GMT\r\nEtag: W/1\r\n",
            &object(1, "a", "new1", 40, 1),
        ),
    };
    for mode in ["lp", "poll"] {
        let fake = Fake::start(move |_, number| Reply::Send(script(number)));
        let outcome = fake.run(&[
            "sub",
            "-t",
            "60s",
            "a",
            "-m",
            mode,
            "-n",
            "2",
            "--interval",
            "100ms",
        ]);
        assert_eq!(
            (outcome.stdout.as_str(), gaps(&outcome)),
            ("m5\nnew1\n", told("a")),
            "{mode}"
        );
        // From a cursor file as well.
        let directory = Directory::new("gap-header");
        let file = directory.path().join("c");
        let args = [
            "sub",
            "-t",
            "60s",
            "a",
            "-m",
            mode,
            "-n",
            "1",
            "--cursor-file",
            file.to_str().expect("UTF-8"),
            "--fail-on-gap",
        ];
        let fake = Fake::start(move |_, number| Reply::Send(script(number)));
        assert_eq!(fake.run(&args).code, 0);
        let outcome = fake.run(&args);
        assert_eq!((outcome.code, gaps(&outcome)), (10, told("a")), "{mode}");
    }
}

#[test]
fn a_channel_that_was_seen_to_be_deleted_starts_again_without_a_gap() {
    let all = [
        object(5, "a", "a5", 21, 1),
        object(-2, "a", "bye", 0, 0),
        object(1, "b", "b1", 22, 1),
    ];
    let outcome = restarted(
        &all,
        &[object(1, "a", "a1", 40, 1), object(2, "b", "b2", 40, 2)],
    )
    .run(&["sub", "-t", "60s", "a", "b", "-n", "3"]);
    assert_eq!(gaps(&outcome), "", "{}", outcome.stderr);
}

const LOCATIONS: &str = "
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; \
    push_stream_store_messages on; }
    location ~ ^/ev/(.*)$ { push_stream_subscriber eventsource; push_stream_channels_path $1;
      push_stream_last_received_message_time $arg_time; push_stream_last_received_message_tag \
      $arg_tag;
      push_stream_message_template \
      '{\"id\":~id~,\"channel\":\"~channel~\",\"text\":\"~text~\",\"tag\":\"~tag~\",\"time\":\"~time~\"}'; }
    location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1;
      push_stream_message_template \
      '{\"id\":~id~,\"channel\":\"~channel~\",\"text\":\"~text~\",\"tag\":\"~tag~\",\"time\":\"~time~\"}'; }";

#[test]
fn lost_messages_of_a_server_that_says_nothing_are_reported() {
    for mode in ["ev", "lp"] {
        let directory = Directory::new("gap-real");
        let file = directory.path().join("c");
        let server = Server::with_conf(&conf("push_stream_shared_memory_size 16m;", LOCATIONS));
        for text in ["m1", "m2", "m3"] {
            assert_eq!(
                run(&["pub", "ch", text, "--url", server.url()], b"").code,
                0
            );
        }
        let args = [
            "sub",
            "ch",
            "-m",
            mode,
            "--url",
            server.url(),
            "--cursor-file",
            file.to_str().expect("UTF-8"),
        ];
        let outcome = run(&[&args[..], &["--since", "all", "-n", "3"]].concat(), b"");
        assert_eq!(outcome.stdout, "m1\nm2\nm3\n", "{mode}: {}", outcome.stderr);
        assert_eq!(
            run(&["pub", "ch", "lost", "--url", server.url()], b"").code,
            0
        );
        // As after a restart: the channel counts from 1 again.
        assert_eq!(run(&["rm", "ch", "--url", server.url()], b"").code, 0);
        assert_eq!(
            run(&["pub", "ch", "new", "--url", server.url()], b"").code,
            0
        );
        let outcome = run(
            &[&args[..], &["-n", "1", "--fail-on-gap", "-t", "20s"]].concat(),
            b"",
        );
        assert_eq!(
            (outcome.code, gaps(&outcome)),
            (10, told("ch")),
            "{mode}: {}",
            outcome.stderr
        );
        let outcome = run(
            &[&args[..], &["-n", "1", "--fail-on-gap", "-t", "20s"]].concat(),
            b"",
        );
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "new\n"),
            "{mode}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn a_gap_is_reported_once_by_every_mode_of_our_own_server() {
    let server = Server::start(&["--max-stored-messages", "2"]);
    let directory = Directory::new("gap-own");
    let url = server.url();
    let file = directory.path().join("c");
    let kept = directory.path().join("kept");
    let args = [
        "sub",
        "ch",
        "--url",
        url,
        "--cursor-file",
        file.to_str().expect("UTF-8"),
    ];
    server.publish("ch", "m0");
    assert_eq!(
        run(&[&args[..], &["--since", "all", "-n", "1"]].concat(), b"").stdout,
        "m0\n"
    );
    std::fs::copy(&file, &kept).expect("it is there");
    for number in 1..=5 {
        server.publish("ch", format!("m{number}"));
    }
    for mode in ["ev", "ws", "lp", "stream", "poll"] {
        std::fs::copy(&kept, &file).expect("it is there");
        let outcome = run(
            &[&args[..], &["-m", mode, "-n", "2", "-t", "20s"]].concat(),
            b"",
        );
        let expected =
            "pushctl: channel 'ch': 3 messages were missed, the server had dropped them\n";
        assert_eq!(
            (outcome.stdout.as_str(), outcome.stderr.as_str()),
            ("m4\nm5\n", expected),
            "{mode}"
        );
    }
}

#[test]
fn an_event_id_that_no_message_has_is_reported_in_every_mode() {
    let server = Server::start(&[]);
    let second = || server.get("/pub?id=ch").head.get("Date").map(str::to_owned);
    server.publish("ch", "old");
    // The message is older than the run, also by the clock of the server.
    let published = second();
    crate::support::wait_until("the next second begins", || second() != published);
    for mode in ["ev", "ws", "lp", "stream", "poll"] {
        let args = [
            "sub",
            "ch",
            "--url",
            server.url(),
            "--since",
            "id:nope",
            "-m",
            mode,
            "-n",
            "1",
            "-t",
            "20s",
            "--fail-on-gap",
        ];
        let outcome = run(&args, b"");
        assert_eq!(
            (outcome.code, outcome.stdout.as_str(), outcome.stderr),
            (10, "", told("ch")),
            "{mode}"
        );
    }
}

#[test]
fn a_restart_of_our_own_server_is_reported_once_by_every_mode_and_by_one_run() {
    let directory = Directory::new("gap-restart");
    let file = directory.path().join("c");
    let kept = directory.path().join("kept");
    let port = crate::support::free_port();
    let address = format!("127.0.0.1:{port}");
    let url = format!("http://{address}");
    let args = [
        "sub",
        "ch",
        "--url",
        url.as_str(),
        "--cursor-file",
        file.to_str().expect("UTF-8"),
        "--fail-on-gap",
    ];
    let server = Server::start(&["--listen", &address]);
    for number in 1..=5 {
        assert_eq!(
            run(&["pub", "ch", &format!("m{number}"), "--url", &url], b"").code,
            0
        );
    }
    assert_eq!(
        run(&[&args[..], &["--since", "all", "-n", "3"]].concat(), b"").stdout,
        "m1\nm2\nm3\n"
    );
    std::fs::copy(&file, &kept).expect("it is there");
    drop(server);
    let server = Server::start(&["--listen", &address]);
    assert_eq!(run(&["pub", "ch", "new1", "--url", &url], b"").code, 0);
    for mode in ["ev", "ws", "lp", "stream", "poll"] {
        std::fs::copy(&kept, &file).expect("it is there");
        let outcome = run(
            &[&args[..], &["-m", mode, "-n", "1", "-t", "20s"]].concat(),
            b"",
        );
        assert_eq!(
            (outcome.code, outcome.stdout.as_str(), outcome.stderr),
            (10, "", told("ch")),
            "{mode}"
        );
        let outcome = run(
            &[&args[..], &["-m", mode, "-n", "1", "-t", "20s"]].concat(),
            b"",
        );
        assert_eq!(
            (
                outcome.code,
                outcome.stdout.as_str(),
                outcome.stderr.as_str()
            ),
            (0, "new1\n", ""),
            "{mode}"
        );
    }
    drop(server);
}
