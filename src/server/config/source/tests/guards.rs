//! Guards of push locations, and the guards that the front enforces.

use crate::server::config::model::web::Gate;
use crate::server::config::source::FrontEnforces;
use crate::server::config::source::file::parse_with;
use crate::server::config::source::*;
use crate::server::config::{Config, LocationSettings};

pub(in crate::server) const PUSH: &str = "push_stream_publisher; push_stream_channels_path a;";

/// A file whose server has `content` from line 4 on.
pub(in crate::server) fn in_server(content: &str) -> String {
    format!(
        "events {{}}\nhttp {{ push_stream_shared_memory_size 10m;\nserver {{ listen 9103;\n\
         {content} }} }}"
    )
}

pub(in crate::server) fn mistakes(text: &str) -> Vec<String> {
    let Err(mistakes) = parse("conf", text.as_bytes()) else {
        return Vec::new();
    };
    mistakes.mistakes.iter().map(ToString::to_string).collect()
}

pub(in crate::server) fn with_front(
    text: &str,
    names: &[&str],
) -> Result<LoadedConfig, InvalidConfig> {
    let front_enforces = FrontEnforces(names.iter().map(|name| (*name).to_owned()).collect());
    parse_with(
        "conf",
        text.as_bytes(),
        &ImportOptions {
            front_enforces,
            has_front_address: true,
        },
    )
}

fn settings(config: &Config, path: &str) -> std::sync::Arc<LocationSettings> {
    let server = &config.listeners[0].servers[0];
    server.locate(path.as_bytes()).map_or_else(
        || server.settings.clone(),
        |(location, _)| location.settings.clone(),
    )
}

/// Directives of a push location that may restrict access.
const RESTRICTING: &[&str] = &[
    "auth_ldap x;",
    "some_new_thing x;",
    "denny all;",
    "ssl_verify_clinet on;",
    "access_by_lua_file a.lua;",
    "set_by_lua_file $x a.lua;",
    "js_body_filter a.b;",
    "modsecurity on;",
    "limit_req zone=a;",
    "limit_conn a 1;",
    "proxy_pass http://b;",
    "fastcgi_pass b;",
    "try_files $uri =404;",
    "echo off;",
    "more_set_input_headers 'X-User: a';",
    "lua_access x;",
    "datadog_appsec_enabled on;",
];

/// Blocks in a server with such a directive around or beneath a push location, the line of the
/// directive, and its name. `PUSH` stands for the directives of the location.
const RESTRICTING_ELSEWHERE: &[(&str, u32, &str)] = &[
    (
        "ssl_verify_client on;\nlocation /a { PUSH }",
        4,
        "ssl_verify_client",
    ),
    (
        "ssl_verify_client 0;\nlocation /a { PUSH }",
        4,
        "ssl_verify_client",
    ),
    (
        "ssl_verify_client optional;\nlocation /a { PUSH }",
        4,
        "ssl_verify_client",
    ),
    (
        "location / { auth_digest x;\nlocation /a { PUSH } }",
        4,
        "auth_digest",
    ),
    (
        "if ($arg_k) {\nunknown_thing x; }\nlocation /a { PUSH }",
        5,
        "unknown_thing",
    ),
    (
        "location /a { PUSH if ($arg_k) {\nproxy_pass http://b; } }",
        5,
        "proxy_pass",
    ),
    (
        "location /a { PUSH limit_except GET {\nauth_jwt x; } }",
        5,
        "auth_jwt",
    ),
    ("location /a { PUSH }\nfoo { bar; }", 5, "foo"),
    (
        "location / {\nmore_clear_input_headers X-User;\nlocation /a { PUSH } }",
        5,
        "more_clear_input_headers",
    ),
];

#[test]
fn every_directive_that_may_restrict_access_is_a_mistake_for_a_push_location() {
    let inside = RESTRICTING.iter().map(|directive| {
        let name = directive.split([' ', ';']).next().expect("a name");
        (format!("location /a {{ {PUSH}\n{directive} }}"), 5, name)
    });
    let elsewhere = RESTRICTING_ELSEWHERE
        .iter()
        .map(|&(content, line, name)| (content.replace("PUSH", PUSH), line, name));
    for (content, line, name) in inside.chain(elsewhere) {
        let found = mistakes(&in_server(&content));
        let begin = format!("conf:{line}: directive \"{name}\" ");
        let end = format!("and start with --front-enforces {name}");
        assert!(
            found.len() == 1 && found[0].starts_with(&begin) && found[0].contains(&end),
            "{content}: {found:?}"
        );
    }
    let proxied = "events {} http { push_stream_shared_memory_size 10m; server { listen 9103 \
                   proxy_protocol; }\n server { listen 9103;
        location /a { push_stream_publisher; push_stream_channels_path a; } } }";
    assert!(
        mistakes(proxied)[0].contains("\"proxy_protocol\""),
        "{:?}",
        mistakes(proxied)
    );
    let nchan = "events {} http { server { listen 9103;\n\
                 location /a { nchan_pubsub; nchan_channel_id a;\n\
                 proxy_pass http://127.0.0.1:1; } } }";
    assert!(
        mistakes(nchan)[0].starts_with("conf:3: directive \"proxy_pass\" handles requests"),
        "{:?}",
        mistakes(nchan)
    );
}

#[test]
fn one_directive_of_http_is_one_mistake_with_one_of_its_locations() {
    let text = format!(
        "events {{}}\nhttp {{ push_stream_shared_memory_size 10m;\nnaxsi_thing;\n\
         server {{ listen 9103;\n\
        location /a {{ {PUSH} }}\nlocation /b {{ {PUSH} }} }} }}"
    );
    let found = mistakes(&text);
    assert!(
        found.len() == 1
            && found[0].starts_with("conf:3: ")
            && found[0].ends_with("(in the location of line 5)"),
        "{found:?}"
    );
}

#[test]
fn directives_that_do_not_restrict_a_push_location_are_accepted() {
    for content in [
        format!(
            "location /a {{ {PUSH} more_set_headers 'X: y'; expires off; error_page 404 /x; \
             limit_rate 1k; add_trailer X y; }}"
        ),
        format!(
            "location /a {{ {PUSH} auth_request off; auth_delay 0; modsecurity off; \
             limit_req_status 429; proxy_buffering off; }}"
        ),
        format!("auth_pam x; location /a {{ {PUSH} auth_pam off; }}"),
        format!(
            "ssl_verify_client off; ssl_certificate a; ssl_protocols TLSv1.3; location /a {{ \
             {PUSH} }}"
        ),
        format!("try_files $uri =404; location /a {{ {PUSH} }}"),
        format!("location / {{ proxy_pass http://b; location /a {{ {PUSH} }} }}"),
        format!("location / {{ auth_ldap x; }} location /a {{ {PUSH} }}"),
        format!(
            "location /a {{ {PUSH} brotli on; zstd on; log_by_lua_file a; mirror /m; \
             vhost_traffic_status_zone; }}"
        ),
    ] {
        assert_eq!(mistakes(&in_server(&content)), [""; 0], "{content}");
    }
    let outside = format!(
        "some_module on;\nevents {{ other on; }}\n{}\nstream {{ server {{ foo; }} }}",
        in_server(&format!("location /a {{ {PUSH} }}")).replace("events {}", "")
    );
    assert_eq!(mistakes(&outside), [""; 0]);
}

#[test]
fn the_front_opens_a_location_to_its_own_requests_only() {
    let text = in_server(&format!(
        "auth_ldap x;\nlocation /a {{ {PUSH} limit_req zone=a; }}\nlocation /b {{ {PUSH} }}\n\
         location /i {{ {PUSH} internal; }}\n\
         location /r {{ return 200 a; }}"
    ));
    let refused = with_front(&text, &["auth_ldap"])
        .expect_err("limit_req is left")
        .mistakes;
    assert!(
        refused.len() == 1 && refused[0].text.contains("\"limit_req\""),
        "{refused:?}"
    );
    for names in [&["auth_ldap", "limit_req"][..], &["all"]] {
        let loaded = with_front(&text, names).expect("it is served");
        let gates = ["/a", "/b", "/r"].map(|path| settings(&loaded.config, path).web.content_gate);
        assert_eq!(gates, [Gate::Front; 3]);
        assert_eq!(
            settings(&loaded.config, "/i").web.internal_from_front,
            names == ["all"]
        );
        assert!(
            ["auth_ldap", "limit_req"]
                .iter()
                .all(|name| loaded.left_to_front.iter().any(|left| left == name))
        );
        assert!(
            loaded.notices.iter().any(|notice| notice.line == 5
                && notice.text.contains("\"limit_req\" is left to the front"))
        );
    }
    let own = text.replace(
        "auth_ldap x;",
        "auth_ldap x; pushctl_front_enforces auth_ldap limit_req;",
    );
    let loaded = parse("conf", own.as_bytes()).expect("it is served");
    assert_eq!(settings(&loaded.config, "/a").web.content_gate, Gate::Front);
    assert!(
        loaded.notices.iter().any(|notice| notice
            .text
            .starts_with("every request to this location is rejected")),
        "{:?}",
        loaded.notices
    );
}

#[test]
fn a_return_is_closed_only_by_guards_that_precede_it() {
    let text = in_server(
        "location /a { auth_ldap x; limit_req zone=a; return 200 a; }\n\
         location /b { rewrite_by_lua_file x; return 200 b; }",
    );
    let loaded = parse("conf", text.as_bytes()).expect("no push location");
    let gates = ["/a", "/b"].map(|path| settings(&loaded.config, path).web.answer_gate);
    assert_eq!(gates, [Gate::Open, Gate::Closed]);
}

#[test]
fn a_location_serves_no_files_with_rules_that_are_not_enforced() {
    for rule in [
        "disable_symlinks on",
        "ssi on",
        "auth_ldap x",
        "limit_req zone=a",
        "unknown_thing x",
        "image_filter test",
        "fastcgi_pass a",
        "pushctl_files off",
    ] {
        let text = in_server(&format!("location /a/ {{ root /var; {rule}; }}"));
        let loaded = parse("conf", text.as_bytes()).expect("no push location");
        assert!(
            settings(&loaded.config, "/a/x").web.root.is_none(),
            "{text}"
        );
    }
    for rule in [
        "disable_symlinks off",
        "expires 1d",
        "autoindex on",
        "sendfile on",
        "gzip_static on",
        "open_file_cache off",
    ] {
        let loaded = parse(
            "conf",
            in_server(&format!("location /a/ {{ root /var; {rule}; }}")).as_bytes(),
        )
        .expect("valid");
        assert!(
            settings(&loaded.config, "/a/x").web.root.is_some(),
            "{rule}"
        );
    }
    let inherited = in_server("root /var; location /a/ { }")
        .replace("server {", "disable_symlinks on; server {");
    assert!(
        settings(
            &parse("conf", inherited.as_bytes()).expect("valid").config,
            "/a/x"
        )
        .web
        .root
        .is_none()
    );
}

#[test]
fn satisfy_any_with_a_rule_of_the_front_and_own_rules_is_a_mistake() {
    let own_rules = [
        "allow 10.0.0.0/8; deny all;",
        "auth_basic a; auth_basic_user_file users;",
        "limit_except GET { deny all; }",
    ];
    for rule in own_rules {
        let text = |satisfy: &str| {
            in_server(&format!(
                "location /a {{ {PUSH} satisfy {satisfy}; {rule}\nauth_ldap x; }}"
            ))
        };
        let found = with_front(&text("any"), &["auth_ldap"])
            .expect_err("pushctl would reject clients")
            .to_string();
        assert!(
            found.starts_with("conf:5: \"satisfy any\" with \"auth_ldap\""),
            "{rule}: {found}"
        );
        assert!(
            with_front(&text("all"), &["auth_ldap"]).is_ok(),
            "{rule} with \"satisfy all\""
        );
    }
    let with_address_rules = "allow 10.0.0.0/8; deny all; valid_referers none;";
    for rules in ["auth_ldap x;", with_address_rules] {
        let text = in_server(&format!(
            "location /a {{ {PUSH} satisfy any; limit_req zone=a; {rules} }}"
        ));
        assert!(with_front(&text, &["all"]).is_ok(), "{rules}");
    }
}
