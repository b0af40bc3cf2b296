//! Whole configurations, as a user would write them.

mod directive_table;
mod directives;
mod guards;
mod locations;
mod round_trip;
mod variable_guards;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use crate::server::config::source::*;
use crate::server::config::{Config, Endpoint, LocationSettings, MessageFormat, SubscriberMode};

/// A configuration around the content of a `server`.
pub(in crate::server) fn in_server(content: &str) -> String {
    format!(
        "events {{}}\nhttp {{\npush_stream_shared_memory_size 10m;\n\
         server {{ listen 127.0.0.1:9103;\n{content}\n}}\n}}\n"
    )
}

pub(in crate::server) fn loaded(text: &str) -> LoadedConfig {
    parse("conf", text.as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
}

pub(in crate::server) fn mistakes(text: &str) -> Vec<String> {
    parse("conf", text.as_bytes())
        .expect_err("a mistake")
        .mistakes
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn settings(config: &Config, path: &str) -> std::sync::Arc<LocationSettings> {
    let (location, _) = config.listeners[0].servers[0]
        .locate(path.as_bytes())
        .expect("a location");
    std::sync::Arc::clone(&location.settings)
}

#[test]
fn recorded_configurations_are_accepted_and_rejected_as_by_nginx() {
    /// Cases that agree at least; all do.
    const FLOOR: usize = 106;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/push-stream");
    let cases =
        std::fs::read(folder.join("config-errors.json")).expect("the recorded configurations");
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&cases).expect("JSON");
    let field =
        |case: &serde_json::Value, name: &str| case[name].as_str().expect("a text").to_owned();
    let mut disagreeing = Vec::new();
    let mut other_texts = Vec::new();
    for case in &cases {
        let header_file = folder.join("header.txt").display().to_string();
        let conf = field(case, "conf")
            .replace("{{PORT}}", "9103")
            .replace("{{HEADER_FILE}}", &header_file);
        let result = parse("{{CONF}}", conf.as_bytes());
        if case["accepted"].as_bool() != Some(result.is_ok()) {
            disagreeing.push(field(case, "name"));
        }
        let found = result.err().map(|error| error.mistakes).unwrap_or_default();
        let found: Vec<_> = found
            .iter()
            .map(|mistake| format!("{} in {}:{}", mistake.text, mistake.file, mistake.line))
            .collect();
        let expected = field(case, "stderr");
        let is_reported = |line: &str| {
            found
                .iter()
                .any(|text| text.starts_with(line.split_once("] ").map_or(line, |(_, text)| text)))
        };
        if !expected.lines().all(is_reported) {
            other_texts.push(field(case, "name"));
        }
    }
    let agreeing = cases.len() - disagreeing.len();
    eprintln!(
        "{agreeing} of {} configurations agree; not: {disagreeing:?}; other texts: {other_texts:?}",
        cases.len()
    );
    assert!(agreeing >= FLOOR, "disagreeing: {disagreeing:?}");
    assert_eq!(other_texts, ["bad regex location"], "texts and lines");
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_lines() {
    let text = in_server(
        "location /a {\npush_stream_subscriber foo;\npush_stream_store_messages yes;\n}\n\
         location /b { push_stream_publisher; }",
    );
    assert_eq!(
        mistakes(&text),
        [
            "conf:6: push stream module: invalid push_stream_subscriber mode value: foo, accepted \
             values (streaming, polling, \
             long-polling, eventsource, websocket)",
            "conf:7: invalid value \"yes\" in \"push_stream_store_messages\" directive, it must be \
             \"on\" or \"off\"",
            "conf:11: push stream module: push_stream_channels_path must be set. (in the location \
             of line 9)",
        ]
    );
}

#[test]
fn unsupported_directives_are_reported_with_their_lines() {
    let text = in_server(
        "location / {\nproxy_pass http://x;\n}\naccess_log off;\n\
         location = /x { memcached_pass x; }\nlocation @y {}",
    );
    let notices: Vec<_> = loaded(&text)
        .notices
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        notices,
        [
            "conf:6: directive \"proxy_pass\" is not supported by pushctl",
            "conf:9: directive \"memcached_pass\" is not supported by pushctl",
            "conf:10: a named location is not supported by pushctl"
        ]
    );
}

#[test]
fn the_nearest_value_is_inherited_and_an_empty_one_counts() {
    let text = "events {}\nhttp { server { listen 9103;
          location /plain { push_stream_subscriber; }
          location /own { push_stream_subscriber long-polling; push_stream_header_template \"\"; \
          push_stream_message_template a;
             push_stream_longpolling_connection_ttl 500ms; default_type application/json; }
          push_stream_subscriber_connection_ttl 1m30s; client_max_body_size 2g; }
        push_stream_store_messages on; push_stream_header_template H; push_stream_channels_path \
        $arg_id;
        push_stream_shared_memory_size 127k; types { text/x-a a A1; } keepalive_timeout 5s 6s; \
        send_timeout 7; }
        worker_processes 3;";
    let config = loaded(text).config;
    let plain = settings(&config, "/plain");
    let own = settings(&config, "/own");
    assert_eq!(
        (
            plain.header_template.as_deref(),
            own.header_template.as_deref()
        ),
        (Some(&b"H"[..]), Some(&b""[..]))
    );
    assert!(plain.store_messages && own.store_messages);
    assert_eq!(
        plain.longpolling_connection_ttl,
        Some(Duration::from_secs(90))
    );
    assert_eq!(
        own.longpolling_connection_ttl,
        Some(Duration::from_millis(500))
    );
    assert_ne!(plain.message_format, own.message_format);
    assert!(matches!(plain.message_format, MessageFormat::Template(_)));
    assert_eq!(
        (
            plain.types.default_type.as_ref(),
            own.types.default_type.as_ref()
        ),
        (&b"text/plain"[..], &b"application/json"[..])
    );
    assert_eq!(
        own.types.by_extension,
        [("a", "text/x-a"), ("a1", "text/x-a")]
            .map(|(name, kind)| (name.to_owned(), Bytes::from(kind)))
    );
    assert_eq!(plain.client_max_body_size, 2 << 30);
    assert_eq!(
        (config.broker.shared_memory_size, config.shards),
        (128 * 1024, 3)
    );
    assert_eq!(
        (config.limits.keepalive_timeout, config.limits.send_timeout),
        (Duration::from_secs(5), Duration::from_secs(7))
    );
    assert_eq!(config.broker.max_number_of_channels, None);
}

#[test]
fn one_mistake_is_reported_once_together_with_the_notices() {
    let text = "events {}\nhttp { push_stream_shared_memory_size 10m;\n\
                server { proxy_buffering off;\npush_stream_channels_path $nonsense;\n\
                location /a { push_stream_publisher; }\n\
                location /b { push_stream_publisher; push_stream_channels_path; } } }";
    let error = parse("conf", text.as_bytes()).expect_err("mistakes");
    let expected = [
        "conf:4: unknown \"nonsense\" variable",
        "conf:6: invalid number of arguments in \"push_stream_channels_path\" directive",
    ];
    assert_eq!(error.to_string(), expected.join("\n"));
    let notices: Vec<_> = error.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        ["conf:3: directive \"proxy_buffering\" is not supported by pushctl"]
    );
    let small = text
        .replace("10m", "1k")
        .replace("$nonsense", "a")
        .replace("push_stream_channels_path; ", "");
    assert_eq!(
        mistakes(&small),
        ["conf:2: The push_stream_shared_memory_size value must be at least 128KiB"]
    );
}

#[test]
fn the_largest_padding_of_the_file_counts_everywhere() {
    let subscriber = |path: &str, padding: &str| {
        format!(
            "location {path} {{ push_stream_subscriber; push_stream_channels_path a; \
             push_stream_padding_by_user_agent {padding}; }}\n"
        )
    };
    let config = loaded(&in_server(&format!(
        "{}{}",
        subscriber("/a", "x,250,250"),
        subscriber("/b", "x,0,545")
    )))
    .config;
    let padding = settings(&config, "/a")
        .paddings
        .for_user_agent(b"x")
        .expect("a padding");
    assert_eq!(padding.streaming_message(2).len(), 300);
}

#[test]
fn endpoints_have_their_modes() {
    let text = in_server(
        "push_stream_channels_path $arg_id;\nlocation /s { push_stream_channels_statistics; }\n\
         location /p { push_stream_publisher ADMIN; }
         location /n { push_stream_publisher; }\n\
         location /l { push_stream_subscriber Long-Polling; }\nlocation /x { }
         location /t { push_stream_publisher; push_stream_channels_statistics; }",
    );
    let config = loaded(&text).config;
    let endpoints: Vec<_> = config.listeners[0].servers[0]
        .locations
        .iter()
        .map(|location| location.endpoint().clone())
        .collect();
    let expected = [
        Endpoint::Statistics,
        Endpoint::Publisher { admin: true },
        Endpoint::Publisher { admin: false },
        Endpoint::Subscriber(SubscriberMode::LongPolling),
        Endpoint::None,
        Endpoint::Statistics,
    ];
    assert_eq!(format!("{endpoints:?}"), format!("{expected:?}"));
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let mistakes = load(
        Path::new("/nonexistent/nginx.conf"),
        &ImportOptions::default(),
    )
    .expect_err("no such file");
    assert!(
        mistakes
            .to_string()
            .starts_with("/nonexistent/nginx.conf: cannot read the configuration: "),
        "{mistakes}"
    );
}

#[test]
fn a_missing_brace_in_types_is_reported() {
    let wrong = parse(
        "conf",
        b"events {}\nhttp {\ntypes { a/b c} location /p { x y; }\n}\nserver { listen 80; }\n}\n",
    )
    .expect_err("it is wrong");
    assert_eq!(wrong.to_string(), "conf:3: unexpected \"{\"");
}
