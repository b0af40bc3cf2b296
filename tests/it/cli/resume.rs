//! `pushctl sub` against `pushctl serve` through a proxy that cuts connections in the middle of
//! whatever is under way: every message is printed once and in order, in every mode.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::fake::run;

const PER_CHANNEL: usize = 200;
const BURST: usize = 8;

/// A real server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    /// `ADDRESS:PORT`
    pub(crate) address: String,
}

impl Server {
    /// Starts it on a free port.
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pushctl"));
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = lines.find_map(|line| {
            line.ok()?
                .strip_prefix("listening on http://")
                .map(str::to_owned)
        });
        // The pipe stays open for further output of the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address: line.expect("it says where it listens"),
        }
    }

    fn request(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).expect("the server listens");
        socket
            .write_all(
                request
                    .replace(
                        "\r\n\r\n",
                        "\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                    )
                    .as_bytes(),
            )
            .expect("the server reads");
        let mut response = String::new();
        socket
            .read_to_string(&mut response)
            .expect("the server answers");
        response
    }

    fn wait_for_subscriber(&self, channel: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self
            .request(&format!(
                "GET /channels-stats?id={channel} HTTP/1.1\r\n\r\n"
            ))
            .contains("\"subscribers\": 1")
        {
            assert!(Instant::now() < end, "no subscriber of {channel}");
            std::thread::yield_now();
        }
    }

    /// Publishes to both channels in bursts of several per second's tag, over one connection.
    fn publish(&self, channels: [&str; 2]) {
        let mut socket = TcpStream::connect(&self.address).expect("the server listens");
        let mut answers = BufReader::new(socket.try_clone().expect("a socket can be cloned"));
        for burst in 0..PER_CHANNEL / BURST {
            for channel in channels {
                let posts: String = (0..BURST)
                    .map(|number| format!("{channel} {} \"quoted\"\n", burst * BURST + number + 1))
                    .map(|text| {
                        format!(
                            "POST /pub?id={channel} HTTP/1.1\r\nHost: localhost\r\n\
                                 Content-Length: {}\r\n\r\n{text}",
                            text.len()
                        )
                    })
                    .collect();
                socket
                    .write_all(posts.as_bytes())
                    .expect("the server reads");
                let mut taken = 0;
                while taken < BURST {
                    let mut line = String::new();
                    assert_ne!(
                        answers.read_line(&mut line).expect("the server answers"),
                        0,
                        "the server hung up"
                    );
                    taken += usize::from(line.starts_with("{\"channel\""));
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a proxy whose connections end after a number of bytes: `fewest` at first, then twice as
/// many each time, and again.
fn cutting_proxy(upstream: &str, fewest: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let upstream = upstream.to_owned();
    let cuts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&cuts);
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().map_while(Result::ok).enumerate() {
            let server = TcpStream::connect(&upstream).expect("the server listens");
            let budget = fewest << (number % 6);
            let from_client = client.try_clone().expect("a clone");
            let to_server = server.try_clone().expect("a clone");
            std::thread::spawn(move || forward(from_client, to_server, usize::MAX));
            let cuts = Arc::clone(&counted);
            std::thread::spawn(move || {
                cuts.fetch_add(
                    usize::from(forward(server, client, budget)),
                    Ordering::Relaxed,
                )
            });
        }
    });
    (url, cuts)
}

/// Copies up to `budget` bytes and closes both ends; true if the budget was the end.
fn forward(mut from: TcpStream, mut to: TcpStream, mut budget: usize) -> bool {
    let mut buffer = [0; 4096];
    while budget > 0 {
        let most = budget.min(buffer.len());
        match from.read(&mut buffer[..most]) {
            Ok(length) if length > 0 && to.write_all(&buffer[..length]).is_ok() => budget -= length,
            _ => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    budget == 0
}

#[test]
fn cut_connections_lose_and_repeat_nothing_in_any_mode() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for mode in ["ev", "ws", "lp", "stream", "poll"] {
            let server = &server;
            scope.spawn(move || follow_through_cuts(server, mode));
        }
    });
}

fn follow_through_cuts(server: &Server, mode: &str) {
    // A long-polling response is delivered completely or not at all, and grows with every attempt.
    let fewest = if matches!(mode, "lp" | "poll") {
        5_000
    } else {
        777
    };
    let (url, cuts) = cutting_proxy(&server.address, fewest);
    let first = format!("{mode}-first");
    let second = format!("{mode}-second");
    let count = (2 * PER_CHANNEL).to_string();
    let mut args = vec![
        "sub",
        &first,
        &second,
        "--url",
        &url,
        "--mode",
        mode,
        "--json",
        "--count",
        &count,
        "--timeout",
        "60s",
        "--retries",
        "100",
    ];
    if mode == "poll" {
        // A waiting poller is not observable, so it starts in the past.
        args.extend(["--since", "1h", "--interval", "100ms"]);
    }
    let outcome = std::thread::scope(|scope| {
        let subscriber = scope.spawn(|| run(&args, b""));
        if mode != "poll" {
            server.wait_for_subscriber(&first);
        }
        server.publish([&first, &second]);
        subscriber.join().expect("the subscriber ends")
    });
    assert_eq!(outcome.code, 0, "{mode}: {}", outcome.stderr);
    assert!(cuts.load(Ordering::Relaxed) > 1, "{mode}: nothing was cut");
    let messages: Vec<Value> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object per line"))
        .collect();
    for channel in [first, second] {
        let texts: Vec<_> = messages
            .iter()
            .filter(|message| message["channel"] == channel.as_str())
            .map(|message| message["text"].clone())
            .collect();
        let expected: Vec<_> = (1..=PER_CHANNEL)
            .map(|number| Value::from(format!("{channel} {number} \"quoted\"\n")))
            .collect();
        assert_eq!(texts, expected, "{mode}: {channel}");
    }
}
