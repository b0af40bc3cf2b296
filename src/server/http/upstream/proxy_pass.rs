//! Locations with `proxy_pass`: the request goes to a back-end, whose response is passed on, or
//! redirects the request to another location (`X-Accel-Redirect`).

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::backend_request::{HookCall, HookError};
use super::hook_response::KeptHeaders;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{Response, Status};
use crate::server::http::connection::Disconnected;
use crate::server::http::connection::requests::{PendingBody, Requests, ServeOutcome};
use crate::server::http::h1::head;
use crate::server::http::h1::head::ParsedHead;
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::route::pending_check::RoutingState;
use crate::server::http::route::{NextStep, ResponsePlan, RoutedRequest, Router};
use crate::server::push_stream::cursor::percent_decode;

/// Most checks of a redirected request: its password, `auth_request`, a hook.
const MAX_CHECKS: usize = 6;

/// An internal redirect by a back-end.
struct AccelRedirect {
    target: Vec<u8>,
    kept: Arc<KeptHeaders>,
}

/// Target of an internal redirect.
struct RedirectTarget<'a> {
    /// Decoded path.
    path: Cow<'a, [u8]>,
    query: &'a [u8],
}

impl<'a> RedirectTarget<'a> {
    /// Parses a target. As in nginx, `None` for one that leads out of the root or is no path.
    fn parse(target: &'a [u8]) -> Option<Self> {
        let (path, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
        let path = percent_decode(path);
        let is_safe = path.starts_with(b"/")
            && !path.contains(&0)
            && !path
                .split(|byte| *byte == b'/')
                .any(|segment| segment == b"..");
        is_safe.then(|| Self {
            path,
            query: query.get(1..).unwrap_or_default(),
        })
    }
}

impl Requests<'_> {
    /// Passes a request to a back-end, and sends its response or follows its redirect.
    pub(in crate::server) async fn proxy(
        &mut self,
        call: Result<HookCall, HookError>,
        head: Bytes,
        body: PendingBody,
        mut context: ResponsePlan,
    ) -> Result<Option<ServeOutcome>, Disconnected> {
        let outcome = self.call_backend(call, head, body).await;
        if !matches!(outcome, Ok(Err(_))) {
            // A redirected request has its own log entry.
            context.forget_log();
        }
        match outcome? {
            Ok(outcome) => Ok(outcome),
            Err(response) => self.finish(response, context).await,
        }
    }

    /// Sends a request to a back-end; returns its response, or the outcome of its redirect.
    async fn call_backend(
        &mut self,
        call: Result<HookCall, HookError>,
        head: Bytes,
        body: PendingBody,
    ) -> Result<Result<Option<ServeOutcome>, Response>, Disconnected> {
        let body = match self.read_body(body).await? {
            Ok(body) => body,
            Err(response) => return Ok(Err(response)),
        };
        let response = match call {
            Ok(call) => {
                let backend = &self.connection.snapshot.backend;
                backend.call(call, body.clone()).await
            }
            Err(error) => Err(error),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return Ok(Err(Response::error_page(error.status()))),
        };
        let target = response
            .header("x-accel-redirect")
            .filter(|_| !response.ignores_redirect());
        let Some(target) = target else {
            return Ok(Err(response.to_client()));
        };
        let redirect = AccelRedirect {
            target: target.to_vec(),
            kept: Arc::new(response.kept()),
        };
        self.redirect(redirect, head, body).await
    }

    /// Serves the request as one for an internal location; its body has been read.
    async fn redirect(
        &mut self,
        redirect: AccelRedirect,
        head: Bytes,
        body: Bytes,
    ) -> Result<Result<Option<ServeOutcome>, Response>, Disconnected> {
        let Some(target) = RedirectTarget::parse(&redirect.target) else {
            return Ok(Err(Response::error_page(Status::NOT_FOUND)));
        };
        let mut state = RoutingState::redirected(target.path.to_vec());
        state.kept = Some(redirect.kept);
        for _ in 0..MAX_CHECKS {
            let snapshot = Rc::clone(&self.connection.snapshot);
            let mut routed = self.route_redirected(&head, &target, &state, body.len())?;
            let head = if matches!(routed.next, NextStep::File(_)) {
                head.clone()
            } else {
                Bytes::new()
            };
            let next = match routed.next {
                NextStep::Read(plan, hook) => {
                    NextStep::Respond(self.publish_checked(&plan, hook, body).await)
                }
                NextStep::Check(check) => match check.run(&snapshot.backend).await {
                    Ok(next_state) => {
                        // The next pass has its own log entry.
                        routed.context.forget_log();
                        state = next_state;
                        continue;
                    }
                    Err(response) => {
                        response.map_or(NextStep::SendAndClose(Vec::new()), NextStep::Respond)
                    }
                },
                // A redirected request is not passed to a back-end again.
                NextStep::DiscardBody(_) | NextStep::Proxy(_) => {
                    routed.context.forget_log();
                    break;
                }
                next => next,
            };
            let routed = RoutedRequest { next, ..routed };
            return Box::pin(self.perform(routed, BodyLength::None, head))
                .await
                .map(Ok);
        }
        Ok(Err(Response::error_page(Status::INTERNAL).closing()))
    }

    /// Parses a head, and routes it with another target.
    fn route_redirected(
        &self,
        head: &[u8],
        target: &RedirectTarget<'_>,
        state: &RoutingState,
        body_bytes: usize,
    ) -> Result<RoutedRequest, Disconnected> {
        let connection = &*self.connection;
        let snapshot = &connection.snapshot;
        let router = Router {
            snapshot,
            shard: &connection.shard,
            key: connection.key,
            outlet: &connection.outlet,
            requests: connection.requests,
            caches_polls: false,
            state,
        };
        let length = if body_bytes == 0 {
            BodyLength::None
        } else {
            BodyLength::Bytes(body_bytes as u64)
        };
        let route = |request: &Request<'_>, _| {
            let redirected = Request {
                path: Cow::Borrowed(&target.path),
                query: target.query,
                ..*request
            };
            router.route(&redirected, length)
        };
        let max_bytes = snapshot.limits.max_header_bytes;
        match head::parse(head, max_bytes, &connection.peer, route) {
            ParsedHead::Complete(_, _, routed) => Ok(routed),
            ParsedHead::Incomplete | ParsedHead::Bad(_) => Err(Disconnected),
        }
    }
}
