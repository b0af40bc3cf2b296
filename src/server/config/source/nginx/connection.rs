//! Directives about connections and requests: client addresses behind a proxy, requests per
//! connection, parsing of paths and headers, validators.

use std::sync::Arc;

use super::levels::{Level, Scope};
use super::rule::{Effect, HTTP, LOCATION, Rule, SERVER, Value, rule_of};
use crate::server::config::model::clients::{Clients, RealIpHeader};
use crate::server::config::model::units;
use crate::server::config::model::web::{IfModifiedSince, LimitExcept};

const HSL: u8 = HTTP | SERVER | LOCATION;
const HS: u8 = HTTP | SERVER;

pub(in crate::server) static DIRECTIVES: &[Rule] = &[
    rule_of(
        "set_real_ip_from",
        HSL,
        1..=1,
        Effect::Many(set_real_ip_from),
    ),
    rule_of("real_ip_header", HSL, 1..=1, Effect::Once(real_ip_header)),
    rule_of(
        "real_ip_recursive",
        HSL,
        1..=1,
        Effect::Once(real_ip_recursive),
    ),
    rule_of(
        "keepalive_requests",
        HSL,
        1..=1,
        Effect::Once(keepalive_requests),
    ),
    rule_of("limit_except", LOCATION, 1..=usize::MAX, Effect::Block),
    rule_of(
        "underscores_in_headers",
        HS,
        1..=1,
        Effect::Once(underscores_in_headers),
    ),
    rule_of("merge_slashes", HS, 1..=1, Effect::Once(merge_slashes)),
    rule_of("server_tokens", HSL, 1..=1, Effect::Once(server_tokens)),
    rule_of("etag", HSL, 1..=1, Effect::Once(etag)),
    rule_of(
        "if_modified_since",
        HSL,
        1..=1,
        Effect::Once(if_modified_since),
    ),
    rule_of(
        "chunked_transfer_encoding",
        HSL,
        1..=1,
        Effect::Once(chunked_transfer_encoding),
    ),
    rule_of("max_ranges", HSL, 1..=1, Effect::Once(max_ranges)),
];

fn chunked_transfer_encoding(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.chunked_transfer_encoding = value.flag()?;
    Ok(())
}

fn set_real_ip_from(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let text = value.shown();
    let clients = Clients::parse(&text).filter(|clients| *clients != Clients::All);
    let clients = clients.ok_or_else(|| {
        format!("invalid network \"{text}\" (host names are not resolved: use addresses)")
    })?;
    scope
        .level
        .real_ip_from
        .get_or_insert_default()
        .push(clients);
    Ok(())
}

fn real_ip_header(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.real_ip_header = Some(match value.first().to_ascii_lowercase().as_slice() {
        b"x-forwarded-for" => RealIpHeader::ForwardedFor,
        b"proxy_protocol" => {
            return Err(
                "\"real_ip_header proxy_protocol\" is not supported by pushctl: let the proxy send \
                 X-Real-IP or X-Forwarded-For"
                    .to_owned(),
            );
        }
        name => RealIpHeader::Named(String::from_utf8_lossy(name).into_owned()),
    });
    Ok(())
}

fn real_ip_recursive(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.real_ip_recursive = value.flag()?;
    Ok(())
}

fn keepalive_requests(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.keepalive_requests = Some(units::number(value.first()).ok_or("invalid number")?);
    Ok(())
}

fn underscores_in_headers(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.underscores_in_headers = value.flag()?;
    Ok(())
}

fn merge_slashes(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.merge_slashes = value.flag()?;
    Ok(())
}

/// Process-wide: `off` in any block applies everywhere.
fn server_tokens(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    match value.first() {
        b"on" | b"build" => {}
        b"off" => scope.hides_version = true,
        _ => return Err(format!("invalid value \"{}\"", value.shown())),
    }
    Ok(())
}

fn etag(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.etag = value.flag()?;
    Ok(())
}

fn if_modified_since(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.if_modified_since = Some(match value.first() {
        b"off" => IfModifiedSince::Never,
        b"exact" => IfModifiedSince::Exact,
        b"before" => IfModifiedSince::Before,
        _ => return Err(format!("invalid value \"{}\"", value.shown())),
    });
    Ok(())
}

fn max_ranges(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.max_ranges = Some(units::number(value.first()).ok_or("invalid number")?);
    Ok(())
}

/// Methods that `limit_except` accepts.
const METHODS: [&str; 15] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "PATCH",
    "TRACE",
];

/// The rules for all methods but those of `arguments`; `inner` is the level of the block.
pub(in crate::server) fn limit_except(
    arguments: &[Vec<u8>],
    inner: &Level,
) -> Result<Arc<LimitExcept>, String> {
    let mut methods = Vec::new();
    for text in arguments {
        let text = String::from_utf8_lossy(text);
        let method = METHODS
            .iter()
            .find(|method| method.eq_ignore_ascii_case(&text));
        methods.push(*method.ok_or_else(|| format!("invalid method \"{text}\""))?);
    }
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    Ok(Arc::new(LimitExcept {
        methods,
        web: inner.web(),
    }))
}
