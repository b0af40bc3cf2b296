//! The `gzip` directives.

use super::levels::Scope;
use super::rule::{Effect, HTTP, IF, LOCATION, Rule, SERVER, Value, rule_of};
use crate::server::config::RegexPattern;
use crate::server::config::model::compression::{ProxiedCondition, UserAgents};
use crate::server::config::model::units;

const HSL: u8 = HTTP | SERVER | LOCATION;

pub(in crate::server) static DIRECTIVES: &[Rule] = &[
    rule_of("gzip", HSL | IF, 1..=1, Effect::Once(gzip)),
    rule_of("gzip_comp_level", HSL, 1..=1, Effect::Once(comp_level)),
    rule_of("gzip_disable", HSL, 1..=usize::MAX, Effect::Many(disable)),
    rule_of("gzip_http_version", HSL, 1..=1, Effect::Once(http_version)),
    rule_of("gzip_min_length", HSL, 1..=1, Effect::Once(min_length)),
    rule_of("gzip_proxied", HSL, 1..=usize::MAX, Effect::Once(proxied)),
    rule_of("gzip_types", HSL, 1..=usize::MAX, Effect::Many(types)),
    rule_of("gzip_vary", HSL, 1..=1, Effect::Once(vary)),
];

fn gzip(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.gzip = value.flag()?;
    Ok(())
}

fn vary(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.gzip_vary = value.flag()?;
    Ok(())
}

fn comp_level(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let level = units::number(value.first()).ok_or("invalid number")?;
    match u32::try_from(level) {
        Ok(level @ 1..=9) => scope.level.gzip_level = Some(level),
        Ok(0) => return Err("value must be equal to or greater than 1".to_owned()),
        _ => return Err("value must be equal to or less than 9".to_owned()),
    }
    Ok(())
}

fn disable(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let agents = scope.level.gzip_disable.get_or_insert_default();
    for text in value.arguments {
        agents.push(match text.as_slice() {
            b"msie6" => UserAgents::Msie6,
            text => {
                let text = std::str::from_utf8(text)
                    .map_err(|_| "a regular expression is not UTF-8".to_owned())?;
                UserAgents::Pattern(
                    RegexPattern::new(text, true).map_err(|error| error.to_string())?,
                )
            }
        });
    }
    Ok(())
}

fn http_version(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.gzip_minor_version = Some(match value.first() {
        b"1.0" => 0,
        b"1.1" => 1,
        _ => return Err(format!("invalid value \"{}\"", value.shown())),
    });
    Ok(())
}

fn min_length(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let length = units::size(value.first(), false)
        .ok_or_else(|| format!("\"{}\" directive invalid value", value.name))?;
    scope.level.gzip_min_length = Some(length);
    Ok(())
}

fn proxied(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let mut all = Vec::new();
    for text in value.arguments {
        let known = ProxiedCondition::NAMES
            .iter()
            .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(text));
        match known {
            Some((_, proxied)) => all.push(*proxied),
            None if text.eq_ignore_ascii_case(b"off") => {}
            None => {
                return Err(format!(
                    "invalid value \"{}\"",
                    String::from_utf8_lossy(text)
                ));
            }
        }
    }
    // `off` overrides other words.
    if value
        .arguments
        .iter()
        .any(|text| text.eq_ignore_ascii_case(b"off"))
    {
        all.clear();
    }
    scope.level.gzip_proxied = Some(all);
    Ok(())
}

fn types(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let types = scope.level.gzip_types.get_or_insert_default();
    types.extend(
        value
            .arguments
            .iter()
            .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()),
    );
    Ok(())
}
