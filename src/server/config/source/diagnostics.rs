//! Results of reading a configuration: the model, the mistakes and notices about the file, and how
//! each of its directives is supported.

use std::fmt;

use super::front_enforces::FrontEnforces;
use crate::server::config::Config;

/// Facts about the deployment that are not in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Directives that the front enforces.
    pub front_enforces: FrontEnforces,
    /// The address of the front is set by `--real-ip-from`; otherwise `set_real_ip_from` must set
    /// it.
    pub has_front_address: bool,
}

/// A valid configuration with the findings about its file.
#[derive(Debug)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    /// Directives and values that have less effect than in nginx, ordered by file and line.
    pub notices: Vec<Diagnostic>,
    /// All directives, ordered by file and line.
    pub directives: Vec<DirectiveSupport>,
    /// Names of the directives of push locations that are left to the front.
    pub left_to_front: Vec<String>,
}

/// A directive and how it is supported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectiveSupport {
    /// Name of the file, as in messages.
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub support: Support,
}

/// How pushctl supports a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It has the same effect as in nginx.
    Supported,
    /// An entry of a `map` or `types` block.
    Entry,
    /// It is not needed, for this reason.
    Ignored(&'static str),
    /// It has an effect in nginx and none in pushctl.
    Unsupported,
    /// It is invalid.
    Invalid,
}

/// A mistake or a notice about a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Name of the file, as in messages.
    pub file: String,
    /// Line number, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The message; nginx's wording for a mistake that nginx reports as well.
    pub text: String,
    /// Ways to resolve it.
    pub hints: Vec<String>,
    /// File and line of the location that causes a mistake at the end of an enclosing block.
    pub location: Option<(String, usize)>,
}

/// The findings about an invalid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidConfig {
    /// All mistakes, ordered by file and line; never empty.
    pub mistakes: Vec<Diagnostic>,
    /// Notices about the other directives.
    pub notices: Vec<Diagnostic>,
    /// All directives that were read.
    pub directives: Vec<DirectiveSupport>,
}

impl Diagnostic {
    /// The text, followed by the hints in parentheses.
    #[must_use]
    pub fn with_hints(&self) -> String {
        if self.hints.is_empty() {
            self.text.clone()
        } else {
            format!("{} ({})", self.text, self.hints.join("; "))
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.file, self.with_hints())?,
            line => write!(out, "{}:{line}: {}", self.file, self.with_hints())?,
        }
        match &self.location {
            None => Ok(()),
            Some((file, line)) if *file == self.file => {
                write!(out, " (in the location of line {line})")
            }
            Some((file, line)) => write!(out, " (in the location of {file}:{line})"),
        }
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.mistakes.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(out, "{end}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidConfig {}
