//! Evaluation in two steps, for logs: values of the request are saved when it arrives, values of
//! the response are added after it was sent.

use std::borrow::Cow;

use super::map::Map;
use super::variables::{Availability, availability};
use super::{Expression, ExpressionPart, Variables};

/// Maximum nesting of maps, as in their evaluation.
const MAX_DEPTH: u8 = 16;

/// Variables that are evaluated at the end of a request, in addition to those of the response.
const AT_END: [&str; 7] = [
    "connection_time",
    "msec",
    "request_body",
    "request_length",
    "request_time",
    "time_iso8601",
    "time_local",
];

/// The values of a request for the deferred evaluation of an expression.
#[derive(Debug, Default)]
pub struct VariableSnapshot {
    values: Vec<(ExpressionPart, Vec<u8>)>,
}

impl VariableSnapshot {
    /// Returns the memory that it takes, in bytes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.values
            .iter()
            .map(|(_, value)| size_of::<(ExpressionPart, Vec<u8>)>() + value.capacity())
            .sum()
    }

    fn find(&self, matches: impl Fn(&ExpressionPart) -> bool) -> Option<&[u8]> {
        self.values
            .iter()
            .find(|(part, _)| matches(part))
            .map(|(_, value)| value.as_slice())
    }
}

impl Expression {
    /// Whether its value is known only after the response was sent.
    #[must_use]
    pub fn depends_on_response(&self) -> bool {
        self.has_part(MAX_DEPTH, &is_known_at_end)
    }

    /// Saves the values of the request that [`Expression::evaluate_deferred`] needs.
    #[must_use]
    pub fn snapshot(&self, variables: &dyn Variables) -> VariableSnapshot {
        let mut snapshot = VariableSnapshot::default();
        self.visit(MAX_DEPTH, &mut |part| {
            let part = match part {
                ExpressionPart::Literal(_) | ExpressionPart::Map(_) => return,
                ExpressionPart::Cookie(_) => ExpressionPart::Header("cookie".to_owned()),
                ExpressionPart::PathAfter(_) => ExpressionPart::Builtin("uri".to_owned()),
                part if is_known_at_end(part) => return,
                part => part.clone(),
            };
            if snapshot.find(|known| *known == part).is_none() {
                let value = part.value(variables).into_owned();
                snapshot.values.push((part, value));
            }
        });
        snapshot
    }

    /// Evaluates the expression after the end of the request, with the saved values.
    /// `response_value` returns the built-in variables that were not known earlier.
    #[must_use]
    pub fn evaluate_deferred(
        &self,
        snapshot: &VariableSnapshot,
        response_value: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Vec<u8> {
        self.evaluate(&DeferredVariables {
            snapshot,
            response_value,
        })
        .into_owned()
    }

    fn has_part(&self, depth: u8, matches: &dyn Fn(&ExpressionPart) -> bool) -> bool {
        self.parts.iter().any(|part| {
            matches(part)
                || nested_map(part, depth).is_some_and(|map| {
                    map.expressions()
                        .any(|inner| inner.has_part(depth - 1, matches))
                })
        })
    }

    fn visit(&self, depth: u8, visitor: &mut dyn FnMut(&ExpressionPart)) {
        for part in &self.parts {
            visitor(part);
            if let Some(map) = nested_map(part, depth) {
                map.expressions()
                    .for_each(|inner| inner.visit(depth - 1, visitor));
            }
        }
    }
}

fn nested_map(part: &ExpressionPart, depth: u8) -> Option<&Map> {
    match part {
        ExpressionPart::Map(map) if depth > 0 => map.table(),
        _ => None,
    }
}

fn is_known_at_end(part: &ExpressionPart) -> bool {
    let ExpressionPart::Builtin(name) = part else {
        return false;
    };
    AT_END.contains(&name.as_str()) || availability(name) == Some(Availability::AtEnd)
}

/// The variables of a request that has ended.
struct DeferredVariables<'a> {
    snapshot: &'a VariableSnapshot,
    response_value: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

impl Variables for DeferredVariables<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.snapshot
            .find(|part| matches!(part, ExpressionPart::Argument(known) if known == name))
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.snapshot
            .find(|part| matches!(part, ExpressionPart::Header(known) if known == name))
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.snapshot
            .find(|part| matches!(part, ExpressionPart::Capture(known) if *known == number))
    }
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.snapshot
            .find(|part| matches!(part, ExpressionPart::NamedCapture(known) if known == name))
    }
    fn assigned(&self, slot: usize) -> Option<&[u8]> {
        self.snapshot
            .find(|part| matches!(part, ExpressionPart::Assigned(known, _) if *known == slot))
    }
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let known = self
            .snapshot
            .find(|part| matches!(part, ExpressionPart::Builtin(known) if known == name));
        known
            .map(Cow::Borrowed)
            .or_else(|| (self.response_value)(name).map(Cow::Owned))
    }
}
