//! What the rewrite phase of nginx does before a location answers: `set`, `if` and `return`, in the order of the file
//! (push-stream protocol reference, section 17).

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use bytes::Bytes;

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
    /// `(-f path)` and the like.
    File {
        /// What is asked.
        test: FileTest,
        /// The path.
        path: Expression,
        /// `!-f`
        negated: bool,
    },
}

/// A question about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileTest {
    /// `-f`: it is a file.
    File,
    /// `-d`: it is a directory.
    Directory,
    /// `-e`: there is something.
    Exists,
    /// `-x`: it may be executed.
    Executable,
}

/// A directive of the rewrite phase.
#[derive(Clone, Debug)]
pub enum Step {
    /// `set`
    Set {
        /// Number of the variable.
        slot: usize,
        /// What it becomes.
        value: Expression,
    },
    /// `if`
    If {
        /// When it is taken.
        condition: Condition,
        /// The settings that it supplies; the last block that is taken supplies all of them.
        settings: Arc<LocationSettings>,
        /// What stands in it.
        steps: Vec<Step>,
    },
    /// `return`
    Return(Return),
    /// `break`
    Break,
}

/// The answer of a `return`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// The status; 444 closes the connection without an answer.
    pub status: u16,
    /// A body, or the address of a redirection.
    pub text: Option<Expression>,
}

/// What the steps leave behind.
#[derive(Debug, Default)]
pub struct Frame {
    /// Values of the variables that were `set`, by number.
    pub assigned: Vec<Option<Bytes>>,
    /// Captures of the last regular-expression condition, empty if it did not match; they replace those of the
    /// location. `None` = there was no such condition, the location's captures stay.
    pub captures: Option<Captures>,
}

/// Where the steps lead.
#[derive(Debug, Default)]
pub struct Outcome<'a> {
    /// Of the last `if` block that is true.
    pub settings: Option<&'a Arc<LocationSettings>>,
    /// The answer, if a `return` was reached.
    pub returned: Option<&'a Return>,
}

/// The settings that a request gets.
#[derive(Debug)]
pub struct Choice<'a> {
    /// Of the last `if` block that is true, or of the location.
    pub settings: &'a Arc<LocationSettings>,
    /// The answer, if a `return` was reached.
    pub returned: Option<&'a Return>,
}

impl Location {
    /// Takes the steps of the location; what they set and capture is in `frame`.
    #[must_use]
    pub fn choose(&self, variables: &dyn Variables, frame: &mut Frame) -> Choice<'_> {
        let Outcome { settings, returned } = run(&self.steps, variables, frame);
        Choice { settings: settings.unwrap_or(&self.settings), returned }
    }
}

/// Takes steps in their order until a `return` or `break`.
pub fn run<'a>(steps: &'a [Step], variables: &dyn Variables, frame: &mut Frame) -> Outcome<'a> {
    let mut outcome = Outcome::default();
    take(steps, variables, frame, &mut outcome);
    outcome
}

/// True = go on with the next step.
fn take<'a>(steps: &'a [Step], variables: &dyn Variables, frame: &mut Frame, outcome: &mut Outcome<'a>) -> bool {
    for step in steps {
        match step {
            Step::Set { slot, value } => {
                let value = Bytes::from(value.evaluate_to_set(&Framed { variables, frame }));
                if frame.assigned.len() <= *slot {
                    frame.assigned.resize(*slot + 1, None);
                }
                frame.assigned[*slot] = Some(value);
            }
            Step::If { condition, settings, steps } => {
                if condition.holds(variables, frame) {
                    outcome.settings = Some(settings);
                    if !take(steps, variables, frame, outcome) {
                        return false;
                    }
                }
            }
            Step::Return(answer) => {
                outcome.returned = Some(answer);
                return false;
            }
            Step::Break => return false,
        }
    }
    true
}

impl Condition {
    fn holds(&self, variables: &dyn Variables, frame: &mut Frame) -> bool {
        let framed = Framed { variables, frame };
        match self {
            Condition::True(variable) => !matches!(variable.evaluate(&framed).as_ref(), b"" | b"0"),
            Condition::Equal { left, right, negated } => (left.evaluate(&framed) == right.evaluate(&framed)) != *negated,
            Condition::Match { subject, pattern, negated } => {
                let found = pattern.captures(&subject.evaluate(&framed));
                let holds = found.is_some() != *negated;
                frame.captures = Some(found.unwrap_or_default());
                holds
            }
            Condition::File { test, path, negated } => test.holds(&path.evaluate(&framed)) != *negated,
        }
    }
}

impl FileTest {
    fn holds(self, path: &[u8]) -> bool {
        std::fs::metadata(OsStr::from_bytes(path)).is_ok_and(|found| match self {
            FileTest::File => found.is_file(),
            FileTest::Directory => found.is_dir(),
            FileTest::Exists => true,
            FileTest::Executable => found.permissions().mode() & 0o111 != 0,
        })
    }
}

/// The variables of a request with what the steps have left behind so far.
#[derive(Clone, Copy)]
pub struct Framed<'a> {
    /// Of the request.
    pub variables: &'a dyn Variables,
    /// Of the steps.
    pub frame: &'a Frame,
}

impl Variables for Framed<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.variables.argument(name)
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.variables.header(name)
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.frame.captures.as_ref().map_or_else(|| self.variables.capture(number), |captures| captures.get(number))
    }
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.frame.captures.as_ref().and_then(|captures| captures.name(name)).or_else(|| self.variables.named_capture(name))
    }
    fn assigned(&self, slot: usize) -> Option<&[u8]> {
        self.frame.assigned.get(slot)?.as_deref()
    }
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.variables.builtin(name)
    }
}
