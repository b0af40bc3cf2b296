//! Hidden iframes and JSONP, the transports before EventSource to which `pushstream.js` still falls
//! back.

use serde_json::json;

use super::page::Page;
use super::{list, page_of, publish_with, server_with};
use crate::support::Server;

/// The frame of the module's JavaScript client, with its script that agrees on a domain with the
/// page around it.
const LOCATIONS: &str = concat!(
    r#"
    location = /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; }
    location ~ ^/frame/(.+)$ {
        push_stream_subscriber;
        push_stream_channels_path $1;
        push_stream_last_received_message_time "$arg_time";
        push_stream_last_received_message_tag "$arg_tag";
        push_stream_header_template "#,
    r#""<html><head><meta http-equiv=\"Content-Type\" content=\"text/html;"#,
    r#" charset=utf-8\">\r\n<script type=\"text/javascript\">\r\nwindow.onError = null;\r\n"#,
    r#"try{ document.domain = (window.location.hostname.match(/^(\d{1,3}\.){3}\d{1,3}$/))"#,
    r#" ? window.location.hostname : window.location.hostname.split('.').slice(-1 * Math"#,
    r#".max(window.location.hostname.split('.').length - 1, (window.location.hostname"#,
    r#".match(/(\w{4,}\.\w{2}|\.\w{3,})$/) ? 2 : 3))).join('.');}catch(e){}\r\n"#,
    r#"parent.PushStream.register(this);\r\n</script>\r\n</head>\r\n<body>";
        push_stream_message_template
            "<script>p(~id~,'~channel~','~text~','~event-id~','~time~','~tag~');</script>";
        push_stream_footer_template "</body></html>";
        default_type "text/html; charset=utf-8";
        push_stream_ping_message_interval 100ms;
        add_header Origin-Agent-Cluster "?0";
    }
    location = /around {
        default_type text/html;
        add_header Origin-Agent-Cluster "?0";
        return 200
            "<!doctype html><title>around</title><script>document.domain='shop.test'</script>";
    }
    location ~ ^/padded/(.+)$ {
        push_stream_subscriber;
        push_stream_channels_path $1;
        push_stream_header_template "0123456789012345678901234";
        push_stream_message_template "~text~";
        push_stream_padding_by_user_agent "Firefox,4096,0:Headless[C]hrome,925,512";
    }
    location ~ ^/jsonp/(.+)$ {
        push_stream_subscriber long-polling;
        push_stream_channels_path $1;
        push_stream_last_received_message_time "$arg_time";
        push_stream_last_received_message_tag "$arg_tag";
        push_stream_message_template
            "{\"id\":~id~,\"text\":\"~text~\",\"time\":\"~time~\",\"tag\":\"~tag~\"}";
        push_stream_longpolling_connection_ttl 200ms;
    }"#
);

/// A script element needs an executable response even after a time-out.
const HTTP: &str = "push_stream_shared_memory_size 10m; push_stream_timeout_with_body on;";

/// Sets up a frame like the module's client: the callback for messages and a listener for its end.
const CLIENT: &str = "
    pings = 0;
    got = [];
    PushStream = { register(frame) { got.push('registered'); frame.p = take; } };
    take = (id, channel, text, event, time, tag) => { if (id === -1) pings++; else { got.push([id, \
    channel, text, event].join(' ')); cursor = {time, tag}; } };
    open_frame = url => {
        const frame = document.createElement('iframe');
        frame.style.display = 'none';
        frame.onload = () => got.push('ended');
        frame.src = url;
        document.body.append(frame);
    }; 0";

#[test]
fn messages_run_as_scripts_in_a_hidden_frame_on_arrival() {
    let server = server_with(HTTP, LOCATIONS);
    publish_with(&server, "ch1", "stored", &[("Event-Id", "e1")]);
    let page = page_of(&server);
    page.evaluate(CLIENT);
    page.evaluate("open_frame('/frame/ch1.b1')");
    page.expect("got", &list(&["registered", "1 ch1 stored e1"]));
    server.wait_for_subscribers("ch1", 1);
    server.publish("ch1", "Grüße ☃");
    page.expect(
        "got",
        &list(&["registered", "1 ch1 stored e1", "2 ch1 Grüße ☃ "]),
    );
    page.wait("pings > 1");
    server
        .connect()
        .request("DELETE", "/pub?id=ch1", &[], Some(b"bye"));
    page.expect(
        "got",
        &list(&[
            "registered",
            "1 ch1 stored e1",
            "2 ch1 Grüße ☃ ",
            "-2 ch1 bye ",
            "ended",
        ]),
    );
    server.stop();
}

#[test]
fn a_frame_resumes_after_its_last_message() {
    let server = server_with(HTTP, LOCATIONS);
    ["one", "two", "three"]
        .iter()
        .for_each(|text| drop(server.publish("ch1", text)));
    let page = page_of(&server);
    page.evaluate(CLIENT);
    page.evaluate("open_frame('/frame/ch1.b2')");
    page.expect("got", &list(&["registered", "2 ch1 two ", "3 ch1 three "]));
    page.evaluate("got = []; document.querySelector('iframe').remove()");
    server.wait_for_subscribers("ch1", 0);
    server.publish("ch1", "four");
    page.evaluate(
        "open_frame('/frame/ch1?time=' + encodeURIComponent(cursor.time) + '&tag=' + cursor.tag)",
    );
    page.expect("got", &list(&["registered", "4 ch1 four "]));
    server.stop();
}

#[test]
fn frames_of_a_sister_domain_agree_on_the_domain_above() {
    let server = server_with(HTTP, LOCATIONS);
    let port = server
        .address()
        .rsplit(':')
        .next()
        .expect("an address has a port")
        .to_owned();
    let page = Page::open(&format!("http://www.shop.test:{port}/around"));
    page.evaluate(CLIENT);
    page.evaluate(&format!(
        "open_frame('http://push.shop.test:{port}/frame/ch1')"
    ));
    page.expect("got", &list(&["registered"]));
    server.wait_for_subscribers("ch1", 1);
    server.publish("ch1", "one");
    server.publish("ch1", "two");
    page.expect("got", &list(&["registered", "1 ch1 one ", "2 ch1 two "]));
    // Without the same domain above it the browser keeps the frame from the page.
    let other = Page::open(&format!("http://www.other.test:{port}/page"));
    other.evaluate(CLIENT);
    other.evaluate(&format!(
        "open_frame('http://push.shop.test:{port}/frame/ch1')"
    ));
    server.wait_for_subscribers("ch1", 2);
    server.connect().request("DELETE", "/pub?id=ch1", &[], None);
    other.expect("got", &list(&["ended"]));
    page.expect(
        "got",
        &list(&[
            "registered",
            "1 ch1 one ",
            "2 ch1 two ",
            "-2 ch1 Channel deleted ",
            "ended",
        ]),
    );
    server.stop();
}

#[test]
fn padding_is_chosen_by_the_browsers_user_agent() {
    let server = server_with(HTTP, LOCATIONS);
    let page = page_of(&server);
    page.evaluate(
        "text = '';
         (async () => {
             const reader = (await fetch('/padded/ch1')).body.pipeThrough(new \
             TextDecoderStream()).getReader();
             for (let part; !(part = await reader.read()).done;) text += part.value;
         })(); 0",
    );
    server.wait_for_subscribers("ch1", 1);
    server.publish("ch1", "twelve bytes");
    // 925 - 25 lacks 900: the next hundred but the largest one, which is 925 itself; 512 - 12 lacks
    // 500: 600.
    let expected = format!(
        "0123456789012345678901234{}twelve bytes{}",
        "\r\n".repeat(500),
        "\r\n".repeat(300)
    );
    page.wait(&format!("text.length >= {}", expected.len()));
    assert_eq!(page.evaluate("text"), expected);
    server.stop();
}

/// Polls by script elements, each with the cursor of the last message, as `pushstream.js` does.
const JSONP: &str = "
    timeouts = 0; cursor = {time: new Date(0).toUTCString(), tag: ''}; stop = false;
    ask = () => {
        const script = document.createElement('script');
        script.src = base + '/jsonp/ch1?callback=take&time=' + encodeURIComponent(cursor.time) + \
        '&tag=' + cursor.tag;
        script.onload = () => { script.remove(); if (!stop) ask(); };
        script.onerror = () => got.push('error');
        document.head.append(script);
    };
    take = messages => {
        for (const {id, text, time, tag} of messages) {
            if (id === -3) { timeouts++; continue; }
            got.push(text);
            cursor = {time, tag};
        }
    };
    ask(); 0";

fn jsonp(server: &Server, page: &Page) {
    server.publish("ch1", "stored 1");
    server.publish("ch1", "stored 2");
    page.evaluate(&format!("base = '{}'; {JSONP}", server.url()));
    page.expect("got", &list(&["stored 1", "stored 2"]));
    page.wait("timeouts >= 2");
    let mut expected = vec!["stored 1".to_owned(), "stored 2".to_owned()];
    for number in 1..=20 {
        server.publish("ch1", format!("message {number} ☃"));
        expected.push(format!("message {number} ☃"));
    }
    page.expect("got", &json!(expected));
    page.evaluate("stop = true");
}

#[test]
fn jsonp_loses_and_repeats_nothing() {
    let server = server_with(HTTP, LOCATIONS);
    let page = page_of(&server);
    jsonp(&server, &page);
    server.stop();
}

#[test]
fn jsonp_needs_no_permission_for_other_origins() {
    let (server, site) = (server_with(HTTP, LOCATIONS), super::server(""));
    let page = page_of(&site);
    jsonp(&server, &page);
    server.stop();
}
