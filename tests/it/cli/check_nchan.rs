//! `pushctl check` on files with nchan: unsupported directives disable only the locations that need
//! them, and are listed under "to do".

use super::check_syntax::checked;
use crate::support::{Server, conf, wait_until};

/// A file with directives in `http` and locations.
fn file(http: &str, locations: &str) -> String {
    conf(http, locations).replace("{{PORT}}", "9103")
}

/// The part of a report below "to do:".
fn to_do(text: &str) -> &str {
    text.split("\nto do:\n").nth(1).unwrap_or_default()
}

#[test]
fn locations_with_redis_are_listed_under_to_do() {
    let redis = "upstream r { nchan_redis_server 127.0.0.1:6379; nchan_redis_ssl on; \
                 nchan_redis_password secret; }";
    for location in ["nchan_redis_pass r;", "nchan_use_redis on;"] {
        let (code, text) = checked(&file(
            redis,
            &format!("location /a {{ nchan_pubsub; nchan_channel_id c; {location} }}"),
        ));
        assert_eq!(code, Some(0), "{text}");
        let name = location.split(' ').next().unwrap_or_default();
        assert!(
            text.contains(&format!(
                "not served {name}: the locations that use it respond with 503"
            )),
            "{text}"
        );
        assert!(
            to_do(&text).contains(
                "the locations that use it respond with 503, because pushctl has no Redis engine"
            ),
            "{text}"
        );
        assert!(
            to_do(&text).contains("nchan_redis_server, nchan_redis_ssl, nchan_redis_password"),
            "one entry for all: {text}"
        );
    }
}

#[test]
fn directives_of_nchan_that_are_not_supported_do_not_stop_the_start() {
    let locations = "location /bench { nchan_benchmark; nchan_benchmark_time 5s; \
                     nchan_benchmark_channels 3; }
        location /stats { nchan_redis_upstream_stats r; } location /a { \
        nchan_redis_idle_channel_cache_timeout 5s; nchan_pubsub; nchan_channel_id c; }";
    let http = "nchan_redis_fakesub_timer_interval 1s; nchan_redis_nostore_fastpublish on; \
                nchan_redis_ping_interval 4m;
        upstream r { nchan_redis_tls on; nchan_redis_cluster_check_interval_min 1s; \
        nchan_redis_subscribe_weights master=1 slave=1; }";
    let (code, text) = checked(&file(http, locations));
    assert_eq!(code, Some(0), "{text}");
    assert!(
        !text.contains("unknown")
            && !text.contains("did you mean")
            && !text.contains("space is missing"),
        "{text}"
    );
    assert!(
        to_do(&text).contains("measure with `pushctl bench` instead"),
        "{text}"
    );
    let server = Server::with_conf(&conf(http, locations));
    let status = |method: &str, path: &str| {
        server
            .connect()
            .request(method, path, &[], Some(b"x"))
            .head
            .status
    };
    assert_eq!(
        [
            status("POST", "/a"),
            status("GET", "/bench"),
            status("GET", "/stats")
        ],
        [202, 404, 404]
    );
}

#[test]
fn names_are_those_of_nchan() {
    let locations = "location /p { nchan_publisher_location; nchan_pub_channel_id $arg_id; }
        location /s { nchan_subscriber_location; nchan_sub_channel_id $arg_id; }";
    let server = Server::with_conf(&conf("", locations));
    assert_eq!(
        server
            .connect()
            .request("POST", "/p?id=a", &[], Some(b"hello"))
            .head
            .status,
        202
    );
    assert_eq!(server.get("/s?id=a").text(), "hello");
    for (directive, hint) in [
        (
            "nchan_max_message_buffer_length 5",
            "nchan calls it \"nchan_message_buffer_length\"",
        ),
        (
            "nchan_authorized_channels_only on",
            "nchan calls it \"nchan_subscribe_existing_channels_only\"",
        ),
        ("nchan_min_message_buffer_length 5", "leave it out"),
        ("nchan_subscriber_concurrency broadcast", "leave it out"),
    ] {
        let (code, text) = checked(&file(
            "",
            &format!("location /a {{ nchan_pubsub; nchan_channel_id c; {directive}; }}"),
        ));
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(hint), "{directive}: {text}");
    }
    for misplaced in ["nchan_redis_ssl on", "nchan_redis_server 127.0.0.1:1"] {
        let (code, text) = checked(&file(
            "",
            &format!("location /a {{ nchan_pubsub; nchan_channel_id c; {misplaced}; }}"),
        ));
        assert!(
            code == Some(2) && text.contains("directive is not allowed here"),
            "{misplaced}: {text}"
        );
    }
    let (code, text) = checked(&file(
        "upstream r { nchan_redis_servr 127.0.0.1:1; }",
        "location /a { nchan_pubsub; nchan_channel_id c; }",
    ));
    assert!(
        code == Some(2) && text.contains("unknown directive \"nchan_redis_servr\""),
        "{text}"
    );
}

#[test]
fn a_file_for_nhpm_0_692_is_served() {
    let locations = "location /s { push_subscriber; set $push_channel_id $arg_id; }
        location /p { push_publisher; set $push_channel_id $arg_id; push_store_messages off; \
        push_max_message_buffer_length 10; }
        location /q { push_publisher; set $push_channel_id $arg_id; push_max_message_buffer_length \
        10; push_store_messages off; }";
    let server = Server::with_conf(&conf("", locations));
    for path in ["/p?id=a", "/q?id=a"] {
        let response = server.connect().request("POST", path, &[], Some(b"hello"));
        assert_eq!(response.head.status, 202);
        assert!(
            response.text().starts_with("queued messages: 0"),
            "{}",
            response.text()
        );
    }
}

#[test]
fn hooks_that_cannot_work_are_reported() {
    let nowhere = "location /a { nchan_pubsub; nchan_channel_id c; HOOK; } location /files { root \
                   /nowhere; }
        location = /body { internal; proxy_pass http://127.0.0.1:1; proxy_set_body x; } location = \
        /back { internal; proxy_pass http://127.0.0.1:1; }
        location = /r { return 304; }";
    for (hook, expected) in [
        (
            "nchan_authorize_request /nowhere",
            "\"nchan_authorize_request /nowhere\" leads to no location",
        ),
        (
            "nchan_subscribe_request /nowhere?x=1",
            "\"nchan_subscribe_request /nowhere?x=1\" leads to no location",
        ),
        (
            "nchan_publisher_upstream_request /files",
            "has neither \"proxy_pass\" nor \"return\"",
        ),
        (
            "nchan_authorize_request /body",
            "\"proxy_set_body\" is not supported",
        ),
        ("nchan_authorize_request /back", ""),
        ("nchan_publisher_upstream_request /r", ""),
        ("nchan_authorize_request $arg_hook", ""),
    ] {
        let text = file("", &nowhere.replace("HOOK", hook));
        let (code, report) = checked(&text);
        assert_eq!(code, Some(0), "{report}");
        assert!(
            expected.is_empty() || to_do(&report).contains(expected),
            "{hook}: {report}"
        );
        let name = hook.split(' ').next().unwrap_or_default();
        assert_eq!(
            report.contains(&format!("not served {name}")),
            !expected.is_empty(),
            "{hook}: {report}"
        );
        let server = Server::with_conf(&conf("", &nowhere.replace("HOOK", hook)));
        // The startup line follows the warnings.
        wait_until("the start is logged", || {
            server.stderr().contains("serving ")
        });
        assert_eq!(
            server.stderr().contains(&format!("\"{hook}\"")),
            !expected.is_empty(),
            "{hook}: {}",
            server.stderr()
        );
    }
}
