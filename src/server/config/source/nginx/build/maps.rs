//! `map` blocks.

use super::Builder;
use crate::server::config::source::Support;
use crate::server::config::source::nginx::names;
use crate::server::config::source::nginx::parser::{Block, Directive};
use crate::server::config::source::nginx::report::Report;
use crate::server::config::{Expression, Map, RegexPattern, VariableNames};

/// Reads a `map` and defines its variable if the map is in force.
pub(in crate::server) fn map(
    builder: &mut Builder<'_>,
    directive: &Directive,
    block: &Block,
    is_in_force: bool,
) {
    names::visit(&block.directives, &mut |line| {
        builder.report.record(line, Support::Entry)
    });
    match read(directive, block, &builder.names, builder.report) {
        Ok(map) => {
            let name = directive
                .arguments
                .get(1)
                .and_then(|name| names::variable(name));
            let variable = builder
                .names
                .maps
                .iter()
                .find(|(known, _)| Some(known) == name.as_ref());
            if let Some((_, variable)) = variable.filter(|_| is_in_force) {
                variable.define(map);
            }
        }
        Err(text) => builder.report.mistake(directive.place, text),
    }
}

/// Reads a `map`: its arguments and its block. Invalid lines are reported and skipped.
pub(in crate::server) fn read(
    directive: &Directive,
    block: &Block,
    names: &VariableNames,
    report: &mut Report,
) -> Result<Map, String> {
    let expression =
        |text: &[u8]| Expression::parse_with(text, names).map_err(|error| error.to_string());
    let [source, variable] = directive.arguments.as_slice() else {
        return Err("invalid number of arguments in \"map\" directive".to_owned());
    };
    if crate::server::config::source::nginx::names::variable(variable).is_none() {
        return Err(format!(
            "invalid variable name \"{}\"",
            String::from_utf8_lossy(variable)
        ));
    }
    let mut map = Map {
        source: expression(source)?,
        ..Map::default()
    };
    map.hostnames = block
        .directives
        .iter()
        .any(|line| line.name == "hostnames" && line.arguments.is_empty());
    let mut has_default = false;
    for line in &block.directives {
        let value = match line.arguments.as_slice() {
            [value] if line.block.is_none() => expression(value),
            // Values are not cached, so `volatile` has no effect.
            [] if matches!(line.name.as_str(), "hostnames" | "volatile") => continue,
            _ => Err("invalid number of the map parameters".to_owned()),
        };
        let result = value.and_then(|value| add(&mut map, &line.name, value, &mut has_default));
        if let Err(text) = result {
            report.mistake(line.place, text);
        }
    }
    Ok(map)
}

fn add(map: &mut Map, key: &str, value: Expression, has_default: &mut bool) -> Result<(), String> {
    let conflict = || format!("conflicting parameter \"{key}\"");
    if key == "default" {
        map.default = value;
        return if std::mem::replace(has_default, true) {
            Err("duplicate default map parameter".to_owned())
        } else {
            Ok(())
        };
    }
    if let Some(pattern) = key.strip_prefix('~') {
        let (pattern, ignore_case) = pattern
            .strip_prefix('*')
            .map_or((pattern, false), |pattern| (pattern, true));
        map.regexes.push((
            RegexPattern::new(pattern, ignore_case).map_err(|error| error.to_string())?,
            value,
        ));
        return Ok(());
    }
    let text = key.strip_prefix('\\').unwrap_or(key).to_ascii_lowercase();
    let host = if map.hostnames { text.as_str() } else { "" };
    if let Some(ending) = host
        .strip_prefix('*')
        .filter(|ending| ending.len() > 1 && ending.starts_with('.'))
    {
        map.endings.push((ending.as_bytes().to_vec(), value));
    } else if let Some(domain) = host.strip_prefix('.').filter(|domain| !domain.is_empty()) {
        map.endings.push((host.as_bytes().to_vec(), value.clone()));
        map.exact.entry(domain.as_bytes().to_vec()).or_insert(value);
    } else if let Some(beginning) = host
        .strip_suffix('*')
        .filter(|beginning| beginning.ends_with('.'))
    {
        map.beginnings.push((beginning.as_bytes().to_vec(), value));
    } else if map.exact.insert(text.into_bytes(), value).is_some() {
        return Err(conflict());
    }
    Ok(())
}
