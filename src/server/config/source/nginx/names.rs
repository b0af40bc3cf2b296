//! The variables and log formats that a file defines, collected before its directives are read:
//! they may be used before their definition.

use std::collections::HashMap;
use std::sync::Arc;

use super::conditions;
use super::parser::Directive;
use crate::server::config::expression::variables::{Availability, availability, find_variable};
use crate::server::config::model::logs::{LogEscape, LogFormat};
use crate::server::config::{Expression, MapVariable, VariableNames};

/// The log format that is predefined in nginx.
const COMBINED: &[u8] =
    b"$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
      \"$http_referer\" \"$http_user_agent\"";

/// Formats of logs by name.
pub(in crate::server) type LogFormats = HashMap<String, Arc<LogFormat>>;

/// Visits every directive, those in blocks included.
pub(in crate::server) fn visit<'a>(
    directives: impl IntoIterator<Item = &'a Directive>,
    see: &mut dyn FnMut(&Directive),
) {
    for directive in directives {
        see(directive);
        if let Some(block) = &directive.block {
            visit(&block.directives, see);
        }
    }
}

/// The variables of the whole file.
pub(in crate::server) fn variables(directives: &[Directive]) -> VariableNames {
    let mut names = VariableNames::default();
    // Variables of other protocols are not those of `http`.
    let of_http = || {
        directives
            .iter()
            .filter(|directive| !matches!(directive.name.as_str(), "stream" | "mail"))
    };
    visit(of_http(), &mut |directive| {
        conditions::capture_names(directive, &mut names.captures);
        match (directive.name.as_str(), directive.arguments.as_slice()) {
            ("set", [name, _]) => {
                if let Some(name) =
                    variable(name).filter(|name| name != "args" && !names.assigned.contains(name))
                {
                    names.assigned.push(name);
                }
            }
            ("server_name", all) => {
                let texts = all.iter().filter_map(|text| std::str::from_utf8(text).ok());
                texts
                    .filter(|text| text.starts_with('~'))
                    .for_each(|text| conditions::names_in(text, &mut names.captures));
            }
            ("map", [_, name]) if directive.block.is_some() => {
                let is_new = |name: &String| !names.maps.iter().any(|(known, _)| known == name);
                if let Some(name) = variable(name).filter(is_new) {
                    names.maps.push((name, MapVariable::default()));
                }
                let keys = directive
                    .block
                    .iter()
                    .flat_map(|block| &block.directives)
                    .map(|line| &line.name);
                keys.filter(|key| key.starts_with('~'))
                    .for_each(|key| conditions::names_in(key, &mut names.captures));
            }
            _ => {}
        }
    });
    // After those of `set`, because TOML has them in another order.
    visit(of_http(), &mut |directive| {
        if let ("auth_request_set", [name, _]) =
            (directive.name.as_str(), directive.arguments.as_slice())
            && let Some(name) = variable(name).filter(|name| !names.assigned.contains(name))
        {
            names.assigned.push(name);
        }
    });
    add_redefined(of_http(), &mut names);
    add_unavailable(directives, &mut names);
    add_of_response(directives, &mut names);
    names
}

/// Adds the variables with several definitions, of which nginx uses one or the other depending on
/// the rules that a request passes: `set` or `auth_request_set`, and a `map`, a capture, an
/// unsupported directive, or `$arg_NAME` and the like.
fn add_redefined<'a>(directives: impl Iterator<Item = &'a Directive>, names: &mut VariableNames) {
    let mut foreign = Vec::new();
    visit(directives, &mut |directive| {
        foreign.extend(foreign_variable(directive))
    });
    let is_named = |name: &String| {
        ["arg_", "http_", "cookie_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let maps = || names.maps.iter().map(|(name, _)| name);
    let captures: Vec<String> = names
        .captures
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    let is_unclear = |name: &&String| {
        let is_set = names.assigned.contains(name) || captures.contains(name);
        let kinds = [
            is_set,
            maps().any(|known| known == *name),
            foreign.contains(name),
            is_named(name),
        ];
        kinds.into_iter().filter(|is_one| *is_one).count() > 1
    };
    let all = names.assigned.iter().chain(&captures).chain(maps());
    names.redefined = all.filter(is_unclear).cloned().collect();
}

/// The first capture of a directive with the name of a variable of nginx, which is a mistake.
pub(in crate::server) fn reserved_capture(directive: &Directive) -> Option<String> {
    /// Variables that may be redefined, or that only newer versions have.
    const FREE: [&str; 7] = [
        "args",
        "http3",
        "proxy_add_x_forwarded_for",
        "proxy_host",
        "proxy_port",
        "quic",
        "spdy",
    ];
    let mut captures = Vec::new();
    conditions::capture_names(directive, &mut captures);
    let is_reserved = |name: &String| {
        let name = name.to_ascii_lowercase();
        let is_free = FREE.contains(&name.as_str()) || name.starts_with("nchan_");
        availability(&name) == Some(Availability::Known) && !is_free
    };
    captures.into_iter().find(is_reserved)
}

/// Adds the maps that depend on the response.
fn add_of_response(directives: &[Directive], names: &mut VariableNames) {
    loop {
        let before = names.of_response.len();
        visit(directives, &mut |directive| {
            let name = directive
                .arguments
                .get(1)
                .filter(|_| directive.name == "map")
                .and_then(|name| variable(name));
            let is_new = |name: &String| !names.of_response.contains(name);
            if let Some(name) = name.filter(is_new)
                && first_variable(directive, |used| is_of_response(used, names)).is_some()
            {
                names.of_response.push(name);
            }
        });
        if names.of_response.len() == before {
            return;
        }
    }
}

/// Whether a variable depends on the response: nginx adds headers to a complete response, pushctl
/// adds them before the response is known.
fn is_of_response(name: &str, names: &VariableNames) -> bool {
    name == "status"
        || name.starts_with("sent_http_")
        || names.of_response.iter().any(|known| known == name)
}

/// The first variable of an `add_header` whose value depends on the response.
pub(in crate::server) fn of_response(
    directive: &Directive,
    names: &VariableNames,
) -> Option<String> {
    if directive.name != "add_header" {
        return None;
    }
    first_variable(directive, |name| is_of_response(name, names))
}

/// Adds the variables without a value in pushctl: those of `geo` and other unsupported directives,
/// and those of maps and `set` that depend on such a variable, including by the condition of an
/// `if` around a `set`.
fn add_unavailable(directives: &[Directive], names: &mut VariableNames) {
    let mut defined = Vec::new();
    visit(directives, &mut |directive| {
        defined.extend(foreign_variable(directive))
    });
    let is_made = |name: &String, names: &VariableNames| {
        names.assigned.contains(name)
            || names.captures.contains(name)
            || names.maps.iter().any(|(known, _)| known == name)
    };
    for name in defined {
        if !is_made(&name, names) && !names.unavailable.contains(&name) {
            names.unavailable.push(name);
        }
    }
    // Maps may refer to each other in any order, and variables that are set to maps.
    loop {
        let before = names.unavailable.len();
        visit(directives, &mut |directive| {
            let name = match directive.name.as_str() {
                "map" if directive.block.is_some() => directive.arguments.get(1),
                "set" | "auth_request_set" => directive.arguments.first(),
                _ => None,
            };
            if let Some(name) = name
                .and_then(|name| variable(name))
                .filter(|name| !names.unavailable.contains(name))
                && unavailable(directive, names).is_some()
            {
                names.unavailable.push(name);
            }
            add_conditional(directive, names);
        });
        if names.unavailable.len() == before {
            return;
        }
    }
}

/// Adds the variables that an `if` with an unavailable condition sets or captures.
fn add_conditional(directive: &Directive, names: &mut VariableNames) {
    let Some(block) = directive.block.as_ref().filter(|_| directive.name == "if") else {
        return;
    };
    if unavailable(directive, names).is_none() {
        return;
    }
    let mut found = Vec::new();
    conditions::capture_names(directive, &mut found);
    visit(&block.directives, &mut |inner| {
        if matches!(inner.name.as_str(), "set" | "auth_request_set") {
            found.extend(inner.arguments.first().and_then(|name| variable(name)));
        }
    });
    for name in found {
        if !names.unavailable.contains(&name) {
            names.unavailable.push(name);
        }
    }
}

/// The variable that an unsupported directive of `http` defines.
pub(in crate::server) fn foreign_variable(directive: &Directive) -> Option<String> {
    match (directive.name.as_str(), directive.arguments.as_slice()) {
        (
            "js_set" | "js_var" | "perl_set" | "auth_jwt_claim_set" | "auth_jwt_header_set",
            [name, ..],
        ) => variable(name),
        ("geo" | "split_clients", [.., name]) if directive.block.is_some() => variable(name),
        ("keyval", [_, name, ..]) => variable(name),
        // A line of a geoip2 block.
        (name, _) if name.starts_with('$') => variable(name.as_bytes()),
        _ => None,
    }
}

/// Whether a directive only outputs its values: access does not depend on them.
pub(in crate::server) fn only_outputs(directive: &str) -> bool {
    matches!(
        directive,
        "add_header" | "log_format" | "access_log" | "proxy_set_header"
    )
}

/// The first variable in the arguments of a directive, or in the values of a map, that has no value
/// in pushctl, or possibly another value than in nginx. Regular expressions are not searched.
pub(in crate::server) fn unavailable(
    directive: &Directive,
    names: &VariableNames,
) -> Option<String> {
    // The body is read after routing, so only logs have it.
    let has_body = matches!(directive.name.as_str(), "log_format" | "access_log");
    let is_it = |name: &str| {
        if has_body && name == "request_body" {
            return false;
        }
        let is_made = names
            .captures
            .iter()
            .chain(&names.assigned)
            .any(|known| known == name);
        names
            .unavailable
            .iter()
            .chain(&names.redefined)
            .any(|known| known == name)
            || (!is_made && availability(name) == Some(Availability::Never))
    };
    first_variable(directive, is_it)
}

/// The first variable in the arguments of a directive, or in the values of a map, for which `is_it`
/// holds.
fn first_variable(directive: &Directive, is_it: impl Fn(&str) -> bool) -> Option<String> {
    let arguments = match directive.name.as_str() {
        "location" | "server_name" => &[][..],
        "map" => directive.arguments.get(..1).unwrap_or_default(),
        "set" | "auth_request_set" => directive.arguments.get(1..).unwrap_or_default(),
        "if" if directive
            .arguments
            .iter()
            .any(|word| matches!(word.as_slice(), b"~" | b"~*" | b"!~" | b"!~*")) =>
        {
            directive
                .arguments
                .get(..directive.arguments.len() - 1)
                .unwrap_or_default()
        }
        _ => &directive.arguments,
    };
    let values = directive
        .block
        .iter()
        .filter(|_| directive.name == "map")
        .flat_map(|block| &block.directives);
    let values = values.flat_map(|line| &line.arguments);
    arguments
        .iter()
        .chain(values)
        .find_map(|text| find_variable(text, &is_it))
}

/// The name in `$name`, in lower case.
pub(in crate::server) fn variable(text: &[u8]) -> Option<String> {
    let name = text.strip_prefix(b"$")?;
    let is_name = !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// The log formats of the file. Invalid ones are skipped here and reported by `web::log_format`.
pub(in crate::server) fn log_formats(
    directives: &[Directive],
    names: &VariableNames,
) -> LogFormats {
    let mut formats = LogFormats::new();
    let combined = Expression::parse_with(COMBINED, names).unwrap_or_default();
    formats.insert(
        "combined".to_owned(),
        Arc::new(LogFormat::new(combined, LogEscape::Default)),
    );
    visit(directives, &mut |directive| {
        if let ("log_format", [name, rest @ ..]) =
            (directive.name.as_str(), directive.arguments.as_slice())
            && let Ok(format) = log_format(rest, names)
        {
            formats.insert(String::from_utf8_lossy(name).into_owned(), Arc::new(format));
        }
    });
    formats
}

/// Parses the arguments of `log_format` after the name.
pub(in crate::server) fn log_format(
    arguments: &[Vec<u8>],
    names: &VariableNames,
) -> Result<LogFormat, String> {
    let (escape, texts) = match arguments {
        [first, rest @ ..] if first.starts_with(b"escape=") => match &first[7..] {
            b"default" => (LogEscape::Default, rest),
            b"json" => (LogEscape::Json, rest),
            b"none" => (LogEscape::None, rest),
            other => {
                return Err(format!(
                    "unknown log format escaping \"{}\"",
                    String::from_utf8_lossy(other)
                ));
            }
        },
        rest => (LogEscape::Default, rest),
    };
    let text = Expression::parse_with(&texts.concat(), names).map_err(|error| error.to_string())?;
    Ok(LogFormat::new(text, escape))
}
