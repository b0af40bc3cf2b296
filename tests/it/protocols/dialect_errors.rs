//! Configurations of NHPM and nchan that are rejected, and back-ends that fail.

use super::dialects::post;
use crate::support::{Server, conf};

#[test]
fn a_group_is_closed_to_ids_with_slashes() {
    let locations = "
        location = /secret { nchan_publisher; nchan_channel_group secret; nchan_channel_id \
        $arg_id; }
        location = /open { nchan_subscriber intervalpoll; nchan_channel_id $arg_id; }
        location ~ ^/path/(.*)$ { nchan_subscriber intervalpoll; nchan_channel_id $1; }";
    let server = Server::with_conf(&conf("", locations));
    assert_eq!(post(&server, "/secret?id=x", &[], "hidden").0, 202);
    for path in [
        "/open?id=secret/x",
        "/path/secret/x",
        "/path/secret%2fx",
        "/open?id=/secret/x",
    ] {
        assert_eq!(server.get(path).head.status, 304, "{path}");
    }
}

#[test]
fn an_unreachable_back_end_denies_access() {
    let closed = crate::support::free_port();
    let locations = "
        location = /ps { nchan_pubsub; nchan_channel_id $arg_id; nchan_authorize_request /auth; }
        location = /nowhere { nchan_pubsub; nchan_channel_id $arg_id; nchan_authorize_request \
        /missing; }
        location = /auth { internal; proxy_pass http://127.0.0.1:PORT/; }";
    let locations = &locations.replace("PORT", &closed.to_string());
    let server = Server::with_conf(&conf("", locations));
    for path in ["/ps?id=c", "/nowhere?id=c"] {
        assert_eq!(server.get(path).head.status, 502, "{path}");
        assert_eq!(post(&server, path, &[], "x").0, 502, "{path}");
    }
    assert_eq!(server.get("/auth").head.status, 404, "it is internal");
}

#[test]
fn a_silent_back_end_times_out() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let locations = format!(
        "location = /ps {{ nchan_pubsub; nchan_channel_id $arg_id; nchan_authorize_request /auth; }}
        location = /auth {{ internal; proxy_pass http://{address}/; }}"
    );
    let server = Server::try_with_conf(&conf("", &locations), &["--hook-timeout", "300ms"])
        .expect("a server");
    assert_eq!(server.get("/ps?id=c").head.status, 504);
}

/// Directives of a location, and the error that they cause.
const INVALID_DIRECTIVES: [(&str, &str); 22] = [
    ("push_subscriber foo;", "invalid push_subscriber value: foo"),
    (
        "push_subscriber a b;",
        "invalid number of arguments in \"push_subscriber\" directive",
    ),
    (
        "push_publisher on;",
        "invalid number of arguments in \"push_publisher\" directive",
    ),
    (
        "push_subscriber; push_subscriber;",
        "\"push_subscriber\" directive is duplicate",
    ),
    (
        "push_subscriber; push_subscriber_concurrency foo;",
        "invalid push_subscriber_concurrency value: foo",
    ),
    (
        "push_publisher; push_max_message_buffer_length 0;",
        "push_max_message_buffer_length cannot be smaller than push_min_message_buffer_length.",
    ),
    (
        "push_publisher; push_message_buffer_length x;",
        "\"push_message_buffer_length\" directive invalid number",
    ),
    (
        "push_publisher; push_message_buffer_length 3; push_min_message_buffer_length 1;",
        "\"push_min_message_buffer_length\" directive is duplicate",
    ),
    (
        "push_publisher; push_message_timeout soon;",
        "\"push_message_timeout\" directive invalid value",
    ),
    (
        "push_subscriber; push_authorized_channels_only maybe;",
        "invalid value \"maybe\" in \"push_authorized_channels_only\" directive, it must be \
         \"on\" or \"off\"",
    ),
    (
        "push_max_reserved_memory 1m;",
        "\"push_max_reserved_memory\" directive is not allowed here",
    ),
    (
        "push_buffer_size 1m;",
        "unknown directive \"push_buffer_size\"",
    ),
    (
        "nchan_subscriber foo;",
        "invalid nchan_subscriber value: foo",
    ),
    ("nchan_publisher foo;", "invalid nchan_publisher value: foo"),
    (
        "nchan_channel_id 1 2 3 4 5 6 7 8;",
        "invalid number of arguments in \"nchan_channel_id\" directive",
    ),
    (
        "nchan_subscriber; nchan_subscriber_first_message 33;",
        "invalid nchan_subscriber_first_message value: 33, must be 'oldest', 'newest', or a \
         number between -32 and 32",
    ),
    (
        "nchan_publisher; nchan_group_location;",
        "Can't have a publisher location and also be a group access location (nchan_group + \
         nchan_publisher)",
    ),
    (
        "nchan_subscriber; nchan_subscriber_timeout soon;",
        "\"nchan_subscriber_timeout\" directive invalid value",
    ),
    (
        "nchan_longpoll_multipart_response maybe;",
        "invalid value for nchan_longpoll_multipart_response: maybe;'. Must be 'on', 'off', or \
         'raw'",
    ),
    (
        "nchan_storage_engine foo;",
        "invalid nchan_storage_engine value: foo",
    ),
    (
        "nchan_eventsource_ping_comment \"a\nb\";",
        "can't contain any newline characters",
    ),
    ("nchan_nonsense on;", "unknown directive \"nchan_nonsense\""),
];

#[test]
fn invalid_directives_are_rejected_with_the_messages_of_the_modules() {
    let set = "set $push_channel_id $arg_id;";
    for (directives, expected) in INVALID_DIRECTIVES {
        let text = conf("", &format!("{set}\nlocation /x {{\n{directives} }}"));
        let error = Server::try_with_conf(&text, &[])
            .err()
            .unwrap_or_else(|| panic!("{directives} is taken"));
        assert!(error.contains(expected), "{directives}: {error}");
        assert!(
            error.contains("nginx.conf:"),
            "{directives}: it has a place: {error}"
        );
    }
    let error = Server::try_with_conf(&conf("", "location /x { push_publisher; }"), &[])
        .err()
        .expect("a mistake");
    assert!(
        error.contains("unknown \"push_channel_id\" variable"),
        "{error}"
    );
}

#[test]
fn redis_is_reported_as_not_supported() {
    let server = Server::with_conf(&conf(
        "",
        "location = /r { nchan_pubsub; nchan_channel_id x; nchan_redis_pass r; }",
    ));
    assert_eq!(server.get("/r").head.status, 503);
    assert!(
        server
            .stderr()
            .contains("the Redis engine of nchan is not supported by pushctl"),
        "{}",
        server.stderr()
    );
}
