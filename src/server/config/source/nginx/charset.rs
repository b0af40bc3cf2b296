//! `charset`: the name of the encoding in the `Content-Type` of text responses, which are not
//! converted.

use bytes::Bytes;

use super::directives::{Effect, HTTP, IF, LOCATION, Rule, SERVER, Value, rule_of};
use super::levels::{Level, Scope};
use crate::server::config::Types;

const HSL: u8 = HTTP | SERVER | LOCATION;

pub(in crate::server) static DIRECTIVES: &[Rule] = &[
    rule_of("charset", HSL | IF, 1..=1, Effect::Once(charset)),
    rule_of(
        "charset_types",
        HSL,
        1..=usize::MAX,
        Effect::Once(charset_types),
    ),
];

/// nginx's default for `charset_types`; `text/html` is always included.
const DEFAULT_TYPES: [&str; 6] = [
    "text/html",
    "text/xml",
    "text/plain",
    "text/vnd.wap.wml",
    "application/javascript",
    "application/rss+xml",
];

fn charset(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    if value.first().contains(&b'$') {
        let text = "\"charset\" with variables is not supported: no charset is sent (name one, or \
                    set it in the proxy in front)";
        scope.notices.push(text.to_owned());
        scope.level.charset = Some(None);
        return Ok(());
    }
    let name = value.text();
    scope.level.charset = Some((name != "off").then_some(name));
    Ok(())
}

fn charset_types(scope: &mut Scope, value: &Value<'_>) -> Result<(), String> {
    scope.level.charset_types = Some(
        value
            .arguments
            .iter()
            .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
            .collect(),
    );
    Ok(())
}

/// The types of a location with its charset.
pub(in crate::server) fn types(level: &Level, types: Types) -> Types {
    let Some(Some(charset)) = &level.charset else {
        return types;
    };
    let has_charset = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        let is_it = |known: &str| known == "*" || known.as_bytes() == name;
        // A type with parameters never matches.
        !name.contains(&b';')
            && (name == b"text/html"
                || level.charset_types.as_ref().map_or_else(
                    || DEFAULT_TYPES.into_iter().any(is_it),
                    |types| types.iter().any(|known| is_it(known)),
                ))
    };
    let with_charset = |name: Bytes| match has_charset(&name) && !name.is_empty() {
        true => [&name[..], b"; charset=", charset].concat().into(),
        false => name,
    };
    let by_extension = types
        .by_extension
        .into_iter()
        .map(|(extension, name)| (extension, with_charset(name)));
    Types {
        by_extension: by_extension.collect(),
        default_type: with_charset(types.default_type),
        page_type: with_charset(types.page_type),
    }
}
