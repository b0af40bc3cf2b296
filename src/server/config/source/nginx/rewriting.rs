//! `rewrite`, `secure_link` and `auth_request`: rules that apply before the handler of a location.

use bytes::Bytes;

use super::levels::{Level, Scope, StepDraft};
use super::names;
use super::parser::Directive;
use super::rule::{Effect, HTTP, IF, LOCATION, Rule, SERVER, SERVER_IF, Value, rule_of};
use crate::server::config::model::location::rewrite_phase::rewrite::RewriteFlag;
use crate::server::config::model::web::AuthRequest;
use crate::server::config::{
    Expression, RegexPattern, Rewrite, RewriteStep, SecureLink, VariableNames,
};

const HSL: u8 = HTTP | SERVER | LOCATION;

pub(in crate::server) static DIRECTIVES: &[Rule] = &[
    rule_of(
        "rewrite",
        SERVER | LOCATION | IF | SERVER_IF,
        2..=3,
        Effect::Many(rewrite),
    ),
    rule_of("secure_link", HSL, 1..=1, Effect::Once(secure_link)),
    rule_of("secure_link_md5", HSL, 1..=1, Effect::Once(secure_link_md5)),
    rule_of(
        "secure_link_secret",
        LOCATION,
        1..=1,
        Effect::Once(secure_link_secret),
    ),
    rule_of("auth_request", HSL, 1..=1, Effect::Once(auth_request)),
    rule_of(
        "auth_request_set",
        HSL,
        2..=2,
        Effect::Many(auth_request_set),
    ),
];

fn expression(text: &[u8], names: &VariableNames) -> Result<Expression, String> {
    Expression::parse_with(text, names).map_err(|error| error.to_string())
}

fn rewrite(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let pattern = std::str::from_utf8(value.first())
        .map_err(|_| "a regular expression is not UTF-8".to_owned())?;
    let pattern = RegexPattern::new(pattern, false).map_err(|error| error.to_string())?;
    let text = value.arguments[1].as_slice();
    let is_address = [&b"http://"[..], b"https://", b"$scheme"]
        .iter()
        .any(|start| text.starts_with(start));
    let flag = match value.arguments.get(2).map(Vec::as_slice) {
        None if is_address => RewriteFlag::Redirect(302),
        None => RewriteFlag::Continue,
        Some(b"redirect") => RewriteFlag::Redirect(302),
        Some(b"permanent") => RewriteFlag::Redirect(301),
        Some(b"last" | b"break") if is_address => RewriteFlag::Redirect(302),
        Some(b"last") => RewriteFlag::Last,
        Some(b"break") => RewriteFlag::Break,
        Some(flag) => {
            return Err(format!(
                "invalid parameter \"{}\"",
                String::from_utf8_lossy(flag)
            ));
        }
    };
    let (text, keeps_arguments) = text
        .strip_suffix(b"?")
        .map_or((text, true), |text| (text, false));
    let replacement = expression(text, value.names)?;
    scope
        .steps
        .push(StepDraft::Step(RewriteStep::Rewrite(Box::new(Rewrite {
            pattern,
            replacement,
            keeps_arguments,
            flag,
        }))));
    Ok(())
}

fn secure_link(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.secure_link = value.expression()?;
    check_mixture(&scope.level)
}

fn secure_link_md5(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.secure_link_text = value.expression()?;
    check_mixture(&scope.level)
}

fn secure_link_secret(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.secure_link_secret = Some(value.text());
    check_mixture(&scope.level)
}

fn check_mixture(level: &Level) -> Result<(), String> {
    if level.secure_link_secret.is_some()
        && (level.secure_link.is_some() || level.secure_link_text.is_some())
    {
        return Err(
            "\"secure_link_secret\" cannot be mixed with \"secure_link\" and \"secure_link_md5\""
                .to_owned(),
        );
    }
    Ok(())
}

fn auth_request(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.auth_request = Some(if value.first() == b"off" {
        None
    } else {
        Some(value.text())
    });
    Ok(())
}

/// Whether a variable has a value in `auth_request_set`.
fn is_supported(name: &str) -> bool {
    let is_other = name.starts_with("upstream_")
        || name.starts_with("proxy_")
        || name.starts_with("gzip_")
        || name.starts_with("ssl_");
    !is_other
        || name == "upstream_status"
        || name.starts_with("upstream_http_")
        || name.starts_with("upstream_cookie_")
}

fn auth_request_set(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    let name = names::variable(value.first())
        .ok_or_else(|| format!("invalid variable name \"{}\"", value.shown()))?;
    if crate::server::config::expression::variables::availability(&name).is_some() {
        return Err(format!(
            "\"auth_request_set\" of the variable \"{name}\" is not supported (use another name)"
        ));
    }
    let slot = value
        .names
        .assigned
        .iter()
        .position(|known| *known == name)
        .ok_or("the variable is not known")?;
    let text = expression(&value.arguments[1], value.names)?;
    if let Some(unknown) = text.builtins().find(|name| !is_supported(name)) {
        return Err(format!(
            "the variable \"{unknown}\" is not supported in \"auth_request_set\" (use \
             $upstream_status, $upstream_http_NAME or \
             $upstream_cookie_NAME)"
        ));
    }
    scope
        .level
        .auth_request_set
        .get_or_insert_default()
        .push((slot, text));
    Ok(())
}

impl Level {
    /// The `secure_link` settings of a location.
    pub(in crate::server) fn secure_link(&self) -> Option<SecureLink> {
        if let Some(secret) = &self.secure_link_secret {
            return Some(SecureLink::Secret(secret.clone()));
        }
        Some(SecureLink::Checksum {
            link: self.secure_link.clone()?,
            text: self.secure_link_text.clone()?,
        })
    }

    /// The `auth_request` settings of a location.
    pub(in crate::server) fn auth_request(&self) -> Option<AuthRequest> {
        let uri: Bytes = self.auth_request.clone().flatten()?;
        Some(AuthRequest {
            uri,
            variables: self.auth_request_set.clone().unwrap_or_default(),
        })
    }
}

/// Whether a file has push locations with hooks to a back-end: those of nchan may have them, others
/// have them if `auth_request` applies.
pub(in crate::server) fn has_hooks(directives: &[Directive]) -> bool {
    has_hooks_in(directives, false)
}

fn has_hooks_in(directives: &[Directive], has_auth_request: bool) -> bool {
    const ENDPOINTS: [&str; 5] = [
        "push_stream_channels_statistics",
        "push_stream_publisher",
        "push_stream_subscriber",
        "push_publisher",
        "push_subscriber",
    ];
    let own = directives
        .iter()
        .find(|directive| directive.name == "auth_request");
    let has_auth_request = own.map_or(has_auth_request, |own| {
        own.arguments.first().is_none_or(|uri| uri != b"off")
    });
    directives.iter().any(|directive| {
        let name = directive.name.as_str();
        let inner = directive
            .block
            .iter()
            .any(|block| has_hooks_in(&block.directives, has_auth_request));
        inner || name.starts_with("nchan_") || (has_auth_request && ENDPOINTS.contains(&name))
    })
}
