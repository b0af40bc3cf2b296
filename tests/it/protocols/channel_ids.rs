//! Channel ids with special characters: none of them forges a field of a response.

use crate::support::{Server, conf};

const HTTP: &str = "push_stream_shared_memory_size 32M; push_stream_events_channel_id events;";
const LOCATIONS: &str = "
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; }
    location /stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
    location ~ /sub/(.*) { push_stream_subscriber polling; push_stream_channels_path $1; \
    push_stream_message_template '~text~';
        push_stream_allow_connections_to_events_channel on; }";
/// `a", "subscribers": 999, "x": "b`, `a\`, `<x>&`, and one with a line feed.
const IDS: [(&str, &str); 4] = [
    (
        "a%22,%20%22subscribers%22:%20999,%20%22x%22:%20%22b",
        "a\", \"subscribers\": 999, \"x\": \"b",
    ),
    ("a%5C", "a\\"),
    ("%3Cx%3E%26", "<x>&"),
    ("a%0Asubscribers:%20999", "a\nsubscribers: 999"),
];

fn answer(server: &Server, method: &str, path: &str, accept: &str) -> String {
    let body = (method == "POST").then_some(&b"hello"[..]);
    server
        .connect()
        .request(method, path, &[("Accept", accept)], body)
        .text()
        .to_owned()
}

#[test]
fn ids_forge_nothing_in_json() {
    for (escaped, id) in IDS {
        let server = Server::with_conf(&conf(HTTP, LOCATIONS));
        for (method, path) in [
            ("POST", "/pub?id=ID"),
            ("GET", "/pub?id=ID"),
            ("GET", "/stats?id=ID"),
            ("GET", "/stats?id=ALL"),
        ] {
            let text = answer(
                &server,
                method,
                &path.replace("ID", escaped),
                "application/json",
            );
            let value: serde_json::Value = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{path}: {error}: {text}"));
            let infos = value["infos"]
                .as_array()
                .cloned()
                .unwrap_or_else(|| vec![value.clone()]);
            let found = infos
                .iter()
                .find(|info| info["channel"] == id)
                .unwrap_or_else(|| panic!("{path}: {text}"));
            assert_eq!(found["subscribers"], 0, "{path}: {text}");
        }
        let events = answer(&server, "GET", "/sub/events.b10", "*/*");
        let line = events
            .lines()
            .find(|line| line.contains("channel_created") && !line.contains("\"events\""))
            .unwrap_or(&events);
        let event: serde_json::Value = serde_json::Deserializer::from_str(line)
            .into_iter()
            .next()
            .expect("an event")
            .expect("JSON");
        assert_eq!(event["channel"], id, "{events}");
    }
}

#[test]
fn ids_forge_nothing_in_other_notations() {
    let server = Server::with_conf(&conf(HTTP, LOCATIONS));
    for (escaped, _) in IDS {
        answer(&server, "POST", &format!("/pub?id={escaped}"), "*/*");
    }
    for path in [
        "/stats?id=ALL",
        "/pub?id=a%0Asubscribers:%20999",
        "/stats?id=a%0Asubscribers:%20999",
    ] {
        for (accept, forged) in [
            ("text/plain", "\nsubscribers: 999"),
            ("application/yaml", "\nsubscribers: 999"),
            ("application/xml", "<x>&"),
        ] {
            let text = answer(&server, "GET", path, accept);
            assert!(
                text.contains("999") && !text.contains(forged),
                "{path} {accept}: {text}"
            );
        }
    }
    let xml = answer(&server, "GET", "/stats?id=%3Cx%3E%26", "application/xml");
    assert!(xml.contains("<name>&lt;x&gt;&amp;</name>"), "{xml}");
    let yaml = answer(
        &server,
        "GET",
        "/stats?id=a%0Asubscribers:%20999",
        "application/yaml",
    );
    assert!(
        yaml.contains("channel: \"a\\nsubscribers: 999\"\r\n"),
        "{yaml}"
    );
    assert!(
        answer(&server, "GET", "/stats?id=a%5C", "text/plain").starts_with("channel: a\\\r\n"),
        "as it is"
    );
}
