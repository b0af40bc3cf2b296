//! The request that endpoints handle: its parsed head, borrowed from the buffer of its connection,
//! and its variables.
//!
//! Parsing is done by `http::h1::head`.

use std::borrow::Cow;
use std::time::Instant;

use crate::server::config::model::location::rewrite_phase::rewrite::find_argument;

/// A header of a request: its name and its value. The type is that of the parser, so that heads are
/// not copied.
pub type RequestHeader<'a> = httparse::Header<'a>;

/// The head of a request.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The request target as received.
    pub target: &'a [u8],
    /// The target without scheme and host, as received: it begins with the path, or with `?` if the
    /// target has no path.
    pub unparsed_uri: &'a [u8],
    /// The path, decoded and normalised.
    pub path: Cow<'a, [u8]>,
    /// The query, undecoded, without the `?`.
    pub query: &'a [u8],
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor_version: u8,
    /// The headers in the order of the request.
    pub headers: &'a [RequestHeader<'a>],
    /// All `Cookie` headers as one list, if there are several.
    pub joined_cookie: Option<&'a [u8]>,
    /// All `X-Forwarded-For` headers as one list, if there are several.
    pub joined_forwarded_for: Option<&'a [u8]>,
    /// Host name of an absolute target (RFC 9112, section 3.2.2), or else of the Host header, as
    /// received, without the port.
    pub host_name: Option<&'a [u8]>,
    /// Length of the head in bytes.
    pub head_bytes: usize,
    /// The response must not be chunked.
    pub without_chunks: bool,
    /// The client accepts further responses on this connection.
    pub keep_alive: bool,
    /// The two ends of the connection.
    pub endpoints: &'a Endpoints,
}

/// The two ends of a connection, as values of variables.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// IP address of the client; `unix:` for a unix socket.
    pub remote_address: String,
    /// Port of the client; 0 = unknown.
    pub remote_port: u16,
    /// IP address of the server.
    pub local_address: String,
    /// Port of the server.
    pub local_port: u16,
    /// Number of the connection, unique in the process.
    pub serial: u64,
    /// Time when the connection was opened.
    pub opened: Option<Instant>,
    /// Number of the current request on the connection.
    pub requests: u64,
}

impl<'a> Request<'a> {
    /// Returns the request with `without_chunks` set.
    #[must_use]
    pub fn unframed(&self) -> Request<'_> {
        Request {
            path: Cow::Borrowed(&self.path),
            without_chunks: true,
            ..*self
        }
    }

    /// Returns the minor version by which a response of unknown length is framed: 0 = the end of
    /// the connection ends it.
    #[must_use]
    pub fn framing_version(&self) -> u8 {
        if self.without_chunks {
            0
        } else {
            self.minor_version
        }
    }

    /// Returns the request as the last one of its connection.
    #[must_use]
    pub fn last(&self) -> Request<'_> {
        Request {
            path: Cow::Borrowed(&self.path),
            keep_alive: false,
            ..*self
        }
    }
}

impl Request<'_> {
    /// Returns the first header of that name, compared without case; for `Cookie` and
    /// `X-Forwarded-For`, whose lists may be spread over several headers, the whole list.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.joined(name).or_else(|| {
            let found = self
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value)
        })
    }

    fn joined(&self, name: &str) -> Option<&[u8]> {
        match (self.joined_cookie, self.joined_forwarded_for) {
            (None, None) => None,
            (cookie, _) if name.eq_ignore_ascii_case("cookie") => cookie,
            (_, forwarded_for) if name.eq_ignore_ascii_case("x-forwarded-for") => forwarded_for,
            _ => None,
        }
    }

    /// Returns the undecoded value of the first query argument of that name, compared without case.
    #[must_use]
    pub fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        find_argument(self.query, name)
    }

    /// Returns the host of the request in lower case, without its port; `None` if it has none.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.host_name?).to_ascii_lowercase())
    }

    /// Returns the user name of `Authorization: Basic`, whether or not it is valid.
    pub(in crate::server) fn user(&self) -> Option<Vec<u8>> {
        let pair = super::basic_credentials::decode_pair(self.header("authorization")?)?;
        pair.split(|byte| *byte == b':').next().map(<[u8]>::to_vec)
    }
}
