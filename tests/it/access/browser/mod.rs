//! Tests in a real browser: headless Chromium.
//!
//! One Chromium serves all tests. The tests inject their pages; scripts collect received messages
//! in `window.got`.

mod builtin;
mod chat;
mod chat_networks;
mod chromium;
mod cross_origin;
mod frames;
mod page;
mod transports;

use page::Page;

use crate::support::{Server, conf};

/// A page without content, where tests run their scripts.
const PAGE: &str = "location = /page { default_type text/html; return 200 '<!doctype html><meta \
                    charset=utf-8><title>page</title><script>got=[]</script>'; }\n";

/// A server with the page and these locations.
fn server(locations: &str) -> Server {
    server_with("push_stream_shared_memory_size 10m;", locations)
}

/// The same with directives of the http level.
fn server_with(http: &str, locations: &str) -> Server {
    Server::with_conf(&conf(http, &format!("{PAGE}{STATISTICS}{locations}")))
}

/// Timeout of the tests' polls.
const STATISTICS: &str = "location = /channels-stats { push_stream_channels_statistics; \
                          push_stream_channels_path $arg_id; }\n";

/// Opens the page of a server at the address that the server prints.
fn page_of(server: &Server) -> Page {
    Page::open(&format!("{}/page", server.url()))
}

/// Publishes with headers; it must succeed.
fn publish_with(server: &Server, channel: &str, text: &str, headers: &[(&str, &str)]) {
    let response = server.connect().request(
        "POST",
        &format!("/pub?id={channel}"),
        headers,
        Some(text.as_bytes()),
    );
    assert_eq!(
        response.head.status, 200,
        "publish to {channel}: {response:?}"
    );
}

/// A text as a JavaScript string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `one`, `two`, ... as a JSON array for comparisons.
fn list(texts: &[&str]) -> serde_json::Value {
    texts.iter().copied().collect()
}
