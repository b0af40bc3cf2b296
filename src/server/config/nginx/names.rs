//! The variables that a file makes, found before anything is read: they may be used before they are defined.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::web::{Escape, LogFormat};
use super::super::{Expression, MapVariable, Names};
use super::conditions;
use super::parser::Directive;

/// The format that nginx has without `log_format`.
const COMBINED: &[u8] =
    b"$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// Formats of logs by name.
pub(super) type LogFormats = HashMap<String, Arc<LogFormat>>;

/// Visits every directive, those in blocks included.
pub(super) fn visit<'a>(directives: impl IntoIterator<Item = &'a Directive>, see: &mut dyn FnMut(&Directive)) {
    for directive in directives {
        see(directive);
        if let Some(block) = &directive.block {
            visit(&block.directives, see);
        }
    }
}

/// The variables of the whole file.
pub(super) fn variables(directives: &[Directive]) -> Names {
    let mut names = Names::default();
    visit(directives, &mut |directive| {
        conditions::capture_names(directive, &mut names.captures);
        match (directive.name.as_str(), directive.arguments.as_slice()) {
            ("set" | "auth_request_set", [name, _]) => {
                if let Some(name) = variable(name).filter(|name| name != "args" && !names.assigned.contains(name)) {
                    names.assigned.push(name);
                }
            }
            ("server_name", all) => {
                let texts = all.iter().filter_map(|text| std::str::from_utf8(text).ok());
                texts.filter(|text| text.starts_with('~')).for_each(|text| conditions::names_in(text, &mut names.captures));
            }
            ("map", [_, name]) if directive.block.is_some() => {
                if let Some(name) = variable(name) {
                    names.maps.push((name, MapVariable::default()));
                }
                let keys = directive.block.iter().flat_map(|block| &block.directives).map(|line| &line.name);
                keys.filter(|key| key.starts_with('~')).for_each(|key| conditions::names_in(key, &mut names.captures));
            }
            _ => {}
        }
    });
    names
}

/// The name in `$name`, in lower case.
pub(super) fn variable(text: &[u8]) -> Option<String> {
    let name = text.strip_prefix(b"$")?;
    let is_name = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// The formats of the file; what is wrong with one is told where it is read as a directive.
pub(super) fn log_formats(directives: &[Directive], names: &Names) -> LogFormats {
    let mut formats = LogFormats::new();
    let combined = Expression::parse_with(COMBINED, names).map(Expression::split).unwrap_or_default();
    formats.insert("combined".to_owned(), Arc::new(LogFormat { parts: combined, escape: Escape::Default }));
    visit(directives, &mut |directive| {
        if let ("log_format", [name, rest @ ..]) = (directive.name.as_str(), directive.arguments.as_slice())
            && let Ok(format) = log_format(rest, names)
        {
            formats.insert(String::from_utf8_lossy(name).into_owned(), Arc::new(format));
        }
    });
    formats
}

/// Reads what follows the name of a `log_format`.
pub(super) fn log_format(arguments: &[Vec<u8>], names: &Names) -> Result<LogFormat, String> {
    let (escape, texts) = match arguments {
        [first, rest @ ..] if first.starts_with(b"escape=") => match &first[7..] {
            b"default" => (Escape::Default, rest),
            b"json" => (Escape::Json, rest),
            b"none" => (Escape::None, rest),
            other => return Err(format!("unknown log format escaping \"{}\"", String::from_utf8_lossy(other))),
        },
        rest => (Escape::Default, rest),
    };
    let parts = Expression::parse_with(&texts.concat(), names).map_err(|error| error.to_string())?.split();
    Ok(LogFormat { parts, escape })
}
