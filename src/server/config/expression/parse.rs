//! The parser of expressions.

use bytes::Bytes;

use super::secure_link::LinkVariable;
use super::variables::availability;
use super::{ExpressionError, ExpressionPart, VariableNames};

/// Splits `text` into literal texts and variables.
pub(in crate::server) fn parse_parts(
    text: &[u8],
    names: &VariableNames,
) -> Result<Vec<ExpressionPart>, ExpressionError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(dollar) = memchr::memchr(b'$', rest) {
        push_literal(&mut parts, &rest[..dollar]);
        let (part, after) = variable(&rest[dollar + 1..], names)?;
        parts.push(part);
        rest = after;
    }
    push_literal(&mut parts, rest);
    Ok(parts)
}

fn push_literal(parts: &mut Vec<ExpressionPart>, text: &[u8]) {
    if !text.is_empty() {
        parts.push(ExpressionPart::Literal(Bytes::copy_from_slice(text)));
    }
}

/// Parses the variable after a `$`; returns it with the rest of the text.
fn variable<'a>(
    text: &'a [u8],
    names: &VariableNames,
) -> Result<(ExpressionPart, &'a [u8]), ExpressionError> {
    if let [digit @ b'1'..=b'9', rest @ ..] = text {
        return Ok((ExpressionPart::Capture(usize::from(digit - b'0')), rest));
    }
    let (name, rest) = name(text)?;
    // Variable names are not case-sensitive.
    let name = name.to_ascii_lowercase();
    let part = if let Some(argument) = name.strip_prefix("arg_") {
        ExpressionPart::Argument(Bytes::copy_from_slice(argument.as_bytes()))
    } else if let Some(header) = name.strip_prefix("http_") {
        ExpressionPart::Header(header.replace('_', "-"))
    } else if let Some(cookie) = name.strip_prefix("cookie_") {
        ExpressionPart::Cookie(Bytes::copy_from_slice(cookie.as_bytes()))
    } else if let Some((_, map)) = names.maps.iter().find(|(known, _)| *known == name) {
        ExpressionPart::Map(map.clone())
    } else if let Some(slot) = names.assigned.iter().position(|known| *known == name) {
        ExpressionPart::Assigned(slot, name)
    } else if names
        .captures
        .iter()
        .any(|known| known.eq_ignore_ascii_case(&name))
    {
        ExpressionPart::NamedCapture(name)
    } else if let Some(field) = LinkVariable::from_name(&name) {
        ExpressionPart::SecureLink(field)
    } else if name == "content_type" || name == "content_length" {
        ExpressionPart::Header(name.replace('_', "-"))
    } else if availability(&name).is_some() || names.unavailable.contains(&name) {
        ExpressionPart::Builtin(name)
    } else {
        return Err(ExpressionError::UnknownVariable(name));
    };
    Ok((part, rest))
}

fn name(text: &[u8]) -> Result<(&str, &[u8]), ExpressionError> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bracket = text.first() == Some(&b'{');
    let text = if bracket { &text[1..] } else { text };
    let length = text
        .iter()
        .position(|byte| !is_name(byte))
        .unwrap_or(text.len());
    let name = std::str::from_utf8(&text[..length]).map_err(|_| ExpressionError::InvalidName)?;
    let mut rest = &text[length..];
    if bracket {
        rest = rest
            .strip_prefix(b"}")
            .ok_or_else(|| ExpressionError::MissingBracket(name.to_owned()))?;
    }
    if name.is_empty() {
        Err(ExpressionError::InvalidName)
    } else {
        Ok((name, rest))
    }
}
