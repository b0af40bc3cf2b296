//! Texts that are hard to put into JSON, through every built-in location.

use crate::support::{Connection, Server, object, show};
use serde_json::Value;

/// Texts that could break a template.
const TEXTS: &[&str] = &[
    "plain",
    "\"quoted\" and \\ back\\\\slash",
    "two\nlines",
    "three\r\nlines\n\nwith an empty one",
    "a\rb",
    "\n",
    "\n\n\r\n",
    " ",
    "\u{0}\u{1}\u{2}\u{8}\t\u{b}\u{c}\u{1b}\u{1f}\u{7f}",
    "\u{2028}\u{2029}\u{feff}\u{fffd}\u{10ffff}",
    "消息推送 \u{1f600} e\u{301}",
    "</script><!-- ]]> <script>",
    "data: x\nid: 7\n\nevent: y",
    "~text~ ~id~ $arg_id {{PORT}}",
    "{\"id\":1,\"text\":\"inner\"}",
];

/// Bytes that are no UTF-8.
const BYTES: &[&[u8]] = &[
    b"\xff",
    b"abc\xc3",
    b"\xed\xa0\x80",
    b"\x00\xfe\r\n\"",
    b"\xc0\x80 <- overlong",
];

/// The text of an object, or its decoded `base64`.
fn content(value: &Value) -> Vec<u8> {
    use base64::Engine;
    let decode = |text| {
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .expect("base64")
    };
    match (value["text"].as_str(), value["base64"].as_str()) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(text)) => decode(text),
        _ => panic!("neither text nor base64, or both: {value}"),
    }
}

/// Reads the data of one event, which must be one line. An event with only an id precedes the first
/// one.
fn event(connection: &mut Connection) -> Vec<u8> {
    let mut event = connection.read_until(b"\n\n");
    if crate::support::find(&event, b"data: ").is_none() {
        event = connection.read_until(b"\n\n");
    }
    let text = String::from_utf8(event).expect("an event stream is UTF-8");
    let mut data = text
        .trim_end()
        .lines()
        .filter(|line| !line.starts_with(':') && !line.starts_with("id: "))
        .map(|line| {
            line.strip_prefix("data: ")
                .unwrap_or_else(|| panic!("not a data line: {line:?} in {text:?}"))
                .as_bytes()
                .to_vec()
        });
    let first = data.next().unwrap_or_else(|| panic!("no data: {text:?}"));
    assert_eq!(data.next(), None, "one line per message: {text:?}");
    first
}

/// The objects that the location sends for the last `count` messages of channel `c`.
fn objects(server: &Server, location: &str, count: usize) -> Vec<Vec<u8>> {
    let path = format!("/{location}/c.b{count}");
    match location {
        "ws" => {
            let mut websocket = server.websocket(&path, &[]);
            (0..count).map(|_| websocket.read_frame().payload).collect()
        }
        "ev" => {
            let mut events = server.follow(&path, &[]);
            (0..count).map(|_| event(&mut events)).collect()
        }
        "jsonp" => {
            let response = server.get(&format!("{path}?callback=cb"));
            let array = response
                .text()
                .trim_end()
                .strip_prefix("cb(")
                .and_then(|rest| rest.strip_suffix(");"));
            let array = object(
                array
                    .unwrap_or_else(|| panic!("not a call: {}", response.text()))
                    .as_bytes(),
            );
            array
                .as_array()
                .expect("an array of messages")
                .iter()
                .map(|value| value.to_string().into_bytes())
                .collect()
        }
        _ => {
            let mut stream = server.follow(&path, &[]);
            (0..count).map(|_| stream.read_until(b"\n")).collect()
        }
    }
}

#[test]
fn every_text_arrives_as_correct_json_in_every_mode() {
    let server = Server::start(&[]);
    let texts: Vec<&[u8]> = TEXTS
        .iter()
        .map(|text| text.as_bytes())
        .chain(BYTES.iter().copied())
        .collect();
    let mut live: Vec<(&str, Connection)> = ["sub", "ev"]
        .map(|mode| (mode, server.follow(&format!("/{mode}/c"), &[])))
        .into();
    live.push(("ws", server.websocket("/ws/c", &[])));
    server.wait_for_subscribers("c", 3);
    for text in &texts {
        server.publish("c", text);
    }
    let check = |mode: &str, got: Vec<Vec<u8>>| {
        for (text, got) in texts.iter().zip(got) {
            let value = object(&got);
            assert_eq!(content(&value), *text, "/{mode}: {}", show(&got));
            assert_eq!(
                value["text"].is_string(),
                std::str::from_utf8(text).is_ok(),
                "/{mode}: {}",
                show(&got)
            );
            assert_eq!(value["channel"], "c", "/{mode}: {}", show(&got));
        }
    };
    for mode in ["sub", "ev", "ws", "lp", "poll", "jsonp"] {
        check(mode, objects(&server, mode, texts.len()));
    }
    for (mode, connection) in &mut live {
        let read = |connection: &mut Connection| match *mode {
            "ev" => event(connection),
            "ws" => connection.read_frame().payload,
            _ => connection.read_until(b"\n"),
        };
        check(mode, texts.iter().map(|_| read(connection)).collect());
    }
    server.stop();
}

#[test]
fn the_object_has_its_keys_in_their_order() {
    let server = Server::start(&[]);
    let date = server
        .publish("ch1", "hi")
        .head
        .get("Date")
        .map(str::to_owned)
        .expect("a date");
    let mut poll = server.follow("/poll/ch1.b1", &[]);
    let line = String::from_utf8(poll.read_until(b"\n")).expect("UTF-8");
    let tag = object(line.as_bytes())["tag"]
        .as_str()
        .map(str::to_owned)
        .expect("the tag is a string");
    assert!(
        tag.parse::<u32>().is_ok_and(|tag| tag > 0),
        "the tag is a number from 1: {line}"
    );
    let time = object(line.as_bytes())["time"]
        .as_str()
        .map(str::to_owned)
        .expect("the time is a string");
    assert_eq!(
        line,
        format!(
            "{{\"id\":1,\"channel\":\"ch1\",\"text\":\"hi\",\"tag\":\"{tag}\",\"time\":\"{time}\",\
             \"eventid\":\"\"}}\n"
        )
    );
    let seconds = |text: &str| {
        httpdate::parse_http_date(text).unwrap_or_else(|_| panic!("not an HTTP date: {text}"))
    };
    assert_eq!(
        httpdate::fmt_http_date(seconds(&time)),
        time,
        "the preferred form of a date"
    );
    assert!(
        seconds(&time) <= seconds(&date),
        "{time} is not after the answer's {date}"
    );
    server.stop();
}

#[test]
fn hostile_channel_and_event_ids_are_escaped() {
    let server = Server::start(&[]);
    let response = server.connect().request(
        "POST",
        "/pub?id=a%22b%5C%3C%09c",
        &[("Event-Id", "e\"\\<x>")],
        Some(b"t"),
    );
    assert_eq!(response.head.status, 200, "{response:?}");
    for mode in ["sub", "lp", "poll"] {
        let mut connection = server.follow(&format!("/{mode}/a%22b%5C%3C%09c.b1"), &[]);
        let value = object(&connection.read_until(b"\n"));
        assert_eq!(
            (value["channel"].as_str(), value["eventid"].as_str()),
            (Some("a\"b\\<\tc"), Some("e\"\\<x>")),
            "/{mode}"
        );
    }
    server.stop();
}
