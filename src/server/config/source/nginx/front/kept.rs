//! Selects the directives of a file that are kept in the nginx in front.

use std::path::Path;

use crate::server::config::source::nginx::classes;
use crate::server::config::source::nginx::classes::{Class, GuardKind};
use crate::server::config::source::nginx::directives;
use crate::server::config::source::nginx::names;
use crate::server::config::source::nginx::parser::{Block, Directive};
use crate::server::config::source::nginx::rule::Effect;

/// Rules that pushctl enforces and the front as well, so that rejected requests do not reach
/// pushctl.
const RULES: [&str; 13] = [
    "allow",
    "auth_basic",
    "auth_basic_user_file",
    "auth_request",
    "auth_request_set",
    "client_max_body_size",
    "deny",
    "internal",
    "real_ip_header",
    "real_ip_recursive",
    "satisfy",
    "set_real_ip_from",
    "underscores_in_headers",
];
/// The rewrite phase.
const STEPS: [&str; 5] = ["break", "if", "return", "rewrite", "set"];
/// Prefixes of settings of back-ends. In a location that is forwarded to pushctl they would change
/// the forwarded request.
const BACKENDS: [&str; 6] = [
    "proxy_",
    "fastcgi_",
    "uwsgi_",
    "scgi_",
    "grpc_",
    "memcached_",
];

/// The kind of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    Http,
    Server,
    Location,
    /// `if` or `limit_except` in a location.
    Inner,
}

/// Selects the directives that are kept.
#[derive(Debug)]
pub(super) struct Chooser<'a> {
    /// Names of directives that pushctl does not enforce at push locations.
    pub(super) guards: &'a [String],
    /// The directory of relative paths.
    pub(super) base: &'a Path,
}

impl Chooser<'_> {
    /// The directives of a block that are kept, without locations.
    pub(super) fn kept(&self, block: &Block, kind: BlockKind) -> Vec<Directive> {
        let mut kept: Vec<Directive> = block
            .directives
            .iter()
            .filter_map(|directive| self.keep(directive, kind))
            .collect();
        if kind == BlockKind::Location {
            add_assignments(block, &mut kept, &[]);
        }
        kept
    }

    fn keep(&self, directive: &Directive, kind: BlockKind) -> Option<Directive> {
        let name = directive.name.as_str();
        match (name, kind) {
            ("location" | "server" | "types" | "map", _) => None,
            ("if", BlockKind::Server) => Some(with_inner(directive, is_step_or_unsupported)),
            ("if", BlockKind::Location) if self.decides_in_front(directive) => {
                Some(with_inner(directive, is_step_or_unsupported))
            }
            ("if", _) => Some(with_inner(directive, |inner| {
                self.keep(inner, BlockKind::Inner).is_some()
            }))
            .filter(has_inner),
            ("limit_except", _) => Some(with_inner(directive, |inner| {
                self.keep(inner, BlockKind::Inner).is_some()
            }))
            .filter(has_inner),
            ("return" | "break" | "rewrite", BlockKind::Server) => Some(directive.clone()),
            // Added by `add_assignments` where used, except in an `if` that the front evaluates.
            ("set", BlockKind::Inner) if self.sets_guard(directive) => Some(directive.clone()),
            ("set", _) => None,
            ("auth_basic_user_file", _) => Some(self.with_absolute_path(directive)),
            _ if RULES.contains(&name) => Some(directive.clone()),
            _ => self.is_kept(directive, kind).then(|| directive.clone()),
        }
    }

    /// Whether a condition uses a variable without a value in pushctl.
    fn decides_in_front(&self, directive: &Directive) -> bool {
        let condition = Directive {
            block: None,
            ..directive.clone()
        };
        self.guards
            .iter()
            .any(|guard| uses(&condition, guard.as_bytes()))
    }

    /// Whether a `set` is of a variable whose value only the front knows.
    fn sets_guard(&self, directive: &Directive) -> bool {
        let name = directive
            .arguments
            .first()
            .and_then(|name| names::variable(name));
        name.is_some_and(|name| self.guards.contains(&name))
    }

    /// Whether an unsupported directive is kept.
    fn is_kept(&self, directive: &Directive, kind: BlockKind) -> bool {
        let name = directive.name.as_str();
        if self.is_setting(name) {
            return true;
        }
        if directives::rule(name).is_some() {
            return false;
        }
        match classes::class(directive) {
            Class::Ignored(_) => false,
            // In http, it applies to other locations as well.
            Class::Harmless | Class::Files if kind == BlockKind::Http => false,
            Class::Harmless | Class::Files => {
                (name != "error_page" || kind == BlockKind::Location)
                    && !BACKENDS.iter().any(|prefix| name.starts_with(prefix))
            }
            // Two handlers cannot answer one location.
            Class::Guard(GuardKind::Handler) => name == "try_files",
            Class::Guard(GuardKind::Unknown) if kind == BlockKind::Http => {
                self.guards.iter().any(|guard| guard == name)
            }
            Class::Off | Class::Guard(_) => true,
        }
    }

    /// Whether it is a setting of one of the guards: `limit_req_status` of `limit_req`,
    /// `lua_package_path` of `access_by_lua`.
    pub(super) fn is_setting(&self, name: &str) -> bool {
        let is_of = |guard: &String| {
            let family = guard.split('_').next().unwrap_or_default();
            let is_lua = guard.contains("_by_lua")
                && (name.starts_with("lua_") || name.starts_with("init_"));
            let is_js = family == "js" && name.starts_with("js_");
            let is_naxsi = family.starts_with("SecRules")
                && (classes::class_of(name) == Class::Harmless)
                && name.starts_with(char::is_uppercase);
            let is_session =
                guard.ends_with("crypt_session") && name.starts_with("encrypted_session_");
            is_lua
                || is_js
                || is_naxsi
                || is_session
                || is_longer(name, guard)
                || (family == "auth" && is_longer(name, &method(guard)))
        };
        is_without_rule(name) && self.guards.iter().any(is_of)
    }

    /// Whether another handler of a push location is left out, because two cannot answer one
    /// location.
    pub(super) fn is_left_out(&self, directive: &Directive) -> bool {
        let is_handler = classes::class(directive) == Class::Guard(GuardKind::Handler)
            && directive.name != "try_files";
        is_handler && self.guards.contains(&directive.name)
    }

    fn with_absolute_path(&self, directive: &Directive) -> Directive {
        let mut directive = directive.clone();
        if let Some(path) = directive.arguments.first_mut()
            && let Ok(text) = std::str::from_utf8(path)
        {
            let joined = self.base.join(text);
            *path = std::path::absolute(&joined)
                .unwrap_or(joined)
                .display()
                .to_string()
                .into_bytes();
        }
        directive
    }
}

/// Inserts, before the kept directives, each `set` of a variable that they or `users` use.
pub(super) fn add_assignments(block: &Block, kept: &mut Vec<Directive>, users: &[Directive]) {
    let sets = || {
        block
            .directives
            .iter()
            .filter(|directive| directive.name == "set")
    };
    let mut added: Vec<&Directive> = Vec::new();
    loop {
        let is_new = |set: &&Directive| !added.iter().any(|known| std::ptr::eq(*known, *set));
        let is_used = |set: &&Directive| {
            let all = kept.iter().chain(users).chain(added.iter().copied());
            set.arguments
                .first()
                .is_some_and(|name| all.into_iter().any(|user| uses(user, name)))
        };
        let Some(next) = sets().filter(is_new).find(is_used) else {
            break;
        };
        added.push(next);
    }
    let in_order: Vec<Directive> = sets()
        .filter(|set| added.iter().any(|known| std::ptr::eq(*known, *set)))
        .cloned()
        .collect();
    kept.splice(0..0, in_order);
}

/// The rules and guards of `http` that apply to a server because it does not override them.
pub(super) fn inherited(http: &[Directive], server: &Block) -> Vec<Directive> {
    let is_given = |directive: &Directive| {
        let is_rule = |name: &str| matches!(name, "allow" | "deny");
        server.directives.iter().any(|own| {
            own.name == directive.name || (is_rule(&own.name) && is_rule(&directive.name))
        })
    };
    http.iter()
        .filter(|directive| is_printed_in_servers(directive) && !is_given(directive))
        .cloned()
        .collect()
}

/// Whether a directive of `http` is printed in each server, so that it does not hold for the other
/// servers of the front.
pub(super) fn is_printed_in_servers(directive: &Directive) -> bool {
    let is_guard = matches!(
        classes::class(directive),
        Class::Guard(
            GuardKind::Access
                | GuardKind::Certificate
                | GuardKind::Limit
                | GuardKind::Rewrite
                | GuardKind::Script
        )
    );
    RULES.contains(&directive.name.as_str()) || (is_without_rule(&directive.name) && is_guard)
}

/// Whether pushctl does nothing for a directive of this name.
fn is_without_rule(name: &str) -> bool {
    directives::rule(name).is_none_or(|rule| matches!(rule.effect, Effect::Ignored))
}

/// `auth_jwt` of `auth_jwt_require`.
fn method(guard: &str) -> String {
    guard.splitn(3, '_').take(2).collect::<Vec<_>>().join("_")
}

fn is_longer(name: &str, guard: &str) -> bool {
    name.strip_prefix(guard)
        .is_some_and(|rest| rest.starts_with('_'))
}

fn is_step_or_unsupported(directive: &Directive) -> bool {
    let name = directive.name.as_str();
    STEPS.contains(&name) || (directives::rule(name).is_none() && !name.starts_with("push"))
}

fn with_inner(directive: &Directive, keeps: impl Fn(&Directive) -> bool) -> Directive {
    let mut directive = directive.clone();
    if let Some(block) = &mut directive.block {
        block.directives.retain(keeps);
    }
    directive
}

fn has_inner(directive: &Directive) -> bool {
    directive
        .block
        .as_ref()
        .is_some_and(|block| !block.directives.is_empty())
}

/// Whether a directive, or one in it, uses a variable, which is written with its `$`.
pub(super) fn uses(directive: &Directive, variable: &[u8]) -> bool {
    let name = variable.strip_prefix(b"$").unwrap_or(variable);
    let is_in = |text: &[u8]| {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        memchr::memmem::find_iter(text, name).any(|at| {
            let before = text[..at].strip_suffix(b"{").unwrap_or(&text[..at]);
            before.ends_with(b"$") && !text.get(at + name.len()).is_some_and(is_word)
        })
    };
    let block = directive.block.as_ref();
    let is_in_lua = |lua: &Vec<u8>| memchr::memmem::find(lua, name).is_some();
    directive.arguments.iter().any(|argument| is_in(argument))
        || is_in(directive.name.as_bytes())
        || block
            .and_then(|block| block.lua.as_ref())
            .is_some_and(is_in_lua)
        || block.is_some_and(|block| block.directives.iter().any(|inner| uses(inner, variable)))
}
