//! `proxy_*`: served where the file has hooks of nchan, which need them; elsewhere they stay with nginx.

use super::super::{Expression, Pattern, proxy::ProxySettings};
use super::directives::{Effect, HTTP, LOCATION, Rule, SERVER, Value, rule_of};
use super::levels::Scope;
use super::push_levels::ProxyLevel;
use crate::protocol::is_token;

const HSL: u8 = HTTP | SERVER | LOCATION;

pub(super) static DIRECTIVES: &[Rule] = &[
    rule_of("proxy_pass", LOCATION, 1..=1, Effect::Once(pass)),
    rule_of("proxy_set_header", HSL, 2..=2, Effect::Many(set_header)),
    rule_of("proxy_pass_request_body", HSL, 1..=1, Effect::Once(pass_request_body)),
    rule_of("proxy_pass_request_headers", HSL, 1..=1, Effect::Once(pass_request_headers)),
    rule_of("proxy_method", HSL, 1..=1, Effect::Once(method)),
    rule_of("proxy_read_timeout", HSL, 1..=1, Effect::Once(read_timeout)),
];

fn pass(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value.first().starts_with(b"https://") {
        return Err("back-ends of hooks are reached over plain http (put the TLS into a proxy beside pushctl)".to_owned());
    }
    if !value.first().starts_with(b"http://") && !value.first().starts_with(b"$") {
        return Err("invalid URL prefix".to_owned());
    }
    scope.level.proxy.pass = value.expression()?;
    Ok(())
}

fn set_header(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    // Another one could not be sent.
    if value.first().is_empty() || !value.first().iter().all(is_token) {
        return Err(format!("invalid header name \"{}\"", value.shown()));
    }
    let text = Expression::parse_with(&value.arguments[1], value.names).map_err(|error| error.to_string())?;
    scope.level.proxy.headers.get_or_insert_default().push((value.text(), text));
    Ok(())
}

fn pass_request_body(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.proxy.passes_body = value.flag()?;
    Ok(())
}

fn pass_request_headers(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.proxy.passes_headers = value.flag()?;
    Ok(())
}

fn method(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value.first().is_empty() || !value.first().iter().all(u8::is_ascii_alphabetic) {
        return Err(value.invalid("value"));
    }
    scope.level.proxy.method = Some(value.text());
    Ok(())
}

fn read_timeout(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.proxy.timeout = Some(value.milliseconds()?);
    Ok(())
}

impl ProxyLevel {
    /// The settings of a location with this pattern, if it passes its requests on.
    pub(super) fn settings(&self, pattern: &Pattern) -> Option<ProxySettings> {
        let level = self.clone();
        let pass = level.pass?;
        let is_literal = pass.as_literal().is_some();
        Some(ProxySettings {
            has_variables: !is_literal,
            replaced: (is_literal && !matches!(pattern, Pattern::Regex(_))).then(|| pattern.text().len()),
            pass,
            headers: level.headers.unwrap_or_default(),
            passes_body: level.passes_body.unwrap_or(true),
            passes_headers: level.passes_headers.unwrap_or(true),
            method: level.method,
            timeout: level.timeout,
        })
    }
}
