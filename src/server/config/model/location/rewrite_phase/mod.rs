//! nginx's rewrite phase: runs `set`, `if`, `rewrite`, `break` and `return` in the order of the
//! file (push-stream.md, section 17).
//!
//! The caller chooses the server and the location whose directives run, and acts on the result.

pub mod condition;
pub mod rewrite;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use self::rewrite::{Rewrite, RewriteFlag, Uri, find_argument};
use crate::server::config::expression::Memo;
use crate::server::config::expression::reads::record_changing;
use crate::server::config::{
    Captures, Condition, Expression, Location, LocationSettings, Variables,
};

/// Maximum length of a URI after a rewrite in bytes: a replacement that repeats its capture doubles
/// the URI each time.
const MAX_URI_BYTES: usize = 1024 * 1024;

/// A directive of the rewrite phase.
#[derive(Clone, Debug)]
pub enum RewriteStep {
    /// `set`
    Set {
        /// Number of the variable.
        slot: usize,
        /// Its new value.
        value: Expression,
    },
    /// `if`
    If {
        /// The condition.
        condition: Condition,
        /// The settings of the block. Those of the last block whose condition holds replace the
        /// settings of the location.
        settings: Arc<LocationSettings>,
        /// The directives of the block.
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

/// A `return` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// The status; 444 closes the connection without a response.
    pub status: u16,
    /// The body, or the address of a redirection.
    pub text: Option<Expression>,
}

/// The state of a request in the rewrite phase: variables, captures and the current URI.
#[derive(Debug, Default)]
pub struct RewriteFrame {
    /// Values of the variables that were `set`, by number.
    pub assigned: Vec<Option<Bytes>>,
    /// `$1` to `$9`: captures of the last regular expression of a server name, location, condition
    /// or rewrite. Empty after a condition or rewrite that did not match.
    pub captures: Captures,
    /// The current URI, if it was changed.
    pub uri: Option<Uri>,
    /// A rewrite has changed the URI, which makes the request internal.
    pub is_internal: bool,
    /// The URI was changed, but the location is kept (`break`).
    pub stays: bool,
    /// Variables that are evaluated once per request.
    pub memo: Memo,
    /// All matches with named captures. A name keeps its value until a later match has the same
    /// name.
    named: Vec<Captures>,
}

impl RewriteFrame {
    /// Creates the frame of a request with the captures of the server name.
    #[must_use]
    pub fn new(captures: Captures, assigned: Vec<Option<Bytes>>) -> Self {
        let mut frame = Self {
            assigned,
            ..Self::default()
        };
        frame.record_match(captures);
        frame
    }

    /// Records the match of a regular expression.
    pub fn record_match(&mut self, captures: Captures) {
        if captures.has_names() {
            self.named.push(captures.clone());
        }
        self.captures = captures;
    }

    /// Sets the variable with that number.
    pub fn assign(&mut self, slot: usize, value: Bytes) {
        if self.assigned.len() <= slot {
            self.assigned.resize(slot + 1, None);
        }
        self.assigned[slot] = Some(value);
    }

    /// Returns a named capture.
    #[must_use]
    pub fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.named
            .iter()
            .rev()
            .find_map(|captures| captures.name(name))
    }
}

/// Result of running directives.
#[derive(Debug, Default)]
pub struct RewriteOutcome<'a> {
    /// Settings of the last `if` block whose condition holds.
    pub settings: Option<&'a Arc<LocationSettings>>,
    /// The next action.
    pub end: RewriteEnd<'a>,
}

/// The next action after the rewrite phase.
#[derive(Debug, Default)]
pub enum RewriteEnd<'a> {
    /// The content of the location is served.
    #[default]
    Content,
    /// A `return` directive.
    Return(&'a Return),
    /// A `rewrite` redirects the client.
    Redirect {
        /// The status.
        status: u16,
        /// The address.
        address: Vec<u8>,
    },
    /// A `rewrite` has changed the URI: its location is searched.
    Search,
    /// A `rewrite` has produced an empty or too long URI, which is an error.
    NoUri,
}

/// The settings for a request in a location.
#[derive(Debug)]
pub struct LocationChoice<'a> {
    /// Settings of the last `if` block whose condition holds, or of the location.
    pub settings: &'a Arc<LocationSettings>,
    /// The next action.
    pub end: RewriteEnd<'a>,
}

impl Location {
    /// Runs the directives of the location; records variables and captures in `frame`.
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

/// Runs directives in their order, up to the one that ends the phase.
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
    run.run_all(steps);
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

/// A running rewrite phase.
struct Run<'a, 'v> {
    outcome: RewriteOutcome<'a>,
    variables: &'v dyn Variables,
    frame: &'v mut RewriteFrame,
    /// A rewrite has changed the URI.
    is_changed: bool,
    /// No rewrite has matched yet. nginx escapes the captures of `set` only until then.
    is_first: bool,
}

impl<'a> Run<'a, '_> {
    /// Runs directives; returns whether the phase continues.
    fn run_all(&mut self, steps: &'a [RewriteStep]) -> bool {
        steps.iter().all(|step| self.run_step(step))
    }

    fn run_step(&mut self, step: &'a RewriteStep) -> bool {
        match step {
            RewriteStep::Set { slot, value } => {
                let value = self.evaluate_to_set(value);
                self.frame.assign(*slot, value.into());
                true
            }
            RewriteStep::SetArguments(value) => {
                let arguments = self.evaluate_to_set(value);
                let path = self.framed().path();
                record_changing();
                self.frame.uri = Some(Uri { path, arguments });
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
                self.run_all(steps)
            }
            RewriteStep::Return(response) => {
                self.outcome.end = RewriteEnd::Return(response);
                false
            }
            RewriteStep::Rewrite(rewrite) => self.rewrite(rewrite),
            RewriteStep::Break => {
                self.keep_location();
                false
            }
        }
    }

    fn evaluate_to_set(&self, value: &Expression) -> Vec<u8> {
        let framed = self.framed();
        if self.is_first {
            value.evaluate_to_set(&framed)
        } else {
            value.evaluate(&framed).into_owned()
        }
    }

    /// Applies a `rewrite`; returns whether the phase continues.
    fn rewrite(&mut self, rewrite: &Rewrite) -> bool {
        let Some(captures) = rewrite.pattern.captures(&self.framed().path()) else {
            self.frame.captures = Captures::default();
            return true;
        };
        self.frame.record_match(captures);
        self.is_first = false;
        let framed = self.framed();
        let arguments = framed.builtin("args").unwrap_or_default();
        if let RewriteFlag::Redirect(status) = rewrite.flag {
            let address = rewrite.address(&framed, &arguments);
            self.outcome.end = RewriteEnd::Redirect { status, address };
            return false;
        }
        let uri = rewrite.uri(&framed, &arguments);
        if uri.path.is_empty() || uri.path.len() + uri.arguments.len() > MAX_URI_BYTES {
            self.outcome.end = RewriteEnd::NoUri;
            return false;
        }
        // The new query may contain parts of the old one.
        record_changing();
        self.frame.uri = Some(uri);
        self.frame.is_internal = true;
        self.is_changed = true;
        if rewrite.flag == RewriteFlag::Break {
            self.keep_location();
        }
        rewrite.flag == RewriteFlag::Continue
    }

    /// Keeps the location: the current URI is not searched.
    fn keep_location(&mut self) {
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

/// The variables of a request with the changes of the rewrite phase.
#[derive(Clone, Copy)]
pub struct FrameVariables<'a> {
    /// The variables of the request.
    pub variables: &'a dyn Variables,
    /// The state of the rewrite phase.
    pub frame: &'a RewriteFrame,
}

impl FrameVariables<'_> {
    /// The current path.
    fn path(&self) -> Vec<u8> {
        self.builtin("uri").unwrap_or_default().into_owned()
    }
}

impl Variables for FrameVariables<'_> {
    fn inner(&self) -> Option<&dyn Variables> {
        Some(self.variables)
    }
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        match &self.frame.uri {
            Some(uri) => find_argument(&uri.arguments, name),
            None => self.variables.argument(name),
        }
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
    fn memo(&self) -> Option<&Memo> {
        Some(&self.frame.memo)
    }
}
