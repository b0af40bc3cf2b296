//! Capacity: an imported size of shared memory holds at least what push-stream holds in it
//! (measured with the module: 12,409 messages of one byte in one channel or 4,700 channels of one
//! message in 2m, 300 subscribers in 128k, 80,000 in 32m), connections have a separate bound, and
//! the process stays within its bounds under successive kinds of load.

use crate::support::{Connection, Server, conf, turn, wait_until};

const LOCATIONS: &str = "location /channels-stats { push_stream_channels_statistics; \
                         push_stream_channels_path $arg_id; }
    location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id; \
    push_stream_store_messages on; }
    location ~ /sub/(.*) { push_stream_subscriber; push_stream_channels_path $1; }";

fn with_shared_memory(size: &str, arguments: &[&str]) -> Server {
    let text = conf(
        &format!("push_stream_shared_memory_size {size}; client_max_body_size 2m;"),
        LOCATIONS,
    );
    Server::try_with_conf(&text, arguments).expect("a valid configuration")
}

/// Publishes until that is rejected, or `most` messages are stored; returns how many.
fn fill(server: &Server, text: &[u8], most: usize, channel: impl Fn(usize) -> String) -> usize {
    const AT_ONCE: usize = 200;
    let mut connection = server.connect();
    let mut stored = 0;
    while stored < most {
        for number in stored..stored + AT_ONCE {
            connection.send_request(
                "POST",
                &format!("/pub?id={}", channel(number)),
                &[],
                Some(text),
            );
        }
        for _ in 0..AT_ONCE {
            match connection.read_response().head.status {
                200..=202 => stored += 1,
                500 => return stored,
                status => panic!("status {status}"),
            }
        }
    }
    stored
}

#[test]
fn shared_memory_holds_as_many_messages_as_under_nginx() {
    for (length, at_least) in [
        (1, 12_409),
        (100, 2_097_152 / (169 + 99)),
        (1000, 2_097_152 / (169 + 999)),
        (20_000, 2_097_152 / (169 + 19_999)),
    ] {
        let server = with_shared_memory("2m", &[]);
        let stored = fill(&server, &vec![b'x'; length], 20_000, |_| "a".to_owned());
        assert!(
            stored >= at_least,
            "{stored} messages of {length} bytes, the module stores {at_least}"
        );
        assert!(length > 1 || stored < 20_000, "there is a bound");
        server.stop();
    }
}

#[test]
fn shared_memory_holds_as_many_channels_as_under_nginx() {
    let server = with_shared_memory("2m", &[]);
    let stored = fill(&server, b"x", 10_000, |number| format!("c{number}"));
    assert!(
        (4_700..10_000).contains(&stored),
        "{stored} channels, the module stores 4,700"
    );
    server.stop();
}

#[test]
fn shared_memory_of_nchan_holds_as_much_as_under_nginx() {
    // Measured with nchan 1.3.6.
    for (length, at_least) in [(1, 8064), (100, 4032), (1000, 1008), (10_000, 168)] {
        let server = with_shared_memory_of_nchan();
        let stored = fill(&server, &vec![b'x'; length], 16_000, |_| "a".to_owned());
        assert!(
            stored >= at_least,
            "{stored} messages of {length} bytes, nchan stores {at_least}"
        );
        server.stop();
    }
    for (length, id_length) in [(1, 6), (70, 6), (1, 64), (70, 64)] {
        let server = with_shared_memory_of_nchan();
        let stored = fill(&server, &vec![b'x'; length], 10_000, |number| {
            format!("{number:0id_length$}")
        });
        assert!(
            (6_464..10_000).contains(&stored),
            "{stored} channels with ids of {id_length} and messages of {length} bytes"
        );
        server.stop();
    }
}

fn with_shared_memory_of_nchan() -> Server {
    let location = "location /pub { nchan_publisher; nchan_channel_id $arg_id; \
                    nchan_message_buffer_length 1000000; nchan_message_timeout 1h; }";
    Server::with_conf(&conf(
        "nchan_shared_memory_size 2m; keepalive_requests 1000000;",
        location,
    ))
}

#[test]
fn shared_memory_holds_as_many_subscribers_as_under_nginx() {
    let _turn = turn();
    for (size, count) in [("128k", 300), ("1m", 2500)] {
        let server = with_shared_memory(size, &[]);
        let followers: Vec<Connection> = (0..count).map(|_| server.follow("/sub/c", &[])).collect();
        assert_eq!(
            server
                .connect()
                .request("POST", "/pub?id=c", &[], Some(b"to all"))
                .head
                .status,
            200
        );
        for mut follower in followers {
            assert_eq!(follower.read_until(b"to all"), b"to all");
        }
        server.stop();
    }
}

#[test]
fn connections_beyond_their_own_bound_are_rejected_and_messages_keep_theirs() {
    let server = with_shared_memory("2m", &["--connection-memory", "1m"]);
    let mut held = Vec::new();
    let rejected = loop {
        let mut connection = server.connect();
        connection.send_request("GET", "/sub/c", &[], None);
        match connection.read_head().status {
            200 => held.push(connection),
            status => break status,
        }
        assert!(held.len() < 3000, "the bound does not hold");
    };
    assert_eq!(rejected, 503);
    assert!(held.len() > 800, "{}", held.len());
    held.truncate(held.len() - 20);
    let connect = || {
        let mut connection = server.connect();
        connection.try_send("GET /pub?id=c HTTP/1.1\r\nHost: localhost\r\n\r\n")
            && connection
                .try_read_head()
                .is_some_and(|head| head.status == 200)
    };
    wait_until("there is room for connections", connect);
    assert!(fill(&server, b"x", 20_000, |_| "m".to_owned()) > 8_000);
    drop(held);
    server.stop();
}

#[test]
fn the_memory_option_bounds_the_process() {
    let server = with_shared_memory("64m", &["--memory", "2m"]);
    let stored = fill(&server, b"x", 20_000, |_| "a".to_owned());
    assert!((7_000..10_000).contains(&stored), "{stored}");
    server.stop();
}

/// Sends the data of each connection, as far as there is room for it.
fn hold(server: &Server, count: usize, request: impl Fn(usize) -> Vec<u8>) -> Vec<Connection> {
    let mut held: Vec<Connection> = (0..count).map(|_| server.connect()).collect();
    for (number, connection) in held.iter_mut().enumerate() {
        let _ = connection.try_send(request(number));
    }
    // It is answered after all earlier input was read.
    wait_until("the server answers", || {
        let mut connection = server.connect();
        connection.try_send("GET /channels-stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
            && connection
                .try_read_head()
                .is_some_and(|head| head.status == 200)
    });
    held
}

#[cfg(target_os = "linux")]
#[test]
fn load_of_one_kind_after_another_leaves_the_process_within_its_bounds() {
    const MEBIBYTE: u64 = 1024 * 1024;
    /// 64 MiB for stored data, half of that for input, a sixteenth for the rest; a release build
    /// itself takes 11 MiB.
    const MOST_GROWTH: u64 = 64 + 32 + 4 + 16;
    const ROUNDS: usize = 5;
    let _turn = turn();
    let server = Server::start(&["--memory", "64m", "--max-stored-messages", "1000000"]);
    let program = server.memory("VmRSS");
    eprintln!("program: {} MiB", program / MEBIBYTE);
    fill(&server, &[b'm'; 1000], usize::MAX, |number| {
        format!("c{}", number % 1000)
    });
    let begin = |length: usize| {
        format!("POST /pub?id=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes()
    };
    for round in 0..ROUNDS {
        let large = hold(&server, 150, |_| {
            [begin(1_000_001), vec![b'l'; 1_000_000]].concat()
        });
        drop(large);
        let middling = hold(&server, 3000, |number| {
            let length = 31_000 + number * 10;
            match number % 2 {
                0 => [
                    b"GET /pub?id=b HTTP/1.1\r\nHost: localhost\r\nX: ".as_slice(),
                    &vec![b'h'; 31_000],
                ]
                .concat(),
                _ => [begin(length + 1), vec![b's'; length]].concat(),
            }
        });
        drop(middling);
        let peak = server.memory("VmHWM");
        eprintln!("round {round}: {} MiB at most", peak / MEBIBYTE);
        let growth = (peak - program) / MEBIBYTE;
        assert!(
            growth <= MOST_GROWTH,
            "round {round}: the process took {growth} MiB more than the program"
        );
    }
    server.stop();
}
