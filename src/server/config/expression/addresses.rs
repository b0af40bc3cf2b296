//! Expressions that become addresses: what a client says must not mean there what only the configuration may say.

use std::borrow::Cow;

use super::{Expression, Part, Variables};
use crate::server::config::escape;

impl Expression {
    /// Evaluates for `set`, where nginx escapes numbered captures if the path of the request was escaped itself: a captured
    /// `&` stays part of its argument in `?id=$set`.
    #[must_use]
    pub fn evaluate_to_set(&self, variables: &dyn Variables) -> Vec<u8> {
        let target = variables.builtin("request_uri").unwrap_or_default();
        let was_escaped = target.iter().take_while(|byte| **byte != b'?').any(|byte| matches!(byte, b'%' | b'+'));
        let value = |part: &Part| match part {
            Part::Capture(_) if was_escaped => escape::argument(&part.value(variables)),
            part => part.value(variables).into_owned(),
        };
        self.parts.iter().flat_map(value).collect()
    }

    /// Evaluates to a decoded path and, behind the first `?` that the expression itself has, the arguments. A `?` of a variable
    /// is part of the path; in the arguments it is escaped, as is all else that could end an argument or begin another.
    #[must_use]
    pub fn evaluate_to_uri(&self, variables: &dyn Variables) -> (Vec<u8>, Option<Vec<u8>>) {
        let (mut path, mut arguments) = (Vec::new(), None::<Vec<u8>>);
        for part in &self.parts {
            match (&mut arguments, part) {
                (Some(arguments), part) => arguments.extend_from_slice(&part.argument(variables)),
                (None, Part::Literal(text)) => {
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

impl Part {
    /// Its value in the arguments of an address.
    fn argument<'a>(&'a self, variables: &'a dyn Variables) -> Cow<'a, [u8]> {
        let value = self.value(variables);
        let is_encoded = match self {
            // It may be of any source, and be encoded by it.
            Part::Map(_) => return Cow::Owned(escape::separators(&value)),
            Part::Literal(_) | Part::Argument(_) => true,
            Part::Assigned(slot, _) => variables.assigned(*slot).is_some(),
            // Whole arguments.
            Part::Builtin(name) => matches!(name.as_str(), "args" | "query_string" | "is_args"),
            Part::Capture(_) | Part::NamedCapture(_) | Part::Header(_) | Part::Cookie(_) | Part::PathAfter(_) => false,
        };
        if is_encoded { value } else { Cow::Owned(escape::argument(&value)) }
    }
}
