//! Configuration from an existing nginx.conf (push-stream protocol reference, sections 15 to 17).
//!
//! `lexer` and `parser` make a tree of the file; `directives` knows each directive; `levels` inherits; `build` walks the
//! tree and fills the model, with `locations`, `listeners` and `timeouts`; `checks` are the module's rules about the whole.
//! Directives of nginx that stand for something else (proxies, static files, includes) are not served: they become
//! notices.

mod build;
mod checks;
mod conditions;
mod directives;
mod levels;
mod lexer;
mod listen;
mod listeners;
mod locations;
mod parser;
mod timeouts;
mod units;

use std::fmt;
use std::path::Path;

use super::Config;

/// A configuration that was read.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the file asks for and does not get, in the order of its lines.
    pub notices: Vec<Notice>,
}

/// Something to say about a place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The file as it was named.
    pub file: String,
    /// Number of the line, from 1; 0 = the file as a whole.
    pub line: usize,
    /// What there is to say.
    pub text: String,
    /// For a mistake that shows at the end of a block: the line of the location that has it.
    pub location_line: Option<usize>,
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
}

impl fmt::Display for Remark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.file, self.text)?,
            line => write!(out, "{}:{line}: {}", self.file, self.text)?,
        }
        self.location_line.map_or(Ok(()), |line| write!(out, " (in the location of line {line})"))
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

/// Reads the file at `path`.
///
/// # Errors
/// All mistakes at once; only the first one if the file is not well-formed.
pub fn load(path: &Path) -> Result<Loaded, Mistakes> {
    let file = path.display().to_string();
    match std::fs::read(path) {
        Ok(text) => parse(&file, &text),
        Err(error) => {
            let text = format!("cannot read the configuration: {error}");
            Err(Mistakes { mistakes: vec![Remark { file, line: 0, text, location_line: None }], notices: Vec::new() })
        }
    }
}

/// Reads the text of a configuration; `file` is its name in messages.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &[u8]) -> Result<Loaded, Mistakes> {
    let mut report = Report { file: file.to_owned(), mistakes: Vec::new(), notices: Vec::new() };
    let config = match parser::parse(text) {
        Ok(tree) => build::build(&tree, &mut report),
        Err(error) => {
            report.mistake(error.line, error.text);
            None
        }
    };
    let Report { mut mistakes, mut notices, .. } = report;
    mistakes.sort_by_key(|mistake| mistake.line);
    notices.sort_by_key(|notice| notice.line);
    match config {
        Some(config) if mistakes.is_empty() => Ok(Loaded { config, notices }),
        _ => Err(Mistakes { mistakes, notices }),
    }
}

/// What is found on the way through a file.
#[derive(Debug)]
struct Report {
    file: String,
    mistakes: Vec<Remark>,
    notices: Vec<Remark>,
}

impl Report {
    fn mistake(&mut self, line: usize, text: impl Into<String>) {
        self.mistakes.push(Remark { file: self.file.clone(), line, text: text.into(), location_line: None });
    }

    fn mistake_of_location(&mut self, line: usize, location_line: usize, text: impl Into<String>) {
        self.mistakes.push(Remark { file: self.file.clone(), line, text: text.into(), location_line: Some(location_line) });
    }

    fn notice(&mut self, line: usize, text: impl Into<String>) {
        self.notices.push(Remark { file: self.file.clone(), line, text: text.into(), location_line: None });
    }

    fn not_served(&mut self, line: usize, what: &str) {
        self.notice(line, format!("{what} is not served by pushctl"));
    }
}

#[cfg(test)]
mod tests;
