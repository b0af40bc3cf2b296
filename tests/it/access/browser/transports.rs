//! EventSource, WebSocket, fetch of streams and long-polling by fetch, as pages use them, from the
//! same origin.

use serde_json::json;

use super::{list, page_of, publish_with, server};

const LOCATIONS: &str = r#"
    location = /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; }
    location ~ ^/ev/(.+)$ { push_stream_subscriber eventsource; push_stream_channels_path $1;
        push_stream_subscriber_connection_ttl 20s; }
    location ~ ^/short/(.+)$ { push_stream_subscriber eventsource; push_stream_channels_path $1;
        push_stream_subscriber_connection_ttl 300ms; }
    location ~ ^/ws/(.+)$ { push_stream_subscriber websocket; push_stream_channels_path $1;
        push_stream_websocket_allow_publish on; }
    location ~ ^/sub/(.+)$ { push_stream_subscriber; push_stream_channels_path $1;
        push_stream_message_template "~text~\n"; push_stream_footer_template "end\n"; }
    location ~ ^/lp/(.+)$ {
        push_stream_subscriber long-polling; push_stream_channels_path $1;
            push_stream_message_template "~text~\n";
        push_stream_longpolling_connection_ttl 200ms;
    }"#;

/// Polls with the cursor of the previous response until `stop` is set.
const LOOP: &str = r"
    got = []; statuses = []; stop = false;
    done = (async () => {
        let headers = {'If-Modified-Since': new Date(0).toUTCString()};
        while (!stop) {
            const answer = await fetch('/lp/ch1', {headers});
            statuses.push(answer.status);
            got.push(...(await answer.text()).split('\n').slice(0, -1));
            if (answer.status === 200) headers = {
                'If-Modified-Since': answer.headers.get('Last-Modified'),
                'If-None-Match': answer.headers.get('Etag'),
            };
        }
    })(); 0";

#[test]
fn eventsource_receives_event_ids_and_types() {
    let server = server(LOCATIONS);
    server.publish("ch1", "stored");
    let page = page_of(&server);
    page.evaluate(
        "source = new EventSource('/ev/ch1.b1');
         source.onopen = () => got.push('open');
         source.onmessage = event => got.push(event.type + ' ' + event.lastEventId + ' ' + \
         event.data);
         source.addEventListener('price', source.onmessage); 0",
    );
    page.expect("got", &list(&["open", "message  stored"]));
    server.wait_for_subscribers("ch1", 1);
    publish_with(
        &server,
        "ch1",
        "wörter\nin zwei Zeilen",
        &[("Event-Id", "a1")],
    );
    publish_with(
        &server,
        "ch1",
        "12.50",
        &[("Event-Id", "a2"), ("Event-Type", "price")],
    );
    server.publish("ch1", "no id");
    page.expect(
        "got",
        &list(&[
            "open",
            "message  stored",
            "message a1 wörter\nin zwei Zeilen",
            "price a2 12.50",
            "message a2 no id",
        ]),
    );
    page.evaluate("source.close()");
    server.wait_for_subscribers("ch1", 0);
    server.stop();
}

#[test]
fn eventsource_resumes_after_its_last_event() {
    let server = server(LOCATIONS);
    let page = page_of(&server);
    page.evaluate(
        "opened = 0;
         source = new EventSource('/short/ch1');
         source.onopen = () => opened++;
         source.onmessage = event => got.push(event.data); 0",
    );
    page.wait("opened === 1");
    for text in ["one", "two"] {
        publish_with(&server, "ch1", text, &[("Event-Id", text)]);
    }
    page.expect("got", &list(&["one", "two"]));
    // The server ends the stream; the browser waits and connects by itself, with the id of the last
    // event.
    page.wait("source.readyState === EventSource.CONNECTING");
    server.wait_for_subscribers("ch1", 0);
    for text in ["three", "four"] {
        publish_with(&server, "ch1", text, &[("Event-Id", text)]);
    }
    page.wait("opened === 2");
    page.expect("got", &list(&["one", "two", "three", "four"]));
    server.stop();
}

#[test]
fn a_websocket_receives_and_publishes_in_order() {
    let server = server(LOCATIONS);
    server.publish("ch1", "stored");
    let page = page_of(&server);
    page.evaluate(
        "socket = new WebSocket('ws://' + location.host + '/ws/ch1.b1');
         socket.onopen = () => got.push('open');
         socket.onmessage = event => got.push(event.data);
         socket.onclose = event => got.push('close ' + event.code + ' ' + event.wasClean); 0",
    );
    page.expect("got", &list(&["open", "stored"]));
    page.evaluate("for (let i = 1; i <= 50; i++) socket.send('sent ' + i + ' ☃')");
    let mut expected = vec!["open".to_owned(), "stored".to_owned()];
    expected.extend((1..=50).map(|number| format!("sent {number} ☃")));
    page.expect("got", &json!(expected));
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?id=ch1", &[], None)
            .head
            .status,
        200
    );
    expected.extend(["Channel deleted".to_owned(), "close 1005 true".to_owned()]);
    page.expect("got", &json!(expected));
    server.stop();
}

#[test]
fn a_page_reads_a_stream_incrementally() {
    let server = server(LOCATIONS);
    let page = page_of(&server);
    page.evaluate(
        "(async () => {
            const reader = (await fetch('/sub/ch1')).body.pipeThrough(new \
            TextDecoderStream()).getReader();
            for (let rest = ''; ;) {
                const {value, done} = await reader.read();
                if (done) return got.push('done');
                const lines = (rest + value).split('\\n');
                rest = lines.pop();
                got.push(...lines);
            }
        })(); 0",
    );
    server.wait_for_subscribers("ch1", 1);
    server.publish("ch1", "one");
    page.expect("got", &list(&["one"]));
    server.publish("ch1", "zwei ☃");
    page.expect("got", &list(&["one", "zwei ☃"]));
    server.connect().request("DELETE", "/pub?id=ch1", &[], None);
    page.expect(
        "got",
        &list(&["one", "zwei ☃", "Channel deleted", "end", "done"]),
    );
    server.stop();
}

#[test]
fn long_polls_by_fetch_lose_and_repeat_nothing() {
    let server = server(LOCATIONS);
    server.publish("ch1", "stored");
    let page = page_of(&server);
    page.evaluate(LOOP);
    page.expect("got", &list(&["stored"]));
    // 304 responses reach the page; the browser cache does not replace them.
    page.wait("statuses.filter(status => status === 304).length >= 2");
    let mut expected = vec!["stored".to_owned()];
    for number in 1..=40 {
        server.publish("ch1", format!("message {number}"));
        expected.push(format!("message {number}"));
    }
    page.expect("got", &json!(expected));
    page.evaluate("stop = true; done");
    assert_eq!(page.evaluate("got"), json!(expected));
    server.stop();
}
