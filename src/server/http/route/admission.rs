//! Admission: whether a request may enter its location. In the order of nginx: gates, access rules,
//! limits of the location, its hook; then the body of a subscriber is discarded.

use std::sync::Arc;

use bytes::Bytes;

use super::visit::{Entrance, Visit};
use super::{LastReply, NextStep, RequestBody, Waiting};
use crate::server::access::grant::Grant;
use crate::server::access::rules::{self, Access, Verdict};
use crate::server::config::Endpoint;
use crate::server::config::expression::regex_pattern;
use crate::server::config::model::web::AuthRequest;
use crate::server::exchange::request::Request;
use crate::server::exchange::response::{Response, Status};
use crate::server::http::h1::headers::BodyLength;
use crate::server::http::return_response;
use crate::server::http::rewriting::PhaseEnd;
use crate::server::http::upstream::auth_request::AuthSubrequest;
use crate::server::http::upstream::hooks;
use crate::server::nchan::{cors, negotiation};
use crate::server::observe::limits_log::Limit;
use crate::server::push_stream;

impl<'s, W: Waiting> Visit<'_, 's, W> {
    /// Decides about a request at its destination.
    pub(super) async fn admit(&mut self) -> Result<Entrance<'s>, W::Stop> {
        let destination = &self.located.destination;
        let web = &destination.settings.web;
        if regex_pattern::has_failure()
            || !self
                .router
                .passes(destination.gate, web, self.request.endpoints)
        {
            return Ok(Entrance::error_page(Status::FORBIDDEN));
        }
        if !matches!(destination.end, PhaseEnd::Location) {
            return Ok(Entrance::Ended(self.end_phase()));
        }
        if let Access::Denied(response) = self.check_access().await? {
            return Ok(Entrance::Ended(NextStep::Respond(response)));
        }
        match self.located.destination.location {
            Some(location)
                if self.located.destination.limited.is_some()
                    && is_without_handler(location.endpoint()) =>
            {
                // Only nginx's static handler is left.
                Ok(match self.request.method {
                    "GET" | "HEAD" | "POST" => Entrance::Files,
                    _ => Entrance::error_page(Status::NOT_ALLOWED),
                })
            }
            Some(_) => self.enter_location().await,
            None if self.located.server.welcome => Ok(Entrance::Ended(NextStep::Page(
                self.request.method.to_owned(),
                String::from_utf8_lossy(self.request.target).into_owned(),
            ))),
            None => Ok(Entrance::Files),
        }
    }

    /// Applies the access rules, in nginx's order: addresses, passwords, `auth_request`.
    async fn check_access(&mut self) -> Result<Access, W::Stop> {
        let web = self.located.access_settings();
        let mut verdict = Verdict::new(web.satisfy_any);
        if !web.has_access_rules() {
            return Ok(Access::Granted);
        }
        let address = self.with(|variables| rules::check_address(web, variables.request));
        if let Some(access) = verdict.apply(address) {
            return Ok(access);
        }
        let password =
            self.with(|variables| rules::check_password(web, variables.request, variables));
        let password = match password {
            Ok(result) => result,
            Err(unchecked) => {
                self.waiting.begin().await?;
                if self.has_failing_header() {
                    return Ok(Access::failed());
                }
                unchecked.check().await
            }
        };
        if let Some(access) = verdict.apply(password) {
            return Ok(access);
        }
        if let Some(settings) = &web.auth_request {
            self.waiting.begin().await?;
            let result = self.send_auth_request(settings).await;
            if let Some(access) = verdict.apply(result) {
                return Ok(access);
            }
        }
        Ok(verdict.end())
    }

    /// Sends the subrequest of `auth_request`, and sets its variables. They are set for rejected
    /// requests as well.
    async fn send_auth_request(&mut self, settings: &Arc<AuthRequest>) -> rules::RuleResult {
        let subrequest = self.with(|variables| AuthSubrequest::new(settings, variables));
        if self.has_failing_header() {
            return rules::RuleResult::Failed;
        }
        let result = subrequest.send(&self.router.snapshot.backend).await;
        let values = self.with(|variables| result.variables(variables));
        self.located.assign(values);
        rules::auth_request_result(result.status, result.challenge())
    }

    /// Checks the limits and the hook of a location, and discards the body of a subscriber.
    async fn enter_location(&mut self) -> Result<Entrance<'s>, W::Stop> {
        let settings = self.located.destination.settings;
        // A location without content has no static files either.
        let has_content = !matches!(settings.endpoint, Endpoint::None);
        let gate = settings.web.content_gate;
        if has_content
            && !self
                .router
                .passes(gate, &settings.web, self.request.endpoints)
        {
            return Ok(Entrance::error_page(Status::FORBIDDEN));
        }
        let max_body = self.router.max_body(settings);
        // The limit is that of a message; a batch has its own.
        if self
            .located
            .body
            .announced()
            .is_some_and(|length| length > max_body)
            && !push_stream::publish::is_batch(self.request, settings)
        {
            Limit::Body.log();
            let response = Response::error_page(Status(413)).closing();
            return Ok(Entrance::Ended(NextStep::Respond(response)));
        }
        self.located.body.limit(max_body);
        if let Some(next) = self.authorize().await? {
            return Ok(Entrance::Ended(next));
        }
        match &settings.endpoint {
            Endpoint::BackEnd(proxy) => Ok(Entrance::BackEnd(proxy)),
            Endpoint::None => Ok(Entrance::Files),
            endpoint if is_follower(endpoint, self.request) => {
                let rejected = self.discard_body().await?;
                Ok(rejected.map_or_else(|| self.grant(), Entrance::Ended))
            }
            _ => Ok(self.grant()),
        }
    }

    /// Calls the hook of the location about the request, if it has one (`nchan_authorize_request`).
    /// Returns what responds to a rejected request.
    async fn authorize(&mut self) -> Result<Option<NextStep>, W::Stop> {
        let Endpoint::Nchan { roles, settings } = &self.located.destination.settings.endpoint
        else {
            return Ok(None);
        };
        let wanted = negotiation::requested_action(self.request, *roles);
        let Some(uri) = hooks::authorization_of(settings, wanted) else {
            return Ok(None);
        };
        self.waiting.begin().await?;
        let call =
            self.with(|variables| hooks::build_authorization(uri, settings, variables, wanted));
        if self.has_failing_header() {
            return Ok(Some(NextStep::internal_error()));
        }
        let backend = &self.router.snapshot.backend;
        let response = backend.call_without_redirect(call, Bytes::new()).await;
        if matches!(&response, Ok(response) if (200..300).contains(&response.status)) {
            return Ok(None);
        }
        let rejection = hooks::rejection(wanted, response);
        Ok(Some(rejection.map_or(
            NextStep::Close(LastReply::None),
            NextStep::Respond,
        )))
    }

    /// Lets the request enter its endpoint, with what it may do there.
    fn grant(&self) -> Entrance<'s> {
        let settings = self.located.destination.settings;
        let grant = Grant::at(settings);
        let is_foreign_page = match &settings.endpoint {
            Endpoint::Nchan { settings, .. }
            | Endpoint::NchanGroup { settings, .. }
            | Endpoint::NchanSubscriberInfo(settings) => {
                self.with(|variables| cors::of_request(settings, variables).is_rejected)
            }
            _ => false,
        };
        Entrance::Endpoint(grant.of_page(!is_foreign_page))
    }

    /// Responds as the rewrite phase has decided.
    fn end_phase(&self) -> NextStep {
        let destination = &self.located.destination;
        self.with(|variables| match &destination.end {
            PhaseEnd::Return(directive) => {
                let types = &destination.settings.types;
                return_response::render(directive, variables.request, types, variables)
                    .map_or(NextStep::Close(LastReply::None), NextStep::Respond)
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

    /// Reads and discards the body of a subscriber. Returns what responds to a rejected request.
    async fn discard_body(&mut self) -> Result<Option<NextStep>, W::Stop> {
        let pending = match &self.located.body {
            RequestBody::Unread(pending) => *pending,
            RequestBody::Read(body) if body.is_empty() => return Ok(None),
            RequestBody::Read(_) => return Ok(Some(NextStep::internal_error())),
        };
        if matches!(pending.length, BodyLength::None | BodyLength::Bytes(0)) {
            return Ok(None);
        }
        if let Err(response) = self.waiting.read_body(pending).await? {
            return Ok(Some(NextStep::Close(LastReply::Response(response))));
        }
        self.located.body = RequestBody::Read(Bytes::new());
        // A follower writes to the socket itself, so everything before it must have been written.
        self.waiting.begin().await?;
        Ok(None)
    }
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
        | Endpoint::BackEnd(_)
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
