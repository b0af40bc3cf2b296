//! The directives of pushctl about guards.

use super::guard_directive::named;
use super::levels::Scope;
use super::rule::Value;
use crate::server::config::source::FrontEnforces;

/// `pushctl_not_enforced`: the guards that the nginx.conf of a TOML file has in this block.
pub(in crate::server) fn not_enforced(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope
        .level
        .guards
        .extend(value.arguments.iter().map(|name| named(name, value.place)));
    Ok(())
}

/// `pushctl_front_enforces`
pub(in crate::server) fn front_enforces(
    scope: &mut Scope,
    value: &Value<'_>,
) -> Result<(), String> {
    let names = value
        .arguments
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned());
    scope.level.front_enforces = Some(FrontEnforces(names.collect()));
    Ok(())
}
