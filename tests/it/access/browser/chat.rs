//! The chat of `examples/`: pages of several people in one room, over every transport.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::page::Page;
use super::quoted;
use crate::support::Server;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/chat");
pub(super) const TRANSPORTS: [&str; 4] = ["ev", "ws", "lp", "iframe"];

/// A file of the example's configuration.
pub(super) fn file(name: &str) -> PathBuf {
    Path::new(EXAMPLE).join(name)
}

/// Starts the example as its README does, on a free port.
pub(super) fn serve(name: &str) -> Server {
    Server::start(&[
        "--config",
        file(name).to_str().expect("UTF-8"),
        "--listen",
        "127.0.0.1:0",
    ])
}

/// A participant in a room, with an established subscription.
pub(super) fn join(server: &Server, room: &str, name: &str, transport: &str) -> Page {
    let page = Page::open(&format!(
        "{}/?name={name}&transport={transport}#{room}",
        server.url()
    ));
    page.wait("document.querySelector('#state').dataset.state === 'on'");
    page
}

/// Types a message and sends it with the Enter key.
pub(super) fn say(page: &Page, text: &str) {
    page.evaluate("document.querySelector('#text').focus()");
    page.send("Input.insertText", &json!({"text": text}));
    for kind in ["keyDown", "keyUp"] {
        page.send(
            "Input.dispatchKeyEvent",
            &json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}),
        );
    }
}

/// The displayed messages: author (`*` for one's own) and text.
pub(super) const SHOWN: &str = "[...document.querySelectorAll('.message')].map(item =>
    item.querySelector('.by b').textContent + (item.classList.contains('mine') ? '*: ' : ': ') + \
    item.querySelector('.body').textContent)";

pub(super) fn shows(page: &Page, expected: &[&str]) {
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
        // Each message is displayed everywhere before the next is sent, which fixes the order.
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
    // Later participants receive the stored messages.
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
    // A text that breaks the templates is not displayed, and later messages still arrive. In a
    // script, JSON is a text.
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
    // The same room resumes after the last message, without duplicates.
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
