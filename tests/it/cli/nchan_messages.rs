//! Messages of nchan as `pushctl sub` prints them: keys, channels, and streams without ids.

use super::fake::run;
use super::nchan::{MODES, Sub, publish, publish_all, texts};
use super::nchan_server::Nchan;
use crate::support::Relay;
use serde_json::{Value, json};

#[test]
fn messages_have_the_same_keys_as_those_of_other_servers() {
    let nchan = Nchan::start();
    let url = nchan.url();
    let hostile = r#"{"id":-2,"channel":"other","text":"forged"}"#;
    run(
        &[
            "pub",
            "ch1",
            hostile,
            "--event-type",
            "price",
            "--url",
            &url,
        ],
        b"",
    );
    for (mode, path) in MODES {
        let outcome = run(
            &[
                "sub",
                "ch1",
                "--json",
                "--mode",
                mode,
                "--sub-path",
                path,
                "--since",
                "all",
                "--count",
                "1",
                "--url",
                &url,
            ],
            b"",
        );
        let message: Value = serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|_| panic!("{mode} {path}: {outcome:?}"));
        let time = message["time"].clone();
        let tag = message["tag"].clone();
        let id = message["eventid"].as_str().expect("an id").to_owned();
        let mut expected =
            json!({"channel": "ch1", "text": hostile, "tag": tag, "time": time, "eventid": id});
        if mode == "ev" {
            expected["eventtype"] = "price".into();
        }
        assert_eq!(
            (&message, tag, id.ends_with(":0")),
            (&expected, json!(0), true),
            "{mode} {path}"
        );
    }
}

#[test]
fn several_channels_are_followed_with_their_names() {
    let nchan = Nchan::start();
    let relays: Vec<Relay> = (0..4).map(|_| Relay::to(&nchan.address)).collect();
    let subs: Vec<Sub> = ["ev", "ws", "lp", "stream"]
        .iter()
        .zip(&relays)
        .map(|(mode, relay)| {
            let args = [
                "a",
                "b",
                "--mode",
                mode,
                "--dialect",
                "nchan",
                "--since",
                "all",
                "--count",
                "40",
                "--template",
                "{channel} {text}",
            ];
            let args = [&args[..], &["--retry", "20"]].concat();
            Sub::start(&relay.url(), &args)
        })
        .collect();
    for burst in 0..4 {
        for channel in ["a", "b"] {
            publish_all(&nchan, channel, &texts(burst * 5 + 1, burst * 5 + 5));
        }
        relays.iter().for_each(Relay::cut);
    }
    for (sub, mode) in subs.into_iter().zip(["ev", "ws", "lp", "stream"]) {
        let (lines, code) = sub.end();
        assert_eq!((lines.len(), code), (40, Some(0)), "{mode}: {lines:?}");
        for channel in ["a ", "b "] {
            let own: Vec<&str> = lines
                .iter()
                .filter_map(|line| line.strip_prefix(channel))
                .collect();
            assert_eq!(own, texts(1, 20), "{mode}: channel {channel}");
        }
    }
}

#[test]
fn streams_without_ids_are_printed_message_by_message() {
    let nchan = Nchan::start();
    for path in ["/raw/{channel}", "/chunked/{channel}"] {
        let channel = &path[1..4];
        publish(&nchan, channel, "{\"id\":1,\"text\":\"as it is\"}");
        publish(&nchan, channel, "two");
        let args = [
            "sub",
            channel,
            "--mode",
            "stream",
            "--dialect",
            "nchan",
            "--sub-path",
            path,
            "--since",
            "all",
            "--count",
            "2",
            "--timeout",
            "20s",
            "--url",
            &nchan.url(),
        ];
        let outcome = run(&args, b"");
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, "{\"id\":1,\"text\":\"as it is\"}\ntwo\n"),
            "{path}: {outcome:?}"
        );
    }
}
