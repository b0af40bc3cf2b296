//! Untrusted content of messages, channel ids and directories: it must not control the terminal,
//! forge lines on stderr, reach other files, or read secrets.

use std::process::Command;

use super::fake::{Fake, Reply, chunked, frame, object, ok, run};
use super::terminal::Terminal;
use crate::support::Directory;

/// A server that sends these objects to EventSource subscribers, and then stalls.
pub(super) fn objects(objects: &[String]) -> Fake {
    let events: String = objects
        .iter()
        .map(|object| format!("data: {object}\n\n"))
        .collect();
    Fake::start(move |_, _| Reply::Hold(chunked(&[": \n", &events])))
}

/// Runs the program on a terminal that is wide enough for a line of JSON until that shows
/// `expected`; its text then.
fn shown(args: &[&str], expected: &str) -> String {
    let terminal = Terminal::start(24, 240, args, &[]);
    terminal.wait_for(expected);
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{args:?}: {screen}");
    screen
}

/// The same for `sub` with one message.
fn shown_by_sub(fake: &Fake, args: &[&str], expected: &str) -> String {
    shown(
        &[&["sub", "a", "--url", fake.url.as_str(), "-n", "1"], args].concat(),
        expected,
    )
}

#[test]
fn control_characters_of_messages_are_escaped_on_a_terminal_in_every_form() {
    let text = "\\u001b]0;\
         owned\\u0007\\u001b[2J\\u009b1m|\\u007f|\\u202e|\\u2066|\\ufeff|\\udb40\\udc41|\\u2028|\\r\
         x\\ty";
    let object =
        object(1, "a", text, 21, 1).replace("\"eventid\":\"\"", "\"eventid\":\"e\\u001b[2J\\nf\"");
    let escaped = "\\u{1b}]0;\
         owned\\u{7}\\u{1b}[2J\\u{9b}1m|\\u{7f}|\\u{202e}|\\u{2066}|\\u{feff}|\\u{e0041}|\\u{2028}|\
         \\rx";
    for (form, expected) in [
        (&[][..], escaped.to_owned()),
        (&["--output", "text"], escaped.to_owned()),
        (
            &["--template", "<{channel}> {text}"],
            format!("<a> {escaped}"),
        ),
        (
            &["--template", "<{event_id}>"],
            r"<e\u{1b}[2J\nf>".to_owned(),
        ),
    ] {
        let screen = shown_by_sub(&objects(std::slice::from_ref(&object)), form, &expected);
        assert!(screen.starts_with(&expected), "{form:?}: {screen}");
    }
    let json = "\\u001b]0;\
         owned\\u0007\\u001b[2J\\u009b1m|\\u007f|\\u202e|\\u2066|\\ufeff|\\udb40\\udc41|\\u2028|\\r\
         x\\ty";
    for form in [
        &["--json"][..],
        &["--output", "json"],
        &["--template", "{json}"],
    ] {
        let screen = shown_by_sub(&objects(std::slice::from_ref(&object)), form, json);
        let line = screen.lines().next().expect("a line");
        assert!(
            serde_json::from_str::<serde_json::Value>(line).is_ok(),
            "{line}"
        );
    }
}

#[test]
fn raw_output_and_files_are_not_escaped() {
    let fake = objects(&[object(1, "a", r"seen\u001b[2J\u001b[Hx", 21, 1)]);
    assert_eq!(
        shown_by_sub(&fake, &["--raw"], "x").trim_end(),
        "x",
        "the terminal interprets them"
    );
    for form in [&[][..], &["--raw"], &["--template", "{text}\\c"]] {
        let outcome = fake.run(&[&["sub", "a", "-n", "1"], form].concat());
        assert_eq!(
            outcome.stdout.trim_end(),
            "seen\u{1b}[2J\u{1b}[Hx",
            "{form:?}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_escaped_on_a_terminal() {
    let fake = objects(&[r#"{"id":1,"channel":"a","base64":"m3gxbf8="}"#.to_owned()]);
    assert_eq!(shown_by_sub(&fake, &[], "1m").trim_end(), r"\x9bx1m\xff");
}

#[test]
fn counters_with_hostile_names_are_escaped_on_a_terminal() {
    // In a file a server may write the characters themselves.
    let name = "n\\u001b[2J\u{202e}\u{9b}\\n";
    let info = format!(
        "{{\"channel\": \"{name}\", \"published_messages\": 3, \"stored_messages\": 2, \
         \"subscribers\": 1}}\r\n"
    );
    let fake = Fake::always(&ok("", &info));
    let url = fake.url.as_str();
    for (args, expected) in [
        (
            &["stats", "a", "--url", url][..],
            r"n\u{1b}[2J\u{202e}\u{9b}\n",
        ),
        (
            &["stats", "a", "--json", "--url", url],
            r"n\u001b[2J\u202e\u009b\n",
        ),
        (
            &["pub", "a", "x", "--url", url],
            r"n\u{1b}[2J\u{202e}\u{9b}\n",
        ),
        (
            &["pub", "a", "x", "--json", "--url", url],
            r"n\u001b[2J\u202e\u009b\n",
        ),
    ] {
        shown(args, expected);
    }
}

#[test]
fn a_notice_is_one_line_whatever_the_server_sends() {
    let gap = "{\"id\":-4,\"channel\":\"ch\\nFAKE\",\"text\":\"\",\"missed\":3,\"tag\":\"9\",\
         \"time\":\"Sat, 21 Nov 2026 00:19:21 GMT\",\"eventid\":\"\"}";
    let end = object(1, "a", "end", 22, 1);
    let outcome = objects(&[gap.to_owned(), end]).run(&["sub", "a", "b", "-n", "1"]);
    assert_eq!(
        outcome.stderr,
        "pushctl: channel 'ch\\nFAKE': 3 messages were missed, the server had dropped them\n"
    );

    let deleted = r#"{"id":-2,"channel":"a\u2028\nFAKE","text":"bye\r\nFAKE"}"#.to_owned();
    let outcome =
        objects(&[deleted, object(-2, "a", "x", 0, 0)]).run(&["sub", "a", "--deleted-ok"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);

    let reason = [
        &1008_u16.to_be_bytes()[..],
        br#"{"http_status":403,"explain":"no\npushctl: FAKE\r\u001b[2J"}"#,
    ]
    .concat();
    let fake = Fake::start(move |_, _| Reply::Upgrade(frame(8, &reason)));
    let outcome = fake.run(&["sub", "a", "-m", "ws"]);
    let expected = format!(
        "pushctl: {}/ws/a returned 403 Forbidden: no\\npushctl: FAKE\\r\\u{{1b}}[2J\n",
        fake.url
    );
    assert_eq!((outcome.code, outcome.stderr), (4, expected));

    let closed = [&1011_u16.to_be_bytes()[..], b"x\npushctl: FAKE"].concat();
    let fake = Fake::start(move |_, _| Reply::Upgrade(frame(8, &closed)));
    let outcome = fake.run(&["sub", "a", "-m", "ws", "--retry", "0"]);
    assert!(
        outcome.stderr.ends_with("x\\npushctl: FAKE\n"),
        "{}",
        outcome.stderr
    );
    assert!(
        !outcome.stderr.contains("\npushctl: FAKE"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn commands_do_not_inherit_the_token_or_the_password_of_the_url() {
    let fake = objects(&[object(1, "a", "m", 21, 1)]);
    let mut command = super::fake::command(&["sub", "a", "-n", "1", "--exec", "env"]);
    let url = fake.url.replace("http://", "http://me:hidden@");
    let output = command
        .env("PUSHCTL_TOKEN", "hidden")
        .env("PUSHCTL_URL", url)
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("PUSHCTL_CHANNEL=a"), "{text}");
    assert!(
        !text.contains("hidden") && !text.contains("PUSHCTL_TOKEN"),
        "{text}"
    );
    assert!(
        text.contains(&format!("PUSHCTL_URL={}/\n", fake.url)),
        "{text}"
    );
    // The token is still sent to the server.
    let output = super::fake::command(&["sub", "a", "-n", "1", "--exec", "env"])
        .envs([("PUSHCTL_TOKEN", "hidden"), ("PUSHCTL_URL", &fake.url)])
        .output()
        .expect("the program starts");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("hidden"));
    assert_eq!(
        fake.requests()[1].header("Authorization"),
        Some("Bearer hidden")
    );
}

#[test]
fn a_temporary_broker_and_its_command_do_not_inherit_a_token() {
    let mut command = super::fake::command(&["with-server", "--", "env"]);
    let output = command
        .env("PUSHCTL_TOKEN", "hidden")
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success()
            && text.contains("PUSHCTL_URL=http://127.0.0.1:")
            && !text.contains("hidden"),
        "{text}"
    );
    let mut command = super::fake::command(&[
        "with-server",
        "--",
        "env",
        "PUSHCTL_TOKEN=given",
        "sh",
        "-c",
        "echo $PUSHCTL_TOKEN",
    ]);
    let output = command
        .env("PUSHCTL_TOKEN", "hidden")
        .output()
        .expect("the program starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "given\n");
}

#[test]
fn configuration_errors_keep_their_lines() {
    let directory = Directory::new("safe-lines");
    let file = directory.write(
        "nginx.conf",
        "events {}\nhttp {\nserver {\nfoo bar;\nlisten x:y:z;\nbar\n",
    );
    let outcome = run(&["serve", "-c", file.to_str().expect("UTF-8")], b"");
    assert!(
        outcome.stderr.lines().count() >= 2 && !outcome.stderr.contains("\\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn check_escapes_file_content_on_a_terminal() {
    let directory = Directory::new("check-safety");
    let location = "location /p\u{1b}[2J\u{202e} { push_stream_publisher; \
                    push_stream_channels_path $arg_id; add_header X \"\u{9b}2J\"; }";
    let content = format!(
        "events {{}} http {{ push_stream_shared_memory_size 10m; \"foo\u{1b}[2J\\n0 mistakes\" \
         bar;\n\
         server {{ listen 127.0.0.1:9103; server_name \u{202e}a; {location} }} }}\n"
    );
    let file = directory.write("n\u{1b}[2J\u{202e}.conf", &content);
    let file = file.to_str().expect("UTF-8");
    for form in [&[][..], &["--json"], &["--to-toml"], &["--front"]] {
        let terminal = Terminal::start(120, 240, &[&["check", file], form].concat(), &[]);
        let (_, screen) = terminal.end();
        assert!(
            screen.contains("202e") && !screen.contains('\u{202e}') && !screen.contains('\u{9b}'),
            "{form:?}: {screen}"
        );
        assert!(
            screen.contains("events") || screen.contains("server"),
            "the terminal was cleared: {form:?}: {screen}"
        );
        let lines: Vec<&str> = screen.lines().collect();
        assert!(!lines.contains(&"0 mistakes"), "{form:?}: {screen}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_pushctl"))
        .args(["check", "--to-toml", file])
        .output()
        .expect("the program runs");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains('\u{202e}'),
        "a file gets what stands there"
    );
}
