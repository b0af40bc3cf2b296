//! Data of requests to back-ends: the call of a hook, its servers, and its errors.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use axum::http::{Method, Request, Uri};
use bytes::Bytes;

use super::backend_connection::TlsPeer;
use super::hook_response::HookResponse;
use crate::server::config::model::proxy::{NextUpstream, ResponseHeaders};
use crate::server::config::model::upstream::Upstream;
use crate::server::exchange::response::Status;

/// The call of a hook.
#[derive(Clone, Debug)]
pub(in crate::server) enum HookCall {
    /// A request to a back-end.
    Request(Box<BackendRequest>),
    /// The response of a `return` in its location.
    Returned(Box<HookResponse>),
}

/// A request to a back-end.
#[derive(Clone, Debug)]
pub(in crate::server) struct BackendRequest {
    pub(in crate::server) method: Method,
    /// Servers, and how they are tried.
    pub(in crate::server) route: Arc<BackendRoute>,
    /// Path and query.
    pub(in crate::server) target: Uri,
    pub(in crate::server) headers: HeaderMap,
    /// `Content-Length` is sent even without a body.
    pub(in crate::server) sends_length: bool,
    /// The body is sent (`proxy_pass_request_body`).
    pub(in crate::server) passes_body: bool,
}

/// Servers for the requests of a location, and how they are tried.
#[derive(Clone, Debug)]
pub(in crate::server) struct BackendRoute {
    pub(in crate::server) upstream: Arc<Upstream>,
    /// Hash by which a server is chosen, if the upstream uses one.
    pub(in crate::server) key: Option<u32>,
    /// `Host` header, unless the request sets another one.
    pub(in crate::server) host: HeaderValue,
    pub(in crate::server) tls: Option<TlsPeer>,
    /// Time limit for a response, if shorter than `--hook-timeout`.
    pub(in crate::server) timeout: Option<Duration>,
    /// Time limit for connecting, likewise.
    pub(in crate::server) connect_timeout: Option<Duration>,
    pub(in crate::server) next_upstream: Arc<NextUpstream>,
    pub(in crate::server) response_headers: Arc<ResponseHeaders>,
}

/// Why a hook has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum HookError {
    /// No server can be reached, or its response is invalid or too large.
    Failed,
    /// No response within the time limit.
    TimedOut,
    /// The configuration of the hook is not supported.
    Unsupported,
}

/// Why there is no response from one server.
pub(in crate::server) struct ServerFailure {
    pub(in crate::server) kind: FailureKind,
    /// The request may have had an effect.
    pub(in crate::server) was_sent: bool,
    pub(in crate::server) text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum FailureKind {
    Error,
    Timeout,
    InvalidHeader,
    /// The response is incomplete or too large: another server is not tried.
    Body,
}

impl ServerFailure {
    pub(in crate::server) fn error(was_sent: bool, text: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Error,
            was_sent,
            text: text.into(),
        }
    }

    pub(in crate::server) fn timeout(was_sent: bool, limit: Duration) -> Self {
        Self {
            kind: FailureKind::Timeout,
            was_sent,
            text: format!("no response within {limit:?} (--hook-timeout)"),
        }
    }

    pub(in crate::server) fn body(text: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Body,
            was_sent: true,
            text: text.into(),
        }
    }

    pub(in crate::server) fn of_request(error: &hyper::Error, was_sent: bool) -> Self {
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

    /// The error of the hook, if no other server is tried.
    pub(in crate::server) fn reason(&self) -> HookError {
        if self.kind == FailureKind::Timeout {
            HookError::TimedOut
        } else {
            HookError::Failed
        }
    }
}

impl HookError {
    /// Status of the response to the client whose request needs the hook.
    pub(in crate::server) fn status(self) -> Status {
        match self {
            Self::Failed => Status(502),
            Self::TimedOut => Status(504),
            Self::Unsupported => Status(503),
        }
    }
}

/// A failure on a connection, and the request if nothing of it was sent.
pub(in crate::server) struct SendFailure {
    pub(in crate::server) failure: ServerFailure,
    pub(in crate::server) unsent: Option<Request<Body>>,
}

/// Returns whether a request with this method may be repeated, as in nginx.
pub(in crate::server) fn is_idempotent(method: &Method) -> bool {
    !matches!(method.as_str(), "POST" | "LOCK" | "PATCH")
}

impl BackendRequest {
    /// Renders the request with its `Host` header first.
    pub(in crate::server) fn to_http(&self, body: Bytes) -> Request<Body> {
        let length = body.len();
        let mut request = Request::new(Body::from(body));
        let headers = request.headers_mut();
        headers.insert(HOST, self.route.host.clone());
        if self.route.upstream.keepalive == 0 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if length > 0 || self.sends_length {
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
