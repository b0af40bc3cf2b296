//! The rules of the supported directives: contexts, number of arguments, effect
//! (push-stream.md, section 15; those of nginx: push-stream.md, section 17).
//!
//! A new directive is a line in [`DIRECTIVES`] or in the table of its subject (`web`, `gzip`,
//! `nchan`, ...). `blocks` applies the rules; `build` and `locations` enter the blocks.

use super::levels::Scope;
use super::listen::Listen;
use super::rule::{
    ANY, EVENTS, Effect, HSL, HSLI, HTTP, IF, LIMIT_EXCEPT, LOCATION, MAIN, Rule, SERVER,
    SERVER_IF, Value, one, rule_of,
};
use super::{
    charset, connection, guard_directive, guard_rules, gzip, ignored, listen, logs, nchan,
    nchan_unsupported, nhpm, push_stream, rewriting, web,
};
use crate::server::config::model::units;
use crate::server::config::source::Support;
use crate::server::config::{ServerName, SlowPolicy};

pub(in crate::server) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|rule| rule.name)
}

/// Returns whether a directive is supported, in a file with hooks or without.
pub(in crate::server) fn is_known(name: &str) -> bool {
    rule_with_hooks(name).is_some()
}

/// The blocks in which a directive is allowed.
pub(in crate::server) fn blocks_of(rule: &Rule) -> Vec<&'static str> {
    const NAMES: [(u8, &str); 8] = [
        (MAIN, "main"),
        (EVENTS, "events"),
        (HTTP, "http"),
        (SERVER, "server"),
        (SERVER_IF, "if in server"),
        (LOCATION, "location"),
        (IF, "if in location"),
        (LIMIT_EXCEPT, "limit_except"),
    ];
    NAMES
        .iter()
        .filter(|(bit, _)| rule.contexts & bit != 0)
        .map(|(_, name)| *name)
        .collect()
}

/// The rule for a directive of this name.
pub(in crate::server) fn rule(name: &str) -> Option<&'static Rule> {
    static IGNORED_RULE: Rule = Rule {
        name: "",
        contexts: ANY,
        arguments: 0..=usize::MAX,
        effect: Effect::Ignored,
    };
    let known = all().find(|rule| rule.name == name);
    known.or_else(|| ignored::reason(name).map(|_| &IGNORED_RULE))
}

/// The rules of all directives, except those for hooks.
pub(in crate::server) fn all() -> impl Iterator<Item = &'static Rule> {
    let tables = [
        DIRECTIVES,
        push_stream::DIRECTIVES,
        web::DIRECTIVES,
        rewriting::DIRECTIVES,
        gzip::DIRECTIVES,
        charset::DIRECTIVES,
        connection::DIRECTIVES,
        logs::DIRECTIVES,
        nhpm::DIRECTIVES,
        nchan::DIRECTIVES,
    ];
    tables
        .into_iter()
        .chain(nchan_unsupported::DIRECTIVES.iter().copied())
        .flatten()
}

/// As [`rule`], including the directives that are supported only in files with hooks.
pub(in crate::server) fn rule_with_hooks(name: &str) -> Option<&'static Rule> {
    rule(name).or_else(|| {
        super::proxy::DIRECTIVES
            .iter()
            .find(|rule| rule.name == name)
    })
}

static DIRECTIVES: &[Rule] = &[
    rule_of("events", MAIN, 0..=0, Effect::Block),
    rule_of("http", MAIN, 0..=0, Effect::Block),
    rule_of("server", HTTP, 0..=0, Effect::Block),
    rule_of("location", SERVER | LOCATION, 1..=2, Effect::Block),
    rule_of("if", SERVER | LOCATION, 1..=usize::MAX, Effect::Block),
    rule_of("types", HSL, 0..=0, Effect::Block),
    rule_of(
        "worker_processes",
        MAIN,
        1..=1,
        Effect::Once(worker_processes),
    ),
    rule_of("listen", SERVER, 1..=usize::MAX, Effect::Many(listen_on)),
    rule_of(
        "server_name",
        SERVER,
        1..=usize::MAX,
        Effect::Many(server_name),
    ),
    one!("default_type", HSL, |s, v| level.default_type =
        Some(v.text())),
    rule_of(
        "client_max_body_size",
        HSL,
        1..=1,
        Effect::Once(client_max_body_size),
    ),
    rule_of(
        "keepalive_timeout",
        HSL,
        1..=2,
        Effect::Once(keepalive_timeout),
    ),
    one!("client_header_timeout", HTTP | SERVER, |s, v| limits
        .header_timeout =
        v.milliseconds()?),
    one!("client_body_timeout", HSL, |s, v| limits.body_timeout =
        v.milliseconds()?),
    one!("send_timeout", HSL, |s, v| limits.send_timeout =
        v.milliseconds()?),
    // Extensions of pushctl.
    rule_of(
        "pushctl_slow_consumer",
        HSL,
        1..=1,
        Effect::Once(slow_consumer),
    ),
    rule_of(
        "pushctl_slow_consumer_bytes",
        HSL,
        1..=1,
        Effect::Once(slow_consumer_bytes),
    ),
    one!("pushctl_gap_notice", HSL, |s, v| level.gap_notice =
        v.flag()?),
    one!("pushctl_batch", HSL, |s, v| level.batch = v.flag()?),
    rule_of(
        "pushctl_front_enforces",
        HSL,
        1..=usize::MAX,
        Effect::Once(guard_rules::front_enforces),
    ),
    rule_of(
        guard_directive::NOT_ENFORCED,
        HSLI | SERVER_IF | LIMIT_EXCEPT,
        1..=usize::MAX,
        Effect::Many(guard_rules::not_enforced),
    ),
];

fn worker_processes(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value.first() == b"auto" {
        scope.workers = Some(0);
        return Ok(());
    }
    let workers = value
        .number()?
        .and_then(|number| usize::try_from(number).ok())
        .filter(|workers| *workers > 0);
    scope.workers = Some(workers.ok_or_else(|| value.invalid("number"))?);
    Ok(())
}

/// Why a `listen` with `quic` has no effect.
const QUIC: &str = "pushctl opens no UDP port, clients use the TCP addresses";

fn listen_on(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let listens = listen::parse(value.arguments)?;
    if let Some(quic) = listens.first().filter(|listen| listen.is_quic) {
        scope.has_quic = true;
        scope.support = Some(Support::Ignored(QUIC));
        scope.notices.push(format!(
            "\"listen {}\" with HTTP/3 is ignored: {QUIC}",
            quic.text
        ));
        return Ok(());
    }
    let is_known = |listen: &Listen| {
        scope
            .listens
            .iter()
            .any(|earlier| earlier.address == listen.address)
    };
    if let Some(duplicate) = listens.iter().find(|listen| is_known(listen)) {
        return Err(format!("a duplicate listen {}", duplicate.text));
    }
    scope.listens.extend(listens);
    Ok(())
}

fn server_name(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    for name in value.arguments {
        scope
            .names
            .extend(ServerName::parse(&String::from_utf8_lossy(name))?);
    }
    Ok(())
}

/// The second argument sets the header `Keep-Alive`, which pushctl does not send.
fn keepalive_timeout(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value
        .arguments
        .get(1)
        .is_some_and(|header| units::time(header, false).is_none())
    {
        return Err(value.invalid("value"));
    }
    scope.limits.keepalive_timeout = value.milliseconds()?;
    Ok(())
}

fn client_max_body_size(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.client_max_body_size =
        Some(units::size(value.first(), true).ok_or_else(|| value.invalid("value"))?);
    Ok(())
}

fn slow_consumer(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let policy = SlowPolicy::from_name(&value.shown());
    let names = SlowPolicy::NAMES.map(|(name, _)| name).join(", ");
    let unknown = || {
        format!(
            "invalid value \"{}\" in \"{}\" directive, accepted values ({names})",
            value.shown(),
            value.name
        )
    };
    scope.level.slow_consumer = Some(policy.ok_or_else(unknown)?);
    Ok(())
}

fn slow_consumer_bytes(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let bytes = units::size(value.first(), true).filter(|bytes| *bytes > 0);
    let wrong = || {
        format!(
            "invalid value \"{}\" in \"{}\" directive, it must be a size above zero such as 512k \
             or 4m",
            value.shown(),
            value.name
        )
    };
    scope.level.slow_consumer_bytes = Some(bytes.ok_or_else(wrong)?);
    Ok(())
}
