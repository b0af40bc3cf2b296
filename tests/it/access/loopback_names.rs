//! Host names under which the built-in locations respond (DNS rebinding).

use super::builtin_locations::{CROSS_SITE, EVIL, REQUESTS, ask, raw, send, status, upgrade};
use crate::support::{Connection, Server, Socket, conf, wait_until};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

#[test]
fn a_loopback_server_accepts_only_loopback_names() {
    let server = Server::start(&["--server-name", "Push.Example"]);
    server.publish("c", "x");
    let host = |name: &str| {
        raw(
            &server,
            &format!("DELETE /pub?id=none HTTP/1.1\r\nHost: {name}\r\n\r\n"),
        )
    };
    for name in [
        "localhost",
        "localhost:1",
        "LOCALHOST.",
        "127.0.0.1",
        "127.0.0.1:9080",
        "127.1",
        "0x7f000001",
        "192.168.1.7:80",
        "[::1]",
        "[::1]:9080",
        "[fe80::1]",
        "push.example",
        "PUSH.EXAMPLE.:80",
    ] {
        assert_eq!(host(name), 404, "{name}");
    }
    for name in [
        "attacker.test",
        "attacker.test:9080",
        "localhost.attacker.test",
        "127.0.0.1.attacker.test",
        "xlocalhost",
        "[::1].attacker.test",
        "push.example.attacker.test",
        "sub.push.example",
        "attacker.test:80:80",
        "[attacker.test]",
        "0xattacker",
        "\u{ff}",
    ] {
        assert!(matches!(host(name), 400 | 421), "{name}");
    }
    assert_eq!(
        (host("attacker.test"), host("localhost.attacker.test:9080")),
        (421, 421)
    );
    for (method, path) in REQUESTS {
        let response = ask(&server, method, path, &[("Host", "attacker.test")]);
        assert_eq!(response.head.status, 421, "{method} {path}");
        assert!(
            response.text().contains("--server-name") && response.text().contains("--real-ip-from"),
            "{response:?}"
        );
    }
    assert_eq!(upgrade(&server, &[("Host", "attacker.test")]), 421);
    // A page under that name is not one of the server.
    assert_eq!(
        status(
            &server,
            "POST",
            "/pub?id=c",
            &[
                ("Host", "attacker.test"),
                ("Origin", "http://attacker.test")
            ]
        ),
        421
    );
    // Absolute targets, and requests without a host.
    assert_eq!(
        raw(
            &server,
            "GET http://attacker.test/pub?id=c HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ),
        421
    );
    assert_eq!(
        raw(
            &server,
            "GET http://localhost/pub?id=c HTTP/1.1\r\nHost: attacker.test\r\n\r\n"
        ),
        421
    );
    assert_eq!(
        raw(
            &server,
            "GET http://localhost/pub?id=c HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ),
        200
    );
    assert_eq!(raw(&server, "GET /pub?id=c HTTP/1.0\r\n\r\n"), 200);
    // Headers that only proxies send do not count.
    let forwarded = [
        ("Host", "attacker.test"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Real-IP", "127.0.0.1"),
    ];
    assert_eq!(status(&server, "GET", "/pub?id=c", &forwarded), 421);
    wait_until("the log names the option", || {
        server.stderr().contains("--server-name")
    });
    server.stop();
}

#[test]
fn host_names_from_trusted_proxies_and_unix_sockets_are_accepted() {
    let named = [("Host", "push.example")];
    let server = Server::start(&["--real-ip-from", "127.0.0.1"]);
    assert_eq!(status(&server, "GET", "/channels-stats", &named), 200);
    server.stop();
    let server = Server::start(&["--real-ip-from", "10.0.0.1"]);
    assert_eq!(status(&server, "GET", "/channels-stats", &named), 421);
    server.stop();
    let server = Server::start(&["--listen", "unix:x.sock"]);
    let socket =
        UnixStream::connect(server.directory().path().join("x.sock")).expect("the server listens");
    let mut connection = Connection::new(Socket::Unix(socket));
    send(&mut connection, "GET", "/channels-stats", &named);
    assert_eq!(connection.read_head().status, 200);
    server.stop();
    // Names of other addresses are unknown to the server unless they are configured.
    for (args, expected) in [
        (&["--listen", "0.0.0.0:0"][..], 200),
        (&["--listen", "0.0.0.0:0", "--server-name", "my.test"], 421),
    ] {
        let server = Server::start(args);
        let port = server
            .address()
            .rsplit(':')
            .next()
            .expect("a port")
            .to_owned();
        let socket = TcpStream::connect(format!("127.0.0.1:{port}")).expect("the server listens");
        let mut connection = Connection::new(Socket::Tcp(socket));
        send(&mut connection, "GET", "/channels-stats", &named);
        assert_eq!(connection.read_head().status, expected, "{args:?}");
        server.stop();
    }
}

#[test]
fn imported_configurations_are_not_restricted() {
    let server = Server::with_conf(&conf(
        "push_stream_shared_memory_size 10m;",
        "location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; }
         location /jsonp { push_stream_subscriber polling; push_stream_channels_path $arg_id; \
         push_stream_message_template ~text~; }",
    ));
    let headers = [("Host", "any.test"), ("Origin", EVIL), CROSS_SITE];
    let response = ask(&server, "POST", "/pub?id=c", &headers);
    assert_eq!(
        (
            response.head.status,
            response.head.get("X-Content-Type-Options"),
            response.head.get("Vary")
        ),
        (200, None, None)
    );
    let response = ask(
        &server,
        "GET",
        "/jsonp?id=c&callback=alert(1)//",
        &[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")],
    );
    assert_eq!(response.head.status, 304, "{response:?}");
    server.stop();
}
