//! What the rewrite phase of nginx does before a location answers: `set`, `if`, `rewrite`, `break`
//! and `return`, in the order of the file (push-stream.md, section 17). Which
//! location they belong to is the business of the caller.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use bytes::Bytes;

use super::expression::Memo;
use super::rewrite::{Rewrite, RewriteFlag, Uri, find_argument};
use super::secure_link::LinkCheck;
use super::{Captures, Expression, Location, LocationSettings, RegexPattern, Variables};

/// Longest URI of a rewrite in bytes: one that repeats what it has captured can double it each
/// time.
const MAX_URI_BYTES: usize = 1024 * 1024;

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
pub enum RewriteStep {
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
        steps: Vec<RewriteStep>,
    },
    /// `set $args`
    SetArguments(Expression),
    /// `return`
    Return(Return),
    /// `rewrite`
    Rewrite(Box<Rewrite>),
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
pub struct RewriteFrame {
    /// Values of the variables that were `set`, by number.
    pub assigned: Vec<Option<Bytes>>,
    /// `$1` to `$9`: captures of the last regular expression, of the server's name, a location, a
    /// condition or a rewrite. Empty if it was one of the latter two and did not match.
    pub captures: Captures,
    /// The URI, if it is not that of the request any more.
    pub uri: Option<Uri>,
    /// A rewrite has made the request an internal one.
    pub is_internal: bool,
    /// The URI was changed, and the location stayed (`break`).
    pub stays: bool,
    /// Values that a request has once.
    pub memo: Memo,
    /// Matches with named captures, which stay when a later expression does not have their names.
    named: Vec<Captures>,
}

impl RewriteFrame {
    /// The frame of a request whose server captured this of its name.
    #[must_use]
    pub fn new(captures: Captures, assigned: Vec<Option<Bytes>>) -> Self {
        let mut frame = Self {
            assigned,
            ..Self::default()
        };
        frame.take_match(captures);
        frame
    }

    /// A regular expression has matched.
    pub fn take_match(&mut self, captures: Captures) {
        if captures.has_names() {
            self.named.push(captures.clone());
        }
        self.captures = captures;
    }

    /// The variable of that number becomes `value`.
    pub fn assign(&mut self, slot: usize, value: Bytes) {
        if self.assigned.len() <= slot {
            self.assigned.resize(slot + 1, None);
        }
        self.assigned[slot] = Some(value);
    }

    /// A named capture.
    #[must_use]
    pub fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.named
            .iter()
            .rev()
            .find_map(|captures| captures.name(name))
    }
}

/// Where the steps lead.
#[derive(Debug, Default)]
pub struct RewriteOutcome<'a> {
    /// Of the last `if` block that is true.
    pub settings: Option<&'a Arc<LocationSettings>>,
    /// What follows.
    pub end: RewriteEnd<'a>,
}

/// What follows the steps.
#[derive(Debug, Default)]
pub enum RewriteEnd<'a> {
    /// The location answers.
    #[default]
    Content,
    /// The answer of a `return`.
    Return(&'a Return),
    /// A `rewrite` sends the client to another address.
    Redirect {
        /// The status.
        status: u16,
        /// The address.
        address: Vec<u8>,
    },
    /// A `rewrite` has changed the URI, whose location is searched.
    Search,
    /// A `rewrite` has left no URI, or one that is too long, which is an error.
    NoUri,
}

/// The settings that a request gets.
#[derive(Debug)]
pub struct LocationChoice<'a> {
    /// Of the last `if` block that is true, or of the location.
    pub settings: &'a Arc<LocationSettings>,
    /// What follows.
    pub end: RewriteEnd<'a>,
}

impl Location {
    /// Takes the steps of the location; what they set and capture is in `frame`.
    #[must_use]
    pub fn choose(
        &self,
        variables: &dyn Variables,
        frame: &mut RewriteFrame,
    ) -> LocationChoice<'_> {
        let RewriteOutcome { settings, end } = run(&self.steps, variables, frame);
        LocationChoice {
            settings: settings.unwrap_or(&self.settings),
            end,
        }
    }
}

/// Takes steps in their order, up to the one that ends the phase.
pub fn run<'a>(
    steps: &'a [RewriteStep],
    variables: &dyn Variables,
    frame: &mut RewriteFrame,
) -> RewriteOutcome<'a> {
    let mut run = Run {
        outcome: RewriteOutcome::default(),
        variables,
        frame,
        is_changed: false,
        is_first: true,
    };
    run.take_all(steps);
    let Run {
        mut outcome,
        is_changed,
        ..
    } = run;
    if is_changed && matches!(outcome.end, RewriteEnd::Content) {
        outcome.end = RewriteEnd::Search;
    }
    outcome
}

/// The phase while it runs.
struct Run<'a, 'v> {
    outcome: RewriteOutcome<'a>,
    variables: &'v dyn Variables,
    frame: &'v mut RewriteFrame,
    /// A rewrite has changed the URI.
    is_changed: bool,
    /// No rewrite has matched yet: after one, nginx does not escape the captures of `set` any more.
    is_first: bool,
}

impl<'a> Run<'a, '_> {
    /// True = the phase goes on.
    fn take_all(&mut self, steps: &'a [RewriteStep]) -> bool {
        steps.iter().all(|step| self.take(step))
    }

    fn take(&mut self, step: &'a RewriteStep) -> bool {
        match step {
            RewriteStep::Set { slot, value } => {
                let framed = self.framed();
                let value = if self.is_first {
                    value.evaluate_to_set(&framed)
                } else {
                    value.evaluate(&framed).into_owned()
                };
                self.frame.assign(*slot, value.into());
                true
            }
            RewriteStep::SetArguments(value) => {
                let framed = self.framed();
                let arguments = if self.is_first {
                    value.evaluate_to_set(&framed)
                } else {
                    value.evaluate(&framed).into_owned()
                };
                self.frame.uri = Some(Uri {
                    path: framed.path(),
                    arguments,
                });
                true
            }
            RewriteStep::If {
                condition,
                settings,
                steps,
            } => {
                if !condition.holds(self.variables, self.frame) {
                    return true;
                }
                self.outcome.settings = Some(settings);
                self.take_all(steps)
            }
            RewriteStep::Return(answer) => {
                self.outcome.end = RewriteEnd::Return(answer);
                false
            }
            RewriteStep::Rewrite(rewrite) => self.rewrite(rewrite),
            RewriteStep::Break => {
                self.stay();
                false
            }
        }
    }

    fn rewrite(&mut self, rewrite: &Rewrite) -> bool {
        let Some(captures) = rewrite.pattern.captures(&self.framed().path()) else {
            self.frame.captures = Captures::default();
            return true;
        };
        self.frame.take_match(captures);
        self.is_first = false;
        let framed = self.framed();
        let arguments = framed.builtin("args").unwrap_or_default();
        if let RewriteFlag::Redirect(status) = rewrite.then {
            let address = rewrite.address(&framed, &arguments);
            self.outcome.end = RewriteEnd::Redirect { status, address };
            return false;
        }
        let uri = rewrite.uri(&framed, &arguments);
        if uri.path.is_empty() || uri.path.len() + uri.arguments.len() > MAX_URI_BYTES {
            self.outcome.end = RewriteEnd::NoUri;
            return false;
        }
        self.frame.uri = Some(uri);
        self.frame.is_internal = true;
        self.is_changed = true;
        if rewrite.then == RewriteFlag::Break {
            self.stay();
        }
        rewrite.then == RewriteFlag::Continue
    }

    /// No location is searched for the URI as it is now.
    fn stay(&mut self) {
        self.frame.stays |= self.is_changed;
        self.is_changed = false;
    }

    fn framed(&self) -> FrameVariables<'_> {
        FrameVariables {
            variables: self.variables,
            frame: self.frame,
        }
    }
}

impl Condition {
    fn holds(&self, variables: &dyn Variables, frame: &mut RewriteFrame) -> bool {
        let framed = FrameVariables { variables, frame };
        match self {
            Condition::True(variable) => !matches!(variable.evaluate(&framed).as_ref(), b"" | b"0"),
            Condition::Equal {
                left,
                right,
                negated,
            } => (left.evaluate(&framed) == right.evaluate(&framed)) != *negated,
            Condition::Match {
                subject,
                pattern,
                negated,
            } => {
                let found = pattern.captures(&subject.evaluate(&framed));
                let holds = found.is_some() != *negated;
                match found {
                    Some(captures) => frame.take_match(captures),
                    None => frame.captures = Captures::default(),
                }
                holds
            }
            Condition::File {
                test,
                path,
                negated,
            } => test.holds(&path.evaluate(&framed)) != *negated,
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
pub struct FrameVariables<'a> {
    /// Of the request.
    pub variables: &'a dyn Variables,
    /// Of the steps.
    pub frame: &'a RewriteFrame,
}

impl FrameVariables<'_> {
    /// The path, as it is now.
    fn path(&self) -> Vec<u8> {
        self.builtin("uri").unwrap_or_default().into_owned()
    }
}

impl Variables for FrameVariables<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        match &self.frame.uri {
            Some(uri) => find_argument(&uri.arguments, name),
            None => self.variables.argument(name),
        }
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.variables.header(name)
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.frame.captures.get(number)
    }
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.frame
            .named_capture(name)
            .or_else(|| self.variables.named_capture(name))
    }
    fn assigned(&self, slot: usize) -> Option<&[u8]> {
        self.frame.assigned.get(slot)?.as_deref()
    }
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let Some(uri) = &self.frame.uri else {
            return self.variables.builtin(name);
        };
        match name {
            "uri" | "document_uri" => Some(Cow::Borrowed(&uri.path)),
            "args" | "query_string" => Some(Cow::Borrowed(&uri.arguments)),
            "is_args" => Some(Cow::Borrowed(if uri.arguments.is_empty() {
                b""
            } else {
                b"?"
            })),
            "request_filename" => self.variables.file_name(&uri.path).map(Cow::Owned),
            _ => self.variables.builtin(name),
        }
    }
    fn file_name(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.variables.file_name(path)
    }
    fn link_check(&self) -> LinkCheck<'_> {
        self.variables.link_check()
    }
    fn memo(&self) -> Option<&Memo> {
        Some(&self.frame.memo)
    }
}
