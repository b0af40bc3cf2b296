//! The chat of `examples/`: pages of several people in one room, over every transport.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::page::Page;
use super::quoted;
use crate::support::{Relay, Server, program};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/chat");
const TRANSPORTS: [&str; 4] = ["ev", "ws", "lp", "iframe"];

/// A file of the example's configuration.
fn file(name: &str) -> PathBuf {
    Path::new(EXAMPLE).join(name)
}

/// The example as its README starts it, on a port of our own.
fn serve(name: &str) -> Server {
    Server::start(&[
        "--config",
        file(name).to_str().expect("UTF-8"),
        "--listen",
        "127.0.0.1:0",
    ])
}

/// Somebody in a room; the room's subscription has begun.
fn join(server: &Server, room: &str, name: &str, transport: &str) -> Page {
    let page = Page::open(&format!(
        "{}/?name={name}&transport={transport}#{room}",
        server.url()
    ));
    page.wait("document.querySelector('#state').dataset.state === 'on'");
    page
}

/// Types a message and sends it with the Enter key.
fn say(page: &Page, text: &str) {
    page.evaluate("document.querySelector('#text').focus()");
    page.send("Input.insertText", &json!({"text": text}));
    for kind in ["keyDown", "keyUp"] {
        page.send(
            "Input.dispatchKeyEvent",
            &json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}),
        );
    }
}

/// What is shown: whose message, `*` if it is one's own, and the text.
const SHOWN: &str = "[...document.querySelectorAll('.message')].map(item =>
    item.querySelector('.by b').textContent + (item.classList.contains('mine') ? '*: ' : ': ') + \
    item.querySelector('.body').textContent)";

fn shows(page: &Page, expected: &[&str]) {
    page.expect(SHOWN, &expected.iter().copied().collect::<Value>());
}

#[test]
fn people_on_all_transports_chat_with_each_other() {
    let server = serve("nginx.conf");
    let pages = TRANSPORTS.map(|transport| join(&server, "r1", transport, transport));
    server.wait_for_subscribers("r1", 4);
    for page in &pages {
        page.wait("document.querySelector('#people').textContent === '4 are here'");
    }
    for (number, page) in pages.iter().enumerate() {
        say(
            page,
            &format!("message {number} 'with' \"signs\" & <b>tags</b> ☃"),
        );
        // Everybody has it before the next one speaks, so there is one order.
        pages
            .iter()
            .for_each(|page| page.wait(&format!("{SHOWN}.length === {}", number + 1)));
    }
    for (own, page) in pages.iter().enumerate() {
        let expected: Vec<String> = TRANSPORTS
            .iter()
            .enumerate()
            .map(|(number, name)| {
                let mark = if own == number { "*" } else { "" };
                format!("{name}{mark}: message {number} 'with' \"signs\" & <b>tags</b> ☃")
            })
            .collect();
        shows(
            page,
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        assert_eq!(
            page.evaluate("document.querySelector('#text').value"),
            "",
            "what was sent is gone from the field"
        );
    }
    // Who comes later sees what was said.
    let late = join(&server, "r1", "late", "ev");
    late.wait(&format!("{SHOWN}.length === 4"));
    let elsewhere = join(&server, "r2", "late", "ev");
    shows(&elsewhere, &[]);
    server.stop();
}

#[test]
fn hostile_texts_are_shown_and_do_nothing() {
    let server = serve("pushctl.toml");
    let pages = TRANSPORTS.map(|transport| join(&server, "r1", transport, transport));
    server.wait_for_subscribers("r1", 4);
    let image = "<img src=x onerror='document.title=\"taken\"'>";
    let plain = [
        "100%",
        "curl says hello",
        "<script>document.title='taken'</script>",
        image,
    ];
    let mut expected = Vec::new();
    for text in plain.iter().filter(|text| !text.contains("script")) {
        server.publish("r1", text.replace('\'', "%27").replace('"', "%22"));
        expected.push(text.replace('\'', "%27").replace('"', "%22"));
    }
    // A name can be as hostile as a text.
    let forged = json!({"name": image, "text": image, "from": "x"}).to_string();
    let encoded: String = forged.bytes().map(|byte| format!("%{byte:02X}")).collect();
    server.publish("r1", encoded);
    let expected: Vec<String> = expected
        .iter()
        .map(|text| format!("without a name: {text}"))
        .chain([format!("{}: {image}", &image[..40])])
        .collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    for page in &pages {
        shows(page, &expected);
        assert_eq!(page.evaluate("document.title"), "#r1 · Chat");
        assert_eq!(
            page.evaluate("document.querySelectorAll('#messages img, #messages script').length"),
            0
        );
    }
    // What breaks out of the templates: nobody shows it, and everybody gets what comes after it. In
    // a script, JSON is a text.
    let json = [
        r#"x","text":{"toString":1},"q":""#,
        r#"x","text":null,"q":""#,
        r#"x","time":7,"tag":{},"text":[1],"q":""#,
    ];
    for hostile in ["\"');</script><script>parent.document.title='taken'</script>"]
        .iter()
        .chain(&json)
    {
        server.publish("r1", hostile);
    }
    let shown_as_text: Vec<String> = json
        .iter()
        .map(|text| format!("without a name: {text}"))
        .collect();
    let shown_as_text: Vec<&str> = shown_as_text.iter().map(String::as_str).collect();
    say(&pages[0], "still here");
    for (page, name) in pages.iter().zip(TRANSPORTS) {
        let mine = if name == "ev" { "ev*" } else { "ev" };
        let spoilt = if name == "iframe" {
            &shown_as_text[..]
        } else {
            &[]
        };
        shows(
            page,
            &[&expected[..], spoilt, &[&format!("{mine}: still here")]].concat(),
        );
        assert_eq!(page.evaluate("document.title"), "#r1 · Chat");
    }
    server.stop();
}

#[test]
fn a_script_that_is_published_has_no_rights_on_the_site() {
    for name in ["nginx.conf", "pushctl.toml"] {
        let server = serve(name);
        server.publish(
            "r1",
            "');document.title=document.visibilityState+origin;\
                              try{localStorage.x=1;document.title='taken'}catch{}//",
        );
        let page = Page::open(server.url());
        // The document never ends, so it never has loaded.
        page.send(
            "Page.navigate",
            &json!({"url": format!("{}/iframe/r1.b1", server.url())}),
        );
        page.wait("document.title === 'visiblenull'");
        assert_eq!(page.evaluate("origin"), "null", "{name}");
        for path in ["/ev/r1.b1", "/lp/r1.b1", "/channels-stats?id=r1"] {
            let mut connection = server.connect();
            connection.send_request("GET", path, &[], None);
            assert_eq!(
                connection.read_head().get("X-Content-Type-Options"),
                Some("nosniff"),
                "{name} {path}"
            );
        }
        server.stop();
    }
}

#[test]
fn a_page_goes_on_where_it_was_when_the_network_comes_back() {
    let server = serve("nginx.conf");
    std::thread::scope(|scope| {
        for transport in TRANSPORTS {
            let server = &server;
            scope.spawn(move || outage(server, transport));
        }
    });
    server.stop();
}

/// One page loses its connection, misses messages, cannot send, and has everything once in the end.
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
fn another_transport_or_room_is_chosen_in_the_settings() {
    let server = serve("nginx.conf");
    let page = join(&server, "r1", "anna", "ev");
    say(&page, "one");
    shows(&page, &["anna*: one"]);
    let choose = |name: &str, room: &str, transport: &str| {
        page.evaluate(&format!(
            "document.querySelector('#toggle').click();
             document.querySelector('#name').value = {};
             document.querySelector('#room').value = {};
             document.querySelector('#transport').value = {};
             document.querySelector('#settings').requestSubmit()",
            quoted(name),
            quoted(room),
            quoted(transport)
        ));
    };
    // The same room goes on after the last message: nothing comes twice.
    choose("Anna B.", "r1", "ws");
    page.wait("document.querySelector('#state-text').textContent === 'WebSocket'");
    say(&page, "two");
    shows(&page, &["anna*: one", "Anna B.*: two"]);
    choose("Anna B.", "r2", "lp");
    page.wait("document.querySelector('#state-text').textContent === 'long-polling'");
    shows(&page, &[]);
    say(&page, "hello r2");
    shows(&page, &["Anna B.*: hello r2"]);
    choose("Anna B.", "r1", "iframe");
    page.wait("document.querySelector('#state-text').textContent === 'iframe'");
    shows(&page, &["anna*: one", "Anna B.*: two"]);
    server.stop();
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

/// The server may be gone without a word: then only the pings that do not come show it.
#[test]
fn a_frame_notices_a_dead_server_within_ten_seconds() {
    let server = serve("nginx.conf");
    let page = Page::open(&format!(
        "{}/?name=anna&transport=iframe#dead",
        server.url()
    ));
    let silence = page.evaluate("limits.silence").as_u64().expect("a number");
    // It is looked at twice in a second.
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
