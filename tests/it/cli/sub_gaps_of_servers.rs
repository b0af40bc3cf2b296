//! `sub` and gaps that a server reports itself, and those of pushctl as the server.

use super::fake::{Fake, Reply, object, ok, run};
use super::sub_gaps::{gaps, reported, restarted};
use crate::support::{Directory, Server, conf};

const NOTICE: &str =
    r#"{"id":-4,"channel":"a","text":"messages missed","missed":0,"at_least":true,"eventid":""}"#;

const NOTICE_WITH_PLACE: &str = "{\"id\":-4,\"channel\":\"a\",\"text\":\"messages \
     missed\",\"missed\":0,\"at_least\":true,\"tag\":\"0\",\"time\":\"Sat, 21 Nov 2026 00:19:30 \
     GMT\",\"eventid\":\"\"}";

#[test]
fn gaps_reported_by_the_server_are_not_repeated() {
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
            assert_eq!(gaps(&outcome), reported("a"), "{mode}: {notice}");
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
fn a_poll_response_reports_a_restart_in_a_header() {
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
            ("m5\nnew1\n", reported("a")),
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
        assert_eq!(
            (outcome.code, gaps(&outcome)),
            (10, reported("a")),
            "{mode}"
        );
    }
}

const LOCATIONS: &str = "
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; \
    push_stream_store_messages on; }
    location ~ ^/ev/(.*)$ { push_stream_subscriber eventsource; push_stream_channels_path $1;
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

#[test]
fn losses_that_the_server_does_not_report_are_detected() {
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
            (10, reported("ch")),
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
            (10, "", reported("ch")),
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
            (10, "", reported("ch")),
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
