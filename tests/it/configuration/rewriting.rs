//! `rewrite`, `break`, `secure_link` and `limit_except`, compared with Debian's nginx (1.22.1) on
//! the same file; nginx runs next to pushctl, so that no expected value is written here.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest, Md5};

use crate::support::{ComparedRequest, Connection, Directory, Nginx, Server, comparable, compare};

/// Lists every rule of the matrix: pattern, replacement and flag in a location with this number.
pub(super) fn rules() -> Vec<String> {
    let patterns = [
        "^/l@/(.*)$",
        "^/l@/([^/]*)/(?<rest>.*)$",
        "^",
        "(?i)^/L@/(.)(.)?",
        "/nomatch/(.*)",
        r"^/l@/([\w ]+)([^\w ].*)?$",
    ];
    let replacements = [
        "/show/$1",
        "/show/$1?",
        "/show?x=$1",
        "/show?x=$1&y=$arg_k?",
        "/show/$2/a?b=c?d=$1",
        "/show$uri?$args",
        "/show?uri=$uri&r=$rest",
        "/hidden/$1?n=$1",
        "/chain/$1",
        "no-slash/$1",
        "http://h.example/$1",
        "http://h.example/p?x=$1&u=$uri",
        "https://h.example/$1?",
        "$scheme://h.example/$rest",
        "/to%20/$1",
        "$arg_none",
    ];
    let flags = ["", "last", "break", "redirect", "permanent"];
    let mut rules = Vec::new();
    for pattern in patterns {
        for replacement in replacements {
            for flag in flags {
                rules.push(format!("rewrite \"{pattern}\" \"{replacement}\" {flag};"));
            }
        }
    }
    rules
}

/// Sends requests for `targets` to both servers, over few connections.
fn compare_all(nginx: &Nginx, server: &Server, targets: impl Iterator<Item = String>) {
    let port = server
        .address()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let mut connections: Option<(Connection, Connection)> = None;
    let mut left = 0;
    for target in targets {
        if left == 0 {
            (connections, left) = (Some((nginx.connect(), server.connect())), 500);
        }
        let (theirs, ours) = connections.as_mut().expect("it was made");
        let theirs = theirs.request("GET", &target, &[], None);
        let ours = ours.request("GET", &target, &[], None);
        assert_eq!(
            comparable(&ours, &port),
            comparable(&theirs, &nginx.port().to_string()),
            "{target}"
        );
        let closes = theirs.head.get("Connection") == Some("close");
        left = if closes { 0 } else { left - 1 };
    }
}

#[test]
fn every_form_of_rewrite_matches_nginx() {
    let root = Directory::new("root");
    let rules = rules();
    // Every second location continues after the rule, so that its effects are visible.
    let locations: String = rules
        .iter()
        .enumerate()
        .map(|(number, rule)| {
            let rule = rule
                .replace("l@", &format!("l{number}"))
                .replace("L@", &format!("L{number}"));
            let after = if number % 2 == 0 {
                "return 200 \"here $uri|$args|$1|$2|$rest|$arg_k\";"
            } else {
                ""
            };
            format!("location /l{number}/ {{ {rule} {after} }}\n")
        })
        .collect();
    let http = format!(
        "server {{ listen 127.0.0.1:{{{{PORT}}}}; server_name a; root {}; default_type text/plain;
            location /show {{ return 200 \"show \
            $uri|$args|$1|$2|$rest|$arg_k|$arg_x|$request_uri|$is_args|$query_string\"; }}
            location /hidden {{ internal; return 200 \"hidden $uri|$args|$1\"; }}
            location ~ ^/chain/(.+)$ {{ rewrite ^/chain/(.) /show/$1/ last; }}
            {locations} }}",
        root.path().display()
    );
    let nginx = Nginx::start(&http);
    let server = Server::with_conf(&format!("events {{}}\nhttp {{\n{http}\n}}\n"));
    let paths = [
        "abc?k=v",
        "a%20b%26c+d?k=v&x=%41",
        "a/b?",
        "x%3fy%25z",
        "",
        "caf%C3%A9%3b%23/x+y?k=1?k=2",
        "ab%22%3c?&&",
    ];
    let targets = (0..rules.len())
        .flat_map(|number| paths.iter().map(move |path| format!("/l{number}/{path}")));
    compare_all(&nginx, &server, targets);
    server.stop();
}

#[test]
fn rules_in_servers_conditions_and_nested_locations_match_nginx() {
    let root = Directory::new("root");
    let http = format!(
        r#"map $uri $mapped {{ ~^/map/(?<part>.*)$ "m-$part"; default "d-$uri"; }}
        server {{ listen 127.0.0.1:{{{{PORT}}}}; root {}; default_type text/plain;
            rewrite_log on;
            if ($arg_stop = 1) {{ rewrite ^/server/(.*)$ /show/stopped/$1 break; }}
            rewrite ^/server/(.*)$ /show/$1;
            rewrite ^/show/twice/(.*)$ /show/second/$1?s=1 last;
            rewrite ^/show/second/x /show/never last;
            if ($arg_x ~ (.)(?<named>.)) {{ set $seen 1; }}
            location /show {{
                return 200 "show $uri|$args|$1|$2|$named|$seen|$mapped|$arg_a|$request_filename"; }}
            location /captures {{ return 200 "$1|$2|$named"; }}
            location ~ ^/regex/none {{ return 200 "$1|$named"; }}
            location /loop {{ rewrite ^ /loop last; }}
            location ~ ^/count/(x*)$ {{ rewrite ^/count/x(.*)$ /count/$1 last;
                return 200 "end $uri"; }}
            location /hidden {{ internal; return 200 "hidden $uri"; }}
            location /to-hidden {{ rewrite ^ /hidden last; }}
            location /then-break {{ rewrite ^/then-break/(.*)$ /show/$1; break; return 200 no; }}
            location /break-first {{ break; rewrite ^ /show last; }}
            location /if {{
                if ($arg_k = a) {{ rewrite ^ /show/a last; }}
                if ($arg_k = b) {{ rewrite ^ /show/b?kept=$arg_k; set $seen 2; }}
                if ($arg_k = c) {{ rewrite ^ /show/c break; return 200 no; }}
                if ($arg_k = d) {{ break; }}
                rewrite ^/if /show/end;
            }}
            location /args {{ set $args "a=1&b=$arg_b"; rewrite ^ /show last; }}
            location /args-here {{ set $args "x=$1";
                return 200 "$args|$arg_x|$is_args|$query_string|$arg_a"; }}
            location /set {{ set $seen "$1"; rewrite ^/set/(.*)$ /sett/$1; set $seen "<$1>";
                return 200 "$seen|$uri"; }}
            location /map {{ if ($mapped = x) {{ return 400; }} rewrite ^ /show last; }}
            location /map-late {{ rewrite ^ /show last; }}
            location /nested/ {{ rewrite ^/nested/go /show/nested last;
            location /nested/in {{ return 200 in; }} }}
            location /return {{ rewrite ^ /show; return 200 "returned $uri"; }}
            location /small {{ client_max_body_size 2; rewrite ^ /show last; }}
            location /small-return {{ client_max_body_size 2; return 200 x; }}
            location /private {{ internal; return 200 x; }}
        }}"#,
        root.path().display()
    );
    let mut requests: Vec<ComparedRequest<'_>> = Vec::new();
    for target in [
        "/server/a%20b?x=yz",
        "/server/a?stop=1",
        "/server/twice/y?q=1",
        "/server/twice/x",
        "/captures?x=ab",
        "/captures?x=",
        "/regex/none?x=ab",
        "/loop",
        "/count/xxxxxxxxx",
        "/count/xxxxxxxxxx",
        "/count/xxxxxxxxxxx",
        "/count/xxxxxxxxxxxx",
        "/hidden",
        "/to-hidden",
        "/then-break/x",
        "/break-first",
        "/if?k=a",
        "/if?k=b",
        "/if?k=c",
        "/if?k=d",
        "/if?k=e",
        "/args?a=9&b=%41",
        "/args-here/?a=2&x=q%26r",
        "/set/a%20b",
        "/set/plain",
        "/map/foo",
        "/map-late",
        "/nested/go",
        "/nested/in/go",
        "/nested/other",
        "/return",
        "/private",
    ] {
        requests.push(("GET", target, &[]));
    }
    requests.extend([("POST", "/small", &[][..]), ("POST", "/show", &[])]);
    compare(&http, &requests);
}

#[test]
fn bodies_over_the_limit_of_a_location_are_rejected() {
    let http = "server { listen 127.0.0.1:{{PORT}}; location /to { return 200 x; }
        location /rewrite { client_max_body_size 2; rewrite ^ /to last; } location /return { \
        client_max_body_size 2; return 200 x; } }";
    let nginx = Nginx::start(http);
    let server = Server::with_conf(&format!("events {{}}\nhttp {{\n{http}\n}}\n"));
    for (target, body) in [
        ("/rewrite", "123"),
        ("/return", "123"),
        ("/rewrite", "12"),
        ("/return", "12"),
        ("/to", "123"),
    ] {
        let ask = |mut connection: Connection| {
            connection
                .request("POST", target, &[], Some(body.as_bytes()))
                .head
                .status
        };
        assert_eq!(
            ask(server.connect()),
            ask(nginx.connect()),
            "{target} {body}"
        );
    }
    server.stop();
}

#[test]
fn limited_methods_match_nginx_without_a_handler() {
    let root = Directory::new("root");
    let http = format!(
        "server {{ listen 127.0.0.1:{{{{PORT}}}}; root {};
            location /get {{ limit_except GET {{ allow all; }} return 200 x; }}
            location /none {{ limit_except GET {{ deny all; }} return 200 x; }}
            location /rewrite {{ limit_except GET POST {{ allow all; }} rewrite ^ /get last; }} }}",
        root.path().display()
    );
    let mut requests: Vec<ComparedRequest<'_>> = Vec::new();
    for target in ["/get", "/get/", "/none", "/rewrite"] {
        requests.extend(
            ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
                .map(|method| (method, target, &[][..])),
        );
    }
    compare(&http, &requests);
}

/// The checksum of a text as `secure_link_md5` expects it.
pub(super) fn checksum(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Md5::digest(text))
}

fn hexadecimal(text: &str) -> String {
    Md5::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn links_are_checked_as_by_nginx() {
    let http = r#"server { listen 127.0.0.1:{{PORT}}; default_type text/plain;
        secure_link $arg_md5; secure_link_md5 "$uri server";
        location /server { return 200 "<$secure_link|$secure_link_expires>"; }
        location /expires { secure_link $arg_md5,$arg_e;
            secure_link_md5 "$secure_link_expires$uri secret";
            if ($secure_link = "") { return 403 "none $secure_link_expires"; }
                if ($secure_link = "0") { return 410; } rewrite ^ /after last; }
        location /after { return 200 "<$secure_link|$secure_link_expires>"; }
        location /rewritten { rewrite ^/rewritten/(.*)$ /server/$1 last; }
        location /word/ { secure_link_secret word; if ($secure_link = "") { return 403; }
            rewrite ^ /linked/$secure_link; }
        location /linked/ { internal; return 200 "$uri|$args|$secure_link"; }
        location /half { secure_link_md5 x; return 200 "<$secure_link>"; } }"#;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let server = checksum("/server server");
    let expiring = |time: &str| {
        format!(
            "/expires?md5={}&e={time}",
            checksum(&format!("{time}/expires secret"))
        )
    };
    let link = hexadecimal("a/bword");
    let with_arguments = hexadecimal("a?x=1word");
    let targets = [
        format!("/server?md5={server}"),
        format!("/server?md5={server}=="),
        format!("/server?md5={server}=x"),
        format!("/server?md5={server}==="),
        format!("/server?md5={server}A"),
        format!("/server?md5={}", &server[..21]),
        format!("/server?md5={}", server.to_lowercase()),
        format!("/server?md5={}", checksum("/server Server")),
        format!("/server?md5={server},1"),
        "/server".to_owned(),
        "/server?md5=".to_owned(),
        format!("/rewritten/x?md5={}", checksum("/server/x server")),
        format!("/half?md5={}", checksum("x")),
        expiring(&(now + 1000).to_string()),
        expiring(&(now - 1000).to_string()),
        expiring("0"),
        expiring("-5"),
        expiring("1x"),
        expiring("9223372036854775807"),
        expiring("9223372036854775808"),
        expiring(""),
        "/expires?md5=x&e=77".to_owned(),
        format!("/word/{link}/a/b"),
        format!("/word/{}/a/b", link.to_uppercase()),
        format!("/word/{link}/a/c"),
        format!("/word/{link}/"),
        format!("/word/{}/a/b", &link[..31]),
        format!("/word/{with_arguments}/a?x=1"),
        format!("/word/{with_arguments}/a"),
        "/word/".to_owned(),
    ];
    let requests: Vec<ComparedRequest<'_>> = targets
        .iter()
        .map(|target| ("GET", target.as_str(), &[][..]))
        .collect();
    compare(http, &requests);
}

/// The status of a request on a new connection.
pub(super) fn status(server: &Server, method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
    let body = (method == "POST").then_some(&b"hi"[..]);
    server
        .connect()
        .request(method, target, headers, body)
        .head
        .status
}
