//! A request that has found its server and its location, and has passed the rewrite phase.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Router;
use super::next_step::{PendingBody, RequestBody};
use crate::server::config::expression::reads::record_changing;
use crate::server::config::expression::regex_pattern;
use crate::server::config::{RewriteFrame, VirtualServer, WebSettings};
use crate::server::exchange::request::{Endpoints, Request};
use crate::server::exchange::target;
use crate::server::exchange::variables::RequestVariables;
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::rewriting::{Destination, RewriteRequest};
use crate::server::http::upstream::hook_response::KeptHeaders;
use crate::server::observe::failpoints;

/// The way of a request through a configuration. It does not borrow the request, and lives as long
/// as the configuration.
pub(in crate::server) struct Located<'s> {
    pub(super) server: &'s Arc<VirtualServer>,
    pub(super) destination: Destination<'s>,
    /// Variables and captures of the rewrite phase.
    frame: RewriteFrame,
    /// What differs from the head of the request.
    target: LocatedTarget,
    /// The client that a trusted proxy names.
    client: Option<Endpoints>,
    /// The connection ends with this request.
    is_last: bool,
    pub(super) body: RequestBody,
    /// The request was for a directory, and is now for its index.
    is_index: bool,
    /// Headers of the back-end that has redirected the request.
    kept: Option<KeptHeaders>,
    /// Start of the request, if it is logged.
    pub(super) began: Option<Instant>,
}

/// Path and query, where they are not those of the head.
#[derive(Default)]
struct LocatedTarget {
    path: Option<Vec<u8>>,
    query: Option<Vec<u8>>,
}

/// An internal redirect to another location.
pub(in crate::server) struct Redirection {
    /// The decoded path.
    pub(in crate::server) path: Vec<u8>,
    /// `None` for the query of the client.
    pub(in crate::server) query: Option<Vec<u8>>,
    pub(in crate::server) cause: RedirectCause,
}

/// Why a request is redirected.
pub(in crate::server) enum RedirectCause {
    /// It is for a directory, which has an index.
    Index,
    /// By a back-end (`X-Accel-Redirect`), whose response had these headers.
    BackEnd(KeptHeaders),
}

impl<'s> Located<'s> {
    /// Calls `work` with the variables of the request as its location sees it.
    pub(super) fn with<T>(
        &self,
        request: &Request<'_>,
        work: impl FnOnce(&RequestVariables<'_>) -> T,
    ) -> T {
        let web = &self.destination.settings.web;
        let rewritten = self.frame.uri.as_ref();
        let path = rewritten
            .map(|uri| &uri.path[..])
            .or(self.target.path.as_deref());
        let query = rewritten
            .map(|uri| &uri.arguments[..])
            .or(self.target.query.as_deref());
        let located = Request {
            path: Cow::Borrowed(path.unwrap_or(&request.path)),
            query: query.unwrap_or(request.query),
            keep_alive: request.keep_alive && !self.is_last,
            without_chunks: request.without_chunks || web.without_chunks,
            endpoints: self.client.as_ref().unwrap_or(request.endpoints),
            ..*request
        };
        let peer = request.endpoints;
        let variables = RequestVariables::new(&located, &self.frame, peer, self.server);
        work(&variables.in_location(web))
    }

    /// Settings with the access rules for the request.
    pub(super) fn access_settings(&self) -> &'s WebSettings {
        self.destination
            .limited
            .unwrap_or(&self.destination.settings.web)
    }

    /// Sets variables, by their number.
    pub(super) fn assign(&mut self, values: Vec<(usize, Bytes)>) {
        for (slot, value) in values {
            self.frame.assign(slot, value);
        }
    }

    /// Headers of the back-end that has redirected the request.
    pub(super) fn kept(&self) -> Option<&KeptHeaders> {
        self.kept.as_ref()
    }

    /// Returns whether the request was for a directory, and is now for its index.
    pub(super) fn is_index(&self) -> bool {
        self.is_index
    }
}

impl<'s> Router<'s> {
    /// Finds the server and the location of a request, and its settings there.
    pub(in crate::server) fn locate(
        &self,
        request: &Request<'_>,
        length: BodyLength,
    ) -> Located<'s> {
        let expects_continue = request
            .header("expect")
            .is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"));
        let body = RequestBody::Unread(PendingBody {
            length,
            max_bytes: 0,
            expects_continue,
        });
        let server = self.find_server(request);
        let kept = if server.keeps_slashes {
            target::path_with_slashes(request.unparsed_uri)
        } else {
            None
        };
        let target = LocatedTarget {
            path: kept.map(Cow::into_owned),
            query: None,
        };
        self.locate_in(server, request, target, body, false)
    }

    /// Finds the location to which a request is redirected.
    pub(super) fn locate_redirected(
        &self,
        request: &Request<'_>,
        redirection: Redirection,
        from: &mut Located<'s>,
    ) -> Located<'s> {
        let Redirection { path, query, cause } = redirection;
        let target = LocatedTarget {
            path: Some(path),
            query,
        };
        let server = self.find_server(request);
        let located = self.locate_in(server, request, target, from.body.clone(), true);
        let before = from.kept.take();
        match cause {
            RedirectCause::Index => Located {
                is_index: true,
                kept: before,
                ..located
            },
            RedirectCause::BackEnd(kept) => Located {
                kept: Some(kept),
                ..located
            },
        }
    }

    /// Returns whether the connection ends with this request.
    fn is_last(&self, web: &WebSettings) -> bool {
        web.keepalive_requests.is_some_and(|max| {
            record_changing();
            self.requests >= max
        })
    }

    fn locate_in(
        &self,
        server: &'s Arc<VirtualServer>,
        request: &Request<'_>,
        target: LocatedTarget,
        body: RequestBody,
        is_internal: bool,
    ) -> Located<'s> {
        failpoints::point("request");
        // A failure may be left from an expression that was evaluated after routing.
        drop(regex_pattern::take_failure());
        let client = self.named_client(&server.settings.web, request);
        let mut frame = RewriteFrame::new(
            server.captures(|| request.host().unwrap_or_default()),
            Vec::new(),
        );
        let peer = request.endpoints;
        let own = Request {
            path: Cow::Borrowed(target.path.as_deref().unwrap_or(&request.path)),
            query: target.query.as_deref().unwrap_or(request.query),
            endpoints: client.as_ref().unwrap_or(peer),
            ..*request
        };
        let may_enter_internal = |web: &WebSettings| {
            is_internal || (web.internal_from_front && self.is_front(web, peer))
        };
        let destination = RewriteRequest {
            variables: RequestVariables::new(&own, &RewriteFrame::default(), peer, server),
            values: None,
            method: request.method,
            may_enter_internal: &may_enter_internal,
            body_bytes: body.announced(),
            max_body_bytes: self.snapshot.limits.max_body_bytes,
        }
        .run(server, &mut frame);
        let web = &destination.settings.web;
        Located {
            // The location may trust a proxy that the server does not trust.
            client: client.or_else(|| self.named_client(web, request)),
            began: (!web.access_logs.is_empty()).then(Instant::now),
            server,
            destination,
            frame,
            target,
            is_last: self.is_last(web),
            body,
            is_index: false,
            kept: None,
        }
    }
}
