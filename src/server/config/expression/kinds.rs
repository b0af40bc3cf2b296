//! What an expression is made of.

use bytes::Bytes;

use super::{Expression, ExpressionPart};

impl Expression {
    /// The text, if there is no variable in it.
    #[must_use]
    pub fn as_literal(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [] => Some(b""),
            [ExpressionPart::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The name, if this is one alone that neither the request line, a header nor the configuration
    /// names.
    #[must_use]
    pub fn as_builtin(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [ExpressionPart::Builtin(name)] => Some(name),
            _ => None,
        }
    }

    /// The names of the variables in it that neither the request line, a header nor the
    /// configuration names.
    pub fn builtins(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| {
            if let ExpressionPart::Builtin(name) = part {
                Some(name.as_str())
            } else {
                None
            }
        })
    }

    /// The name of the query argument, in lower case, if this is one alone.
    #[must_use]
    pub fn as_argument(&self) -> Option<&Bytes> {
        match self.parts.as_slice() {
            [ExpressionPart::Argument(name)] => Some(name),
            _ => None,
        }
    }

    /// True if nothing of a request counts but its target, and its host where the server captures
    /// something of that: parts of them. Variables that are the whole of one (`$uri`, `$args`) are
    /// not looked for.
    #[must_use]
    pub fn uses_only_target(&self) -> bool {
        let is_it = |part: &ExpressionPart| {
            matches!(
                part,
                ExpressionPart::Literal(_)
                    | ExpressionPart::Argument(_)
                    | ExpressionPart::Capture(_)
                    | ExpressionPart::NamedCapture(_)
                    | ExpressionPart::PathAfter(_)
            )
        };
        self.parts.iter().all(is_it)
    }

    /// True if the variable of that name, one of `BUILTIN_VARIABLES`, is in it.
    #[must_use]
    pub fn uses(&self, builtin: &str) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, ExpressionPart::Builtin(name) if name == builtin))
    }

    /// True if the text is empty, whatever the request says: a directive that was set to `""`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_the_target_alone_or_more() {
        for (text, uses_only_target) in [
            ("", true),
            ("a_$arg_id-$1", true),
            ("$http_host", false),
            ("$arg_id$msec", false),
            ("$cookie_a", false),
            ("$uri", false),
        ] {
            let expression = Expression::parse(text.as_bytes()).expect("an expression");
            assert_eq!(expression.uses_only_target(), uses_only_target, "{text}");
        }
        assert!(Expression::path_after(3).uses_only_target());
    }
}
