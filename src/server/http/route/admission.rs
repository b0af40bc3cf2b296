//! Admission: whether a request may enter its location. In the order of nginx: gates, access rules,
//! limits of the location, its hook; then the body of a subscriber is discarded.

use bytes::Bytes;

use super::rewriting::PhaseEnd;
use super::{Located, NextStep, RequestBody, Router, Waiting, return_response};
use crate::server::access::rules::{self, Access, Verdict};
use crate::server::config::expression::regex_pattern;
use crate::server::config::model::web::AuthRequest;
use crate::server::config::{Endpoint, LocationSettings, ProxySettings};
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{Response, ResponseContext, Status};
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::upstream::auth_request::AuthSubrequest;
use crate::server::http::upstream::hooks;
use crate::server::nchan::negotiation;
use crate::server::observe::limits_log::Limit;
use crate::server::push_stream;

/// Result of the admission of a request.
pub(super) enum Admission<'s> {
    /// It does not enter, or is answered already.
    Ended(NextStep),
    /// It enters its location, which has an endpoint.
    Endpoint,
    /// It is for a static file.
    Files,
    /// It is for a back-end.
    BackEnd(&'s ProxySettings),
}

impl<'s> Router<'s> {
    /// Decides about a request at its destination.
    pub(super) async fn admit<W: Waiting>(
        &self,
        located: &mut Located<'s>,
        request: &Request<'_>,
        waiting: &mut W,
    ) -> Result<Admission<'s>, W::Stop> {
        let destination = &located.destination;
        let web = &destination.settings.web;
        if regex_pattern::has_failure() || !self.passes(destination.gate, web, request.endpoints) {
            return Ok(Admission::error_page(Status::FORBIDDEN));
        }
        if !matches!(destination.end, PhaseEnd::Location) {
            return Ok(Admission::Ended(end_phase(located, request)));
        }
        if let Access::Denied(response) = self.check_access(located, request, waiting).await? {
            return Ok(Admission::Ended(NextStep::Respond(response)));
        }
        match located.destination.location {
            Some(location)
                if located.destination.limited.is_some()
                    && is_without_handler(location.endpoint()) =>
            {
                // Only nginx's static handler is left.
                Ok(match request.method {
                    "GET" | "HEAD" | "POST" => Admission::Files,
                    _ => Admission::error_page(Status::NOT_ALLOWED),
                })
            }
            Some(_) => self.enter_location(located, request, waiting).await,
            None if located.server.welcome => Ok(Admission::Ended(NextStep::Page(
                request.method.to_owned(),
                String::from_utf8_lossy(request.target).into_owned(),
            ))),
            None => Ok(Admission::Files),
        }
    }

    /// Applies the access rules, in nginx's order: addresses, passwords, `auth_request`.
    async fn check_access<W: Waiting>(
        &self,
        located: &mut Located<'s>,
        request: &Request<'_>,
        waiting: &mut W,
    ) -> Result<Access, W::Stop> {
        let web = located.access_settings();
        let mut verdict = Verdict::new(web.satisfy_any);
        let address = located.with(request, |variables| {
            rules::check_address(web, variables.request)
        });
        if let Some(access) = verdict.apply(address) {
            return Ok(access);
        }
        let password = located.with(request, |variables| {
            rules::check_password(web, variables.request, variables)
        });
        let password = match password {
            Ok(result) => result,
            Err(unchecked) => {
                waiting.begin().await?;
                if regex_pattern::has_failure() {
                    return Ok(Access::failed());
                }
                unchecked.check().await
            }
        };
        if let Some(access) = verdict.apply(password) {
            return Ok(access);
        }
        if let Some(settings) = &web.auth_request {
            waiting.begin().await?;
            let result = self.send_auth_request(settings, located, request).await;
            if let Some(access) = verdict.apply(result) {
                return Ok(access);
            }
        }
        Ok(verdict.end())
    }

    /// Sends the subrequest of `auth_request`, and sets its variables. They are set for rejected
    /// requests as well.
    async fn send_auth_request(
        &self,
        settings: &std::sync::Arc<AuthRequest>,
        located: &mut Located<'_>,
        request: &Request<'_>,
    ) -> rules::RuleResult {
        let subrequest = located.with(request, |variables| {
            AuthSubrequest::new(settings, variables)
        });
        if regex_pattern::has_failure() {
            return rules::RuleResult::Failed;
        }
        let result = subrequest.send(&self.snapshot.backend).await;
        let values = located.with(request, |variables| result.variables(variables));
        located.assign(values);
        rules::auth_request_result(result.status, result.challenge())
    }

    /// Checks the limits and the hook of a location, and discards the body of a subscriber.
    async fn enter_location<W: Waiting>(
        &self,
        located: &mut Located<'s>,
        request: &Request<'_>,
        waiting: &mut W,
    ) -> Result<Admission<'s>, W::Stop> {
        let settings = located.destination.settings;
        // A location without content has no static files either.
        let has_content = settings.endpoint.is_some() || settings.proxy.is_some();
        let gate = settings.web.content_gate;
        if has_content && !self.passes(gate, &settings.web, request.endpoints) {
            return Ok(Admission::error_page(Status::FORBIDDEN));
        }
        let max_body = self.max_body(settings);
        // The limit is that of a message; a batch has its own.
        if located
            .body
            .announced()
            .is_some_and(|length| length > max_body)
            && !push_stream::publish::is_batch(request, settings)
        {
            Limit::Body.log();
            let response = Response::error_page(Status(413)).closing();
            return Ok(Admission::Ended(NextStep::Respond(response)));
        }
        located.body.limit(max_body);
        if let Some(next) = self.authorize(located, request, waiting).await? {
            return Ok(Admission::Ended(next));
        }
        match (&settings.endpoint, &settings.proxy) {
            (Endpoint::None, Some(proxy)) => Ok(Admission::BackEnd(proxy)),
            (Endpoint::None, None) => Ok(Admission::Files),
            (endpoint, _) if is_follower(endpoint, request) => {
                let rejected = discard_body(located, waiting).await?;
                Ok(rejected.map_or(Admission::Endpoint, Admission::Ended))
            }
            _ => Ok(Admission::Endpoint),
        }
    }

    /// Calls the hook of the location about the request, if it has one (`nchan_authorize_request`).
    /// Returns what responds to a rejected request.
    async fn authorize<W: Waiting>(
        &self,
        located: &Located<'_>,
        request: &Request<'_>,
        waiting: &mut W,
    ) -> Result<Option<NextStep>, W::Stop> {
        let Endpoint::Nchan { roles, settings } = &located.destination.settings.endpoint else {
            return Ok(None);
        };
        let wanted = negotiation::requested_action(request, *roles);
        let Some(uri) = hooks::authorization_of(settings, wanted) else {
            return Ok(None);
        };
        waiting.begin().await?;
        let call = located.with(request, |variables| {
            hooks::build_authorization(uri, settings, variables, wanted)
        });
        if regex_pattern::has_failure() {
            return Ok(Some(NextStep::internal_error()));
        }
        let backend = &self.snapshot.backend;
        let response = backend.call_without_redirect(call, Bytes::new()).await;
        if matches!(&response, Ok(response) if (200..300).contains(&response.status)) {
            return Ok(None);
        }
        let rejection = hooks::rejection(wanted, response);
        Ok(Some(rejection.map_or(
            NextStep::SendAndClose(Vec::new()),
            NextStep::Respond,
        )))
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
}

impl Admission<'_> {
    fn error_page(status: Status) -> Self {
        Self::Ended(NextStep::error_page(status))
    }
}

/// Responds as the rewrite phase has decided.
fn end_phase(located: &Located<'_>, request: &Request<'_>) -> NextStep {
    let destination = &located.destination;
    located.with(request, |variables| match &destination.end {
        PhaseEnd::Return(directive) => {
            let types = &destination.settings.types;
            return_response::render(directive, variables.request, types, variables)
                .map_or(NextStep::SendAndClose(Vec::new()), NextStep::Respond)
        }
        PhaseEnd::Redirect(status, address) => NextStep::Respond(return_response::redirection(
            *status,
            address,
            variables.request,
        )),
        PhaseEnd::Error(status) => NextStep::Respond(return_response::error(status.0)),
        PhaseEnd::Location => NextStep::error_page(Status::NOT_FOUND),
    })
}

/// Returns whether nginx has no push handler for the methods that `limit_except` takes out of the
/// location. nchan keeps its own handler for them.
fn is_without_handler(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Statistics
        | Endpoint::Publisher { .. }
        | Endpoint::Subscriber(_)
        | Endpoint::NhpmPublisher(_)
        | Endpoint::NhpmSubscriber { .. } => true,
        Endpoint::None
        | Endpoint::Nchan { .. }
        | Endpoint::NchanGroup { .. }
        | Endpoint::NchanStubStatus
        | Endpoint::NchanSubscriberInfo(_) => false,
    }
}

/// Returns whether the request may make its connection follow, where a body has no place.
fn is_follower(endpoint: &Endpoint, request: &Request<'_>) -> bool {
    match endpoint {
        Endpoint::Subscriber(_) => true,
        Endpoint::NhpmSubscriber { .. }
        | Endpoint::Nchan { .. }
        | Endpoint::NchanSubscriberInfo(_) => request.method == "GET",
        _ => false,
    }
}

/// Reads and discards the body of a subscriber. Returns what responds to a rejected request.
async fn discard_body<W: Waiting>(
    located: &mut Located<'_>,
    waiting: &mut W,
) -> Result<Option<NextStep>, W::Stop> {
    let pending = match &located.body {
        RequestBody::Unread(pending) => *pending,
        RequestBody::Read(body) if body.is_empty() => return Ok(None),
        RequestBody::Read(_) => return Ok(Some(NextStep::internal_error())),
    };
    if matches!(pending.length, BodyLength::None | BodyLength::Bytes(0)) {
        return Ok(None);
    }
    if let Err(response) = waiting.read_body(pending).await? {
        let mut bytes = Vec::new();
        let connection = ResponseContext {
            minor_version: 1,
            keep_alive: false,
            is_head: false,
        };
        response.write(connection, &mut bytes);
        return Ok(Some(NextStep::SendAndClose(bytes)));
    }
    located.body = RequestBody::Read(Bytes::new());
    // A follower writes to the socket itself, so everything before it must have been written.
    waiting.begin().await?;
    Ok(None)
}
