//! Edge cases of nchan's dialect: line ends in messages, ids of many channels, HTTP/1.0 clients,
//! forbidden frames, and the group of events.

use crate::support::{Connection, Server, conf, frame_with, opcode, wait_until};

const LOCATIONS: &str = "
    location = /ps { nchan_pubsub; nchan_channel_id $arg_id; nchan_message_buffer_length 1000; }
    location ~ ^/many/(.*)$ { nchan_subscriber; nchan_channel_id $1; \
    nchan_channel_id_split_delimiter ',';
        nchan_max_channel_id_length 4096; }
    location = /group { nchan_pubsub; nchan_channel_id $arg_id; nchan_channel_group $arg_g; \
    nchan_channel_events_channel_id events; }
    location = /limits { nchan_group_location; nchan_channel_group $arg_g; \
    nchan_channel_group_accounting on; }
    location = /events { nchan_pubsub; nchan_channel_id events; nchan_channel_group meta; }";

fn server() -> Server {
    Server::with_conf(&conf("", LOCATIONS))
}

fn post(server: &Server, path: &str, body: &[u8]) -> u16 {
    server
        .connect()
        .request("POST", path, &[], Some(body))
        .head
        .status
}

fn events(server: &Server, path: &str, id: Option<&str>) -> Connection {
    let mut connection = server.connect();
    let mut headers = vec![("Accept", "text/event-stream")];
    headers.extend(id.map(|id| ("Last-Event-ID", id)));
    connection.send_request("GET", path, &headers, None);
    assert_eq!(connection.read_head().status, 200);
    connection.read_until(b": hi\n\n");
    connection
}

#[test]
fn a_published_cr_begins_no_event_field() {
    let server = server();
    assert_eq!(
        post(
            &server,
            "/ps?id=c",
            b"a\rid: 4000000000:0\revent: evil\r\r\nb\rx"
        ),
        202
    );
    let event =
        String::from_utf8(events(&server, "/ps?id=c", None).read_until(b"\n\n")).expect("UTF-8");
    let (id, data) = event.split_once('\n').expect("two lines");
    assert!(id.starts_with("id: ") && !id.contains('\r'), "{event:?}");
    assert_eq!(
        data,
        "data: a\ndata: id: 4000000000:0\ndata: event: evil\ndata: \r\ndata: b\rx\n\n"
    );
}

#[test]
fn multi_channel_ids_resume_correctly() {
    let server = server();
    let names: Vec<String> = (0..255).map(|number| format!("c{number}")).collect();
    let path = format!("/many/{}", names.join(","));
    for (number, name) in names.iter().enumerate() {
        assert_eq!(
            post(
                &server,
                &format!("/ps?id={name}"),
                number.to_string().as_bytes()
            ),
            202
        );
    }
    let mut first = events(&server, &path, None);
    let mut last = String::new();
    for number in 0..200 {
        let event = String::from_utf8(first.read_until(b"\n\n")).expect("UTF-8");
        assert!(event.ends_with(&format!("\ndata: {number}\n\n")), "{event}");
        last = event
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("id: "))
            .expect("an id")
            .to_owned();
    }
    assert!(last.len() > 500, "{last}");
    let event =
        String::from_utf8(events(&server, &path, Some(&last)).read_until(b"\n\n")).expect("UTF-8");
    assert!(
        event.ends_with("\ndata: 200\n\n"),
        "nothing comes twice: {event}"
    );
}

#[test]
fn http_1_0_gets_streams_without_chunks() {
    let server = server();
    let mut connection = server.connect();
    connection.send("GET /ps?id=c HTTP/1.0\r\nTE: chunked\r\nConnection: keep-alive, TE\r\n\r\n");
    let head = connection.read_head();
    assert_eq!(
        (
            head.status,
            head.get("Transfer-Encoding"),
            head.get("Connection")
        ),
        (200, None, Some("close"))
    );
    wait_until("it follows", || post(&server, "/ps?id=c", b"hello") == 201);
    assert_eq!(
        server
            .connect()
            .request("DELETE", "/ps?id=c", &[], None)
            .head
            .status,
        200
    );
    let body = connection.read_to_close();
    assert!(
        body.starts_with(b"hello") && body.chunks(5).all(|text| text == b"hello"),
        "{:?}",
        String::from_utf8_lossy(&body)
    );
}

#[test]
fn frames_that_the_standard_forbids_end_their_websocket() {
    let server = server();
    let mask = Some([1, 2, 3, 4]);
    let protocol_error = &1002_u16.to_be_bytes()[..];
    let close = |frames: &[(u8, &[u8])]| {
        let mut websocket = server.websocket(
            "/ps?id=c",
            &[("Sec-WebSocket-Extensions", "permessage-deflate")],
        );
        frames
            .iter()
            .for_each(|(first, payload)| websocket.send(frame_with(*first, payload, mask)));
        let frame = websocket.read_frame();
        assert_eq!(frame.opcode(), opcode::CLOSE, "{frames:?}");
        frame.payload
    };
    assert_eq!(
        close(&[(opcode::PING, b"x")]),
        protocol_error,
        "a ping in fragments"
    );
    assert_eq!(
        close(&[(0xc0 | opcode::PING, b"x")]),
        protocol_error,
        "a compressed ping"
    );
    assert_eq!(
        close(&[(opcode::TEXT, b"a"), (0xc0 | opcode::CONTINUATION, b"b")]),
        protocol_error,
        "compressed in the middle"
    );
    assert_eq!(
        close(&[(0x80 | opcode::CLOSE, b"\x03\xe8\xff\xfe")]),
        1007_u16.to_be_bytes(),
        "a reason that is no text"
    );
    assert_eq!(
        close(&[(0x80 | opcode::CLOSE, b"\x03\xe8bye")]),
        b"\x03\xe8bye"
    );
}

#[test]
fn the_first_acceptable_offer_of_compression_is_taken() {
    let server = server();
    let offers = "permessage-deflate; server_max_window_bits=9, permessage-deflate; \
                  client_no_context_takeover";
    let head = server
        .connect()
        .upgrade("/ps?id=c", &[("Sec-WebSocket-Extensions", offers)]);
    let response = head.get("Sec-WebSocket-Extensions");
    assert_eq!(
        (head.status, response),
        (101, Some("permessage-deflate; client_no_context_takeover"))
    );
    let head = server.connect().upgrade(
        "/ps?id=c",
        &[(
            "Sec-WebSocket-Extensions",
            "permessage-deflate; server_max_window_bits=9",
        )],
    );
    assert_eq!(head.status, 400, "as recorded from nchan");
}

#[test]
fn requests_that_name_the_group_of_events_themselves_change_nothing_in_it() {
    let server = server();
    let delete = |path: &str| {
        server
            .connect()
            .request("DELETE", path, &[], None)
            .head
            .status
    };
    assert_eq!(post(&server, "/group?g=x&id=c", b"hello"), 202);
    let published = server.get("/events").text().to_owned();
    assert_eq!(published, "channel_publish c");
    assert_eq!(post(&server, "/group?g=meta&id=events", b"forged"), 403);
    assert_eq!(delete("/group?g=meta&id=events"), 403);
    assert_eq!(delete("/limits?g=meta"), 403);
    assert_eq!(post(&server, "/limits?g=meta", b""), 403);
    assert_eq!(
        server
            .connect()
            .upgrade("/group?g=meta&id=events", &[])
            .status,
        403
    );
    assert_eq!(server.get("/events").text(), published);
    assert_eq!(post(&server, "/events", b"the configuration says so"), 202);
}

#[test]
fn the_text_of_an_event_has_the_variables_of_the_location() {
    let server = Server::with_conf(&conf(
        "",
        "location = /link { nchan_subscriber; nchan_channel_id a;
            secure_link $arg_md5; secure_link_md5 \"s$uri\";
            nchan_channel_events_channel_id links;
            nchan_channel_event_string \"$nchan_channel_event [$secure_link]\"; }
        location = /events { nchan_subscriber; nchan_channel_id links; nchan_channel_group meta; }",
    ));
    let mut stream = events(&server, "/events", None);
    // The MD5 of `s/link`.
    let _subscriber = events(&server, "/link?md5=cuOsIIUMUkZV_gDb7dWUPw", None);
    let event = String::from_utf8(stream.read_until(b"\n\n")).expect("UTF-8");
    assert!(
        event.ends_with("\ndata: subscriber_enqueue [1]\n\n"),
        "{event}"
    );
    server.stop();
}
