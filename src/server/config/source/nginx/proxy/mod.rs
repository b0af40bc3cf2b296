//! `proxy_*`: supported in files with hooks, which need them; otherwise they are left to nginx.

mod settings;

use std::path::PathBuf;

use super::levels::Scope;
use super::rule::{Effect, HTTP, LOCATION, Rule, SERVER, Value, rule_of};
use crate::protocol::is_token;
use crate::server::config::Expression;
use crate::server::config::model::proxy::NextUpstream;

const HSL: u8 = HTTP | SERVER | LOCATION;

/// Declares a directive that sets one field of the level.
macro_rules! one {
    ($name:literal, |$value:ident| $field:ident = $read:expr) => {
        rule_of(
            $name,
            HSL,
            1..=1,
            Effect::Once(|scope, $value| {
                scope.level.proxy.$field = $read;
                Ok(())
            }),
        )
    };
}

pub(in crate::server) static DIRECTIVES: &[Rule] = &[
    rule_of("upstream", HTTP, 1..=1, Effect::Block),
    rule_of("proxy_pass", LOCATION, 1..=1, Effect::Once(pass)),
    rule_of("proxy_set_header", HSL, 2..=2, Effect::Many(set_header)),
    one!("proxy_pass_request_body", |v| passes_body = v.flag()?),
    one!("proxy_pass_request_headers", |v| passes_headers =
        v.flag()?),
    rule_of("proxy_method", HSL, 1..=1, Effect::Once(method)),
    one!("proxy_read_timeout", |v| timeout = Some(v.milliseconds()?)),
    one!("proxy_connect_timeout", |v| connect_timeout =
        Some(v.milliseconds()?)),
    rule_of(
        "proxy_next_upstream",
        HSL,
        1..=usize::MAX,
        Effect::Once(next_upstream),
    ),
    one!("proxy_next_upstream_tries", |v| next_tries = v.number()?),
    one!("proxy_next_upstream_timeout", |v| next_timeout =
        Some(v.milliseconds()?)),
    rule_of(
        "proxy_ignore_headers",
        HSL,
        1..=usize::MAX,
        Effect::Once(ignore_headers),
    ),
    rule_of("proxy_hide_header", HSL, 1..=1, Effect::Many(hide_header)),
    rule_of("proxy_pass_header", HSL, 1..=1, Effect::Many(pass_header)),
    rule_of(
        "proxy_set_body",
        HSL,
        1..=1,
        Effect::Unsupported(unsupported),
    ),
    rule_of("proxy_bind", HSL, 1..=2, Effect::Unsupported(unsupported)),
    one!("proxy_ssl_verify", |v| ssl_verify = v.flag()?),
    one!("proxy_ssl_verify_depth", |v| ssl_verify_depth =
        v.number()?),
    one!("proxy_ssl_trusted_certificate", |v| ssl_trusted =
        Some(path(v))),
    one!("proxy_ssl_server_name", |v| ssl_server_name = v.flag()?),
    one!("proxy_ssl_name", |v| ssl_name = v.expression()?),
    one!("proxy_ssl_certificate", |v| ssl_certificate = Some(path(v))),
    one!("proxy_ssl_certificate_key", |v| ssl_certificate_key =
        Some(path(v))),
    rule_of(
        "proxy_ssl_protocols",
        HSL,
        1..=usize::MAX,
        Effect::Once(ssl_protocols),
    ),
    rule_of(
        "proxy_ssl_crl",
        HSL,
        1..=1,
        Effect::Unsupported(ssl_unsupported),
    ),
    rule_of(
        "proxy_ssl_password_file",
        HSL,
        1..=1,
        Effect::Unsupported(ssl_unsupported),
    ),
    rule_of(
        "proxy_ssl_conf_command",
        HSL,
        2..=2,
        Effect::Unsupported(ssl_unsupported),
    ),
];

fn pass(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let begins = |scheme: &[u8]| {
        value
            .first()
            .get(..scheme.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    if !begins(b"http://") && !begins(b"https://") && !value.first().starts_with(b"$") {
        return Err("invalid URL prefix".to_owned());
    }
    scope.level.proxy.pass = value.expression()?;
    Ok(())
}

fn set_header(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    // Any other name would make the request malformed.
    if value.first().is_empty() || !value.first().iter().all(is_token) {
        return Err(format!("invalid header name \"{}\"", value.shown()));
    }
    let text = Expression::parse_with(&value.arguments[1], value.names)
        .map_err(|error| error.to_string())?;
    if text.uses("request_body") {
        scope
            .level
            .proxy
            .unsupported
            .get_or_insert_with(|| "$request_body in \"proxy_set_header\"".to_owned());
    }
    scope
        .level
        .proxy
        .headers
        .get_or_insert_default()
        .push((value.text(), text));
    Ok(())
}

fn method(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value.first().is_empty() || !value.first().iter().all(u8::is_ascii_alphabetic) {
        return Err(value.invalid("value"));
    }
    scope.level.proxy.method = Some(value.text());
    Ok(())
}

fn next_upstream(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let mut next = NextUpstream {
        error: false,
        timeout: false,
        ..NextUpstream::default()
    };
    for word in value.arguments {
        match word.as_slice() {
            b"error" => next.error = true,
            b"timeout" => next.timeout = true,
            b"invalid_header" => next.invalid_header = true,
            b"non_idempotent" => next.non_idempotent = true,
            // It applies to caches only.
            b"updating" => {}
            b"off" => {
                next = NextUpstream {
                    error: false,
                    timeout: false,
                    tries: Some(1),
                    ..NextUpstream::default()
                }
            }
            b"http_500" => next.statuses.push(500),
            b"http_502" => next.statuses.push(502),
            b"http_503" => next.statuses.push(503),
            b"http_504" => next.statuses.push(504),
            b"http_403" => next.statuses.push(403),
            b"http_404" => next.statuses.push(404),
            b"http_429" => next.statuses.push(429),
            other => {
                return Err(format!(
                    "invalid value \"{}\"",
                    String::from_utf8_lossy(other)
                ));
            }
        }
    }
    scope.level.proxy.next_upstream = Some(next);
    Ok(())
}

/// Only `X-Accel-Redirect` has an effect in pushctl; the other headers are accepted.
fn ignore_headers(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    const NAMES: [&str; 9] = [
        "x-accel-redirect",
        "x-accel-expires",
        "x-accel-limit-rate",
        "x-accel-buffering",
        "x-accel-charset",
        "expires",
        "cache-control",
        "set-cookie",
        "vary",
    ];
    let names: Vec<String> = value
        .arguments
        .iter()
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
        .collect();
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(format!("invalid value \"{unknown}\""));
    }
    scope.level.proxy.ignores_redirect = Some(names.iter().any(|name| name == NAMES[0]));
    Ok(())
}

fn hide_header(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope
        .level
        .proxy
        .hidden
        .get_or_insert_default()
        .push(value.shown().to_ascii_lowercase());
    Ok(())
}

fn pass_header(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope
        .level
        .proxy
        .passed
        .get_or_insert_default()
        .push(value.shown().to_ascii_lowercase());
    Ok(())
}

/// The notice about an unsupported directive.
const UNSUPPORTED: &str =
    "is not supported: requests that need its back-ends are answered with 503";

/// Marks the back-ends of the level as unsupported: without the directive they would receive a
/// different request.
fn unsupported(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope
        .level
        .proxy
        .unsupported
        .get_or_insert_with(|| format!("\"{}\"", value.name));
    scope
        .notices
        .push(format!("\"{}\" {UNSUPPORTED}", value.name));
    Ok(())
}

fn ssl_unsupported(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope
        .level
        .proxy
        .ssl_unsupported
        .get_or_insert_with(|| format!("\"{}\"", value.name));
    scope
        .notices
        .push(format!("\"{}\" {UNSUPPORTED}", value.name));
    Ok(())
}

fn ssl_protocols(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let mut versions = Vec::new();
    for word in value.arguments {
        match word.as_slice() {
            b"TLSv1.2" => versions.push(&rustls::version::TLS12),
            b"TLSv1.3" => versions.push(&rustls::version::TLS13),
            b"SSLv2" | b"SSLv3" | b"TLSv1" | b"TLSv1.1" => {}
            other => {
                return Err(format!(
                    "invalid value \"{}\"",
                    String::from_utf8_lossy(other)
                ));
            }
        }
    }
    if versions.is_empty() {
        return ssl_unsupported(scope, value);
    }
    scope.level.proxy.ssl_protocols = Some(versions);
    Ok(())
}

fn path(value: &Value<'_>) -> PathBuf {
    value.base.join(value.shown())
}

#[cfg(test)]
mod tests {
    use crate::server::config::source::parse;

    /// The mistakes of a file with nchan and these directives in `http` and in a location.
    fn mistakes(http: &str, location: &str) -> String {
        let text = format!(
            "events {{}}\nhttp {{ {http} server {{ listen 127.0.0.1:9103;\n\
             location = /a {{ {location} }}\n\
             location /s {{ nchan_pubsub; nchan_channel_id c; }} }} }}"
        );
        parse("conf", text.as_bytes())
            .map_or_else(|mistakes| mistakes.to_string(), |_| String::new())
    }

    #[test]
    fn addresses_and_groups_that_nginx_rejects_are_rejected() {
        let up = "upstream up { server 127.0.0.1:1; }";
        for (http, location, expected) in [
            (up, "proxy_pass http://up;", ""),
            (up, "proxy_pass https://UP/x;", ""),
            (
                up,
                "proxy_pass http://up:80/;",
                "conf:3: upstream \"up\" may not have port 80",
            ),
            (up, "proxy_pass ftp://up/;", "conf:3: invalid URL prefix"),
            (
                up,
                "proxy_pass http://;",
                "conf:3: no host in upstream \"\"",
            ),
            (
                up,
                "proxy_pass https://up; proxy_ssl_verify on;",
                "conf:3: no proxy_ssl_trusted_certificate for proxy_ssl_verify",
            ),
            (
                up,
                "proxy_next_upstream foo;",
                "conf:3: invalid value \"foo\"",
            ),
            (
                "upstream up { }",
                "",
                "conf:2: no servers are inside upstream",
            ),
            (
                "upstream up { server 127.0.0.1 backup; }",
                "",
                "conf:2: no servers in upstream \"up\"",
            ),
            (
                "upstream up { server 127.0.0.1 foo; }",
                "",
                "conf:2: invalid parameter \"foo\"",
            ),
            (
                "upstream up { server 127.0.0.1 weight=0; }",
                "",
                "conf:2: invalid parameter \"weight=0\"",
            ),
            (
                "upstream up { server http://127.0.0.1; }",
                "",
                "conf:2: invalid port in upstream \"http://127.0.0.1\"",
            ),
            (
                "upstream up { server 127.0.0.1; } upstream UP { server 127.0.0.1; }",
                "",
                "conf:2: duplicate upstream \"UP\"",
            ),
            (
                "upstream up { ip_hash; server 127.0.0.1; server 127.0.0.2 backup; }",
                "",
                "conf:2: balancing method does not support parameter \"backup\"",
            ),
        ] {
            assert_eq!(mistakes(http, location), expected, "{http} {location}");
        }
    }
}
