//! `sub`: a proxy that buffers streams gives way to another mode, and a connection whose pings stop
//! is closed and resumed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use super::fake::{Fake, Reply, chunked, command, object, run, status};

use crate::support::{Nginx, Relay, Server, conf, wait_until};

/// nginx with its default settings in front of a server: it buffers responses.
fn proxy(server: &Server, directives: &str) -> Nginx {
    let upstream = server.url();
    Nginx::start(&format!(
        "server {{ listen 127.0.0.1:{{{{PORT}}}}; location / {{ proxy_pass {upstream}; \
         {directives} }} }}"
    ))
}

/// Starts `sub` and returns it with the lines of its standard output.
fn start(url: &str, args: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = command(&[&["sub", "--url", url], args].concat())
        .stdin(Stdio::null())
        .spawn()
        .expect("the program starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    (child, lines.map(|line| line.expect("text")))
}

fn stderr(child: Child) -> String {
    String::from_utf8_lossy(&child.wait_with_output().expect("it ends").stderr).into_owned()
}

#[test]
fn a_proxy_that_buffers_streams_is_recognised() {
    // The response lacks the header that disables proxy buffering.
    let server = Server::start(&[]);
    let nginx = proxy(&server, "proxy_ignore_headers X-Accel-Buffering;");
    let url = format!("http://127.0.0.1:{}", nginx.port());
    for (channel, limit) in [("a", &["--silence-timeout", "700ms"][..]), ("b", &[])] {
        let (child, mut lines) = start(
            &url,
            &[&[channel, "--mode", "auto", "-n", "2"], limit].concat(),
        );
        server.wait_for_subscribers(channel, 1);
        server.publish(channel, "one");
        assert_eq!(lines.next().as_deref(), Some("one"));
        server.publish(channel, "two");
        assert_eq!(lines.next().as_deref(), Some("two"));
        let reported = stderr(child);
        assert!(
            reported.contains(&format!("/ev/{channel} for "))
                && reported.ends_with("continuing in mode lp\n"),
            "{reported}"
        );
        assert!(
            reported.contains(if limit.is_empty() {
                "for 15s"
            } else {
                "for 700ms"
            }),
            "{reported}"
        );
    }
}

#[test]
fn a_connection_whose_pings_stop_is_resumed_in_every_mode() {
    let template = "push_stream_message_template \
                    '{\"id\":~id~,\"channel\":\"~channel~\",\"text\":\"~text~\",\
                    \"tag\":\"~tag~\",\"time\":\"~time~\"}';";
    let cursor = "push_stream_last_received_message_time $arg_time; \
                  push_stream_last_received_message_tag $arg_tag;";
    let location = |path: &str, mode: &str| {
        format!(
            "location ~ ^/{path}/(.*)$ {{ push_stream_subscriber {mode}; push_stream_channels_path \
             $1; {template} {cursor} \
             push_stream_ping_message_interval 1s; }}\n"
        )
    };
    let publisher = "location /pub { push_stream_publisher; push_stream_channels_path $arg_id; \
                     push_stream_store_messages on; }\n";
    let locations = [
        publisher,
        &location("ev", "eventsource"),
        &location("ws", "websocket"),
        &location("sub", ""),
    ]
    .concat();
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 16m;", &locations));
    for mode in ["ev", "ws", "stream"] {
        let relay = Relay::to(server.address());
        let (child, mut lines) = start(&relay.url(), &["ch", "--mode", mode, "-n", "2"]);
        wait_until("the subscription is there", || relay.pieces() > 0);
        // Several consecutive pings, so that their interval is known.
        let before = relay.pieces();
        wait_until("pings come", || relay.pieces() >= before + 6);
        server.publish("ch", "one");
        assert_eq!(lines.next().as_deref(), Some("one"), "{mode}");
        let connections = relay.connections();
        relay.swallow();
        server.publish("ch", "two");
        assert_eq!(lines.next().as_deref(), Some("two"), "{mode}");
        assert!(relay.connections() > connections, "{mode}");
        let reported = stderr(child);
        assert!(reported.contains("not even a ping"), "{mode}: {reported}");
    }
}

#[test]
fn a_configured_silence_limit_applies_without_pings() {
    let server = Server::start(&[]);
    for mode in ["ev", "ws", "stream"] {
        let relay = Relay::to(server.address());
        let (child, mut lines) = start(
            &relay.url(),
            &[mode, "--mode", mode, "-n", "2", "--silence-timeout", "1s"],
        );
        let channel = mode;
        wait_until("the subscription is there", || {
            server.subscribers(channel) > 0
        });
        server.publish(channel, format!("{mode} one"));
        assert_eq!(lines.next(), Some(format!("{mode} one")), "{mode}");
        relay.swallow();
        server.publish(channel, format!("{mode} two"));
        assert_eq!(lines.next(), Some(format!("{mode} two")), "{mode}");
        assert!(stderr(child).contains("no data from"), "{mode}");
        wait_until("the subscription is gone", || {
            server.subscribers(channel) == 0
        });
    }
}

#[test]
fn a_silent_mode_is_the_last_resort_and_then_is_waited_for() {
    let fake = Fake::start(|request, _| match request.line.split(['/', '?']).nth(1) {
        Some("ev") if request.line.contains("time=") => Reply::Hold(chunked(&[
            ": \n",
            &format!("data: {}\n\n", object(1, "ch", "late", 21, 1)),
        ])),
        Some("ev") => Reply::Hold(chunked(&[])),
        _ => Reply::Send(status("404 Not Found", "")),
    });
    let outcome = run(
        &["sub", "ch", "--url", &fake.url, "--mode", "auto", "-n", "1"],
        b"",
    );
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, "late\n"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.ends_with("continuing in mode ev\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_silent_server_is_reported_once() {
    let fake = Fake::start(|_, _| Reply::Hold(String::new()));
    let outcome = fake.run(&["sub", "ch", "-t", "20s"]);
    let expected =
        "has not responded for 15s; if a proxy buffers its responses, use --mode auto or lp\n";
    assert_eq!(
        (outcome.code, outcome.stderr),
        (0, format!("pushctl: {}/ev/ch {expected}", fake.url))
    );
    let outcome = fake.run(&["sub", "ch", "--silence-timeout", "300ms"]);
    let expected = format!(
        "pushctl: no data from {}/ev/ch for 300ms, not even a ping (see --silence-timeout)\n",
        fake.url
    );
    assert_eq!((outcome.code, outcome.stderr), (6, expected));
}

#[test]
fn a_slow_message_does_not_trigger_the_silence_limit() {
    for mode in ["ev", "ws", "stream"] {
        let server = Server::start(&[]);
        let slow = slow_relay(server.address());
        let (child, mut lines) = start(
            &slow,
            &["ch", "--mode", mode, "-n", "1", "--silence-timeout", "1s"],
        );
        wait_until("the subscription is there", || server.subscribers("ch") > 0);
        // Ten pieces of the message, each well within the limit, and all of them beyond it.
        let text = "x".repeat(100_000);
        server.publish("ch", &text);
        assert_eq!(lines.next().as_deref(), Some(text.as_str()), "{mode}");
        assert!(!stderr(child).contains("nothing came"), "{mode}");
    }
}

/// A relay that forwards pieces of 10 kB, one every 200 ms.
fn slow_relay(server: &str) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let server = server.to_owned();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut upstream = std::net::TcpStream::connect(&server).expect("the server listens");
            let mut from = client.try_clone().expect("a socket");
            let mut to = upstream.try_clone().expect("a socket");
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                let mut piece = [0; 10_000];
                while let Ok(length @ 1..) = upstream.read(&mut piece) {
                    if client.write_all(&piece[..length]).is_err() {
                        return;
                    }
                    if length > 1000 {
                        std::thread::sleep(std::time::Duration::from_millis(200));
                    }
                }
            });
        }
    });
    url
}
