//! Guards as blocks hold and inherit them: directives that may restrict access and that pushctl
//! does not enforce.

use super::classes::{Class, GuardKind, class_of};
use super::files::SourcePlace;
use crate::server::config::VariableNames;

/// The directive that names the guards of a block in TOML.
pub(in crate::server) const NOT_ENFORCED: &str = "pushctl_not_enforced";

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
    pub(in crate::server) fn is_access_rule(&self) -> bool {
        (self.guard == GuardKind::Access && !OTHER_PHASES.contains(&self.name.as_str()))
            || self.name.starts_with("access_by_lua")
            || self.name == "js_access"
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

/// A guard of which only the name is known.
pub(in crate::server) fn named(name: &[u8], place: SourcePlace) -> GuardDirective {
    let name = String::from_utf8_lossy(name);
    let guard = match class_of(&name) {
        Class::Guard(guard) => guard,
        _ => GuardKind::Unknown,
    };
    GuardDirective::new(&name, guard, place)
}
