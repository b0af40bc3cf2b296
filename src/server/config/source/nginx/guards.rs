//! Guards: directives that may restrict access to a push location and that pushctl does not
//! enforce. A push location with a guard is a mistake, unless the front, an nginx that forwards
//! requests to pushctl, enforces it.

use super::blocks::InnerBlock;
use super::channels;
use super::channels::ChannelDirective;
use super::classes::{Class, GuardKind, class, class_of};
use super::directives;
use super::directives::Value;
use super::files::SourcePlace;
use super::levels::{Level, Scope};
use super::names;
use super::parser::{Block, Directive};
use super::report::Report;
use crate::server::config::VariableNames;
use crate::server::config::model::web::{Gate, WebSettings};
use crate::server::config::source::ImportOptions;

/// Guards that restrict access in another phase than the rules that `satisfy` combines, or by a
/// variable for the conditions of `if`.
const OTHER_PHASES: [&str; 5] = [
    "ModSecurityEnabled",
    "SecRulesEnabled",
    "modsecurity",
    "secure_download",
    "valid_referers",
];

/// A guard in force in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct GuardDirective {
    pub(in crate::server) name: String,
    pub(in crate::server) guard: GuardKind,
    pub(in crate::server) place: SourcePlace,
    /// Inner blocks inherit it.
    pub(in crate::server) is_inherited: bool,
}

impl GuardDirective {
    pub(in crate::server) fn new(name: &str, guard: GuardKind, place: SourcePlace) -> Self {
        Self {
            name: name.to_owned(),
            guard,
            place,
            is_inherited: guard.is_inherited(),
        }
    }

    /// Whether it is one of the rules that `satisfy` combines.
    fn is_access_rule(&self) -> bool {
        (self.guard == GuardKind::Access && !OTHER_PHASES.contains(&self.name.as_str()))
            || self.name.starts_with("access_by_lua")
            || self.name == "js_access"
    }
}

/// Names of the directives that the front enforces; `all` stands for every directive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontEnforces(pub Vec<String>);

impl FrontEnforces {
    /// Every directive is enforced by the front.
    #[must_use]
    pub fn all() -> Self {
        Self(vec!["all".to_owned()])
    }

    /// Whether the front enforces the directive of this name.
    #[must_use]
    pub fn includes(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name || known == "all")
    }
}

/// The guards of a block and those that it inherits: the nearest one of a name replaces the others,
/// and `off` removes them.
pub(in crate::server) fn inherit(
    own: Vec<GuardDirective>,
    off: &[String],
    outer: &[GuardDirective],
) -> Vec<GuardDirective> {
    let is_replaced = |guard: &GuardDirective| {
        off.contains(&guard.name)
            || (guard.guard != GuardKind::Unknown
                && own.iter().any(|other| other.name == guard.name))
    };
    let inherited: Vec<GuardDirective> = outer
        .iter()
        .filter(|guard| guard.is_inherited && !is_replaced(guard))
        .cloned()
        .collect();
    [own, inherited].concat()
}

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

/// The guard for a rule that uses a variable whose value pushctl does not have.
pub(in crate::server) fn of_variable(
    name: &str,
    names: &VariableNames,
    place: SourcePlace,
) -> GuardDirective {
    let is_redefined = names.redefined.iter().any(|known| known == name);
    let guard = if is_redefined {
        GuardKind::RedefinedVariable
    } else {
        GuardKind::Variable
    };
    GuardDirective::new(name, guard, place)
}

/// The directive that names the guards of a block in TOML.
pub(in crate::server) const NOT_ENFORCED: &str = "pushctl_not_enforced";

/// A guard of which only the name is known.
fn named(name: &[u8], place: SourcePlace) -> GuardDirective {
    let name = String::from_utf8_lossy(name);
    let guard = match class_of(&name) {
        Class::Guard(guard) => guard,
        _ => GuardKind::Unknown,
    };
    GuardDirective::new(&name, guard, place)
}

/// `pushctl_not_enforced`: the guards that the nginx.conf of a TOML file has in this block.
pub(in crate::server) fn not_enforced(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope
        .level
        .guards
        .extend(value.arguments.iter().map(|name| named(name, value.place)));
    Ok(())
}

/// `pushctl_front_enforces`
pub(in crate::server) fn front_enforces(
    scope: &mut Scope,
    value: &Value<'_>,
) -> Result<(), String> {
    let names = value
        .arguments
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned());
    scope.level.front_enforces = Some(FrontEnforces(names.collect()));
    Ok(())
}

/// Reports a variable without a value in a directive: one that only outputs the variable
/// outputs an empty text, any other one is a guard.
pub(in crate::server) fn add_unavailable_variable(
    directive: &Directive,
    variables: &VariableNames,
    scope: &mut Scope,
) {
    let Some(variable) = names::unavailable(directive, variables) else {
        if let Some(variable) = names::of_response(directive, variables) {
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
            .push(of_variable(&variable, variables, directive.place)),
    }
}

/// Adds the guards and the channels in the `if` blocks of a server, and the guards of the
/// addresses that it listens on.
pub(in crate::server) fn add_of_server(
    level: &mut Level,
    blocks: &[InnerBlock<'_>],
    names: &VariableNames,
    has_proxy_protocol: bool,
    place: SourcePlace,
) {
    let ifs = blocks.iter().filter(|inner| inner.name == "if");
    level
        .guards
        .extend(ifs.flat_map(|inner| of_if(inner.block, names)));
    level
        .channel_directives
        .extend(channels::of_ifs(blocks, names));
    if has_proxy_protocol {
        level.guards.push(GuardDirective::new(
            "proxy_protocol",
            GuardKind::Address,
            place,
        ));
    }
}

/// What the front enforces: the names of the options, and of the directive of each location.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct FrontRules<'a> {
    names: &'a VariableNames,
    options: &'a ImportOptions,
}

impl<'a> FrontRules<'a> {
    pub(in crate::server) fn new(names: &'a VariableNames, options: &'a ImportOptions) -> Self {
        Self { names, options }
    }

    /// Whether the front evaluates a condition, because a variable in it has no value here.
    pub(in crate::server) fn evaluates(&self, condition: &Directive, level: &Level) -> bool {
        names::unavailable(condition, self.names)
            .is_some_and(|variable| self.enforces(level, &variable))
    }

    /// Sets which requests a location accepts because of its guards. Guards of a push location that
    /// the front does not enforce are mistakes, and so are `channels`, which it cannot enforce.
    pub(in crate::server) fn settle(
        &self,
        level: &mut Level,
        channels: &[ChannelDirective],
        is_push: bool,
        location: SourcePlace,
        report: &mut Report,
    ) {
        let mut content = Gate::Open;
        let mut answers = Gate::Open;
        for guard in &level.guards {
            let is_waived = self.enforces(level, &guard.name);
            let gate = if is_waived { Gate::Front } else { Gate::Closed };
            content = content.max(gate);
            if guard.guard.precedes_return() {
                answers = answers.max(gate);
            }
            if is_waived && is_push {
                report.left_to_front(guard.place, &guard.name);
            } else if is_push && !channels.iter().any(|channel| channel.is_guard(guard)) {
                report.guard(guard.place, location, rejection(guard));
            }
        }
        let is_entered_from_front =
            level.internal == Some(true) && self.enforces(level, "internal");
        if is_entered_from_front && is_push {
            report.left_to_front(location, "internal");
        } else if level.internal == Some(true) && is_push {
            let text = "\"internal\": requests to this location get 404 unless pushctl itself \
                        redirects them; \
                        to let nginx in front redirect them, start with --front-enforces internal";
            report.notice(location, text);
        }
        if is_push
            && (content == Gate::Front || is_entered_from_front)
            && level.real_ip_from.is_none()
            && !self.options.has_front_address
        {
            let text = "every request to this location is rejected: set the address of the front \
                        with set_real_ip_from or --real-ip-from";
            report.notice(location, text);
        }
        for channel in channels {
            channel.report(location, report);
        }
        if is_push {
            self.check_satisfy_any(level, location, report);
        }
        level.content_gate = Some(content);
        level.answer_gate = Some(answers);
        level.internal_from_front = Some(is_entered_from_front);
    }

    /// Reports `satisfy any` of a push location with a guard that is left to the front: pushctl
    /// would reject the clients that only the guard admits, by its own rules.
    fn check_satisfy_any(&self, level: &Level, location: SourcePlace, report: &mut Report) {
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
            .find(|guard| guard.is_access_rule() && self.enforces(level, &guard.name));
        if let Some(GuardDirective { name, place, .. }) = waived {
            let text = format!(
                "\"satisfy any\" with \"{name}\", which is left to the front: pushctl would \
                 reject the clients that only \"{name}\" admits: use \"satisfy all\", or remove \
                 the other access rules of this location"
            );
            report.guard(*place, location, text);
        }
    }

    fn enforces(&self, level: &Level, name: &str) -> bool {
        self.options.front_enforces.includes(name)
            || level
                .front_enforces
                .as_ref()
                .is_some_and(|front| front.includes(name))
    }
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
