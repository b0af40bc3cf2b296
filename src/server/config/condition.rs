//! `if` blocks of a location: which settings a request gets (push-stream protocol reference, section 17).

use std::sync::Arc;

use super::{Captures, Expression, Location, LocationSettings, RegexPattern, Variables};

/// The condition of an `if` block.
#[derive(Clone, Debug)]
pub enum Condition {
    /// `($x)`: neither empty nor `0`.
    True(Expression),
    /// `($x = text)` and, negated, `($x != text)`.
    Equal {
        /// The variable.
        left: Expression,
        /// What it is compared with, case-sensitively.
        right: Expression,
        /// `!=`
        negated: bool,
    },
    /// `($x ~ re)`, `($x ~* re)` and, negated, `!~` and `!~*`.
    Match {
        /// The variable.
        subject: Expression,
        /// The expression that is searched in it.
        pattern: RegexPattern,
        /// `!~`, `!~*`
        negated: bool,
    },
}

/// The settings that a request gets.
#[derive(Debug)]
pub struct Choice<'a> {
    /// Of the last `if` block that is true, or of the location.
    pub settings: &'a Arc<LocationSettings>,
    /// Captures of the last regular-expression condition, empty if it did not match; they replace those of the
    /// location. `None` = there was no such condition, the location's captures stay.
    pub captures: Option<Captures>,
}

impl Location {
    /// Evaluates the `if` blocks: all conditions in order, and the last true one supplies all settings.
    ///
    /// `variables` gives the captures of the location, also to conditions that stand behind a regular expression.
    #[must_use]
    pub fn choose(&self, variables: &dyn Variables) -> Choice<'_> {
        let mut choice = Choice { settings: &self.settings, captures: None };
        for (condition, settings) in &self.conditions {
            if condition.holds(variables, &mut choice.captures) {
                choice.settings = settings;
            }
        }
        choice
    }
}

impl Condition {
    fn holds(&self, variables: &dyn Variables, captures: &mut Option<Captures>) -> bool {
        match self {
            Condition::True(variable) => !matches!(variable.evaluate(variables).as_ref(), b"" | b"0"),
            Condition::Equal { left, right, negated } => (left.evaluate(variables) == right.evaluate(variables)) != *negated,
            Condition::Match { subject, pattern, negated } => {
                let found = pattern.captures(&subject.evaluate(variables));
                let holds = found.is_some() != *negated;
                *captures = Some(found.unwrap_or_default());
                holds
            }
        }
    }
}
