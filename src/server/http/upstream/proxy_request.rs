//! Building requests of locations with `proxy_pass`: their address, their headers with nginx's
//! variables, and the servers that they go to. `backend` sends them.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Uri};
use rustls::pki_types::ServerName;

use super::backend_connection::TlsPeer;
use super::backend_request::{BackendRequest, BackendRoute, HookCall, HookError};
use super::hook_response::{is_passed, parse_header};
use crate::server::config::expression::percent::percent_decode;
use crate::server::config::model::proxy::ProxyTarget;
use crate::server::config::model::tls::TlsSettings;
use crate::server::config::model::upstream::Balancing;
use crate::server::config::{ProxySettings, Variables};
use crate::server::exchange::request::Request;
use crate::server::observe::log_throttle::LogThrottle;

/// Throttled, because clients choose the values that are logged.
static WARNINGS: LogThrottle = LogThrottle::new();

/// Variables of a request to a back-end: those of the client's request, and those of nginx's proxy
/// module.
struct ProxyVariables<'a> {
    inner: &'a dyn Variables,
    request: &'a Request<'a>,
    host: &'a [u8],
    port: &'a [u8],
    /// The body of the client's request is sent.
    has_body: bool,
}

impl Variables for ProxyVariables<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.inner.argument(name)
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        if name == "content-length" && !self.has_body {
            Some(b"0")
        } else {
            self.inner.header(name)
        }
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.inner.capture(number)
    }
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.inner.named_capture(name)
    }
    fn assigned(&self, slot: usize) -> Option<&[u8]> {
        self.inner.assigned(slot)
    }
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match name {
            "proxy_host" => Some(Cow::Borrowed(self.host)),
            "proxy_port" => Some(Cow::Borrowed(self.port)),
            "proxy_add_x_forwarded_for" => Some(self.forwarded_for()),
            "content_length" if !self.has_body => Some(Cow::Borrowed(b"0")),
            "request_body" if !self.has_body => None,
            name => self.inner.builtin(name),
        }
    }
}

impl ProxyVariables<'_> {
    /// All `X-Forwarded-For` headers of the client, and its address.
    fn forwarded_for(&self) -> Cow<'_, [u8]> {
        let address = self.inner.builtin("remote_addr").unwrap_or_default();
        let sent = self
            .request
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case("x-forwarded-for"));
        let values: Vec<&[u8]> = sent.map(|header| header.value).chain([&*address]).collect();
        Cow::Owned(values.join(&b", "[..]))
    }
}

/// Properties of a call beyond the settings of its location.
pub(in crate::server) struct CallTraits {
    /// A `break` keeps the request at its location with another URI.
    pub(in crate::server) is_rewritten: bool,
    /// Method, unless the location sets one.
    pub(in crate::server) method: Method,
    /// Sends a length also without a body.
    pub(in crate::server) sends_length: bool,
}

/// Builds the request to the back-end of a location.
///
/// # Errors
/// If the configuration needs something unsupported, or the client's values make no valid request.
pub(in crate::server) fn build_call(
    proxy: &ProxySettings,
    request: &Request<'_>,
    variables: &dyn Variables,
    traits: &CallTraits,
) -> Result<HookCall, HookError> {
    if let Some(reason) = &proxy.unsupported {
        WARNINGS.warn(|suppressed| {
            tracing::warn!(
                reason,
                suppressed,
                "a hook is not supported, responding with 503 to requests that need it"
            );
        });
        return Err(HookError::Unsupported);
    }
    let target = proxy
        .target(&request.path, request.query, variables, traits.is_rewritten)
        .map_err(|reason| {
            WARNINGS.warn(|suppressed| {
                tracing::warn!(
                    reason,
                    suppressed,
                    "variables give no valid back-end address, treating the hook as down"
                );
            });
            HookError::Failed
        })?;
    let uri = parse_uri(&target)?;
    let variables = &ProxyVariables {
        inner: variables,
        request,
        host: &target.host,
        port: &target.port,
        has_body: traits.method != Method::GET,
    };
    let headers = build_headers(proxy, request, variables)?;
    let method = proxy
        .method
        .as_ref()
        .and_then(|method| Method::from_bytes(method).ok())
        .unwrap_or_else(|| traits.method.clone());
    Ok(HookCall::Request(Box::new(BackendRequest {
        method,
        route: Arc::new(build_route(proxy, &target, variables)?),
        target: uri,
        headers,
        sends_length: traits.sends_length,
        passes_body: proxy.passes_body,
    })))
}

/// Parses path and query. A path with dot segments is rejected: the back-end may resolve them to
/// another path.
fn parse_uri(target: &ProxyTarget) -> Result<Uri, HookError> {
    // Text that is no URI, for example with a space in it, is not sent.
    let uri = Uri::try_from(target.path.as_slice()).map_err(|_| HookError::Failed)?;
    let path = percent_decode(uri.path().as_bytes());
    let has_dots = path
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| matches!(segment, b"." | b".."));
    if has_dots {
        WARNINGS.warn(|suppressed| {
            tracing::warn!(
                address = %uri,
                suppressed,
                "the path of a hook has a dot segment, treating the hook as down"
            );
        });
        return Err(HookError::Failed);
    }
    Ok(uri)
}

/// Builds the headers: the client's, and those of `proxy_set_header`.
fn build_headers(
    proxy: &ProxySettings,
    request: &Request<'_>,
    variables: &ProxyVariables<'_>,
) -> Result<HeaderMap, HookError> {
    let mut headers = HeaderMap::new();
    if proxy.passes_headers {
        let passed = request
            .headers
            .iter()
            .filter(|header| is_passed(header.name));
        for header in passed {
            if let Some((name, value)) = parse_header(header.name.as_bytes(), header.value) {
                headers.append(name, value);
            }
        }
    }
    for (name, value) in &proxy.headers {
        let value = value.evaluate(variables);
        // The client's header is removed in any case: it must not pass for one of the server.
        let parsed = HeaderName::from_bytes(name).ok().and_then(|name| {
            headers.remove(&name);
            Some((name, HeaderValue::from_bytes(&value).ok()?))
        });
        let Some((name, value)) = parsed else {
            WARNINGS.warn(|suppressed| {
                let header = String::from_utf8_lossy(name);
                let value = value.escape_ascii().to_string();
                tracing::warn!(
                    %header,
                    value,
                    suppressed,
                    "a value of proxy_set_header is no header value, treating the hook as down"
                );
            });
            return Err(HookError::Failed);
        };
        // The length is set from the body itself.
        if !value.is_empty() && name != CONTENT_LENGTH {
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

/// Selects the servers of a request, and how they are tried.
fn build_route(
    proxy: &ProxySettings,
    target: &ProxyTarget,
    variables: &ProxyVariables<'_>,
) -> Result<BackendRoute, HookError> {
    let tls = match (&proxy.tls, target.is_tls) {
        (_, false) => None,
        (Some(tls), true) => Some(build_tls_peer(tls, variables)?),
        (None, true) => return Err(HookError::Unsupported),
    };
    Ok(BackendRoute {
        upstream: Arc::clone(&target.upstream),
        key: balancing_key(&target.upstream.balancing, variables),
        host: HeaderValue::from_bytes(&target.host).map_err(|_| HookError::Failed)?,
        tls,
        timeout: proxy.timeout,
        connect_timeout: proxy.connect_timeout,
        next_upstream: Arc::clone(&proxy.next_upstream),
        response_headers: Arc::clone(&proxy.response_headers),
    })
}

/// TLS settings with the name that the location expects of the back-end.
fn build_tls_peer(tls: &TlsSettings, variables: &dyn Variables) -> Result<TlsPeer, HookError> {
    let name = tls.name.evaluate(variables);
    let name = String::from_utf8_lossy(&name);
    let end = name.rfind(']').unwrap_or(0);
    let host = name[end..]
        .find(':')
        .map_or(&*name, |colon| &name[..end + colon]);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = match ServerName::try_from(host.to_owned()) {
        Ok(name) => name,
        Err(_) if tls.verifies => {
            WARNINGS.warn(|suppressed| {
                tracing::warn!(
                    host,
                    suppressed,
                    "proxy_ssl_name is no host name, treating the hook as down"
                );
            });
            return Err(HookError::Failed);
        }
        // Without verification the name is not used, and an address is not sent (SNI).
        Err(_) => ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()),
    };
    Ok(TlsPeer {
        client: Arc::clone(&tls.client),
        name,
    })
}

/// Hash by which the upstream chooses a server; `None` for other balancing methods.
fn balancing_key(balancing: &Balancing, variables: &dyn Variables) -> Option<u32> {
    match balancing {
        Balancing::RoundRobin | Balancing::LeastConnections => None,
        Balancing::Key(key) => Some(crc32fast::hash(&key.evaluate(variables))),
        Balancing::ClientAddress => {
            let address = variables.builtin("remote_addr").unwrap_or_default();
            let network = match std::str::from_utf8(&address)
                .ok()
                .and_then(|text| text.parse().ok())
            {
                Some(IpAddr::V4(address)) => address.octets()[..3].to_vec(),
                _ => address.into_owned(),
            };
            Some(crc32fast::hash(&network))
        }
    }
}
