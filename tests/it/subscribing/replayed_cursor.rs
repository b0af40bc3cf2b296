//! The cursor of a replayed poll is the one that a routed poll would read.

use crate::support::{Server, conf};

#[test]
fn a_poll_with_two_spellings_of_a_header_is_answered_alike_each_time() {
    let locations = "
        location /pub { push_stream_publisher; push_stream_channels_path $arg_id;
            push_stream_store_messages on; }
        location /lp { push_stream_subscriber long-polling; push_stream_channels_path $arg_id;
            push_stream_longpolling_connection_ttl 1s; }";
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 10m; underscores_in_headers on;",
        locations,
    ));
    server.publish("a", "x");
    let past = "Thu, 01 Jan 1970 00:00:01 GMT";
    let future = "Thu, 01 Jan 2099 00:00:01 GMT";
    let status = |connection: &mut crate::support::Connection, tag: &str| {
        let headers = [
            ("If_Modified_Since", future),
            ("If-Modified-Since", past),
            ("If-None-Match", tag),
        ];
        connection
            .request("GET", "/lp?id=a", &headers, None)
            .head
            .status
    };
    let mut kept = server.connect();
    for tag in ["0", "1", "0"] {
        let expected = status(&mut server.connect(), tag);
        assert_eq!(status(&mut kept, tag), expected, "tag {tag}");
    }
    server.stop();
}
