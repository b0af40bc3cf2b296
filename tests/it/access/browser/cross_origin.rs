//! Pages of another origin: `push_stream_allowed_origins` lets one in, and the browser keeps the
//! others out.

use super::page::Page;
use super::{list, page_of, server, server_with};
use crate::support::Server;

const LOCATIONS: &str = r#"
    push_stream_allowed_origins $allowed;
    location = /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
        push_stream_store_messages on; }
    location ~ ^/ev/(.+)$ { push_stream_subscriber eventsource; push_stream_channels_path $1; }
    location ~ ^/ws/(.+)$ { push_stream_subscriber websocket; push_stream_channels_path $1; }
    location ~ ^/sub/(.+)$ { push_stream_subscriber; push_stream_channels_path $1;
        push_stream_message_template "~text~\n"; }
    location ~ ^/lp/(.+)$ {
        push_stream_subscriber long-polling; push_stream_channels_path $1;
            push_stream_message_template "~text~\n";
    }
    location ~ ^/poll/(.+)$ { push_stream_subscriber polling; push_stream_channels_path $1; }"#;

/// A push server that lets pages of one site in; with the page of that site, and with one of a
/// stranger.
fn push_server() -> (Server, [(Server, Page); 2]) {
    let open = || {
        let site = server("");
        let page = page_of(&site);
        (site, page)
    };
    let friend = open();
    let stranger = open();
    let http = format!(
        "push_stream_shared_memory_size 10m; map $http_origin $allowed {{ default \
         'http://none.test'; {} $http_origin; }}",
        friend.0.url()
    );
    let push = server_with(&http, LOCATIONS);
    for (_, page) in [&friend, &stranger] {
        page.evaluate(&format!("base = '{}'; 0", push.url()));
    }
    (push, [friend, stranger])
}

#[test]
fn eventsource_of_an_allowed_origin() {
    let (push, [friend, stranger]) = push_server();
    push.publish("ch1", "stored");
    for (_, page) in [&friend, &stranger] {
        page.evaluate(
            "source = new EventSource(base + '/ev/ch1.b1');
             source.onopen = () => got.push('open');
             source.onmessage = event => got.push(event.data);
             source.onerror = () => got.push('error ' + source.readyState); 0",
        );
    }
    friend.1.expect("got", &list(&["open", "stored"]));
    stranger.1.expect("got", &list(&["error 2"]));
    push.wait_for_subscribers("ch1", 1);
    push.publish("ch1", "live");
    friend.1.expect("got", &list(&["open", "stored", "live"]));
    assert_eq!(stranger.1.evaluate("got"), list(&["error 2"]));
    push.stop();
}

#[test]
fn streams_and_polls_by_fetch_of_an_allowed_origin() {
    let (push, [friend, stranger]) = push_server();
    push.publish("ch1", "stored");
    // The headers require a preflight request.
    let read = |place: &str| {
        format!(
            "fetch(base + '{place}', {{headers: {{'If-Modified-Since': new Date(0).toUTCString(), \
             'If-None-Match': 'W/0'}}}}).then(async answer => {{
                 const reader = answer.body.getReader();
                 const text = new TextDecoder().decode((await reader.read()).value);
                 await reader.cancel();
                 return answer.status + ' ' + answer.headers.get('Last-Modified')?.length + ' ' + \
                 text;
             }}).catch(error => error.name)"
        )
    };
    for (place, expected) in [
        ("/sub/ch1", "200 undefined stored\n"),
        ("/lp/ch1", "200 29 stored\n"),
        ("/poll/ch1", "200 29 stored"),
    ] {
        assert_eq!(friend.1.evaluate(&read(place)), expected, "{place}");
        assert_eq!(stranger.1.evaluate(&read(place)), "TypeError", "{place}");
    }
    push.wait_for_subscribers("ch1", 0);
    push.stop();
}

#[test]
fn a_waiting_poll_of_an_allowed_origin() {
    let (push, [friend, stranger]) = push_server();
    // No preflight is needed: the request reaches the server, and the browser withholds the
    // response.
    for (_, page) in [&friend, &stranger] {
        page.evaluate(
            "fetch(base + '/lp/ch1').then(answer => answer.text()).then(text => got.push(text), \
             error => got.push(error.name)); 0",
        );
    }
    push.wait_for_subscribers("ch1", 2);
    push.publish("ch1", "for friends");
    friend.1.expect("got", &list(&["for friends\n"]));
    stranger.1.expect("got", &list(&["TypeError"]));
    push.stop();
}

#[test]
fn publishing_and_deleting_of_an_allowed_origin() {
    let (push, [friend, stranger]) = push_server();
    let publish = |text: &str| {
        format!(
            "fetch(base + '/pub?id=ch1', {{method: 'POST', headers: {{'Event-Id': 'e1'}}, body: \
             '{text}'}})
                 .then(async answer => answer.status + ' ' + (await \
                 answer.json()).published_messages).catch(error => error.name)"
        )
    };
    assert_eq!(stranger.1.evaluate(&publish("no")), "TypeError");
    assert_eq!(
        push.get("/pub?id=ch1").head.status,
        404,
        "nothing was published by the stranger"
    );
    assert_eq!(friend.1.evaluate(&publish("yes")), "200 1");
    let delete = "fetch(base + '/pub?id=ch1', {method: 'DELETE'}).then(answer => \
                  answer.status).catch(error => error.name)";
    assert_eq!(stranger.1.evaluate(delete), "TypeError");
    assert_eq!(
        push.get("/pub?id=ch1").head.status,
        200,
        "nothing was deleted by the stranger"
    );
    assert_eq!(friend.1.evaluate(delete), 200);
    push.stop();
}

#[test]
fn websockets_need_no_cors_permission() {
    let (push, [_, stranger]) = push_server();
    push.publish("ch1", "stored");
    stranger.1.evaluate(
        "socket = new WebSocket(base.replace('http', 'ws') + '/ws/ch1.b1');
         socket.onmessage = event => got.push(event.data);
         socket.onerror = () => got.push('error'); 0",
    );
    // Browsers leave the origin check to the server, here an `if` in the location.
    stranger.1.expect("got", &list(&["stored"]));
    push.stop();
}

#[test]
fn a_location_can_reject_websockets_of_other_origins() {
    let friend = server("");
    let stranger = server("");
    let pages = [page_of(&friend), page_of(&stranger)];
    let http = format!(
        "push_stream_shared_memory_size 10m; map $http_origin $is_ours {{ default 0; {} 1; }}",
        friend.url()
    );
    let push = server_with(
        &http,
        "location ~ ^/ws/(.+)$ { if ($is_ours = 0) { return 403; } push_stream_subscriber \
         websocket; push_stream_channels_path $1; }
         location = /pub { push_stream_publisher; push_stream_channels_path $arg_id; }",
    );
    for page in &pages {
        page.evaluate(&format!(
            "socket = new WebSocket('{}/ws/ch1'.replace('http', 'ws'));
             socket.onopen = () => got.push('open');
             socket.onmessage = event => got.push(event.data);
             socket.onerror = () => got.push('error'); 0",
            push.url()
        ));
    }
    pages[0].expect("got", &list(&["open"]));
    pages[1].expect("got", &list(&["error"]));
    push.publish("ch1", "for friends");
    pages[0].expect("got", &list(&["open", "for friends"]));
    assert_eq!(pages[1].evaluate("got"), list(&["error"]));
    push.stop();
}
