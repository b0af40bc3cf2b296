//! The chat of `examples/` across outages, in both configurations, and its pictures.

use super::chat::{SHOWN, TRANSPORTS, file, join, say, serve, shows};
use super::page::Page;
use crate::support::{Relay, Server, program};
use serde_json::{Value, json};
use std::path::PathBuf;

#[test]
fn a_page_resumes_after_a_network_outage() {
    let server = serve("nginx.conf");
    std::thread::scope(|scope| {
        for transport in TRANSPORTS {
            let server = &server;
            scope.spawn(move || outage(server, transport));
        }
    });
    server.stop();
}

/// A page loses its connection, misses messages, cannot send, and finally has every message once.
fn outage(server: &Server, room: &str) {
    let relay = Relay::to(server.address());
    let page = Page::open(&format!(
        "{}/?name=anna&transport={room}#{room}",
        relay.url()
    ));
    page.wait("document.querySelector('#state').dataset.state === 'on'");
    say(&page, "one");
    shows(&page, &["anna*: one"]);
    relay.take_away();
    // A frame notices by the silence; the test need not wait as long as people.
    page.evaluate("limits.silence = 100");
    page.wait("document.querySelector('#state').dataset.state !== 'on'");
    server.wait_for_subscribers(room, 0);
    say(&page, "four");
    page.wait("!document.querySelector('#problem').hidden");
    assert_eq!(
        page.evaluate("document.querySelector('#text').value"),
        "four",
        "what was not sent stays in the field"
    );
    server.publish(room, "two");
    server.publish(room, "three");
    page.evaluate("limits.silence = 8000");
    relay.restore();
    shows(
        &page,
        &["anna*: one", "without a name: two", "without a name: three"],
    );
    page.evaluate("document.querySelector('#send').requestSubmit()");
    shows(
        &page,
        &[
            "anna*: one",
            "without a name: two",
            "without a name: three",
            "anna*: four",
        ],
    );
    page.wait("document.querySelector('#problem').hidden");
}

#[test]
fn both_configurations_of_the_example_are_served_whole() {
    let check = |name: &str| {
        let output = std::process::Command::new(program())
            .args(["check", "--strict", "--json"])
            .arg(file(name))
            .output()
            .expect("it runs");
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        let text = String::from_utf8(output.stdout).expect("a text");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let locations: Vec<Value> = lines
            .filter(|line| line["type"] == "location")
            .map(|line| json!([line["pattern"], line["mode"]]))
            .collect();
        locations
    };
    let locations = check("nginx.conf");
    assert_eq!(locations.len(), 7, "{locations:?}");
    assert_eq!(check("pushctl.toml"), locations, "the same in TOML");
}

#[test]
#[ignore = "makes pictures to be looked at: PUSHCTL_PICTURES=FOLDER"]
fn pictures_of_the_chat() {
    let folder = PathBuf::from(
        std::env::var_os("PUSHCTL_PICTURES").expect("PUSHCTL_PICTURES names a folder"),
    );
    let server = serve("nginx.conf");
    let [anna, ben, curl] = [("Anna", "ev"), ("Ben", "ws"), ("Chloé", "lp")]
        .map(|(name, transport)| join(&server, "release", name, transport));
    server.wait_for_subscribers("release", 3);
    let talk = [
        (&ben, "Morning! Is the new build on staging yet?"),
        (
            &anna,
            "Deploying now. Takes a minute or two, the migrations are the slow part.",
        ),
        (
            &anna,
            "Done: https://staging.example/builds/\
             2026-11-21-a-rather-long-address-that-has-to-be-broken-somewhere/index.html",
        ),
        (
            &curl,
            "<b>Looks</b> good & the \"quotes\" are fine, too.\nSecond line of the same message.",
        ),
        (&ben, "Привет, こんにちは, مرحبا 👋"),
        (&curl, "👍"),
    ];
    for (number, (page, text)) in talk.iter().enumerate() {
        say(page, text);
        anna.wait(&format!("{SHOWN}.length === {}", number + 1));
    }
    server.publish("release", "build 4711 passed (published with curl)");
    anna.wait(&format!("{SHOWN}.length === {}", talk.len() + 1));
    anna.wait("document.querySelector('#people').textContent === '3 are here'");
    let save = |name: &str, picture: Vec<u8>| {
        std::fs::write(folder.join(name), picture).expect("a picture is written")
    };
    save("desktop-light.png", anna.picture(1100, 720, false));
    save("desktop-dark.png", anna.picture(1100, 720, true));
    save("phone-light.png", anna.picture(360, 740, false));
    save("phone-dark.png", ben.picture(360, 740, true));
    ben.evaluate("document.querySelector('#toggle').click()");
    save("phone-settings.png", ben.picture(360, 740, false));
    anna.evaluate("document.querySelector('#toggle').click()");
    save("desktop-settings.png", anna.picture(1100, 720, true));
    save(
        "phone-empty.png",
        join(&server, "empty", "Dora", "iframe").picture(360, 740, false),
    );
    server.stop();
}

/// A dead server closes no connection: only missing pings reveal it.
#[test]
fn a_frame_notices_a_dead_server_within_ten_seconds() {
    let server = serve("nginx.conf");
    let page = Page::open(&format!(
        "{}/?name=anna&transport=iframe#dead",
        server.url()
    ));
    let silence = page.evaluate("limits.silence").as_u64().expect("a number");
    // The frame checks twice per second.
    assert!(silence + 500 < 10_000, "{silence}");
    for file in ["nginx.conf", "pushctl.toml"] {
        let conf = std::fs::read_to_string(
            concat!(env!("CARGO_MANIFEST_DIR"), "/examples/chat/").to_owned() + file,
        )
        .expect("the file");
        let location = &conf[conf.find("^/iframe/").expect("the location")..];
        let ping = location
            .split_once("ping_message_interval")
            .expect("pings")
            .1;
        let seconds: u64 = ping
            .trim_start_matches([' ', '=', '"'])
            .split('s')
            .next()
            .and_then(|text| text.parse().ok())
            .expect("seconds");
        assert!(
            seconds * 2000 < silence,
            "a late ping is no reason to connect again"
        );
    }
    server.stop();
}
