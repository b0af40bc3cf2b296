//! The values of nginx's variables for a request in a location.
//!
//! The names with a value are listed in `config::expression::variables`. Values that depend on the
//! response are zero here, as in nginx before the response is sent; the access log has the final
//! ones.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::request::{Endpoints, Request};
use crate::message::{http_date, unix_now};
use crate::server::config::expression::Memo;
use crate::server::config::expression::secure_link::LinkCheck;
use crate::server::config::model::web::Root;
use crate::server::config::{RewriteFrame, SecureLink, Variables, VirtualServer, WebSettings};
use crate::server::exchange::iso_time::iso_time;
use crate::server::observe::hostname::hostname;

/// The variables of a request in a location.
#[derive(Clone, Copy, Debug)]
pub struct RequestVariables<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Captures and variables of the rewrite phase.
    pub frame: &'a RewriteFrame,
    /// Ends of the TCP connection, regardless of what a trusted proxy reports.
    pub peer: &'a Endpoints,
    /// The server that handles the request.
    pub server: &'a VirtualServer,
    /// `root` or `alias` of the location.
    pub root: Option<&'a Root>,
    /// `secure_link` of the location.
    pub secure_link: Option<&'a SecureLink>,
    /// For a subrequest: the variables of the client's request, whose named captures it can use.
    pub client: Option<&'a RequestVariables<'a>>,
}

/// Headers that nginx parses itself: `underscores_in_headers` does not apply to them.
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
        let matches = |header: &str| {
            header.len() == name.len()
                && header.bytes().zip(name.bytes()).all(|(byte, wanted)| {
                    byte.eq_ignore_ascii_case(&wanted) || (byte, wanted) == (b'_', b'-')
                })
        };
        self.request
            .headers
            .iter()
            .find(|header| matches(header.name))
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
        self.request_value(name)
            .or_else(|| self.server_value(name))
            .or_else(|| self.connection_value(name))
            .or_else(|| clock_value(name).map(|text| Cow::Owned(text.into_bytes())))
            .or_else(|| response_value(name).map(|text| Cow::Borrowed(text.as_bytes())))
    }

    fn file_name(&self, path: &[u8]) -> Option<Vec<u8>> {
        let file = self.root?.file(path, &self.without_root());
        Some(file.into_os_string().into_vec())
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
    /// The variables of a request before its location is known.
    #[must_use]
    pub fn new(
        request: &'a Request<'a>,
        frame: &'a RewriteFrame,
        peer: &'a Endpoints,
        server: &'a VirtualServer,
    ) -> Self {
        Self {
            request,
            frame,
            peer,
            server,
            root: None,
            secure_link: None,
            client: None,
        }
    }

    /// Returns the variables of the same request at a location with these settings.
    #[must_use]
    pub fn in_location(self, web: &'a WebSettings) -> Self {
        Self {
            root: web.root.as_ref(),
            secure_link: web.secure_link.as_deref(),
            ..self
        }
    }
}

impl RequestVariables<'_> {
    /// Values of the request line and the headers.
    fn request_value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let Request {
            method,
            target,
            path,
            query,
            minor_version,
            ..
        } = self.request;
        Some(match name {
            "uri" | "document_uri" | "fastcgi_script_name" => Cow::Borrowed(path.as_ref()),
            "request_uri" => Cow::Borrowed(self.request.unparsed_uri),
            "args" | "query_string" => Cow::Borrowed(query),
            "is_args" => Cow::Borrowed(if query.is_empty() { b"" } else { b"?" }),
            "request_method" => Cow::Borrowed(method.as_bytes()),
            "request" => {
                let version = format!(" HTTP/1.{minor_version}");
                Cow::Owned([method.as_bytes(), b" ", target, version.as_bytes()].concat())
            }
            "server_protocol" => Cow::Owned(format!("HTTP/1.{minor_version}").into_bytes()),
            "scheme" => Cow::Borrowed(b"http"),
            "host" => {
                let host = self.request.host().unwrap_or_else(|| self.server_name());
                Cow::Owned(host.into_bytes())
            }
            "remote_user" => Cow::Owned(self.request.user()?),
            "request_length" => Cow::Owned(self.request.head_bytes.to_string().into_bytes()),
            _ => return None,
        })
    }

    /// Values of the server and its files.
    fn server_value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        Some(match name {
            "server_name" => Cow::Owned(self.server_name().into_bytes()),
            "hostname" => Cow::Borrowed(hostname().as_bytes()),
            "pid" => Cow::Owned(std::process::id().to_string().into_bytes()),
            "nginx_version" => Cow::Borrowed(env!("CARGO_PKG_VERSION").as_bytes()),
            "document_root" | "realpath_root" => {
                let directory = self.root?.directory(&self.without_root());
                Cow::Owned(directory.into_os_string().into_vec())
            }
            "request_filename" => Cow::Owned(self.file_name(&self.request.path)?),
            _ => return None,
        })
    }

    /// Values of the connection.
    fn connection_value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let endpoints = self.request.endpoints;
        let text = match name {
            "remote_addr" => return Some(Cow::Borrowed(endpoints.remote_address.as_bytes())),
            "realip_remote_addr" => {
                return Some(Cow::Borrowed(self.peer.remote_address.as_bytes()));
            }
            "server_addr" => return Some(Cow::Borrowed(endpoints.local_address.as_bytes())),
            "binary_remote_addr" => return binary(&endpoints.remote_address).map(Cow::Owned),
            "realip_remote_port" => self.peer.remote_port.to_string(),
            // Proxies report the address of their client, but rarely its port.
            "remote_port" if endpoints.remote_port == 0 => return None,
            "remote_port" => endpoints.remote_port.to_string(),
            "server_port" => endpoints.local_port.to_string(),
            "connection" => endpoints.serial.to_string(),
            "connection_requests" => endpoints.requests.to_string(),
            "connection_time" => {
                let open = endpoints.opened.as_ref().map(Instant::elapsed);
                seconds_with_milliseconds(open.unwrap_or_default())
            }
            "request_id" => request_id(endpoints.serial, endpoints.requests),
            _ => return None,
        };
        Some(Cow::Owned(text.into_bytes()))
    }

    /// For the path of a root, which cannot refer to itself.
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

/// Values of the clock.
fn clock_value(name: &str) -> Option<String> {
    Some(match name {
        "date_gmt" => long_time("GMT"),
        "date_local" => long_time("UTC"),
        "msec" => milliseconds(),
        "time_iso8601" => format!("{}+00:00", iso_time(unix_now())),
        "time_local" => local_time(unix_now()),
        _ => return None,
    })
}

/// Values of the response before it is sent, and of features that a connection does not have.
fn response_value(name: &str) -> Option<&'static str> {
    Some(match name {
        "body_bytes_sent" | "bytes_sent" => "0",
        "request_time" => "0.000",
        "http2" | "https" => "",
        "status" => "000",
        "pipe" => ".",
        _ => return None,
    })
}

/// The bytes of an IP address in network order.
fn binary(address: &str) -> Option<Vec<u8>> {
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}

/// An unguessable id of 32 hexadecimal digits: the numbers of the connection and the request,
/// hashed with two random keys of the process, so that repeated calls return the same id.
fn request_id(connection: u64, request: u64) -> String {
    static KEYS: LazyLock<[RandomState; 2]> =
        LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    KEYS.iter()
        .map(|key| format!("{:016x}", key.hash_one((connection, request))))
        .collect()
}

/// Formats the current time as nginx does for `$date_gmt`: `Monday, 30-Nov-2026 08:00:00 GMT`.
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

/// Formats the current time as `$msec`: seconds since the Unix epoch, with milliseconds.
pub(in crate::server) fn milliseconds() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    seconds_with_milliseconds(now.unwrap_or_default())
}

fn seconds_with_milliseconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}

/// Formats a time as `$time_local`: `21/Nov/2026:08:00:00 +0000`.
pub(in crate::server) fn local_time(unix_seconds: u64) -> String {
    let date = http_date(unix_seconds);
    let mut parts = date.split(' ').skip(1);
    let mut next = || parts.next().unwrap_or_default();
    format!("{}/{}/{}:{} +0000", next(), next(), next(), next())
}
