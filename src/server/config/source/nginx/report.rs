//! The mistakes, notices and directives recorded while a file is read.

use super::files::{Files, SourcePlace};
use super::parser;
use crate::server::config::source::{Diagnostic, DirectiveSupport, Support};

/// Findings about a file and the files that it includes.
#[derive(Debug)]
pub(in crate::server) struct Report {
    pub(in crate::server) files: Files,
    pub(in crate::server) mistakes: Vec<Finding>,
    pub(in crate::server) notices: Vec<Finding>,
    directives: Vec<PlacedDirective>,
    /// Names of directives of push locations that the front enforces, without duplicates.
    pub(in crate::server) left_to_front: Vec<String>,
}

/// A mistake or a notice.
#[derive(Debug)]
pub(in crate::server) struct Finding {
    pub(in crate::server) place: SourcePlace,
    pub(in crate::server) text: String,
    pub(in crate::server) hints: Vec<String>,
    /// The location in which a mistake of the enclosing block shows.
    pub(in crate::server) location: Option<SourcePlace>,
}

/// A directive with its place.
#[derive(Debug)]
struct PlacedDirective {
    place: SourcePlace,
    name: String,
    support: Support,
}

impl Finding {
    pub(in crate::server) fn new(place: SourcePlace, text: impl Into<String>) -> Self {
        Self {
            place,
            text: text.into(),
            hints: Vec::new(),
            location: None,
        }
    }

    fn into_diagnostic(self, files: &Files) -> Diagnostic {
        Diagnostic {
            file: files.name(self.place.file).to_owned(),
            line: self.place.line,
            text: self.text,
            hints: self.hints,
            location: self
                .location
                .map(|place| (files.name(place.file).to_owned(), place.line)),
        }
    }
}

impl Report {
    pub(in crate::server) fn new(files: Files) -> Self {
        Self {
            files,
            mistakes: Vec::new(),
            notices: Vec::new(),
            directives: Vec::new(),
            left_to_front: Vec::new(),
        }
    }

    pub(in crate::server) fn mistake(&mut self, place: SourcePlace, text: impl Into<String>) {
        self.mistakes.push(Finding::new(place, text));
    }

    pub(in crate::server) fn mistake_of_location(
        &mut self,
        place: SourcePlace,
        location: SourcePlace,
        text: impl Into<String>,
    ) {
        self.mistakes.push(Finding {
            location: Some(location),
            ..Finding::new(place, text)
        });
    }

    pub(in crate::server) fn notice(&mut self, place: SourcePlace, text: impl Into<String>) {
        self.notices.push(Finding::new(place, text));
    }

    /// Reports a guard that rejects a location; once for all locations in which it is in force.
    pub(in crate::server) fn guard(
        &mut self,
        place: SourcePlace,
        location: SourcePlace,
        text: String,
    ) {
        if !is_known(&self.mistakes, place, &text) {
            self.mistakes.push(Finding {
                location: (location != place).then_some(location),
                ..Finding::new(place, text)
            });
        }
    }

    /// Reports a directive that pushctl does not enforce and the front does.
    pub(in crate::server) fn left_to_front(&mut self, place: SourcePlace, name: &str) {
        let text = format!(
            "directive \"{name}\" is left to the front: its push locations accept requests from \
             there only"
        );
        if !is_known(&self.notices, place, &text) {
            self.notice(place, text);
        }
        if !self.left_to_front.iter().any(|known| known == name) {
            self.left_to_front.push(name.to_owned());
        }
    }

    pub(in crate::server) fn unsupported(&mut self, place: SourcePlace, what: &str) {
        self.notice(place, format!("{what} is not supported by pushctl"));
    }

    pub(in crate::server) fn record(&mut self, directive: &parser::Directive, support: Support) {
        self.directives.push(PlacedDirective {
            place: directive.place,
            name: directive.name.clone(),
            support,
        });
    }

    /// Marks a directive as not served that was recorded as served, for a reason that shows only
    /// when its whole block has been read.
    pub(in crate::server) fn mark_unsupported(
        &mut self,
        directive: &parser::Directive,
        reason: String,
    ) {
        for known in &mut self.directives {
            if known.place == directive.place && known.name == directive.name {
                known.support = Support::Unsupported;
            }
        }
        self.notice(directive.place, reason);
    }

    /// Takes the recorded directives, in the order of the files and lines.
    pub(in crate::server) fn take_directives(&mut self) -> Vec<DirectiveSupport> {
        self.directives.sort_by_key(|directive| directive.place);
        std::mem::take(&mut self.directives)
            .into_iter()
            .map(|directive| DirectiveSupport {
                file: self.files.name(directive.place.file).to_owned(),
                line: directive.place.line,
                name: directive.name,
                support: directive.support,
            })
            .collect()
    }

    /// Takes the mistakes, in the order of the files and lines.
    pub(in crate::server) fn take_mistakes(&mut self) -> Vec<Diagnostic> {
        into_diagnostics(std::mem::take(&mut self.mistakes), &self.files)
    }

    /// Takes the notices, in the order of the files and lines.
    pub(in crate::server) fn take_notices(&mut self) -> Vec<Diagnostic> {
        into_diagnostics(std::mem::take(&mut self.notices), &self.files)
    }
}

fn is_known(findings: &[Finding], place: SourcePlace, text: &str) -> bool {
    findings
        .iter()
        .any(|known| known.place == place && known.text == text)
}

fn into_diagnostics(mut findings: Vec<Finding>, files: &Files) -> Vec<Diagnostic> {
    findings.sort_by_key(|finding| finding.place);
    findings
        .into_iter()
        .map(|finding| finding.into_diagnostic(files))
        .collect()
}
