//! The rewrite phase of a request: which location its URI leads to, and what `set`, `if`, `rewrite`
//! and `return` make of it on the way.
//!
//! As in nginx: the server's directives come first, once; then a location is searched and its
//! directives are taken, again for each `rewrite` that changes the URI. Called for requests of
//! clients (`route`) and for those about them (`hooks`, `auth_request`).

use std::sync::Arc;

use crate::server::config::rewrite_phase;
use crate::server::config::web::Gate;
use crate::server::config::{
    Location, LocationSettings, Return, RewriteEnd, RewriteFrame, Variables, WebSettings,
};
use crate::server::dialect::nchan::variables::{NchanValues, NchanVariables};
use crate::server::request::RequestVariables;
use crate::server::response::Status;

/// Most changes of the URI; with one more nginx takes it for a cycle.
const MAX_CHANGES: usize = 10;

/// A request before the phase.
pub(super) struct Start<'a> {
    /// Its variables; the frame is that of the phase.
    pub(super) variables: RequestVariables<'a>,
    /// Those of nchan, for a request of a hook.
    pub(super) values: Option<&'a NchanValues>,
    /// The method that `limit_except` sees.
    pub(super) method: &'a str,
    /// Whether it may enter an `internal` location with these settings before it was rewritten.
    pub(super) may_enter_internal: &'a dyn Fn(&WebSettings) -> bool,
    /// Bytes of its body, if they are known.
    pub(super) body_bytes: Option<u64>,
    /// Most bytes of a body; `None` = the locations say.
    pub(super) max_body_bytes: Option<u64>,
}

/// Where a request has arrived.
pub(super) struct Destination<'a> {
    /// The location; `None` = the server has none for it.
    pub(super) location: Option<&'a Location>,
    /// Its settings, or those of an `if` in it, or of the server.
    pub(super) settings: &'a Arc<LocationSettings>,
    /// The settings that decide who may enter, if `limit_except` has taken the request out of the
    /// location.
    pub(super) limited: Option<&'a WebSettings>,
    /// Who may be answered in spite of directives of the phase that are not enforced, here or on
    /// the way.
    pub(super) gate: Gate,
    /// What answers.
    pub(super) end: Answering<'a>,
}

/// What answers a request.
pub(super) enum Answering<'a> {
    /// The location.
    Location,
    /// A `return`.
    Return(&'a Return),
    /// A `rewrite` to another address.
    Redirect(u16, Vec<u8>),
    /// An error.
    Error(Status),
}

/// What a location makes of a request that stays there.
struct Visit<'a> {
    settings: &'a Arc<LocationSettings>,
    limited: Option<&'a WebSettings>,
    end: Answering<'a>,
}

impl<'a> Start<'a> {
    /// Takes the phase; what it sets, captures and rewrites is in `frame`.
    pub(super) fn walk(&self, frame: &mut RewriteFrame) -> Destination<'a> {
        let server = self.variables.server;
        let settings = &server.settings;
        // What the server says about the client's request is not said about those of its hooks.
        let steps = if self.values.is_some() {
            &[]
        } else {
            &server.steps[..]
        };
        let outcome = self.with_settings(&settings.web, |variables| {
            rewrite_phase::run(steps, variables, frame)
        });
        let mut gate = settings.web.answer_gate;
        let mut settings = outcome.settings.unwrap_or(settings);
        // The URI is searched whether it has changed or not.
        if let Some(end) = answering(outcome.end) {
            return Destination {
                location: None,
                settings,
                limited: None,
                gate,
                end,
            };
        }
        for _ in 0..=MAX_CHANGES {
            let path = frame
                .uri
                .as_ref()
                .map_or(&self.variables.request.path[..], |uri| &uri.path);
            let Some((location, captures)) = server.locate(path) else {
                return Destination {
                    location: None,
                    settings,
                    limited: None,
                    gate,
                    end: Answering::Location,
                };
            };
            settings = &server.settings;
            if let Some(captures) = captures {
                frame.record_match(captures);
            }
            gate = gate.max(location.settings.web.answer_gate);
            if let Some(Visit {
                settings,
                limited,
                end,
            }) = self.visit(location, frame)
            {
                return Destination {
                    location: Some(location),
                    settings,
                    limited,
                    gate,
                    end,
                };
            }
        }
        tracing::debug!(
            "rewrites lead from location to location without an end: answered with 500"
        );
        Destination {
            location: None,
            settings,
            limited: None,
            gate,
            end: Answering::Error(Status::INTERNAL),
        }
    }

    /// Takes the directives of a location; `None` = the URI has changed.
    fn visit(&self, location: &'a Location, frame: &mut RewriteFrame) -> Option<Visit<'a>> {
        let visit = |settings, end| {
            Some(Visit {
                settings,
                limited: None,
                end,
            })
        };
        let own = &location.settings;
        if own.web.internal && !frame.is_internal && !(self.may_enter_internal)(&own.web) {
            return visit(own, Answering::Error(Status::NOT_FOUND));
        }
        if let Some(limited) = own.web.limited(self.method) {
            return Some(Visit {
                settings: own,
                limited: Some(limited),
                end: Answering::Location,
            });
        }
        let choice = self.with_settings(&own.web, |variables| location.choose(variables, frame));
        let most = self.max_body_bytes.unwrap_or(own.client_max_body_size);
        let is_too_large = most > 0 && self.body_bytes.is_some_and(|bytes| bytes > most);
        match choice.end {
            // What the location does with large bodies is its own business.
            RewriteEnd::Content => visit(choice.settings, Answering::Location),
            _ if is_too_large => visit(own, Answering::Error(Status(413))),
            RewriteEnd::Search => None,
            end => visit(choice.settings, answering(end)?),
        }
    }

    /// Lets `work` see the variables as they are under these settings.
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

/// What answers, if the phase has decided that.
fn answering(end: RewriteEnd<'_>) -> Option<Answering<'_>> {
    match end {
        RewriteEnd::Content | RewriteEnd::Search => None,
        RewriteEnd::Return(answer) => Some(Answering::Return(answer)),
        RewriteEnd::Redirect { status, address } => Some(Answering::Redirect(status, address)),
        RewriteEnd::NoUri => Some(Answering::Error(Status::INTERNAL)),
    }
}
