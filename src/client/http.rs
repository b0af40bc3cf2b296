//! The one HTTP stack of the client: a `reqwest` client with the user's headers, and errors sorted
//! into ours.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};

use super::error::shown;
use super::{Error, unix_socket};
use crate::protocol::EXPLAIN;

/// Time that a connection may take to come up, so that a silent host does not hold us for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that vanished without a word is noticed after about three of these.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Most bytes of an answer that is read whole (statistics of many channels are large).
const MAX_ANSWER_BYTES: usize = super::MAX_MESSAGE_BYTES;
/// Most bytes of the answer to a publication or a deletion: a line for each channel of the request.
/// It succeeded even if its answer is larger, which is not read then.
pub const MAX_INFO_BYTES: usize = 1 << 20;

/// A client for one server.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// A client that sends `headers` with every request. All requests go to the unix socket at
    /// `socket`, if one is given.
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
        // A machine without certificates (an empty container) can still speak plain http; https
        // then trusts nobody.
        let client = builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build());
        let client = client
            .map_err(|error| Error::Request(format!("cannot set up the http client: {error}")))?;
        Ok(Self { client })
    }

    /// Asks for `url` and returns the answer, whatever its status. `timeout` covers the whole
    /// exchange, body included.
    ///
    /// # Errors
    /// Everything but [`Error::Status`].
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
        refuse_tls_port(response, url).await
    }
}

/// nginx answers plain HTTP on a port for TLS with 400 and this page.
const TLS_PORT: &[u8] = b"The plain HTTP request was sent to HTTPS port";
/// Most bytes of a page that is searched for it.
const MAX_PAGE_BYTES: usize = 64 << 10;

/// The answer, unless it says that the port wants TLS. The body of another 400 is not needed by
/// anybody.
async fn refuse_tls_port(mut response: Response, url: &Url) -> Result<Response, Error> {
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

/// True if the environment names a proxy for plain http, which the HTTP stack may use and a bare
/// socket cannot.
#[must_use]
pub fn may_use_proxy() -> bool {
    ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Reads a header given as `Name: value`. It is marked as sensitive, so that no debugging output
/// shows it.
///
/// # Errors
/// What is wrong with it.
pub fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| "a header is written 'Name: value'".to_owned())?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| "what is before the colon is no header name".to_owned())?;
    let mut value = HeaderValue::from_str(value.trim())
        .map_err(|_| "the value has characters that a header cannot carry".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// `value` as a header value; what a header cannot carry (line breaks in an event id) is a wrong
/// request.
///
/// # Errors
/// [`Error::Request`], naming `what`.
pub fn header_value(what: &str, value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|_| {
        Error::Request(format!(
            "cannot send {what}: it has characters that a header cannot carry"
        ))
    })
}

/// The answer's header `name`, if it is there and text.
#[must_use]
pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}

/// The server's clock in unix seconds, from the `Date` header.
#[must_use]
pub fn date(response: &Response) -> Option<u64> {
    response
        .headers()
        .get("date")
        .and_then(|value| crate::message::parse_http_date(value.as_bytes()))
}

/// The answer as an error.
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

/// A limit in bytes, for messages.
#[must_use]
pub fn size(bytes: usize) -> String {
    match bytes {
        bytes if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        bytes if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

/// True if the end of the answer's body can be told from a connection that broke (RFC 9112, section
/// 6.3).
#[must_use]
pub fn is_framed(response: &Response) -> bool {
    let has = |name: &str| response.headers().contains_key(name);
    response.version() > reqwest::Version::HTTP_11
        || has("content-length")
        || has("transfer-encoding")
}

/// Reads the whole body, of at most `MAX_ANSWER_BYTES`.
///
/// # Errors
/// [`Error::Broken`], [`Error::TimedOut`], or [`Error::Protocol`] for a larger one.
pub async fn body(
    response: Response,
    url: &Url,
    timeout: Option<Duration>,
) -> Result<Vec<u8>, Error> {
    body_up_to(MAX_ANSWER_BYTES, response, url, timeout)
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
