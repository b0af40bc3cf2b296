//! Access checks: the step between the choice of a location and its response.

use super::pending_check::{Check, PendingCheck};
use super::rewriting::Destination;
use super::{LocationRequest, NextStep, Resolution, Router, find_file};
use crate::server::access::rules as access;
use crate::server::access::rules::Access;
use crate::server::config::{Endpoint, RewriteFrame, WebSettings};
use crate::server::exchange::response::Status;
use crate::server::exchange::variables::RequestVariables;
use crate::server::http::upstream::auth_request::AuthSubrequest;

/// The settings with the access rules for a request.
fn access_settings<'a>(destination: &Destination<'a>) -> &'a WebSettings {
    destination.limited.unwrap_or(&destination.settings.web)
}

impl Router<'_> {
    /// Sets the variables of `auth_request_set`, if that request was made in an earlier pass. They
    /// are set for rejected requests as well.
    pub(super) fn assign_auth_variables(
        &self,
        destination: &Destination<'_>,
        variables: &RequestVariables<'_>,
        frame: &mut RewriteFrame,
    ) {
        let Some(settings) = &access_settings(destination).auth_request else {
            return;
        };
        let Some(result) = self.state.auth_result(settings) else {
            return;
        };
        let values = result.variables(&RequestVariables {
            frame,
            ..*variables
        });
        for (slot, value) in values {
            frame.assign(slot, value);
        }
    }

    /// Checks whether the request may enter its location, or the files of the server, and passes it
    /// on.
    pub(super) fn admit(
        &self,
        destination: &Destination<'_>,
        incoming: &LocationRequest<'_>,
    ) -> Resolution {
        let variables = incoming.variables;
        let request = variables.request;
        match access::check(access_settings(destination), request, variables, self.state) {
            Access::Granted => {}
            Access::Denied(response) => return NextStep::Respond(response).into(),
            Access::CheckPassword(credentials) => {
                return self.check_first(Check::Password(credentials)).into();
            }
            Access::AuthRequest(settings) => {
                let subrequest = AuthSubrequest::new(&settings, variables);
                return self.check_first(Check::AuthRequest(subrequest)).into();
            }
        }
        let settings = destination.settings;
        match destination.location {
            Some(location)
                if destination.limited.is_some() && is_without_handler(location.endpoint) =>
            {
                // Only nginx's static handler is left.
                match request.method {
                    "GET" | "HEAD" | "POST" => find_file(settings, variables).into(),
                    _ => NextStep::error_page(Status::NOT_ALLOWED).into(),
                }
            }
            Some(location) => self.enter_location(location, settings, incoming),
            None if variables.server.welcome => NextStep::Page(
                request.method.to_owned(),
                String::from_utf8_lossy(request.target).into_owned(),
            )
            .into(),
            None => find_file(settings, variables).into(),
        }
    }

    /// Runs a check before the request is routed again.
    pub(super) fn check_first(&self, check: Check) -> NextStep {
        NextStep::Check(Box::new(PendingCheck {
            check,
            state: self.state.clone(),
        }))
    }
}

/// Returns whether nginx has no push handler for the methods that `limit_except` takes out of the
/// location. nchan keeps its own handler for them.
fn is_without_handler(endpoint: Endpoint) -> bool {
    match endpoint {
        Endpoint::Statistics
        | Endpoint::Publisher { .. }
        | Endpoint::Subscriber(_)
        | Endpoint::NhpmPublisher
        | Endpoint::NhpmSubscriber { .. } => true,
        Endpoint::None
        | Endpoint::Nchan(_)
        | Endpoint::NchanGroup(_)
        | Endpoint::NchanStubStatus
        | Endpoint::NchanSubscriberInfo => false,
    }
}
