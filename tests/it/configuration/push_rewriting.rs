//! Push locations behind `rewrite`, `return`, `map` and `limit_except`.

use super::rewriting::{checksum, status};
use crate::support::{Directory, Nginx, Server, compare, conf, wait_until};
use std::time::{SystemTime, UNIX_EPOCH};

const PUBLISHER: &str = "push_stream_publisher admin; push_stream_channels_path $arg_id; \
                         push_stream_store_messages on;";

#[test]
fn rewrites_and_returns_precede_the_push_handler() {
    let locations = format!(
        "if ($arg_s = no) {{ rewrite ^ /denied; }}
        location = /denied {{ return 403; }}
        location /if {{ if ($arg_k != s) {{ rewrite ^ /denied last; }} {PUBLISHER} }}
        location /plain {{ rewrite ^/plain/x /denied; {PUBLISHER} }}
        location /address {{ rewrite ^ https://other.example/ permanent; {PUBLISHER} }}
        location /moved {{ rewrite ^ /guarded last; {PUBLISHER} }}
        location /guarded {{ deny all; {PUBLISHER} }}
        location /stays {{ rewrite ^ /denied break; {PUBLISHER} }}
        location /stopped {{ break; rewrite ^ /denied last; {PUBLISHER} }}"
    );
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", &locations));
    for (target, expected) in [
        ("/if?id=a", 403),
        ("/if?id=a&k=s", 200),
        ("/if?id=a&k=s&s=no", 403),
        ("/plain/x?id=a", 403),
        ("/plain?id=a", 200),
        ("/address?id=a", 301),
        ("/moved?id=a", 403),
        ("/stays?id=a", 200),
        ("/stopped?id=a", 200),
    ] {
        assert_eq!(status(&server, "POST", target, &[]), expected, "{target}");
    }
    server.stop();
}

#[test]
fn push_locations_are_reached_through_rewrites() {
    let locations = format!(
        "location ~ ^/say/(?<room>\\w+)$ {{ rewrite ^ /pub?id=$room? last; }}
        location = /pub {{ internal; {PUBLISHER} }}
        location ~ ^/listen/(\\w+)$ {{ rewrite ^/listen/(.*)$ /sub/$1 last; }}
        location ~ ^/sub/(.*)$ {{ internal; push_stream_subscriber polling; \
        push_stream_channels_path $1; }}
        location /by-name/ {{ rewrite ^/by-name/(?<name>.*)$ /named last; }}
        location /named {{ internal; push_stream_subscriber polling; push_stream_channels_path \
        $name; }}"
    );
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", &locations));
    assert_eq!(
        (
            status(&server, "POST", "/pub?id=news", &[]),
            status(&server, "GET", "/sub/news", &[])
        ),
        (404, 404)
    );
    assert_eq!(status(&server, "POST", "/say/news?id=other", &[]), 200);
    let from = [("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")];
    for target in ["/listen/news", "/by-name/news"] {
        assert_eq!(
            server.connect().request("GET", target, &from, None).text(),
            "hi",
            "{target}"
        );
    }
    server.stop();
}

#[test]
fn limited_methods_neither_publish_nor_delete() {
    let users = Directory::new("users");
    let users = users.write("users", "u:{PLAIN}p\n");
    let locations = format!(
        "location /pub {{ auth_basic x; auth_basic_user_file {0}; limit_except GET {{ auth_basic \
         off; }} {PUBLISHER} }}
        location /get {{ limit_except DELETE {{ allow all; }} {PUBLISHER} }}
        location /open {{ {PUBLISHER} }}",
        users.display()
    );
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", &locations));
    for (method, target, expected) in [
        ("POST", "/pub?id=a", 404),
        ("PUT", "/pub?id=a", 405),
        ("DELETE", "/pub?id=a", 405),
        ("GET", "/pub?id=a", 401),
        ("POST", "/get?id=a", 404),
        ("GET", "/open?id=a", 404),
    ] {
        assert_eq!(
            status(&server, method, target, &[]),
            expected,
            "{method} {target}"
        );
    }
    server.stop();
}

#[test]
fn the_last_map_of_a_variable_is_in_force() {
    let http = "map $arg_k $x { default 1; s 2; }
        server { listen 127.0.0.1:{{PORT}};
            location /map { return 200 $x$X; }
            location /rule { if ($x = 1) { return 403; } return 200 in; } }
        map $arg_k $X { default 2; s 1; }";
    compare(
        http,
        &["/map", "/map?k=s", "/rule", "/rule?k=s"].map(|target| ("GET", target, &[][..])),
    );
}

/// nchan has its handler in `limit_except`, too, without the rewrite phase of the location; a
/// location inside another one does not inherit `limit_except`.
#[test]
fn limited_methods_of_nchan_are_those_of_nchan() {
    let users = Directory::new("users");
    let users = users.write("users", "u:{PLAIN}p\n");
    let locations = format!(
        "location /open {{ limit_except GET {{ allow all; }} nchan_channel_id $arg_id; \
         nchan_publisher; }}
        location /denied {{ limit_except GET {{ deny all; }} nchan_channel_id $arg_id; \
        nchan_publisher;
            location /denied/inner {{ nchan_channel_id $arg_id; nchan_publisher; }} }}
        location /password {{ limit_except GET {{ auth_basic x; auth_basic_user_file {}; }} \
        nchan_channel_id $arg_id; nchan_publisher; }}
        location /rules {{ if ($arg_k != s) {{ return 410; }} limit_except GET {{ allow all; }} \
        nchan_channel_id $arg_id; nchan_publisher; }}
        location /small {{ client_max_body_size 1; limit_except GET {{ allow all; }} \
        nchan_channel_id $arg_id; nchan_publisher; }}",
        users.display()
    );
    let nginx = Nginx::start_with(
        "load_module modules/ngx_nchan_module.so;",
        &format!("server {{ listen 127.0.0.1:{{{{PORT}}}}; {locations} }}"),
    );
    let server = Server::with_conf(&conf("", &locations));
    let user = [("Authorization", "Basic dTpw")];
    for target in [
        "/open?id=a",
        "/denied?id=b",
        "/denied/inner?id=c",
        "/password?id=d",
        "/rules?id=e",
        "/rules?id=f&k=s",
        "/small?id=g",
    ] {
        for (method, body) in [
            ("GET", None),
            ("POST", Some(&b"hi"[..])),
            ("PUT", Some(b"hi")),
            ("GET", None),
            ("DELETE", None),
        ] {
            for headers in [&[][..], &user] {
                let theirs = nginx
                    .connect()
                    .request(method, target, headers, body)
                    .head
                    .status;
                let ours = server
                    .connect()
                    .request(method, target, headers, body)
                    .head
                    .status;
                assert_eq!(ours, theirs, "{method} {target} {headers:?}");
            }
        }
    }
    server.stop();
}

#[test]
fn a_replayed_request_is_checked_again() {
    let in_two_seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
        + 2;
    let locations = format!(
        "location /link {{ secure_link $arg_md5,$arg_e; secure_link_md5 \"$secure_link_expires \
         secret\"; rewrite ^ /$secure_link/pub last; }}
        location /1/pub {{ internal; {PUBLISHER} }}
        location /0/pub {{ internal; return 410; }}"
    );
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", &locations));
    let target = format!(
        "/link?id=a&e={in_two_seconds}&md5={}",
        checksum(&format!("{in_two_seconds} secret"))
    );
    let mut connection = server.connect();
    let mut answers = Vec::new();
    wait_until("the link has expired", || {
        answers.push(
            connection
                .request("POST", &target, &[], Some(b"hi"))
                .head
                .status,
        );
        answers.last() == Some(&410)
    });
    assert!(
        answers.iter().rev().skip(1).all(|status| *status == 200) && answers.len() > 2,
        "{answers:?}"
    );
    server.stop();
}

#[test]
fn errors_in_rules_are_reported_as_by_nginx() {
    for (rule, expected) in [
        (
            "rewrite ^/a /b sometimes;",
            "invalid parameter \"sometimes\"",
        ),
        (
            "rewrite ^/a;",
            "invalid number of arguments in \"rewrite\" directive",
        ),
        ("rewrite ^/(a /b;", "invalid regular expression \"^/(a\""),
        ("rewrite ^ /$nothing;", "unknown \"nothing\" variable"),
        (
            "secure_link_secret a; secure_link $arg_a;",
            "\"secure_link_secret\" cannot be mixed with",
        ),
    ] {
        let text = conf(
            "push_stream_shared_memory_size 10m;",
            &format!("location /a {{ {rule} {PUBLISHER} }}"),
        );
        let Err(error) = Server::try_with_conf(&text, &[]) else {
            panic!("{rule} is accepted")
        };
        assert!(error.contains(expected), "{rule}: {error}");
    }
}
