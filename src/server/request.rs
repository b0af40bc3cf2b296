//! A request as the endpoints see it: borrowed from the connection's buffer.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::sync::LazyLock;
use std::time::Instant;

use super::config::expression::Memo;
use super::config::rewrite::find_argument;
use super::config::secure_link::LinkCheck;
use super::config::web::Root;
use super::config::{RewriteFrame, SecureLink, Variables, VirtualServer, WebSettings};
use crate::message::{http_date, unix_now};

/// The head of an HTTP/1.x request.
#[derive(Debug)]
pub struct Request<'a> {
    /// `GET`, `POST` and so on; always capitals.
    pub method: &'a str,
    /// The request target as it came.
    pub target: &'a [u8],
    /// The same without scheme and host: as it came from its path, or from its `?` if it has no
    /// path, on.
    pub unparsed_uri: &'a [u8],
    /// Its path, decoded and normalised.
    pub path: Cow<'a, [u8]>,
    /// What follows the `?`, undecoded.
    pub query: &'a [u8],
    /// 0 or 1, for HTTP/1.0 and HTTP/1.1.
    pub minor_version: u8,
    /// The headers in their order.
    pub headers: &'a [httparse::Header<'a>],
    /// All `Cookie` headers as one, if there are several.
    pub joined_cookie: Option<&'a [u8]>,
    /// All `X-Forwarded-For` headers as one, if there are several.
    pub joined_forwarded_for: Option<&'a [u8]>,
    /// The host of an absolute target (RFC 9112, section 3.2.2), or else of the Host header:
    /// without its port, and as it came.
    pub host_name: Option<&'a [u8]>,
    /// Bytes of the head.
    pub head_bytes: usize,
    /// The answer may not be chunked.
    pub without_chunks: bool,
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
    /// Number of the connection; no other one of the process has it.
    pub serial: u64,
    /// When it was opened.
    pub opened: Option<Instant>,
    /// Number of its present request.
    pub requests: u64,
}

impl<'a> Request<'a> {
    /// The same request with other ends of its connection.
    #[must_use]
    pub fn between<'b>(&'b self, endpoints: &'b Endpoints) -> Request<'b> {
        Request {
            path: Cow::Borrowed(&self.path),
            endpoints,
            ..*self
        }
    }

    /// The same request, whose answer may not be chunked.
    #[must_use]
    pub fn unframed(&self) -> Request<'_> {
        Request {
            path: Cow::Borrowed(&self.path),
            without_chunks: true,
            ..*self
        }
    }

    /// The minor version that decides how an answer of unknown length is framed: 0 = it ends with
    /// its connection.
    #[must_use]
    pub fn framing_version(&self) -> u8 {
        if self.without_chunks {
            0
        } else {
            self.minor_version
        }
    }

    /// The same request as the last one of its connection.
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
    /// The first header of that name; names are compared without case. Of `Cookie` and
    /// `X-Forwarded-For`, which lists may be spread over, the whole list.
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

    /// The raw value of the first query argument of that name; names are compared without case.
    #[must_use]
    pub fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        find_argument(self.query, name)
    }

    /// The host that the request is for, without its port, in lower case; `None` = it names none.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.host_name?).to_ascii_lowercase())
    }
}

/// The variables of a request in a location.
#[derive(Clone, Copy, Debug)]
pub struct RequestVariables<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// What the rewrite phase has captured and set.
    pub frame: &'a RewriteFrame,
    /// Where the connection came from, whatever a proxy says.
    pub peer: &'a Endpoints,
    /// The server.
    pub server: &'a VirtualServer,
    /// Where files come from.
    pub root: Option<&'a Root>,
    /// The links of the location.
    pub secure_link: Option<&'a SecureLink>,
    /// Those of the client's request, if this is one of a hook: what that captured by name can be
    /// seen here.
    pub client: Option<&'a RequestVariables<'a>>,
}

/// Headers that nginx has a place for: with `underscores_in_headers` another spelling is another
/// header.
const KNOWN_HEADERS: [&str; 8] = [
    "host",
    "user-agent",
    "referer",
    "via",
    "x-forwarded-for",
    "cookie",
    "content-type",
    "content-length",
];

impl Variables for RequestVariables<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.request.argument(name)
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        if !self.server.has_underscores || KNOWN_HEADERS.contains(&name) {
            return self.request.header(name);
        }
        let is_same = |(one, other): (u8, u8)| {
            one.eq_ignore_ascii_case(&other) || (one, other) == (b'_', b'-')
        };
        let is_it =
            |known: &str| known.len() == name.len() && known.bytes().zip(name.bytes()).all(is_same);
        self.request
            .headers
            .iter()
            .find(|header| is_it(header.name))
            .map(|header| header.value)
    }

    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.frame.captures.get(number)
    }

    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.frame
            .named_capture(name)
            .or_else(|| self.client?.named_capture(name))
    }

    fn assigned(&self, slot: usize) -> Option<&[u8]> {
        self.frame.assigned.get(slot)?.as_deref()
    }

    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let Request {
            method,
            target,
            path,
            query,
            minor_version,
            endpoints,
            ..
        } = self.request;
        let text = |text: String| Some(Cow::Owned(text.into_bytes()));
        let file = |path: std::path::PathBuf| Some(Cow::Owned(path.into_os_string().into_vec()));
        match name {
            "uri" | "document_uri" => Some(Cow::Borrowed(path.as_ref())),
            "request_uri" => Some(Cow::Borrowed(self.request.unparsed_uri)),
            "args" | "query_string" => Some(Cow::Borrowed(query)),
            "is_args" => Some(Cow::Borrowed(if query.is_empty() { b"" } else { b"?" })),
            "request_method" => Some(Cow::Borrowed(method.as_bytes())),
            "request" => Some(Cow::Owned(
                [
                    method.as_bytes(),
                    b" ",
                    target,
                    format!(" HTTP/1.{minor_version}").as_bytes(),
                ]
                .concat(),
            )),
            "server_protocol" => text(format!("HTTP/1.{minor_version}")),
            "scheme" => Some(Cow::Borrowed(b"http")),
            "host" => text(self.request.host().unwrap_or_else(|| self.server_name())),
            "server_name" => text(self.server_name()),
            "hostname" => Some(Cow::Owned(super::hostname().as_bytes().to_vec())),
            "remote_addr" => Some(Cow::Borrowed(endpoints.remote_address.as_bytes())),
            "realip_remote_addr" => Some(Cow::Borrowed(self.peer.remote_address.as_bytes())),
            "realip_remote_port" => text(self.peer.remote_port.to_string()),
            // Of a client behind a proxy it is rarely known.
            "remote_port" if endpoints.remote_port == 0 => None,
            "remote_port" => text(endpoints.remote_port.to_string()),
            "remote_user" => self.request.user().map(Cow::Owned),
            "server_addr" => Some(Cow::Borrowed(endpoints.local_address.as_bytes())),
            "server_port" => text(endpoints.local_port.to_string()),
            "pid" => text(std::process::id().to_string()),
            "binary_remote_addr" => binary(&endpoints.remote_address).map(Cow::Owned),
            "connection" => text(endpoints.serial.to_string()),
            "connection_requests" => text(endpoints.requests.to_string()),
            "connection_time" => {
                let open = endpoints
                    .opened
                    .map(|opened| opened.elapsed())
                    .unwrap_or_default();
                text(format!("{}.{:03}", open.as_secs(), open.subsec_millis()))
            }
            "date_gmt" => text(long_time("GMT")),
            "date_local" => text(long_time("UTC")),
            "fastcgi_script_name" => Some(Cow::Borrowed(path.as_ref())),
            "request_id" => text(request_id(endpoints.serial, endpoints.requests)),
            "request_length" => text(self.request.head_bytes.to_string()),
            // There is no answer yet.
            "body_bytes_sent" | "bytes_sent" => Some(Cow::Borrowed(b"0")),
            "request_time" => Some(Cow::Borrowed(b"0.000")),
            "http2" | "https" => Some(Cow::Borrowed(b"")),
            "status" => Some(Cow::Borrowed(b"000")),
            "msec" => text(milliseconds()),
            "time_iso8601" => text(format!("{}+00:00", super::iso_time(unix_now()))),
            "time_local" => text(local_time(unix_now())),
            "pipe" => Some(Cow::Borrowed(b".")),
            "nginx_version" => Some(Cow::Borrowed(env!("CARGO_PKG_VERSION").as_bytes())),
            "document_root" | "realpath_root" => file(self.root?.directory(&self.without_root())),
            "request_filename" => self.file_name(path).map(Cow::Owned),
            _ => None,
        }
    }

    fn file_name(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(
            self.root?
                .file(path, &self.without_root())
                .into_os_string()
                .into_vec(),
        )
    }

    fn link_check(&self) -> LinkCheck<'_> {
        self.secure_link
            .map_or(LinkCheck::None, LinkCheck::Unchecked)
    }

    fn memo(&self) -> Option<&Memo> {
        Some(&self.frame.memo)
    }
}

impl<'a> RequestVariables<'a> {
    /// The variables as they are at a location with these settings.
    #[must_use]
    pub fn under(self, web: &'a WebSettings) -> Self {
        Self {
            root: web.root.as_ref(),
            secure_link: web.secure_link.as_deref(),
            ..self
        }
    }
}

impl RequestVariables<'_> {
    /// For the path of a root: it cannot be made of itself.
    fn without_root(&self) -> RequestVariables<'_> {
        RequestVariables {
            root: None,
            ..*self
        }
    }

    fn server_name(&self) -> String {
        self.server
            .names
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

impl Request<'_> {
    /// The name of the user in `Authorization: Basic`, right or wrong.
    fn user(&self) -> Option<Vec<u8>> {
        let pair = super::http::basic_pair(self.header("authorization")?)?;
        pair.split(|byte| *byte == b':').next().map(<[u8]>::to_vec)
    }
}

/// The bytes of an address.
fn binary(address: &str) -> Option<Vec<u8>> {
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}

/// 32 digits that no other request has, and that nobody can guess: the numbers of the request under
/// two random keys. It is the same however often it is asked for.
fn request_id(connection: u64, request: u64) -> String {
    static KEYS: LazyLock<[RandomState; 2]> =
        LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    KEYS.iter()
        .map(|key| format!("{:016x}", key.hash_one((connection, request))))
        .collect()
}

/// `Monday, 30-Nov-2026 08:00:00 GMT`, the format of nginx for dates in texts.
fn long_time(zone: &str) -> String {
    const DAYS: [&str; 7] = [
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
    ];
    let date = http_date(unix_now());
    let parts: Vec<&str> = date
        .split([' ', ','])
        .filter(|part| !part.is_empty())
        .collect();
    match parts.as_slice() {
        [name, day, month, year, time, _] => {
            let name = DAYS
                .iter()
                .find(|day| day.starts_with(name))
                .unwrap_or(name);
            format!("{name}, {day}-{month}-{year} {time} {zone}")
        }
        _ => date,
    }
}

/// Seconds and milliseconds since the Unix epoch.
pub(super) fn milliseconds() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{}.{:03}", now.as_secs(), now.subsec_millis())
}

/// `21/Nov/2026:08:00:00 +0000`: of `Sat, 21 Nov 2026 08:00:00 GMT`.
pub(super) fn local_time(unix_seconds: u64) -> String {
    let date = http_date(unix_seconds);
    let parts: Vec<&str> = date.split(' ').collect();
    match parts.as_slice() {
        [_, day, month, year, time, _] => format!("{day}/{month}/{year}:{time} +0000"),
        _ => date,
    }
}
