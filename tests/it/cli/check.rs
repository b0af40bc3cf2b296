//! `pushctl check`: its reports, exit codes, and the notations that it prints.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Directory, Server, program};

fn check(args: &[&str], file: &Path) -> Output {
    Command::new(program())
        .arg("check")
        .args(args)
        .arg(file)
        .output()
        .expect("the program runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("a text")
}

/// The file with its name replaced, so that lines can be compared.
fn report(args: &[&str], file: &Path) -> (Option<i32>, String) {
    let output = check(args, file);
    (
        output.status.code(),
        stdout(&output).replace(&file.display().to_string(), "FILE"),
    )
}

fn real_life() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/configuration/copied_configs/real-life.conf")
}

#[test]
fn every_directive_has_a_verdict_with_its_place() {
    let directory = Directory::new("check");
    let file = directory.write(
        "nginx.conf",
        "user www;\nevents {}\nhttp {\ngzip on;\npush_stream_shared_memory_size 10m;\nserver {\n\
         listen 127.0.0.1:9103;\n\
         location /pub { push_stream_publisher; push_stream_channels_path $arg_id; }\n\
         location /app { proxy_pass http://x; } } }\n",
    );
    let (code, text) = report(&[], &file);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(
        text,
        "FILE:1: ignored user: pushctl is one process, managed by its service manager\n\
         FILE:2: served events\nFILE:3: served http\n\
         FILE:4: served gzip\n\
         FILE:5: served push_stream_shared_memory_size\nFILE:6: served server\n\
         FILE:7: served listen\n\
         FILE:8: served location\nFILE:8: served push_stream_publisher\n\
         FILE:8: served push_stream_channels_path\n\
         FILE:9: served location\nFILE:9: not served proxy_pass: keep nginx in front for it (see \
         --front)\n\n\
         locations:\n  \
           server  listen          location  endpoint   mode    settings\n  \
           _       127.0.0.1:9103  /pub      publisher  normal  channels=$arg_id store=off\n  \
           _       127.0.0.1:9103  /app      nothing\n\n\
         to do:\n  keep nginx in front for it (see --front)\n    proxy_pass\n    FILE:9\n\n\
         10 served, 1 ignored, 1 not served, 0 mistakes\n"
    );
    assert_eq!(
        report(&["--strict"], &file).0,
        Some(2),
        "what is not served is an error with --strict"
    );
}

#[test]
fn all_mistakes_are_told_at_once_in_the_file_where_they_are() {
    let directory = Directory::new("mistakes");
    std::fs::create_dir(directory.path().join("conf.d")).expect("a folder");
    directory.write(
        "conf.d/b.conf",
        "server {\nlisten 9104;\npush_stream_store_messages maybe;\n}\n",
    );
    directory.write(
        "conf.d/a.conf",
        "server { listen 9103;\nlocation /a { push_stream_publisher; \
                                 push_stream_channels_path $nonsense; } }\n",
    );
    directory.write("conf.d/.hidden.conf", "}");
    directory.write("types.conf", "types { text/x-a a; }");
    let main = "events {}\nhttp {\ninclude types.conf;\ninclude conf.d/*.conf;\n\
                include none/*.conf;\npush_stream_shared_memory_size 10m;\n}\n";
    let file = directory.write("nginx.conf", main);
    let output = check(&["--json"], &file);
    let lines: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let mistakes: Vec<String> = lines
        .iter()
        .filter(|line| line["type"] == "mistake")
        .map(|line| {
            format!(
                "{}:{}: {}",
                line["file"].as_str().expect("a file"),
                line["line"],
                line["text"].as_str().expect("a text")
            )
        })
        .collect();
    let path = |name: &str| directory.path().join(name).display().to_string();
    assert_eq!(
        mistakes,
        [
            format!("{}:2: unknown \"nonsense\" variable", path("conf.d/a.conf")),
            format!(
                "{}:3: invalid value \"maybe\" in \"push_stream_store_messages\" directive, it \
                 must be \"on\" or \"off\"",
                path("conf.d/b.conf")
            ),
        ]
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        lines
            .iter()
            .any(|line| line["name"] == "text/x-a" && line["file"] == path("types.conf"))
    );
}

#[test]
fn includes_that_cannot_be_read_are_refused_where_they_stand() {
    let directory = Directory::new("includes");
    for (name, content, expected) in [
        (
            "missing.conf",
            "include none.conf;",
            format!(
                "missing.conf:2: open() \"{}/none.conf\" failed (2: No such file or directory)",
                directory.path().display()
            ),
        ),
        (
            "self.conf",
            "include self.conf;",
            format!(
                "self.conf:2: cannot include \"{}/self.conf\": it includes itself",
                directory.path().display()
            ),
        ),
        (
            "folder.conf",
            "include .;",
            format!(
                "folder.conf:2: \"{}/.\" is not a regular file",
                directory.path().display()
            ),
        ),
        (
            "brace.conf",
            "include brace.inc;",
            "brace.inc:1: unexpected \"}\"".to_owned(),
        ),
        (
            "deep.conf",
            "include deep.d/a;",
            "deep.d/b:1: cannot include \"".to_owned(),
        ),
    ] {
        directory.write("brace.inc", "}");
        std::fs::create_dir_all(directory.path().join("deep.d")).expect("a folder");
        directory.write("deep.d/a", "include deep.d/b;");
        directory.write("deep.d/b", "include deep.d/a;");
        let file = directory.write(
            name,
            &format!("events {{}}\n{content}\nhttp {{ server {{ listen 9103; }} }}\n"),
        );
        let output = check(&[], &file);
        assert!(
            stdout(&output).contains(&expected),
            "{name}: {}",
            stdout(&output)
        );
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
}

#[test]
fn a_file_of_a_real_site_gets_a_report_that_can_be_acted_on() {
    let (code, text) = report(&[], &real_life());
    assert_eq!(code, Some(0), "{text}");
    // Columns are as wide as their longest cell, which is not what this is about.
    let cells = |text: &str| {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
            .collect::<String>()
    };
    let squeezed = cells(&text);
    for expected in [
        "FILE:45: not served ssl_protocols: TLS stays with nginx, in front of pushctl (see \
         --front)",
        "FILE:62: served gzip",
        "FILE:100: ignored upstream: it is a definition without effect unless another directive \
         uses it",
        "FILE:120: served return",
        "FILE:139: not served try_files: paths are not rewritten: give the location the path that \
         clients ask for, or keep nginx in front (see --front)",
        "FILE:130: not served ssl_certificate_key:",
        "  push.shop.example  127.0.0.1:8081  ~ ^/ev/(.+)$              subscriber  eventsource   \
         channels=$1 ping=15s origins=$(map)",
        "  push.shop.example  127.0.0.1:8081  = /pub                    publisher   admin         \
         channels=$channel store=on access=3rules",
        "  push.shop.example  127.0.0.1:8081  /admin/                   files                     \
         root=/var/www/admin password",
        "  shop.example       0.0.0.0:443     ~ \\.php$                  nothing\n",
        "  shop.example       0.0.0.0:443     = /health                 answer ",
        "FILE:142: not served location: named locations belong to what stays with nginx, in front \
         of pushctl (see --front)",
        "FILE:126: parameter \"ssl\" of \"listen 443\" is not supported by pushctl (pushctl speaks \
         plain HTTP there: let nginx in front listen, see --front, and give pushctl --listen)",
        "  ~^[a-z0-9-]+\\.push\\.partner\\.example$  0.0.0.0:8443 [::]:8443  ~ \
         ^/live/(?<room>[A-Za-z0-9_]+)$  subscriber  eventsource   channels=partner_$room \
         ping=15s\n",
        "\nto do:\n  TLS stays with nginx, in front of pushctl (see --front)\n    ssl_protocols, \
         ssl_prefer_server_ciphers, ssl_session_cache, \
         ssl_session_timeout, ssl_certificate, ssl_certificate_key, ssl_stapling, \
         ssl_client_certificate\n    \
         FILE:45-48,129-131,287-289\n",
    ] {
        assert!(
            squeezed.contains(cells(expected).trim_end()),
            "{expected}\nis not in\n{text}"
        );
    }
    assert!(text.ends_with(" not served, 0 mistakes\n"), "{text}");
    assert!(!text.contains("refused"), "{text}");
}

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
fn mistakes_in_toml_have_their_lines() {
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
fn of_two_directives_on_a_line_the_mistake_is_told_of_one() {
    let directory = Directory::new("verdict");
    let file = directory.write("nginx.conf", "events {}\nhttp {\ngzip on; gzip off;\n}\n");
    let (_, text) = report(&[], &file);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("FILE:3: ") && line.contains(" gzip"))
        .collect();
    assert!(
        matches!(lines[..], ["FILE:3: served gzip", second, ..] if second.starts_with("FILE:3: refused gzip: ")),
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

#[test]
fn serve_finds_its_configuration_by_an_option_or_a_variable_of_its_own() {
    let directory = Directory::new("variable");
    let conf = "shared_memory_size = \"10m\"\n[[server]]\nlisten = \"127.0.0.1:9103\"\n\
                [[server.location]]\nmatch = \"/a\"\n";
    let file = |name: &str| {
        directory.write(
            name,
            &format!("{conf}rules = [[\"return\", 200, \"{name}\"]]\n"),
        )
    };
    let (one, two, profiles) = (
        file("one.toml"),
        file("two.toml"),
        directory.write("profiles.toml", "[servers.a]\nurl = \"http://a\"\n"),
    );
    let path = |file: &Path| file.to_str().expect("a path in UTF-8").to_owned();
    // The file of named servers is not for `serve`.
    let variables = [
        ("PUSHCTL_SERVE_CONFIG", path(&one)),
        ("PUSHCTL_CONFIG", path(&profiles)),
    ];
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let server = Server::with_environment(&variables, &[]);
    assert_eq!(server.get("/a").text(), "one.toml");
    server.stop();
    let server = Server::with_environment(&variables, &["--config", &path(&two)]);
    assert_eq!(server.get("/a").text(), "two.toml");
    server.stop();
    let refused = Command::new(program())
        .args(["serve", "--slow-consumer", "skip", "--config", &path(&two)])
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

#[test]
fn directives_without_an_effect_here_need_nothing_in_front() {
    let directory = Directory::new("harmless");
    let text = "events {} http { push_stream_shared_memory_size 10m; resolver 127.0.0.1; \
                resolver_timeout 5s;\n\
                upstream app { zone app 64k; least_conn; server 127.0.0.1:1 weight=2; keepalive 4; \
                }\n\
                split_clients $remote_addr $variant {\n0.5% a;\n* b;\n}\ngeo $near {\ndefault 0;\n\
                10.0.0.0/8 1;\n}\n\
                limit_req_zone $binary_remote_addr zone=one:1m rate=1r/s; limit_req_status 429; \
                open_file_cache off;\n\
                server { listen 127.0.0.1:9103; msie_padding off; rewrite_log on; keepalive_time \
                1h;\n\
                location /pub { push_stream_publisher; push_stream_channels_path $arg_id; \
                proxy_ignore_client_abort on; } } }\n";
    let file = directory.write("nginx.conf", text);
    let (code, text) = report(&["--strict"], &file);
    assert_eq!(code, Some(0), "{text}");
    for entry in ["0.5%", "10.0.0.0/8", "least_conn", "not served"] {
        assert!(
            text.lines()
                .all(|line| !line.contains(entry) || line.contains(" 0 not served")),
            "{entry}\n{text}"
        );
    }
    for name in [
        "resolver",
        "proxy_ignore_client_abort",
        "split_clients",
        "geo",
        "upstream",
        "limit_req_zone",
        "keepalive_time",
    ] {
        assert!(
            text.contains(&format!(" ignored {name}: ")),
            "{name}\n{text}"
        );
    }
}

#[test]
fn a_misspelt_directive_of_a_push_location_has_a_hint() {
    let directory = Directory::new("misspelt");
    for (wrong, right) in [
        ("auth_basci \"x\"", "auth_basic"),
        ("ssl_verify_cleint on", "ssl_verify_client"),
        ("limit_rqe zone=a", "limit_req"),
    ] {
        let text = format!(
            "events {{}} http {{ push_stream_shared_memory_size 10m; server {{ listen \
             127.0.0.1:9103;\n\
             location /pub {{ push_stream_publisher; push_stream_channels_path a;\n\
             {wrong}; }} }} }}\n"
        );
        let (code, text) = report(&[], &directory.write("nginx.conf", &text));
        let line = text
            .lines()
            .find(|line| line.starts_with("FILE:3: directive "))
            .unwrap_or_default();
        assert_eq!(code, Some(2), "{text}");
        assert!(
            line.contains("is unknown and may restrict access")
                && line.contains(&format!("(did you mean \"{right}\"?)")),
            "{text}"
        );
    }
}
