//! Rules that the nginx in front enforces: directives, conditions and what they refer to.

use super::front::{printed, serve};
use crate::support::{Directory, Nginx, program};
use std::process::Command;

#[test]
fn directives_that_pushctl_does_not_enforce_stay_in_force_in_front() {
    let text = r#"events {} http { push_stream_shared_memory_size 10m;
        limit_req_zone $arg_key zone=keys:1m rate=1r/m;
    map $arg_level $refused { default 0; low 1; }
    server { listen 127.0.0.1:{{PORT}}; limit_conn_zone_unknown_to_all x;
    location /pub { push_stream_publisher; push_stream_channels_path $arg_id;
        limit_req zone=keys burst=1 nodelay; limit_req_status 429;
        valid_referers none a.example; error_page 429 @late; auth_delay 1s; }
    location @late { return 598 "late"; } location /other { return 200 other; } } }"#;
    let text = text.replace("limit_conn_zone_unknown_to_all x;", "");
    let directory = Directory::new("front-guards");
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let report = Command::new(program())
        .arg("check")
        .arg(&file)
        .output()
        .expect("the program runs");
    assert_eq!(
        report.status.code(),
        Some(2),
        "it is rejected without a front"
    );
    let (front, options) = printed(
        &file,
        &format!("unix:{}", directory.path().join("s").display()),
    );
    for line in [
        "limit_req_zone $arg_key zone=keys:1m rate=1r/m;",
        "        limit_req zone=keys burst=1 nodelay;",
        "        limit_req_status 429;",
        "        valid_referers none a.example;",
        "        auth_delay 1s;",
        "    location @late {",
    ] {
        assert!(front.lines().any(|known| known == line), "{line}\n{front}");
    }
    assert!(
        !front.contains("/other") && !front.contains("$refused"),
        "{front}"
    );
    assert_eq!(
        options.last().map(String::as_str),
        Some("limit_req,valid_referers,auth_delay")
    );
    let server = serve(&file, &options);
    let nginx = Nginx::start(&front.replace("54321", "{{PORT}}"));
    let publish = |key: &str| {
        nginx
            .connect()
            .request("POST", &format!("/pub?id=a&key={key}"), &[], Some(b"hi"))
    };
    assert_eq!(
        [publish("one"), publish("one"), publish("two")].map(|response| response.head.status),
        [200; 3]
    );
    let late = publish("one");
    assert_eq!((late.head.status, late.text()), (429, "late"), "{late:?}");
    server.stop();
}

#[test]
fn directives_kept_in_front_are_copied_with_their_dependencies() {
    let text = r#"events {} http { push_stream_shared_memory_size 10m; lua_shared_dict seen 1m;
        init_by_lua_block { seen = { "}" } }
    ssl_protocols TLSv1.3; proxy_set_header X-From front; deny 10.0.0.1;
    map $arg_near $who { 1 "in side"; } upstream users { server 127.0.0.1:1; keepalive 2; }
        upstream unused { server 127.0.0.1:2; }
    server { listen 443 ssl http2 default_server; listen [::]:443 ssl; server_name a.example;
        ssl_certificate a.pem; ssl_certificate_key a.key;
    ssl_verify_client on; ssl_client_certificate ca.pem; set $kind $arg_kind;
    location = /check { internal; proxy_pass http://users/check; proxy_pass_request_body off; }
    location /pub { push_stream_publisher; push_stream_channels_path $arg_id; auth_pam "Se cure";
        auth_pam_service_name nginx;
        access_by_lua_block {
            if ngx.location.capture("/check").status ~= 200 then return ngx.exit(403) end }
        more_set_headers "X-Kind: $kind $who"; proxy_read_timeout 3s; }
    location / { auth_digest all; location /in { push_stream_subscriber;
        push_stream_channels_path a; if ($arg_k) { limit_rate 1k; } } }
    location /out { proxy_pass http://unused; } } }"#;
    let directory = Directory::new("front-copies");
    let (front, options) = printed(&directory.write("nginx.conf", text), "127.0.0.1:9080");
    for lines in [
        "lua_shared_dict seen 1m;\ninit_by_lua_block { seen = { \"}\" } }\n",
        "map $arg_near $who {\n    1 \"in side\";\n}\n",
        "upstream users {\n    server 127.0.0.1:1;\n    keepalive 2;\n}\n",
        "    listen 443 ssl http2 default_server;\n    listen \"[::]:443\" ssl;\n    server_name \
         a.example;\n",
        "    ssl_protocols TLSv1.3;\n",
        "    deny 10.0.0.1;\n",
        "    set $kind $arg_kind;\n",
        "    ssl_verify_client on;\n    ssl_client_certificate ca.pem;\n",
        "        auth_pam \"Se cure\";\n        auth_pam_service_name nginx;\n        \
         access_by_lua_block {\n            if ngx.location.capture(\"/check\").status ~= 200 \
         then return ngx.exit(403) end }\n        more_set_headers \"X-Kind: $kind \
         $who\";\n    }\n",
        "    location / {\n        auth_digest all;\n\n        location /in {\n            \
         proxy_pass http://pushctl;\n",
        "    location = /check {\n        internal;\n        proxy_pass \
         http://users/check;\n        proxy_pass_request_body off;\n        proxy_set_header \
         X-From front;\n    }\n",
    ] {
        assert!(front.contains(lines), "{lines}\nis not in\n{front}");
    }
    assert!(
        !front.contains("unused") && !front.contains("proxy_read_timeout 3s"),
        "{front}"
    );
    let guards = options.last().expect("options");
    let expected = [
        "access_by_lua_block",
        "auth_digest",
        "auth_pam",
        "ssl_verify_client",
    ];
    let mut guards: Vec<&str> = guards.split(',').collect();
    guards.sort_unstable();
    assert_eq!(guards, expected);
}

#[test]
fn conditions_on_unknown_variables_are_evaluated_in_front() {
    let push = "push_stream_publisher; push_stream_channels_path $arg_id;";
    let text = format!(
        r#"events {{}} http {{ push_stream_shared_memory_size 10m;
        geo $arg_from $near {{ default 0; 10.0.0.0/8 1; }}
    map $near $far {{ 0 1; default 0; }}
    server {{ listen 127.0.0.1:{{{{PORT}}}};
    location /near {{ if ($near != 1) {{ return 403; }} {push} }}
    location /far {{ if ($far) {{ return 402; }} {push} }}
    location /set {{ set $one $near; if ($arg_id) {{ set $two x$one; }}
        if ($two != x1) {{ return 401; }} {push} }}
    location /deny {{ if ($near = 0) {{ set $deny 1; }} if ($deny) {{ return 409; }} {push} }}
    location /part {{ if ($near ~ (?<part>.*)) {{ set $copy $part; }}
        if ($copy != 1) {{ return 410; }} {push} }}
    location /any {{ {push} }} }} }}"#
    );
    let directory = Directory::new("front-variables");
    let file = directory.write("nginx.conf", &text.replace("{{PORT}}", "54321"));
    let report = Command::new(program())
        .arg("check")
        .arg(&file)
        .output()
        .expect("the program runs");
    assert_eq!(report.status.code(), Some(2));
    let report = String::from_utf8(report.stdout).expect("a text");
    for (line, variable) in [(5, "near"), (6, "far"), (8, "two")] {
        let expected = format!(
            "nginx.conf:{line}: variable \"${variable}\" is used by a rule of a push location"
        );
        assert!(report.contains(&expected), "{expected}\n{report}");
    }
    let (front, options) = printed(
        &file,
        &format!("unix:{}", directory.path().join("s").display()),
    );
    let server = serve(&file, &options);
    let nginx = Nginx::start(&front.replace("54321", "{{PORT}}"));
    let status = |path: &str, from: &str| {
        nginx
            .connect()
            .request(
                "POST",
                &format!("{path}?id=a&from={from}"),
                &[],
                Some(b"hi"),
            )
            .head
            .status
    };
    for (path, from, expected) in [
        ("/near", "10.0.0.1", 200),
        ("/near", "192.0.2.1", 403),
        ("/far", "10.0.0.1", 200),
        ("/far", "192.0.2.1", 402),
        ("/set", "10.0.0.1", 200),
        ("/set", "192.0.2.1", 401),
        ("/deny", "10.0.0.1", 200),
        ("/deny", "192.0.2.1", 409),
        ("/part", "10.0.0.1", 200),
        ("/part", "192.0.2.1", 410),
        ("/any", "", 200),
    ] {
        assert_eq!(status(path, from), expected, "{path} {from}");
    }
    server.stop();
}
