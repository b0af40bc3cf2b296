//! Chunked request bodies (RFC 9112, section 7.1): ambiguous framing is rejected, and no bytes
//! after it are read as a request.

use crate::support::{Server, show};

const HEAD: &[u8] =
    b"POST /pub?id=s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &[u8] = b"GET /pub?id=smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_body_that_parsers_could_end_differently_is_rejected() {
    let server = Server::start(&[]);
    for body in [
        &b"2;\nxx\r\nab\r\n0\r\n\r\n"[..],
        b"2\nab\r\n0\r\n\r\n",
        b"2\r\nab\n0\r\n\r\n",
        b"2\rX\nab\r\n0\r\n\r\n",
        b"2;a\rb\r\nab\r\n0\r\n\r\n",
        b"2;a=\"x\r\ny\"\r\nab\r\n0\r\n\r\n",
        b"2 x\r\nab\r\n0\r\n\r\n",
        b"10000000000000002\r\nab\r\n0\r\n\r\n",
        b"2\r\nab\r\n0\n\n",
        b"2\r\nab\r\n0\r\n\n",
        b"2\r\nab\r\n0\r\n \r\n",
        b"2\r\nab\r\n0\r\n\r\r\n",
        b"2\r\nab\r\n0\r\nT: x\n\r\n",
        b"2\r\nab\r\n0\r\nT: x\ry\r\n\r\n",
        b"2\r\nab\r\n0\r\nT : x\r\n\r\n",
        b"2\r\nab\r\n0\r\nT: x\r\n\r\r\n",
        // The missing line makes the next request a trailer.
        b"2\r\nab\r\n0\r\n",
    ] {
        let mut connection = server.connect();
        connection.send([HEAD, body, NEXT].concat());
        let response = connection.read_response();
        assert_eq!(
            (response.head.status, response.head.get("Connection")),
            (400, Some("close")),
            "{}",
            show(body)
        );
        assert_eq!(
            show(&connection.read_to_close()),
            "",
            "nothing is read behind {}",
            show(body)
        );
    }
    server.stop();
}

#[test]
fn valid_chunked_bodies_are_read() {
    let server = Server::start(&[]);
    for body in [
        &b"2\r\nab\r\n0\r\n\r\n"[..],
        b"002 \r\nab\r\n000;x\r\n\r\n",
        b"2;a=b;c=\"d;\\\"e\"\r\nab\r\n0\r\nT: x\r\nU:\r\n\r\n",
    ] {
        let mut connection = server.connect();
        connection.send([HEAD, body, NEXT].concat());
        assert_eq!(
            connection.read_response().head.status,
            200,
            "{}",
            show(body)
        );
        assert_eq!(
            connection.read_response().head.status,
            404,
            "the request behind {}",
            show(body)
        );
    }
    server.stop();
}
