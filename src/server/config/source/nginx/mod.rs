//! Reads a configuration from an nginx.conf or from TOML (push-stream.md, sections 15 to 17).
//!
//! `parser` and `from_toml` build a tree of directives; `files` resolves `include`. `build` turns
//! the tree into a [`Config`] with `blocks`, `locations`, `listeners`, `upstreams` and `timeouts`.
//! The rules of the directives are in `directives` and in the files of their subjects, such as
//! `push_stream`, `nhpm`, `nchan`, `web` and `gzip`; `levels` and `push_levels` hold the settings
//! of a block and inherit them; `checks` and `hooks` check the result. `classes` and `ignored`
//! classify directives without a rule: those that may restrict access are `guards`, others become
//! notices.
//!
//! `to_toml` converts an nginx.conf to TOML, and `front` writes the nginx.conf for an nginx in
//! front of pushctl.

mod blocks;
mod build;
mod channels;
mod charset;
mod checks;
pub(in crate::server::config::source) mod classes;
pub(in crate::server::config::source) mod conditions;
mod connection;
pub(in crate::server::config::source) mod directives;
pub(in crate::server::config::source) mod files;
mod front;
mod guards;
mod gzip;
mod hints;
mod hooks;
mod ignored;
mod levels;
mod listen;
mod listeners;
mod locations;
mod logs;
mod maps;
pub(in crate::server::config::source) mod names;
mod nchan;
mod nchan_unsupported;
mod nhpm;
pub(in crate::server::config::source) mod parser;
mod proxy;
mod push_levels;
mod push_stream;
mod report;
pub(in crate::server::config::source) mod rewriting;
mod timeouts;
mod units;
mod upstreams;
mod web;

use crate::server::config::source::toml::from_toml;
use crate::server::config::source::toml::to_toml;
use std::fmt;
use std::path::Path;

use self::files::{Files, SourcePlace};
pub use self::guards::FrontEnforces;
use self::report::{Finding, Report};
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

/// Parses a whole number as nginx does.
#[must_use]
pub fn number(text: &[u8]) -> Option<u64> {
    units::number(text)
}

/// Parses a time as nginx does, such as `1m 30s`; a number without a unit is seconds.
#[must_use]
pub fn time(text: &[u8]) -> Option<std::time::Duration> {
    units::time(text, false)
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

/// Names of all known directives, supported or not.
pub fn directive_names() -> impl Iterator<Item = &'static str> {
    directives::names().chain(classes::names())
}

/// Names of the blocks in which a directive is allowed; `None` for an unsupported directive.
#[must_use]
pub fn directive_blocks(name: &str) -> Option<Vec<&'static str>> {
    directives::rule_with_hooks(name).map(directives::blocks_of)
}

/// Loads a configuration from the file at `path`, which may be a pipe, and the files that it
/// includes.
///
/// # Errors
/// All mistakes at once, up to the first syntax error of each file.
pub fn load(path: &Path, options: &ImportOptions) -> Result<LoadedConfig, InvalidConfig> {
    loaded(path, files::read_any(path), options)
}

/// Reloads a configuration. Unlike [`load`], this fails for a path that is not a regular file: a
/// pipe cannot be read twice, and opening it would block.
///
/// # Errors
/// As [`load`].
pub fn reload(path: &Path, options: &ImportOptions) -> Result<LoadedConfig, InvalidConfig> {
    loaded(path, files::read(path), options)
}

fn loaded(
    path: &Path,
    text: Result<Vec<u8>, String>,
    options: &ImportOptions,
) -> Result<LoadedConfig, InvalidConfig> {
    let file = path.display().to_string();
    match text {
        Ok(text) => parse_with(&file, &text, options),
        Err(error) => {
            let text = format!("cannot read the configuration: {error}");
            Err(InvalidConfig {
                mistakes: vec![Diagnostic {
                    file,
                    line: 0,
                    text,
                    hints: Vec::new(),
                    location: None,
                }],
                notices: Vec::new(),
                directives: Vec::new(),
            })
        }
    }
}

/// Parses the text of a configuration; `file` is its name in messages, which ends in `.toml` for
/// TOML.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &[u8]) -> Result<LoadedConfig, InvalidConfig> {
    parse_with(file, text, &ImportOptions::default())
}

fn parse_with(
    file: &str,
    text: &[u8],
    options: &ImportOptions,
) -> Result<LoadedConfig, InvalidConfig> {
    let mut files = Files::new(file);
    let (tree, syntax) = tree(text, &mut files);
    let mut report = Report::new(files);
    let config = tree
        .as_ref()
        .and_then(|tree| build::build(tree, &mut report, options));
    // A directive with a syntax error may be incomplete: report the syntax error only.
    report
        .mistakes
        .retain(|found| !syntax.errors.iter().any(|error| error.place == found.place));
    if let Some(tree) = &tree {
        hints::add(&mut report, tree, &syntax);
    }
    for parser::SyntaxError { place, text, hint } in syntax.errors {
        report.mistakes.push(Finding {
            hints: hint.into_iter().collect(),
            ..Finding::new(place, text)
        });
    }
    let directives = report.take_directives();
    let left_to_front = std::mem::take(&mut report.left_to_front);
    let mistakes = report.take_mistakes();
    let notices = report.take_notices();
    match config {
        Some(config) if mistakes.is_empty() => Ok(LoadedConfig {
            config,
            notices,
            directives,
            left_to_front,
        }),
        _ => Err(InvalidConfig {
            mistakes,
            notices,
            directives,
        }),
    }
}

/// Writes the configuration of an nginx that forwards the push locations of a configuration to
/// pushctl at `address` and enforces `guards`, the directives that pushctl does not enforce.
///
/// # Errors
/// The first syntax error.
pub fn front(file: &str, text: &[u8], guards: &[String], address: &str) -> Result<Vec<u8>, String> {
    let mut files = Files::new(file);
    match tree(text, &mut files) {
        (Some(tree), syntax) if syntax.errors.is_empty() => {
            Ok(front::write(&tree, &files, guards, address))
        }
        (_, syntax) => Err(syntax
            .errors
            .first()
            .map(|error| error.text.clone())
            .unwrap_or_default()),
    }
}

/// Converts an nginx.conf, whose name in messages is `file`, to TOML.
///
/// # Errors
/// The first syntax error, or the first text that TOML cannot represent.
pub fn to_toml(file: &str, text: &[u8]) -> Result<String, String> {
    let mut files = Files::new(file);
    match tree(text, &mut files) {
        (Some(tree), syntax) if syntax.errors.is_empty() => to_toml::write(&tree, &files),
        (_, syntax) => Err(syntax
            .errors
            .first()
            .map(|error| error.text.clone())
            .unwrap_or_default()),
    }
}

/// Parses a file: TOML if its name ends in `.toml`, an nginx.conf otherwise. The tree is `None` if
/// the TOML is malformed.
fn tree(text: &[u8], files: &mut Files) -> (Option<parser::Block>, parser::SyntaxReport) {
    let mut syntax = parser::SyntaxReport::default();
    if !files.name(0).ends_with(".toml") {
        let tree = parser::parse(text, 0, files, &mut syntax);
        return (Some(tree), syntax);
    }
    let (tree, errors) = match std::str::from_utf8(text) {
        Ok(text) => from_toml::parse(text),
        Err(_) => (
            None,
            vec![parser::SyntaxError {
                place: SourcePlace::default(),
                text: "the file is not UTF-8".to_owned(),
                hint: None,
            }],
        ),
    };
    syntax.errors = errors;
    (tree, syntax)
}

#[cfg(test)]
mod directive_table;
#[cfg(test)]
mod directive_tests;
#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod location_tests;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod variable_guard_tests;
