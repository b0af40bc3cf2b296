//! `pushctl sub`: fallback to another mode, and explanations of common obstacles.

use super::fake::{Fake, Reply, frame, object, ok, run, status};

#[test]
fn a_mode_that_does_not_work_gives_way_to_the_next_with_the_same_cursor() {
    let fake = Fake::start(
        |request, number| match request.line.split(['/', '?']).nth(1) {
            Some("ws") if number == 0 => Reply::Upgrade(
                [
                    frame(1, object(1, "a", "m1", 21, 1).as_bytes()),
                    frame(8, b""),
                ]
                .concat(),
            ),
            Some("ws") => Reply::Send(status("400 Bad Request", "")),
            Some("ev") => Reply::Send(ok("Content-Type: text/html\r\n", "<html>")),
            _ => Reply::Send(ok(
                "Last-Modified: Sat, 21 Nov 2026 00:19:22 GMT\r\nEtag: W/1\r\n",
                &object(2, "a", "m2", 22, 1),
            )),
        },
    );
    // The mode worked before, so it is retried; a rejection ends the run only without alternatives.
    let outcome = fake.run(&[
        "sub",
        "a",
        "--mode",
        "ev",
        "--fallback",
        "lp",
        "-n",
        "1",
        "--since",
        "all",
    ]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "m2\n"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.ends_with("continuing in mode lp\n"),
        "{}",
        outcome.stderr
    );
    let lines: Vec<_> = fake
        .requests()
        .into_iter()
        .map(|request| request.line)
        .collect();
    assert_eq!(
        lines[1].replace("/lp/", "/ev/"),
        lines[0],
        "the same cursor"
    );
    let outcome = fake.run(&["sub", "a", "--mode", "auto", "-n", "1", "--since", "all"]);
    assert_eq!(
        (outcome.code, outcome.stderr.lines().count()),
        (0, 2),
        "{}",
        outcome.stderr
    );
    let fake = Fake::always(&status("404 Not Found", ""));
    let outcome = fake.run(&["sub", "a", "--mode", "auto"]);
    let last = outcome.stderr.lines().last().unwrap_or_default();
    assert_eq!(outcome.code, 5);
    assert_eq!(
        last,
        format!(
            "pushctl: {}/ws/a returned 404 Not Found: no such location (set the server's path with \
             --sub-path, or another server with --url)",
            fake.url
        )
    );
}

#[test]
fn common_obstacles_are_explained() {
    let fake = Fake::always(&ok(
        "Content-Type: text/html\r\n",
        "<!DOCTYPE html><title>x</title>",
    ));
    for mode in ["ev", "lp", "poll", "ws"] {
        let outcome = fake.run(&["sub", "a", "-m", mode]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (7, ""),
            "{mode}: {}",
            outcome.stderr
        );
    }
    assert!(
        fake.run(&["sub", "a", "-m", "lp"])
            .stderr
            .contains("it is an HTML page of another service"),
        "lp"
    );
    let https = fake.url.replace("http:", "https:");
    let outcome = run(&["sub", "a", "--url", &https], b"");
    assert_eq!(
        (outcome.code, outcome.stderr),
        (
            3,
            format!(
                "pushctl: cannot use {https}: the server does not speak TLS (use --url {})\n",
                fake.url
            )
        )
    );
    let server = crate::support::Server::start(&[]);
    let outcome = run(
        &["stats", "--url", &server.url().replace("http:", "https:")],
        b"",
    );
    assert!(
        outcome.code == 3 && outcome.stderr.contains("the server does not speak TLS"),
        "{}",
        outcome.stderr
    );
    server.stop();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let proxied = |fake: &Fake, proxy: &str| {
        let output = fake
            .command(&["sub", "a"])
            .env("HTTP_PROXY", proxy)
            .output()
            .expect("the program starts");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(
        proxied(&fake, &format!("http://me:secret@{closed}")),
        format!(
            "pushctl: cannot reach {} through the proxy http://{closed} of HTTP_PROXY: connection \
             refused (unset HTTP_PROXY, or add the host to NO_PROXY)\n",
            fake.url
        )
    );
    let proxy = Fake::always(&status("502 Bad Gateway", ""));
    let reported = proxied(&fake, &proxy.url);
    let expected = format!(
        "(through the proxy {} of HTTP_PROXY) returned 502 Bad Gateway",
        proxy.url
    );
    assert!(reported.contains(&expected), "{reported}");
}
