//! Variables: all of nginx's are accepted; in logs they have nginx's values at the end of a
//! request; one without a value here is never part of a rule.

use std::path::Path;

use crate::support::{Connection, Nginx, Server, conf, wait_until};

/// The lines of a log, when it has this many.
pub(super) fn lines(path: &Path, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    wait_until("the lines are logged", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        lines = text.lines().map(str::to_owned).collect();
        lines.len() >= count
    });
    lines
}

const NCHAN_FORMAT: &str = "$uri $status $body_bytes_sent [$request_completion] \
                            [$nchan_channel_id|$nchan_channel_id1|$nchan_channel_id2] \
    [$nchan_subscriber_type|$nchan_publisher_type] [$nchan_prev_message_id] \
    [$sent_http_content_type] [$request_body] $connection_requests";

/// Publishes, polls, follows and leaves.
fn use_channels(mut connect: impl FnMut() -> Connection) {
    let close: &[(&str, &str)] = &[("Connection", "close")];
    connect().request("POST", "/pub/a", close, Some(b"hel\"lo"));
    connect().request("GET", "/sub/a", close, None);
    connect().request("GET", "/sub/none", close, None);
    let mut leaving = connect();
    leaving.send_request("GET", "/long/b", &[("Accept", "text/event-stream")], None);
    leaving.read_head();
    leaving.read_until(b": hi\n");
    drop(leaving);
    let mut waiting = connect();
    waiting.send_request("GET", "/sub/c", &[("Accept", "text/event-stream")], None);
    waiting.read_head();
    waiting.read_to_close();
    let mut deleted = connect();
    deleted.send_request("GET", "/long/d", &[("Accept", "text/event-stream")], None);
    deleted.read_head();
    deleted.read_until(b": hi\n");
    connect().request("DELETE", "/pub/d", close, None);
    deleted.read_to_close();
    connect().request("GET", "/pub/none2", close, None);
}

#[test]
fn lines_about_nchan_locations_match_nginx() {
    let locations = "location ~ ^/pub/(\\w+)$ { nchan_publisher; nchan_channel_id $1; }
        location ~ ^/sub/(\\w+)$ { nchan_subscriber; nchan_channel_id $1; nchan_subscriber_timeout \
        1s; }
        location ~ ^/long/(\\w+)$ { nchan_subscriber; nchan_channel_id $1; }";
    let http = format!(
        "log_format f '{NCHAN_FORMAT}'; server {{ listen 127.0.0.1:{{{{PORT}}}}; access_log log f; \
         {locations} }}"
    );
    let nginx = Nginx::start_with("load_module modules/ngx_nchan_module.so;", &http);
    let server = Server::with_conf(&format!("events {{}} http {{ {http} }}"));
    use_channels(|| nginx.connect());
    use_channels(|| server.connect());
    let sorted = |path: &Path| {
        let mut lines = lines(path, 8);
        lines.sort();
        lines
    };
    let theirs = sorted(&nginx.directory().path().join("log"));
    let ours = sorted(&server.directory().path().join("log"));
    // Bodies of publisher responses contain times and differ.
    let without_times = |lines: &[String]| {
        lines
            .iter()
            .map(|line| line.replace(" 100 ", " 101 "))
            .collect::<Vec<_>>()
    };
    assert_eq!(without_times(&ours), without_times(&theirs));
    server.stop();
}

#[test]
fn lines_about_streams_have_their_status_and_their_bytes() {
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 32m; map $status $is_bad { ~^2 0; default 1; }
         log_format f '$uri $status $bytes_sent $body_bytes_sent $request_length \
         [$request_completion]'; log_format g '$uri $status';
         access_log log f; access_log bad g if=$is_bad;",
        r"location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; }
        location ~ ^/sub/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
            push_stream_message_template ~text~; }
        location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1;
            push_stream_longpolling_connection_ttl 1s; }
        location = /gone { return 410; }",
    ));
    let mut follower = server.connect();
    let request = "GET /sub/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    follower.send(request);
    let head = follower.read_head().raw.len();
    server.publish("a", "hello");
    follower.read_until(b"hello");
    drop(follower);
    let log = server.directory().path().join("log");
    let path = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let left = lines(&log, 2)
        .into_iter()
        .find(|line| path(line) == "/sub/a")
        .unwrap_or_default();
    assert_eq!(
        left,
        format!("/sub/a 499 {} 10 {} []", head + 10, request.len()),
        "5\\r\\nhello\\r\\n"
    );
    assert_eq!(server.get("/lp/b").head.status, 304);
    let response = server.get("/gone");
    assert_eq!(response.head.status, 410);
    let all = lines(&log, 4);
    let of = |wanted: &str| {
        all.iter()
            .find(|line| path(line) == wanted)
            .cloned()
            .unwrap_or_default()
    };
    assert!(
        of("/lp/b").starts_with("/lp/b 304 ")
            && of("/lp/b").contains(" 0 ")
            && of("/lp/b").ends_with("[OK]"),
        "{all:?}"
    );
    assert!(
        of("/gone").starts_with("/gone 410 ")
            && of("/gone").contains(&format!(" {} ", response.body.len())),
        "{all:?}"
    );
    let bad = lines(&server.directory().path().join("bad"), 3);
    assert_eq!(
        bad,
        ["/sub/a 499", "/lp/b 304", "/gone 410"],
        "a condition on the status is decided when it is known"
    );
    server.stop();
}

#[test]
fn a_request_has_one_id_everywhere() {
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 32m; log_format f '$request_id'; access_log log f;",
        r#"add_header X-Request-ID $request_id always;
        location = /text { return 200 "$request_id|$request_id"; }
        location /pub { push_stream_publisher; push_stream_channels_path $arg_id; }"#,
    ));
    let mut connection = server.connect();
    let mut ids = Vec::new();
    for path in ["/text", "/text", "/pub?id=a", "/none"] {
        let response = connection.request("GET", path, &[], None);
        let id = response
            .head
            .get("X-Request-ID")
            .unwrap_or_default()
            .to_owned();
        assert!(
            id.len() == 32
                && id
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            "{id}"
        );
        if path == "/text" {
            assert_eq!(response.body, format!("{id}|{id}").as_bytes());
        }
        ids.push(id);
    }
    let other = server.get("/text");
    ids.push(
        other
            .head
            .get("X-Request-ID")
            .unwrap_or_default()
            .to_owned(),
    );
    assert_eq!(lines(&server.directory().path().join("log"), 5), ids);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "no two requests have the same");
    server.stop();
}

#[test]
fn variables_of_nginx_do_not_stop_the_start() {
    for name in [
        "ancient_browser",
        "binary_remote_addr",
        "body_bytes_sent",
        "bytes_sent",
        "connection",
        "connection_requests",
        "connection_time",
        "connections_active",
        "date_gmt",
        "date_local",
        "fastcgi_path_info",
        "fastcgi_script_name",
        "geoip_country_code",
        "gzip_ratio",
        "http2",
        "https",
        "invalid_referer",
        "limit_rate",
        "msie",
        "pipe",
        "proxy_protocol_addr",
        "request_body",
        "request_completion",
        "request_id",
        "request_length",
        "request_time",
        "sent_http_content_type",
        "sent_trailer_x",
        "slice_range",
        "ssl_cipher",
        "ssl_client_verify",
        "status",
        "tcpinfo_rtt",
        "uid_got",
        "upstream_addr",
        "upstream_http_x",
        "upstream_response_time",
    ] {
        let http = format!(
            "push_stream_shared_memory_size 32m; log_format f '${name}'; access_log log f; \
             add_header X-A ${name};"
        );
        let server = Server::with_conf(&conf(&http, "location = /x { return 204; }"));
        assert_eq!(server.get("/x").head.status, 204, "{name}");
        server.stop();
    }
    for name in ["ssl_x", "upstream_x", "proxy_x", "gzip_x", "nothing"] {
        let error = Server::try_with_conf(
            &conf(
                "push_stream_shared_memory_size 32m;",
                &format!("add_header X-A ${name};"),
            ),
            &[],
        );
        assert!(
            error
                .err()
                .is_some_and(|error| error.contains(&format!("unknown \"{name}\" variable"))),
            "{name}"
        );
    }
}

#[test]
fn a_variable_without_a_value_is_never_part_of_a_rule() {
    let push = "push_stream_publisher admin; push_stream_channels_path $arg_id;";
    let cases = [
        (
            "",
            format!(
                "location /pub {{ if ($ssl_client_verify != SUCCESS) {{ return 403; }} {push} \
                      }}"
            ),
            "ssl_client_verify",
            "--front",
        ),
        (
            "",
            format!(
                "location /pub {{ if ($invalid_referer) {{ return 403; }} {push} \
                      }}"
            ),
            "invalid_referer",
            "--front",
        ),
        (
            "",
            format!(
                "if ($geoip_country_code = XX) {{ return 403; }} location /pub {{ {push} \
                      }}"
            ),
            "geoip_country_code",
            "--front",
        ),
        (
            "",
            format!("location /pub {{ set $who $ssl_client_s_dn; {push} }}"),
            "ssl_client_s_dn",
            "--front",
        ),
        (
            "",
            "location /pub { push_stream_publisher; push_stream_channels_path \
              $ssl_client_serial; }"
                .to_owned(),
            "ssl_client_serial",
            "$http_NAME",
        ),
        (
            "",
            format!(
                "location /pub {{ if ($arg_x) {{ push_stream_channels_path $jwt_claim_sub; }} \
                      {push} }}"
            ),
            "jwt_claim_sub",
            "$http_NAME",
        ),
        (
            "map $ssl_protocol $old { TLSv1 1; default 0; } map $arg_x $deny { 1 $old; default \
             0; }",
            format!("location /pub {{ if ($deny) {{ return 403; }} {push} }}"),
            "deny",
            "--front",
        ),
    ];
    for (http, locations, name, remedy) in cases {
        let text = conf(
            &format!("push_stream_shared_memory_size 32m; {http}"),
            &locations,
        );
        let error = Server::try_with_conf(&text, &[])
            .err()
            .unwrap_or_else(|| panic!("it starts: {text}"));
        assert!(
            error.contains(&format!("variable \"${name}\"")) && error.contains(remedy),
            "{name}: {error}"
        );
    }
    // A map that is used only by a log restricts nothing.
    let http = "push_stream_shared_memory_size 32m; map $ssl_protocol $old { TLSv1 1; default 0; } \
                log_format f '$old'; access_log log f;";
    let server = Server::with_conf(&conf(http, &format!("location /pub {{ {push} }}")));
    wait_until("the empty value is reported", || {
        server
            .stderr()
            .contains("variable \"$old\" has no value in pushctl")
    });
    server.stop();
}
