//! `pushctl sub` against recorded responses of NHPM 0.73.

use super::fake::{Fake, Reply, Request};

/// NHPM as recorded: bare tags from 0, 304 when a long-poll times out; only `OPTIONS` distinguishes
/// it from nchan.
#[test]
fn nhpm_is_followed_by_its_two_headers() {
    const TIME: &str = "Sat, 21 Nov 2026 00:19:16 GMT";
    let script = |request: &Request, number: usize| {
        let answer = |tag: u32, text: &str| {
            let head = format!(
                "Last-Modified: {TIME}\r\nConnection: keep-alive\r\nEtag: {tag}\r\n\
                 Vary: If-None-Match, If-Modified-Since"
            );
            Reply::Send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
                 {head}\r\n\r\n{text}",
                text.len()
            ))
        };
        match (
            number,
            request.header("If-Modified-Since"),
            request.header("If-None-Match"),
        ) {
            (0, None, None) => answer(0, "one"),
            (1, Some(TIME), Some("0")) => answer(1, "{\"id\":-2,\"text\":\"two\"}"),
            (2, Some(TIME), Some("1")) => {
                Reply::Send("HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n".to_owned())
            }
            (_, Some(TIME), Some("1")) => answer(2, "three"),
            (_, time, tag) => panic!("request {number} has {time:?} {tag:?}"),
        }
    };
    for args in [
        &["--dialect", "nhpm"][..],
        &[
            "--dialect",
            "nhpm",
            "--mode",
            "lp",
            "--sub-path",
            "/activity?id={channel}",
        ],
    ] {
        let fake = Fake::start(script);
        let outcome = fake.run(&[&["sub", "ch1", "--since", "all", "--count", "3"], args].concat());
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "one\n{\"id\":-2,\"text\":\"two\"}\nthree\n"),
            "{outcome:?}"
        );
        let path = if args.len() > 2 {
            "/activity?id=ch1"
        } else {
            "/sub?id=ch1"
        };
        assert!(
            fake.requests()
                .iter()
                .all(|request| request.line == format!("GET {path}")),
            "{:?}",
            fake.requests()
        );
    }
}
