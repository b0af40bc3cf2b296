//! Several servers and ports behind one nginx.

use super::front::{printed, serve};
use crate::support::{Connection, Directory, Nginx, Socket, program, wait_until};
use std::process::Command;

/// Ports of the loopback that were free a moment ago, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners =
        [(); N].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    listeners
        .each_ref()
        .map(|listener| listener.local_addr().expect("bound").port())
}

fn at(port: u16) -> Connection {
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    Connection::new(Socket::Tcp(stream))
}

#[test]
fn servers_that_differ_by_their_port_only_work_through_nginx() {
    let [publisher, subscriber, statistics] = free_ports();
    let text = format!(
        "events {{}} http {{ push_stream_shared_memory_size 32M; push_stream_store_messages on;
        server {{ listen 127.0.0.1:{publisher}; location /pub {{ push_stream_publisher; \
        push_stream_channels_path $arg_id; }} }}
        server {{ listen 127.0.0.1:{subscriber}; location ~ /sub/(.*) {{ push_stream_subscriber \
        long-polling; push_stream_channels_path $1; }} }}
        server {{ listen 127.0.0.1:{statistics}; location /pub {{ push_stream_channels_statistics; \
        push_stream_channels_path $arg_id; }} }} }}"
    );
    let directory = Directory::new("front-ports");
    let file = directory.write("nginx.conf", &text);
    // The printed ports are consecutive; some may be in use.
    let (front, server) = (0..20)
        .find_map(|_| {
            let [port] = free_ports();
            let (front, options) = printed(&file, &format!("127.0.0.1:{port}"));
            let are_free =
                (0..3).all(|more| std::net::TcpListener::bind(("127.0.0.1", port + more)).is_ok());
            are_free.then(|| (front, serve(&file, &options)))
        })
        .expect("three free ports in a row");
    assert!(!server.stderr().contains("hides"), "{}", server.stderr());
    let nginx = Nginx::start(&format!(
        "{front} server {{ listen 127.0.0.1:{{{{PORT}}}}; }}"
    ));
    let mut poll = at(subscriber);
    poll.send_request("GET", "/sub/a", &[], None);
    wait_until("the poll waits", || {
        at(statistics)
            .request("GET", "/pub?id=a", &[], None)
            .text()
            .contains("\"subscribers\": 1}")
    });
    let published = at(publisher).request("POST", "/pub?id=a", &[], Some(b"through three ports"));
    assert_eq!(published.head.status, 200, "{published:?}");
    assert_eq!(poll.read_response().text(), "through three ports");
    // A server of another port is unreachable.
    assert_eq!(
        at(publisher)
            .request("GET", "/sub/a", &[], None)
            .head
            .status,
        404
    );
    assert_eq!(
        at(statistics)
            .request("POST", "/pub?id=a", &[], Some(b"x"))
            .head
            .status,
        405
    );
    drop(nginx);
    server.stop();
    // One shared address hides two servers, which is reported.
    let server = serve(&file, &["--listen".to_owned(), "127.0.0.1:0".to_owned()]);
    let hidden = |port: u16| {
        server.stderr().contains(&format!(
            "hides a server with push locations (without a name, http://127.0.0.1:{port} "
        ))
    };
    wait_until("the hidden servers are reported", || {
        hidden(subscriber) && hidden(statistics)
    });
    assert!(!hidden(publisher), "{}", server.stderr());
    server.stop();
    let output = Command::new(program())
        .args(["serve", "--nginx-conf"])
        .arg(&file)
        .args(["--listen", "1=127.0.0.1:0"])
        .output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("the configuration does not listen on 1"),
        "{output:?}"
    );
}

#[test]
fn servers_of_one_port_with_names_and_another_port_keep_their_defaults() {
    let [first, second] = free_ports();
    let location = |path: &str| {
        format!("location {path} {{ push_stream_publisher; push_stream_channels_path a; }}")
    };
    let text = format!(
        "events {{}} http {{ push_stream_shared_memory_size 32M;
        server {{ listen 127.0.0.1:{first}; listen 127.0.0.1:{second}; server_name a; {} }}
        server {{ listen 127.0.0.1:{second} default_server; server_name b; {} }} }}",
        location("/a"),
        location("/b")
    );
    let directory = Directory::new("front-names");
    let file = directory.write("nginx.conf", &text);
    let sockets = directory.path().join("s");
    let (front, options) = printed(&file, &format!("unix:{}", sockets.display()));
    let server = serve(&file, &options);
    let nginx = Nginx::start(&format!(
        "{front} server {{ listen 127.0.0.1:{{{{PORT}}}}; }}"
    ));
    let status = |port: u16, host: &str, path: &str| {
        let mut connection = at(port);
        connection.send(format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx"
        ));
        connection.read_response().head.status
    };
    for (port, host, expected) in [
        (first, "a", [200, 404]),
        (first, "other", [200, 404]),
        (second, "a", [200, 404]),
        (second, "other", [404, 200]),
        (second, "b", [404, 200]),
    ] {
        assert_eq!(
            [status(port, host, "/a"), status(port, host, "/b")],
            expected,
            "{port} {host}"
        );
    }
    drop(nginx);
    server.stop();
}
