//! Who may enter a location: the step between its choice and its answer.

use super::super::auth_request::Inquiry;
use super::super::decision::{Decision, Question};
use super::super::head::BodyLength;
use super::super::rewriting::Destination;
use super::super::web::{self, Access};
use super::{Next, Router, file};
use crate::server::compression::Compression;
use crate::server::config::web::AddedHeaders;
use crate::server::config::{Endpoint, RewriteFrame, WebSettings};
use crate::server::request::{Request, RequestVariables};
use crate::server::response::{Response, Status};

/// The settings that decide who may enter.
fn rules<'a>(destination: &Destination<'a>) -> &'a WebSettings {
    destination.limited.unwrap_or(&destination.settings.web)
}

impl Router<'_> {
    /// Sets the variables of `auth_request_set`, if that was asked already: also a rejected request
    /// has them.
    pub(super) fn assign_inquired(
        &self,
        destination: &Destination<'_>,
        variables: &RequestVariables<'_>,
        frame: &mut RewriteFrame,
    ) {
        let Some(settings) = &rules(destination).auth_request else {
            return;
        };
        let Some(result) = self.again.inquired(settings) else {
            return;
        };
        let values = result.variables(&RequestVariables {
            frame,
            ..*variables
        });
        values
            .into_iter()
            .for_each(|(slot, value)| frame.assign(slot, value));
    }

    /// The answer for a request that arrives at its location, or at the server's files.
    pub(super) fn admitted(
        &self,
        destination: &Destination<'_>,
        variables: &RequestVariables<'_>,
        (length, added, compression): (BodyLength, &AddedHeaders, &Compression),
    ) -> (Next, u64) {
        let request = variables.request;
        match web::access(rules(destination), request, variables, self.again) {
            Access::Granted => {}
            Access::Denied(response) => return (Next::Respond(response), 0),
            Access::Check(credentials) => return (self.decide(Question::Password(credentials)), 0),
            Access::Ask(settings) => {
                return (
                    self.decide(Question::AuthRequest(Inquiry::new(&settings, variables))),
                    0,
                );
            }
        }
        let settings = destination.settings;
        match destination.location {
            Some(location)
                if destination.limited.is_some() && is_without_handler(location.endpoint) =>
            {
                (without_handler(request, || file(settings, variables)), 0)
            }
            Some(location) => {
                self.located(location, settings, variables, (length, added, compression))
            }
            None if variables.server.welcome => (
                Next::Page(
                    request.method.to_owned(),
                    String::from_utf8_lossy(request.target).into_owned(),
                ),
                0,
            ),
            None => (file(settings, variables), 0),
        }
    }

    /// Something has to be found out first.
    pub(super) fn decide(&self, question: Question) -> Next {
        Next::Decide(Box::new(Decision {
            question,
            again: self.again.clone(),
        }))
    }
}

/// Whether nginx has no push handler for the methods that `limit_except` takes out. nchan sets its
/// own for them, too.
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

/// What nginx's static handler makes of a request.
fn without_handler(request: &Request<'_>, file: impl FnOnce() -> Next) -> Next {
    match request.method {
        "GET" | "HEAD" | "POST" => file(),
        _ => Next::Respond(Response::error_page(Status(405))),
    }
}
