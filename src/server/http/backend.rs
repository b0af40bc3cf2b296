//! Requests to back-ends: each with bounded time and size, and so many at once.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Request, Uri};
use bytes::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use super::notices::PendingNotices;
use crate::server::config::ConnectionLimits;
use crate::server::response::{Body as ResponseBody, Response, Status, push_line};
use crate::server::time_limit;

/// Connections that are kept for further requests, to each back-end.
const IDLE_PER_HOST: usize = 16;
/// How long they are kept.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// The back-ends as a shard sees them.
pub(in crate::server) struct Backend {
    client: Client<HttpConnector, Body>,
    places: Semaphore,
    timeout: Duration,
    most_bytes: usize,
    /// Requests that nobody waits for.
    pub(super) notices: PendingNotices,
    /// Most of them.
    pub(super) max_notices: usize,
    /// Half of the places.
    pub(super) notice_places: Semaphore,
}

/// A request to a back-end.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) address: Uri,
    pub(super) headers: HeaderMap,
    /// Shorter than the bound for all, if its location says so.
    pub(super) timeout: Option<Duration>,
    /// The length is told even if there is no body.
    pub(super) tells_length: bool,
    /// The body goes with it (`proxy_pass_request_body`).
    pub(super) passes_body: bool,
}

/// What a back-end answered.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// There was no answer: nobody listens, the time was over, or it was not to be understood or too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreachable;

/// Headers that belong to a connection (RFC 9110, section 7.6.1), and those that are written anew.
const OWN_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl Backend {
    pub(in crate::server) fn new(limits: &ConnectionLimits, notices: PendingNotices) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIME).pool_max_idle_per_host(IDLE_PER_HOST);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: builder.build(connector),
            places: Semaphore::new(limits.max_hooks),
            timeout: limits.hook_timeout,
            most_bytes: limits.max_hook_bytes,
            notices,
            max_notices: limits.max_hook_notices,
            notice_places: Semaphore::new(limits.max_hooks.div_ceil(2)),
        }
    }

    /// Asks and waits for the answer.
    pub(super) async fn ask(&self, ask: Ask, body: Bytes) -> Result<Told, Unreachable> {
        let (timeout, address) = (ask.timeout, ask.address.clone());
        self.within(timeout, &address, self.exchange(|| ask, body)).await
    }

    /// Waits for an exchange as long as it may take.
    pub(super) async fn within(
        &self,
        timeout: Option<Duration>,
        address: &Uri,
        exchange: impl Future<Output = Result<Told, String>>,
    ) -> Result<Told, Unreachable> {
        let timeout = timeout.map_or(self.timeout, |timeout| timeout.min(self.timeout));
        let exchange = time_limit::within(timeout, exchange).await;
        let told = exchange.unwrap_or_else(|| Err(format!("no answer within {timeout:?} (--hook-timeout)")));
        told.map_err(|error| {
            tracing::debug!(host = address.host().unwrap_or_default(), error, "a back-end does not answer");
            Unreachable
        })
    }

    /// Asks as soon as there is a place.
    pub(super) async fn exchange(&self, ask: impl FnOnce() -> Ask, body: Bytes) -> Result<Told, String> {
        let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
        // Boxed, so that those that wait for a place do not carry its state.
        Box::pin(self.exchange_now(ask(), body)).await
    }

    async fn exchange_now(&self, ask: Ask, body: Bytes) -> Result<Told, String> {
        let body = if ask.passes_body { body } else { Bytes::new() };
        let length = body.len();
        let mut request = Request::new(Body::from(body));
        if length > 0 || ask.tells_length {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        for (name, value) in &ask.headers {
            request.headers_mut().append(name, value.clone());
        }
        *request.method_mut() = ask.method;
        *request.uri_mut() = ask.address;
        let answer = self.client.request(request).await.map_err(|error| error.to_string())?;
        let (head, incoming) = answer.into_parts();
        // The others are none that an answer ends with (RFC 9110, section 15), so that nobody can be told them.
        if !(200..600).contains(&head.status.as_u16()) {
            return Err(format!("the status {} is no answer", head.status.as_u16()));
        }
        let body = to_bytes(Body::new(incoming), self.most_bytes).await.map_err(|error| format!("{error} (--max-hook-answer)"))?;
        Ok(Told { status: head.status.as_u16(), headers: head.headers, body })
    }
}

impl Told {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(HeaderValue::as_bytes)
    }

    /// Its content type.
    pub(super) fn content_type(&self) -> Option<Bytes> {
        self.headers.get(CONTENT_TYPE).map(|value| Bytes::copy_from_slice(value.as_bytes()))
    }

    /// The answer as one to the client.
    pub(super) fn response(&self) -> Response {
        let mut lines = Vec::new();
        for (name, value) in self.headers.iter().filter(|(name, _)| is_for_clients(name.as_str())) {
            push_line(format!("{name}: ").as_bytes(), value.as_bytes(), &mut lines);
        }
        Response {
            content_type: self.content_type(),
            body: ResponseBody::Sized(self.body.clone()),
            bodiless: self.status == 204,
            ..Response::header_only(Status(self.status), lines)
        }
    }
}

/// Whether a header of a back-end goes to the client: not what is between the two of us.
fn is_for_clients(name: &str) -> bool {
    !OWN_HEADERS.contains(&name) && !name.starts_with("x-accel-")
}

/// A header, if it is one.
pub(super) fn header(name: &[u8], value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
}

/// Whether a header of the client goes to the back-end. One with an underscore does not, as in nginx: to CGI and its like
/// it is the same as one with a hyphen, which `proxy_set_header` may have set.
pub(super) fn is_passed(name: &str) -> bool {
    let is_own = OWN_HEADERS.iter().any(|own| *own != "content-type" && *own != "date" && own.eq_ignore_ascii_case(name));
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_plain && !is_own && !name.eq_ignore_ascii_case("host") && !name.eq_ignore_ascii_case("expect")
}
