//! Which requests a location takes: exact, prefix and regular-expression patterns, and nginx's order of choice
//! (push-stream protocol reference, section 17).
//!
//! Works on the normalised path (`path::normalise`); which server of a listener is asked is decided before.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::Bytes;
use regex::bytes::{Regex, RegexBuilder};
use smallvec::SmallVec;

use super::{Location, VirtualServer};

/// The pattern of a location.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// `= /x`
    Exact(Vec<u8>),
    /// `/x` and, with `stops_regexes`, `^~ /x`
    Prefix {
        /// The prefix.
        prefix: Vec<u8>,
        /// `^~`: a regular expression is not tried when this is the longest prefix.
        stops_regexes: bool,
    },
    /// `~ re` and `~* re`
    Regex(RegexPattern),
}

/// A regular expression that is not supported, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression \"{pattern}\": {reason}")]
pub struct BadRegex {
    /// The expression as it was written.
    pub pattern: String,
    /// What is wrong with it, in one line.
    pub reason: String,
}

/// A regular expression with the names of its groups.
#[derive(Clone, Debug)]
pub struct RegexPattern {
    regex: Regex,
    names: Arc<[(String, usize)]>,
}

impl RegexPattern {
    /// Compiles `pattern` in the syntax that nginx (PCRE) and the `regex` crate share; look-around and back-references
    /// do not belong to it. Classes such as `\w` are ASCII, as in nginx, unless the expression itself needs Unicode.
    ///
    /// # Errors
    /// The expression is wrong or not supported.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, BadRegex> {
        let compile = |unicode| RegexBuilder::new(pattern).case_insensitive(ignore_case).unicode(unicode).build();
        let regex = compile(false).or_else(|_| compile(true)).map_err(|error| BadRegex {
            pattern: pattern.to_owned(),
            reason: error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        })?;
        let names = regex.capture_names().enumerate().filter_map(|(number, name)| Some((name?.to_owned(), number))).collect();
        Ok(Self { regex, names })
    }

    /// Names of the named groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    /// Searches `subject`; captures if it matches.
    #[must_use]
    pub fn captures(&self, subject: &[u8]) -> Option<Captures> {
        if self.regex.captures_len() == 1 {
            return self.regex.is_match(subject).then(Captures::default);
        }
        let found = self.regex.captures(subject)?;
        let groups = found.iter().map(|group| group.map(|group| group.range())).collect();
        Some(Captures { subject: Bytes::copy_from_slice(subject), groups, names: Some(Arc::clone(&self.names)) })
    }
}

/// Captures of a regular-expression location: one copy of the subject and the places of the groups in it. Nothing is
/// allocated when there are no groups.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    subject: Bytes,
    groups: SmallVec<[Option<Range<usize>>; 4]>,
    names: Option<Arc<[(String, usize)]>>,
}

impl Captures {
    /// `$1` and so on; 0 is the whole match.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        self.groups.get(number)?.as_ref().and_then(|range| self.subject.get(range.clone()))
    }

    /// A named capture; names are compared without case, as all variables are.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<&[u8]> {
        let (_, number) = self.names.as_ref()?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        self.get(*number)
    }
}

/// The locations of one level, with what makes the choice among them quick.
#[derive(Debug, Default)]
pub struct Locations {
    /// In the order of the file.
    all: Vec<Location>,
    /// Places of the exact ones, sorted by path.
    exact: Vec<usize>,
    /// Places of the prefixes, the longest first.
    prefixes: Vec<usize>,
    /// Places of the regular expressions, in the order of the file.
    regexes: Vec<usize>,
}

impl From<Vec<Location>> for Locations {
    fn from(all: Vec<Location>) -> Self {
        let places = |wanted: fn(&Pattern) -> bool| (0..all.len()).filter(|&at| wanted(&all[at].pattern)).collect::<Vec<_>>();
        let mut exact = places(|pattern| matches!(pattern, Pattern::Exact(_)));
        let mut prefixes = places(|pattern| matches!(pattern, Pattern::Prefix { .. }));
        let regexes = places(|pattern| matches!(pattern, Pattern::Regex(_)));
        exact.sort_by(|&a, &b| all[a].pattern.text().cmp(all[b].pattern.text()));
        prefixes.sort_by_key(|&at| std::cmp::Reverse(all[at].pattern.text().len()));
        Self { all, exact, prefixes, regexes }
    }
}

impl Deref for Locations {
    type Target = [Location];
    fn deref(&self) -> &[Location] {
        &self.all
    }
}

impl Pattern {
    /// The path or prefix; empty for a regular expression.
    pub(super) fn text(&self) -> &[u8] {
        match self {
            Pattern::Exact(path) => path,
            Pattern::Prefix { prefix, .. } => prefix,
            Pattern::Regex(_) => b"",
        }
    }
}

/// A location that takes the request; a final one is not given up for a regular expression of an outer level.
struct Found<'a> {
    location: &'a Location,
    captures: Captures,
    is_final: bool,
}

impl Locations {
    /// Chooses as nginx does: exact; else the longest prefix and the locations nested in it; unless that is final, the
    /// first regular expression and the locations nested in it; else the prefix.
    fn locate(&self, path: &[u8]) -> Option<Found<'_>> {
        if let Ok(at) = self.exact.binary_search_by(|&at| self.all[at].pattern.text().cmp(path)) {
            return Some(Found { location: &self.all[self.exact[at]], captures: Captures::default(), is_final: true });
        }
        let mut found = None;
        let mut tries_regexes = true;
        if let Some(location) = self.longest_prefix(path) {
            tries_regexes = !matches!(location.pattern, Pattern::Prefix { stops_regexes: true, .. });
            let outer = Found { location, captures: Captures::default(), is_final: false };
            let inner = location.nested.locate(path).unwrap_or(outer);
            if inner.is_final || !tries_regexes {
                return Some(inner);
            }
            found = Some(inner);
        }
        self.first_regex(path).filter(|_| tries_regexes).or(found)
    }

    fn longest_prefix(&self, path: &[u8]) -> Option<&Location> {
        self.prefixes.iter().map(|&at| &self.all[at]).find(|location| path.starts_with(location.pattern.text()))
    }

    fn first_regex(&self, path: &[u8]) -> Option<Found<'_>> {
        self.regexes.iter().map(|&at| &self.all[at]).find_map(|location| {
            let Pattern::Regex(regex) = &location.pattern else { return None };
            let outer = Found { location, captures: regex.captures(path)?, is_final: true };
            let Some(inner) = location.nested.locate(path) else { return Some(outer) };
            // A nested prefix keeps the captures of the expression around it.
            let captures = if matches!(inner.location.pattern, Pattern::Regex(_)) { inner.captures } else { outer.captures };
            Some(Found { captures, is_final: true, ..inner })
        })
    }
}

impl VirtualServer {
    /// The location that takes requests for the normalised `path`.
    #[must_use]
    pub fn locate(&self, path: &[u8]) -> Option<(&Location, Captures)> {
        self.locations.locate(path).map(|found| (found.location, found.captures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pattern: &str, ignore_case: bool, subject: &[u8]) -> Option<Captures> {
        RegexPattern::new(pattern, ignore_case).expect("a valid pattern").captures(subject)
    }

    #[test]
    fn captures_have_numbers_and_names() {
        let captures = captured("^/(a)|/(?<ch>.+)/x", false, b"/b\xff/x").expect("a match");
        assert_eq!((captures.get(0), captures.get(1)), (Some(&b"/b\xff/x"[..]), None));
        assert_eq!((captures.get(2), captures.name("CH")), (Some(&b"b\xff"[..]), Some(&b"b\xff"[..])));
        assert_eq!((captures.get(3), captures.name("other")), (None, None));
    }

    #[test]
    fn classes_are_ascii_and_case_counts_unless_told() {
        for (pattern, ignore_case, subject, matches) in [
            (r"^\w$", false, "\u{e9}", false),
            ("^é[а-я]$", false, "éж", true),
            ("^/ab$", false, "/AB", false),
            ("^/ab$", true, "/AB", true),
            (r"\.html$", false, "/x.html", true),
        ] {
            assert_eq!(captured(pattern, ignore_case, subject.as_bytes()).is_some(), matches, "{pattern} {subject}");
        }
    }

    #[test]
    fn what_is_not_supported_is_told_in_one_line() {
        for pattern in ["^/a(", "(?!x)", r"(.)\1"] {
            let error = RegexPattern::new(pattern, false).expect_err(pattern).to_string();
            assert!(error.starts_with(&format!("invalid regular expression \"{pattern}\": ")) && !error.contains('\n'), "{error}");
        }
    }
}
