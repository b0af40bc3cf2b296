//! Checks that the hooks of a server refer to usable locations: a hook without one rejects every
//! request, which should show at the start.

use crate::server::config::source::nginx::names;
use crate::server::config::source::nginx::parser::Block;
use crate::server::config::source::nginx::report::Report;
use crate::server::config::{Location, RewriteStep, VirtualServer};

/// The directives that name a hook's location.
const HOOKS: [&str; 4] = [
    "nchan_authorize_request",
    "nchan_publisher_upstream_request",
    "nchan_subscribe_request",
    "nchan_unsubscribe_request",
];

/// Reports the hooks in the block of a server without a usable location.
pub(in crate::server) fn check(block: &Block, server: &VirtualServer, report: &mut Report) {
    names::visit(&block.directives, &mut |directive| {
        let Some(target) = directive
            .arguments
            .first()
            .filter(|_| HOOKS.contains(&directive.name.as_str()))
        else {
            return;
        };
        let path = target
            .split(|byte| *byte == b'?')
            .next()
            .unwrap_or_default();
        // Variables have values at run time only.
        if path.contains(&b'$') {
            return;
        }
        let name = &directive.name;
        let shown = String::from_utf8_lossy(target);
        match server.locate(path) {
            None => report.mark_unsupported(
                directive,
                format!(
                    "\"{name} {shown}\" leads to no location: requests that need it are rejected"
                ),
            ),
            Some((location, _)) => {
                if let Some(reason) = problem(location) {
                    report.mark_unsupported(directive, format!("\"{name} {shown}\": {reason}"));
                }
            }
        }
    });
}

/// Why a location cannot handle a hook; `None` if it can.
fn problem(location: &Location) -> Option<String> {
    if let Some(proxy) = location.endpoint().back_end() {
        let reason = proxy.unsupported.as_ref()?;
        return Some(format!(
            "{reason} is not supported for back-ends: requests that need it are answered with 503"
        ));
    }
    let has_answer = location
        .steps
        .iter()
        .any(|step| !matches!(step, RewriteStep::Set { .. }));
    let text = "the location has neither \"proxy_pass\" nor \"return\": requests that need it are \
                rejected";
    (!has_answer).then(|| text.to_owned())
}
