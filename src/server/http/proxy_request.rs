//! Requests that locations with `proxy_pass` make: their address, their headers with nginx's
//! variables, and the servers that they go to.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Uri};
use rustls::pki_types::ServerName;

use super::backend::{Ask, BackendRequest, BackendRoute, Unreachable};
use super::backend_connection::TlsPeer;
use super::hook_response::{header, is_passed};
use crate::server::config::proxy::ProxyTarget;
use crate::server::config::tls::TlsSettings;
use crate::server::config::upstream::Balancing;
use crate::server::config::{ProxySettings, Variables};
use crate::server::dialect::push_stream::cursor::percent_decode;
use crate::server::log_throttle::LogThrottle;
use crate::server::request::Request;

/// Clients choose such values, so that they must not fill the log.
static RARELY: LogThrottle = LogThrottle::new();

/// The variables of a request to a back-end: those of the client's request, and those of nginx's
/// proxy.
struct ProxyVariables<'a> {
    inner: &'a dyn Variables,
    request: &'a Request<'a>,
    host: &'a [u8],
    port: &'a [u8],
    /// The body of the client's request belongs to this one.
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
    /// All `X-Forwarded-For` of the client, and its address.
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

/// A request to the back-end of a location; `is_rewritten` = a `break` keeps it at its location
/// with another URI.
pub(super) fn ask(
    proxy: &ProxySettings,
    request: &Request<'_>,
    variables: &dyn Variables,
    is_rewritten: bool,
    (method, tells_length): (Method, bool),
) -> Result<Ask, Unreachable> {
    if let Some(reason) = &proxy.unsupported {
        RARELY.warn(|left_out| {
            tracing::warn!(
                reason,
                left_out,
                "a hook is not supported: requests that need it are answered with 503"
            )
        });
        return Err(Unreachable::Unsupported);
    }
    let target = proxy
        .target(&request.path, request.query, variables, is_rewritten)
        .map_err(|reason| {
            RARELY.warn(|left_out| {
                tracing::warn!(
                    reason,
                    left_out,
                    "variables make no address of a back-end: the hook counts as down"
                )
            });
            Unreachable::Failed
        })?;
    // What is none, with a space in it for example, is not sent.
    let address = Uri::try_from(target.path.as_slice()).map_err(|_| Unreachable::Failed)?;
    // A back-end may take them for a way to somewhere else.
    let path = percent_decode(address.path().as_bytes());
    if path
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| matches!(segment, b"." | b".."))
    {
        RARELY.warn(|left_out| {
            tracing::warn!(%address, left_out, "the path of a hook has a \
            segment of dots: the hook counts as down")
        });
        return Err(Unreachable::Failed);
    }
    let has_body = method != Method::GET;
    let variables = &ProxyVariables {
        inner: variables,
        request,
        host: &target.host,
        port: &target.port,
        has_body,
    };
    let mut headers = HeaderMap::new();
    if proxy.passes_headers {
        for passed in request
            .headers
            .iter()
            .filter(|header| is_passed(header.name))
        {
            if let Some((name, value)) = header(passed.name.as_bytes(), passed.value) {
                headers.append(name, value);
            }
        }
    }
    for (name, value) in &proxy.headers {
        let value = value.evaluate(variables);
        // The client's header goes in any case: nothing of it may pass for what the server says.
        let Some((name, value)) = HeaderName::from_bytes(name).ok().and_then(|name| {
            headers.remove(&name);
            Some((name, HeaderValue::from_bytes(&value).ok()?))
        }) else {
            RARELY.warn(|left_out| {
                let header = String::from_utf8_lossy(name);
                let value = value.escape_ascii().to_string();
                tracing::warn!(%header, value, left_out, "a value of proxy_set_header cannot be \
                                                          sent: the hook counts as down");
            });
            return Err(Unreachable::Failed);
        };
        // How long a body is is known here better.
        if !value.is_empty() && name != CONTENT_LENGTH {
            headers.insert(name, value);
        }
    }
    let method = proxy
        .method
        .as_ref()
        .and_then(|method| Method::from_bytes(method).ok())
        .unwrap_or(method);
    let route = Arc::new(route(proxy, &target, variables)?);
    let passes_body = proxy.passes_body;
    Ok(Ask::Request(Box::new(BackendRequest {
        method,
        route,
        target: address,
        headers,
        tells_length,
        passes_body,
    })))
}

/// The servers of a request, and how they are tried.
fn route(
    proxy: &ProxySettings,
    target: &ProxyTarget,
    variables: &ProxyVariables<'_>,
) -> Result<BackendRoute, Unreachable> {
    let tls = match (&proxy.tls, target.is_tls) {
        (_, false) => None,
        (Some(tls), true) => Some(tls_peer(tls, variables)?),
        (None, true) => return Err(Unreachable::Unsupported),
    };
    Ok(BackendRoute {
        upstream: Arc::clone(&target.upstream),
        key: balancing_key(&target.upstream.balancing, variables),
        host: HeaderValue::from_bytes(&target.host).map_err(|_| Unreachable::Failed)?,
        tls,
        timeout: proxy.timeout,
        connect_timeout: proxy.connect_timeout,
        next_upstream: Arc::clone(&proxy.next_upstream),
        response_headers: Arc::clone(&proxy.response_headers),
    })
}

/// TLS with the name that the location gives the back-end.
fn tls_peer(tls: &TlsSettings, variables: &dyn Variables) -> Result<TlsPeer, Unreachable> {
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
            RARELY.warn(|left_out| {
                tracing::warn!(
                    host,
                    left_out,
                    "proxy_ssl_name is no name of a host: the hook counts as down"
                )
            });
            return Err(Unreachable::Failed);
        }
        // Nobody looks at it: an address is not sent.
        Err(_) => ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()),
    };
    Ok(TlsPeer {
        client: Arc::clone(&tls.client),
        name,
    })
}

/// What the group chooses a server by.
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
