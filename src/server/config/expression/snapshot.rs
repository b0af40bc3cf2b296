//! Expressions that are evaluated in two steps: what a request knows, when it comes; what its
//! answer adds, when that was sent.

use std::borrow::Cow;

use super::{Expression, ExpressionPart, Variables};
use crate::server::config::map::Map;
use crate::server::config::variables::{Availability, availability};

/// Most maps within maps that are looked into, as with their evaluation.
const MAX_DEPTH: u8 = 16;

/// Variables whose value changes up to the end of a request, in addition to those of its response.
const OF_END: [&str; 7] = [
    "connection_time",
    "msec",
    "request_body",
    "request_length",
    "request_time",
    "time_iso8601",
    "time_local",
];

/// The values of a request that an expression needs later.
#[derive(Debug, Default)]
pub struct VariableSnapshot {
    values: Vec<(ExpressionPart, Vec<u8>)>,
}

impl VariableSnapshot {
    /// Bytes of memory that it takes.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.values
            .iter()
            .map(|(_, value)| size_of::<(ExpressionPart, Vec<u8>)>() + value.capacity())
            .sum()
    }

    fn find(&self, is_it: impl Fn(&ExpressionPart) -> bool) -> Option<&[u8]> {
        self.values
            .iter()
            .find(|(part, _)| is_it(part))
            .map(|(_, value)| value.as_slice())
    }
}

impl Expression {
    /// Whether its value is known only when the answer was sent.
    #[must_use]
    pub fn depends_on_response(&self) -> bool {
        self.has_part(MAX_DEPTH, &is_of_end)
    }

    /// The values that [`Expression::evaluate_deferred`] needs of the request.
    #[must_use]
    pub fn snapshot(&self, variables: &dyn Variables) -> VariableSnapshot {
        let mut snapshot = VariableSnapshot::default();
        self.visit(MAX_DEPTH, &mut |part| {
            let part = match part {
                ExpressionPart::Literal(_) | ExpressionPart::Map(_) => return,
                ExpressionPart::Cookie(_) => ExpressionPart::Header("cookie".to_owned()),
                ExpressionPart::PathAfter(_) => ExpressionPart::Builtin("uri".to_owned()),
                part if is_of_end(part) => return,
                part => part.clone(),
            };
            if snapshot.find(|known| *known == part).is_none() {
                let value = part.value(variables).into_owned();
                snapshot.values.push((part, value));
            }
        });
        snapshot
    }

    /// As [`Expression::evaluate`], when the request is gone; `answer` gives the values that were
    /// not known then.
    #[must_use]
    pub fn evaluate_deferred(
        &self,
        snapshot: &VariableSnapshot,
        answer: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Vec<u8> {
        self.evaluate(&DeferredVariables { snapshot, answer })
            .into_owned()
    }

    fn has_part(&self, depth: u8, is_it: &dyn Fn(&ExpressionPart) -> bool) -> bool {
        self.parts.iter().any(|part| {
            is_it(part)
                || maps_of(part, depth).is_some_and(|map| {
                    map.expressions()
                        .any(|inner| inner.has_part(depth - 1, is_it))
                })
        })
    }

    fn visit(&self, depth: u8, see: &mut dyn FnMut(&ExpressionPart)) {
        for part in &self.parts {
            see(part);
            if let Some(map) = maps_of(part, depth) {
                map.expressions()
                    .for_each(|inner| inner.visit(depth - 1, see));
            }
        }
    }
}

fn maps_of(part: &ExpressionPart, depth: u8) -> Option<&Map> {
    match part {
        ExpressionPart::Map(map) if depth > 0 => map.table(),
        _ => None,
    }
}

fn is_of_end(part: &ExpressionPart) -> bool {
    matches!(part, ExpressionPart::Builtin(name) if OF_END.contains(&name.as_str()) || availability(name) == Some(Availability::AtEnd))
}

/// The variables of a request that is over.
struct DeferredVariables<'a> {
    snapshot: &'a VariableSnapshot,
    answer: &'a dyn Fn(&str) -> Option<Vec<u8>>,
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
            .or_else(|| (self.answer)(name).map(Cow::Owned))
    }
}
