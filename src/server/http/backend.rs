//! Requests to back-ends: which server gets one, for how long, and how many are made at once.
//!
//! Servers are chosen by `balancer`; `backend_connection` connects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use axum::http::{Method, Request, Response as HttpResponse, Uri};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::backend_connection::{Peer, PeerConnection, Pool, TlsPeer};
use super::balancer::{Attempt, Balancer, Selection};
use super::hook_response::HookResponse;
use super::notices::PendingNotices;
use crate::server::config::ConnectionLimits;
use crate::server::config::proxy::{NextUpstream, ResponseHeaders};
use crate::server::config::upstream::Upstream;
use crate::server::response::Status;
use crate::server::time_limit::within;

/// The back-ends as a shard sees them.
pub(in crate::server) struct Backend {
    balancer: Balancer,
    pool: Pool,
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

/// What a hook comes to.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// A request to a back-end.
    Request(Box<BackendRequest>),
    /// Its location answers with a `return`.
    Returned(Box<HookResponse>),
}

/// A request to a back-end.
#[derive(Clone, Debug)]
pub(super) struct BackendRequest {
    pub(super) method: Method,
    /// The servers, and how they are tried.
    pub(super) route: Arc<BackendRoute>,
    /// Path and query.
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    /// The length is told even if there is no body.
    pub(super) tells_length: bool,
    /// The body goes with it (`proxy_pass_request_body`).
    pub(super) passes_body: bool,
}

/// The servers that requests of a location go to, and how they are tried.
#[derive(Clone, Debug)]
pub(super) struct BackendRoute {
    pub(super) upstream: Arc<Upstream>,
    /// What a server is chosen by, if the group asks for that.
    pub(super) key: Option<u32>,
    /// The Host header, unless the request has another one.
    pub(super) host: HeaderValue,
    pub(super) tls: Option<TlsPeer>,
    /// For a response, if it is shorter than the bound for all.
    pub(super) timeout: Option<Duration>,
    /// For a connection, likewise.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) next_upstream: Arc<NextUpstream>,
    pub(super) response_headers: Arc<ResponseHeaders>,
}

/// Why a hook has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// No server can be reached, or what it sent is no response, or too large a one.
    Failed,
    /// A server was silent for too long.
    TimedOut,
    /// What the configuration asks for is not supported.
    Unsupported,
}

/// Why a server gave no response.
struct Failure {
    kind: FailureKind,
    /// The request may have had an effect.
    was_sent: bool,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    Error,
    Timeout,
    InvalidHeader,
    /// The response is broken off or too large, so that another server is of no use.
    Body,
}

impl Failure {
    fn error(was_sent: bool, text: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Error,
            was_sent,
            text: text.into(),
        }
    }

    fn timeout(was_sent: bool, limit: Duration) -> Self {
        Self {
            kind: FailureKind::Timeout,
            was_sent,
            text: format!("no response within {limit:?} (--hook-timeout)"),
        }
    }

    fn body(text: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Body,
            was_sent: true,
            text: text.into(),
        }
    }

    fn of_request(error: &hyper::Error, was_sent: bool) -> Self {
        let kind = if error.is_parse() {
            FailureKind::InvalidHeader
        } else {
            FailureKind::Error
        };
        Self {
            kind,
            was_sent,
            text: error.to_string(),
        }
    }
}

impl Unreachable {
    /// The status of the response to a client that waits for the hook.
    pub(super) fn status(self) -> Status {
        match self {
            Self::Failed => Status(502),
            Self::TimedOut => Status(504),
            Self::Unsupported => Status(503),
        }
    }
}

impl Backend {
    pub(in crate::server) fn new(limits: &ConnectionLimits, notices: PendingNotices) -> Self {
        Self {
            balancer: Balancer::default(),
            pool: Pool::default(),
            places: Semaphore::new(limits.max_hooks),
            timeout: limits.hook_timeout,
            most_bytes: limits.max_hook_bytes,
            notices,
            max_notices: limits.max_hook_notices,
            notice_places: Semaphore::new(limits.max_hooks.div_ceil(2)),
        }
    }

    /// Asks and waits for the answer.
    pub(super) async fn ask(&self, ask: Ask, body: Bytes) -> Result<HookResponse, Unreachable> {
        match ask {
            Ask::Returned(told) => Ok(*told),
            // Boxed, so that connections without a hook do not carry its state.
            Ask::Request(request) => Box::pin(self.exchange(|| *request, body)).await,
        }
    }

    /// Asks about a request or a message. In nginx another location would decide if the back-end
    /// names one, which is not supported.
    pub(super) async fn decide(
        &self,
        ask: Result<Ask, Unreachable>,
        body: Bytes,
    ) -> Result<HookResponse, Unreachable> {
        let told = self.ask(ask?, body).await?;
        if told.header("x-accel-redirect").is_some() && !told.ignores_redirect() {
            Err(Unreachable::Unsupported)
        } else {
            Ok(told)
        }
    }

    /// Makes a request as soon as there is a place.
    pub(super) async fn exchange(
        &self,
        request: impl FnOnce() -> BackendRequest,
        body: Bytes,
    ) -> Result<HookResponse, Unreachable> {
        let Some(place) = within(self.timeout, self.places.acquire()).await else {
            tracing::debug!(
                "no place for a request to a back-end within {:?} (--max-hooks, --hook-timeout)",
                self.timeout
            );
            return Err(Unreachable::TimedOut);
        };
        let _place = place.map_err(|_closed| Unreachable::Failed)?;
        Box::pin(self.try_servers(request(), body)).await
    }

    /// Tries one server after the other.
    async fn try_servers(
        &self,
        request: BackendRequest,
        body: Bytes,
    ) -> Result<HookResponse, Unreachable> {
        let route = Arc::clone(&request.route);
        if route.upstream.unsupported.is_some() {
            return Err(Unreachable::Unsupported);
        }
        let body = if request.passes_body {
            body
        } else {
            Bytes::new()
        };
        let begin = Instant::now();
        let mut selection = self
            .balancer
            .select(&route.upstream, route.key, self.timeout)
            .await;
        let mut last = Err(Unreachable::Failed);
        let mut tries = 0;
        while let Some(attempt) = selection.next() {
            tries += 1;
            let peer = Peer {
                address: attempt.address().clone(),
                tls: route.tls.clone(),
            };
            let outcome = self.at_server(&request, &peer, body.clone()).await;
            let may_go_on = |was_sent: bool| {
                let next = &route.next_upstream;
                let is_safe = !was_sent || next.non_idempotent || is_idempotent(&request.method);
                is_safe
                    && next.tries.is_none_or(|most| tries < most)
                    && next.within.is_none_or(|most| begin.elapsed() < most)
            };
            match outcome {
                Ok(told) if route.next_upstream.statuses.contains(&told.status) => {
                    if !matches!(told.status, 403 | 404) {
                        selection.record_failure(&attempt);
                    }
                    last = Ok(told);
                    if !may_go_on(true) {
                        return last;
                    }
                }
                Ok(told) => {
                    selection.record_success(&attempt);
                    return Ok(told);
                }
                Err(failure) => {
                    let address = peer.address.to_string();
                    tracing::debug!(
                        upstream = route.upstream.name,
                        address,
                        error = failure.text,
                        "a back-end does not answer"
                    );
                    let is_allowed =
                        Self::record(&selection, &attempt, &failure, &route.next_upstream);
                    last = Err(failure.reason());
                    if !is_allowed || !may_go_on(failure.was_sent) {
                        return last;
                    }
                }
            }
        }
        if tries == 0 {
            tracing::debug!(
                upstream = route.upstream.name,
                "no server of the upstream can be tried"
            );
        }
        last
    }

    /// Notes a failure; true = the next server may be tried after one of this kind.
    fn record(
        selection: &Selection,
        attempt: &Attempt,
        failure: &Failure,
        next: &NextUpstream,
    ) -> bool {
        match failure.kind {
            FailureKind::Error => {
                selection.record_failure(attempt);
                next.error
            }
            FailureKind::Timeout => {
                selection.record_failure(attempt);
                next.timeout
            }
            FailureKind::InvalidHeader => {
                if next.invalid_header {
                    selection.record_failure(attempt);
                }
                next.invalid_header
            }
            FailureKind::Body => {
                selection.record_success(attempt);
                false
            }
        }
    }

    /// Makes a request to one server.
    async fn at_server(
        &self,
        request: &BackendRequest,
        peer: &Peer,
        body: Bytes,
    ) -> Result<HookResponse, Failure> {
        let route = &request.route;
        let shorter =
            |time: Option<Duration>| time.map_or(self.timeout, |time| time.min(self.timeout));
        let connect_timeout = shorter(route.connect_timeout);
        let limit = shorter(route.timeout);
        let mut unsent = Some(request.http(body.clone()));
        if let Some(connection) = self
            .pool
            .take(peer)
            .filter(|_| route.upstream.keepalive > 0)
        {
            let sent = self
                .on_connection(connection, unsent.take().unwrap_or_default(), limit, route)
                .await;
            match sent {
                Ok(told) => return Ok(told),
                // The server has closed it in the meantime.
                Err(Retry {
                    unsent: Some(again),
                    ..
                }) => unsent = Some(again),
                // It may have closed it at the same time as the request was sent.
                Err(Retry { failure, .. })
                    if failure.kind == FailureKind::Error && is_idempotent(&request.method) => {}
                Err(Retry { failure, .. }) => return Err(failure),
            }
        }
        let connection = within(connect_timeout, PeerConnection::open(peer)).await;
        let connection = connection.ok_or_else(|| Failure::timeout(false, connect_timeout))?;
        let connection = connection.map_err(|error| Failure::error(false, error))?;
        let request = unsent.unwrap_or_else(|| request.http(body));
        self.on_connection(connection, request, limit, route)
            .await
            .map_err(|retry| retry.failure)
    }

    /// Makes a request on a connection.
    async fn on_connection(
        &self,
        mut connection: PeerConnection,
        request: Request<Body>,
        limit: Duration,
        route: &BackendRoute,
    ) -> Result<HookResponse, Retry> {
        let failed = |failure| Retry {
            failure,
            unsent: None,
        };
        let sent = within(limit, connection.send(request)).await;
        let sent = sent.ok_or_else(|| failed(Failure::timeout(true, limit)))?;
        let response = sent.map_err(|error| {
            let was_sent = error.unsent.is_none();
            let unsent = if connection.is_reused {
                error.unsent
            } else {
                None
            };
            Retry {
                failure: Failure::of_request(&error.error, was_sent),
                unsent,
            }
        })?;
        let told = self
            .read(&connection, response, limit, route)
            .await
            .map_err(failed)?;
        if told.ends_where_expected() {
            self.pool.keep(connection, route.upstream.keepalive);
        }
        Ok(told)
    }

    /// Reads a response to its end.
    async fn read(
        &self,
        connection: &PeerConnection,
        response: HttpResponse<Incoming>,
        limit: Duration,
        route: &BackendRoute,
    ) -> Result<HookResponse, Failure> {
        let (head, incoming) = response.into_parts();
        // The others are none that an answer ends with (RFC 9110, section 15), so that no client
        // can receive them.
        if !(200..600).contains(&head.status.as_u16()) {
            return Err(Failure::body(format!(
                "the status {} is no answer",
                head.status.as_u16()
            )));
        }
        let mut pieces = Body::new(incoming).into_data_stream();
        let mut body = BytesMut::new();
        let stopped = || Failure {
            kind: FailureKind::Timeout,
            ..Failure::body("the response stopped (--hook-timeout)")
        };
        let all = async {
            while let Some(piece) = within(limit, pieces.next()).await.ok_or_else(stopped)? {
                let piece = piece.map_err(|error| {
                    Failure::body(format!("the response is broken off: {error}"))
                })?;
                if body.len() + piece.len() > self.most_bytes {
                    return Err(Failure::body(
                        "the response is too large (--max-hook-answer)",
                    ));
                }
                body.extend_from_slice(&piece);
            }
            Ok(())
        };
        within(self.timeout, all).await.ok_or_else(stopped)??;
        Ok(HookResponse {
            status: head.status.as_u16(),
            raw_headers: connection.raw_headers(),
            headers: head.headers,
            body: body.freeze(),
            response_headers: Arc::clone(&route.response_headers),
            returned: None,
        })
    }
}

/// A request that failed on a connection, and the request if it can be sent on another one.
struct Retry {
    failure: Failure,
    unsent: Option<Request<Body>>,
}

impl Failure {
    fn reason(&self) -> Unreachable {
        if self.kind == FailureKind::Timeout {
            Unreachable::TimedOut
        } else {
            Unreachable::Failed
        }
    }
}

/// A second request does no harm, as nginx sees it.
fn is_idempotent(method: &Method) -> bool {
    !matches!(method.as_str(), "POST" | "LOCK" | "PATCH")
}

impl BackendRequest {
    /// The request as it is sent.
    fn http(&self, body: Bytes) -> Request<Body> {
        let length = body.len();
        let mut request = Request::new(Body::from(body));
        let headers = request.headers_mut();
        headers.insert(HOST, self.route.host.clone());
        if self.route.upstream.keepalive == 0 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if length > 0 || self.tells_length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let mut has_host = false;
        for (name, value) in &self.headers {
            if name == HOST && !has_host {
                has_host = true;
                headers.insert(HOST, value.clone());
            } else {
                headers.append(name, value.clone());
            }
        }
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        request
    }
}
