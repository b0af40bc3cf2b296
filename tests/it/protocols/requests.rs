//! Regression tests of requests: HEAD, bytes that are not ASCII, ids with special characters,
//! connections that are not kept.

use std::time::Duration;

use crate::support::{Connection, Server, conf, object, show};

#[test]
fn head_responses_have_no_body() {
    let server = Server::start(&[]);
    server.publish("a", "m1");
    for (path, status) in [("/nothing", 404), ("/", 200)] {
        let length = |head: &crate::support::Head| head.get("Content-Length").map(str::to_owned);
        let get = server.get(path);
        assert_eq!(
            (get.head.status, get.body.is_empty()),
            (status, false),
            "{path}"
        );
        let mut connection = server.connect();
        let info = "GET /pub?id=a HTTP/1.1\r\nHost: localhost\r\n\r\n";
        connection.send(format!(
            "HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n{info}"
        ));
        let head = connection.read_head();
        assert_eq!(
            (head.status, length(&head)),
            (status, length(&get.head)),
            "{path}"
        );
        let behind = connection.read_response();
        assert_eq!(
            object(&behind.body)["channel"],
            "a",
            "{path}: the bytes after the head"
        );
    }
    server.stop();
}

#[test]
fn a_page_refuses_other_methods() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for method in ["POST", "PUT", "DELETE"] {
        let response = connection.request(method, "/", &[], Some(b"x"));
        assert_eq!(
            (response.head.status, response.head.get("Allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
    server.stop();
}

#[test]
fn connections_are_not_kept_with_a_keepalive_timeout_of_zero() {
    let locations = r"
        location /pub { push_stream_publisher admin; push_stream_channels_path $arg_id;
            push_stream_store_messages on; }
        location ~ ^/lp/(.*)$ { push_stream_subscriber long-polling; push_stream_channels_path $1; }
        location ~ ^/poll/(.*)$ { push_stream_subscriber polling; push_stream_channels_path $1; }";
    let server = Server::with_conf(&conf(
        "keepalive_timeout 0; push_stream_shared_memory_size 10m;",
        locations,
    ));
    server.publish("a", "m1");
    for path in [
        "/pub?id=a",
        "/poll/a.b1",
        "/poll/none",
        "/lp/a.b1",
        "/nothing",
    ] {
        // Only the time before the request is tested, not the time between requests.
        for wait in [Duration::ZERO, Duration::from_millis(100)] {
            let mut connection = server.connect();
            std::thread::sleep(wait);
            connection.send_request("GET", path, &[], None);
            let response = connection.read_response();
            assert_eq!(
                response.head.get("Connection"),
                Some("close"),
                "{path} after {wait:?}: {response:?}"
            );
            connection.expect_close();
        }
    }
    server.stop();
}

/// Sends a request whose target holds any bytes, and returns status and body.
fn raw_request(
    connection: &mut Connection,
    method: &str,
    target: &[u8],
    body: &[u8],
) -> (u16, Vec<u8>) {
    let mut request = [
        method.as_bytes(),
        b" ",
        target,
        b" HTTP/1.1\r\nHost: localhost\r\n",
    ]
    .concat();
    request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    request.extend_from_slice(body);
    connection.send(request);
    let response = connection.read_response();
    (response.head.status, response.body)
}

#[test]
fn a_request_target_may_hold_any_byte_from_128_on() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for id in [
        &b"\xe9\xff"[..],
        b"\x80",
        "ä".as_bytes(),
        b"mixed \xe4".trim_ascii_start(),
    ] {
        let id = id.split(|byte| *byte == b' ').collect::<Vec<_>>().concat();
        let query = [b"/pub?id=", &id[..]].concat();
        let (status, body) = raw_request(&mut connection, "POST", &query, b"m1");
        assert_eq!(
            (status, &object(&body)["published_messages"]),
            (200, &1.into()),
            "{}",
            show(&id)
        );
        let (status, body) = raw_request(&mut connection, "GET", &query, b"");
        assert_eq!(
            (status, &object(&body)["stored_messages"]),
            (200, &1.into()),
            "{}",
            show(&id)
        );
        let encoded: String = id.iter().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(
            server.get(&format!("/pub?id={encoded}")).head.status,
            200,
            "{encoded} is the same channel"
        );
        let (status, body) = raw_request(
            &mut connection,
            "GET",
            &[b"/poll/", &id[..], b".b1"].concat(),
            b"",
        );
        assert_eq!(
            (status, &object(&body)["text"]),
            (200, &"m1".into()),
            "{}",
            show(&id)
        );
    }
    server.stop();
}

/// An id that neither JSON nor XML can hold as it is, and its percent-encoding.
const ODD_ID: &str = "q\"b\\c\u{1}<&>";
const ODD_ID_ENCODED: &str = "q%22b%5Cc%01%3C%26%3E";

#[test]
fn built_in_locations_escape_channel_ids() {
    let server = Server::start(&[]);
    let published = server.publish(ODD_ID_ENCODED, "m1");
    assert_eq!(object(&published.body)["channel"], ODD_ID);
    for path in [
        format!("/pub?id={ODD_ID_ENCODED}"),
        format!("/channels-stats?id={ODD_ID_ENCODED}"),
    ] {
        assert_eq!(object(&server.get(&path).body)["channel"], ODD_ID, "{path}");
        let xml = server
            .connect()
            .request("GET", &path, &[("Accept", "text/xml")], None);
        assert!(
            xml.text()
                .contains("<name>q\"b\\c\u{fffd}&lt;&amp;&gt;</name>"),
            "{path}: {}",
            xml.text()
        );
        for (accept, shown) in [
            ("text/plain", "q\"b\\c\u{fffd}"),
            ("application/yaml", r#""q\"b\\c\u0001<&>""#),
        ] {
            let lines = server
                .connect()
                .request("GET", &path, &[("Accept", accept)], None);
            assert!(
                !lines.body.contains(&1) && lines.text().contains(shown),
                "{path} {accept}: {}",
                lines.text()
            );
        }
    }
    for path in ["/channels-stats?id=ALL", "/channels-stats?id=q*"] {
        assert_eq!(
            object(&server.get(path).body)["infos"][0]["channel"],
            ODD_ID,
            "{path}"
        );
        let xml = server
            .connect()
            .request("GET", path, &[("Accept", "text/xml")], None);
        assert!(
            xml.text().contains("&lt;&amp;&gt;</name>") && !xml.text().contains("<&>"),
            "{path}: {}",
            xml.text()
        );
    }
    server.publish("plain", "m1");
    let both = server.get(&format!("/channels-stats?id={ODD_ID_ENCODED}/plain"));
    assert_eq!(object(&both.body)["infos"][0]["channel"], ODD_ID);
    server.stop();
}

#[test]
fn configured_locations_escape_channel_ids_which_the_module_does_not() {
    let locations = r"
        location ~ ^/pub/(.*)$ { push_stream_publisher admin; push_stream_channels_path $1; }
        location ~ ^/stats/(.*)$ { push_stream_channels_statistics; push_stream_channels_path $1;
            }";
    let server = Server::with_conf(&conf("push_stream_shared_memory_size 10m;", locations));
    let published =
        server
            .connect()
            .request("POST", &format!("/pub/{ODD_ID_ENCODED}"), &[], Some(b"m1"));
    assert_eq!(object(&published.body)["channel"], ODD_ID);
    for path in [
        format!("/pub/{ODD_ID_ENCODED}"),
        format!("/stats/{ODD_ID_ENCODED}"),
        "/stats/ALL".to_owned(),
    ] {
        let json = server.get(&path);
        let json = object(&json.body);
        assert_eq!(
            json.get("infos")
                .map_or(&json["channel"], |infos| &infos[0]["channel"]),
            ODD_ID,
            "{path}"
        );
        let xml = server
            .connect()
            .request("GET", &path, &[("Accept", "text/xml")], None);
        assert!(
            xml.text()
                .contains("<name>q\"b\\c\u{fffd}&lt;&amp;&gt;</name>"),
            "{path}: {}",
            xml.text()
        );
    }
    server.stop();
}
