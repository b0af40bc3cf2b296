//! Malformed requests: their lines in the access log.
//!
//! As in nginx they are logged by the default server, with the part of their first line that was
//! read.

use std::borrow::Cow;
use std::time::Instant;

use crate::server::http::listen::listener_snapshot::ListenerSnapshot;
use crate::server::http::log_entry::{LogEntry, RequestStart};

use crate::server::config::{RewriteFrame, Variables};
use crate::server::exchange::request::{Endpoints, Request};
use crate::server::exchange::variables::RequestVariables;

/// Begins the access log entry of a malformed request at the front of `input`.
pub(super) fn log_entry(
    snapshot: &ListenerSnapshot,
    peer: &Endpoints,
    input: &[u8],
) -> Option<Box<LogEntry>> {
    let server = snapshot.listener.default_server(&peer.local_address);
    let web = &server.settings.web;
    if web.access_logs.is_empty() {
        return None;
    }
    let frame = RewriteFrame::default();
    let request = Request {
        method: "",
        target: b"",
        unparsed_uri: b"",
        path: Cow::Borrowed(b""),
        query: b"",
        minor_version: 1,
        headers: &[],
        joined_cookie: None,
        joined_forwarded_for: None,
        host_name: None,
        head_bytes: 0,
        without_chunks: false,
        keep_alive: false,
        endpoints: peer,
    };
    let connection = RequestVariables {
        request: &request,
        frame: &frame,
        peer,
        server,
        root: None,
        secure_link: None,
        client: None,
    };
    let variables = MalformedRequest {
        line: first_line(input),
        connection,
    };
    let start = RequestStart {
        began: Instant::now(),
        connection_opened: peer.opened,
        head_bytes: 0,
    };
    LogEntry::begin(web, &variables, start, false)
}

/// Returns the first line of the input without empty lines before it.
fn first_line(mut input: &[u8]) -> &[u8] {
    while let [b'\r' | b'\n', rest @ ..] = input {
        input = rest;
    }
    &input[..memchr::memchr2(b'\r', b'\n', input).unwrap_or(input.len())]
}

/// The variables of a malformed request: those of its connection, and `$request`.
struct MalformedRequest<'a> {
    line: &'a [u8],
    connection: RequestVariables<'a>,
}

impl Variables for MalformedRequest<'_> {
    fn argument(&self, _name: &[u8]) -> Option<&[u8]> {
        None
    }
    fn header(&self, _name: &str) -> Option<&[u8]> {
        None
    }
    fn capture(&self, _number: usize) -> Option<&[u8]> {
        None
    }
    fn named_capture(&self, _name: &str) -> Option<&[u8]> {
        None
    }
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match name {
            "request" => Some(Cow::Borrowed(self.line)),
            "request_method"
            | "request_uri"
            | "uri"
            | "document_uri"
            | "fastcgi_script_name"
            | "args"
            | "query_string"
            | "server_protocol" => None,
            _ => self.connection.builtin(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_ends_at_its_line_end_or_with_the_input() {
        for (input, expected) in [
            (&b"\r\n\nGET x\r\nHost: a"[..], &b"GET x"[..]),
            (b"a\nb", b"a"),
            (b"ab", b"ab"),
            (b"\n", b""),
            (b"", b""),
        ] {
            assert_eq!(first_line(input), expected, "{}", input.escape_ascii());
        }
    }
}
