//! Listeners and terminals across a reload.

use super::reload::{Followers, MEMORY, PUBLISHER, STATISTICS};
use crate::support::{Connection, Directory, Server, Socket, free_port, wait_until};
use rustix::process::Signal;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

/// A configuration with those `listen` directives.
fn listening(listens: &[String]) -> String {
    let listens: String = listens
        .iter()
        .map(|listen| format!("listen {listen}; "))
        .collect();
    let locations = [STATISTICS, PUBLISHER, &Followers::locations()].concat();
    format!(
        "events {{}}\nhttp {{\n{MEMORY}\nserver {{ listen 127.0.0.1:{{{{PORT}}}}; {listens}\n\
         {locations}\n}} }}\n"
    )
}

#[test]
fn a_reload_opens_and_closes_listeners() {
    let directory = Directory::new("listeners");
    let port = free_port();
    let path = directory.path().join("push.sock");
    let tcp = format!("127.0.0.1:{port}");
    let unix = format!("unix:{}", path.display());
    let server = Server::with_conf(&listening(&[]));
    let mut kept = server.connect();
    assert_eq!(
        kept.request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );

    assert!(
        server.reload_conf(&listening(&[tcp.clone(), unix])),
        "{}",
        server.stderr()
    );
    let connect = || Connection::new(Socket::Tcp(TcpStream::connect(&tcp).expect("a listener")));
    let followers = Followers::attach(&server, 4, connect);
    let mut idle = connect();
    let mut half = connect();
    assert_eq!(
        idle.request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );
    half.send(
        "POST /pub?id=b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(half.read_head().status, 100);
    let mut local = Connection::new(Socket::Unix(
        UnixStream::connect(&path).expect("a listener"),
    ));
    assert_eq!(
        local
            .request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );

    assert!(server.reload_conf(&listening(&[])), "{}", server.stderr());
    for mut connection in followers.expect_end() {
        connection.expect_close();
    }
    idle.expect_close();
    local.expect_close();
    half.send("body");
    let response = half.read_response();
    assert_eq!(
        (response.head.status, response.head.get("Connection")),
        (200, Some("close")),
        "{response:?}"
    );
    wait_until("the sockets are closed", || {
        TcpStream::connect(&tcp).is_err() && !path.exists()
    });
    assert_eq!(
        kept.request("GET", "/channels-stats?id=b", &[], None)
            .head
            .status,
        200,
        "the first listener has heard nothing of it"
    );
    server.stop();
}

#[test]
fn an_address_that_cannot_be_opened_refuses_the_whole_reload() {
    let server = Server::with_conf(&listening(&[]));
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free = format!("127.0.0.1:{}", free_port());
    let held = holder.local_addr().expect("an address").to_string();
    let text = listening(&[free.clone(), held.clone()])
        .replace("location ~ ^/sub/", "location ~ ^/other/");
    assert!(!server.reload_conf(&text));
    assert!(
        server
            .stderr()
            .contains(&format!("cannot listen on http://{held}: ")),
        "{}",
        server.stderr()
    );
    assert!(
        TcpStream::connect(&free).is_err(),
        "what was opened is closed again"
    );
    drop(server.follow("/sub/a", &[]));

    let all = text
        .replace("listen 127.0.0.1:{{PORT}}", "listen {{PORT}}")
        .replace(&format!("listen {held};"), "");
    assert!(!server.reload_conf(&all));
    let reason = format!(
        "its port is in use by http://{}, which stays open until a reload has succeeded",
        server.address()
    );
    assert!(server.stderr().contains(&reason), "{}", server.stderr());
    drop(server.follow("/sub/a", &[]));
    server.stop();
}

#[test]
fn a_server_ends_with_the_terminal_that_it_was_started_in() {
    let directory = Directory::new("terminal");
    let ready = directory.path().join("ready");
    let (terminal, side) = pty_process::blocking::open().expect("the system has pseudo terminals");
    let command = pty_process::blocking::Command::new(crate::support::program());
    let command = command
        .args(["serve", "--listen", "127.0.0.1:0", "--ready-file"])
        .arg(&ready);
    let mut child = command.spawn(side).expect("the program starts");
    wait_until("the server listens", || ready.exists());
    drop(terminal);
    let mut status = None;
    wait_until("the server ends", || {
        status = child.try_wait().expect("the server is our child");
        status.is_some()
    });
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn hup_is_no_end_without_a_terminal() {
    let server = Server::start(&[]);
    for _ in 0..3 {
        assert!(!server.reload());
    }
    server.signal(Signal::HUP);
    server.stop();
}
