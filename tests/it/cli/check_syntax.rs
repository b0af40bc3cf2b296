//! `pushctl check` of files that cannot be read completely: foreign blocks, missing includes,
//! syntax errors, old and partial files. Everything else is still reported.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{Directory, Server, program};

/// Exit code and report of `check` for the main file of a directory, with the path of the directory
/// removed.
fn report(directory: &Directory, file: &Path) -> (Option<i32>, String) {
    let output = Command::new(program())
        .arg("check")
        .arg(file)
        .output()
        .expect("the program runs");
    (output.status.code(), shown(directory, &output.stdout))
}

fn shown(directory: &Directory, text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(&format!("{}/", directory.path().display()), "")
}

/// The report of a file with this content.
pub(super) fn checked(content: &str) -> (Option<i32>, String) {
    let directory = Directory::new("check-syntax");
    let file = directory.write("nginx.conf", content);
    report(&directory, &file)
}

fn served(file: &Path) -> Output {
    let command = || {
        let mut command = Command::new(program());
        command
            .args(["serve", "--nginx-conf"])
            .arg(file)
            .stdin(Stdio::null());
        command
    };
    command().output().expect("the program runs")
}

const PUSH: &str = "location /pub { push_stream_publisher; push_stream_channels_path $arg_id; }";

/// A file with a push location and these lines in `http`, in `server` and in another location.
fn file(http: &str, server: &str, location: &str) -> String {
    format!(
        "events {{}}\nhttp {{\npush_stream_shared_memory_size 10m;\n{http}\nserver {{\n\
         listen 127.0.0.1:9103;\n{server}\n{PUSH}\n\
         location /app {{\n{location}\n}}\n}}\n}}\n"
    )
}

#[test]
fn lua_blocks_are_skipped_and_reported_by_name() {
    let code = "-- it's a }\nlocal s = \"}\\\"}\" .. '}' .. [==[ ]] } ]==]\n\
                --[[ } ]] if s then t = { a = { 1 } } end";
    for name in [
        "init_by_lua_block",
        "init_worker_by_lua_block",
        "exit_worker_by_lua_block",
    ] {
        let (_, text) = checked(&file(&format!("{name} {{{code}\n}}"), "", ""));
        assert!(
            text.contains(&format!("nginx.conf:4: not served {name}: ")),
            "{text}"
        );
        assert!(text.contains(" /pub  "), "{text}");
        assert!(
            text.contains("nginx.conf:11: served push_stream_publisher\n"),
            "{text}"
        );
    }
    for name in [
        "content_by_lua_block",
        "log_by_lua_block",
        "body_filter_by_lua_block",
    ] {
        let (_, text) = checked(&file("", "", &format!("{name} {{{code}\n}}")));
        assert!(text.contains(&format!(": not served {name}: ")), "{text}");
        assert!(text.contains("served push_stream_publisher\n"), "{text}");
    }
    let (_, text) = checked(&file(
        "upstream a {\nserver 127.0.0.1:1;\nbalancer_by_lua_block {\n\
         local b = require \"ngx.balancer\"\n}\n}\nmap $uri $m { default 0; }",
        "ssl_certificate_by_lua_block {\nprint(\"{\")\n}",
        "",
    ));
    assert!(
        text.contains("served push_stream_publisher\n") && !text.contains("unexpected"),
        "{text}"
    );
}

#[test]
fn a_lua_block_without_an_end_is_reported_where_it_begins() {
    let (code, text) = checked(&file("", "", "content_by_lua_block {\nngx.say('}\n"));
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains(
            "nginx.conf:10: the block of \"content_by_lua_block\" has no closing \"}\"\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("nginx.conf:8: served push_stream_publisher\n"),
        "{text}"
    );
}

#[test]
fn an_unknown_variable_names_the_foreign_directive_that_sets_it() {
    for (http, server, directive, line) in [
        (
            "",
            "set_by_lua_block $chan { return '}' }",
            "set_by_lua_block",
            7,
        ),
        ("", "set_by_lua_file $chan chan.lua;", "set_by_lua_file", 7),
        ("", "set_md5 $chan $arg_a;", "set_md5", 7),
    ] {
        let location = "push_stream_subscriber; push_stream_channels_path $chan;";
        let (code, text) = checked(&file(http, server, location));
        let expected = format!(
            "unknown \"chan\" variable (\"{directive}\" in line {line} of nginx.conf sets it and \
             is not supported: use"
        );
        assert!(text.contains(&expected), "{expected}\n{text}");
        assert_eq!(code, Some(2), "{text}");
    }
    // These define the variable for the whole file: its name is valid, its value unknown.
    for setter in [
        "perl_set $chan 'sub { return 1; }';",
        "js_set $chan main.chan;",
    ] {
        let (code, text) = checked(&file(
            setter,
            "",
            "push_stream_subscriber; push_stream_channels_path $chan;",
        ));
        let expected = "nginx.conf:10: variable \"$chan\" in \"push_stream_channels_path\" \
                        selects channels and has no reliable value in pushctl";
        assert!(text.contains(expected), "{expected}\n{text}");
        assert_eq!(code, Some(2), "{text}");
    }
}

#[test]
fn all_missing_includes_are_reported_and_the_rest_as_well() {
    let directory = Directory::new("includes");
    std::fs::create_dir(directory.path().join("folder")).expect("a folder");
    directory.write("broken.conf", "map $uri $a {\n}\n}\n");
    directory.write("loop.conf", "include loop.conf;\n");
    let content = file(
        "include mime.types;\ninclude none/*.conf;\ninclude broken.conf;\ninclude loop.conf;\n\
         include folder;",
        "include fastcgi_params;\ninclude /nowhere/ssl.conf;\ngzip maybe;",
        "push_stream_subscriber; push_stream_channels_path $defined_elsewhere;",
    );
    let main = directory.write("nginx.conf", &content);
    let (code, text) = report(&directory, &main);
    assert_eq!(code, Some(2), "{text}");
    for expected in [
        "nginx.conf:4: open() \"mime.types\" failed (2: No such file or directory) (nginx ships \
         this file, with the content types",
        "broken.conf:3: unexpected \"}\"\n",
        "loop.conf:1: cannot include \"loop.conf\": it includes itself\n",
        "nginx.conf:8: \"folder\" is not a regular file\n",
        "nginx.conf:11: open() \"fastcgi_params\" failed (2: No such file or directory) (nginx \
         ships this file, with parameters",
        "nginx.conf:12: open() \"/nowhere/ssl.conf\" failed (2: No such file or directory) (it may \
         hold access rules: copy it",
        "nginx.conf:13: invalid value \"maybe\" in \"gzip\" directive",
        "unknown \"defined_elsewhere\" variable (unless it is in the part that cannot be read)",
        "nginx.conf:14: served push_stream_publisher\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(
        !text.contains("none"),
        "a pattern may match nothing: {text}"
    );
    let refused = served(&main);
    assert_eq!(
        refused.status.code(),
        Some(2),
        "a missing file may hold access rules"
    );
    let stderr = shown(&directory, &refused.stderr);
    assert!(
        stderr.contains("nginx.conf:4: open() ") && stderr.contains("nginx.conf:12: open() "),
        "{stderr}"
    );
}

#[test]
fn syntax_errors_hint_at_the_line_that_was_meant() {
    for (content, expected) in [
        (
            file("", "", "gzip on\n# a comment\n\n"),
            "nginx.conf:14: unexpected \"}\" (a \";\" is missing after \"on\" in line 10)\n",
        ),
        (
            file("gzip on", "", ""),
            "nginx.conf:5: directive \"gzip\" is not terminated by \";\" (a \";\" is missing after \
             \"on\" in line 4)\n",
        ),
        (
            file(
                "",
                "",
                "push_stream_publisher admin\npush_stream_channels_path $arg_id;",
            ),
            "nginx.conf:11: invalid number of arguments in \"push_stream_publisher\" directive (a \
             \";\" is probably missing at the end of line 10)\n",
        ),
        (
            file("", "server_name a.example\ngzip on;", ""),
            "nginx.conf:8: a \";\" is probably missing at the end of line 7\n",
        ),
        (
            file("", "server_name \"a.example;", ""),
            "(the quote in line 7 is not closed)\n",
        ),
        (file("", "}", ""), "unexpected \"}\""),
    ] {
        let (_, text) = checked(&content);
        assert!(text.contains(expected), "{expected}\n{text}");
        assert!(
            text.contains("nginx.conf:3: served push_stream_shared_memory_size\n"),
            "{text}"
        );
    }
}

#[test]
fn quic_listeners_are_ignored_and_never_opened() {
    let quic = "listen 127.0.0.1:9104 quic reuseport;\nlisten 9105 http3;";
    let (code, text) = checked(&file(
        "",
        &format!("listen 127.0.0.1:9104 ssl;\n{quic}\nhttp3 on;"),
        "",
    ));
    assert!(
        text.contains(
            "nginx.conf:8: ignored listen: pushctl opens no UDP port, clients use \
                           the TCP addresses\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("nginx.conf:9: ignored listen: ")
            && !text.contains("duplicate")
            && !text.contains("9105  "),
        "{text}"
    );
    assert_eq!(code, Some(0), "{text}");
    // A server with no other listener is reachable by UDP only, not on port 80.
    let directory = Directory::new("quic");
    let only_quic = format!(
        "events {{}}\nhttp {{\npush_stream_shared_memory_size 10m;\n\
         server {{ listen 127.0.0.1:1; {PUSH} }}\nserver {{ {quic} }}\n}}\n"
    );
    let main = directory.write("nginx.conf", &only_quic);
    let (_, text) = report(&directory, &main);
    assert!(
        !text.contains(":80 ") && !text.contains(":8000 ") && text.contains("0 mistakes"),
        "{text}"
    );
    let server = Server::start(&["--nginx-conf", main.to_str().expect("a path in UTF-8")]);
    assert_eq!(
        server
            .connect()
            .request("POST", "/pub?id=a", &[], Some(b"x"))
            .head
            .status,
        200
    );
    server.stop();
}

#[test]
fn renamed_directives_are_reported_with_the_current_name() {
    for (directive, hint) in [
        (
            "push_stream_websocket;",
            "use \"push_stream_subscriber websocket;\"",
        ),
        (
            "push_stream_eventsource_support on;",
            "use \"push_stream_subscriber eventsource;\"",
        ),
        (
            "push_stream_max_message_buffer_length 5;",
            "it is called \"push_stream_max_messages_stored_per_channel\" now",
        ),
        ("push_queue_messages off;", "use \"push_store_messages\""),
    ] {
        let (code, text) = checked(&file("", "", directive));
        assert!(text.contains(hint), "{directive}: {text}");
        assert_eq!(code, Some(2), "{text}");
        let directory = Directory::new("old");
        let refused = served(&directory.write("nginx.conf", &file("", "", directive)));
        assert!(
            shown(&directory, &refused.stderr).contains(hint),
            "serve gives the hint as well"
        );
    }
    for (name, value) in [
        ("push_stream_channels_path", "$1"),
        ("push_stream_channel_id", "$arg_id"),
    ] {
        let (_, text) = checked(&file(
            "",
            "",
            &format!("push_stream_subscriber;\nset ${name} {value};"),
        ));
        let expected = format!(
            "instead of \"set ${name} {value};\" in line 11 write \"push_stream_channels_path \
             {value};\""
        );
        assert!(text.contains(&expected), "{expected}\n{text}");
    }
}

#[test]
fn misplaced_directives_are_reported_with_the_right_block() {
    let (_, text) = checked(&file("push_stream_subscriber;", "", ""));
    assert!(
        text.contains(
            "directive is not allowed here (\"push_stream_subscriber\" is allowed in location)"
        ),
        "{text}"
    );
    for part in [
        format!("server {{ listen 80; {PUSH} }}\n"),
        format!("{PUSH}\n"),
        "upstream a { server b; }\n".to_owned(),
    ] {
        let (code, text) = checked(&part);
        assert_eq!(code, Some(2), "{text}");
        assert!(
            text.contains(
                "the file is a part of a configuration: use the nginx.conf that includes it"
            ),
            "{text}"
        );
    }
}

#[test]
fn every_port_of_a_range_is_served() {
    let directory = Directory::new("check-range");
    let path = directory.write(
        "nginx.conf",
        &file("", "", "return 204;").replace("127.0.0.1:9103", "127.0.0.1:9103-9105"),
    );
    let (code, text) = report(&directory, &path);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("127.0.0.1:9103 127.0.0.1:9104 127.0.0.1:9105"),
        "{text}"
    );
    let output = Command::new(program())
        .args(["check", "--front"])
        .arg(&path)
        .output()
        .expect("the program runs");
    let front = String::from_utf8_lossy(&output.stdout).into_owned();
    for port in [9103, 9104, 9105] {
        assert!(
            front.contains(&format!("listen 127.0.0.1:{port};")),
            "{front}"
        );
    }
    let (code, text) = checked(&file("", "listen 127.0.0.1:9100-9104;", "return 204;"));
    assert!(
        code == Some(2) && text.contains("a duplicate listen 127.0.0.1:9100-9104"),
        "{text}"
    );
    let (code, text) = checked(&file("", "listen 9110-9109;", "return 204;"));
    assert!(
        code == Some(2) && text.contains("invalid port range in \"9110-9109\""),
        "{text}"
    );
}
