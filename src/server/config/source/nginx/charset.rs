//! `charset`: the name of the encoding in the `Content-Type` of text responses, which are not
//! converted.

use super::levels::Scope;
use super::rule::{Effect, HTTP, IF, LOCATION, Rule, SERVER, Value, rule_of};

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
