//! Protects the built-in locations from web pages of other origins, and from DNS rebinding.
//!
//! A browser sends requests to any address that a page contains. A page of another origin is
//! rejected here, before the location, unless `--allow-origin` lists its origin. Clients other than
//! browsers send none of the headers that are checked. Locations of a configuration file are not
//! protected.
//!
//! | request | response |
//! |---|---|
//! | `Host` of another name, at a listener on a loopback address | 421 |
//! | of a page of another origin, unless the user opened the address | 403 |
//! | preflight (OPTIONS) of an allowed origin | 204 with the allowed methods and headers |

use super::host_names::{ListenerTraits, find_wrong_name};
use crate::protocol::EXPLAIN;
use crate::server::config::VirtualServer;
use crate::server::config::model::browsers::{AllowedOrigins, BrowserAccess, Origin, split_port};
use crate::server::exchange::request::{Endpoints, Request};
use crate::server::exchange::response::{
    AddedHeaders, HeaderList, HeaderListBuilder, Response, Status, header_list,
};
use crate::server::observe::log_throttle::LogThrottle;

static LOGGED_NAMES: LogThrottle = LogThrottle::new();
static LOGGED_ORIGINS: LogThrottle = LogThrottle::new();

/// Longest name or origin that is repeated in a response or a log line, in bytes.
const MAX_SHOWN_BYTES: usize = 200;

/// Sent with every response: browsers must not guess that its content is a script or a page.
static NOSNIFF: HeaderList = header_list!("X-Content-Type-Options": "nosniff");
/// Sent with pages: in addition, no other site may show them in a frame.
static NOSNIFF_OF_PAGE: HeaderList = header_list!(
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'self'",
);
/// Response headers that pages of allowed origins may read.
const EXPOSED: &str = "Last-Modified, Etag, X-Pushctl-Missed, X-Nginx-PushStream-Explain";
/// Methods and headers that pages of allowed origins may send.
static PREFLIGHT: HeaderList = header_list!(
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Event-Id, Event-Type, \
        If-Modified-Since, If-None-Match, Last-Event-Id, X-Nginx-PushStream-Mode",
    "Access-Control-Max-Age": "600",
);

/// The decision about a request.
pub(in crate::server) struct BrowserGuard {
    /// Headers for any response.
    pub(in crate::server) added: AddedHeaders,
    /// `Some`: the guard responds; `None`: the location does.
    pub(in crate::server) response: Option<Response>,
}

impl BrowserGuard {
    /// Decides about a request; `None` if the server is not the built-in one. `peer` is the other
    /// end of the connection.
    pub(in crate::server) fn of(
        server: &VirtualServer,
        request: &Request<'_>,
        peer: &Endpoints,
        listener: ListenerTraits<'_>,
    ) -> Option<Self> {
        let access = server.browser_access.as_ref()?;
        let is_page = request.path.as_ref() == b"/" || request.path.starts_with(b"/iframe/");
        if let Some(name) = find_wrong_name(access, request, peer, listener) {
            return Some(Self {
                added: AddedHeaders::to_all(NOSNIFF.clone()),
                response: Some(misdirected(&name)),
            });
        }
        let origin = match page_origin(access, request) {
            PageOrigin::Own => {
                return Some(Self {
                    added: AddedHeaders::to_all(base_headers(access, is_page)),
                    response: None,
                });
            }
            PageOrigin::Other(origin) => {
                return Some(Self {
                    added: AddedHeaders::to_all(base_headers(access, is_page)),
                    response: Some(forbidden(&origin)),
                });
            }
            PageOrigin::Allowed(origin) => origin,
        };
        let base = base_headers(access, is_page);
        let added = HeaderList::concat(&[&base, &cors_headers(access, &origin)]);
        let is_preflight = request.method == "OPTIONS"
            && request.header("access-control-request-method").is_some();
        let response = is_preflight.then(|| preflight(request));
        Some(Self {
            added: AddedHeaders::to_all(added),
            response,
        })
    }
}

/// Origin of the page that sent a request.
enum PageOrigin {
    /// A page of this server, or no page: the user opened the address.
    Own,
    /// An allowed origin as it was sent; empty where the browser sent none.
    Allowed(Vec<u8>),
    /// Another origin; empty if it is unknown.
    Other(Vec<u8>),
}

/// Headers with which browsers name the origin of a request.
#[derive(Default)]
struct OriginHeaders<'a> {
    origins: Vec<&'a [u8]>,
    sites: Vec<&'a [u8]>,
    mode: Option<&'a [u8]>,
    destination: Option<&'a [u8]>,
    referer: Option<&'a [u8]>,
    /// `User-Agent` is that of a browser.
    is_browser: bool,
}

impl<'a> OriginHeaders<'a> {
    fn of(request: &Request<'a>) -> Self {
        let mut sent = Self::default();
        for header in request.headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                6 if is("origin") => sent.origins.push(header.value.trim_ascii()),
                7 if is("referer") => sent.referer = Some(header.value),
                // All browsers begin like this, and a page cannot change it for an element.
                10 if is("user-agent") => sent.is_browser = header.value.starts_with(b"Mozilla/"),
                14 if is("sec-fetch-site") => sent.sites.push(header.value.trim_ascii()),
                14 if is("sec-fetch-mode") => sent.mode = Some(header.value),
                14 if is("sec-fetch-dest") => sent.destination = Some(header.value),
                _ => {}
            }
        }
        sent
    }

    /// Origin of the page in `Referer`; empty if there is none.
    fn referring_origin(&self) -> Vec<u8> {
        self.referer.map(origin_of_url).unwrap_or_default()
    }

    /// Returns whether the user opened the address or followed a link to it: the page with the link
    /// cannot read the response.
    fn is_opened(&self, request: &Request<'_>) -> bool {
        matches!(request.method, "GET" | "HEAD")
            && self.mode == Some(b"navigate")
            && self
                .destination
                .is_none_or(|destination| destination == b"document")
    }
}

/// Determines the origin of a request. `sec-fetch-site` takes precedence over `origin`: only the
/// browser can set it, and it is right even where a proxy has changed the name (as in
/// `CrossOriginProtection` of Go's net/http).
fn page_origin(access: &BrowserAccess, request: &Request<'_>) -> PageOrigin {
    let sent = OriginHeaders::of(request);
    if sent.origins.is_empty() && sent.sites.is_empty() {
        return script_page_origin(access, request, &sent);
    }
    if !sent.origins.is_empty()
        && sent.origins.iter().all(|origin| is_allowed(access, origin))
        && !is_own(request, sent.origins[0])
    {
        return PageOrigin::Allowed(sent.origins[0].to_vec());
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
        true => PageOrigin::Own,
        // Browsers send no `Origin` for script elements and images.
        false if sent.origins.is_empty() && is_allowed(access, &origin) => {
            PageOrigin::Allowed(Vec::new())
        }
        false => PageOrigin::Other(origin),
    }
}

/// Determines the origin of a request without `origin` and `sec-fetch-site`. Browsers send neither
/// for a script element over plain HTTP, except to loopback addresses (which 0.0.0.0 is not). A
/// script can read JSONP; the page is named only in `Referer`, which it can suppress.
fn script_page_origin(
    access: &BrowserAccess,
    request: &Request<'_>,
    sent: &OriginHeaders<'_>,
) -> PageOrigin {
    if request.argument(b"callback").is_none() {
        return PageOrigin::Own;
    }
    let origin = sent.referring_origin();
    let is_own = if origin.is_empty() {
        !sent.is_browser
    } else {
        is_own(request, &origin)
    };
    match is_own {
        true => PageOrigin::Own,
        false if is_allowed(access, &origin) => PageOrigin::Allowed(Vec::new()),
        false => PageOrigin::Other(origin),
    }
}

fn is_allowed(access: &BrowserAccess, origin: &[u8]) -> bool {
    access.allowed_origins == AllowedOrigins::All
        || Origin::parse(origin).is_some_and(|origin| access.allowed_origins.include(&origin))
}

/// Returns whether the origin is this server under the name in the request.
fn is_own(request: &Request<'_>, origin: &[u8]) -> bool {
    let host = request
        .header("host")
        .and_then(|host| std::str::from_utf8(host.trim_ascii()).ok());
    host.is_some_and(|host| Origin::parse(origin).is_some_and(|origin| origin.is_at(host)))
}

/// Cuts the URL in a `Referer` to its origin.
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

/// Headers for responses to any page.
fn base_headers(access: &BrowserAccess, is_page: bool) -> HeaderList {
    let AllowedOrigins::Named(origins) = &access.allowed_origins else {
        return NOSNIFF.clone();
    };
    if origins.is_empty() {
        return if is_page { &NOSNIFF_OF_PAGE } else { &NOSNIFF }.clone();
    }
    let mut headers = HeaderListBuilder::default();
    headers.extend(&NOSNIFF);
    headers.push("Vary", "Origin");
    if is_page {
        let origins: String = origins
            .iter()
            .filter(|origin| **origin != Origin::Opaque)
            .map(|origin| format!(" {origin}"))
            .collect();
        headers.push(
            "Content-Security-Policy",
            format!("frame-ancestors 'self'{origins}"),
        );
    }
    headers.build()
}

/// Headers that let a page of an allowed origin read the response. With `*` credentials are not
/// allowed.
fn cors_headers(access: &BrowserAccess, origin: &[u8]) -> HeaderList {
    let mut headers = HeaderListBuilder::default();
    if access.allowed_origins == AllowedOrigins::All {
        headers.push("Access-Control-Allow-Origin", "*");
    } else if !origin.is_empty() {
        headers.push("Access-Control-Allow-Origin", origin);
        headers.push("Access-Control-Allow-Credentials", "true");
    }
    headers.push("Access-Control-Expose-Headers", EXPOSED);
    headers.build()
}

fn preflight(request: &Request<'_>) -> Response {
    let mut headers = PREFLIGHT.clone();
    if request
        .header("access-control-request-private-network")
        .is_some()
    {
        headers.extend(&header_list!("Access-Control-Allow-Private-Network": "true"));
    }
    Response::bodiless(Status(204), headers)
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

/// Renders a rejection as text, with the reason in the header that other rejections use as well.
fn explained(status: Status, reason: &str) -> Response {
    Response::sized(
        status,
        "text/plain; charset=utf-8",
        HeaderList::of(EXPLAIN, reason),
        format!("{reason}\n").into_bytes(),
    )
}

/// Escapes and shortens bytes of a request for a header, a response or the log.
fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(MAX_SHOWN_BYTES)]
        .escape_ascii()
        .to_string()
}
