//! Requests to back-ends: limits how many are sent at once, and tries one server after the other.
//!
//! Servers are chosen by `balancer`; `backend_connection` connects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response as HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use super::backend_connection::{BackendConnection, BackendServer, ConnectionPool};
pub(super) use super::backend_request::{
    BackendRequest, BackendRoute, HookCall, HookError, is_idempotent,
};
use super::backend_request::{FailureKind, SendFailure, ServerFailure};
use super::balancer::{Attempt, Balancer, Selection};
use super::hook_response::HookResponse;
use super::pending_notices::PendingNotices;
use super::time_limit::within;
use crate::server::config::ConnectionLimits;
use crate::server::config::model::proxy::NextUpstream;

/// The back-ends as one shard uses them.
pub(in crate::server) struct BackendClient {
    balancer: Balancer,
    pool: ConnectionPool,
    /// One permit per concurrent request.
    permits: Semaphore,
    timeout: Duration,
    /// Largest response in bytes.
    max_response_bytes: usize,
    /// Notices whose response is not awaited.
    pub(in crate::server) notices: PendingNotices,
    pub(in crate::server) max_notices: usize,
    /// Permits for notices: half as many as for all requests.
    pub(in crate::server) notice_permits: Semaphore,
}

/// What follows from the result of one server.
enum TryOutcome {
    Done(Result<HookResponse, HookError>),
    /// The next server may be tried; without one this is the result.
    Next {
        result: Result<HookResponse, HookError>,
        was_sent: bool,
    },
}

impl BackendClient {
    /// Creates the client of a shard; `notices` are counted across reloads.
    pub(in crate::server) fn new(limits: &ConnectionLimits, notices: PendingNotices) -> Self {
        Self {
            balancer: Balancer::default(),
            pool: ConnectionPool::default(),
            permits: Semaphore::new(limits.max_hooks),
            timeout: limits.hook_timeout,
            max_response_bytes: limits.max_hook_bytes,
            notices,
            max_notices: limits.max_hook_notices,
            notice_permits: Semaphore::new(limits.max_hooks.div_ceil(2)),
        }
    }

    /// Makes the call of a hook, and waits for the response.
    pub(in crate::server) async fn call(
        &self,
        call: HookCall,
        body: Bytes,
    ) -> Result<HookResponse, HookError> {
        match call {
            HookCall::Returned(response) => Ok(*response),
            // Boxed, so that connections without a hook do not hold its state.
            HookCall::Request(request) => Box::pin(self.send_request(|| *request, body)).await,
        }
    }

    /// Makes a call that must not redirect to another location, which nginx would let decide
    /// (`X-Accel-Redirect`): that is not supported.
    pub(in crate::server) async fn call_without_redirect(
        &self,
        call: Result<HookCall, HookError>,
        body: Bytes,
    ) -> Result<HookResponse, HookError> {
        let response = self.call(call?, body).await?;
        if response.header("x-accel-redirect").is_some() && !response.ignores_redirect() {
            Err(HookError::Unsupported)
        } else {
            Ok(response)
        }
    }

    /// Sends a request as soon as there is a permit.
    pub(in crate::server) async fn send_request(
        &self,
        request: impl FnOnce() -> BackendRequest,
        body: Bytes,
    ) -> Result<HookResponse, HookError> {
        let Some(permit) = within(self.timeout, self.permits.acquire()).await else {
            tracing::debug!(
                "too many requests to back-ends for {:?} (--max-hooks, --hook-timeout)",
                self.timeout
            );
            return Err(HookError::TimedOut);
        };
        let _permit = permit.map_err(|_closed| HookError::Failed)?;
        Box::pin(self.try_servers(request(), body)).await
    }

    /// Tries the servers of a request, one after the other.
    async fn try_servers(
        &self,
        request: BackendRequest,
        body: Bytes,
    ) -> Result<HookResponse, HookError> {
        let route = Arc::clone(&request.route);
        if route.upstream.unsupported.is_some() {
            return Err(HookError::Unsupported);
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
        let mut last = Err(HookError::Failed);
        let mut tries = 0;
        while let Some(attempt) = selection.next() {
            tries += 1;
            let server = BackendServer {
                address: attempt.address().clone(),
                tls: route.tls.clone(),
            };
            let outcome = self.send_to_server(&request, &server, body.clone()).await;
            let may_retry = |was_sent: bool| {
                let next = &route.next_upstream;
                let is_safe = !was_sent || next.non_idempotent || is_idempotent(&request.method);
                is_safe
                    && next.tries.is_none_or(|max| tries < max)
                    && next.within.is_none_or(|max| begin.elapsed() < max)
            };
            match Self::record_outcome(&selection, &attempt, &request, outcome) {
                TryOutcome::Done(response) => return response,
                TryOutcome::Next { result, was_sent } => {
                    last = result;
                    if !may_retry(was_sent) {
                        return last;
                    }
                }
            }
        }
        if tries == 0 {
            tracing::debug!(
                upstream = route.upstream.name,
                "no server of the upstream is available"
            );
        }
        last
    }

    /// Reports the result of one server to the balancer, and decides whether the next one is tried.
    fn record_outcome(
        selection: &Selection,
        attempt: &Attempt,
        request: &BackendRequest,
        outcome: Result<HookResponse, ServerFailure>,
    ) -> TryOutcome {
        let route = &request.route;
        match outcome {
            Ok(response) if route.next_upstream.statuses.contains(&response.status) => {
                if !matches!(response.status, 403 | 404) {
                    selection.record_failure(attempt);
                }
                TryOutcome::Next {
                    result: Ok(response),
                    was_sent: true,
                }
            }
            Ok(response) => {
                selection.record_success(attempt);
                TryOutcome::Done(Ok(response))
            }
            Err(failure) => {
                tracing::debug!(
                    upstream = route.upstream.name,
                    address = attempt.address().to_string(),
                    error = failure.text,
                    "no response from a back-end"
                );
                let is_allowed =
                    Self::record_failure(selection, attempt, &failure, &route.next_upstream);
                let result = Err(failure.reason());
                if is_allowed {
                    TryOutcome::Next {
                        result,
                        was_sent: failure.was_sent,
                    }
                } else {
                    TryOutcome::Done(result)
                }
            }
        }
    }

    /// Reports a failure to the balancer; returns whether the next server may be tried after a
    /// failure of this kind (`proxy_next_upstream`).
    fn record_failure(
        selection: &Selection,
        attempt: &Attempt,
        failure: &ServerFailure,
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

    /// Sends a request to one server, on an idle connection if there is one.
    async fn send_to_server(
        &self,
        request: &BackendRequest,
        server: &BackendServer,
        body: Bytes,
    ) -> Result<HookResponse, ServerFailure> {
        let route = &request.route;
        let shorter =
            |time: Option<Duration>| time.map_or(self.timeout, |time| time.min(self.timeout));
        let connect_timeout = shorter(route.connect_timeout);
        let limit = shorter(route.timeout);
        let mut unsent = Some(request.to_http(body.clone()));
        if let Some(connection) = self
            .pool
            .take(server)
            .filter(|_| route.upstream.keepalive > 0)
        {
            let sent = self
                .send_on_connection(connection, unsent.take().unwrap_or_default(), limit, route)
                .await;
            match sent {
                Ok(response) => return Ok(response),
                // The server had closed the connection before the request was sent.
                Err(SendFailure {
                    unsent: Some(returned),
                    ..
                }) => unsent = Some(returned),
                // The server may have closed it while the request was sent.
                Err(SendFailure { failure, .. })
                    if failure.kind == FailureKind::Error && is_idempotent(&request.method) => {}
                Err(SendFailure { failure, .. }) => return Err(failure),
            }
        }
        let connection = within(connect_timeout, BackendConnection::open(server)).await;
        let connection =
            connection.ok_or_else(|| ServerFailure::timeout(false, connect_timeout))?;
        let connection = connection.map_err(|error| ServerFailure::error(false, error))?;
        let request = unsent.unwrap_or_else(|| request.to_http(body));
        self.send_on_connection(connection, request, limit, route)
            .await
            .map_err(|failed| failed.failure)
    }

    /// Sends a request on a connection, which is kept for the next one.
    async fn send_on_connection(
        &self,
        mut connection: BackendConnection,
        request: Request<Body>,
        limit: Duration,
        route: &BackendRoute,
    ) -> Result<HookResponse, SendFailure> {
        let failed = |failure| SendFailure {
            failure,
            unsent: None,
        };
        let sent = within(limit, connection.send(request)).await;
        let sent = sent.ok_or_else(|| failed(ServerFailure::timeout(true, limit)))?;
        let response = sent.map_err(|error| {
            let was_sent = error.unsent.is_none();
            let unsent = if connection.is_reused {
                error.unsent
            } else {
                None
            };
            SendFailure {
                failure: ServerFailure::of_request(&error.error, was_sent),
                unsent,
            }
        })?;
        let response = self
            .read_response(&connection, response, limit, route)
            .await
            .map_err(failed)?;
        if response.ends_where_expected() {
            self.pool.keep(connection, route.upstream.keepalive);
        }
        Ok(response)
    }

    /// Reads a whole response.
    async fn read_response(
        &self,
        connection: &BackendConnection,
        response: HttpResponse<Incoming>,
        limit: Duration,
        route: &BackendRoute,
    ) -> Result<HookResponse, ServerFailure> {
        let (head, incoming) = response.into_parts();
        // Other statuses are not final (RFC 9110, section 15), so that no client could use them.
        if !(200..600).contains(&head.status.as_u16()) {
            return Err(ServerFailure::body(format!(
                "invalid status {}",
                head.status.as_u16()
            )));
        }
        let mut pieces = Body::new(incoming).into_data_stream();
        let mut body = BytesMut::new();
        let stopped = || ServerFailure {
            kind: FailureKind::Timeout,
            ..ServerFailure::body("the response is incomplete (--hook-timeout)")
        };
        let all = async {
            while let Some(piece) = within(limit, pieces.next()).await.ok_or_else(stopped)? {
                let piece = piece.map_err(|error| {
                    ServerFailure::body(format!("cannot read the response: {error}"))
                })?;
                if body.len() + piece.len() > self.max_response_bytes {
                    return Err(ServerFailure::body(
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
