//! Classifies directives that pushctl does not support: whether a push location, or files, can be
//! served without them.
//!
//! Directives with a rule (`directives`) are not looked up here. A directive in no table is a
//! guard, because it may restrict access. The tables hold the directives of nginx 1.22 and of
//! common modules.

mod tables;

use self::tables::{FAMILIES, NAMES, PREFIXES};
use super::ignored;
use super::parser::Directive;

/// The effect of a directive without a rule on the locations in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Class {
    /// It is not needed, for this reason.
    Ignored(&'static str),
    /// It changes responses or configures another directive, but does not restrict access.
    Harmless,
    /// As `Harmless` for push locations; files must not be served without it.
    Files,
    /// A guard that is turned off, including the inherited one.
    Off,
    /// It decides which requests reach the handler of a location, or replaces the handler.
    Guard(GuardKind),
}

/// How a guard restricts access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum GuardKind {
    /// It rejects requests.
    Access,
    /// It rejects connections without a certificate.
    Certificate,
    /// It runs a script, which may reject requests.
    Script,
    /// It sends requests to another location, or changes what rules see of them.
    Rewrite,
    /// It rejects requests above a rate or number.
    Limit,
    /// It sets the address of the client, on which rules depend.
    Address,
    /// It handles the requests of its location itself.
    Handler,
    /// It uses a variable without a value in pushctl.
    Variable,
    /// It uses a variable with several definitions.
    RedefinedVariable,
    /// It is unknown.
    Unknown,
}

impl GuardKind {
    /// The effect on a push location, as a predicate whose subject is the directive.
    pub(in crate::server) fn effect(self) -> &'static str {
        match self {
            Self::Access => "restricts access to a push location",
            Self::Certificate => "checks certificates of the clients of a push location",
            Self::Script => "can reject or change the requests of a push location",
            Self::Rewrite => "changes requests before they reach a push location",
            Self::Limit => "limits the requests of a push location",
            Self::Address => {
                "sets the client addresses of a push location, on which its rules depend"
            }
            Self::Handler => "handles requests in place of a push location",
            Self::Variable => "is used by a rule of a push location and has no value in pushctl",
            Self::RedefinedVariable => {
                "is used by a rule of a push location and has several definitions, of which \
                 pushctl may use another one than nginx"
            }
            Self::Unknown => "is unknown and may restrict access to a push location",
        }
    }

    /// Whether inner blocks inherit it.
    pub(in crate::server) fn is_inherited(self) -> bool {
        self != Self::Handler
    }

    /// Whether nginx evaluates it before the `return` of a location.
    pub(in crate::server) fn precedes_return(self) -> bool {
        matches!(
            self,
            Self::Address | Self::Certificate | Self::Script | Self::Rewrite | Self::Unknown
        )
    }
}

/// The class of a directive without a rule.
pub(in crate::server) fn class(directive: &Directive) -> Class {
    match class_of(&directive.name) {
        Class::Guard(GuardKind::Access | GuardKind::Certificate | GuardKind::Limit)
            if is_off(directive) =>
        {
            Class::Off
        }
        Class::Files if is_off(directive) => Class::Harmless,
        class => class,
    }
}

/// The class of a directive of this name, whatever its arguments.
pub(in crate::server) fn class_of(name: &str) -> Class {
    if let Some(reason) = ignored::reason(name) {
        return Class::Ignored(reason);
    }
    let is_in = |names: &str| names.split_ascii_whitespace().any(|known| known == name);
    if let Some((class, _)) = NAMES.iter().find(|(_, names)| is_in(names)) {
        return *class;
    }
    if name.ends_with("_pass") {
        return Class::Guard(GuardKind::Handler);
    }
    if is_of_family(name) {
        return Class::Harmless;
    }
    let is_prefix = |prefixes: &str| {
        prefixes
            .split_ascii_whitespace()
            .any(|prefix| name.starts_with(prefix))
    };
    PREFIXES
        .iter()
        .find(|(_, prefixes)| is_prefix(prefixes))
        .map_or(Class::Guard(GuardKind::Unknown), |(class, _)| *class)
}

fn is_of_family(name: &str) -> bool {
    let is_setting = |prefix: &str, settings: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| {
            settings
                .split_ascii_whitespace()
                .any(|setting| setting == rest)
        })
    };
    FAMILIES.iter().any(|(prefixes, settings)| {
        prefixes
            .split_ascii_whitespace()
            .any(|prefix| is_setting(prefix, settings))
    })
}

/// The names of the directives that are listed one by one.
pub(in crate::server) fn names() -> impl Iterator<Item = &'static str> {
    NAMES
        .iter()
        .flat_map(|(_, names)| names.split_ascii_whitespace())
}

fn is_off(directive: &Directive) -> bool {
    // `0` is not a value of a flag.
    let off: &[u8] = if directive.name == "auth_delay" {
        b"0"
    } else {
        b"off"
    };
    matches!(directive.arguments.as_slice(), [value] if value == off)
}
