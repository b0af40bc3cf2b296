//! Configurations in TOML: `pushctl check --format toml`, its mistakes, and `serve` with them.

use super::check::{check, real_life, report, stdout};
use crate::support::{Directory, Server};
use std::path::Path;

#[test]
fn toml_means_the_same_as_the_file_it_was_made_of() {
    let directory = Directory::new("toml");
    let toml = check(&["--to-toml"], &real_life());
    assert!(
        toml.status.success(),
        "{}",
        String::from_utf8_lossy(&toml.stderr)
    );
    let file = directory.write("pushctl.toml", &stdout(&toml));
    let locations = |file: &Path| -> Vec<String> {
        stdout(&check(&["--json"], file))
            .lines()
            .filter(|line| line.contains("\"type\":\"location\""))
            .map(str::to_owned)
            .collect()
    };
    let ours = locations(&file);
    let theirs = locations(&real_life());
    assert!(theirs.len() > 15, "{theirs:?}");
    assert_eq!(ours, theirs, "{}", stdout(&toml));
    assert_eq!(
        check(&["--strict"], &file).status.code(),
        Some(2),
        "listen ... ssl is still a note"
    );
}

#[test]
fn errors_in_toml_have_line_numbers() {
    let directory = Directory::new("toml");
    let text = "shared_memory_size = \"10m\"\nnonsense = 1\n[[server]]\nlisten = 1979-05-27\n\
                [[server.location]]\npublisher = \"x\"\n\
                [[map]]\nvariable = \"$a\"\nvalue = 1\n";
    let (code, text) = report(&[], &directory.write("pushctl.toml", text));
    assert_eq!(code, Some(2));
    for expected in [
        "FILE:2: unknown key \"nonsense\" (keys are directives that pushctl supports, without \
         \"push_stream_\" or \"pushctl_\")",
        "FILE:4: expected a string, a number, true or false",
        "FILE:5: \"location\" needs the key \"match\"",
        "FILE:7: \"map\" needs the key \"source\"",
        "FILE:9: unknown key \"value\" of \"map\"",
        // Of the directives, too.
        "FILE:6: push stream module: invalid push_stream_publisher mode value: x",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let (_, text) = report(&[], &directory.write("pushctl.toml", "a = [\n"));
    assert!(text.contains("FILE:"), "{text}");
    let valid = "shared_memory_size = \"10m\"\n[[server]]\nlisten = \"127.0.0.1:9103\"\n\
                 [[server.location]]\nmatch = \"= /a\"\npublisher = \"x\"\n";
    let (_, text) = report(&[], &directory.write("pushctl.toml", valid));
    assert!(
        text.contains("FILE:6: push stream module: invalid push_stream_publisher mode value: x"),
        "{text}"
    );
}

#[test]
fn an_error_names_one_of_two_directives_on_a_line() {
    let directory = Directory::new("verdict");
    let file = directory.write("nginx.conf", "events {}\nhttp {\ngzip on; gzip off;\n}\n");
    let (_, text) = report(&[], &file);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("FILE:3: ") && line.contains(" gzip"))
        .collect();
    assert!(
        matches!(
            lines[..],
            ["FILE:3: served gzip", second, ..] if second.starts_with("FILE:3: refused gzip: ")
        ),
        "{text}"
    );
}

#[test]
fn serve_takes_a_configuration_in_toml() {
    let directory = Directory::new("toml");
    let file = directory.write(
        "pushctl.toml",
        r#"
worker_processes = 1
shared_memory_size = "10m"
message_template = "<~text~>"
store_messages = true

[[server]]
listen = "127.0.0.1:9103"
add_header = ["X-From", "toml"]

[[server.location]]
match = "~ ^/pub/(\\w+)$"
publisher = true
channels_path = "$1"
rules = [["deny", "10.0.0.0/8"], { if = ["$arg_key", "!=", "k"], return = 403 }]

[[server.location]]
match = "/poll"
subscriber = "polling"
channels_path = "$arg_id"
"#,
    );
    let server = Server::start(&["--config", file.to_str().expect("a path in UTF-8")]);
    let refused = server.connect().request("POST", "/pub/c", &[], Some(b"hi"));
    assert_eq!(
        (refused.head.status, refused.head.get("X-From")),
        (403, None)
    );
    let published = server
        .connect()
        .request("POST", "/pub/c?key=k", &[], Some(b"hi"));
    assert_eq!(
        (published.head.status, published.head.get("X-From")),
        (200, Some("toml"))
    );
    let polled = server.connect().request(
        "GET",
        "/poll?id=c",
        &[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")],
        None,
    );
    assert_eq!(polled.text(), "<hi>");
    server.stop();
}

#[test]
fn directives_of_our_own_are_served_in_both_notations() {
    let directory = Directory::new("own");
    let file = directory.write(
        "nginx.conf",
        "events {}\nhttp { push_stream_shared_memory_size 10m; server { listen 127.0.0.1:9103;\n\
         location /pub { push_stream_publisher; push_stream_channels_path $arg_id; pushctl_batch \
         on; }\n\
         location /sub { push_stream_subscriber polling; push_stream_channels_path $arg_id; \
         push_stream_message_template '<~text~>';\n\
         pushctl_slow_consumer skip; pushctl_slow_consumer_bytes 64k; pushctl_gap_notice on; }\n\
         location /a { pushctl_files on; } } }\n",
    );
    let (code, text) = report(&[], &file);
    assert_eq!(code, Some(0), "{text}");
    for expected in [
        "FILE:3: served pushctl_batch\n",
        "FILE:5: served pushctl_slow_consumer\n",
        "FILE:5: served pushctl_slow_consumer_bytes\n",
        "FILE:5: served pushctl_gap_notice\n",
        "FILE:6: served pushctl_files\n",
        "/pub      publisher   normal   channels=$arg_id store=off batch=on\n",
        "/sub      subscriber  polling  channels=$arg_id slow=skip slow_bytes=65536 \
         gap_notice=on\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let toml = directory.write("pushctl.toml", &stdout(&check(&["--to-toml"], &file)));
    let text = std::fs::read_to_string(&toml).expect("the file");
    for key in [
        "slow_consumer = \"skip\"",
        "slow_consumer_bytes = \"64k\"",
        "gap_notice = true",
        "batch = true",
    ] {
        assert!(text.contains(key), "{key}\n{text}");
    }
    let locations = |text: String| {
        text[text.find("locations:").expect("a table")..text.rfind("\n\n").expect("a sum")]
            .to_owned()
    };
    assert_eq!(
        locations(report(&[], &toml).1),
        locations(report(&[], &file).1)
    );
    let server = Server::start(&["--config", toml.to_str().expect("a path in UTF-8")]);
    let batch = server.connect().request(
        "POST",
        "/pub?id=c",
        &[("Content-Type", "application/x-ndjson")],
        Some(b"{\"text\":\"x\"}\n"),
    );
    assert_eq!(batch.text(), "{\"published\":1}\r\n");
    server.stop();
}
