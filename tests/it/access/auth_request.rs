//! `auth_request` compared with Debian's nginx (1.22.1) on the same file. Push locations with
//! `auth_request` are tested in `guarded_locations`.

use crate::support::{ComparedRequest, Directory, Reply, ScriptedBackend, compare_with};

/// A back-end that responds with the status in the header `X-Want` (200 without it), and not at all
/// if that is `silence`.
pub(super) fn start_backend() -> ScriptedBackend {
    ScriptedBackend::start(|request| {
        let wanted = request.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("x-want: ")
                .map(str::to_owned)
        });
        let status = wanted.unwrap_or_else(|| "200".to_owned());
        if status == "silence" {
            return Reply::Silence;
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let redirect = if path.contains("elsewhere") {
            "X-Accel-Redirect: /ok\r\n"
        } else {
            ""
        };
        let response = format!(
            "HTTP/1.1 {status} X\r\n{redirect}X-Path: {path}\r\nX-User: bob\r\n\
             X-Channel: secret-room\r\nSet-Cookie: sid=abc; Path=/\r\n\
             WWW-Authenticate: Digest q\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
        );
        Reply::Last(response.into_bytes())
    })
}

/// Targets that are requested with and without credentials.
const TARGETS: [&str; 31] = [
    "/a-backend?gone=1",
    "/a-ok",
    "/a-no",
    "/a-who",
    "/a-found",
    "/a-text",
    "/a-regex-ok",
    "/a-regex-no",
    "/a-inner",
    "/a-limited",
    "/a-arguments",
    "/a-nowhere",
    "/a-returns",
    "/a-shares",
    "/a-stays?q=1",
    "/a-leads?q=1",
    "/a-whole",
    "/a-passes",
    "/off",
    "/off/in",
    "/off/inherits",
    "/any-1",
    "/any-2",
    "/any-3",
    "/any-4",
    "/any-5",
    "/any-6",
    "/any-7",
    "/all-1",
    "/all-2",
    "/to",
];

#[test]
fn responses_and_variables_match_nginx() {
    let backend = start_backend();
    let root = Directory::new("root");
    let users = root.write("users", "u:{PLAIN}pw\n");
    let http = format!(
        r#"server {{ listen 127.0.0.1:{{{{PORT}}}}; root {root}; default_type text/plain;
            set $shared outer;
            if ($arg_gone) {{ return 410; }}
            auth_request_set $user $upstream_http_x_user;
                auth_request_set $state
                    "$upstream_status $status $upstream_cookie_sid $upstream_http_x_path";
            add_header X-Seen "$user|$state|$shared|$uri" always;
            location = /auth {{ internal; proxy_pass http://{backend}/check;
                proxy_pass_request_body off; proxy_set_header Content-Length ""; }}
            location /ok {{ internal; return 204; }} location /no {{ internal; return 403; }}
            location /who {{ internal; return 401; }}
            location /found {{ internal; return 302 /x; }} location /text {{ internal;
                return 200 text; }} location /missing {{ internal; }}
            location ~ ^/regex/(?<kind>ok|no)$ {{ internal; rewrite ^ /$kind last; }}
            location /inner {{ internal; auth_request /no; deny all; return 204; }}
            location /limited {{ internal; limit_except GET {{ deny all; }} return 204; }}
            location /shares {{ internal; set $shared inner; return 204; }}
            location /stays/ {{ internal; rewrite ^/stays/(.*)$ /new/$1?$arg_q break;
                proxy_pass http://{backend}/ignored/; }}
            location /leads/ {{ internal; rewrite ^/leads/(.*)$ /passes/$1?a=$http_host last; }}
            location /passes/ {{ internal; proxy_pass http://{backend}/base/; }}
            location ~ ^/whole/ {{ internal; proxy_pass http://{backend}; }}
            location /a-stays {{ auth_request /stays/x%20y; }}
            location /a-leads {{ auth_request /leads/x; }}
            location /a-whole {{ auth_request "/whole/x y?z"; }}
            location /a-passes {{ auth_request /passes/x?y; }}
            location /a-backend {{ auth_request /auth; }}
            location /a-ok {{ auth_request /ok; }} location /a-no {{ auth_request /no; }}
            location /a-who {{ auth_request /who; }}
            location /a-found {{ auth_request /found; }} location /a-text {{ auth_request /text; }}
            location /a-regex-ok {{ auth_request /regex/ok; }}
            location /a-regex-no {{ auth_request /regex/no; }}
            location /a-inner {{ auth_request /inner; }}
            location /a-limited {{ auth_request /limited; }}
            location /a-arguments {{ auth_request /ok?x=1; }}
            location /a-nowhere {{ auth_request /nowhere; }}
            location /a-returns {{ auth_request /no; return 200 returned; }}
            location /off {{ auth_request /no; location /off/in {{ auth_request off; }}
                location /off/inherits {{ }} }}
            location /any-1 {{ satisfy any; allow 127.0.0.1; auth_request /no; }}
            location /any-2 {{ satisfy any; deny all; auth_request /ok; }}
            location /any-3 {{ satisfy any; deny all; auth_request /who; }}
            location /any-4 {{ satisfy any; auth_basic B; auth_basic_user_file {users};
                auth_request /no; }}
            location /any-5 {{ satisfy any; auth_basic B; auth_basic_user_file {users};
                auth_request /ok; }}
            location /any-6 {{ satisfy any; auth_basic B; auth_basic_user_file {users};
                auth_request /auth; }}
            location /any-7 {{ satisfy any; auth_basic B; auth_basic_user_file {users};
                auth_request /found; }}
            location /all-1 {{ deny all; auth_request /ok; }}
            location /all-2 {{ auth_basic B; auth_basic_user_file {users}; auth_request /no; }}
            location /a-shares {{ auth_request /shares; }}
            location /to {{ rewrite ^ /a-backend last; }}
        }}"#,
        root = root.path().display(),
        backend = backend.address,
        users = users.display()
    );
    let wants: Vec<[(&str, &str); 1]> = [
        "200", "204", "299", "301", "400", "401", "403", "404", "500", "503",
    ]
    .map(|want| [("X-Want", want)])
    .into();
    let mut requests: Vec<ComparedRequest<'_>> = wants
        .iter()
        .map(|want| ("GET", "/a-backend?q=1", want.as_slice()))
        .collect();
    for target in TARGETS {
        requests.push(("GET", target, &[]));
        requests.push((
            "GET",
            target,
            &[("Authorization", "Basic dTpwdw=="), ("X-Want", "401")],
        ));
    }
    requests.extend([
        ("POST", "/a-no", &[][..]),
        ("POST", "/a-limited", &[]),
        ("HEAD", "/a-no", &[]),
    ]);
    // Requests to back-ends are served where a push location needs them.
    compare_with(
        &http,
        "location /push { auth_request /auth; push_subscriber; set $push_channel_id c; }",
        &requests,
    );
}
