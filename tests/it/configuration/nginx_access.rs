//! Directives around push endpoints (`return`, `map`, access, added headers), compared with
//! Debian's nginx: same file, same requests, same responses.

use crate::support::{ComparedRequest, Directory, Server, compare, conf, wait_until};

#[test]
fn returns_and_variables_match_nginx() {
    let http = r#"
        map $arg_m $mapped { default d; "A b" space; one 1; ~^x(?<rest>.*)$ "x-$rest";
            ~*^Y(.) "y-$1"; \~t tilde; zero ""; }
        map $http_host $site { hostnames; default none; .a.example sub; *.b.example b; c.* c; }
        map $mapped $twice { 1 uno; default "<$mapped>"; }
        server {
            listen 127.0.0.1:{{PORT}}; server_name first.example other; default_type text/x-test;
                types { text/html html; }
            add_header X-Good "g$arg_a"; add_header X-Any a always; add_header X-Empty $arg_none;
            set $outer "o$arg_a"; if ($arg_server = stop) { return 410 "server $outer"; }
            location /r200 { return 200; } location /r204 { return 204; }
            location /r301 { return 301 /x?y; }
            location /url { return https://e.example/$arg_a; }
            location /text { return 200 "hi $arg_a\n"; }
            location /t.html { return 403 "no"; } location /r404 { return 404; }
            location /r418 { return 418; }
            location /r500 { return 500; } location /r401 { return 401; }
            location /r429 { return 429; } location /empty { return 200 ""; }
            location /r302 { return 302 http://x/; } location /r307 { return 307 /a; }
            location /r303 { return 303 /a; }
            location /map { return 200 "$mapped|$twice|$site"; }
            location /vars {
                set $target "$request_method|$uri|$document_uri|$request_uri|$args|$query_string";
                set $server "$is_args|$arg_A|$host|$server_name|$scheme|$remote_addr|$server_addr";
                set $head "$server_protocol|$request|$http_x_y|$cookie_c|$content_type";
                return 200 "$target|$server|$head|$content_length|$remote_user|$https"; }
            location /set { set $x 1; set $x "$x$outer"; if ($arg_b ~ "^v(.)(?<named>.)") {
                set $x "$1-$named-$x"; } if ($arg_c) { return 202 "c $x"; } return 200 $x; }
            location ~ ^/re/(\w+)/(?<tail>.*)$ { set $one $1;
            if ($arg_d ~ z) { return 201 "$one $tail"; } return 200 "$1 $tail"; }
            location /own { add_header X-Own o; return 200 own; }
            location /break { set $y 1; break; return 404; }
        }"#;
    let x: &[(&str, &str)] = &[];
    let mut requests: Vec<ComparedRequest<'_>> = Vec::new();
    for target in [
        "/r200",
        "/r204",
        "/r301",
        "/url?a=1",
        "/text?a=b",
        "/t.html",
        "/r404",
        "/r418",
        "/r500",
        "/r401",
        "/r429",
        "/empty",
        "/r302",
        "/r307",
        "/r303",
        "/map",
        "/map?m=a%20b",
        "/map?m=ONE",
        "/map?m=xyz",
        "/map?m=yz",
        "/map?m=Yz",
        "/map?m=~t",
        "/map?m=zero",
        "/vars?a=1&B=2",
        "/vars//%61/../b",
        "/set?a=1",
        "/set?b=vwz",
        "/set?c=1&b=vab",
        "/set?c=0",
        "/re/a/b/c",
        "/re/a/b?d=z",
        "/own",
        "/own?server=stop&a=5",
        "/map?server=stop",
    ] {
        requests.push(("GET", target, x));
    }
    requests.extend([
        ("HEAD", "/text?a=b", x),
        ("POST", "/text?a=b", x),
        ("POST", "/r404", x),
        (
            "GET",
            "/vars",
            &[
                ("X-Y", "y"),
                ("Cookie", "a=b; C=d"),
                ("Content-Type", "t/t"),
                ("Authorization", "Basic dTpw"),
            ],
        ),
    ]);
    compare(http, &requests);
}

#[test]
fn hostnames_in_a_map_match_nginx() {
    let http = "map $arg_h $site { hostnames; default none; .a.example sub; *.b.example b; c.* c; \
                www.b.example exact; }
        server { listen 127.0.0.1:{{PORT}}; location / { default_type text/plain; return 200 \
        $site; } }";
    let targets = [
        "a.example",
        "x.a.example",
        "x.b.example",
        "b.example",
        "c.d",
        "c",
        "www.b.example",
        "WWW.B.EXAMPLE.",
        "",
        "y.x.b.example",
        ".a.example",
        ".b.example",
        ".b.example.",
        "b.example.",
        "c.",
        "c..",
        ".",
    ];
    let targets = targets.map(|host| format!("/?h={host}"));
    let requests: Vec<ComparedRequest<'_>> = targets
        .iter()
        .map(|target| ("GET", target.as_str(), &[][..]))
        .collect();
    compare(http, &requests);
}

#[test]
fn access_matches_nginx() {
    let users = Directory::new("users");
    // The passwords are "secret": apr1, {SHA}, SHA-512 crypt, plain.
    let file = users.write(
        "htpasswd",
        "# comment\nann:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n\
         ben:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=:x\n\
         cid:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.\
         Pq.H91p5hVO1\ndan:{PLAIN}secret\n",
    );
    let file = file.display();
    let http = format!(
        r#"server {{ listen 127.0.0.1:{{{{PORT}}}}; default_type text/plain; root {0};
            add_header X-Any a always;
            location /all {{ deny all; }} location /net {{ allow 127.0.0.0/8; deny all; }}
            location /not {{ deny 127.0.0.1; allow all; }}
            location /pass {{ auth_basic "A $arg_r"; auth_basic_user_file {file}; }}
            location /both {{ deny all; auth_basic B; auth_basic_user_file {file}; }}
            location /any {{ satisfy any; deny all; auth_basic B; auth_basic_user_file {file}; }}
            location /in {{ satisfy any; allow 127.0.0.1; deny all; auth_basic B;
                auth_basic_user_file {file}; }}
            location /off {{ auth_basic off; auth_basic_user_file {file}; }}
            location /none {{ auth_basic B; auth_basic_user_file {file}.none; }}
            location /internal {{ internal; }}
        }}"#,
        users.path().display()
    );
    let basic = [
        "Basic YW5uOnNlY3JldA==",
        "Basic YmVuOnNlY3JldA==",
        "Basic Y2lkOnNlY3JldA==",
        "Basic ZGFuOnNlY3JldA==",
    ];
    let wrong = [
        "Basic YW5uOnNlY3JldHQ=",
        "Basic bm9ib2R5OnNlY3JldA==",
        "Basic !!!",
        "Bearer x",
        "Basic YW5uOg==",
    ];
    let mut headers: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    headers.extend(
        basic
            .iter()
            .chain(&wrong)
            .map(|value| vec![("Authorization", *value)]),
    );
    let mut requests: Vec<ComparedRequest<'_>> = Vec::new();
    for target in [
        "/all",
        "/net",
        "/not",
        "/both",
        "/any",
        "/in",
        "/off",
        "/none",
        "/internal",
    ] {
        requests.extend(
            headers[..2]
                .iter()
                .map(|headers| ("GET", target, headers.as_slice())),
        );
    }
    requests.extend(
        headers
            .iter()
            .map(|headers| ("GET", "/pass?r=x", headers.as_slice())),
    );
    compare(&http, &requests);
}

#[test]
fn a_push_location_with_a_password_needs_it_in_every_mode() {
    let users = Directory::new("users");
    let file = users.write(
        "htpasswd",
        "ann:$2b$04$abcdefghijklmnopqrstuuzwwq.in3OYL4.pkB6TmFlI5pl.3mvQ.\n",
    );
    let location = |path: &str, kind: &str| {
        format!("location {path} {{ {kind}; push_stream_channels_path c; }}\n")
    };
    let locations = [
        format!(
            "auth_basic Push; auth_basic_user_file {}; add_header X-Added \"<$arg_a>\"; add_header \
             X-Always y always;",
            file.display()
        ),
        location(
            "/pub",
            "push_stream_publisher; push_stream_store_messages on",
        ),
        location("/sub", "push_stream_subscriber"),
        location("/ev", "push_stream_subscriber eventsource"),
        location("/lp", "push_stream_subscriber long-polling"),
        location("/poll", "push_stream_subscriber polling"),
        location("/ws", "push_stream_subscriber websocket"),
        location("/stats", "push_stream_channels_statistics"),
    ];
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 10m;",
        &locations.concat(),
    ));
    // "secret password"
    let authorization = ("Authorization", "Basic YW5uOnNlY3JldCBwYXNzd29yZA==");
    for path in ["/pub", "/sub", "/ev", "/lp", "/poll", "/ws", "/stats"] {
        for headers in [&[][..], &[("Authorization", "Basic YW5uOnNlY3JldA==")]] {
            let refused = server.connect().request("GET", path, headers, None);
            assert_eq!(
                (refused.head.status, refused.head.get("WWW-Authenticate")),
                (401, Some("Basic realm=\"Push\"")),
                "{path}"
            );
            assert_eq!(
                (refused.head.get("X-Added"), refused.head.get("X-Always")),
                (None, Some("y")),
                "{path}"
            );
        }
    }
    let mut poll = server.connect();
    poll.send_request("GET", "/lp?a=1", &[authorization], None);
    wait_until("the long-poll waits", || {
        let stats = server
            .connect()
            .request("GET", "/stats", &[authorization], None);
        stats.text().contains("\"subscribers\": 1")
    });
    let published = server
        .connect()
        .request("POST", "/pub?a=2", &[authorization], Some(b"hi"));
    let polled = poll.read_response();
    assert_eq!(
        (
            polled.text(),
            published.head.get("X-Added"),
            polled.head.get("X-Added")
        ),
        ("hi", Some("<2>"), Some("<1>"))
    );
    for (path, added) in [
        ("/sub?a=3", "<3>"),
        ("/ev?a=4", "<4>"),
        ("/poll?a=5", "<5>"),
        ("/lp?a=6", "<6>"),
    ] {
        let mut follower = server.connect();
        follower.send_request(
            "GET",
            path,
            &[
                authorization,
                ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ],
            None,
        );
        let head = follower.read_head();
        assert_eq!(
            (head.status, head.get("X-Added"), head.get("X-Always")),
            (200, Some(added), Some("y")),
            "{path}"
        );
    }
    server.stop();
}
