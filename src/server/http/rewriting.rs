//! The rewrite phase of a request: finds its location, and runs `set`, `if`, `rewrite` and
//! `return`.
//!
//! As in nginx, the directives of the server run first, once. Then a location is searched and its
//! directives run, again after each `rewrite` that changes the URI. `route` runs the phase for
//! requests of clients, `hooks` and `auth_request` for subrequests.

use std::sync::Arc;

use crate::server::config::model::location::rewrite_phase;
use crate::server::config::model::web::Gate;
use crate::server::config::{
    Location, LocationSettings, Return, RewriteEnd, RewriteFrame, Variables, VirtualServer,
    WebSettings,
};
use crate::server::exchange::response::Status;
use crate::server::exchange::variables::RequestVariables;
use crate::server::nchan::variables::{NchanValues, NchanVariables};

/// Most changes of the URI; nginx takes more of them for a cycle.
const MAX_CHANGES: usize = 10;

/// A request before the phase.
pub(in crate::server) struct RewriteRequest<'a> {
    /// Its variables; their frame is replaced by that of the phase.
    pub(in crate::server) variables: RequestVariables<'a>,
    /// Values of nchan's variables, for the request of a hook.
    pub(in crate::server) values: Option<&'a NchanValues>,
    /// Method that `limit_except` checks.
    pub(in crate::server) method: &'a str,
    /// Returns whether it may enter an `internal` location with these settings without a rewrite.
    pub(in crate::server) may_enter_internal: &'a dyn Fn(&WebSettings) -> bool,
    /// Length of its body, if it is announced.
    pub(in crate::server) body_bytes: Option<u64>,
    /// Largest body; `None` for the limits of the locations.
    pub(in crate::server) max_body_bytes: Option<u64>,
}

/// Destination of a request after the phase, as long as the configuration of its server lives.
pub(in crate::server) struct Destination<'s> {
    /// The location; `None` if the server has none for the request.
    pub(in crate::server) location: Option<&'s Location>,
    /// Its settings, or those of an `if` in it, or of the server.
    pub(in crate::server) settings: &'s Arc<LocationSettings>,
    /// Access rules of `limit_except`, if it has taken the request out of the location.
    pub(in crate::server) limited: Option<&'s WebSettings>,
    /// Which clients are served although directives of the phase are not enforced, here or in a
    /// location before.
    pub(in crate::server) gate: Gate,
    /// What responds.
    pub(in crate::server) end: PhaseEnd<'s>,
}

/// What responds to a request after the phase.
pub(in crate::server) enum PhaseEnd<'a> {
    /// The location.
    Location,
    /// A `return`.
    Return(&'a Return),
    /// A `rewrite` to another address.
    Redirect(u16, Vec<u8>),
    /// An error.
    Error(Status),
}

/// Result of the directives of a location for a request that stays there.
struct LocationVisit<'a> {
    settings: &'a Arc<LocationSettings>,
    limited: Option<&'a WebSettings>,
    end: PhaseEnd<'a>,
}

impl RewriteRequest<'_> {
    /// Runs the phase in the server of the request. Assigned variables, captures and the rewritten
    /// URI are in `frame`.
    pub(in crate::server) fn run<'s>(
        &self,
        server: &'s VirtualServer,
        frame: &mut RewriteFrame,
    ) -> Destination<'s> {
        let web = &server.settings.web;
        // The directives of the server apply to the client's request, not to those of its hooks.
        let steps = if self.values.is_some() {
            &[]
        } else {
            &server.steps[..]
        };
        let outcome =
            self.with_settings(web, |variables| rewrite_phase::run(steps, variables, frame));
        let destination = Destination {
            location: None,
            settings: outcome.settings.unwrap_or(&server.settings),
            limited: None,
            gate: web.answer_gate,
            end: PhaseEnd::Location,
        };
        // A location is searched whether the URI has changed or not.
        match phase_end(outcome.end) {
            Some(end) => Destination { end, ..destination },
            None => self.find_location(server, destination, frame),
        }
    }

    /// Searches a location, again after each change of the URI. `start` is the destination of a
    /// request without a location.
    fn find_location<'s>(
        &self,
        server: &'s VirtualServer,
        start: Destination<'s>,
        frame: &mut RewriteFrame,
    ) -> Destination<'s> {
        let mut destination = start;
        for _ in 0..=MAX_CHANGES {
            let path = frame
                .uri
                .as_ref()
                .map_or(&self.variables.request.path[..], |uri| &uri.path);
            let Some((location, captures)) = server.locate(path) else {
                return destination;
            };
            destination.settings = &server.settings;
            if let Some(captures) = captures {
                frame.record_match(captures);
            }
            destination.gate = destination.gate.max(location.settings.web.answer_gate);
            if let Some(visit) = self.visit(location, frame) {
                return Destination {
                    location: Some(location),
                    settings: visit.settings,
                    limited: visit.limited,
                    gate: destination.gate,
                    end: visit.end,
                };
            }
        }
        tracing::debug!("rewrite cycle between locations, responding with 500");
        Destination {
            end: PhaseEnd::Error(Status::INTERNAL),
            ..destination
        }
    }

    /// Runs the directives of a location; `None` if they have changed the URI.
    fn visit<'s>(
        &self,
        location: &'s Location,
        frame: &mut RewriteFrame,
    ) -> Option<LocationVisit<'s>> {
        let visit = |settings, end| {
            Some(LocationVisit {
                settings,
                limited: None,
                end,
            })
        };
        let own = &location.settings;
        if own.web.internal && !frame.is_internal && !(self.may_enter_internal)(&own.web) {
            return visit(own, PhaseEnd::Error(Status::NOT_FOUND));
        }
        if let Some(limited) = own.web.limited(self.method) {
            return Some(LocationVisit {
                settings: own,
                limited: Some(limited),
                end: PhaseEnd::Location,
            });
        }
        let choice = self.with_settings(&own.web, |variables| location.choose(variables, frame));
        let max = self.max_body_bytes.unwrap_or(own.client_max_body_size);
        let is_too_large = max > 0 && self.body_bytes.is_some_and(|bytes| bytes > max);
        match choice.end {
            // The location checks the length of the body itself.
            RewriteEnd::Content => visit(choice.settings, PhaseEnd::Location),
            _ if is_too_large => visit(own, PhaseEnd::Error(Status(413))),
            RewriteEnd::Search => None,
            end => visit(choice.settings, phase_end(end)?),
        }
    }

    /// Calls `work` with the variables under these settings.
    fn with_settings<T>(&self, web: &WebSettings, work: impl FnOnce(&dyn Variables) -> T) -> T {
        let variables = self.variables.in_location(web);
        match self.values {
            Some(values) => work(&NchanVariables {
                request: &variables,
                values,
            }),
            None => work(&variables),
        }
    }
}

/// Returns what responds, if the phase has decided that.
fn phase_end(end: RewriteEnd<'_>) -> Option<PhaseEnd<'_>> {
    match end {
        RewriteEnd::Content | RewriteEnd::Search => None,
        RewriteEnd::Return(answer) => Some(PhaseEnd::Return(answer)),
        RewriteEnd::Redirect { status, address } => Some(PhaseEnd::Redirect(status, address)),
        RewriteEnd::NoUri => Some(PhaseEnd::Error(Status::INTERNAL)),
    }
}
