//! What is known about directives that pushctl does not serve: whether a push location, or files,
//! may be served without them.
//!
//! A directive with a rule (`directives`) is never looked up here, and one that is in no table is a
//! guard: it may restrict access. The tables hold those of nginx 1.22 and of widespread modules.

mod tables;

use super::ignored;
use super::parser::Directive;
use tables::{FAMILIES, NAMES, PREFIXES};

/// What a directive that has no rule means for the locations below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It needs no effect here, for this reason.
    Ignored(&'static str),
    /// It changes responses, or settings of another directive, but not which requests get in.
    Harmless,
    /// The same for push locations; files must not be served without it.
    Files,
    /// A guard that is turned off, also for what is inherited of it.
    Off,
    /// It decides which requests reach the handler of a location, or which handler that is.
    Guard(Guard),
}

/// How a guard works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
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
    /// It names the client, on which rules depend.
    Address,
    /// It handles the requests of its location itself.
    Handler,
    /// It depends on a variable that has no value here.
    Variable,
    /// It depends on a variable that is made in several ways.
    RedefinedVariable,
    /// Nothing is known of it.
    Unknown,
}

impl Guard {
    /// What the directive does to a push location, as the end of a sentence that begins with its
    /// name.
    pub(super) fn effect(self) -> &'static str {
        match self {
            Self::Access => "restricts access to a push location",
            Self::Certificate => "checks certificates of the clients of a push location",
            Self::Script => "can reject or change the requests of a push location",
            Self::Rewrite => "changes requests before they reach a push location",
            Self::Limit => "limits the requests of a push location",
            Self::Address => "names the clients of a push location, on which its rules depend",
            Self::Handler => "answers requests in place of a push location",
            Self::Variable => "is used by a rule of a push location and has no value in pushctl",
            Self::RedefinedVariable => {
                "is used by a rule of a push location and is defined in several ways, among which \
                 pushctl may choose another one than nginx"
            }
            Self::Unknown => "is unknown and may restrict access to a push location",
        }
    }

    /// It holds for blocks within the one where it stands, too.
    pub(super) fn is_inherited(self) -> bool {
        self != Self::Handler
    }

    /// It comes before the `return` of a location.
    pub(super) fn precedes_return(self) -> bool {
        matches!(
            self,
            Self::Address | Self::Certificate | Self::Script | Self::Rewrite | Self::Unknown
        )
    }
}

/// The class of a directive without a rule.
pub(super) fn class(directive: &Directive) -> Class {
    match class_of(&directive.name) {
        Class::Guard(Guard::Access | Guard::Certificate | Guard::Limit) if is_off(directive) => {
            Class::Off
        }
        Class::Files if is_off(directive) => Class::Harmless,
        class => class,
    }
}

/// The class of a directive of this name, whatever its arguments.
pub(super) fn class_of(name: &str) -> Class {
    if let Some(reason) = ignored::reason(name) {
        return Class::Ignored(reason);
    }
    let is_in = |names: &str| names.split_ascii_whitespace().any(|known| known == name);
    if let Some((class, _)) = NAMES.iter().find(|(_, names)| is_in(names)) {
        return *class;
    }
    if name.ends_with("_pass") {
        return Class::Guard(Guard::Handler);
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
        .map_or(Class::Guard(Guard::Unknown), |(class, _)| *class)
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

/// The names of all directives that are in no prefix and no family.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES
        .iter()
        .flat_map(|(_, names)| names.split_ascii_whitespace())
}

fn is_off(directive: &Directive) -> bool {
    // `0` is no value of a flag.
    let off: &[u8] = if directive.name == "auth_delay" {
        b"0"
    } else {
        b"off"
    };
    matches!(directive.arguments.as_slice(), [value] if value == off)
}
