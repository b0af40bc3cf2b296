//! The HTTP stack of the client: a `reqwest` client with the user's headers, and the mapping of its
//! errors.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};

use crate::client::error::{Error, size};
use crate::client::url::shown;
use crate::client::url::unix_socket;
use crate::protocol::EXPLAIN;

/// Time-out for establishing a connection, because a silent host would block for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Keep-alive interval: a vanished peer is detected after about three intervals.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Maximum size in bytes of a response that is read whole (statistics of many channels are large).
const MAX_RESPONSE_BYTES: usize = crate::client::message::MAX_MESSAGE_BYTES;
/// Maximum size in bytes of the response to a publication or a deletion: one line per channel. The
/// request succeeded even if the response is larger, which is then not read.
pub const MAX_INFO_BYTES: usize = 1 << 20;

/// An HTTP client for one server.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// Creates a client that sends `headers` with every request. All requests go to the unix socket
    /// at `socket`, if it is given.
    ///
    /// # Errors
    /// [`Error::Request`] if the TLS stack cannot be set up.
    pub fn new(headers: &HeaderMap, socket: Option<&Path>) -> Result<Self, Error> {
        let mut headers = headers.clone();
        if socket.is_some() && !headers.contains_key("host") {
            headers.insert("host", HeaderValue::from_static(unix_socket::HOST));
        }
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("pushctl/", env!("CARGO_PKG_VERSION")))
                .default_headers(headers.clone())
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_keepalive(KEEPALIVE)
                .redirect(reqwest::redirect::Policy::none());
            match socket {
                Some(path) => builder.unix_socket(path).no_proxy(),
                None => builder,
            }
        };
        // Without certificates (an empty container) plain HTTP still works; https then trusts no
        // server.
        let client = builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build());
        let client = client
            .map_err(|error| Error::Request(format!("cannot set up the http client: {error}")))?;
        Ok(Self { client })
    }

    /// Sends a request and returns the response, whatever its status. `timeout` covers the whole
    /// exchange including the body.
    ///
    /// # Errors
    /// Any [`Error`] but [`Error::Status`].
    pub async fn request(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
        timeout: Option<Duration>,
    ) -> Result<Response, Error> {
        let mut request = self.client.request(method, url.clone()).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        let response = request
            .send()
            .await
            .map_err(|error| Error::from_http(&error, url, timeout))?;
        reject_tls_port(response, url).await
    }
}

/// nginx returns this text with status 400 for plain HTTP on a TLS port.
const TLS_PORT: &[u8] = b"The plain HTTP request was sent to HTTPS port";
/// Maximum number of bytes of a page that are searched for it.
const MAX_PAGE_BYTES: usize = 64 << 10;

/// Returns the response, unless it reports that the port requires TLS. The body of other 400
/// responses is not used.
async fn reject_tls_port(mut response: Response, url: &Url) -> Result<Response, Error> {
    let is_page = header(&response, "Content-Type").is_some_and(super::page::is_html);
    if response.status() != StatusCode::BAD_REQUEST || url.scheme() != "http" || !is_page {
        return Ok(response);
    }
    let mut page = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        page.extend_from_slice(&chunk);
        if page.len() > MAX_PAGE_BYTES {
            break;
        }
    }
    let wants_tls = memchr::memmem::find(&page, TLS_PORT).is_some();
    if wants_tls {
        Err(Error::wants_https(url))
    } else {
        Ok(response)
    }
}

/// True if the environment has a proxy for plain HTTP, which the HTTP stack may use and a raw
/// socket cannot.
#[must_use]
pub fn may_use_proxy() -> bool {
    ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Parses a header given as `Name: value`. It is marked as sensitive, so that `Debug` omits it.
///
/// # Errors
/// Returns the reason why the header is invalid.
pub fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| "a header is written 'Name: value'".to_owned())?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| "the name before the colon is invalid".to_owned())?;
    let mut value = HeaderValue::from_str(value.trim())
        .map_err(|_| "the value has characters that are invalid in a header".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Converts `value` to a header value.
///
/// # Errors
/// [`Error::Request`] with the name `what` if the value is invalid, such as line breaks in an event
/// id.
pub fn header_value(what: &str, value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|_| {
        Error::Request(format!(
            "cannot send {what}: it has characters that are invalid in a header"
        ))
    })
}

/// Returns the response header `name`, if it exists and is text.
#[must_use]
pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}

/// Returns the server's clock in unix seconds, from the `Date` header.
#[must_use]
pub fn date(response: &Response) -> Option<u64> {
    response
        .headers()
        .get("date")
        .and_then(|value| crate::message::parse_http_date(value.as_bytes()))
}

/// Converts an error response to an error.
#[must_use]
pub fn status_error(response: &Response, url: &Url) -> Error {
    let explain = header(response, EXPLAIN)
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    Error::of_status(
        url,
        response.status().as_u16(),
        explain,
        header(response, "Location"),
    )
}

/// True if the end of the body can be distinguished from a broken connection (RFC 9112, section
/// 6.3).
#[must_use]
pub fn is_framed(response: &Response) -> bool {
    let has = |name: &str| response.headers().contains_key(name);
    response.version() > reqwest::Version::HTTP_11
        || has("content-length")
        || has("transfer-encoding")
}

/// Reads the whole body, of at most `MAX_RESPONSE_BYTES`.
///
/// # Errors
/// [`Error::Broken`], [`Error::TimedOut`], or [`Error::Protocol`] for a larger one.
pub async fn body(
    response: Response,
    url: &Url,
    timeout: Option<Duration>,
) -> Result<Vec<u8>, Error> {
    body_up_to(MAX_RESPONSE_BYTES, response, url, timeout)
        .await
        .map_err(|error| match error {
            // No option sets this limit.
            Error::TooLarge { url, limit } => Error::Protocol {
                url,
                reason: format!("it is larger than {}", size(limit)),
            },
            other => other,
        })
}

/// Reads the whole body, of at most `limit` bytes.
///
/// # Errors
/// [`Error::Broken`], [`Error::TimedOut`], or [`Error::TooLarge`].
pub async fn body_up_to(
    limit: usize,
    mut response: Response,
    url: &Url,
    timeout: Option<Duration>,
) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Error::from_http(&error, url, timeout))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > limit {
            return Err(Error::TooLarge {
                url: shown(url),
                limit,
            });
        }
    }
    Ok(body)
}
