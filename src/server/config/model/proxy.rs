//! Settings of locations with `proxy_pass`, to which hooks send their requests (nhpm-nchan.md,
//! section 2.9).
//!
//! Supports the part of nginx's proxy module that hooks need: requests and responses of limited
//! size. Requests are sent by `http::upstream::backend`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::tls::TlsSettings;
use super::upstream::{ServerAddress, Upstream, Upstreams};
use crate::server::config::expression::escape;
use crate::server::config::{Expression, Variables};

/// Settings of a location with `proxy_pass`.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// `proxy_pass`: scheme, host and optional path of the back-end.
    pub pass: Expression,
    /// The servers in `proxy_pass`; `None` = determined by variables.
    pub upstream: Option<Arc<Upstream>>,
    /// The upstream groups to which variables in `proxy_pass` can refer.
    pub upstreams: Arc<Upstreams>,
    /// Length of the location's prefix, which the path of `proxy_pass` replaces, in bytes; `None` =
    /// it replaces the whole path.
    pub replaced: Option<usize>,
    /// `proxy_pass` contains variables, so that its path and query are sent unchanged.
    pub has_variables: bool,
    /// `proxy_set_header`, in the order of the file; a header with an empty value is not sent.
    pub headers: Vec<(Bytes, Expression)>,
    /// `proxy_pass_request_body`
    pub passes_body: bool,
    /// `proxy_pass_request_headers`
    pub passes_headers: bool,
    /// `proxy_method`
    pub method: Option<Bytes>,
    /// `proxy_read_timeout`; limited by
    /// [`ConnectionLimits::hook_timeout`](crate::server::config::ConnectionLimits::hook_timeout).
    pub timeout: Option<Duration>,
    /// `proxy_connect_timeout`; limited likewise.
    pub connect_timeout: Option<Duration>,
    /// `proxy_next_upstream`
    pub next_upstream: Arc<NextUpstream>,
    /// Treatment of response headers.
    pub response_headers: Arc<ResponseHeaders>,
    /// `proxy_ssl_*`, for addresses that begin with `https://`.
    pub tls: Option<Arc<TlsSettings>>,
    /// The first directive that is not supported: requests that need the location fail with 503.
    pub unsupported: Option<String>,
}

/// The failures after which the next server is tried (`proxy_next_upstream`, `_tries`, `_timeout`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextUpstream {
    /// A connection fails.
    pub error: bool,
    /// A server does not respond in time.
    pub timeout: bool,
    /// A response is not valid HTTP.
    pub invalid_header: bool,
    /// Requests that are not idempotent, such as POST, are retried, too.
    pub non_idempotent: bool,
    /// Responses with one of these statuses.
    pub statuses: Vec<u16>,
    /// Maximum number of servers to try; `None` = all.
    pub tries: Option<u32>,
    /// Time after which no further server is tried; `None` = unlimited.
    pub within: Option<Duration>,
}

impl Default for NextUpstream {
    fn default() -> Self {
        Self {
            error: true,
            timeout: true,
            invalid_header: false,
            non_idempotent: false,
            statuses: Vec::new(),
            tries: None,
            within: None,
        }
    }
}

/// Treatment of the headers of a back-end's response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeaders {
    /// `proxy_hide_header`: names in lower case.
    pub hidden: Vec<String>,
    /// `proxy_pass_header`: names in lower case.
    pub passed: Vec<String>,
    /// `proxy_ignore_headers X-Accel-Redirect`
    pub ignores_redirect: bool,
}

/// Destination of a request to a back-end.
#[derive(Clone, Debug)]
pub struct ProxyTarget {
    /// The connection uses TLS.
    pub is_tls: bool,
    /// The servers.
    pub upstream: Arc<Upstream>,
    /// `$proxy_host`: the host, with the port if it is not the default one.
    pub host: Vec<u8>,
    /// `$proxy_port`
    pub port: Vec<u8>,
    /// Path and query of the request.
    pub path: Vec<u8>,
}

/// The parts of an address in `proxy_pass`, undecoded.
struct PassAddress<'a> {
    is_tls: bool,
    /// `HOST`, `HOST:PORT` or `unix:PATH`
    authority: &'a [u8],
    /// Path and query; may be empty.
    path: &'a [u8],
}

impl<'a> PassAddress<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let scheme = |scheme: &[u8]| {
            text.get(..scheme.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        };
        let (is_tls, rest) = if scheme(b"https://") {
            (true, &text[8..])
        } else if scheme(b"http://") {
            (false, &text[7..])
        } else {
            return None;
        };
        if let Some(socket) = rest.strip_prefix(b"unix:") {
            let end = memchr::memchr(b':', socket).unwrap_or(socket.len());
            let path = socket.get(end + 1..).unwrap_or_default();
            return Some(Self {
                is_tls,
                authority: &rest[..b"unix:".len() + end],
                path,
            });
        }
        let end = memchr::memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
        Some(Self {
            is_tls,
            authority: &rest[..end],
            path: &rest[end..],
        })
    }

    fn default_port(&self) -> u16 {
        if self.is_tls { 443 } else { 80 }
    }

    /// Finds the upstream group of that name; else creates one for the address itself.
    fn upstream(&self, upstreams: &Upstreams, keeps_state: bool) -> Result<Arc<Upstream>, String> {
        let text = std::str::from_utf8(self.authority)
            .map_err(|_| "invalid host in upstream".to_owned())?;
        if let Some(upstream) = upstreams.get(&text.to_ascii_lowercase()) {
            return Ok(Arc::clone(upstream));
        }
        let address = ServerAddress::parse(text, self.default_port())?;
        if let (ServerAddress::Name(name, port), true) = (&address, keeps_state)
            && upstreams.contains_key(name)
        {
            return Err(format!("upstream \"{name}\" may not have port {port}"));
        }
        Ok(Arc::new(Upstream::from_address(address, keeps_state)))
    }

    /// Returns `$proxy_host` and `$proxy_port`.
    fn names(&self) -> (Vec<u8>, Vec<u8>) {
        if self.authority.starts_with(b"unix:") {
            return (b"localhost".to_vec(), Vec::new());
        }
        let default = self.default_port().to_string().into_bytes();
        let bracket = memchr::memrchr(b']', self.authority).unwrap_or(0);
        match memchr::memrchr(b':', &self.authority[bracket..])
            .map(|at| self.authority.split_at(bracket + at))
        {
            Some((_, port)) if port[1..] != default => {
                (self.authority.to_vec(), port[1..].to_vec())
            }
            Some((host, _)) => (host.to_vec(), default),
            None => (self.authority.to_vec(), default),
        }
    }
}

/// Resolves an address without variables to its servers; also returns whether it uses TLS.
///
/// # Errors
/// The address is invalid; the text is that of nginx.
pub fn resolve_upstream(
    pass: &[u8],
    upstreams: &Upstreams,
) -> Result<(Arc<Upstream>, bool), String> {
    let address = PassAddress::parse(pass).ok_or("invalid URL prefix")?;
    Ok((address.upstream(upstreams, true)?, address.is_tls))
}

impl ProxySettings {
    /// Returns the destination of a request for `path` with these arguments, as nginx determines
    /// it. The arguments of the client are dropped if `proxy_pass` contains variables: `?id=$name`
    /// must not become `?id=NAME&id=OTHER`. If the request `is_rewritten`, its path no longer has
    /// the location's prefix, and the whole path is sent.
    ///
    /// # Errors
    /// The value of `proxy_pass` is not a valid address.
    pub fn target(
        &self,
        path: &[u8],
        arguments: &[u8],
        variables: &dyn Variables,
        is_rewritten: bool,
    ) -> Result<ProxyTarget, String> {
        let pass = self.pass.evaluate(variables);
        let address = PassAddress::parse(&pass).ok_or("invalid URL prefix")?;
        let upstream = match &self.upstream {
            Some(upstream) => Arc::clone(upstream),
            None => address.upstream(&self.upstreams, false)?,
        };
        let (host, port) = address.names();
        let own = if is_rewritten && !self.has_variables {
            b""
        } else {
            address.path
        };
        let path = self.path(own, path, arguments);
        Ok(ProxyTarget {
            is_tls: address.is_tls,
            upstream,
            host,
            port,
            path,
        })
    }

    /// Returns path and query of the request; `own` are those of `proxy_pass`.
    fn path(&self, own: &[u8], path: &[u8], arguments: &[u8]) -> Vec<u8> {
        let mut target = Vec::new();
        if !own.is_empty() && !own.starts_with(b"/") {
            target.push(b'/');
        }
        push_without_fragment(own, &mut target);
        match self.replaced {
            _ if own.is_empty() => target.extend_from_slice(&escape::path(path)),
            _ if self.has_variables => return target,
            Some(length) => {
                target.extend_from_slice(&escape::path(path.get(length..).unwrap_or_default()))
            }
            None => {}
        }
        if !arguments.is_empty() {
            // As in nginx, a second question mark follows a query of `proxy_pass`: its arguments
            // cannot be extended by those of the client.
            target.push(b'?');
            push_without_fragment(arguments, &mut target);
        }
        target
    }
}

/// Appends a part of an address with `#` encoded, which would otherwise start a fragment.
fn push_without_fragment(part: &[u8], address: &mut Vec<u8>) {
    for byte in part {
        if *byte == b'#' {
            address.extend_from_slice(b"%23")
        } else {
            address.push(*byte)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::VariableNames;

    struct Nothing;

    impl Variables for Nothing {}

    fn settings(pass: &str, replaced: Option<usize>) -> ProxySettings {
        ProxySettings {
            pass: Expression::parse_with(pass.as_bytes(), &VariableNames::default())
                .expect("an address"),
            upstream: None,
            upstreams: Arc::default(),
            replaced,
            has_variables: false,
            headers: Vec::new(),
            passes_body: true,
            passes_headers: true,
            method: None,
            timeout: None,
            connect_timeout: None,
            next_upstream: Arc::default(),
            response_headers: Arc::default(),
            tls: None,
            unsupported: None,
        }
    }

    #[test]
    fn the_path_of_proxy_pass_replaces_that_of_the_location() {
        for (pass, replaced, path, arguments, expected) in [
            ("http://a:1", Some(3), "/up/x y", "", "/up/x%20y"),
            ("http://a:1/", Some(4), "/up/x", "id=1", "/x?id=1"),
            ("http://a:1/auth", Some(8), "/up-auth", "id=1", "/auth?id=1"),
            (
                "http://a:1/auth?k=v",
                None,
                "/up-auth",
                "id=1",
                "/auth?k=v?id=1",
            ),
            ("http://a:1?k=v", None, "/up-auth", "", "/?k=v"),
            ("http://unix:/s/x.sock:/auth", None, "/up-auth", "", "/auth"),
            ("http://unix:/s/x.sock", None, "/up-auth", "", "/up-auth"),
        ] {
            let target = settings(pass, replaced)
                .target(path.as_bytes(), arguments.as_bytes(), &Nothing, false)
                .expect("a target");
            assert_eq!(String::from_utf8_lossy(&target.path), expected);
        }
    }

    #[test]
    fn proxy_host_and_port_are_those_of_nginx() {
        for (pass, host, port, server) in [
            ("http://My_app/check", "My_app", "80", "my_app:80"),
            ("HTTP://a:80/", "a", "80", "a:80"),
            ("http://a:443/", "a:443", "443", "a:443"),
            ("https://a/", "a", "443", "a:443"),
            ("https://a:443", "a", "443", "a:443"),
            ("https://[::1]:8443", "[::1]:8443", "8443", "[::1]:8443"),
            ("http://[::1]/", "[::1]", "80", "[::1]:80"),
            (
                "http://unix:/s/x.sock:/auth",
                "localhost",
                "",
                "unix:/s/x.sock",
            ),
        ] {
            let target = settings(pass, None)
                .target(b"/", b"", &Nothing, false)
                .expect("a target");
            let found =
                [target.host, target.port].map(|text| String::from_utf8_lossy(&text).into_owned());
            assert_eq!(
                [&found[0], &found[1], &target.upstream.name],
                [host, port, server],
                "{pass}"
            );
        }
        for pass in ["ftp://a/", "a", "http://", "http://:80/", "http://a:0/"] {
            assert!(
                settings(pass, None)
                    .target(b"/", b"", &Nothing, false)
                    .is_err(),
                "{pass}"
            );
        }
    }
}
