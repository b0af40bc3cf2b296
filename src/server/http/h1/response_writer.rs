//! Responses to subscribers as HTTP/1 sends them.

use super::response::{self, Announced};
use crate::server::exchange::response::{
    Framing, Response, ResponseContext, ResponseWriter, SubscriptionHead, WrittenResponse,
};

/// Room for a head and a short first payload.
const ROOM_BYTES: usize = 384;

/// Writes responses as HTTP/1.
pub(in crate::server) struct Http1Writer;

impl ResponseWriter for Http1Writer {
    fn write_response(
        &self,
        response: &Response,
        context: ResponseContext,
        out: &mut Vec<u8>,
    ) -> WrittenResponse {
        response::write(response, context, out)
    }

    fn write_head(&self, head: &SubscriptionHead, framing: Framing, out: &mut Vec<u8>) {
        match head {
            SubscriptionHead::Stream(head) => {
                out.reserve(ROOM_BYTES);
                let announced = Announced {
                    length: None,
                    is_chunked: framing == Framing::Chunked,
                    keeps_alive: !head.close,
                };
                response::write_head(head, &announced, out);
            }
            SubscriptionHead::Upgrade(headers) => {
                out.reserve(ROOM_BYTES);
                out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
                out.extend_from_slice(headers.as_lines());
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::exchange::response::{HeaderList, ResponseHead, Status};

    fn written(head: SubscriptionHead, framing: Framing) -> String {
        let mut head = head;
        head.extend(&HeaderList::of("X-Added", "1"));
        let mut out = Vec::new();
        Http1Writer.write_head(&head, framing, &mut out);
        String::from_utf8(out).expect("headers in UTF-8")
    }

    #[test]
    fn added_lines_end_the_head_of_a_stream_and_the_framing_is_announced() {
        for (framing, keep_alive, expected) in [
            (
                Framing::Chunked,
                true,
                "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n",
            ),
            (Framing::Raw, false, "Connection: close\r\n"),
        ] {
            let head = ResponseHead {
                content_type: Some("text/plain".into()),
                close: !keep_alive,
                ..ResponseHead::new(Status::OK, HeaderList::of("X-Own", "1"))
            };
            let written = written(SubscriptionHead::Stream(head), framing);
            assert!(written.starts_with("HTTP/1.1 200 OK\r\nServer: "));
            let end =
                format!("\r\nContent-Type: text/plain\r\n{expected}X-Own: 1\r\nX-Added: 1\r\n\r\n");
            assert!(written.ends_with(&end), "{written}");
        }
    }

    #[test]
    fn an_upgrade_has_only_its_own_and_the_added_headers() {
        let head = SubscriptionHead::Upgrade(HeaderList::of("Upgrade", "websocket"));
        assert_eq!(
            written(head, Framing::Raw),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX-Added: 1\r\n\r\n"
        );
    }
}
