//! Routing: from a request to the next step of its connection.
//!
//! The server is found by address and name, the location by path, and its settings by conditions
//! (`rewriting`); then access is checked (`access_checks`), and the endpoint decides (`location`,
//! `subscribing`).

mod access_checks;
mod failed_search;
mod location;
mod logging;
mod next_step;
pub(in crate::server) mod pending_check;
pub(in crate::server) mod publish_plan;
pub(in crate::server) mod return_response;
pub(in crate::server) mod rewriting;
mod subscribing;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

pub(super) use next_step::{FollowMode, NextStep, ResponsePlan, RoutedRequest};

use self::pending_check::RoutingState;
use self::rewriting::{Destination, PhaseEnd, RewriteRequest};
use super::h1::headers::BodyLength;
use super::listen::listener_snapshot::ListenerSnapshot;
use super::static_files::FileRequest;
use crate::server::access::browser_guard::BrowserGuard;
use crate::server::access::client_address;
use crate::server::config::expression::regex_pattern;
use crate::server::config::model::web::{AddedHeaders, Gate};
use crate::server::config::{LocationSettings, RewriteFrame, VirtualServer, WebSettings};
use crate::server::exchange::compression::Compression;
use crate::server::exchange::request::{Endpoints, Request};
use crate::server::exchange::response::{ResponseContext, Status};
use crate::server::exchange::target;
use crate::server::exchange::variables::RequestVariables;
use crate::server::fanout::{ConnectionKey, Outlet, Shard};
use crate::server::observe::failpoints;

/// A next step, and the largest body that is read before it; 0 if the location has no limit of its
/// own.
struct Resolution {
    next: NextStep,
    max_body: u64,
}

impl From<NextStep> for Resolution {
    fn from(next: NextStep) -> Self {
        Self { next, max_body: 0 }
    }
}

/// A request as its location sees it.
struct LocationRequest<'a> {
    variables: &'a RequestVariables<'a>,
    length: BodyLength,
    added: &'a AddedHeaders,
    compression: &'a Compression,
}

/// The parts of a connection that routing needs.
pub(in crate::server) struct Router<'a> {
    pub(in crate::server) snapshot: &'a ListenerSnapshot,
    pub(in crate::server) shard: &'a Shard,
    pub(in crate::server) key: ConnectionKey,
    pub(in crate::server) outlet: &'a Rc<Outlet>,
    /// Number of this request on its connection.
    pub(in crate::server) requests: u64,
    /// Results of earlier passes.
    pub(in crate::server) state: &'a RoutingState,
    /// The request is cached if it is a poll.
    pub(in crate::server) caches_polls: bool,
}

impl Router<'_> {
    /// Routes a request. An accepted subscriber is attached as a follower.
    pub(in crate::server) fn route(
        &self,
        request: &Request<'_>,
        length: BodyLength,
    ) -> RoutedRequest {
        failpoints::point("request");
        // A failure may be left from an expression that was evaluated after routing.
        drop(regex_pattern::take_failure());
        let server = self.find_server(request);
        let path = if server.keeps_slashes && self.state.redirected.is_none() {
            target::path_with_slashes(request.unparsed_uri)
        } else {
            None
        };
        let real = self.real_endpoints(&server.settings.web, request);
        if path.is_none() && real.is_none() {
            return self.route_in_server(server, request, length, request.endpoints);
        }
        let path = path.unwrap_or(Cow::Borrowed(&request.path));
        let changed = Request {
            path,
            endpoints: real.as_ref().unwrap_or(request.endpoints),
            ..*request
        };
        self.route_in_server(server, &changed, length, request.endpoints)
    }

    /// Runs the rewrite phase, and routes the request to its destination. `peer` are the endpoints
    /// of the connection itself; those of `request` may be named by a proxy.
    fn route_in_server(
        &self,
        server: &Arc<VirtualServer>,
        request: &Request<'_>,
        length: BodyLength,
        peer: &Endpoints,
    ) -> RoutedRequest {
        let no_frame = RewriteFrame::default();
        let mut frame = RewriteFrame::new(
            server.captures(|| request.host().unwrap_or_default()),
            Vec::new(),
        );
        let variables = RequestVariables {
            request,
            frame: &no_frame,
            peer,
            server,
            root: None,
            secure_link: None,
            client: None,
        };
        let is_internal = self.state.redirected.is_some();
        let may_enter_internal = |web: &WebSettings| {
            is_internal || (web.internal_from_front && self.is_front(web, peer))
        };
        let phase = RewriteRequest {
            variables,
            values: None,
            method: request.method,
            may_enter_internal: &may_enter_internal,
            body_bytes: if let BodyLength::Bytes(bytes) = length {
                Some(bytes)
            } else {
                None
            },
            max_body_bytes: self.snapshot.limits.max_body_bytes,
        };
        let destination = phase.run(&mut frame);
        self.assign_auth_variables(&destination, &phase.variables, &mut frame);
        let rewritten = frame.uri.as_ref().map(|uri| Request {
            path: Cow::Borrowed(&uri.path),
            query: &uri.arguments,
            ..*request
        });
        let variables = RequestVariables {
            request: rewritten.as_ref().unwrap_or(request),
            frame: &frame,
            ..phase.variables
        };
        self.route_to(&destination, variables, length)
    }

    /// Applies the settings of the destination to the request, and routes it there.
    fn route_to(
        &self,
        destination: &Destination<'_>,
        variables: RequestVariables<'_>,
        length: BodyLength,
    ) -> RoutedRequest {
        let web = &destination.settings.web;
        let request = variables.request;
        // The location may trust a proxy that the server does not trust.
        let is_peer = std::ptr::eq(request.endpoints, variables.peer);
        let real = if is_peer {
            self.real_endpoints(web, request)
        } else {
            None
        };
        let moved = real
            .as_ref()
            .map(|endpoints| request.with_endpoints(endpoints));
        let request = moved.as_ref().unwrap_or(request);
        let is_last = web
            .keepalive_requests
            .is_some_and(|max| self.requests >= max);
        let last = is_last.then(|| request.last());
        let request = last.as_ref().unwrap_or(request);
        let unframed = web.without_chunks.then(|| request.unframed());
        let request = unframed.as_ref().unwrap_or(request);
        let variables = RequestVariables {
            request,
            ..variables
        }
        .in_location(web);
        self.resolve(destination, &variables, length)
    }

    /// Decides about the request at its destination.
    fn resolve(
        &self,
        destination: &Destination<'_>,
        variables: &RequestVariables<'_>,
        length: BodyLength,
    ) -> RoutedRequest {
        let settings = destination.settings;
        let request = variables.request;
        let guard = BrowserGuard::of(variables.server, request, variables.peer, self.snapshot);
        let (mut added, rejection) = match guard {
            Some(guard) => (guard.added, guard.response),
            None if settings.web.added_headers.is_empty() => (AddedHeaders::default(), None),
            None => (settings.web.added(variables), None),
        };
        if let Some(kept) = &self.state.kept {
            kept.add_to(&mut added);
        }
        let compression = Compression::for_request(settings.gzip.as_ref(), request);
        let is_open = !regex_pattern::has_failure()
            && self.passes(destination.gate, &settings.web, variables.peer);
        let Resolution { next, max_body } = match (rejection, &destination.end) {
            (Some(response), _) => NextStep::Respond(response).into(),
            (None, PhaseEnd::Location) if is_open => self.admit(
                destination,
                &LocationRequest {
                    variables,
                    length,
                    added: &added,
                    compression: &compression,
                },
            ),
            _ if is_open => end_phase(destination, variables).into(),
            _ => NextStep::error_page(Status::FORBIDDEN).into(),
        };
        let mut next = self.unless_failed(next);
        if let (Some(kept), NextStep::Respond(response)) = (&self.state.kept, &mut next) {
            kept.complete(response);
        }
        // Without the body the request is routed, and logged, again.
        let log = if matches!(next, NextStep::DiscardBody(_)) {
            None
        } else {
            logging::entry(destination.location, settings, variables)
        };
        RoutedRequest {
            next,
            expects_continue: request
                .header("expect")
                .is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue")),
            max_body,
            location: destination.location.into(),
            context: ResponsePlan {
                connection: self.response_connection(request),
                added,
                compression,
                log,
                page_type: settings.types.page_type.clone(),
            },
        }
    }

    /// Returns the endpoints that a proxy names, if the command line, or else these settings, trust
    /// the proxy.
    fn real_endpoints(&self, web: &WebSettings, request: &Request<'_>) -> Option<Endpoints> {
        let real_ip = self
            .snapshot
            .limits
            .real_ip
            .as_ref()
            .or(web.real_ip.as_ref())?;
        client_address::endpoints(real_ip, request)
    }

    /// Returns whether the peer may enter although some directives are not enforced here.
    fn passes(&self, gate: Gate, web: &WebSettings, peer: &Endpoints) -> bool {
        match gate {
            Gate::Open => true,
            Gate::Front => self.is_front(web, peer),
            Gate::Closed => false,
        }
    }

    /// Returns whether the peer is a proxy that is trusted to name its clients.
    fn is_front(&self, web: &WebSettings, peer: &Endpoints) -> bool {
        let real_ip = self
            .snapshot
            .limits
            .real_ip
            .as_ref()
            .or(web.real_ip.as_ref());
        real_ip.is_some_and(|real_ip| real_ip.trusts(&peer.remote_address))
    }

    /// Finds the server by the local address and the Host header.
    fn find_server(&self, request: &Request<'_>) -> &Arc<VirtualServer> {
        self.snapshot
            .listener
            .server(&request.endpoints.local_address, || {
                request.host().unwrap_or_default()
            })
    }

    fn response_connection(&self, request: &Request<'_>) -> ResponseContext {
        let accepts_requests = !self.shard.is_stopping() && !self.snapshot.is_closed();
        let keep_alive = request.keep_alive
            && accepts_requests
            && !self.snapshot.limits.keepalive_timeout.is_zero();
        ResponseContext {
            minor_version: request.framing_version(),
            keep_alive,
            is_head: request.method == "HEAD",
        }
    }
}

/// Responds as the rewrite phase has decided.
fn end_phase(destination: &Destination<'_>, variables: &RequestVariables<'_>) -> NextStep {
    let request = variables.request;
    match &destination.end {
        PhaseEnd::Return(directive) => {
            let types = &destination.settings.types;
            return_response::render(directive, request, types, variables)
                .map_or(NextStep::SendAndClose(Vec::new()), NextStep::Respond)
        }
        PhaseEnd::Redirect(status, address) => {
            NextStep::Respond(return_response::redirection(*status, address, request))
        }
        PhaseEnd::Error(status) => NextStep::Respond(return_response::error(status.0)),
        PhaseEnd::Location => NextStep::error_page(Status::NOT_FOUND),
    }
}

/// Looks for a static file, where the location has files.
fn find_file(settings: &LocationSettings, variables: &RequestVariables<'_>) -> NextStep {
    FileRequest::new(settings, variables.request, variables)
        .map_or_else(|| NextStep::error_page(Status::NOT_FOUND), NextStep::File)
}
