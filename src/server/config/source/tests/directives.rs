//! The directives of the module, one by one, against the table of push-stream.md, section 15:
//! contexts, values, inheritance, TOML. Every supported directive must be documented.

use std::path::PathBuf;

use super::directive_table::{H, HSL, I, L, S, TABLE};
use crate::server::config::RewriteStep;
use crate::server::config::source::nginx::directives;
use crate::server::config::source::nginx::proxy;
use crate::server::config::source::nginx::rule::Effect;
use crate::server::config::source::parse;
use crate::server::config::source::toml::from_toml;

/// A file with a directive in some of the contexts: main block, `http`, `server`, location and
/// `if`.
fn file([main, http, server, location, condition]: [&str; 5]) -> String {
    let around: String = [
        ("push_stream_shared_memory_size", "10m"),
        ("push_stream_wildcard_channel_prefix", "b_"),
    ]
    .into_iter()
    .filter(|(name, _)| !http.contains(name))
    .map(|(name, value)| format!("{name} {value}; "))
    .collect();
    let is_endpoint = [
        "push_stream_subscriber",
        "push_stream_publisher",
        "push_stream_channels_statistics",
    ];
    let endpoint = if location
        .split([' ', ';'])
        .any(|word| is_endpoint.contains(&word))
    {
        ""
    } else {
        "push_stream_subscriber;"
    };
    let has_path = [http, server, location]
        .iter()
        .any(|text| text.contains("push_stream_channels_path"));
    let path = if has_path {
        ""
    } else {
        "push_stream_channels_path x;"
    };
    let header = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/push-stream/header.txt"
    );
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/LICENSE-MIT");
    format!(
        "{main} events {{}} http {{ {around}{http} server {{ listen 9103; {server} location / {{ \
         {endpoint} {path} {location} if ($arg_i) {{ {condition} }} }} }} }}"
    )
    .replace("{H}", header)
    .replace("{O}", other)
}

/// The file with a directive in one context; 4 = the main block.
fn with(context: usize, directive: &str) -> String {
    let mut texts = [""; 5];
    texts[(context + 1) % 5] = directive;
    file(texts)
}

/// The settings of the broker and of the location or, if `in_if`, of its `if`.
fn meaning(text: &str, in_if: bool) -> String {
    let config = parse("conf", text.as_bytes())
        .unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
        .config;
    let location = &config.listeners[0].servers[0].locations[0];
    let settings = match &location.steps[0] {
        RewriteStep::If { settings, .. } if in_if => settings,
        _ => &location.settings,
    };
    // Paddings know the largest of the file, wherever it stands.
    format!("{:?} {:?}", config.broker, settings)
}

#[test]
fn directives_of_the_module_are_allowed_in_the_contexts_of_the_reference() {
    for (name, contexts, [value, _], _) in TABLE {
        for (number, context) in [H, S, L, I, 0].into_iter().enumerate() {
            let text = with(number, &format!("{name} {value};"));
            let found = parse("conf", text.as_bytes())
                .err()
                .map(|mistakes| mistakes.to_string())
                .unwrap_or_default();
            let is_refused = found.contains(&format!("\"{name}\" directive is not allowed here"));
            assert_eq!(is_refused, contexts & context == 0, "{text}\n{found}");
            assert!(is_refused || found.is_empty(), "{text}\n{found}");
        }
    }
}

#[test]
fn the_innermost_value_wins_and_every_value_has_an_effect() {
    for (name, contexts, [one, other], _) in TABLE
        .iter()
        .filter(|row| row.1 & H != 0 || row.0 == "push_stream_publisher")
    {
        let first = format!("{name} {one};");
        let second = format!("{name} {other};");
        let of = |texts: [&str; 5]| meaning(&file(texts), false);
        let (plain, at_first, at_second) = match contexts & H {
            0 => (
                of([""; 5]),
                of(["", "", "", &first, ""]),
                of(["", "", "", &second, ""]),
            ),
            _ => (
                of([""; 5]),
                of(["", &first, "", "", ""]),
                of(["", &second, "", "", ""]),
            ),
        };
        assert_ne!(
            at_first, at_second,
            "{name}: {one} and {other} mean the same"
        );
        assert!(
            plain != at_first || plain != at_second,
            "{name} means nothing"
        );
        if contexts & HSL != HSL {
            continue;
        }
        for texts in [
            ["", "", &first, "", ""],
            ["", "", "", &first, ""],
            ["", &second, &first, "", ""],
            ["", &second, &second, &first, ""],
        ] {
            assert_eq!(of(texts), at_first, "{texts:?}");
        }
        if contexts & I != 0 {
            let in_if = |texts: [&str; 5]| meaning(&file(texts), true);
            assert_eq!(
                in_if(["", &second, &second, &second, &first]),
                in_if(["", &first, "", "", ""]),
                "{name}"
            );
            assert_eq!(
                in_if(["", "", "", &first, ""]),
                in_if(["", &first, "", "", ""]),
                "{name}"
            );
        }
    }
}

#[test]
fn values_that_the_module_rejects_are_rejected_in_every_context() {
    for (name, contexts, _, refused) in TABLE {
        for (number, _) in [H, S, L, I]
            .into_iter()
            .enumerate()
            .filter(|(_, context)| contexts & context != 0)
        {
            for value in *refused {
                let text = with(number, &format!("{name} {value};"));
                let mistakes = parse("conf", text.as_bytes())
                    .map(|_| text.clone())
                    .expect_err("a mistake")
                    .mistakes;
                assert!(
                    mistakes.iter().all(|mistake| mistake.line == 1),
                    "{mistakes:?}"
                );
            }
        }
    }
}

#[test]
fn every_directive_has_a_key_in_toml_and_a_line_in_the_documentation() {
    let page = |name: &str| {
        std::fs::read_to_string(
            PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("docs")
                .join(name),
        )
        .expect("the page")
    };
    let documentation = page("configuration.md")
        + &page("nhpm-and-nchan-directives.md")
        + &page("from-nchan-and-nhpm.md");
    let mut missing = Vec::new();
    for rule in directives::all().chain(proxy::DIRECTIVES) {
        if !documentation.contains(&format!("`{}`", rule.name)) {
            missing.push(rule.name);
        }
        let short = rule
            .name
            .strip_prefix("push_stream_")
            .or_else(|| rule.name.strip_prefix("pushctl_"))
            .unwrap_or(rule.name);
        if !matches!(rule.effect, Effect::Block) {
            assert_eq!(
                from_toml::directive_name(short).as_deref(),
                Some(rule.name),
                "{short} means something else in TOML"
            );
        }
    }
    assert!(missing.is_empty(), "not documented: {missing:?}");
    assert_eq!(
        TABLE.len(),
        directives::all()
            .filter(|rule| rule.name.starts_with("push_stream_"))
            .count(),
        "the table is complete"
    );
}
