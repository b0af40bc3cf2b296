//! Reads a configuration file: TOML if its name ends in `.toml`, an nginx.conf otherwise. Both give
//! the same tree of directives, of which `nginx::build` makes the model.

use std::path::Path;

use super::diagnostics::{Diagnostic, ImportOptions, InvalidConfig, LoadedConfig};
use super::nginx::files::{Files, SourcePlace};
use super::nginx::report::{Finding, Report};
use super::nginx::{build, directives, files, front, hints, parser};
use super::toml::{from_toml, to_toml};

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

pub(in crate::server::config::source) fn parse_with(
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
pub(in crate::server::config::source) fn tree(
    text: &[u8],
    files: &mut Files,
) -> (Option<parser::Block>, parser::SyntaxReport) {
    let mut syntax = parser::SyntaxReport::new(directives::is_known);
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
