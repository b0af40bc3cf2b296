//! Directive values with variables, such as `$arg_id` or `"test_$1"`.
//!
//! Parsed once when the configuration is read, evaluated for every request. Where the values come
//! from is the business of the caller, through [`Variables`] (push-stream.md, section 17).

mod addresses;
mod kinds;
mod memo;
mod snapshot;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::map::MapVariable;
use super::regex_pattern;
use super::secure_link::{LinkCheck, LinkVariable};
use super::variables::availability;
pub use memo::Memo;
pub use snapshot::VariableSnapshot;

/// Where the variables of an expression come from: the request.
pub trait Variables {
    /// `$arg_NAME`: the raw value of the first query argument of that name (compared without case,
    /// undecoded).
    fn argument(&self, name: &[u8]) -> Option<&[u8]>;
    /// `$http_NAME`: the first header of that name (lower case, with `-` for `_`).
    fn header(&self, name: &str) -> Option<&[u8]>;
    /// `$1` to `$9`: a capture of the location's regular expression.
    fn capture(&self, number: usize) -> Option<&[u8]>;
    /// A named capture.
    fn named_capture(&self, name: &str) -> Option<&[u8]>;
    /// The variable of that number, if it was `set`.
    fn assigned(&self, _slot: usize) -> Option<&[u8]> {
        None
    }
    /// Any other variable that the server knows: one that [`availability`] knows. `uri` is the
    /// decoded, normalised path.
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>>;
    /// The file of that path: `$request_filename`.
    fn file_name(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }
    /// How `$secure_link` is found.
    fn link_check(&self) -> LinkCheck<'_> {
        LinkCheck::None
    }
    /// Values that a request has once.
    fn memo(&self) -> Option<&Memo> {
        None
    }
}

/// The variables that a configuration makes.
#[derive(Clone, Debug, Default)]
pub struct VariableNames {
    /// Named captures of regular expressions anywhere in it.
    pub captures: Vec<String>,
    /// Variables of `set`, in lower case, by number.
    pub assigned: Vec<String>,
    /// Variables of `map`, in lower case.
    pub maps: Vec<(String, MapVariable)>,
    /// Those of them that depend on a variable without a value here, and further variables without
    /// one.
    pub unavailable: Vec<String>,
    /// Variables that are made in several ways: a value here may not be that of nginx.
    pub redefined: Vec<String>,
    /// Variables of `map` that depend on the response.
    pub of_response: Vec<String>,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// nginx does not know it either.
    #[error("unknown \"{0}\" variable")]
    UnknownVariable(String),
    /// A `$` without a name.
    #[error("invalid variable name")]
    InvalidName,
    /// A `${` without `}`.
    #[error("the closing bracket in \"{0}\" variable is missing")]
    MissingBracket(String),
}

/// A text with variables in it, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expression {
    parts: Vec<ExpressionPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ExpressionPart {
    Literal(Bytes),
    Argument(Bytes),
    Header(String),
    Capture(usize),
    NamedCapture(String),
    /// Set by `set`, or else a capture of that name.
    Assigned(usize, String),
    Map(MapVariable),
    Cookie(Bytes),
    /// `$secure_link`, `$secure_link_expires`
    SecureLink(LinkVariable),
    Builtin(String),
    /// The normalised path without its first bytes: what a prefix location leaves for the channels.
    PathAfter(usize),
}

impl Expression {
    /// Parses a text in which no named captures can occur.
    ///
    /// # Errors
    /// A variable that does not exist, or a `$` that names none.
    pub fn parse(text: &[u8]) -> Result<Self, ExpressionError> {
        Self::parse_with(text, &VariableNames::default())
    }

    /// Parses a text that may use the variables `names` of the configuration.
    ///
    /// # Errors
    /// A variable that does not exist, or a `$` that names none.
    pub fn parse_with(text: &[u8], names: &VariableNames) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(dollar) = memchr::memchr(b'$', rest) {
            push_literal(&mut parts, &rest[..dollar]);
            let (part, after) = variable(&rest[dollar + 1..], names)?;
            parts.push(part);
            rest = after;
        }
        push_literal(&mut parts, rest);
        Ok(Self { parts })
    }

    /// The query argument `name`, as `$arg_name`.
    #[must_use]
    pub fn argument(name: &str) -> Self {
        Self {
            parts: vec![ExpressionPart::Argument(Bytes::from(
                name.to_ascii_lowercase(),
            ))],
        }
    }

    /// A fixed text.
    #[must_use]
    pub fn literal(text: impl Into<Bytes>) -> Self {
        Self {
            parts: vec![ExpressionPart::Literal(text.into())],
        }
    }

    /// The normalised path after its first `prefix_bytes` bytes: what follows the prefix of a
    /// location.
    #[must_use]
    pub fn path_after(prefix_bytes: usize) -> Self {
        Self {
            parts: vec![ExpressionPart::PathAfter(prefix_bytes)],
        }
    }

    /// Each piece of text and each variable as an expression of its own.
    #[must_use]
    pub fn split(self) -> Vec<Self> {
        self.parts
            .into_iter()
            .map(|part| Self { parts: vec![part] })
            .collect()
    }

    /// Evaluates for one request; an absent variable is empty. Borrows when the expression is a
    /// single part.
    #[must_use]
    pub fn evaluate<'a>(&'a self, variables: &'a dyn Variables) -> Cow<'a, [u8]> {
        if let [part] = self.parts.as_slice() {
            return part.value(variables);
        }
        let mut text = Vec::new();
        for part in &self.parts {
            text.extend_from_slice(&part.value(variables));
        }
        Cow::Owned(text)
    }

    /// As [`Expression::evaluate`], for the channels or the group that a request names. `None` if a
    /// regular expression in it failed: nothing may be done to other channels than the request
    /// means.
    #[must_use]
    pub fn evaluate_name<'a>(&'a self, variables: &'a dyn Variables) -> Option<Cow<'a, [u8]>> {
        let name = self.evaluate(variables);
        (!regex_pattern::has_failure()).then_some(name)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            ExpressionPart::Literal(text) => out.write_str(&String::from_utf8_lossy(text)),
            ExpressionPart::Argument(name) => write!(out, "$arg_{}", String::from_utf8_lossy(name)),
            ExpressionPart::Header(name) => write!(out, "$http_{}", name.replace('-', "_")),
            ExpressionPart::Capture(number) => write!(out, "${number}"),
            ExpressionPart::NamedCapture(name)
            | ExpressionPart::Assigned(_, name)
            | ExpressionPart::Builtin(name) => {
                write!(out, "${name}")
            }
            ExpressionPart::Map(_) => out.write_str("$(map)"),
            ExpressionPart::Cookie(name) => {
                write!(out, "$cookie_{}", String::from_utf8_lossy(name))
            }
            ExpressionPart::SecureLink(field) => write!(out, "${}", field.name()),
            ExpressionPart::PathAfter(_) => out.write_str("(rest of the path)"),
        })
    }
}

impl ExpressionPart {
    fn value<'a>(&'a self, variables: &'a dyn Variables) -> Cow<'a, [u8]> {
        let found = match self {
            ExpressionPart::Literal(text) => Some(text.as_ref()),
            ExpressionPart::Argument(name) => variables.argument(name),
            ExpressionPart::Header(name) => variables.header(name),
            ExpressionPart::Capture(number) => variables.capture(*number),
            ExpressionPart::NamedCapture(name) => variables.named_capture(name),
            ExpressionPart::Assigned(slot, name) => variables
                .assigned(*slot)
                .or_else(|| variables.named_capture(name)),
            ExpressionPart::Map(map) => return Cow::Owned(map.value(variables)),
            ExpressionPart::Cookie(name) => variables
                .header("cookie")
                .and_then(|cookies| cookie(cookies, name)),
            ExpressionPart::SecureLink(field) => return Cow::Owned(field.value(variables)),
            ExpressionPart::Builtin(name) => return variables.builtin(name).unwrap_or_default(),
            ExpressionPart::PathAfter(length) => {
                return skip(variables.builtin("uri").unwrap_or_default(), *length);
            }
        };
        Cow::Borrowed(found.unwrap_or_default())
    }
}

fn skip(path: Cow<'_, [u8]>, length: usize) -> Cow<'_, [u8]> {
    match path {
        Cow::Borrowed(path) => Cow::Borrowed(path.get(length..).unwrap_or_default()),
        Cow::Owned(path) => Cow::Owned(path.get(length..).unwrap_or_default().to_vec()),
    }
}

/// The cookie of that name, compared without case. As in nginx a name follows `;` or `,`, and a
/// value ends with `;` only.
fn cookie<'a>(cookies: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = cookies;
    loop {
        let named = rest
            .split_at_checked(name.len())
            .filter(|(start, _)| start.eq_ignore_ascii_case(name));
        let after_name = named.map_or(rest, |(_, after)| without_spaces(after));
        if let (Some(_), Some(value)) = (named, after_name.strip_prefix(b"=")) {
            return without_spaces(value).split(|byte| *byte == b';').next();
        }
        // nginx looks for the next name behind the byte that is no `=`, even if that ends the
        // cookie.
        let skipped = if named.is_some() {
            after_name.get(1..)?
        } else {
            rest
        };
        let end = skipped
            .iter()
            .position(|byte| matches!(byte, b';' | b','))?;
        rest = without_spaces(&skipped[end + 1..]);
    }
}

fn without_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| **byte == b' ').count()..]
}

fn push_literal(parts: &mut Vec<ExpressionPart>, text: &[u8]) {
    if !text.is_empty() {
        parts.push(ExpressionPart::Literal(Bytes::copy_from_slice(text)));
    }
}

/// Reads the variable after a `$`; returns it with the rest of the text.
fn variable<'a>(
    text: &'a [u8],
    names: &VariableNames,
) -> Result<(ExpressionPart, &'a [u8]), ExpressionError> {
    if let [digit @ b'1'..=b'9', rest @ ..] = text {
        return Ok((ExpressionPart::Capture(usize::from(digit - b'0')), rest));
    }
    let (name, rest) = name(text)?;
    // Names of variables are not case-sensitive.
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Request;

    impl Variables for Request {
        fn argument(&self, name: &[u8]) -> Option<&[u8]> {
            (name == b"id").then_some(b"a%20b".as_slice())
        }
        fn header(&self, name: &str) -> Option<&[u8]> {
            (name == "x-real-ip").then_some(b"::1".as_slice())
        }
        fn capture(&self, number: usize) -> Option<&[u8]> {
            (number == 2).then_some(b"two".as_slice())
        }
        fn named_capture(&self, name: &str) -> Option<&[u8]> {
            (name == "ch").then_some(b"named".as_slice())
        }
        fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
            (name == "uri").then_some(Cow::Borrowed(b"/sub/a/b"))
        }
    }

    fn evaluated(text: &str) -> Result<String, ExpressionError> {
        let expression = Expression::parse_with(
            text.as_bytes(),
            &VariableNames {
                captures: vec!["ch".to_owned()],
                ..VariableNames::default()
            },
        )?;
        Ok(String::from_utf8_lossy(&expression.evaluate(&Request)).into_owned())
    }

    #[test]
    fn variables_are_replaced_and_absent_ones_are_empty() {
        for (text, expected) in [
            ("", ""),
            ("none", "none"),
            ("$arg_id", "a%20b"),
            ("$ARG_ID", "a%20b"),
            ("<${arg_id}x>", "<a%20bx>"),
            ("$arg_other", ""),
            ("$2/$1", "two/"),
            ("$21", "two1"),
            ("test_$2", "test_two"),
            ("$http_x_real_ip", "::1"),
            ("$ch-$uri", "named-/sub/a/b"),
            ("$args", ""),
        ] {
            assert_eq!(evaluated(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn unknown_variables_are_refused_in_the_words_of_nginx() {
        assert_eq!(
            evaluated("$foo").expect_err("no such variable").to_string(),
            "unknown \"foo\" variable"
        );
        assert_eq!(
            Expression::parse(b"$ch"),
            Err(ExpressionError::UnknownVariable("ch".to_owned()))
        );
        assert_eq!(evaluated("5 $"), Err(ExpressionError::InvalidName));
        assert_eq!(evaluated("$-a"), Err(ExpressionError::InvalidName));
        assert_eq!(
            evaluated("${arg_id"),
            Err(ExpressionError::MissingBracket("arg_id".to_owned()))
        );
    }

    #[test]
    fn the_rest_of_the_path_follows_the_prefix() {
        assert_eq!(
            Expression::path_after(5).evaluate(&Request).as_ref(),
            b"a/b"
        );
        assert_eq!(Expression::path_after(50).evaluate(&Request).as_ref(), b"");
    }
}
