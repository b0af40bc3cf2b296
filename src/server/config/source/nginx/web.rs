//! Directives of nginx's core: access, added headers, files, logs, and the rewrite phase without
//! `rewrite`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::levels::{Scope, StepDraft};
use super::names;
use super::rule::{
    Effect, HTTP, IF, LIMIT_EXCEPT, LOCATION, Rule, SERVER, SERVER_IF, Value, rule_of,
};
use crate::server::config::model::clients::Clients;
use crate::server::config::model::logs::AccessLog;
use crate::server::config::model::users;
use crate::server::config::model::web::{AccessRule, AddedHeader, Root};
use crate::server::config::{Expression, LogTarget, Return, RewriteStep};

const HSL: u8 = HTTP | SERVER | LOCATION;
const REWRITE: u8 = SERVER | LOCATION | IF | SERVER_IF;

pub(in crate::server) static DIRECTIVES: &[Rule] = &[
    rule_of("map", HTTP, 2..=2, Effect::Block),
    rule_of("set", REWRITE, 2..=2, Effect::Many(set)),
    rule_of("return", REWRITE, 1..=2, Effect::Many(return_)),
    rule_of("break", REWRITE, 0..=0, Effect::Many(break_)),
    rule_of("add_header", HSL | IF, 2..=3, Effect::Many(add_header)),
    rule_of("allow", HSL | LIMIT_EXCEPT, 1..=1, Effect::Many(access)),
    rule_of("deny", HSL | LIMIT_EXCEPT, 1..=1, Effect::Many(access)),
    rule_of("satisfy", HSL, 1..=1, Effect::Once(satisfy)),
    rule_of(
        "auth_basic",
        HSL | LIMIT_EXCEPT,
        1..=1,
        Effect::Once(auth_basic),
    ),
    rule_of(
        "auth_basic_user_file",
        HSL | LIMIT_EXCEPT,
        1..=1,
        Effect::Once(auth_basic_user_file),
    ),
    rule_of("internal", LOCATION, 0..=0, Effect::Once(internal)),
    rule_of(
        "pushctl_files",
        HSL | IF | SERVER_IF,
        1..=1,
        Effect::Once(files),
    ),
    rule_of("root", HSL | IF, 1..=1, Effect::Many(root)),
    rule_of("alias", LOCATION, 1..=1, Effect::Many(root)),
    rule_of("index", HSL, 1..=usize::MAX, Effect::Many(index)),
    rule_of("log_format", HTTP, 2..=usize::MAX, Effect::Many(log_format)),
    rule_of(
        "access_log",
        HSL | IF,
        1..=usize::MAX,
        Effect::Many(access_log),
    ),
];

fn expression(value: &Value<'_>, text: &[u8]) -> Result<Expression, String> {
    Expression::parse_with(text, value.names).map_err(|error| error.to_string())
}

fn set(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let name = names::variable(value.first())
        .ok_or_else(|| format!("invalid variable name \"{}\"", value.shown()))?;
    if name == "args" {
        scope
            .steps
            .push(StepDraft::Step(RewriteStep::SetArguments(expression(
                value,
                &value.arguments[1],
            )?)));
        return Ok(());
    }
    let slot = value
        .names
        .assigned
        .iter()
        .position(|known| *known == name)
        .ok_or("the variable is not known")?;
    if crate::server::config::expression::variables::availability(&name).is_some() {
        return Err(format!("the duplicate \"{name}\" variable"));
    }
    let value = expression(value, &value.arguments[1])?;
    scope
        .steps
        .push(StepDraft::Step(RewriteStep::Set { slot, value }));
    Ok(())
}

fn break_(scope: &mut Scope, _value: &Value<'_>) -> Result<(), String> {
    scope.steps.push(StepDraft::Step(RewriteStep::Break));
    Ok(())
}

fn return_(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let is_address = |text: &[u8]| {
        [&b"http://"[..], b"https://", b"$scheme"]
            .iter()
            .any(|start| text.starts_with(start))
    };
    let answer = match value.arguments {
        [address] if is_address(address) => Return {
            status: 302,
            text: Some(expression(value, address)?),
        },
        [status, rest @ ..] => {
            let number = crate::server::config::model::units::number(status)
                .filter(|status| *status <= 999)
                .and_then(|status| u16::try_from(status).ok());
            let status =
                number.ok_or_else(|| format!("invalid return code \"{}\"", value.shown()))?;
            let text = rest
                .first()
                .map(|text| expression(value, text))
                .transpose()?;
            Return { status, text }
        }
        [] => return Err("invalid number of arguments in \"return\" directive".to_owned()),
    };
    scope
        .steps
        .push(StepDraft::Step(RewriteStep::Return(answer)));
    Ok(())
}

fn add_header(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let always = match value.arguments.get(2).map(Vec::as_slice) {
        None => false,
        Some(b"always") => true,
        Some(other) => {
            return Err(format!(
                "invalid parameter \"{}\"",
                String::from_utf8_lossy(other)
            ));
        }
    };
    let is_name = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
    if value.first().is_empty() || !value.first().iter().all(is_name) {
        return Err(format!("invalid header name \"{}\"", value.shown()));
    }
    let header = AddedHeader {
        name: value.text(),
        value: expression(value, &value.arguments[1])?,
        always,
    };
    scope
        .level
        .added_headers
        .get_or_insert_default()
        .push(header);
    Ok(())
}

fn access(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let clients = Clients::parse(&value.shown())
        .ok_or_else(|| format!("invalid parameter \"{}\"", value.shown()))?;
    scope.level.access.get_or_insert_default().push(AccessRule {
        allows: value.name == "allow",
        clients,
    });
    Ok(())
}

fn satisfy(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.satisfy_any = Some(match value.first() {
        b"any" => true,
        b"all" => false,
        _ => return Err(format!("invalid value \"{}\"", value.shown())),
    });
    Ok(())
}

fn auth_basic(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let realm = if value.first() == b"off" {
        None
    } else {
        Some(expression(value, value.first())?)
    };
    scope.level.auth_realm = Some(realm);
    Ok(())
}

fn auth_basic_user_file(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value.first().contains(&b'$') {
        return Err(
            "variables in \"auth_basic_user_file\" are not supported by pushctl".to_owned(),
        );
    }
    let path = value.base.join(OsStr::from_bytes(value.first()));
    // A fuzzer must not read files.
    if !cfg!(fuzzing) {
        scope.notices.extend(users::problems(&path));
    }
    scope.level.auth_users = Some(path);
    Ok(())
}

fn internal(scope: &mut Scope, _value: &Value<'_>) -> Result<(), String> {
    scope.level.internal = Some(true);
    Ok(())
}

/// `off`: no files are served here. In TOML it replaces unsupported directives without which files
/// must not be served.
fn files(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value.flag()? == Some(false) {
        scope.level.files_blocked = Some(value.name.to_owned());
    }
    Ok(())
}

fn root(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let is_alias = value.name == "alias";
    if let Some(earlier) = &scope.level.root {
        let is_same = earlier.alias.is_some() == is_alias;
        let earlier = if earlier.alias.is_some() {
            "alias"
        } else {
            "root"
        };
        return Err(if is_same {
            value.duplicate()
        } else {
            format!(
                "\"{}\" directive is duplicate, \"{earlier}\" directive was specified earlier",
                value.name
            )
        });
    }
    let path = expression(value, value.first())?;
    // The replaced part of the path depends on the pattern of the location, which sets it.
    scope.level.root = Some(Root {
        path,
        base: value.base.to_owned(),
        alias: is_alias.then_some(None),
    });
    Ok(())
}

fn index(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    for name in value.arguments {
        let name = expression(value, name)?;
        scope.level.index.get_or_insert_default().push(name);
    }
    Ok(())
}

fn log_format(_scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    names::log_format(&value.arguments[1..], value.names).map(drop)
}

fn access_log(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let logs = scope.level.access_logs.get_or_insert_default();
    if value.first() == b"off" {
        if !logs.is_empty() || value.arguments.len() > 1 {
            return Err("\"access_log off\" takes no other arguments and no other logs".to_owned());
        }
        return Ok(());
    }
    if value.first().contains(&b'$') {
        scope.notices.push(format!(
            "\"access_log {}\" is not supported by pushctl: the path of a log cannot have \
             variables",
            value.shown()
        ));
        return Ok(());
    }
    let is_parameter = |text: &&Vec<u8>| {
        [&b"buffer="[..], b"flush=", b"gzip", b"if="]
            .iter()
            .any(|start| text.starts_with(start))
    };
    let name = value
        .arguments
        .get(1)
        .filter(|text| !is_parameter(text))
        .map_or(&b"combined"[..], Vec::as_slice);
    let name = String::from_utf8_lossy(name);
    let format = value
        .log_formats
        .get(name.as_ref())
        .ok_or_else(|| format!("unknown log format \"{name}\""))?;
    let condition = value
        .arguments
        .iter()
        .find_map(|text| text.strip_prefix(b"if="));
    let condition = condition.map(|text| expression(value, text)).transpose()?;
    let target = match value.first().strip_prefix(b"syslog:") {
        Some(parameters) => LogTarget::Syslog(super::logs::syslog(parameters)?),
        None => LogTarget::File(value.base.join(OsStr::from_bytes(value.first()))),
    };
    logs.push(Arc::new(AccessLog {
        target,
        format: Arc::clone(format),
        condition,
    }));
    Ok(())
}
