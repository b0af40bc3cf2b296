//! Evaluation of expressions to URIs and addresses. Values from the client are escaped, so that
//! they cannot change the structure that the configuration defines.

use std::borrow::Cow;

use super::escape;
use super::{Expression, ExpressionPart, Variables};

impl Expression {
    /// Evaluates the value of a `set`. As in nginx, numbered captures are escaped if the request
    /// path contained escapes: a captured `&` stays part of its argument in `?id=$set`.
    #[must_use]
    pub fn evaluate_to_set(&self, variables: &dyn Variables) -> Vec<u8> {
        let was_escaped = was_escaped(variables);
        self.parts
            .iter()
            .flat_map(|part| part.escaped_if(was_escaped, variables))
            .collect()
    }

    /// Evaluates the replacement of a `rewrite` to a path and, after the first literal `?` of the
    /// expression, the arguments. A `?` in a variable is part of the path. Captures in the
    /// arguments are escaped as for `set`.
    #[must_use]
    pub fn evaluate_to_replacement(&self, variables: &dyn Variables) -> (Vec<u8>, Option<Vec<u8>>) {
        let was_escaped = was_escaped(variables);
        let mut path = Vec::new();
        let mut arguments = None::<Vec<u8>>;
        for part in &self.parts {
            match (&mut arguments, part) {
                (Some(arguments), part) => {
                    arguments.extend(part.escaped_if(was_escaped, variables))
                }
                (None, ExpressionPart::Literal(text)) => {
                    let mark = memchr::memchr(b'?', text);
                    path.extend_from_slice(&text[..mark.unwrap_or(text.len())]);
                    arguments = mark.map(|mark| text[mark + 1..].to_vec());
                }
                (None, part) => path.extend_from_slice(&part.value(variables)),
            }
        }
        (path, arguments)
    }

    /// Evaluates the address of a redirection, with captures escaped as for `set`. Also returns
    /// whether the expression has a literal `?`.
    #[must_use]
    pub fn evaluate_to_redirect(&self, variables: &dyn Variables) -> (Vec<u8>, bool) {
        let has_arguments = self
            .parts
            .iter()
            .any(|part| matches!(part, ExpressionPart::Literal(text) if text.contains(&b'?')));
        (self.evaluate_to_set(variables), has_arguments)
    }

    /// Evaluates to a decoded path and, after the first literal `?` of the expression, the
    /// arguments. A `?` in a variable is part of the path. In the arguments, all characters of
    /// variables that could end an argument or start another one are escaped.
    #[must_use]
    pub fn evaluate_to_uri(&self, variables: &dyn Variables) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut path = Vec::new();
        let mut arguments = None::<Vec<u8>>;
        for part in &self.parts {
            match (&mut arguments, part) {
                (Some(arguments), part) => arguments.extend_from_slice(&part.argument(variables)),
                (None, ExpressionPart::Literal(text)) => {
                    let mark = memchr::memchr(b'?', text);
                    path.extend_from_slice(&text[..mark.unwrap_or(text.len())]);
                    arguments = mark.map(|mark| text[mark + 1..].to_vec());
                }
                (None, part) => path.extend_from_slice(&part.value(variables)),
            }
        }
        (path, arguments)
    }
}

/// Whether the path of the request contains escapes.
fn was_escaped(variables: &dyn Variables) -> bool {
    let target = variables.builtin("request_uri").unwrap_or_default();
    target
        .iter()
        .take_while(|byte| **byte != b'?')
        .any(|byte| matches!(byte, b'%' | b'+'))
}

impl ExpressionPart {
    /// Evaluates the part; escapes numbered captures if `escapes`.
    fn escaped_if(&self, escapes: bool, variables: &dyn Variables) -> Vec<u8> {
        match self {
            ExpressionPart::Capture(_) if escapes => escape::argument(&self.value(variables)),
            part => part.value(variables).into_owned(),
        }
    }

    /// Evaluates the part for the arguments of an address.
    fn argument<'a>(&'a self, variables: &'a dyn Variables) -> Cow<'a, [u8]> {
        let value = self.value(variables);
        let is_encoded = match self {
            // The value may have any source and may already be encoded.
            ExpressionPart::Map(_) => return Cow::Owned(escape::separators(&value)),
            ExpressionPart::Literal(_) | ExpressionPart::Argument(_) => true,
            ExpressionPart::Assigned(slot, _) => variables.assigned(*slot).is_some(),
            // Complete query strings.
            ExpressionPart::Builtin(name) => {
                matches!(name.as_str(), "args" | "query_string" | "is_args")
            }
            ExpressionPart::Capture(_)
            | ExpressionPart::NamedCapture(_)
            | ExpressionPart::Header(_)
            | ExpressionPart::Cookie(_)
            | ExpressionPart::SecureLink(_)
            | ExpressionPart::PathAfter(_) => false,
        };
        if is_encoded {
            value
        } else {
            Cow::Owned(escape::argument(&value))
        }
    }
}
