//! Routing: from a request to the next step of its connection.
//!
//! 1. `located`: the server is found by address and name, the location by path, and its settings by
//!    conditions (`rewriting`).
//! 2. `visit`, `admission`: access rules, limits and hooks decide whether the request may enter.
//! 3. `location`, `subscribing`: its endpoint decides; or `content`: files, or a back-end, which
//!    may redirect it to another location.
//!
//! All functions are generic over how they wait (`waiting`).

mod admission;
mod content;
mod failed_search;
mod located;
mod location;
mod logging;
mod next_step;
mod subscribing;
mod visit;
mod waiting;
mod waiting_request;

use std::rc::Rc;
use std::sync::Arc;

pub(super) use located::{Located, RedirectCause, Redirection};
pub(super) use next_step::{
    FollowPlan, LastReply, NextStep, PendingBody, RequestBody, ResponsePlan, RoutedRequest,
};
pub(super) use waiting::{MustWait, NoWaiting, Waiting};
pub(super) use waiting_request::WaitingRequest;

use self::visit::Visit;
use super::listen::listener_snapshot::ListenerSnapshot;
use crate::server::access::client_address;
use crate::server::access::grant::Grant;
use crate::server::config::expression::regex_pattern;
use crate::server::config::model::web::Gate;
use crate::server::config::{LocationSettings, VirtualServer, WebSettings};
use crate::server::exchange::compression::Compression;
use crate::server::exchange::request::{Endpoints, Request};
use crate::server::exchange::response::{AddedHeaders, ResponseContext};
use crate::server::exchange::variables::RequestVariables;
use crate::server::fanout::{ConnectionKey, Outlet, Shard};

/// Most internal redirects of a request; as nginx, it takes more of them for a cycle.
const MAX_REDIRECTS: usize = 10;

/// The parts of a connection that routing needs.
pub(super) struct Router<'s> {
    pub(super) snapshot: &'s ListenerSnapshot,
    pub(super) shard: Shard,
    pub(super) key: ConnectionKey,
    pub(super) outlet: Rc<Outlet>,
    /// Number of this request on its connection.
    pub(super) requests: u64,
    /// The request is cached if it is a poll.
    pub(super) caches_polls: bool,
}

/// What responds to a request after its admission.
enum Responder {
    /// Routing itself, with this step.
    Router(NextStep),
    /// The endpoint of the location, with this grant.
    Endpoint(Grant),
}

/// A request at an endpoint.
struct EndpointRequest<'a> {
    variables: &'a RequestVariables<'a>,
    grant: Grant,
    added: &'a AddedHeaders,
    compression: &'a Compression,
}

impl<'s> Router<'s> {
    /// Routes a located request, and follows its internal redirects. An accepted subscriber is
    /// attached as a follower.
    pub(super) async fn route<W: Waiting>(
        &self,
        located: &mut Located<'s>,
        request: &Request<'_>,
        waiting: &mut W,
    ) -> Result<RoutedRequest, W::Stop> {
        for _ in 0..=MAX_REDIRECTS {
            let mut visit = Visit {
                router: self,
                located: &mut *located,
                request,
                waiting: &mut *waiting,
            };
            match visit.respond().await? {
                Ok(routed) => return Ok(routed),
                Err(redirection) => {
                    *located = self.locate_redirected(request, redirection, located);
                }
            }
        }
        tracing::debug!("redirection cycle between locations, responding with 500");
        let next = NextStep::internal_error();
        Ok(self.complete(located, request, None, Responder::Router(next)))
    }

    /// Lets the endpoint respond, and determines what completes the response. `added` are header
    /// lines that replace those of the location.
    fn complete(
        &self,
        located: &Located<'_>,
        request: &Request<'_>,
        added: Option<AddedHeaders>,
        responder: Responder,
    ) -> RoutedRequest {
        let settings = located.destination.settings;
        located.with(request, |variables| {
            let mut added = match added {
                Some(added) => added,
                None => AddedHeaders::of(&settings.web, variables),
            };
            if let Some(kept) = located.kept() {
                kept.add_to(&mut added);
            }
            let compression = Compression::for_request(settings.gzip.as_ref(), variables.request);
            let next = match responder {
                Responder::Router(next) => next,
                Responder::Endpoint(_) if regex_pattern::has_failure() => {
                    NextStep::internal_error()
                }
                Responder::Endpoint(grant) => {
                    let incoming = EndpointRequest {
                        variables,
                        grant,
                        added: &added,
                        compression: &compression,
                    };
                    self.enter_endpoint(settings, &incoming)
                }
            };
            let mut next = failed_search::unless_failed(self, next);
            if let (Some(kept), NextStep::Respond(response)) = (located.kept(), &mut next) {
                kept.complete(response);
            }
            let location = located.destination.location;
            // A request that enters its endpoint again is logged then.
            let is_logged = !matches!(next, NextStep::Open(..));
            let log = is_logged
                .then(|| logging::entry(settings, variables, located.began))
                .flatten();
            RoutedRequest {
                next,
                body: located.body.clone(),
                location: location.into(),
                context: ResponsePlan {
                    connection: self.response_connection(variables.request),
                    added,
                    compression,
                    log,
                    page_type: settings.types.page_type.clone(),
                },
            }
        })
    }

    /// Returns the endpoints that a proxy names, if the command line, or else these settings, trust
    /// the proxy.
    fn named_client(&self, web: &WebSettings, request: &Request<'_>) -> Option<Endpoints> {
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
    fn find_server(&self, request: &Request<'_>) -> &'s Arc<VirtualServer> {
        self.snapshot
            .listener
            .server(&request.endpoints.local_address, || {
                request.host().unwrap_or_default()
            })
    }

    /// Largest body at a location.
    pub(super) fn max_body(&self, settings: &LocationSettings) -> u64 {
        let limits = &self.snapshot.limits;
        match limits
            .max_body_bytes
            .unwrap_or(settings.client_max_body_size)
        {
            0 => self.shard.broker().settings().shared_memory_size,
            max => max,
        }
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
