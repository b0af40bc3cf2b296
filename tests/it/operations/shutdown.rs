//! Listening addresses of `serve`, and shutdown by signals as clients see it.

use std::process::Command;

use rustix::process::Signal;

use crate::support::{Directory, Server, conf, opcode, program};

fn expect_good_end(server: &mut Server) {
    let status = server.wait();
    assert!(
        status.success() && !server.stderr().contains("panic"),
        "{status}: {}",
        server.stderr()
    );
}

#[test]
fn sigterm_ends_every_subscriber_properly() {
    let locations = r#"
        location /channels-stats { push_stream_channels_statistics;
            push_stream_channels_path $arg_id; }
        location ~ ^/sub/(.*)$ {
            push_stream_subscriber; push_stream_channels_path $1;
            push_stream_header_template "HEAD|"; push_stream_footer_template "|FOOT";
        }
        location ~ ^/ev/(.*)$ { push_stream_subscriber eventsource; push_stream_channels_path $1;
            push_stream_footer_template "bye"; }
        location ~ ^/ws/(.*)$ { push_stream_subscriber websocket; push_stream_channels_path $1; }
        location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1;
            }"#;
    let mut server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", locations));
    let mut stream = server.follow("/sub/a", &[]);
    let mut events = server.follow("/ev/a", &[]);
    let mut websocket = server.websocket("/ws/a", &[]);
    let mut waiting = server.connect();
    waiting.send_request("GET", "/lp/a", &[], None);
    let mut idle = server.connect();
    assert_eq!(
        idle.request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );
    server.wait_for_subscribers("a", 4);

    server.terminate();

    assert_eq!(stream.read_body(), b"HEAD||FOOT");
    assert_eq!(events.read_body(), b": \n: bye\n");
    let response = waiting.read_response();
    assert_eq!(
        (response.head.status, response.head.get("Etag")),
        (304, Some("W/0")),
        "{response:?}"
    );
    assert_eq!(websocket.read_frame().opcode(), opcode::CLOSE);
    for connection in [
        &mut stream,
        &mut events,
        &mut waiting,
        &mut websocket,
        &mut idle,
    ] {
        connection.expect_close();
    }
    expect_good_end(&mut server);
}

#[test]
fn sigint_ends_with_success() {
    let mut server = Server::start(&[]);
    let mut stream = server.follow("/sub/a", &[]);
    server.signal(Signal::INT);
    stream.read_body();
    stream.expect_close();
    expect_good_end(&mut server);
}

#[test]
fn a_client_that_does_not_go_cannot_keep_the_server() {
    let mut server = Server::start(&["--grace", "100ms"]);
    let mut half = server.connect();
    half.send(
        "POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\
               Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(half.read_head().status, 100);
    server.terminate();
    expect_good_end(&mut server);
    let reported =
        "closing connections that did not end within the grace period (--grace) connections=1";
    assert!(server.stderr().contains(reported), "{}", server.stderr());
}

#[test]
fn a_second_signal_ends_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::QUIT, Signal::INT)] {
        let mut server = Server::start(&["--grace", "1h", "--body-timeout", "1h"]);
        let mut half = server.connect();
        half.send(
            "POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\
                   Expect: 100-continue\r\n\r\n",
        );
        assert_eq!(half.read_head().status, 100);
        let mut waiting = server.follow("/sub/a", &[]);
        server.signal(first);
        // Followers are notified at once; the incomplete request delays the exit.
        waiting.read_body();
        server.signal(second);
        expect_good_end(&mut server);
        half.expect_close();
    }
}

#[test]
fn sigquit_lets_requests_finish_whatever_the_time_of_grace() {
    let mut server = Server::start(&["--grace", "1ms"]);
    let mut half = server.connect();
    half.send(
        "POST /pub?id=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\
               Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(half.read_head().status, 100);
    let mut follower = server.follow("/sub/a", &[]);
    let mut idle = server.connect();
    assert_eq!(
        idle.request("GET", "/channels-stats", &[], None)
            .head
            .status,
        200
    );
    server.signal(Signal::QUIT);
    follower.read_body();
    follower.expect_close();
    idle.expect_close();
    half.send("body");
    let response = half.read_response();
    assert_eq!(
        (response.head.status, response.head.get("Connection")),
        (200, Some("close")),
        "{response:?}"
    );
    half.expect_close();
    expect_good_end(&mut server);
}

#[test]
fn acknowledged_messages_are_delivered_before_shutdown() {
    let locations = r#"
        location /channels-stats { push_stream_channels_statistics;
            push_stream_channels_path $arg_id; }
        location /pub { push_stream_publisher; push_stream_channels_path $arg_id; }
        location ~ ^/sub/(.*)$ { push_stream_subscriber; push_stream_channels_path $1;
            push_stream_footer_template "FOOT"; }"#;
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", locations));
    let mut followers: Vec<_> = (0..300).map(|_| server.follow("/sub/a", &[])).collect();
    server.wait_for_subscribers("a", 300);
    let mut publisher = server.connect();
    for number in 0..20 {
        let response = publisher.request(
            "POST",
            "/pub?id=a",
            &[],
            Some(format!("<{number}>").as_bytes()),
        );
        assert_eq!(response.head.status, 200, "{response:?}");
    }
    server.terminate();
    let expected: String = (0..20).map(|number| format!("<{number}>")).collect();
    for follower in &mut followers {
        let body = String::from_utf8(follower.read_body())
            .expect("text")
            .replace("\r\n", "");
        assert_eq!(body, format!("{expected}FOOT"));
    }
}

#[test]
fn the_first_lines_can_be_pasted_to_publish_and_to_follow() {
    let server = Server::start(&[]);
    let mut publish = None;
    let mut follow = None;
    while publish.is_none() || follow.is_none() {
        let line = server.stdout_line().unwrap_or_else(|| {
            panic!("publish: {publish:?}, follow: {follow:?}, and no more lines")
        });
        let is_about = |words: &[&str]| {
            line.contains(server.address()) && words.iter().any(|word| line.contains(word))
        };
        if is_about(&["/pub?id=", " pub "]) {
            publish = Some(line.clone());
        } else if is_about(&["/sub/", "/ev/", " sub "]) {
            follow = Some(line.clone());
        }
    }
    let publish = publish.expect("the loop found it");
    let command = publish
        .find("curl ")
        .or_else(|| publish.find("pushctl "))
        .map(|start| publish[start..].to_owned());
    let command = command.unwrap_or_else(|| panic!("no command in {publish:?}"));
    let program = std::path::PathBuf::from(program());
    let path = format!(
        "{}:{}",
        program.parent().unwrap_or(&program).display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("sh")
        .args(["-c", &command])
        .env("PATH", path)
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{command}: {output:?}");
    let statistics = crate::support::object(&server.get("/channels-stats").body);
    assert_eq!(
        statistics["published_messages"], 1,
        "after {command}: {statistics}"
    );
    server.stop();
}

#[test]
fn several_addresses_share_the_channels() {
    let server = Server::start(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    assert_ne!(server.addresses()[0], server.addresses()[1]);
    let mut follower = server.connect_to(1);
    follower.send_request("GET", "/sub/a", &[], None);
    assert_eq!(follower.read_head().status, 200);
    server.wait_for_subscribers("a", 1);
    server.publish("a", "over the other address");
    assert_eq!(
        follower.next_line().map(|message| message.text).as_deref(),
        Some("over the other address")
    );
    server.stop();
}

#[test]
fn a_unix_socket_is_served() {
    let directory = Directory::new("unix");
    let address = format!("unix:{}", directory.path().join("pushctl.sock").display());
    let server = Server::start(&["--listen", &address, "--listen", "127.0.0.1:0"]);
    assert_eq!(server.addresses()[0], address);
    let mut follower = server.follow("/ev/a", &[]);
    let mut websocket = server.websocket("/ws/a", &[]);
    server.wait_for_subscribers("a", 2);
    server.publish("a", "hi");
    assert_eq!(
        follower.next_event().map(|message| message.text).as_deref(),
        Some("hi")
    );
    assert_eq!(
        websocket.next_text().map(|message| message.text).as_deref(),
        Some("hi")
    );
    server.stop();

    // A stale socket of a killed server does not prevent the next start.
    drop(Server::start(&["--listen", &address]));
    let server = Server::start(&["--listen", &address]);
    assert_eq!(server.get("/channels-stats").head.status, 200);
    server.stop();
}

#[test]
fn an_address_in_use_is_a_clear_error() {
    let server = Server::start(&[]);
    let output = Command::new(program())
        .args(["serve", "--listen", server.address()])
        .output()
        .expect("the built binary can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success(),
        "a second server on {} ended with {}",
        server.address(),
        output.status
    );
    assert!(
        stderr.contains(server.address()) && stderr.contains("in use"),
        "{stderr}"
    );
    server.stop();
}

#[test]
fn the_first_lines_name_an_address_and_a_password_that_clients_can_use() {
    let directory = crate::support::Directory::new("hints");
    let users = directory.write("users", "u:{PLAIN}p\n");
    let users = users.to_str().expect("UTF-8");
    let server = Server::start(&["--listen", "0.0.0.0:0", "--basic-auth", users]);
    let hint = std::iter::from_fn(|| server.stdout_line()).find(|line| line.contains("/pub?id="));
    let hint = hint.expect("a command to publish");
    assert!(
        hint.contains("curl -u USER:PASSWORD 'http://127.0.0.1:"),
        "{hint}"
    );
    server.stop();
}
