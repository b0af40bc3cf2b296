//! `pushctl pub` from outside.

use super::fake::{Fake, Reply, ok, refused, run, status};

const INFO: &str = "{\"channel\": \"ch1\", \"published_messages\": 3, \"stored_messages\": 2, \
                    \"subscribers\": 1}\r\n";
const GROUP: &str = "{\"hostname\": \"vm\", \"time\": \"2026-11-21T00:12:27\", \"channels\": 2, \
                     \"wildcard_channels\": 0, \"uptime\": 0, \"infos\": [\r\n\
                     {\"channel\": \"a\", \"published_messages\": 1, \"stored_messages\": 1, \
                     \"subscribers\": 0},\r\n{\"channel\": \"b\", \"published_messages\": 2, \
                     \"stored_messages\": 1, \"subscribers\": 2}\r\n]}\r\n";

#[test]
fn pub_posts_the_text_and_prints_the_channel_info() {
    let fake = Fake::always(&ok("", INFO));
    let args = [
        "pub",
        "ch1",
        "hello wörld",
        "--event-id",
        "e1",
        "--event-type",
        "tt",
        "--content-type",
        "text/x",
        "-H",
        "X-Key: k",
    ];
    let outcome = fake.run(&args);
    assert_eq!(
        (
            outcome.code,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "ch1: 3 published, 2 stored, 1 subscriber\n", "")
    );
    let request = &fake.requests()[0];
    assert_eq!(request.line, "POST /pub?id=ch1");
    assert_eq!(request.body, "hello wörld".as_bytes());
    for (name, value) in [
        ("Event-Id", "e1"),
        ("Event-Type", "tt"),
        ("Content-Type", "text/x"),
        ("X-Key", "k"),
    ] {
        assert_eq!(request.header(name), Some(value));
    }
}

#[test]
fn pub_prints_every_channel_of_a_group() {
    let fake = Fake::always(&ok("", GROUP));
    let outcome = fake.run(&["pub", "a/b", "x"]);
    assert_eq!(
        outcome.stdout,
        "a: 1 published, 1 stored, 0 subscribers\nb: 2 published, 1 stored, 2 subscribers\n"
    );
    assert_eq!(fake.requests()[0].line, "POST /pub?id=a/b");
}

#[test]
fn pub_json_is_the_servers_object_on_one_line() {
    let outcome = Fake::always(&ok("", GROUP)).run(&["pub", "a/b", "x", "--json"]);
    assert_eq!(outcome.stdout, format!("{}\n", GROUP.replace("\r\n", "")));
    assert_eq!(outcome.code, 0);
}

#[test]
fn pub_quiet_prints_nothing_and_a_silent_location_is_no_error() {
    let fake = Fake::always(&ok("", ""));
    assert_eq!(fake.run(&["pub", "a", "x", "--quiet"]).stdout, "");
    assert_eq!(fake.run(&["pub", "a", "x"]).stdout, "published to a\n");
    assert_eq!(fake.run(&["pub", "a", "x", "--json"]).stdout, "");
}

#[test]
fn pub_reads_standard_input_and_files_as_they_are() {
    let fake = Fake::always(&ok("", INFO));
    let text = [0xff, 0, b'\r', b'\n', b'\n'];
    let path = std::env::temp_dir().join(format!("pushctl-cli-publish-{}", std::process::id()));
    std::fs::write(&path, text).expect("a temporary file");
    let file = path.to_str().expect("a path in UTF-8");
    assert_eq!(run(&["pub", "--url", &fake.url, "ch1"], &text).code, 0);
    assert_eq!(run(&["pub", "--url", &fake.url, "ch1", "-"], &text).code, 0);
    assert_eq!(
        run(&["pub", "--url", &fake.url, "ch1", "-f", file], b"not this").code,
        0
    );
    std::fs::remove_file(&path).expect("it is ours");
    let bodies: Vec<_> = fake
        .requests()
        .into_iter()
        .map(|request| request.body)
        .collect();
    assert_eq!(bodies, vec![text.to_vec(); 3]);
}

#[test]
fn pub_escapes_channel_ids_and_uses_foreign_paths() {
    let fake = Fake::always(&ok("", ""));
    fake.run(&[
        "pub",
        "50% of a&b",
        "x",
        "--pub-path",
        "/push/send?key=1&ch={channel}",
    ]);
    assert_eq!(
        fake.requests()[0].line,
        "POST /push/send?key=1&ch=50%25%20of%20a%26b"
    );
}

#[test]
fn pub_reports_why_a_message_was_rejected() {
    let cases = [
        (
            refused(
                "403 Forbidden",
                "Channel id not authorized for this method.",
            ),
            4,
            "403 Forbidden: channel id not authorized for this method",
        ),
        (
            refused("400 Bad Request", "Empty post requests are not allowed."),
            7,
            "400 Bad Request: empty post requests are not allowed",
        ),
        (
            status("401 Unauthorized", ""),
            4,
            "401 Unauthorized (the server requires credentials: use a URL with USER:PASSWORD@, \
             --header or a token)",
        ),
        (
            status("403 Forbidden", ""),
            4,
            "403 Forbidden (the server rejects this address, these credentials or this channel; \
             see --allow-from of 'serve')",
        ),
        (
            status("404 Not Found", ""),
            5,
            "404 Not Found: no such location (set the server's path with --pub-path, or another \
             server with --url)",
        ),
        (
            status("413 Request Entity Too Large", ""),
            7,
            "413 Payload Too Large (the message is too large for this server)",
        ),
        (
            status("500 Internal Server Error", ""),
            7,
            "500 Internal Server Error",
        ),
    ];
    for (response, code, text) in cases {
        let fake = Fake::always(&response);
        let outcome = fake.run(&["pub", "ALL", "x"]);
        assert_eq!(
            outcome.stderr,
            format!("pushctl: {}/pub?id=ALL returned {text}\n", fake.url)
        );
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""));
    }
}

#[test]
fn pub_never_sends_a_message_twice() {
    let fake = Fake::start(|_, _| Reply::Close(String::new()));
    let outcome = fake.run(&["pub", "a", "x"]);
    assert_eq!(outcome.code, 3, "{}", outcome.stderr);
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn pub_gives_up_after_its_timeout() {
    let fake = Fake::start(|_, _| Reply::Hold(String::new()));
    let outcome = fake.run(&["pub", "a", "x", "--timeout", "100ms"]);
    assert_eq!(
        outcome.stderr,
        format!(
            "pushctl: no response from {}/pub?id=a within 100ms (see --timeout)\n",
            fake.url
        )
    );
    assert_eq!(outcome.code, 6);
}

#[test]
fn a_redirect_is_reported_and_not_followed() {
    let target = Fake::always(&ok("", INFO));
    let location = target.url.clone();
    let fake = Fake::start(move |request, number| {
        let path = request.line.split_once(' ').map_or("", |(_, path)| path);
        let line = [
            "301 Moved Permanently",
            "302 Found",
            "303 See Other",
            "307 Temporary Redirect",
        ][number % 4];
        Reply::Send(status(line, &format!("Location: {location}{path}\r\n")))
    });
    let commands: &[&[&str]] = &[
        &["pub", "ch1", "x"],
        &["pub", "ch1", "x"],
        &["pub", "ch1", "x"],
        &["pub", "ch1", "x"],
        &["stats"],
        &["sub", "a", "--retries", "5"],
    ];
    for (number, args) in commands.iter().enumerate() {
        let outcome = fake.run(args);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (7, ""), "{args:?}");
        assert!(
            outcome
                .stderr
                .ends_with(&format!(" (use --url {})\n", target.url)),
            "{}",
            outcome.stderr
        );
        assert_eq!(fake.requests().len(), number + 1, "{args:?}");
    }
    assert!(target.requests().is_empty());
    let outcome = fake.run(&["bench", "-n", "1"]);
    assert!(
        outcome.code == 7
            && outcome
                .stderr
                .ends_with(&format!(" (use --url {})\n", target.url)),
        "{}",
        outcome.stderr
    );
}

#[test]
fn any_2xx_response_is_a_successful_publication() {
    let strange = INFO.replace("ch1", "a\"b\u{1b}[2J");
    let fake = Fake::always(&ok("", &strange));
    let outcome = fake.run(&["pub", "x", "y"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "a\"b\\u{1b}[2J: 3 published, 2 stored, 1 subscriber\n")
    );
    let outcome = fake.run(&["pub", "x", "y", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(
        (outcome.code, &info["channel"]),
        (0, &"a\"b\u{1b}[2J".into())
    );
    let broken = Fake::start(|_, _| {
        Reply::Close("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{".to_owned())
    });
    assert_eq!(broken.run(&["pub", "x", "y"]).code, 0);
    let outcome = Fake::always(&ok("", "taken")).run(&["pub", "x", "y", "--json"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""));
    assert_eq!(
        Fake::always(&ok("Content-Type: text/html\r\n", ""))
            .run(&["pub", "x", "y"])
            .code,
        0
    );
}

#[test]
fn a_page_of_something_else_is_no_success() {
    for response in [
        ok(
            "Content-Type: text/html; charset=utf-8\r\n",
            "<p>Log in</p>",
        ),
        ok("", " <!DOCTYPE html><title>x</title>"),
    ] {
        let fake = Fake::always(&response);
        let reported = |channel| {
            let place = format!("{}/pub?id={channel}", fake.url);
            format!(
                "unexpected response from {place}: it is an HTML page of another service (see \
                 --url and --pub-path)\n"
            )
        };
        for args in [&["pub", "a", "x"][..], &["rm", "a"]] {
            let outcome = fake.run(args);
            assert_eq!(
                (outcome.code, outcome.stdout, outcome.stderr),
                (7, String::new(), format!("pushctl: {}", reported("a"))),
                "{args:?}"
            );
        }
        let outcome = run(&["pub", "a", "--lines", "--url", &fake.url], b"1\n2\n3\n");
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (7, ""),
            "{}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.contains("0 acknowledged; ") && outcome.stderr.contains("line 1"),
            "{}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.ends_with(&reported("a")),
            "{}",
            outcome.stderr
        );
        let outcome = run(
            &[
                "pub",
                "a",
                "--lines",
                "--keep-going",
                "--json",
                "--url",
                &fake.url,
            ],
            b"1\n2\n3\n",
        );
        let books: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        assert_eq!(
            (outcome.code, &books["acknowledged"]),
            (7, &0.into()),
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn with_c_a_single_argument_is_the_message() {
    let fake = Fake::always(&ok("", ""));
    for (args, line, body) in [
        (&["-c", "a", "hello"][..], "POST /pub?id=a", "hello"),
        (
            &["-c", "a", "-c", "b", "hello"],
            "POST /pub?id=a/b",
            "hello",
        ),
        (&["c", "hello", "-c", "a"], "POST /pub?id=c/a", "hello"),
        (&["-c", "a", "-"], "POST /pub?id=a", "from stdin"),
        (&["-c", "a"], "POST /pub?id=a", "from stdin"),
        (&["c", "-", "-c", "a"], "POST /pub?id=c/a", "from stdin"),
        (
            &["c", "-c", "a", "--lines"],
            "POST /pub?id=c/a",
            "from stdin",
        ),
    ] {
        let before = fake.requests().len();
        let outcome = run(
            &[&["pub", "--url", fake.url.as_str()], args].concat(),
            b"from stdin",
        );
        assert_eq!(outcome.code, 0, "{args:?}: {}", outcome.stderr);
        let request = &fake.requests()[before];
        assert_eq!(
            (request.line.as_str(), request.body.as_slice()),
            (line, body.as_bytes()),
            "{args:?}"
        );
    }
}
