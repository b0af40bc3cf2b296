//! Protects the built-in locations from web pages: other origins, and names that lead to this
//! server by DNS rebinding.
//!
//! A browser sends requests to any address that a page names. What a page of another origin may do
//! is decided here, before the location: nothing, unless `--allow-origin` names its origin. Clients
//! that are not browsers send none of the headers that are looked at. Locations of a configuration
//! file are not concerned.
//!
//! | request | answer |
//! |---|---|
//! | `Host` of another name, at a listener on a loopback address | 421 |
//! | of a page of another origin, unless the user opened it | 403 |
//! | preflight (OPTIONS) of an allowed origin | 204 with what it may do |

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::site::Site;
use super::target::Target;
use crate::protocol::EXPLAIN;
use crate::server::config::browsers::{AllowedOrigins, BrowserAccess, Origin, split_port};
use crate::server::config::web::AddedHeaders;
use crate::server::config::{ListenAddress, VirtualServer};
use crate::server::log_throttle::LogThrottle;
use crate::server::request::{Endpoints, Request};
use crate::server::response::{Response, Status, push_line};

static LOGGED_NAMES: LogThrottle = LogThrottle::new();
static LOGGED_ORIGINS: LogThrottle = LogThrottle::new();

/// Longest name or origin that is repeated in an answer or a log line.
const MAX_SHOWN_BYTES: usize = 200;

/// What every answer says: its content is never a script or a page because it looks like one.
const NOSNIFF: &[u8] = b"X-Content-Type-Options: nosniff\r\n";
/// The same with the answers that are pages: no other site may show them in a frame.
const NOSNIFF_OF_PAGE: &[u8] =
    b"X-Content-Type-Options: nosniff\r\nContent-Security-Policy: frame-ancestors 'self'\r\n";
/// Headers of answers that pages of allowed origins may read.
const EXPOSED: &str = "Last-Modified, Etag, X-Pushctl-Missed, X-Nginx-PushStream-Explain";
/// What pages of allowed origins may send.
const PREFLIGHT: &[u8] = b"Access-Control-Allow-Methods: GET, POST, PUT, DELETE\r\n\
    Access-Control-Allow-Headers: Authorization, Content-Type, Event-Id, Event-Type, \
    If-Modified-Since, If-None-Match, \
Last-Event-Id, X-Nginx-PushStream-Mode\r\nAccess-Control-Max-Age: 600\r\n";

/// The decision about a request.
pub(super) struct Guard {
    /// Header lines of the answer, whichever it is.
    pub(super) added: AddedHeaders,
    /// The answer, if the request does not get to a location.
    pub(super) answer: Option<Response>,
}

impl Guard {
    /// The decision about a request at a server; `None` if the server is not a built-in one. `peer`
    /// is who sent it.
    pub(super) fn of(
        server: &VirtualServer,
        request: &Request<'_>,
        peer: &Endpoints,
        site: &Site,
    ) -> Option<Self> {
        let access = server.browser_access.as_ref()?;
        let is_page = request.path.as_ref() == b"/" || request.path.starts_with(b"/iframe/");
        if let Some(name) = wrong_name(access, request, peer, site) {
            return Some(Self {
                added: AddedHeaders::to_all(NOSNIFF),
                answer: Some(misdirected(&name)),
            });
        }
        let origin = match page_of(access, request) {
            Page::Own => {
                return Some(Self {
                    added: AddedHeaders::to_all(lines(access, is_page)),
                    answer: None,
                });
            }
            Page::Other(origin) => {
                return Some(Self {
                    added: AddedHeaders::to_all(lines(access, is_page)),
                    answer: Some(forbidden(&origin)),
                });
            }
            Page::Allowed(origin) => origin,
        };
        let mut added = lines(access, is_page).into_owned();
        push_cors(access, &origin, &mut added);
        let is_preflight = request.method == "OPTIONS"
            && request.header("access-control-request-method").is_some();
        let answer = is_preflight.then(|| preflight(request));
        Some(Self {
            added: AddedHeaders::to_all(added),
            answer,
        })
    }
}

/// The page that a request comes from.
enum Page {
    /// None, one of this server, or the user opened the address.
    Own,
    /// One that may use the server, with its origin as it was sent; empty where the browser sent
    /// none.
    Allowed(Vec<u8>),
    /// Another one, with its origin as far as it is known.
    Other(Vec<u8>),
}

/// What browsers say about where a request comes from.
#[derive(Default)]
struct Sent<'a> {
    origins: Vec<&'a [u8]>,
    sites: Vec<&'a [u8]>,
    mode: Option<&'a [u8]>,
    destination: Option<&'a [u8]>,
    referer: Option<&'a [u8]>,
    /// The user agent is a browser.
    is_browser: bool,
}

impl<'a> Sent<'a> {
    fn of(request: &Request<'a>) -> Self {
        let mut sent = Self::default();
        for header in request.headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                6 if is("origin") => sent.origins.push(header.value.trim_ascii()),
                7 if is("referer") => sent.referer = Some(header.value),
                // All browsers call themselves so, and no page can change it for an element.
                10 if is("user-agent") => sent.is_browser = header.value.starts_with(b"Mozilla/"),
                14 if is("sec-fetch-site") => sent.sites.push(header.value.trim_ascii()),
                14 if is("sec-fetch-mode") => sent.mode = Some(header.value),
                14 if is("sec-fetch-dest") => sent.destination = Some(header.value),
                _ => {}
            }
        }
        sent
    }

    /// The origin of the page that `Referer` names; empty if there is none.
    fn referring_origin(&self) -> Vec<u8> {
        self.referer.map(origin_of_url).unwrap_or_default()
    }

    /// The user opened the address, or followed a link to it: the page that has the link gets
    /// nothing of the answer.
    fn is_opened(&self, request: &Request<'_>) -> bool {
        matches!(request.method, "GET" | "HEAD")
            && self.mode == Some(b"navigate")
            && self
                .destination
                .is_none_or(|destination| destination == b"document")
    }
}

/// Which page a request comes from. `Sec-Fetch-Site` takes precedence over `Origin`: only the
/// browser can set it, and it holds also where a proxy has changed the name (as in
/// `CrossOriginProtection` of Go's net/http).
fn page_of(access: &BrowserAccess, request: &Request<'_>) -> Page {
    let sent = Sent::of(request);
    if sent.origins.is_empty() && sent.sites.is_empty() {
        return page_of_script(access, request, &sent);
    }
    if !sent.origins.is_empty()
        && sent.origins.iter().all(|origin| is_allowed(access, origin))
        && !is_own(request, sent.origins[0])
    {
        return Page::Allowed(sent.origins[0].to_vec());
    }
    let is_own = match sent.sites.as_slice() {
        [] => sent.origins.iter().all(|origin| is_own(request, origin)),
        sites => sites
            .iter()
            .all(|site| matches!(*site, b"same-origin" | b"none")),
    };
    let origin = sent
        .origins
        .first()
        .map_or_else(|| sent.referring_origin(), |origin| origin.to_vec());
    match is_own || sent.is_opened(request) {
        true => Page::Own,
        // Script elements and images send no origin.
        false if sent.origins.is_empty() && is_allowed(access, &origin) => {
            Page::Allowed(Vec::new())
        }
        false => Page::Other(origin),
    }
}

/// Which page a request without `Origin` and `Sec-Fetch-Site` comes from. Browsers send neither for
/// a script element over plain HTTP, except to loopback addresses (which 0.0.0.0 is not). A script
/// can read JSONP; the page is named only in `Referer`, which a page can suppress.
fn page_of_script(access: &BrowserAccess, request: &Request<'_>, sent: &Sent<'_>) -> Page {
    if request.argument(b"callback").is_none() {
        return Page::Own;
    }
    let origin = sent.referring_origin();
    let is_own = if origin.is_empty() {
        !sent.is_browser
    } else {
        is_own(request, &origin)
    };
    match is_own {
        true => Page::Own,
        false if is_allowed(access, &origin) => Page::Allowed(Vec::new()),
        false => Page::Other(origin),
    }
}

fn is_allowed(access: &BrowserAccess, origin: &[u8]) -> bool {
    access.allowed_origins == AllowedOrigins::All
        || Origin::parse(origin).is_some_and(|origin| access.allowed_origins.include(&origin))
}

/// Whether the origin is that of this server under the name of the request.
fn is_own(request: &Request<'_>, origin: &[u8]) -> bool {
    let named = request
        .header("host")
        .and_then(|named| std::str::from_utf8(named.trim_ascii()).ok());
    named.is_some_and(|named| Origin::parse(origin).is_some_and(|origin| origin.is_at(named)))
}

/// The origin of the page that a `Referer` names.
fn origin_of_url(url: &[u8]) -> Vec<u8> {
    let Some(start) = memchr::memmem::find(url, b"://").map(|at| at + 3) else {
        return url.to_vec();
    };
    let length = url[start..]
        .iter()
        .take_while(|byte| !matches!(byte, b'/' | b'?' | b'#'))
        .count();
    url[..start + length].to_vec()
}

/// The name by which the request addresses the server, if the server does not go by it. Only
/// listeners on loopback addresses know all of their names; others check them if `--server-name`
/// lists them. What a trusted proxy passes on is not checked.
fn wrong_name(
    access: &BrowserAccess,
    request: &Request<'_>,
    peer: &Endpoints,
    site: &Site,
) -> Option<Vec<u8>> {
    let ListenAddress::Tcp(address) = &site.listener.address else {
        return None;
    };
    if !address.ip().to_canonical().is_loopback() && access.server_names.is_empty() {
        return None;
    }
    let of_target = Target::of(request.target).and_then(|target| target.authority);
    let mut named = [of_target, request.header("host")].into_iter().flatten();
    let wrong = named.find(|named| !is_known(access, named))?;
    let real_ip = site.limits.real_ip.as_ref();
    (!real_ip.is_some_and(|real_ip| real_ip.trusts(&peer.remote_address))).then(|| wrong.to_vec())
}

/// Whether a `Host` is an address, `localhost` or a name of the server. Names that end in a number
/// are addresses to browsers.
fn is_known(access: &BrowserAccess, authority: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(authority.trim_ascii()) else {
        return false;
    };
    let (host, _) = split_port(text);
    let host = host.strip_suffix('.').unwrap_or(host);
    if let Some(address) = host.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    // An empty one is that of clients which are not browsers.
    host.is_empty()
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok()
        || (is_number && !last.is_empty())
        || access
            .server_names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host))
}

/// Header lines of answers to all pages.
fn lines(access: &BrowserAccess, is_page: bool) -> Cow<'static, [u8]> {
    let AllowedOrigins::Named(origins) = &access.allowed_origins else {
        return Cow::Borrowed(NOSNIFF);
    };
    if origins.is_empty() {
        return Cow::Borrowed(if is_page { NOSNIFF_OF_PAGE } else { NOSNIFF });
    }
    let mut lines = [NOSNIFF, b"Vary: Origin\r\n"].concat();
    if is_page {
        let origins: String = origins
            .iter()
            .filter(|origin| **origin != Origin::Opaque)
            .map(|origin| format!(" {origin}"))
            .collect();
        push_line(
            b"Content-Security-Policy: ",
            format!("frame-ancestors 'self'{origins}").as_bytes(),
            &mut lines,
        );
    }
    Cow::Owned(lines)
}

/// Header lines that let a page of an allowed origin read the answer. Those of `*` get no
/// credentials.
fn push_cors(access: &BrowserAccess, origin: &[u8], out: &mut Vec<u8>) {
    if access.allowed_origins == AllowedOrigins::All {
        out.extend_from_slice(b"Access-Control-Allow-Origin: *\r\n");
    } else if !origin.is_empty() {
        push_line(b"Access-Control-Allow-Origin: ", origin, out);
        out.extend_from_slice(b"Access-Control-Allow-Credentials: true\r\n");
    }
    push_line(b"Access-Control-Expose-Headers: ", EXPOSED.as_bytes(), out);
}

fn preflight(request: &Request<'_>) -> Response {
    let mut headers = PREFLIGHT.to_vec();
    if request
        .header("access-control-request-private-network")
        .is_some()
    {
        headers.extend_from_slice(b"Access-Control-Allow-Private-Network: true\r\n");
    }
    Response {
        bodiless: true,
        ..Response::header_only(Status(204), headers)
    }
}

fn misdirected(name: &[u8]) -> Response {
    let name = shown(name);
    let host = split_port(&name).0;
    LOGGED_NAMES.warn(|suppressed| {
        tracing::warn!(
            suppressed,
            "rejected a request: \"{host}\" is not a name of this server (--server-name, or \
             --real-ip-from for a proxy)"
        );
    });
    explained(
        Status(421),
        &format!(
            "\"{host}\" is not a name of this server (start it with --server-name NAME, or with \
             --real-ip-from for a proxy)"
        ),
    )
}

fn forbidden(origin: &[u8]) -> Response {
    let page = if origin.is_empty() {
        "another origin".to_owned()
    } else {
        format!("the origin \"{}\"", shown(origin))
    };
    LOGGED_ORIGINS.warn(|suppressed| {
        tracing::warn!(
            suppressed,
            "rejected a request of a page of {page} (--allow-origin)"
        );
    });
    explained(
        Status::FORBIDDEN,
        &format!("pages of {page} may not use this server (start it with --allow-origin ORIGIN)"),
    )
}

/// A rejection as text: with a reason in the header that the other rejections have, too.
fn explained(status: Status, reason: &str) -> Response {
    let mut headers = Vec::new();
    push_line(
        format!("{EXPLAIN}: ").as_bytes(),
        reason.as_bytes(),
        &mut headers,
    );
    Response::sized(
        status,
        "text/plain; charset=utf-8",
        headers,
        format!("{reason}\n").into_bytes(),
    )
}

/// Bytes of a request as they can stand in a header, an answer or the log.
fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(MAX_SHOWN_BYTES)]
        .escape_ascii()
        .to_string()
}
