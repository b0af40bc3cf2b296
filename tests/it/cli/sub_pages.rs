//! `sub`: a response that is no sequence of messages is rejected instead of printed.

use super::fake::{Fake, Reply, chunked, object, ok, run};
use crate::support::Server;

/// A server that responds with this type and these pieces, and then stalls.
fn answers(kind: &str, pieces: &[&str]) -> Fake {
    let response = chunked(pieces).replace("text/event-stream; charset=utf-8", kind);
    Fake::start(move |_, _| Reply::Hold(response.clone()))
}

#[test]
fn a_page_in_place_of_a_stream_is_rejected() {
    let script = "<script>p(1,'a','text');</script>";
    for (kind, pieces) in [
        (
            "text/html; charset=utf-8",
            &["<html><head></head><body>\r\n", script][..],
        ),
        ("text/plain", &["<html><head></head><body>\r\n", script]),
        ("text/plain", &["\r\n  <!DOCTYPE HTML PUBLIC \"x\">"]),
        ("application/octet-stream", &["\u{feff}<html lang=\"de\">"]),
        ("text/html", &[script]),
        ("text/html", &["<!-- header --><script>"]),
        ("text/html", &["<", "ht", "ml>"]),
        ("TEXT/HTML", &["\n", "<scr", "ipt>p(1,'a','x');</script>"]),
    ] {
        let outcome = answers(kind, pieces).run(&[
            "sub", "a", "-m", "stream", "-n", "2", "--retry", "0", "-t", "20s",
        ]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (7, ""),
            "{kind} {pieces:?}: {}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.contains("HTML page") && outcome.stderr.contains("--sub-path"),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn streams_of_another_kind_are_rejected() {
    for (kind, pieces, mention) in [
        (
            "text/event-stream; charset=utf-8",
            &[": \n", "data: x\n\n"][..],
            "--mode ev",
        ),
        (
            "text/event-stream",
            &["data: {\"id\":1,\"channel\":\"a\",\"text\":\"x\"}\n\n"],
            "--mode ev",
        ),
        ("image/png", &["\u{1}PNG"], "image/png"),
        ("text/css", &["body {}"], "text/css"),
    ] {
        let outcome = answers(kind, pieces).run(&[
            "sub", "a", "-m", "stream", "-n", "2", "--retry", "0", "-t", "20s",
        ]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (7, ""),
            "{kind}: {}",
            outcome.stderr
        );
        assert!(outcome.stderr.contains(mention), "{}", outcome.stderr);
    }
}

#[test]
fn messages_that_look_a_little_like_a_page_are_printed() {
    for (kind, text) in [
        ("text/html", "<b>hi</b>"),
        ("text/plain", "<"),
        ("text/plain", "<script>x</script>"),
        ("text/html", "plain"),
    ] {
        let outcome =
            answers(kind, &[text]).run(&["sub", "a", "-m", "stream", "-n", "1", "-t", "20s"]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, format!("{text}\n").as_str()),
            "{kind}: {}",
            outcome.stderr
        );
    }
    let object = object(1, "a", "<html>", 21, 1);
    let outcome =
        answers("text/html", &[&object]).run(&["sub", "a", "-m", "stream", "-n", "1", "-t", "20s"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "<html>\n"));
}

#[test]
fn the_built_in_frame_is_no_stream_for_programs() {
    let server = Server::start(&[]);
    server.publish("a", "x");
    for mode in ["stream", "lp"] {
        let args = [
            "sub",
            "a.b1",
            "-m",
            mode,
            "--sub-path",
            "/iframe/{channel}",
            "--url",
            server.url(),
            "--retry",
            "0",
            "-n",
            "1",
        ];
        let outcome = run(&[&args[..], &["-t", "20s"]].concat(), b"");
        assert_eq!(outcome.stdout, "", "{mode}");
        assert!(mode != "stream" || outcome.code == 7, "{}", outcome.stderr);
    }
}

#[test]
fn another_protocol_is_no_message() {
    let fake = Fake::always(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    for mode in ["lp", "poll", "ev", "stream"] {
        for dialect in ["push-stream", "nchan"] {
            let outcome = fake.run(&[
                "sub",
                "a",
                "-m",
                mode,
                "--dialect",
                dialect,
                "-n",
                "1",
                "-t",
                "20s",
            ]);
            assert_eq!(
                (outcome.code, outcome.stdout.as_str()),
                (7, ""),
                "{mode} {dialect}: {}",
                outcome.stderr
            );
            assert!(
                outcome.stderr.contains("returned 101"),
                "{mode} {dialect}: {}",
                outcome.stderr
            );
        }
    }
}

#[test]
fn a_response_without_position_is_no_nchan_or_nhpm_message() {
    for dialect in ["nchan", "nhpm"] {
        let fake = Fake::always(&ok("Content-Type: text/plain\r\n", "welcome"));
        let outcome = fake.run(&[
            "sub",
            "a",
            "-m",
            "lp",
            "--dialect",
            dialect,
            "-n",
            "2",
            "-t",
            "20s",
        ]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (7, ""),
            "{dialect}: {}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.contains("neither Last-Modified nor Etag"),
            "{dialect}: {}",
            outcome.stderr
        );
    }
}
