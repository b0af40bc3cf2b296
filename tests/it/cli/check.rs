//! `pushctl check`: its reports, exit codes, and the notations that it prints.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Directory, Server, program};

pub(super) fn check(args: &[&str], file: &Path) -> Output {
    Command::new(program())
        .arg("check")
        .args(args)
        .arg(file)
        .output()
        .expect("the program runs")
}

pub(super) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("a text")
}

/// The text with the file name replaced, for comparison.
pub(super) fn report(args: &[&str], file: &Path) -> (Option<i32>, String) {
    let output = check(args, file);
    (
        output.status.code(),
        stdout(&output).replace(&file.display().to_string(), "FILE"),
    )
}

pub(super) fn real_life() -> PathBuf {
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
fn all_errors_are_reported_at_once_with_file_and_line() {
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
fn unreadable_includes_are_reported_at_their_line() {
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
fn a_real_configuration_gets_an_actionable_report() {
    let (code, text) = report(&[], &real_life());
    assert_eq!(code, Some(0), "{text}");
    // Column widths depend on the longest cell and are ignored here.
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
        "FILE:126: parameter \"ssl\" of \"listen 443\" is not supported by pushctl (pushctl serves \
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
fn serve_reads_its_configuration_from_an_option_or_variable() {
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
