//! Directives that may keep requests out of a push location and are not enforced here, and the
//! leave to serve it without them: the front, an nginx that forwards requests to pushctl, enforces
//! them.

use super::super::VariableNames;
use super::super::web::Gate;
use super::blocks::InnerBlock;
use super::build::Builder;
use super::classes::{Class, Guard, class, class_of};
use super::directives::{self, Value};
use super::files::Place;
use super::levels::{Level, Scope};
use super::listen::Listen;
use super::names;
use super::parser::{Block, Directive};

/// A directive that is not enforced, in force in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GuardDirective {
    pub(super) name: String,
    pub(super) guard: Guard,
    pub(super) place: Place,
    /// It holds in inner blocks, too.
    pub(super) is_inherited: bool,
}

impl GuardDirective {
    pub(super) fn new(name: &str, guard: Guard, place: Place) -> Self {
        Self {
            name: name.to_owned(),
            guard,
            place,
            is_inherited: guard.is_inherited(),
        }
    }
}

/// Names of directives that the front enforces; `all` stands for every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontEnforces(pub Vec<String>);

impl FrontEnforces {
    /// The front enforces every directive.
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
pub(super) fn inherit(
    own: Vec<GuardDirective>,
    off: &[String],
    outer: &[GuardDirective],
) -> Vec<GuardDirective> {
    let is_replaced = |guard: &GuardDirective| {
        off.contains(&guard.name)
            || (guard.guard != Guard::Unknown && own.iter().any(|other| other.name == guard.name))
    };
    let inherited: Vec<GuardDirective> = outer
        .iter()
        .filter(|guard| guard.is_inherited && !is_replaced(guard))
        .cloned()
        .collect();
    [own, inherited].concat()
}

/// The guards in an `if` block. They are taken as those of the block around it: a condition that
/// pushctl evaluates must not decide whether the front has to be asked.
pub(super) fn of_if(block: &Block, names: &VariableNames) -> Vec<GuardDirective> {
    let mut guards = Vec::new();
    for directive in &block.directives {
        let is_ruled = directives::rule(&directive.name).is_some();
        if let Some(variable) = names::unavailable(directive, names)
            .filter(|_| is_ruled && !names::only_writes(&directive.name))
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

/// The guard that a rule is because of a variable.
pub(super) fn of_variable(name: &str, names: &VariableNames, place: Place) -> GuardDirective {
    let is_redefined = names.redefined.iter().any(|known| known == name);
    let guard = if is_redefined {
        Guard::RedefinedVariable
    } else {
        Guard::Variable
    };
    GuardDirective::new(name, guard, place)
}

/// The directive by which a file in another notation names its guards.
pub(super) const NOT_ENFORCED: &str = "pushctl_not_enforced";

/// A guard of which only the name is known.
fn named(name: &[u8], place: Place) -> GuardDirective {
    let name = String::from_utf8_lossy(name);
    let guard = match class_of(&name) {
        Class::Guard(guard) => guard,
        _ => Guard::Unknown,
    };
    GuardDirective::new(&name, guard, place)
}

/// `pushctl_not_enforced`: directives that a file in another notation had here.
pub(super) fn not_enforced(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope
        .level
        .guards
        .extend(value.arguments.iter().map(|name| named(name, value.place)));
    Ok(())
}

/// `pushctl_front_enforces`
pub(super) fn front_enforces(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let names = value
        .arguments
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned());
    scope.level.front_enforces = Some(FrontEnforces(names.collect()));
    Ok(())
}

impl Builder<'_> {
    /// Notes a variable without a value in a directive. What only writes it down gets an empty
    /// text; a rule is not enforced.
    pub(super) fn add_unavailable_variable(&self, directive: &Directive, scope: &mut Scope) {
        let Some(variable) = names::unavailable(directive, &self.names) else {
            if let Some(variable) = names::of_response(directive, &self.names) {
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
            name if names::only_writes(name) => {
                scope.notices.push(format!(
                    "variable \"${variable}\" has no value in pushctl: it is empty in \"{name}\""
                ));
            }
            _ => scope
                .level
                .guards
                .push(of_variable(&variable, &self.names, directive.place)),
        }
    }

    /// Adds the guards in the `if` blocks of a server, and those of the addresses that it listens
    /// on.
    pub(super) fn add_server_guards(
        &self,
        level: &mut Level,
        blocks: &[InnerBlock<'_>],
        listens: &[Listen],
        place: Place,
    ) {
        let ifs = blocks.iter().filter(|inner| inner.name == "if");
        level
            .guards
            .extend(ifs.flat_map(|inner| of_if(inner.block, &self.names)));
        if listens
            .iter()
            .any(|listen| self.proxy_protocol.contains(&listen.address))
        {
            level
                .guards
                .push(GuardDirective::new("proxy_protocol", Guard::Address, place));
        }
    }

    /// Whether the front evaluates a condition, because a variable in it has no value here.
    pub(super) fn is_left_to_front(&self, condition: &Directive, level: &Level) -> bool {
        names::unavailable(condition, &self.names)
            .is_some_and(|variable| self.front_enforces(level, &variable))
    }

    /// Decides who may enter a location because of its guards. Those of a push location that the
    /// front does not enforce are mistakes.
    pub(super) fn settle_guards(&mut self, level: &mut Level, is_push: bool, location: Place) {
        let mut content = Gate::Open;
        let mut answers = Gate::Open;
        for guard in &level.guards {
            let is_waived = self.front_enforces(level, &guard.name);
            let gate = if is_waived { Gate::Front } else { Gate::Closed };
            content = content.max(gate);
            if guard.guard.precedes_return() {
                answers = answers.max(gate);
            }
            if is_waived && is_push {
                self.report.left_to_front(guard.place, &guard.name);
            } else if is_push {
                self.report.guard(guard.place, location, refusal(guard));
            }
        }
        let is_entered_from_front =
            level.internal == Some(true) && self.front_enforces(level, "internal");
        if is_entered_from_front && is_push {
            self.report.left_to_front(location, "internal");
        } else if level.internal == Some(true) && is_push {
            let text = "\"internal\": requests to this location get 404 unless pushctl itself \
                        redirects them; \
                        to let nginx in front redirect them, start with --front-enforces internal";
            self.report.notice(location, text);
        }
        if is_push
            && (content == Gate::Front || is_entered_from_front)
            && level.real_ip_from.is_none()
            && !self.options.knows_front
        {
            let text = "no request can enter this location: name the front with set_real_ip_from, \
                        or with --real-ip-from";
            self.report.notice(location, text);
        }
        level.content_gate = Some(content);
        level.answer_gate = Some(answers);
        level.internal_from_front = Some(is_entered_from_front);
    }

    fn front_enforces(&self, level: &Level, name: &str) -> bool {
        self.options.front_enforces.includes(name)
            || level
                .front_enforces
                .as_ref()
                .is_some_and(|front| front.includes(name))
    }
}

/// Why a push location with this guard is not served, and the way out.
fn refusal(guard: &GuardDirective) -> String {
    let GuardDirective { name, guard, .. } = guard;
    let what = match guard {
        Guard::Variable | Guard::RedefinedVariable => {
            format!("variable \"${name}\" {}", guard.effect())
        }
        Guard::Unknown => format!("directive \"{name}\" {}", guard.effect()),
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
