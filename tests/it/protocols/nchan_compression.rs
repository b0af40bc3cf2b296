//! Compression as nchan's client and browsers negotiate it: frames with ids, window sizes, chunks.
//! Expected values were recorded with nchan 1.3.6.

use flate2::{Decompress, FlushDecompress};

use crate::support::{Connection, Server, conf, opcode, wait_until};

const LOCATIONS: &str = "
    location ~ ^/sub/(.*)$ { nchan_subscriber; nchan_channel_id $1; \
    nchan_channel_id_split_delimiter ','; }
    location = /pub { nchan_publisher; nchan_channel_id $arg_id; \
    nchan_deflate_message_for_websocket on; nchan_message_buffer_length 100; }
    location = /plain { nchan_publisher; nchan_channel_id $arg_id; }";
const RSV1: u8 = 0x40;

fn post(server: &Server, path: &str, content_type: &str, body: &str) {
    let headers: &[(&str, &str)] = if content_type.is_empty() {
        &[]
    } else {
        &[("Content-Type", content_type)]
    };
    assert!(
        server
            .connect()
            .request("POST", path, headers, Some(body.as_bytes()))
            .head
            .status
            < 300
    );
}

/// The content of a compressed message, inflated without context.
fn inflated(payload: &[u8]) -> String {
    let mut inflater = Decompress::new(false);
    let mut out = Vec::with_capacity(64 * 1024);
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    inflater
        .decompress_vec(&input, &mut out, FlushDecompress::Sync)
        .expect("it is compressed");
    String::from_utf8(out).expect("a text")
}

/// The next message: whether it was compressed, its bytes on the wire, and its text.
fn message(websocket: &mut Connection) -> (bool, usize, String) {
    let frame = websocket.read_frame();
    assert!(
        frame.opcode() == opcode::TEXT || frame.opcode() == opcode::BINARY,
        "{frame:?}"
    );
    let is_compressed = frame.header[0] & RSV1 != 0;
    let text = if is_compressed {
        inflated(&frame.payload)
    } else {
        String::from_utf8(frame.payload.clone()).expect("a text")
    };
    (is_compressed, frame.payload.len(), text)
}

#[test]
fn messages_with_ids_are_compressed_too() {
    let server = Server::with_conf(&conf("", LOCATIONS));
    let extensions = [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "deflate-frame",
    ];
    for (number, extension) in extensions.into_iter().enumerate() {
        let headers = [
            ("Sec-WebSocket-Protocol", "ws+meta.nchan"),
            ("Sec-WebSocket-Extensions", extension),
        ];
        let mut websocket = server.websocket(&format!("/sub/c{number}"), &headers);
        let text = format!("{{\"values\": [{}]}}", "12345, ".repeat(200));
        post(
            &server,
            &format!("/pub?id=c{number}"),
            "application/json",
            &text,
        );
        post(&server, &format!("/pub?id=c{number}"), "", "");
        post(
            &server,
            &format!("/plain?id=c{number}"),
            "text/x",
            "not compressed",
        );
        let (is_compressed, length, whole) = message(&mut websocket);
        let (head, content) = whole.split_once("\n\n").expect("an id and a text");
        assert!(
            is_compressed && length < 300 && content == text,
            "{extension}: {length} {whole}"
        );
        assert!(
            head.starts_with("id: ") && head.ends_with(":0\ncontent-type: application/json"),
            "{head}"
        );
        let (is_compressed, _, empty) = message(&mut websocket);
        assert!(
            is_compressed && empty.starts_with("id: ") && empty.ends_with("\n\n"),
            "{empty:?}"
        );
        let (is_compressed, _, plain) = message(&mut websocket);
        assert!(
            !is_compressed && plain.ends_with("\ncontent-type: text/x\n\nnot compressed"),
            "{plain:?}"
        );
    }
}

#[test]
fn the_ids_of_several_channels_are_part_of_compressed_messages() {
    let server = Server::with_conf(&conf("", LOCATIONS));
    let headers = [
        ("Sec-WebSocket-Protocol", "ws+meta.nchan"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ];
    let mut websocket = server.websocket("/sub/a,b", &headers);
    let mut plain = server.websocket("/sub/a,b", &headers[..1]);
    for (number, channel) in ["a", "b", "a"].into_iter().enumerate() {
        post(
            &server,
            &format!("/pub?id={channel}"),
            "",
            &format!("text {number}"),
        );
        let (is_compressed, _, text) = message(&mut websocket);
        assert!(is_compressed);
        assert_eq!(message(&mut plain), (false, text.len(), text));
    }
}

#[test]
fn compression_that_a_client_cannot_read_is_not_negotiated() {
    let http = "nchan_permessage_deflate_compression_window 12;";
    let server = Server::with_conf(&conf(http, LOCATIONS));
    for (offer, expected) in [
        ("deflate-frame", Ok(Some("deflate-frame"))),
        (
            "deflate-frame; max_window_bits=12",
            Ok(Some("deflate-frame; max_window_bits=12")),
        ),
        (
            "x-webkit-deflate-frame; max_window_bits=15",
            Ok(Some("x-webkit-deflate-frame; max_window_bits=12")),
        ),
        (
            "deflate-frame; max_window_bits=10",
            Err("max_window_bits perframe-deflate is too small"),
        ),
        (
            "deflate-frame; max_window_bits=8",
            Err("invalid max_window_bits perframe-deflate setting"),
        ),
        (
            "x-webkit-deflate-frame; max_window_bits=16",
            Err("invalid max_window_bits perframe-deflate setting"),
        ),
        (
            "permessage-deflate; server_max_window_bits=11",
            Err("server_max_window_bits perframe-deflate is too small"),
        ),
        (
            "permessage-deflate; server_max_window_bits=16",
            Err("invalid server_max_window_bits permessage-deflate setting"),
        ),
        (
            "permessage-deflate; server_max_window_bits=12; server_max_window_bits=15",
            Ok(None),
        ),
        (
            "deflate-frame; max_window_bits=8, permessage-deflate",
            Ok(Some("permessage-deflate")),
        ),
    ] {
        let mut client = server.connect();
        let head = client.upgrade("/sub/c", &[("Sec-WebSocket-Extensions", offer)]);
        match expected {
            Ok(response) => assert_eq!(
                (head.status, head.get("Sec-WebSocket-Extensions")),
                (101, response),
                "{offer}"
            ),
            Err(text) => {
                assert_eq!(head.status, 400, "{offer}");
                assert_eq!(client.read_body(), text.as_bytes(), "{offer}");
            }
        }
    }
    let lines = [
        ("Sec-WebSocket-Extensions", "foo"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ];
    let head = server.connect().upgrade("/sub/c", &lines);
    assert_eq!(
        head.get("Sec-WebSocket-Extensions"),
        Some("permessage-deflate"),
        "several lines are one list"
    );
}

#[test]
fn transfer_encoding_is_case_insensitive() {
    let server = Server::with_conf(&conf("", LOCATIONS));
    for te in [
        "chunked",
        "Chunked",
        "CHUNKED",
        "trailers, Chunked",
        "Chunked;q=0.5",
    ] {
        let mut client = server.connect();
        client.send_request("GET", "/sub/c", &[("TE", te)], None);
        let head = client.read_head();
        assert_eq!(
            (head.status, head.get("Transfer-Encoding")),
            (200, Some("chunked")),
            "{te}"
        );
        for text in ["one", "two"] {
            post(&server, "/plain?id=c", "", text);
            client.read_until(text.as_bytes());
        }
        assert_eq!(
            server
                .connect()
                .request("DELETE", "/pub?id=c", &[], None)
                .head
                .status,
            200
        );
    }
    for te in ["chunked;q=0", "Chunked;q=0", "gzip"] {
        let mut client = server.connect();
        client.send_request("GET", "/sub/c", &[("TE", te)], None);
        wait_until("it waits", || {
            server
                .connect()
                .request("POST", "/pub?id=c", &[], Some(b"text"))
                .head
                .status
                == 201
        });
        assert_eq!(client.read_response().text(), "text", "{te}: a long-poll");
        assert_eq!(
            server
                .connect()
                .request("DELETE", "/pub?id=c", &[], None)
                .head
                .status,
            200
        );
    }
}
