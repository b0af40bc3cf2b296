//! A request as the endpoints see it: borrowed from the connection's buffer.

use std::borrow::Cow;

use super::config::{Captures, Variables};
use crate::message::unix_now;

/// The head of an HTTP/1.x request.
#[derive(Debug)]
pub struct Request<'a> {
    /// `GET`, `POST` and so on; always capitals.
    pub method: &'a str,
    /// The request target as it came.
    pub target: &'a [u8],
    /// Its path, decoded and normalised.
    pub path: Cow<'a, [u8]>,
    /// What follows the `?`, undecoded.
    pub query: &'a [u8],
    /// 0 or 1, for HTTP/1.0 and HTTP/1.1.
    pub minor_version: u8,
    /// The headers in their order.
    pub headers: &'a [httparse::Header<'a>],
    /// The connection can serve further requests: the client wants it.
    pub keep_alive: bool,
    /// Where the request came from and arrived.
    pub endpoints: &'a Endpoints,
}

/// The two ends of a connection, as texts for variables.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Address of the client; `unix:` for a unix socket.
    pub remote_address: String,
    /// Port of the client.
    pub remote_port: u16,
    /// Address of the server.
    pub local_address: String,
    /// Port of the server.
    pub local_port: u16,
}

impl Request<'_> {
    /// The first header of that name; names are compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// The raw value of the first query argument of that name; names are compared without case.
    #[must_use]
    pub fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.query.split(|byte| *byte == b'&').find_map(|argument| {
            let equals = memchr::memchr(b'=', argument)?;
            argument[..equals].eq_ignore_ascii_case(name).then(|| &argument[equals + 1..])
        })
    }

    /// The Host header without its port, in lower case.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        let host = std::str::from_utf8(self.header("host")?).ok()?.trim();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        Some(name.trim_end_matches('.').to_ascii_lowercase())
    }
}

/// The variables of a request in a location.
#[derive(Debug)]
pub struct RequestVariables<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Captures of the location.
    pub captures: &'a Captures,
}

impl Variables for RequestVariables<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.request.argument(name)
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.request.header(name)
    }

    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.captures.get(number)
    }

    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.captures.name(name)
    }

    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let Request { method, target, path, query, endpoints, .. } = self.request;
        let text = |text: String| Some(Cow::Owned(text.into_bytes()));
        match name {
            "uri" | "document_uri" => Some(Cow::Borrowed(path.as_ref())),
            "request_uri" => Some(Cow::Borrowed(target)),
            "args" | "query_string" => Some(Cow::Borrowed(query)),
            "is_args" => Some(Cow::Borrowed(if query.is_empty() { b"" } else { b"?" })),
            "request_method" => Some(Cow::Borrowed(method.as_bytes())),
            "scheme" => Some(Cow::Borrowed(b"http")),
            "host" | "server_name" => text(self.request.host()?),
            "hostname" => Some(Cow::Owned(super::hostname().as_bytes().to_vec())),
            "remote_addr" => Some(Cow::Borrowed(endpoints.remote_address.as_bytes())),
            "remote_port" => text(endpoints.remote_port.to_string()),
            "server_addr" => Some(Cow::Borrowed(endpoints.local_address.as_bytes())),
            "server_port" => text(endpoints.local_port.to_string()),
            "pid" => text(std::process::id().to_string()),
            "msec" => text(format!("{}.000", unix_now())),
            "time_iso8601" => text(format!("{}+00:00", super::iso_time(unix_now()))),
            _ => None,
        }
    }
}
