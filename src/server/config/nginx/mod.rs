//! Configuration from an existing nginx.conf, or the same in TOML (`from_toml`) (push-stream.md,
//! sections 15 to 17).
//!
//! `lexer` and `parser` make a tree of the file; `directives` knows each directive; `levels`
//! inherits; `build` walks the tree and fills the model, with `locations`, `listeners` and
//! `timeouts`; `checks` are the module's rules about the whole. `files` resolves `include`. `nhpm`
//! and `nchan` know the directives of those modules, `push_levels` what they make of a location.
//! Directives of nginx that stand for something else (proxies, rewriting, TLS) are not served: they
//! become notices.

mod blocks;
mod build;
mod charset;
mod checks;
mod classes;
mod conditions;
mod connection;
mod directives;
mod files;
mod from_toml;
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
mod names;
mod nchan;
mod nchan_unsupported;
mod nhpm;
mod parser;
mod proxy;
mod push_levels;
mod push_stream;
mod report;
mod rewriting;
mod timeouts;
mod to_toml;
mod units;
mod upstreams;
mod web;

use std::fmt;
use std::path::Path;

use super::Config;
use files::{Files, Place};
pub use guards::FrontEnforces;
use report::{Finding, Report};

/// What is known about the surroundings of the server when a file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Directives that a proxy in front enforces.
    pub front_enforces: FrontEnforces,
    /// The address of that proxy is given elsewhere; without it `set_real_ip_from` names it.
    pub knows_front: bool,
}

/// A configuration that was read.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the file asks for and does not get, in the order of its lines.
    pub notices: Vec<Notice>,
    /// Every directive of the file.
    pub directives: Vec<Treated>,
    /// Names of directives of push locations that the front enforces.
    pub left_to_front: Vec<String>,
}

/// A directive and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treated {
    /// The file as it was named.
    pub file: String,
    /// Number of the line.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub verdict: Support,
}

/// What becomes of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what it does in nginx.
    Served,
    /// A line of a `map` or `types`.
    Part,
    /// It has no effect, and needs none, for this reason.
    Ignored(&'static str),
    /// It has no effect, and would have one in nginx.
    NotServed,
    /// It is wrong.
    Refused,
}

/// Something to say about a place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The file as it was named.
    pub file: String,
    /// Number of the line, from 1; 0 = the file as a whole.
    pub line: usize,
    /// The message; nginx's wording for a mistake that nginx reports as well.
    pub text: String,
    /// What to do about it.
    pub hints: Vec<String>,
    /// For a mistake that shows at the end of a block: file and line of the location that has it.
    pub location: Option<(String, usize)>,
}

/// A whole number as nginx writes it.
#[must_use]
pub fn number(text: &[u8]) -> Option<u64> {
    units::number(text)
}

/// A time in seconds as nginx writes it, such as `1m 30s`.
#[must_use]
pub fn time(text: &[u8]) -> Option<std::time::Duration> {
    units::time(text, false)
}

/// Something that the file asks for and does not get.
pub type Notice = Remark;

/// A file that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// Everything that is wrong with it, in the order of its lines; never empty.
    pub mistakes: Vec<Remark>,
    /// What it asks for and would not get even so.
    pub notices: Vec<Notice>,
    /// Every directive that was looked at.
    pub directives: Vec<Treated>,
}

impl Remark {
    /// The text with the hints in brackets.
    #[must_use]
    pub fn with_hints(&self) -> String {
        if self.hints.is_empty() {
            self.text.clone()
        } else {
            format!("{} ({})", self.text, self.hints.join("; "))
        }
    }
}

impl fmt::Display for Remark {
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

impl fmt::Display for Mistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.mistakes.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(out, "{end}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The names of the directives that are served, and of those of nginx and other modules that are
/// known.
pub fn directive_names() -> impl Iterator<Item = &'static str> {
    directives::names().chain(classes::names())
}

/// The names of the blocks in which a directive may stand; `None` = it is not known.
#[must_use]
pub fn directive_blocks(name: &str) -> Option<Vec<&'static str>> {
    directives::rule_with_hooks(name).map(directives::blocks_of)
}

/// Reads the file at `path`, which may be a pipe, and those that it includes.
///
/// # Errors
/// All mistakes at once, up to the first syntax error of each file.
pub fn load(path: &Path, options: &ImportOptions) -> Result<Loaded, Mistakes> {
    loaded(path, files::read_any(path), options)
}

/// As [`load`], for a file that was read before: one that cannot be read twice is an error, and is
/// not waited for.
///
/// # Errors
/// As [`load`].
pub fn load_again(path: &Path, options: &ImportOptions) -> Result<Loaded, Mistakes> {
    loaded(path, files::read(path), options)
}

fn loaded(
    path: &Path,
    text: Result<Vec<u8>, String>,
    options: &ImportOptions,
) -> Result<Loaded, Mistakes> {
    let file = path.display().to_string();
    match text {
        Ok(text) => parse_with(&file, &text, options),
        Err(error) => {
            let text = format!("cannot read the configuration: {error}");
            Err(Mistakes {
                mistakes: vec![Remark {
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

/// Reads the text of a configuration; `file` is its name in messages.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &[u8]) -> Result<Loaded, Mistakes> {
    parse_with(file, text, &ImportOptions::default())
}

fn parse_with(file: &str, text: &[u8], options: &ImportOptions) -> Result<Loaded, Mistakes> {
    let mut files = Files::new(file);
    let (tree, syntax) = tree(text, &mut files);
    let mut report = Report::new(files);
    let config = tree
        .as_ref()
        .and_then(|tree| build::build(tree, &mut report, options));
    // What was left out of a line may be missed there.
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
        Some(config) if mistakes.is_empty() => Ok(Loaded {
            config,
            notices,
            directives,
            left_to_front,
        }),
        _ => Err(Mistakes {
            mistakes,
            notices,
            directives,
        }),
    }
}

/// The configuration of an nginx in front of pushctl at `address`, for a configuration whose name
/// in messages is `file`: push locations are forwarded, and `guards`, directives that pushctl does
/// not enforce, stay in force.
///
/// # Errors
/// That the file is not well-formed.
pub fn front(file: &str, text: &[u8], guards: &[String], address: &str) -> Result<Vec<u8>, String> {
    let mut files = Files::new(file);
    match tree(text, &mut files) {
        (Some(tree), faults) if faults.errors.is_empty() => {
            Ok(front::write(&tree, &files, guards, address))
        }
        (_, faults) => Err(faults
            .errors
            .first()
            .map(|error| error.text.clone())
            .unwrap_or_default()),
    }
}

/// The text of an nginx.conf, whose name in messages is `file`, in TOML.
///
/// # Errors
/// What TOML cannot hold, or that the file is not well-formed.
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

/// The directives of a file, as far as they can be read, and what is wrong with the notation: TOML
/// if its name ends so, nginx's notation otherwise.
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
                place: Place::default(),
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
