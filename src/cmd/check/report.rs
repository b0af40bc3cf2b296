//! The report of `pushctl check`, as text and as lines of JSON.

use super::advice::{NAMED, advice};
use super::hint::add_hint;
use super::{locations, todo};
use crate::cmd::exit::Code;
use crate::cmd::output::escape;
use crate::server::config::Config;
use crate::server::config::source;
use crate::server::config::source::{DirectiveSupport, Support};

/// A checked configuration: its directives, locations and mistakes.
pub(super) struct CheckReport {
    /// `None` if it has mistakes.
    pub(super) config: Option<Config>,
    pub(super) mistakes: Vec<source::Diagnostic>,
    pub(super) notices: Vec<source::Diagnostic>,
    pub(super) directives: Vec<DirectiveSupport>,
}

impl CheckReport {
    /// Appends the remedies to mistakes and notices.
    pub(super) fn add_hints(&mut self) {
        self.mistakes
            .iter_mut()
            .chain(&mut self.notices)
            .for_each(add_hint);
    }

    pub(super) fn code(&self, strict: bool) -> Code {
        let is_wrong = !self.mistakes.is_empty() || (strict && !self.notices.is_empty());
        if is_wrong { Code::Usage } else { Code::Success }
    }

    /// Marks a directive as not served if a notice reports that its location is not supported.
    pub(super) fn mark_unsupported_locations(&mut self) {
        for directive in self
            .directives
            .iter_mut()
            .filter(|directive| directive.support == Support::Supported)
        {
            let rejects_it = |notice: &source::Diagnostic| {
                notice.file == directive.file
                    && notice.line == directive.line
                    && notice.text.contains(&directive.name)
                    && notice
                        .text
                        .ends_with("location is not supported by pushctl")
            };
            if self.notices.iter().any(rejects_it) {
                directive.support = Support::Unsupported;
            }
        }
    }

    pub(super) fn mistakes_text(&self) -> String {
        let texts: Vec<String> = self.mistakes.iter().map(ToString::to_string).collect();
        texts.join("\n")
    }

    /// Remark on a directive: its reason, or the notices and mistakes of its line that name it.
    fn remark(&self, directive: &DirectiveSupport) -> String {
        let here = |remark: &&source::Diagnostic| {
            remark.file == directive.file && remark.line == directive.line
        };
        let names = |remark: &&source::Diagnostic| {
            remark.text.contains(&format!("\"{}", directive.name))
                || remark.text.contains(&directive.name)
        };
        // If a line has two of them, the mistake belongs to the rejected one.
        let all = if directive.support == Support::Invalid {
            &self.mistakes
        } else {
            &self.notices
        };
        let found: Vec<String> = all
            .iter()
            .filter(here)
            .filter(names)
            .map(source::Diagnostic::with_hints)
            .collect();
        match directive.support {
            Support::Ignored(reason) => reason.to_owned(),
            Support::Unsupported if directive.name == "location" => NAMED.to_owned(),
            Support::Unsupported => {
                let own = found
                    .iter()
                    .filter(|text| text.starts_with(&format!("\"{}", directive.name)));
                let own: Vec<&str> = own
                    .map(|text| text.trim_start_matches(&format!("\"{}\"", directive.name)))
                    .collect();
                let own: Vec<&str> = own
                    .into_iter()
                    .map(|text| text.trim_start_matches([':', ' ']))
                    .collect();
                if own.is_empty() {
                    advice(&directive.name).to_owned()
                } else {
                    own.join("; ")
                }
            }
            _ => found.join("; "),
        }
    }

    /// The report for people: directives, notes, locations, a to-do list, mistakes and totals.
    pub(super) fn text(&self) -> String {
        let mut text = self.directives_text();
        let notes: String = self
            .notices
            .iter()
            .filter(|notice| !self.is_on_directive(notice))
            .map(one_line)
            .collect();
        if !notes.is_empty() {
            text += &format!("\nnotes:\n{notes}");
        }
        if let Some(config) = &self.config {
            text += "\nlocations:\n";
            text += &locations::table(&locations::rows(config));
        }
        text += &self.todo_text();
        if !self.mistakes.is_empty() {
            let mistakes: String = self.mistakes.iter().map(one_line).collect();
            text += &format!("\nmistakes:\n{mistakes}");
        }
        text + &self.totals_text()
    }

    /// One line per directive, with its remark.
    fn directives_text(&self) -> String {
        let mut text = String::new();
        for directive in self
            .directives
            .iter()
            .filter(|directive| directive.support != Support::Entry)
        {
            let remark = self.remark(directive);
            let place = format!("{}:{}:", directive.file, directive.line);
            let line = format!("{place} {} {}", word(directive.support), directive.name);
            let line = if remark.is_empty() {
                line
            } else {
                format!("{line}: {remark}")
            };
            text += &one_line(&line);
        }
        text
    }

    /// Unsupported directives, grouped by advice.
    fn todo_text(&self) -> String {
        let unserved: Vec<(&DirectiveSupport, String)> = self
            .directives
            .iter()
            .filter(|directive| directive.support == Support::Unsupported)
            .map(|directive| (directive, self.remark(directive)))
            .collect();
        let unserved: Vec<todo::Unserved<'_>> = unserved
            .iter()
            .map(|(directive, advice)| todo::Unserved {
                file: &directive.file,
                line: directive.line,
                name: &directive.name,
                advice,
            })
            .collect();
        todo::text(&unserved)
    }

    /// Number of directives by support, and of mistakes.
    fn totals_text(&self) -> String {
        let count = |wanted: fn(Support) -> bool| {
            self.directives
                .iter()
                .filter(|directive| wanted(directive.support))
                .count()
        };
        let served = count(|support| matches!(support, Support::Supported | Support::Entry));
        let ignored = count(|support| matches!(support, Support::Ignored(_)));
        let not_served = count(|support| support == Support::Unsupported);
        format!(
            "\n{served} served, {ignored} ignored, {not_served} not served, {}\n",
            mistakes(self.mistakes.len())
        )
    }

    /// True if the notice is shown as the remark of a directive.
    fn is_on_directive(&self, notice: &source::Diagnostic) -> bool {
        let here = |directive: &&DirectiveSupport| {
            directive.file == notice.file && directive.line == notice.line
        };
        let names = |directive: &DirectiveSupport| notice.text.contains(&directive.name);
        self.directives.iter().filter(here).any(names)
    }

    pub(super) fn json(&self) -> String {
        let mut lines = Vec::new();
        for directive in &self.directives {
            let verdict = word(directive.support);
            lines.push(serde_json::json!({
                "type": "directive",
                "file": directive.file,
                "line": directive.line,
                "name": directive.name,
                "verdict": verdict,
                "remark": self.remark(directive),
            }));
        }
        for (kind, remarks) in [("notice", &self.notices), ("mistake", &self.mistakes)] {
            let line = |remark: &source::Diagnostic| {
                serde_json::json!({
                    "type": kind,
                    "file": remark.file,
                    "line": remark.line,
                    "text": remark.with_hints(),
                })
            };
            lines.extend(remarks.iter().map(line));
        }
        for [server, listen, pattern, endpoint, mode, settings] in
            self.config.iter().flat_map(locations::rows)
        {
            lines.push(serde_json::json!({
                "type": "location",
                "server": server,
                "listen": listen,
                "pattern": pattern,
                "endpoint": endpoint,
                "mode": mode,
                "settings": settings,
            }));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// `1 mistake`, `2 mistakes`
fn mistakes(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} mistake{plural}")
}

/// Formats an entry of the report on one line: quoted words of a file may have line breaks.
fn one_line(entry: impl std::fmt::Display) -> String {
    escape::printable(&entry.to_string()) + "\n"
}

fn word(support: Support) -> &'static str {
    match support {
        Support::Supported | Support::Entry => "served",
        Support::Ignored(_) => "ignored",
        Support::Unsupported => "not served",
        Support::Invalid => "refused",
    }
}
