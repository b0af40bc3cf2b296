//! Directive values with variables, such as `$arg_id` or `"test_$1"`.
//!
//! Parsed once when the configuration is loaded, evaluated for every request. The caller provides
//! the values through [`Variables`] (push-stream.md, section 17).

mod addresses;
pub mod base64;
mod cookie;
pub(in crate::server) mod escape;
pub mod map;
mod memo;
mod parse;
pub mod path;
pub mod percent;
pub mod reads;
pub mod regex_pattern;
pub mod secure_link;
mod snapshot;
pub mod variables;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use self::map::MapVariable;
use self::reads::{record_argument, record_builtin, record_changing, record_header};
use self::secure_link::{LinkCheck, LinkVariable};
use cookie::find_cookie;
pub use memo::Memo;
pub use snapshot::VariableSnapshot;

/// A source of values for variables, such as a request.
///
/// A wrapper that adds variables to another source returns that one from [`Variables::inner`] and
/// implements only what it adds: all other methods forward to the inner source by default. Without
/// an inner source the variables have no value.
pub trait Variables {
    /// Returns the source that this one extends.
    fn inner(&self) -> Option<&dyn Variables> {
        None
    }

    /// Returns `$arg_NAME`: the undecoded value of the first query argument of that name, compared
    /// without case.
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.inner()?.argument(name)
    }

    /// Returns `$http_NAME`: the first header of that name (lower case, with `-` for `_`).
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.inner()?.header(name)
    }

    /// Returns `$1` to `$9`: a capture of the last regular expression.
    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.inner()?.capture(number)
    }

    /// Returns a named capture.
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.inner()?.named_capture(name)
    }

    /// Returns the value that `set` has assigned to the variable with that number.
    fn assigned(&self, slot: usize) -> Option<&[u8]> {
        self.inner()?.assigned(slot)
    }

    /// Returns any other variable listed by [`availability`](variables::availability). `uri`
    /// is the decoded, normalised path.
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.inner()?.builtin(name)
    }

    /// Returns `$request_filename` for a path.
    fn file_name(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.inner()?.file_name(path)
    }

    /// Returns how `$secure_link` is determined.
    fn link_check(&self) -> LinkCheck<'_> {
        self.inner()
            .map_or(LinkCheck::None, |inner| inner.link_check())
    }

    /// Returns the cache of variables that are evaluated once per request.
    fn memo(&self) -> Option<&Memo> {
        self.inner()?.memo()
    }
}

/// The variables that a configuration defines.
#[derive(Clone, Debug, Default)]
pub struct VariableNames {
    /// Named captures of all its regular expressions.
    pub captures: Vec<String>,
    /// Variables of `set`, in lower case; the index is the number of the variable.
    pub assigned: Vec<String>,
    /// Variables of `map`, in lower case.
    pub maps: Vec<(String, MapVariable)>,
    /// Variables that have no value in pushctl, and variables that depend on them.
    pub unavailable: Vec<String>,
    /// Variables that are defined in several ways, whose value may differ from that of nginx.
    pub redefined: Vec<String>,
    /// Variables of `map` that depend on the response.
    pub of_response: Vec<String>,
}

/// A syntax error in an expression, in the words of nginx.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// A variable that neither nginx nor the configuration defines.
    #[error("unknown \"{0}\" variable")]
    UnknownVariable(String),
    /// A `$` without a name.
    #[error("invalid variable name")]
    InvalidName,
    /// A `${` without `}`.
    #[error("the closing bracket in \"{0}\" variable is missing")]
    MissingBracket(String),
}

/// A parsed text with variables.
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
    /// A variable of `set`; without an assigned value, the capture of that name.
    Assigned(usize, String),
    Map(MapVariable),
    Cookie(Bytes),
    /// `$secure_link`, `$secure_link_expires`
    SecureLink(LinkVariable),
    Builtin(String),
    /// The normalised path without its first bytes: the part after the prefix of a location.
    PathAfter(usize),
}

impl Expression {
    /// Parses a text that can use only the variables of nginx.
    ///
    /// # Errors
    /// An unknown variable, or a syntax error.
    pub fn parse(text: &[u8]) -> Result<Self, ExpressionError> {
        Self::parse_with(text, &VariableNames::default())
    }

    /// Parses a text that can also use the variables `names` of a configuration.
    ///
    /// # Errors
    /// An unknown variable, or a syntax error.
    pub fn parse_with(text: &[u8], names: &VariableNames) -> Result<Self, ExpressionError> {
        let parts = parse::parse_parts(text, names)?;
        Ok(Self { parts })
    }

    /// Creates the expression `$arg_NAME`.
    #[must_use]
    pub fn argument(name: &str) -> Self {
        Self {
            parts: vec![ExpressionPart::Argument(Bytes::from(
                name.to_ascii_lowercase(),
            ))],
        }
    }

    /// Creates an expression without variables.
    #[must_use]
    pub fn literal(text: impl Into<Bytes>) -> Self {
        Self {
            parts: vec![ExpressionPart::Literal(text.into())],
        }
    }

    /// Creates an expression for the normalised path without its first `prefix_bytes` bytes: the
    /// part after the prefix of a location.
    #[must_use]
    pub fn path_after(prefix_bytes: usize) -> Self {
        Self {
            parts: vec![ExpressionPart::PathAfter(prefix_bytes)],
        }
    }

    /// Splits the expression into its texts and variables.
    #[must_use]
    pub fn split(self) -> Vec<Self> {
        self.parts
            .into_iter()
            .map(|part| Self { parts: vec![part] })
            .collect()
    }

    /// Evaluates the expression for a request; a variable without value is empty. Borrows if the
    /// expression is a single text or variable.
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

    /// Evaluates the expression to the name of channels or of a group. `None` if a regular
    /// expression failed: its value could name other channels than the request does.
    #[must_use]
    pub fn evaluate_name<'a>(&'a self, variables: &'a dyn Variables) -> Option<Cow<'a, [u8]>> {
        let name = self.evaluate(variables);
        (!regex_pattern::has_failure()).then_some(name)
    }
}

/// Queries about the parts.
impl Expression {
    /// Returns the text of an expression without variables.
    #[must_use]
    pub fn as_literal(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [] => Some(b""),
            [ExpressionPart::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the name of the variable, if the expression is a single built-in variable.
    #[must_use]
    pub fn as_builtin(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [ExpressionPart::Builtin(name)] => Some(name),
            _ => None,
        }
    }

    /// Returns the names of its built-in variables.
    pub fn builtins(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| {
            if let ExpressionPart::Builtin(name) = part {
                Some(name.as_str())
            } else {
                None
            }
        })
    }

    /// Returns the name of the query argument in lower case, if the expression is a single
    /// `$arg_NAME`.
    #[must_use]
    pub fn as_argument(&self) -> Option<&Bytes> {
        match self.parts.as_slice() {
            [ExpressionPart::Argument(name)] => Some(name),
            _ => None,
        }
    }

    /// Whether it contains the built-in variable of that name.
    #[must_use]
    pub fn uses(&self, builtin: &str) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, ExpressionPart::Builtin(name) if name == builtin))
    }

    /// Whether the value is empty for every request: a directive that was set to `""`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
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
            ExpressionPart::Argument(name) => {
                let value = variables.argument(name);
                record_argument(value);
                value
            }
            ExpressionPart::Header(name) => {
                record_header(name);
                variables.header(name)
            }
            ExpressionPart::Capture(number) => variables.capture(*number),
            ExpressionPart::NamedCapture(name) => variables.named_capture(name),
            ExpressionPart::Assigned(slot, name) => variables
                .assigned(*slot)
                .or_else(|| variables.named_capture(name)),
            ExpressionPart::Map(map) => return Cow::Owned(map.value(variables)),
            ExpressionPart::Cookie(name) => variables
                .header("cookie")
                .and_then(|cookies| find_cookie(cookies, name)),
            // The link may expire.
            ExpressionPart::SecureLink(field) => {
                record_changing();
                return Cow::Owned(field.value(variables));
            }
            ExpressionPart::Builtin(name) => {
                record_builtin(name);
                return variables.builtin(name).unwrap_or_default();
            }
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

#[cfg(test)]
mod tests;
