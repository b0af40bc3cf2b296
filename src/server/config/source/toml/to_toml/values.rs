//! Keys, values and rules in TOML.

use toml::Value;

use super::RULES;
use crate::server::config::source::nginx::classes;
use crate::server::config::source::nginx::classes::Class;
use crate::server::config::source::nginx::conditions;
use crate::server::config::source::nginx::directives;
use crate::server::config::source::nginx::parser::Directive;
use crate::server::config::source::nginx::rule::{Effect, Rule};
use crate::server::config::source::toml::from_toml;

/// The value of a key: one argument, the arguments, or those of each repetition.
pub(super) fn value(rule: &Rule, repeated: &[&Directive]) -> Result<String, String> {
    match repeated {
        [one] if one.arguments.is_empty() => Ok("true".to_owned()),
        [one] if one.arguments.len() == 1 => scalar(&one.arguments[0]),
        [one] if matches!(rule.effect, Effect::Once(_)) => words(&one.arguments),
        many => {
            let each: Result<Vec<String>, String> =
                many.iter().map(|one| words(&one.arguments)).collect();
            Ok(format!("[{}]", each?.join(", ")))
        }
    }
}

pub(super) fn is_rule(directive: &Directive) -> bool {
    RULES.contains(&directive.name.as_str()) && directives::rule(&directive.name).is_some()
}

/// A rule as an array; an `if` as an inline table.
pub(super) fn rule(directive: &Directive) -> Result<String, String> {
    let Some(block) = &directive.block else {
        let words = [
            vec![directive.name.clone().into_bytes()],
            directive.arguments.clone(),
        ]
        .concat();
        return self::words(&words);
    };
    let condition =
        conditions::inside(&directive.arguments).ok_or("a condition needs parentheses")?;
    let mut parts = vec![format!("if = {}", words(&condition)?)];
    let (rules, others): (Vec<&Directive>, Vec<&Directive>) =
        block.directives.iter().partition(|inner| is_rule(inner));
    let class = |inner: &&&Directive| {
        directives::rule(&inner.name)
            .is_none()
            .then(|| classes::class(inner))
    };
    if others
        .iter()
        .any(|inner| class(&inner) == Some(Class::Files))
    {
        parts.push("files = false".to_owned());
    }
    let guards: Vec<&str> = others
        .iter()
        .filter(|inner| matches!(class(inner), Some(Class::Guard(_))))
        .map(|inner| inner.name.as_str())
        .collect();
    if !guards.is_empty() {
        parts.push(format!("not_enforced = {}", Value::from(guards)));
    }
    let mut done: Vec<&str> = Vec::new();
    for inner in others.iter().filter(|inner| {
        directives::rule(&inner.name).is_some_and(|rule| !matches!(rule.effect, Effect::Ignored))
    }) {
        if !done.contains(&inner.name.as_str()) {
            done.push(&inner.name);
            let each: Result<Vec<String>, String> = others
                .iter()
                .filter(|other| other.name == inner.name)
                .map(|other| words(&other.arguments))
                .collect();
            let each = each?;
            let value = if each.len() == 1 && inner.arguments.len() == 1 {
                scalar(&inner.arguments[0])?
            } else {
                format!("[{}]", each.join(", "))
            };
            parts.push(format!("{} = {value}", key(&inner.name)));
        }
    }
    if !rules.is_empty() {
        let rules: Result<Vec<String>, String> = rules.iter().map(|inner| rule(inner)).collect();
        parts.push(format!("rules = [{}]", rules?.join(", ")));
    }
    Ok(format!("{{ {} }}", parts.join(", ")))
}

/// The shortest key for the directive.
pub(super) fn key(name: &str) -> &str {
    let short = name
        .strip_prefix("push_stream_")
        .or_else(|| name.strip_prefix("pushctl_"))
        .unwrap_or(name);
    if from_toml::directive_name(short).as_deref() == Some(name) {
        short
    } else {
        name
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<String, String> {
    utf8(bytes).map(|text| Value::from(text).to_string())
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| {
        format!(
            "\"{}\" is not UTF-8, which TOML requires",
            String::from_utf8_lossy(bytes)
        )
    })
}

pub(super) fn words(arguments: &[Vec<u8>]) -> Result<String, String> {
    let words: Result<Vec<String>, String> = arguments.iter().map(|word| text(word)).collect();
    Ok(format!("[{}]", words?.join(", ")))
}

/// A flag or number as such, any other value as a string.
fn scalar(bytes: &[u8]) -> Result<String, String> {
    let is_number = bytes.len() < 18
        && !bytes.is_empty()
        && bytes.iter().all(u8::is_ascii_digit)
        && (bytes.len() == 1 || bytes[0] != b'0');
    Ok(match bytes {
        b"on" => "true".to_owned(),
        b"off" => "false".to_owned(),
        number if is_number => String::from_utf8_lossy(number).into_owned(),
        other => text(other)?,
    })
}
