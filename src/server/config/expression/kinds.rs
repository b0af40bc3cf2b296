//! Queries about the parts of an expression.

use bytes::Bytes;

use super::{Expression, ExpressionPart};

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
