//! nchan's dialect beyond the recordings: message ids across reconnects, and compressed and
//! fragmented websocket messages.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use crate::support::{Connection, Server, conf, frame_with, opcode, wait_until};

const SEVERAL: &str = "
    location = /pub { nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 1000; }
    location = /sub { nchan_subscriber; nchan_channel_id $arg_a $arg_b $arg_c; }
    location = /poll { nchan_subscriber intervalpoll; nchan_channel_id $arg_a $arg_b $arg_c; }";

/// Messages of the tests over three channels.
const COUNT: usize = 60;

pub(super) fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
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

/// Follows from `id` on, reads `count` events, and disconnects; returns the texts, and the id of
/// the last one.
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
fn ids_of_polls_and_streams_are_interchangeable() {
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
        // The stream in two parts: the second one continues the ids of the polls.
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
        // In two fragments: only the first one has the compression bit.
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
