//! Finds the locations, upstreams and variables that kept directives refer to.

use super::kept::uses;
use crate::server::config::source::nginx::names;
use crate::server::config::source::nginx::parser::{Block, Directive};

/// The locations of a server that these directives refer to, and those that these locations refer
/// to, in the order of the file. Those for which `is_forwarded` holds are printed already.
pub(super) fn locations<'t>(
    server: &'t Block,
    kept: &[Directive],
    is_forwarded: impl Fn(&Directive) -> bool,
) -> Vec<&'t Directive> {
    let all: Vec<&Directive> = server
        .directives
        .iter()
        .filter(|directive| directive.name == "location" && !is_forwarded(directive))
        .collect();
    let mut found: Vec<&Directive> = Vec::new();
    loop {
        let is_new =
            |location: &&&Directive| !found.iter().any(|known| std::ptr::eq(*known, **location));
        let is_named = |location: &&&Directive| {
            kept.iter().any(|user| refers_to(user, location))
                || found.iter().any(|user| refers_to(user, location))
        };
        let Some(next) = all.iter().filter(is_new).find(is_named) else {
            break;
        };
        found.push(next);
    }
    all.into_iter()
        .filter(|location| found.iter().any(|known| std::ptr::eq(*known, *location)))
        .collect()
}

/// Whether a directive, or one in it, has the path of a location as an argument; of Lua code, as a
/// string.
fn refers_to(directive: &Directive, location: &Directive) -> bool {
    let Some(path) = location.arguments.last() else {
        return false;
    };
    let is_regex = location
        .arguments
        .first()
        .is_some_and(|modifier| modifier.starts_with(b"~"));
    if is_regex || path.as_slice() == b"/" {
        return false;
    }
    // The pattern of a location is no reference.
    let is_user = directive.name != "location" && directive.name != "server_name";
    let is_path = |argument: &Vec<u8>| {
        let path = path.strip_prefix(b"=").unwrap_or(path);
        argument.strip_prefix(path).is_some_and(|rest| {
            rest.is_empty() || b"/?$".contains(&rest[0]) || path.ends_with(b"/")
        })
    };
    let block = directive.block.as_ref();
    let is_in_lua = |lua: &Vec<u8>| {
        [b'"', b'\''].iter().any(|quote| {
            memchr::memmem::find(lua, &[&[*quote], path.as_slice()].concat()).is_some()
        })
    };
    (is_user && directive.arguments.iter().any(is_path))
        || block
            .and_then(|block| block.lua.as_ref())
            .is_some_and(is_in_lua)
        || block.is_some_and(|block| {
            block
                .directives
                .iter()
                .any(|inner| refers_to(inner, location))
        })
}

/// Settings of back-ends that a location inherits from the blocks around it, and does not have
/// itself.
pub(super) fn inherited_settings<'t>(
    location: &Directive,
    outer: [&'t Block; 2],
) -> Vec<&'t Directive> {
    let Some(block) = &location.block else {
        return Vec::new();
    };
    let mut settings: Vec<&Directive> = Vec::new();
    for level in outer {
        let is_missing = |directive: &&Directive| {
            let is_setting = ["proxy_", "fastcgi_", "uwsgi_", "scgi_", "grpc_"]
                .iter()
                .any(|prefix| directive.name.starts_with(prefix));
            // Definitions are those of http.
            is_setting
                && !directive.name.ends_with("_path")
                && !block
                    .directives
                    .iter()
                    .any(|own| own.name == directive.name)
        };
        let nearer: Vec<&str> = settings.iter().map(|known| known.name.as_str()).collect();
        settings.extend(
            level
                .directives
                .iter()
                .filter(is_missing)
                .filter(|directive| !nearer.contains(&directive.name.as_str())),
        );
    }
    settings
}

/// The definitions of `http` that these directives use: upstreams, and variables of `map`, `geo`
/// and others.
pub(super) fn definitions<'t>(http: &'t Block, users: &[Directive]) -> Vec<&'t Directive> {
    let mut found: Vec<&Directive> = Vec::new();
    loop {
        let is_new =
            |definition: &&Directive| !found.iter().any(|known| std::ptr::eq(*known, *definition));
        let is_used = |definition: &&Directive| {
            users.iter().any(|user| defines_for(definition, user))
                || found.iter().any(|user| defines_for(definition, user))
        };
        let Some(next) = http.directives.iter().filter(is_new).find(is_used) else {
            break;
        };
        found.push(next);
    }
    http.directives
        .iter()
        .filter(|directive| found.iter().any(|known| std::ptr::eq(*known, *directive)))
        .collect()
}

/// Whether a directive of `http` defines something that a directive uses.
fn defines_for(definition: &Directive, user: &Directive) -> bool {
    let is_variable = |argument: Option<&Vec<u8>>| {
        argument.is_some_and(|name| name.starts_with(b"$") && uses(user, name))
    };
    let first = definition.arguments.first();
    match definition.name.as_str() {
        "map" | "geo" | "split_clients" => is_variable(definition.arguments.last()),
        "js_set" | "perl_set" | "js_var" | "auth_request_set" => is_variable(first),
        "js_import" | "js_path" => uses_family(user, "js_"),
        "geoip2" => {
            let lines = definition.block.iter().flat_map(|block| &block.directives);
            lines
                .filter(|line| line.name.starts_with('$'))
                .any(|line| uses(user, line.name.as_bytes()))
        }
        name if name.starts_with("geoip_") => mentions(user, b"$geoip_"),
        "upstream" => first.is_some_and(|name| passes_to(user, name)),
        "proxy_cache_path" | "fastcgi_cache_path" | "uwsgi_cache_path" | "scgi_cache_path" => {
            let zone = definition
                .arguments
                .iter()
                .find_map(|argument| argument.strip_prefix(b"keys_zone="));
            let zone = zone.and_then(|zone| zone.split(|byte| *byte == b':').next());
            zone.is_some_and(|zone| has_argument(user, zone))
        }
        _ => false,
    }
}

fn uses_family(user: &Directive, prefix: &str) -> bool {
    let mut is_used = false;
    names::visit(std::slice::from_ref(user), &mut |directive| {
        is_used |= directive.name.starts_with(prefix)
    });
    is_used
}

fn mentions(user: &Directive, text: &[u8]) -> bool {
    let mut is_there = false;
    names::visit(std::slice::from_ref(user), &mut |directive| {
        is_there |= directive
            .arguments
            .iter()
            .any(|argument| memchr::memmem::find(argument, text).is_some());
    });
    is_there
}

fn has_argument(user: &Directive, text: &[u8]) -> bool {
    let mut is_there = false;
    names::visit(std::slice::from_ref(user), &mut |directive| {
        is_there |= directive.arguments.iter().any(|argument| argument == text)
    });
    is_there
}

/// Whether a directive, or one in it, passes requests to the upstream of this name.
fn passes_to(user: &Directive, upstream: &[u8]) -> bool {
    let mut is_used = false;
    names::visit(std::slice::from_ref(user), &mut |directive| {
        if directive.name.ends_with("_pass") {
            is_used |= directive
                .arguments
                .first()
                .is_some_and(|url| host(url) == upstream);
        }
    });
    is_used
}

/// The name between scheme and port or path of an address.
fn host(url: &[u8]) -> &[u8] {
    let start = memchr::memmem::find(url, b"://").map_or(0, |at| at + 3);
    let rest = &url[start..];
    &rest[..rest
        .iter()
        .position(|byte| matches!(byte, b':' | b'/' | b'$' | b'?'))
        .unwrap_or(rest.len())]
}
