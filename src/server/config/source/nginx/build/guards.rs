//! Guards: directives that may restrict access to a push location and that pushctl does not
//! enforce. A push location with a guard is a mistake, unless the front, an nginx that forwards
//! requests to pushctl, enforces it.

use super::Builder;
use super::channels;
use super::inner_block::InnerBlock;
use crate::server::config::VariableNames;
use crate::server::config::model::web::{Gate, WebSettings};
use crate::server::config::source::nginx::channel_directive::ChannelDirective;
use crate::server::config::source::nginx::classes::{Class, GuardKind, class};
use crate::server::config::source::nginx::directives;
use crate::server::config::source::nginx::files::SourcePlace;
use crate::server::config::source::nginx::guard_directive::{
    GuardDirective, NOT_ENFORCED, named, of_variable,
};
use crate::server::config::source::nginx::levels::{Level, Scope};
use crate::server::config::source::nginx::listen::Listen;
use crate::server::config::source::nginx::names;
use crate::server::config::source::nginx::parser::{Block, Directive};

/// The guards in an `if` block. They count as guards of the enclosing block: a condition that
/// pushctl evaluates must not decide whether a request has to come from the front.
pub(in crate::server) fn of_if(block: &Block, names: &VariableNames) -> Vec<GuardDirective> {
    let mut guards = Vec::new();
    for directive in &block.directives {
        let is_ruled = directives::rule(&directive.name).is_some();
        if let Some(variable) = names::unavailable(directive, names)
            .filter(|_| is_ruled && !names::only_outputs(&directive.name))
        {
            guards.push(of_variable(&variable, names, directive.place));
        }
        if directive.name == NOT_ENFORCED {
            guards.extend(
                directive
                    .arguments
                    .iter()
                    .map(|name| named(name, directive.place)),
            );
        } else if let (Class::Guard(guard), false) = (class(directive), is_ruled) {
            guards.push(GuardDirective::new(&directive.name, guard, directive.place));
        }
    }
    guards
}

/// Reports a variable without a value in a directive: one that only outputs the variable
/// outputs an empty text, any other one is a guard.
pub(in crate::server) fn add_unavailable_variable(
    builder: &Builder<'_>,
    directive: &Directive,
    scope: &mut Scope,
) {
    let Some(variable) = names::unavailable(directive, &builder.names) else {
        if let Some(variable) = names::of_response(directive, &builder.names) {
            let reason =
                "depends on the response, which is not known yet when pushctl adds headers";
            scope.notices.push(format!(
                "variable \"${variable}\" {reason}: it has no value in \"add_header\""
            ));
        }
        return;
    };
    match directive.name.as_str() {
        "map" => {}
        name if names::only_outputs(name) => {
            scope.notices.push(format!(
                "variable \"${variable}\" has no value in pushctl: it is empty in \"{name}\""
            ));
        }
        _ => scope
            .level
            .guards
            .push(of_variable(&variable, &builder.names, directive.place)),
    }
}

/// Adds the guards and the channels in the `if` blocks of a server, and the guards of the
/// addresses that it listens on.
pub(in crate::server) fn add_server_guards(
    builder: &Builder<'_>,
    level: &mut Level,
    blocks: &[InnerBlock<'_>],
    listens: &[Listen],
    place: SourcePlace,
) {
    let ifs = blocks.iter().filter(|inner| inner.name == "if");
    level
        .guards
        .extend(ifs.flat_map(|inner| of_if(inner.block, &builder.names)));
    level
        .channel_directives
        .extend(channels::channels_of_ifs(builder, blocks));
    if listens
        .iter()
        .any(|listen| builder.proxy_protocol.contains(&listen.address))
    {
        level.guards.push(GuardDirective::new(
            "proxy_protocol",
            GuardKind::Address,
            place,
        ));
    }
}

/// Whether the front evaluates a condition, because a variable in it has no value here.
pub(in crate::server) fn is_left_to_front(
    builder: &Builder<'_>,
    condition: &Directive,
    level: &Level,
) -> bool {
    names::unavailable(condition, &builder.names)
        .is_some_and(|variable| front_enforces(builder, level, &variable))
}

/// Sets which requests a location accepts because of its guards. Guards of a push location that
/// the front does not enforce are mistakes, and so are `channels`, which it cannot enforce.
pub(in crate::server) fn settle_guards(
    builder: &mut Builder<'_>,
    level: &mut Level,
    channels: &[ChannelDirective],
    is_push: bool,
    location: SourcePlace,
) {
    let mut content = Gate::Open;
    let mut answers = Gate::Open;
    for guard in &level.guards {
        let is_waived = front_enforces(builder, level, &guard.name);
        let gate = if is_waived { Gate::Front } else { Gate::Closed };
        content = content.max(gate);
        if guard.guard.precedes_return() {
            answers = answers.max(gate);
        }
        if is_waived && is_push {
            builder.report.left_to_front(guard.place, &guard.name);
        } else if is_push && !channels.iter().any(|channel| channel.is_guard(guard)) {
            builder
                .report
                .guard(guard.place, location, rejection(guard));
        }
    }
    let is_entered_from_front =
        level.internal == Some(true) && front_enforces(builder, level, "internal");
    if is_entered_from_front && is_push {
        builder.report.left_to_front(location, "internal");
    } else if level.internal == Some(true) && is_push {
        let text = "\"internal\": requests to this location get 404 unless pushctl itself \
                    redirects them; \
                    to let nginx in front redirect them, start with --front-enforces internal";
        builder.report.notice(location, text);
    }
    if is_push
        && (content == Gate::Front || is_entered_from_front)
        && level.real_ip_from.is_none()
        && !builder.options.has_front_address
    {
        let text = "every request to this location is rejected: set the address of the front \
                    with set_real_ip_from or --real-ip-from";
        builder.report.notice(location, text);
    }
    for channel in channels {
        channel.report(location, builder.report);
    }
    if is_push {
        check_satisfy_any(builder, level, location);
    }
    level.content_gate = Some(content);
    level.answer_gate = Some(answers);
    level.internal_from_front = Some(is_entered_from_front);
}

/// Reports `satisfy any` of a push location with a guard that is left to the front: pushctl
/// would reject the clients that only the guard admits, by its own rules.
fn check_satisfy_any(builder: &mut Builder<'_>, level: &Level, location: SourcePlace) {
    let has_rules = |web: &WebSettings| {
        !web.access.is_empty() || web.authentication.is_some() || web.auth_request.is_some()
    };
    let web = level.web();
    let is_ruled = has_rules(&web)
        || web
            .limit_except
            .as_ref()
            .is_some_and(|limit| has_rules(&limit.web));
    if !web.satisfy_any || !is_ruled {
        return;
    }
    let waived = level
        .guards
        .iter()
        .find(|guard| guard.is_access_rule() && front_enforces(builder, level, &guard.name));
    if let Some(GuardDirective { name, place, .. }) = waived {
        let text = format!(
            "\"satisfy any\" with \"{name}\", which is left to the front: pushctl would \
             reject the clients that only \"{name}\" admits: use \"satisfy all\", or remove \
             the other access rules of this location"
        );
        builder.report.guard(*place, location, text);
    }
}

fn front_enforces(builder: &Builder<'_>, level: &Level, name: &str) -> bool {
    builder.options.front_enforces.includes(name)
        || level
            .front_enforces
            .as_ref()
            .is_some_and(|front| front.includes(name))
}

/// The mistake of a push location with this guard, and the way out.
fn rejection(guard: &GuardDirective) -> String {
    let GuardDirective { name, guard, .. } = guard;
    let what = match guard {
        GuardKind::Variable | GuardKind::RedefinedVariable => {
            format!("variable \"${name}\" {}", guard.effect())
        }
        GuardKind::Unknown => format!("directive \"{name}\" {}", guard.effect()),
        guard => format!(
            "directive \"{name}\" {} and is not enforced by pushctl",
            guard.effect()
        ),
    };
    format!(
        "{what}: remove it, or let nginx in front enforce it (\"pushctl check --front\") and start \
         with --front-enforces {name}"
    )
}
