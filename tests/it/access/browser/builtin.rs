//! The built-in locations in a browser: rejected requests of other origins, and the server's own
//! page.

use super::page::Page;
use super::{list, page_of, quoted, server};
use crate::support::{Relay, Server, object};

/// A built-in server with a stored message, and a page of another port that has its address.
fn push_and_page(args: &[&str]) -> (Server, Server, Page) {
    let site = server("");
    let args: Vec<String> = args
        .iter()
        .map(|arg| arg.replace("SITE", site.url()))
        .collect();
    let push = Server::start(&args.iter().map(String::as_str).collect::<Vec<_>>());
    push.publish("ch1", "secret");
    let page = page_of(&site);
    page.evaluate(&format!("base = {}; 0", quoted(push.url())));
    (push, site, page)
}

fn published(push: &Server) -> u64 {
    object(&push.get("/pub?id=ch1").body)["published_messages"]
        .as_u64()
        .expect("a number")
}

/// All ways of a page to send something; each resolves when the browser is done with it.
const SENDING: [&str; 6] = [
    "fetch(base + '/pub?id=ch1', {method: 'POST', mode: 'no-cors', body: 'evil'}).then(() => \
     'sent', error => error.name)",
    "fetch(base + '/pub?id=ch1', {method: 'POST', body: 'evil'}).then(answer => answer.status, \
     error => error.name)",
    "fetch(base + '/pub?id=ch1', {method: 'DELETE'}).then(answer => answer.status, error => \
     error.name)",
    "navigator.sendBeacon(base + '/pub?id=ch1', 'evil')",
    "new Promise(done => {
         const frame = document.createElement('iframe'), form = document.createElement('form');
         frame.name = 'target'; document.body.append(frame);
         form.method = 'POST'; form.target = 'target'; form.action = base + '/pub?id=ch1'; \
         document.body.append(form);
         frame.onload = () => done('loaded'); form.submit();
     })",
    "new Promise(done => {
         const socket = new WebSocket(base.replace('http', 'ws') + '/ws/ch1');
         socket.onopen = () => { socket.send('evil'); done('open'); };
         socket.onerror = () => done('error');
     })",
];

#[test]
fn a_page_of_another_origin_can_neither_write_nor_read() {
    let (push, _site, page) = push_and_page(&[]);
    for script in SENDING {
        page.evaluate(script);
    }
    assert_eq!(page.evaluate(SENDING[5]), "error", "a websocket");
    // Reading as a script, as events, as a frame.
    assert_eq!(
        page.evaluate(
            "new Promise(done => {
                 window.cb = messages => done(messages[0].text);
                 const script = document.createElement('script');
                 script.onerror = () => done('error'); script.src = base + \
                 '/jsonp/ch1.b1?callback=cb'; document.head.append(script);
             })"
        ),
        "error"
    );
    page.evaluate(
        "source = new EventSource(base + '/ev/ch1.b1'); source.onmessage = event => \
                   got.push(event.data); source.onerror = () => got.push('error'); 0",
    );
    page.expect("got", &list(&["error"]));
    page.evaluate(
        "new Promise(done => {
             window.PushStream = {register: frame => { frame.p = (id, channel, text) => \
             got.push(text); }};
             const frame = document.createElement('iframe'); frame.onload = () => done(0);
             frame.src = base + '/iframe/ch1.b1'; document.body.append(frame);
         })",
    );
    assert_eq!(page.evaluate("got"), list(&["error"]));
    assert_eq!(published(&push), 1, "nothing was published or deleted");
    assert_eq!(push.subscribers("ch1"), 0);
    push.stop();
}

#[test]
fn a_script_without_origin_and_referrer_reads_nothing() {
    let (push, _site, page) = push_and_page(&[]);
    let port = push.address().rsplit(':').next().expect("a port");
    // To browsers 0.0.0.0 is no loopback address, though it leads to one: they send no
    // Sec-Fetch-Site there.
    for host in ["0.0.0.0", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433"] {
        let script = format!(
            "new Promise(done => {{
                 window.cb = messages => done(messages[0].text);
                 const script = document.createElement('script'); script.referrerPolicy = \
                 'no-referrer';
                 script.onerror = () => done('error'); script.src = \
                 'http://{host}:{port}/jsonp/ch1.b1?callback=cb';
                 document.head.append(script);
             }})"
        );
        assert_eq!(page.evaluate(&script), "error", "{host}");
    }
    push.stop();
}

#[test]
fn a_page_of_an_allowed_origin_may_write_and_read() {
    let (push, _site, page) = push_and_page(&["--allow-origin", "SITE"]);
    page.evaluate(
        "source = new EventSource(base + '/ev/ch1.b1'); source.onmessage = event => \
         got.push(JSON.parse(event.data).text);
         socket = new WebSocket(base.replace('http', 'ws') + '/ws/ch1'); socket.onopen = () => \
         got.push('open'); 0",
    );
    push.wait_for_subscribers("ch1", 2);
    page.wait("got.length === 2");
    page.evaluate("got = []; socket.send('by websocket'); 0");
    page.expect("got", &list(&["by websocket"]));
    let publish = "fetch(base + '/pub?id=ch1', {method: 'POST', headers: {'Event-Id': 'e1'}, body: \
                   'by fetch'}).then(answer => answer.status)";
    assert_eq!(page.evaluate(publish), 200);
    page.expect("got", &list(&["by websocket", "by fetch"]));
    let poll = "fetch(base + '/poll/ch1.b1', {headers: {'If-None-Match': '0'}}).then(answer => \
                answer.headers.get('Etag') !== null && answer.headers.get('Last-Modified') !== \
                null)";
    assert_eq!(page.evaluate(poll), true);
    let script = "new Promise(done => {
         window.cb = messages => done(messages[0].text);
         const script = document.createElement('script');
         script.onerror = () => done('error'); script.src = base + '/jsonp/ch1.b1?callback=cb'; \
         document.head.append(script);
     })";
    assert_eq!(page.evaluate(script), "by fetch");
    assert_eq!(
        page.evaluate(
            "fetch(base + '/pub?id=ch1', {method: 'DELETE'}).then(answer => answer.status)"
        ),
        200
    );
    push.stop();
}

#[test]
fn dns_rebinding_reads_no_data() {
    let push = Server::start(&[]);
    push.publish("ch1", "secret");
    let port = push
        .address()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    // To the browser the page and the server have one origin.
    let page = Page::open(&format!("http://rebound.test:{port}/"));
    assert!(
        page.evaluate("document.body.textContent")
            .as_str()
            .is_some_and(|text| text.contains("--server-name"))
    );
    for (method, path) in [
        ("GET", "/poll/ch1.b1"),
        ("POST", "/pub?id=ch1"),
        ("DELETE", "/pub?id=ch1"),
    ] {
        let ask = format!(
            "fetch('{path}', {{method: '{method}', body: '{method}' === 'POST' ? 'evil' : \
             undefined}}).then(answer => answer.status)"
        );
        assert_eq!(page.evaluate(&ask), 421, "{method} {path}");
    }
    assert_eq!(published(&push), 1);
    push.stop();
}

#[test]
fn the_javascript_frame_receives_the_exact_text() {
    let push = Server::start(&[]);
    let texts = [
        "</script><script>parent.got.push('run')</script>",
        "<!--<script>",
        "'\"\\\r\n\t\u{2028}\u{2029}\0&lt;",
        "w\u{f6}rter \u{1f600}",
    ];
    for text in texts {
        push.publish("ch1", text);
    }
    let page = Page::open(&format!("{}/", push.url()));
    page.evaluate(
        "got = []; window.PushStream = {register: frame => { frame.p = (id, channel, text) => { if \
         (id > 0) got.push(text); }; }};
         frame = document.createElement('iframe'); frame.src = '/iframe/ch1.b9'; \
         document.body.append(frame); 0",
    );
    page.expect("got", &list(&texts));
    push.stop();
}

#[test]
fn commands_on_the_page_are_quoted_for_shells() {
    let push = Server::start(&[]);
    let page = Page::open(&format!("{}/", push.url()));
    page.evaluate(
        "document.getElementById('channel').value = \"it's *?\"; \
                   document.getElementById('channel').onchange(); 0",
    );
    let shown = page.evaluate("document.getElementById('shell').textContent");
    let lines: Vec<&str> = shown.as_str().expect("a text").lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for shell in ["bash", "zsh"] {
        for line in &lines {
            // The response as curl receives it.
            let script = format!("curl() {{ printf '<%s>' \"$@\"; }}; {line}");
            let output = std::process::Command::new(shell)
                .args(["-c", &script])
                .output()
                .expect("the shell is installed");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success() && text.contains("it%27s%20*%3F>"),
                "{shell}: {line}\n{text}\n{output:?}"
            );
        }
    }
    push.stop();
}

#[test]
fn a_plain_eventsource_loses_and_repeats_nothing_across_reconnects() {
    let push = Server::start(&[]);
    let relay = Relay::to(push.address());
    let page = Page::open(&format!("{}/", relay.url()));
    page.evaluate(
        "got = []; opened = 0;
         plain = new EventSource('/ev/a/b'); plain.onopen = () => opened++; plain.onmessage = \
         event => got.push(JSON.parse(event.data).text);
         last = new EventSource('/ev/c.b2'); texts = []; last.onopen = () => opened++; \
         last.onmessage = event => texts.push(JSON.parse(event.data).text); 0",
    );
    page.wait("opened === 2");
    let mut sent = Vec::new();
    for round in 0..3 {
        // The first round precedes every message.
        relay.take_away();
        for (channel, text) in [("b", "x"), ("a", "y"), ("a", "z")] {
            let text = format!("{text}{round}");
            push.publish(channel, &text);
            push.publish("c", &text);
            sent.push(text);
        }
        relay.restore();
        page.wait(&format!(
            "got.length >= {0} && texts.length >= {0}",
            sent.len()
        ));
    }
    let expected = serde_json::Value::from(sent);
    assert_eq!(
        (page.evaluate("got"), page.evaluate("texts")),
        (expected.clone(), expected)
    );
    push.stop();
}

#[test]
fn the_page_of_the_server_publishes_and_follows() {
    let push = Server::start(&[]);
    let page = Page::open(&format!("{}/", push.url()));
    page.wait("document.getElementById('state').textContent.startsWith('Following')");
    page.evaluate(
        "document.getElementById('text').value = '<b>hello</b>'; \
                   document.querySelector('form').requestSubmit(); 0",
    );
    page.wait("document.querySelectorAll('#log li').length === 1");
    assert_eq!(
        page.evaluate("document.querySelector('#log li').textContent"),
        "ch1 #1  <b>hello</b>"
    );
    push.stop();
}
