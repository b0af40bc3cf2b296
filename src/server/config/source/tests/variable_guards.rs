//! Rules of push locations with a variable whose value pushctl does not have.

use super::guards::{PUSH, in_server, mistakes, with_front};
use crate::server::config::source::{parse, to_toml};

#[test]
fn a_rule_with_a_variable_of_several_definitions_is_a_mistake_for_a_push_location() {
    let rule = format!("location /a {{ if ($d) {{ return 403; }} {PUSH} }}");
    for (http, server) in [
        ("geo $d { default 1; }", "location /o { set $d 0; }"),
        (
            "geo $remote_addr $D { default 1; }",
            "location ~ (?<d>x) { }",
        ),
        (
            "split_clients $uri $d { * 1; }",
            "location /o { auth_request /a; auth_request_set $d 0; }",
        ),
        ("js_set $d main.d;", "set $d 0;"),
        ("perl_set $d 'sub { 1 }';", "if ($arg_k) { set $d 0; }"),
        ("keyval $arg_k $d zone=a;", "set $d 0;"),
        ("geoip2 a.mmdb { $d country; }", "set $d 0;"),
        ("map $arg_k $d { default 0; }", "location /o { set $d 1; }"),
        ("map $arg_k $d { default 0; }", "location ~ (?<d>x) { }"),
        ("geo $d { default 1; } map $arg_k $d { default 0; }", ""),
    ] {
        let text = in_server(&format!("{server}\n{rule}"))
            .replace("server {", &format!("{http} server {{"));
        let found = mistakes(&text);
        assert!(
            found.len() == 1 && found[0].starts_with("conf:5: variable \"$d\" "),
            "{text}\n{found:?}"
        );
    }
    for name in ["arg_k", "http_k", "cookie_k"] {
        let found = mistakes(&in_server(&format!(
            "set ${name} x;\nlocation /a {{ if (${name} = x) {{ return 403; }} {PUSH} }}"
        )));
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("conf:5: variable \"${name}\" ")),
            "{found:?}"
        );
    }
    let clear = in_server(&format!("set $d 0; location ~ (?<d>x) {{ }} {rule}"));
    assert_eq!(
        mistakes(&clear),
        [""; 0],
        "nothing but set and captures, which are empty where they are not reached"
    );
    let stream = clear.replace(
        "events {}",
        "events {} stream { map $remote_addr $d { default 1; } }",
    );
    assert_eq!(mistakes(&stream), [""; 0], "variables of another protocol");
}

#[test]
fn a_variable_of_a_map_in_a_condition_is_a_mistake_for_a_push_location() {
    let in_if = in_server(&format!(
        "location /a {{ if ($arg_k) {{ set $e $d; }}\nif ($e) {{ return 403; }} {PUSH} }}"
    ))
    .replace(
        "server {",
        "map $ssl_client_verify $d { default 1; } server {",
    );
    assert!(
        mistakes(&in_if)[0].starts_with("conf:4: variable \"$d\" "),
        "{:?}",
        mistakes(&in_if)
    );
}

#[test]
fn both_definitions_of_a_variable_survive_toml_or_are_an_error() {
    let text = |geo: &str| {
        in_server(&format!(
            "set $d 0;\nlocation /a {{ if ($d) {{ return 403; }} {PUSH} }}"
        ))
        .replace("server {", &format!("{geo} server {{"))
    };
    let error = to_toml("conf", text("geo $d { default 1; }").as_bytes())
        .expect_err("TOML has no geo")
        .to_string();
    assert!(
        error.contains("conf:3: ") && error.contains("\"$d\""),
        "{error}"
    );
    let toml = to_toml("conf", text("map $arg_k $d { default 1; }").as_bytes()).expect("TOML");
    assert!(
        parse("conf.toml", toml.as_bytes())
            .expect_err("as the file")
            .to_string()
            .contains("\"$d\"")
    );
    assert!(to_toml("conf", text("geo $other { default 1; }").as_bytes()).is_ok());
}

#[test]
fn captures_with_the_name_of_a_variable_of_nginx_are_mistakes() {
    for name in ["uri", "Request_Method", "remote_addr", "secure_link"] {
        let found = mistakes(&in_server(&format!(
            "location ~ ^/(?<{name}>.*)$ {{ {PUSH} }}"
        )));
        let is_known =
            crate::server::config::expression::variables::availability(&name.to_ascii_lowercase())
                .is_some();
        assert_eq!(
            found.contains(&format!("conf:4: the duplicate \"{name}\" variable")),
            is_known,
            "{found:?}"
        );
    }
    assert_eq!(
        mistakes(&in_server(&format!(
            "location ~ ^/(?<args>.*)$ {{ {PUSH} }}"
        ))),
        [""; 0]
    );
}

/// A file with the variable `$d` of `geo`; its server has `content` from line 4 on.
fn with_geo(content: &str) -> String {
    in_server(content).replace("server {", "geo $d { default 1; } server {")
}

#[test]
fn the_front_cannot_supply_a_variable_that_selects_channels() {
    for (content, line, user) in [
        (
            "location /a { push_stream_publisher;\npush_stream_channels_path $d; }",
            5,
            "push_stream_channels_path",
        ),
        (
            "push_stream_channels_path x$d;\nlocation /a { push_stream_publisher; }",
            4,
            "push_stream_channels_path",
        ),
        (
            "location /a { push_stream_publisher; push_stream_channels_path a;\n\
             if ($arg_k) {\npush_stream_channels_path $d; } }",
            6,
            "push_stream_channels_path",
        ),
        (
            "location /a { push_stream_publisher; push_stream_channels_path a;\n\
             if ($d) {\npush_stream_channels_path b; } }",
            5,
            "if",
        ),
        (
            "location /a { nchan_pubsub; nchan_channel_id $d; }",
            4,
            "nchan_channel_id",
        ),
        (
            "location /a { nchan_pubsub;\nset $push_channel_id $d; }",
            5,
            "set",
        ),
        (
            "location /a { push_publisher;\nset $push_channel_id $d; }",
            5,
            "set",
        ),
        (
            "set $push_channel_id a;\nif ($d) { set $push_channel_id b; }\n\
             location /a { push_publisher; }",
            5,
            "if",
        ),
    ] {
        for names in [&["d"][..], &["all"], &[]] {
            let found = with_front(&with_geo(content), names)
                .expect_err("the channels are unknown")
                .to_string();
            assert!(
                found.starts_with(&format!(
                    "conf:{line}: variable \"$d\" in \"{user}\" selects channels"
                )) && found.contains("$http_NAME")
                    && !found.contains("--front-enforces"),
                "{content}: {found}"
            );
        }
    }
}

#[test]
fn the_front_may_enforce_rules_with_a_variable_that_selects_no_channel_of_the_location() {
    for content in [
        "push_stream_channels_path $d;\n\
         location /a { push_stream_publisher; push_stream_channels_path a; }",
        "location /a { push_stream_publisher; push_stream_channels_path a;\n\
         if ($d) { return 403; } }",
        "nchan_channel_id $d; set $push_channel_id $d;\n\
         location /a { push_stream_publisher; push_stream_channels_path a; }",
        "nchan_pub_channel_id $d;\n\
         location /a { nchan_pubsub; nchan_publisher_channel_id a; nchan_channel_id b; }",
        "location /a { nchan_pubsub; nchan_channel_id b; set $push_channel_id $d; }",
        "location /a { push_publisher; set $push_channel_id $d; set $push_channel_id a; }",
    ] {
        assert!(with_front(&with_geo(content), &["d"]).is_ok(), "{content}");
    }
}
