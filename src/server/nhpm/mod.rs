//! The dialect of nginx_http_push_module 0.73 (nhpm-nchan.md, part 1).
//!
//! Behaviour that nhpm-nchan.md calls a bug of the module is not reproduced: the junk byte after
//! the Content-Type of info bodies, ids truncated at the maximum length (rejected with 403
//! instead), empty messages that close the connection.

pub mod cursor;
pub mod info;
pub(in crate::server) mod publish;
pub(in crate::server) mod subscribe;

use bytes::Bytes;

use crate::server::exchange::response::{
    HeaderList, HeaderListBuilder, HttpDate, Response, ResponseBody, Status,
};

/// The response to a request without a channel id, whatever its method.
#[must_use]
pub fn no_channel_id() -> Response {
    Response::sized(
        Status::NOT_FOUND,
        "text/plain",
        HeaderList::default(),
        b"No channel id provided.".to_vec(),
    )
}

/// The response to a publisher whose request was not acknowledged.
#[must_use]
pub fn unavailable(text: &'static str) -> Response {
    Response::sized(
        Status(503),
        "text/plain",
        HeaderList::default(),
        text.as_bytes().to_vec(),
    )
}

/// The response to an unsupported method.
#[must_use]
pub fn not_allowed(allow: &str) -> Response {
    Response::error_page(Status::NOT_ALLOWED).with_headers(&HeaderList::of("Allow", allow))
}

/// The response to OPTIONS.
#[must_use]
pub fn options(headers: &str, methods: &str) -> Response {
    let mut lines = HeaderListBuilder::default();
    lines.push("Access-Control-Allow-Origin", "*");
    lines.push("Access-Control-Allow-Headers", headers);
    lines.push("Access-Control-Allow-Methods", methods);
    Response::header_only(Status::OK, lines.build())
}

/// The headers of a response with a message, after Last-Modified.
fn message_headers(tag: u32) -> HeaderList {
    let mut headers = HeaderListBuilder::default();
    headers.push_display("Etag", tag);
    headers.push("Vary", "If-None-Match, If-Modified-Since");
    headers.build()
}

/// A response with this message.
#[must_use]
pub fn message_response(message: &super::broker::Message) -> Response {
    Response::header_only(Status::OK, message_headers(message.channel_tag))
        .with_content_type(message.content_type().cloned())
        .with_last_modified(Some(HttpDate::of(message.position.time)))
        .with_body(ResponseBody::Sized(Bytes::clone(&message.text)))
}
