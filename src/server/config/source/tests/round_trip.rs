//! A configuration is the same in an nginx.conf and after conversion to TOML.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::guards::{PUSH, in_server};
use crate::server::config::Config;
use crate::server::config::source::file::tree;
use crate::server::config::source::nginx::files::Files;
use crate::server::config::source::nginx::{names, parser};
use crate::server::config::source::*;

/// A configuration as text.
fn shown(config: &Config) -> String {
    let Config {
        listeners,
        shards,
        limits,
        broker,
        process,
    } = config;
    let mut text = format!("{shards} {limits:?} {broker:?} {process:?}\n");
    let servers = |servers: &crate::server::config::Servers| {
        let default = servers.find("\u{1}");
        let all: Vec<String> = servers
            .iter()
            .map(|server| format!("{} {server:?}", Arc::ptr_eq(server, default)))
            .collect();
        all.join("\n  ")
    };
    for listener in listeners {
        let _ = writeln!(
            text,
            "{:?} {}\n  {}",
            listener.address,
            listener.accepts_ipv4,
            servers(&listener.servers)
        );
        for (address, overriding) in &listener.overrides {
            let _ = writeln!(text, " {address}\n  {}", servers(overriding));
        }
    }
    text
}

/// The tables of `map`, which the text of a configuration lacks.
fn maps(file: &str, text: &[u8]) -> Vec<String> {
    let tree = tree(text, &mut Files::new(file)).0.expect("well-formed");
    let mut maps = Vec::new();
    names::visit(&tree.directives, &mut |directive| {
        if let ("map", Some(block)) = (directive.name.as_str(), &directive.block) {
            let is_flag = |line: &&parser::Directive| line.name == "hostnames";
            let (flags, lines): (Vec<_>, Vec<_>) = block.directives.iter().partition(is_flag);
            let lines = lines.iter().map(|line| (&line.name, &line.arguments));
            maps.push(format!(
                "{:?} {} {:?}",
                directive.arguments,
                flags.len(),
                lines.collect::<Vec<_>>()
            ));
        }
    });
    maps
}

/// Converts a configuration to TOML and back; false if it is invalid.
fn survives(name: &str, text: &str) -> bool {
    let Ok(loaded) = parse("conf", text.as_bytes()) else {
        return false;
    };
    let toml = to_toml("conf", text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let again = parse("conf.toml", toml.as_bytes())
        .unwrap_or_else(|mistakes| panic!("{name}: {mistakes}\n{toml}"));
    let before = shown(&loaded.config);
    let after = shown(&again.config);
    for (before, after) in before.lines().zip(after.lines()) {
        assert_eq!(before, after, "{name}\n{text}\n{toml}");
    }
    assert_eq!(before.lines().count(), after.lines().count(), "{name}");
    assert_eq!(
        maps("conf", text.as_bytes()),
        maps("conf.toml", toml.as_bytes()),
        "{name}"
    );
    // Each directive that is left out has a comment.
    for directive in loaded.directives.iter().filter(|directive| {
        matches!(
            directive.support,
            Support::Unsupported | Support::Ignored(_)
        )
    }) {
        let place = format!("{}:{}: {}", directive.file, directive.line, directive.name);
        let is_inside = |other: &DirectiveSupport| {
            other.support == Support::Unsupported && other.line < directive.line
        };
        assert!(
            toml.contains(&place) || loaded.directives.iter().any(is_inside),
            "{name}: {place} is dropped\n{toml}"
        );
    }
    true
}

#[test]
fn recorded_configurations_survive_toml() {
    /// Configurations that are accepted at least.
    const FLOOR: usize = 168 + 27;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/push-stream");
    let header = folder.join("header.txt").display().to_string();
    let mut survived = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder of recorded cases") {
        let path = entry.expect("an entry of the folder").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let cases: Vec<serde_json::Value> =
            serde_json::from_slice(&std::fs::read(&path).expect("a file of recorded cases"))
                .expect("JSON");
        for case in &cases {
            let text = case["nginx_conf"]
                .as_str()
                .or(case["conf"].as_str())
                .expect("a configuration");
            let text = text
                .replace("{{PORT}}", "9103")
                .replace("{{HEADER_FILE}}", &header);
            survived += usize::from(survives(case["name"].as_str().expect("a name"), &text));
        }
    }
    assert!(survived >= FLOOR, "{survived}");
}

#[test]
fn recorded_configurations_of_nhpm_and_nchan_survive_toml() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (file, count) in [("nhpm/nhpm-0.73.json", 53), ("nchan/nchan-1.3.7.json", 66)] {
        let recorded: serde_json::Value = serde_json::from_slice(
            &std::fs::read(folder.join(file)).expect("a file of recorded cases"),
        )
        .expect("JSON");
        // TOML has a comment for the whole `upstream` block only.
        let is_read = |case: &&serde_json::Value| {
            case["name"] != "redis_unavailable_503" || {
                assert!(
                    case["nginx_conf"]
                        .as_str()
                        .is_some_and(|text| text.contains("upstream"))
                );
                false
            }
        };
        let survived = recorded["cases"]
            .as_array()
            .expect("a list of cases")
            .iter()
            .filter(is_read)
            .filter(|case| {
                let text = case["nginx_conf"]
                    .as_str()
                    .expect("a configuration")
                    .replace("{{PORT}}", "9103")
                    .replace("{{BACKEND_PORT}}", "9104");
                survives(case["name"].as_str().expect("a name"), &text)
            });
        assert_eq!(survived.count(), count, "{file}");
    }
}

#[test]
fn configurations_with_every_kind_of_directive_survive_toml() {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/configuration/copied_configs");
    let real_life = std::fs::read_to_string(folder.join("real-life.conf")).expect("the file");
    assert!(survives("real-life.conf", &real_life));
    assert!(survives("everything", include_str!("round_trip.conf"),));
}

#[test]
fn text_that_toml_cannot_hold_is_an_error_with_its_place() {
    let conf = b"events {}\nhttp {\n  server {\n    location = /\xff { return 200; }\n    listen \
                 80;\n  }\n}\n";
    let error = to_toml("conf", conf).expect_err("not UTF-8");
    assert!(
        error.starts_with("conf:4: ") && error.contains("UTF-8"),
        "{error}"
    );
    let conf =
        b"events {}\nhttp { server {\n    location / {\n      default_type \"\xff\";\n      \
                 return 200;\n} } }\n";
    assert!(
        to_toml("conf", conf)
            .expect_err("not UTF-8")
            .starts_with("conf:4: ")
    );
    let location = "location /p { nchan_publisher; nchan_channel_id c; nchan_authorize_request /a; \
                    } location /a { proxy_pass http://up/x; }";
    let conf = format!(
        "events {{}}\nhttp {{ server {{ {location} }}\nupstream UP {{ server 127.0.0.1:1; }} }}\n"
    );
    let toml = to_toml("conf", conf.as_bytes())
        .expect("without its group the name would be one of a host");
    assert!(
        toml.contains("[[upstream]]\nname = \"UP\"\nrules = [\n  [\"server\", \"127.0.0.1:1\"]"),
        "{toml}"
    );
}

#[test]
fn guards_survive_toml() {
    let text = in_server(&format!(
        "ssl_verify_client on; location /a {{ {PUSH} auth_ldap x; auth_ldap y; if ($arg_k) {{ \
         auth_jwt z; }} }}"
    ));
    let toml = to_toml("conf", text.as_bytes()).expect("TOML");
    let found = parse("conf.toml", toml.as_bytes()).expect_err("a mistake");
    for name in ["ssl_verify_client", "auth_ldap", "auth_jwt"] {
        assert_eq!(
            found
                .mistakes
                .iter()
                .filter(|mistake| mistake.text.contains(&format!("\"{name}\"")))
                .count(),
            1,
            "{found}\n{toml}"
        );
    }
    let opened =
        format!("front_enforces = [\"auth_ldap\", \"auth_jwt\", \"ssl_verify_client\"]\n{toml}");
    assert!(parse("conf.toml", opened.as_bytes()).is_ok(), "{opened}");
}
