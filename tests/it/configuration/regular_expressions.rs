//! Regular expressions of rules, compared with Debian's nginx.

use super::nginx_requests::{Both, answer, get};
use crate::support::{Server, conf};

#[test]
fn regular_expressions_match_nginx() {
    let both = Both::start(
        r#"default_type text/plain; map $arg_m $mapped { "~^([a-z]+)$" "m[$1]"; "~^(a+)+!$" deny;
            default none; }
        map $arg_s $slow { "~^(a+)+$" 1; default 0; }
        server { listen 127.0.0.1:{{PORT}}; server_name a;
        location ~ ^/b4/ { if ($uri ~ "([a-z]+)/\1/admin") { return 403; } return 200 in; }
        location ~ ^/slow/ { if ($arg_x ~ "^(a+)+$") { return 403; } return 200 in; }
        location ~ ^/where/(a+)+!$ { return 200 where; }
        location = /map { return 200 "$mapped"; }
        location = /mapped { if ($slow) { return 403; } return 200 in; }
        location ~ ^/d1$ { return 200 d1; }
        location ~ "^/d2\Z" { return 200 d2; }
        location ~ "^/d3\z" { return 200 d3; }
        location ~ "^/d4.x" { return 200 d4; }
        location ~* "^/é6" { return 200 d6; }
        location ~ "(?m)^/d7$" { return 200 d7; }
        location ~ "(?x)^/d9 x" { return 200 d9; }
        location ~ "^/d11[[:space:]]x" { return 200 d11; }
        location ~ "^/d13\h" { return 200 d13; }
        location ~ "^/d15(?>a+)a" { return 200 d15; }
        location ~ "^/d16a++a" { return 200 d16; }
        location ~ "^/d17\W" { return 200 d17; }
        location ~ "^/d18([(](?:[^()]|(?1))*[)])$" { return 200 "d18 $1"; }
        location ~ "^/d19(?'name'.)" { return 200 "d19 $name"; }
        location / { return 200 no; } }
        server { listen 127.0.0.1:{{PORT}}; server_name "~^(b+)+\.c$";
        location / { return 200 "name"; } }"#,
    );
    let slow = "a".repeat(40);
    for target in [
        &*format!("/b4/{}/x/x/admin", "ab".repeat(600)),
        "/b4/ab/ac/admin",
        &format!("/slow/?x={slow}!"),
        &format!("/slow/?x={slow}"),
        &format!("/where/{slow}"),
        "/mapped?s=aa",
        &format!("/map?m={slow}"),
        "/map?m=1",
        "/map?m=aa!",
        "/d1%0a",
        "/d1",
        "/d1%0a%0a",
        "/d2%0a",
        "/d3%0a",
        "/d4%0ax",
        "/d4%e9x",
        "/d4%c3%a9x",
        "/%c3%a96",
        "/%c3%896",
        "/x%0a/d7%0ay",
        "/d9x",
        "/d9%20x",
        "/d11%0bx",
        "/d13%a0",
        "/d15aaa",
        "/d16aaa",
        "/d17%e9",
        "/d18(a(b)c)",
        "/d18(a(bc)",
        "/d19%ff",
    ] {
        both.assert_equal(&get(target.as_bytes(), b"Host: a\r\n"));
    }
    both.assert_equal(&get(
        b"/",
        format!("Host: {}.d\r\n", "b".repeat(40)).as_bytes(),
    ));
    assert_eq!(
        both.assert_equal(&get(format!("/slow/?x={slow}!").as_bytes(), b"Host: a\r\n")),
        500,
        "no result is not a mismatch"
    );
    // nginx then treats the variable as empty, and admits the request.
    let (status, _) = answer(
        both.server.connect(),
        &get(format!("/mapped?s={slow}!").as_bytes(), b"Host: a\r\n"),
    );
    assert_eq!(status, 500);
    assert!(
        both.server.stderr().contains("a regular expression failed"),
        "{}",
        both.server.stderr()
    );
    both.server.stop();
}

#[test]
fn a_push_location_is_not_entered_when_a_regular_expression_fails() {
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 32m; map $arg_x $channel { \"~^(a+)+$\" other; default \
         fallback; }",
        r#"location /pub { push_stream_publisher admin; push_stream_channels_path $channel; }
        location /sub { push_stream_subscriber; push_stream_channels_path $channel; }
        location /stats { push_stream_channels_statistics; push_stream_channels_path $arg_id; }
        location = /pub/denied { if ($arg_x ~ "^(a+)+$") { return 403; } push_stream_publisher;
            push_stream_channels_path x; }"#,
    ));
    let mut connection = server.connect();
    assert_eq!(
        connection
            .request("POST", "/pub?x=b", &[], Some(b"kept"))
            .head
            .status,
        200
    );
    let slow = format!("x={}!", "a".repeat(40));
    for (method, path) in [
        ("POST", "/pub"),
        ("DELETE", "/pub"),
        ("GET", "/pub"),
        ("GET", "/sub"),
        ("POST", "/pub/denied"),
    ] {
        let mut connection = server.connect();
        let response = connection.request(
            method,
            &format!("{path}?{slow}"),
            &[],
            if method == "GET" { None } else { Some(b"m") },
        );
        assert_eq!(
            (response.head.status, response.head.get("Connection")),
            (500, Some("close")),
            "{method} {path}"
        );
    }
    let info = connection.request("GET", "/stats?id=fallback", &[], None);
    let info = crate::support::object(&info.body);
    assert_eq!(
        (&info["published_messages"], &info["subscribers"]),
        (&1.into(), &0.into()),
        "nothing was done to the channel"
    );
    assert_eq!(
        connection
            .request("POST", "/pub?x=b", &[], Some(b"m"))
            .head
            .status,
        200,
        "other requests are served"
    );
    server.stop();
}
