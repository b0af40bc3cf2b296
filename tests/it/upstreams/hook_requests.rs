//! Requests that hooks send: their URI, bodies and headers, whatever the client sends.

use super::hooks::{FORBIDDEN, hook_requests_for, start_backend, with_authorization_by};
use crate::support::{ScriptedBackend, Server, conf};

/// Asserts that the request is rejected after one hook request for `target`.
fn expect_hook_request(server: &Server, backend: &ScriptedBackend, path: &str, target: &str) {
    let (status, asked) = hook_requests_for(server, backend, path, &[]);
    assert_eq!(status, 403, "{path}");
    assert!(
        asked.len() == 1 && asked[0].starts_with(&format!("GET {target} HTTP/1.1\r\n")),
        "{path}: {asked:?}"
    );
}

#[test]
fn arguments_of_the_client_do_not_reach_an_address_with_variables() {
    let backend = start_backend(FORBIDDEN);
    let server = with_authorization_by(&format!(
        "proxy_pass http://{}/auth?id=$whole;",
        backend.address
    ));
    for (path, target) in [
        ("/sub/secret?id=public", "/auth?id=secret"),
        ("/sub/secret,%26id=public", "/auth?id=secret,%26id=public"),
        ("/sub/public%23,secret", "/auth?id=public%23,secret"),
        ("/sub/a+b", "/auth?id=a%2Bb"),
        ("/raw/secret?id=public", "/auth?id=secret"),
        ("/raw/public%23,secret", "/auth?id=public%23,secret"),
    ] {
        expect_hook_request(&server, &backend, path, target);
    }
    for path in ["/raw/secret%20public", "/raw/secret%0dX-Chan:%20public"] {
        assert_eq!(
            hook_requests_for(&server, &backend, path, &[]),
            (502, Vec::new()),
            "{path}: it is no address"
        );
    }
}

#[test]
fn variables_in_a_hook_uri_are_escaped_by_context() {
    let backend = start_backend(FORBIDDEN);
    let locations = format!(
        "location ~ ^/path/([^/]*)/(?<name>.*)$ {{ nchan_channel_id $name; nchan_subscriber; \
         nchan_authorize_request /auth/$1/$name/end; }}
        location ~ ^/args/(.*)$ {{ nchan_channel_id $1; nchan_subscriber; nchan_authorize_request \
        /auth?id=$1&h=$http_x&a=$arg_a&last; }}
        location = /all {{ nchan_channel_id $arg_a; nchan_subscriber; nchan_authorize_request \
        /auth?p=$uri&$args; }}
        location = /dots {{ nchan_channel_id c; nchan_subscriber; nchan_authorize_request \
        /auth/$arg_a/x; }}
        location = /raw {{ nchan_channel_id c; nchan_subscriber; nchan_authorize_request /to; }}
        location = /to {{ internal; proxy_pass http://{0}/only/$arg_a/x; }}
        location /auth {{ internal; proxy_pass http://{}; }}",
        backend.address
    );
    let server = Server::with_conf(&conf("", &locations));
    for (path, target) in [
        ("/path/mine/x?k=v", "/auth/mine/x/end?k=v"),
        ("/path/mine%3F/x", "/auth/mine%3F/x/end"),
        ("/path/mine%3Fk=v%23/x?k=w", "/auth/mine%3Fk=v%23/x/end?k=w"),
        ("/args/one?a=%26", "/auth?id=one&h=&a=%26&last"),
        (
            "/args/one%26id=two%23?a=1",
            "/auth?id=one%26id=two%23&h=&a=1&last",
        ),
        ("/all?a=1&b=%26?", "/auth?p=/all&a=1&b=%26?"),
    ] {
        expect_hook_request(&server, &backend, path, target);
    }
    let (_, asked) = hook_requests_for(&server, &backend, "/args/one", &[("X", "1&id=two #")]);
    assert!(
        asked[0].starts_with("GET /auth?id=one&h=1%26id=two%20%23&a=&last HTTP/1.1\r\n"),
        "{asked:?}"
    );
    // A back-end could interpret it as a path to another location.
    assert_eq!(
        hook_requests_for(&server, &backend, "/dots?a=..", &[]),
        (502, Vec::new())
    );
    for dots in ["..", "%2e%2E", "a%2f..%2fb", "..%5cb"] {
        assert_eq!(
            hook_requests_for(&server, &backend, &format!("/raw?a={dots}"), &[]),
            (502, Vec::new()),
            "{dots}"
        );
    }
}

#[test]
fn the_location_of_a_hook_sees_the_request_of_the_hook() {
    let backend = start_backend(FORBIDDEN);
    let locations = format!(
        r#"location ~ ^/v/([^/]*)/([^/]*)$ {{ set $mine "m-$1"; nchan_subscriber;
            nchan_channel_id $2; nchan_authorize_request /iv/$2?k=$1; }}
        location ~ ^/iv/(.*)$ {{ internal;
            proxy_pass http://{0}/ask?id=$1&k=$arg_k&uri=$uri&mine=$mine;
            proxy_set_header X-Args "$args"; }}
        location = /cond {{ nchan_subscriber; nchan_channel_id $arg_id;
            nchan_authorize_request /icond; }}
        location = /icond {{ internal; set $to allow; if ($arg_id = "secret") {{ set $to deny; }}
            proxy_pass http://{0}/$to; }}
        location = /ret {{ nchan_subscriber; nchan_channel_id $arg_id;
            nchan_authorize_request /iret; }}
        location = /iret {{ internal; if ($arg_tok = "") {{ return 401; }}
            proxy_pass http://{0}/allow; }}"#,
        backend.address
    );
    let server = Server::with_conf(&conf("", &locations));
    let (status, asked) = hook_requests_for(&server, &backend, "/v/a/secret?k=b&x=y", &[]);
    assert_eq!((status, asked.len()), (403, 1));
    assert!(
        asked[0].starts_with("GET /ask?id=secret&k=a&uri=/iv/secret&mine=m-a HTTP/1.1\r\n"),
        "{asked:?}"
    );
    assert!(
        asked[0]
            .to_ascii_lowercase()
            .contains("\r\nx-args: k=a\r\n"),
        "{asked:?}"
    );
    for (path, target) in [
        ("/cond?id=c", "/allow"),
        ("/cond?id=secret", "/deny"),
        ("/ret?id=c&tok=t", "/allow?id=c&tok=t"),
    ] {
        expect_hook_request(&server, &backend, path, target);
    }
    assert_eq!(
        hook_requests_for(&server, &backend, "/ret?id=c", &[]),
        (401, Vec::new()),
        "a return is an answer"
    );
    let locations = format!(
        "server_name ~^(?<id>[a-z]+)\\.test$; if ($arg_token != k) {{ return 403; }}
        location ~ ^/s/(?<id>.+)$ {{ nchan_subscriber; nchan_channel_id $id; \
        nchan_authorize_request /auth?x=1; }}
        location = /auth {{ internal; proxy_pass http://{}/; proxy_set_header X-Id \"$id|$1\"; }}",
        backend.address
    );
    let server = Server::with_conf(&conf("", &locations));
    let mut client = server.connect();
    client.send("GET /s/chan?token=k HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert_eq!(client.read_head().status, 403);
    let asked = backend.take();
    assert!(
        asked[0]
            .to_ascii_lowercase()
            .contains("\r\nx-id: chan|\r\n"),
        "{asked:?}"
    );
}
