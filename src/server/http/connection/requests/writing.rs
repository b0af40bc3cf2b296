//! Writing responses to the output of a connection, and logging them.

use std::ops::Range;

use super::Requests;
use crate::server::endpoint::RejectedWebSocket;
use crate::server::endpoint::formats::PreparedResponse;
use crate::server::exchange::response::{
    Framing, Response, ResponseContext, ResponseWriter, Status, WrittenResponse,
};
use crate::server::http::h1::response;
use crate::server::http::h1::response_writer::Http1Writer;
use crate::server::http::log_entry::LogEntry;
use crate::server::http::route::LastReply;

/// Writes and logs a response. Returns whether the connection can serve another request.
pub(super) fn write_response(
    requests: &mut Requests<'_>,
    response: &Response,
    connection: ResponseContext,
    log: Option<Box<LogEntry>>,
) -> bool {
    let connection = begin_response(requests, connection);
    write_response_before_others(requests, response, connection, log)
}

/// As [`write_response`], where responses to other requests follow that were carried out already:
/// the connection stays open for them even if the server has begun to stop.
pub(super) fn write_response_before_others(
    requests: &mut Requests<'_>,
    response: &Response,
    connection: ResponseContext,
    log: Option<Box<LogEntry>>,
) -> bool {
    let start = requests.writer.len();
    let written = response::write(response, connection, requests.writer.out());
    let head = start..start + written.head_bytes;
    log_response(requests, log, response.head.status, head, 0);
    written.keeps_alive
}

/// Writes and logs a response that is prepared. Returns whether the connection stays open.
pub(super) fn write_prepared(
    requests: &mut Requests<'_>,
    response: &PreparedResponse,
    log: Option<Box<LogEntry>>,
) -> bool {
    let start = requests.writer.len();
    requests.writer.out().extend_from_slice(&response.bytes);
    let WrittenResponse {
        head_bytes,
        keeps_alive,
    } = response.written;
    log_response(requests, log, response.status, start..start + head_bytes, 0);
    keeps_alive
}

/// Writes and logs what is sent before the connection is closed.
pub(super) fn write_last(
    requests: &mut Requests<'_>,
    reply: &LastReply,
    log: Option<Box<LogEntry>>,
) {
    match reply {
        LastReply::None => log_no_response(requests, log),
        LastReply::Response(response) => write_rejection(requests, response, log),
        LastReply::WebSocket(rejected) => write_rejected_websocket(requests, rejected, log),
    }
}

/// Writes and logs the last response of the connection, as it is.
pub(super) fn write_rejection(
    requests: &mut Requests<'_>,
    response: &Response,
    log: Option<Box<LogEntry>>,
) {
    let connection = ResponseContext {
        minor_version: 1,
        keep_alive: false,
        is_head: false,
    };
    write_response(requests, response, connection, log);
}

/// Writes and logs the opening of a websocket and the frames that close it.
fn write_rejected_websocket(
    requests: &mut Requests<'_>,
    rejected: &RejectedWebSocket,
    log: Option<Box<LogEntry>>,
) {
    let Some(head) = &rejected.head else {
        return log_no_response(requests, log);
    };
    let start = requests.writer.len();
    Http1Writer.write_head(head, Framing::Raw, requests.writer.out());
    let head = start..requests.writer.len();
    requests.writer.out().extend_from_slice(&rejected.frames);
    log_response(requests, log, Status::SWITCHING_PROTOCOLS, head, 0);
}

/// Returns how a response is sent.
pub(super) fn begin_response(
    requests: &mut Requests<'_>,
    connection: ResponseContext,
) -> ResponseContext {
    requests.held = 0;
    // The server may have begun to stop since the request was routed.
    ResponseContext {
        keep_alive: connection.keep_alive && requests.connection.socket.accepts_requests(),
        ..connection
    }
}

/// Logs a response whose head was written to this range; `following` bytes of its body are still
/// to be written.
pub(super) fn log_response(
    requests: &Requests<'_>,
    log: Option<Box<LogEntry>>,
    status: Status,
    head: Range<usize>,
    following: u64,
) {
    if let Some(mut log) = log {
        let written = requests.writer.since(head.start);
        let sent = written.len() as u64 + following;
        log.add_received(requests.received);
        log.record_response(status, &written[..head.len()], sent);
    }
}

/// Logs a request whose connection is closed without a response.
fn log_no_response(requests: &Requests<'_>, log: Option<Box<LogEntry>>) {
    if let Some(mut log) = log {
        log.add_received(requests.received);
        log.record_no_response();
    }
}
