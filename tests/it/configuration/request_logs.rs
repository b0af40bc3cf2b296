//! Log lines of requests that were rejected, closed or matched by a failing regular expression.

use super::log_variables::lines;
use crate::support::{Nginx, Server, conf, wait_until};
use std::path::Path;

#[test]
fn requests_that_are_rejected_before_they_are_routed_are_logged_as_by_nginx() {
    let format = "$remote_addr [$request] $status $body_bytes_sent [$request_completion] \
                  $connection_requests $server_name $arg_a [$http_x_a]";
    let http = format!(
        "log_format f '{format}'; server {{ listen 127.0.0.1:{{{{PORT}}}}; server_name first; \
         access_log log f; location / {{ return 204; }} }}"
    );
    let nginx = Nginx::start_with("", &http);
    let server = Server::with_conf(&format!("events {{}} http {{ {http} }}"));
    let requests: [&[u8]; 8] = [
        b"GET /no-host HTTP/1.1\r\n\r\n",
        b"GET no-path HTTP/1.1\r\nHost: first\r\n\r\n",
        b"GET /hosts HTTP/1.1\r\nHost: first\r\nHost: b\r\n\r\n",
        b"GET /version HTTP/3.0\r\nHost: first\r\n\r\n",
        b"POST /coding HTTP/1.1\r\nHost: first\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\r\nPOST /length HTTP/1.1\r\nHost: first\r\nContent-Length: x\r\n\r\n",
        b"TRACE /method HTTP/1.1\r\nHost: first\r\n\r\n",
        b"\x16\x03\x01\x02\"\r\n\r\n",
    ];
    for (number, request) in requests.iter().enumerate() {
        for (mut connection, directory) in [
            (nginx.connect(), nginx.directory()),
            (server.connect(), server.directory()),
        ] {
            connection.send(request);
            connection.read_to_close();
            lines(&directory.path().join("log"), number + 1);
        }
    }
    let logged = |directory: &Path| lines(&directory.join("log"), requests.len());
    assert_eq!(
        logged(server.directory().path()),
        logged(nginx.directory().path())
    );
    server.stop();
}

#[test]
fn a_connection_closed_without_a_response_is_logged_as_incomplete() {
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 32m; log_format f '$status [$request_completion]'; \
         access_log log f;",
        "location / { return 444; }",
    ));
    let mut connection = server.connect();
    connection.send_request("GET", "/", &[], None);
    connection.read_to_close();
    assert_eq!(lines(&server.directory().path().join("log"), 1), ["444 []"]);
    server.stop();
}

#[test]
fn a_regular_expression_that_fails_in_a_log_concerns_no_other_value_and_no_request() {
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 32m; map $http_x $costly { ~^(a|aa)+$ yes; default no; }
         map $status $bad { ~^2 no; default yes; } map $http_x $late { ~^(a|aa)+$ yes; default \
         $status; }
         map $http_x $wanted { ~^(a|aa)+$ 0; b 0; default 1; } map $http_x $end { ~^(a|aa)+$ \
         $status; b 0; default $status; }
         log_format f '$uri [$costly] [$late] [$bad]'; log_format g '$uri'; access_log log f;
         access_log early g if=$wanted; access_log end g if=$end;",
        "location / { return 204; }",
    ));
    let mut connection = server.connect();
    let costly = format!("{}!", "a".repeat(60));
    for (path, value) in [
        ("/fails", costly.as_str()),
        ("/works", "aaa"),
        ("/other", "b"),
    ] {
        assert_eq!(
            connection
                .request("GET", path, &[("X", value)], None)
                .head
                .status,
            204,
            "{path}"
        );
    }
    let expected = [
        "/fails [-] [-] [no]",
        "/works [yes] [yes] [no]",
        "/other [no] [204] [no]",
    ];
    assert_eq!(lines(&server.directory().path().join("log"), 3), expected);
    assert_eq!(
        lines(&server.directory().path().join("early"), 1),
        ["/fails"],
        "no client keeps its line out of a log"
    );
    assert_eq!(
        lines(&server.directory().path().join("end"), 2),
        ["/fails", "/works"]
    );
    server.stop();
}

#[test]
fn a_header_that_depends_on_the_response_is_reported() {
    let http = "push_stream_shared_memory_size 32m; map $sent_http_content_type $kind { ~text \
                text; default $uri; } map $kind $cached { text a; default b; }
        map $uri $other { default a; } log_format f '$status $cached'; access_log log f;";
    let server = Server::with_conf(&conf(
        http,
        "location = /a { add_header Cache-Control $cached; return 204; } location = /b { \
         add_header X-Status a${status}b always; return 204; }
         location = /c { add_header X $other; proxy_set_header X $status; return 204; }",
    ));
    let reported = |name: &str| format!("variable \"${name}\" depends on the response");
    wait_until("both are reported", || {
        ["cached", "status"]
            .iter()
            .all(|name| server.stderr().contains(&reported(name)))
    });
    assert_eq!(
        server.stderr().matches("depends on the response").count(),
        2,
        "{}",
        server.stderr()
    );
    server.stop();
}
