//! Whether the hooks of a server lead somewhere: a hook that cannot work rejects every request,
//! which should show before that.

use super::super::{Location, RewriteStep, VirtualServer};
use super::parser::Block;
use super::{Report, names};

/// The directives that name a hook's location.
const HOOKS: [&str; 4] = [
    "nchan_authorize_request",
    "nchan_publisher_upstream_request",
    "nchan_subscribe_request",
    "nchan_unsubscribe_request",
];

/// Reports the hooks in the block of a server that no location can answer.
pub(super) fn check(block: &Block, server: &VirtualServer, report: &mut Report) {
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
        // What variables make of it is not known here.
        if path.contains(&b'$') {
            return;
        }
        let name = &directive.name;
        let shown = String::from_utf8_lossy(target);
        match server.locate(path) {
            None => report.unserve(
                directive,
                format!(
                    "\"{name} {shown}\" leads to no location: requests that need it are rejected"
                ),
            ),
            Some((location, _)) => {
                if let Some(reason) = problem(location) {
                    report.unserve(directive, format!("\"{name} {shown}\": {reason}"));
                }
            }
        }
    });
}

/// Why a location cannot answer a hook.
fn problem(location: &Location) -> Option<String> {
    if let Some(proxy) = &location.settings.proxy {
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
