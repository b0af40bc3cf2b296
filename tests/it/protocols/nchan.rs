//! nchan's dialect where recordings do not reach: message ids over reconnects, compressed and
//! fragmented websocket messages, hooks beside passwords, bounds on back-ends, and groups that
//! become empty.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use crate::support::{Connection, Server, conf, frame_with, opcode, wait_until};

const SEVERAL: &str = "
    location = /pub { nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 1000; }
    location = /sub { nchan_subscriber; nchan_channel_id $arg_a $arg_b $arg_c; }
    location = /poll { nchan_subscriber intervalpoll; nchan_channel_id $arg_a $arg_b $arg_c; }";

/// Messages of the tests over three channels.
const COUNT: usize = 60;

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    server
        .connect()
        .request("POST", path, headers, Some(body))
        .head
        .status
}

/// Publishes to the channels in turns, unevenly, and over at least two seconds.
fn publish_to_three(server: &Server) -> BTreeSet<String> {
    let mut connection = server.connect();
    let mut dates = BTreeSet::new();
    let mut all = BTreeSet::new();
    for number in 0..COUNT {
        let channel = ["x", "y", "y", "z", "x", "x"][number % 6];
        let text = format!("{channel}{number}");
        let response = connection.request(
            "POST",
            &format!("/pub?id={channel}"),
            &[],
            Some(text.as_bytes()),
        );
        assert_eq!(response.head.status, 202);
        dates.insert(response.head.get("Date").map(str::to_owned));
        all.insert(text);
        if number == COUNT / 2 {
            wait_until("the next second", || {
                let date = server.get("/pub?id=x").head.get("Date").map(str::to_owned);
                !dates.contains(&date)
            });
        }
    }
    all
}

/// Follows from `id` on, takes so many events, and leaves; the texts, and the id of the last one.
fn take_events(server: &Server, id: Option<&str>, count: usize) -> (Vec<String>, String) {
    let mut connection = server.connect();
    let mut headers = vec![("Accept", "text/event-stream")];
    headers.extend(id.map(|id| ("Last-Event-ID", id)));
    connection.send_request("GET", "/sub?a=x&b=y&c=z", &headers, None);
    assert_eq!(connection.read_head().status, 200);
    connection.read_until(b": hi\n\n");
    let mut texts = Vec::new();
    let mut last = String::new();
    for _ in 0..count {
        let event = String::from_utf8(connection.read_until(b"\n\n")).expect("an event in UTF-8");
        let field = |name: &str| {
            event
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .expect("a field of the event")
                .to_owned()
        };
        texts.push(field("data: "));
        last = field("id: ");
    }
    (texts, last)
}

#[test]
fn a_follower_of_several_channels_loses_nothing_wherever_it_leaves() {
    let server = Server::with_conf(&conf("", SEVERAL));
    let all = publish_to_three(&server);
    for step in [1, 7, 13] {
        let mut seen = Vec::new();
        let mut id = None;
        while seen.len() < COUNT {
            let (texts, last) = take_events(&server, id.as_deref(), step.min(COUNT - seen.len()));
            seen.extend(texts);
            id = Some(last);
        }
        let set: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(
            (seen.len(), &set),
            (COUNT, &all),
            "each message once, {step} at a time"
        );
    }
}

#[test]
fn the_ids_of_polls_and_of_streams_lead_on_from_each_other() {
    let server = Server::with_conf(&conf("", SEVERAL));
    let all = publish_to_three(&server);
    for polls in [1, 5, 20, 41] {
        let mut connection = server.connect();
        let mut seen = Vec::new();
        let mut id = None::<String>;
        for _ in 0..polls {
            let headers: Vec<(&str, &str)> =
                id.iter().map(|id| ("Last-Event-ID", id.as_str())).collect();
            let response = connection.request("GET", "/poll?a=x&b=y&c=z", &headers, None);
            assert_eq!(response.head.status, 200);
            seen.push(response.text().to_owned());
            let date = response.head.get("Last-Modified").expect("a date");
            let seconds = httpdate::parse_http_date(date)
                .expect("an HTTP date")
                .duration_since(std::time::UNIX_EPOCH);
            id = Some(format!(
                "{}:{}",
                seconds.expect("after 1970").as_secs(),
                response.head.get("Etag").expect("tags")
            ));
        }
        // The stream in two parts: what it says must still know what the polls had.
        let half = (COUNT - seen.len()) / 2;
        let (texts, last) = take_events(&server, id.as_deref(), half);
        seen.extend(texts);
        let (texts, _) = take_events(&server, Some(&last), COUNT - seen.len());
        seen.extend(texts);
        let set: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(
            (seen.len(), &set),
            (COUNT, &all),
            "each message once, after {polls} polls: {seen:?}"
        );
    }
}

fn websocket(server: &Server, path: &str, extensions: &str) -> Connection {
    let mut connection = server.connect();
    let mut headers = vec![
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    if !extensions.is_empty() {
        headers.push(("Sec-WebSocket-Extensions", extensions));
    }
    connection.send_request("GET", path, &headers, None);
    assert_eq!(connection.read_head().status, 101);
    connection
}

const PUBSUB: &str = "
    location = /ps { nchan_pubsub; nchan_channel_id $arg_id; nchan_deflate_message_for_websocket \
    on; }
    location = /sub { nchan_subscriber; nchan_channel_id $arg_id; }";

#[test]
fn compressed_and_fragmented_messages_arrive_whole() {
    let server = Server::with_conf(&conf("", PUBSUB));
    let mut plain = websocket(&server, "/sub?id=c", "");
    let mut publisher = websocket(&server, "/ps?id=c", "permessage-deflate");
    let mask = Some([1, 2, 3, 4]);
    // One compressor for all messages: the later ones refer to the earlier ones.
    let mut compressor = flate2::Compress::new(flate2::Compression::best(), false);
    for text in ["hello hello hello hello", "hello hello hello hello", ""] {
        let mut payload = Vec::with_capacity(200);
        compressor
            .compress_vec(text.as_bytes(), &mut payload, flate2::FlushCompress::Sync)
            .expect("it compresses");
        let payload = payload
            .strip_suffix(&[0, 0, 0xff, 0xff])
            .map_or(vec![0], <[u8]>::to_vec);
        // In two fragments: only the first one says that it is compressed.
        let (first, rest) = payload.split_at(payload.len() / 2);
        publisher.send(frame_with(0x40 | opcode::TEXT, first, mask));
        publisher.send(frame_with(0x80 | opcode::PING, b"between", mask));
        publisher.send(frame_with(0x80 | opcode::CONTINUATION, rest, mask));
        assert_eq!(plain.read_frame().payload, text.as_bytes());
        let pong = publisher.read_frame();
        assert_eq!(
            (pong.opcode(), pong.payload.as_slice()),
            (opcode::PONG, &b"between"[..])
        );
        let own = publisher.read_frame();
        assert_eq!(
            own.header[0], 0xc1,
            "it takes compressed messages, and gets its own so"
        );
        let mut inflated = Vec::new();
        let input = [&own.payload[..], &[0, 0, 0xff, 0xff]].concat();
        drop(flate2::read::DeflateDecoder::new(&input[..]).read_to_end(&mut inflated));
        assert_eq!(inflated, text.as_bytes());
    }
}

#[test]
fn a_compressed_bomb_closes_its_websocket_alone() {
    let server = Server::try_with_conf(&conf("", PUBSUB), &["--max-websocket-message-size", "64k"])
        .expect("a server");
    let mut reader = websocket(&server, "/sub?id=c", "");
    let mut bomber = websocket(&server, "/ps?id=c", "permessage-deflate");
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder
        .write_all(&vec![b'x'; 8 << 20])
        .expect("it compresses");
    bomber.send(frame_with(
        0xc0 | opcode::TEXT,
        &encoder.finish().expect("it compresses"),
        Some([1, 2, 3, 4]),
    ));
    let close = bomber.read_frame();
    assert_eq!(
        (close.opcode(), close.payload.as_slice()),
        (opcode::CLOSE, &1009_u16.to_be_bytes()[..])
    );
    assert!(matches!(post(&server, "/ps?id=c", &[], b"after"), 201));
    assert_eq!(reader.read_frame().payload, b"after");
}

/// A back-end that answers every request in this way; its thread ends with the process.
fn backend(answer: &'static [u8]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut read = Vec::new();
                let mut piece = [0; 4096];
                while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut piece) {
                        Ok(count @ 1..) => read.extend_from_slice(&piece[..count]),
                        _ => return,
                    }
                }
                // Who asks may be gone.
                let _ = stream.write_all(answer);
            });
        }
    });
    address
}

#[test]
fn passwords_and_hooks_are_both_asked_for() {
    let directory = crate::support::Directory::new("hooks");
    // The password is "secret".
    let users = directory.write("users", "u:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    let address = backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let locations = format!(
        "location = /ps {{ nchan_pubsub; nchan_channel_id $arg_id; nchan_authorize_request /auth;
            auth_basic \"x\"; auth_basic_user_file {}; }}
        location = /auth {{ internal; proxy_pass http://{address}/; }}",
        users.display()
    );
    let server = Server::with_conf(&conf("", &locations));
    assert_eq!(post(&server, "/ps?id=c", &[], b"x"), 401);
    assert_eq!(
        post(
            &server,
            "/ps?id=c",
            &[("Authorization", "Basic dTp3cm9uZw==")],
            b"x"
        ),
        401
    );
    let right = [("Authorization", "Basic dTpzZWNyZXQ=")];
    assert_eq!(post(&server, "/ps?id=c", &right, b"x"), 202);
    // A subscriber with a body, which nobody wants, is let in all the same.
    let response = server
        .connect()
        .request("GET", "/ps?id=c", &right, Some(b"unwanted"));
    assert_eq!((response.head.status, response.text()), (200, "x"));
}

#[test]
fn an_answer_of_a_back_end_that_is_too_large_lets_nobody_in() {
    let address = backend(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\nConnection: close\r\n\r\n");
    let locations = format!(
        "location = /ps {{ nchan_pubsub; nchan_channel_id $arg_id; \
         nchan_publisher_upstream_request /up; }}
        location = /info {{ nchan_publisher; nchan_channel_id $arg_id; }}
        location = /up {{ internal; proxy_pass http://{address}/; }}"
    );
    let server = Server::try_with_conf(&conf("", &locations), &["--max-hook-answer", "1000"])
        .expect("a server");
    assert_eq!(post(&server, "/ps?id=c", &[], b"x"), 500);
    let info = server.get("/info?id=c");
    assert!(
        info.text().starts_with("queued messages: 0\r\n"),
        "nothing was published: {}",
        info.text()
    );
}

#[test]
fn requests_to_back_ends_wait_for_their_places() {
    let address = backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let locations = format!(
        "location = /ps {{ nchan_pubsub; nchan_channel_id $arg_id; nchan_authorize_request /auth; }}
        location = /auth {{ internal; proxy_pass http://{address}/; }}"
    );
    let server = Server::try_with_conf(
        &conf("", &locations),
        &["--shards", "1", "--max-hooks", "1"],
    )
    .expect("a server");
    let mut connections: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    connections
        .iter_mut()
        .for_each(|connection| connection.send_request("POST", "/ps?id=c", &[], Some(b"x")));
    assert!(
        connections
            .iter_mut()
            .all(|connection| connection.read_response().head.status == 202)
    );
}

#[test]
fn a_group_counts_what_it_has_and_nothing_else() {
    let locations = "
        location = /group { nchan_group_location; nchan_channel_group $arg_g; \
        nchan_channel_group_accounting on; }
        location = /pub { nchan_publisher; nchan_channel_id $arg_id; nchan_channel_group $arg_g; \
        nchan_channel_group_accounting on;
            nchan_message_buffer_length 2; }
        location = /sub { nchan_subscriber; nchan_channel_id $arg_id; nchan_channel_group $arg_g; \
        nchan_channel_group_accounting on; }";
    let server = Server::with_conf(&conf("", locations));
    let counts = || {
        let body = server.get("/group?g=g").text().to_owned();
        let number = |line: usize| {
            body.lines().nth(line).and_then(|line| {
                line.split(": ")
                    .nth(1)?
                    .split(' ')
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
        };
        [0, 1, 2, 3].map(|line| number(line).expect("a number"))
    };
    assert_eq!(counts(), [0; 4]);
    for number in 0..5 {
        assert_eq!(
            post(
                &server,
                &format!("/pub?g=g&id={}", number % 2),
                &[],
                b"text"
            ),
            202
        );
    }
    assert_eq!(post(&server, "/pub?g=other&id=1", &[], b"text"), 202);
    let mut follower = server.connect();
    follower.send_request(
        "GET",
        "/sub?g=g&id=0",
        &[("Accept", "text/event-stream")],
        None,
    );
    follower.read_head();
    follower.read_until(b": hi\n\n");
    let [channels, subscribers, messages, memory] = counts();
    assert_eq!(
        (channels, subscribers, messages),
        (2, 1, 4),
        "the buffers hold two messages each"
    );
    assert!(memory > 0);
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/pub?g=g&id=1", &[], None)
            .head
            .status,
        200
    );
    assert_eq!(
        counts()[..3],
        [2, 1, 2],
        "a deleted channel of nchan leaves an empty one"
    );
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/group?g=g", &[], None)
            .head
            .status,
        200
    );
    assert!(follower.read_to_close().ends_with(b":410: 410 Gone\n\n"));
    wait_until("the group is empty", || counts() == [0; 4]);
}

#[test]
fn requests_with_hooks_are_logged_once() {
    let directory = crate::support::Directory::new("log");
    let file = directory.path().join("access.log");
    let good = backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let bad =
        backend(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    let leads_on = backend(
        b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /in?id=c\r\nContent-Length: 0\r\n\
                             Connection: close\r\n\r\n",
    );
    let http = format!(
        "log_format short '$request_uri $status'; access_log {} short;",
        file.display()
    );
    let locations = format!(
        "location = /good {{ nchan_pubsub; nchan_channel_id c; nchan_authorize_request \
         /auth-good; }}
        location = /bad {{ nchan_pubsub; nchan_channel_id c; nchan_authorize_request /auth-bad; }}
        location = /auth-good {{ internal; proxy_pass http://{good}/; }}
        location = /auth-bad {{ internal; proxy_pass http://{bad}/; }}
        location = /accel {{ proxy_pass http://{leads_on}/; }}
        location = /in {{ internal; nchan_pubsub; nchan_channel_id $arg_id; }}"
    );
    let mut server = Server::with_conf(&conf(&http, &locations));
    assert_eq!(post(&server, "/good", &[], b"x"), 202);
    assert_eq!(post(&server, "/accel", &[], b"y"), 202);
    let get = |path: &str| server.connect().request("GET", path, &[], None);
    assert_eq!((get("/good").text(), get("/accel").text()), ("x", "x"));
    let refused = get("/bad");
    assert_eq!((refused.head.status, refused.text()), (403, "no"));
    assert_eq!(get("/in?id=c").head.status, 404);
    server.terminate();
    server.wait();
    let log = std::fs::read_to_string(&file).expect("a log");
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "/accel 200",
            "/accel 202",
            "/bad 403",
            "/good 200",
            "/good 202",
            "/in?id=c 404"
        ]
    );
}

#[test]
fn large_messages_count_in_full_and_the_limit_is_named() {
    let locations = "location = /pub { nchan_publisher; nchan_channel_id $arg_id; \
                     nchan_message_buffer_length 100; client_max_body_size 8m; }";
    let server = Server::with_conf(&conf("nchan_max_reserved_memory 20m;", locations));
    let large = vec![b'x'; 4 << 20];
    let post = |id: &str| {
        server
            .connect()
            .request("POST", &format!("/pub?id={id}"), &[], Some(&large))
            .head
            .status
    };
    let statuses: Vec<u16> = (0..6).map(|_| post("a")).collect();
    assert!(
        statuses.starts_with(&[202; 4]) && statuses.ends_with(&[500]),
        "{statuses:?}"
    );
    assert_eq!(post("b"), 500, "the limit is one for all channels");
    wait_until("the limit is logged", || {
        server.stderr().contains("nchan_shared_memory_size")
    });
}
