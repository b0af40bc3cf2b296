//! Choice of the location for a request: exact, prefix and regular-expression patterns, in nginx's
//! order (push-stream.md, section 17).
//!
//! Matches the normalised path ([`normalise`](crate::server::config::normalise)). The server has
//! been chosen before (`names`).

use std::fmt;
use std::ops::Deref;

use crate::server::config::Location;
use crate::server::config::expression::regex_pattern::{Captures, RegexPattern};

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

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Exact(path) => write!(out, "= {}", String::from_utf8_lossy(path)),
            Pattern::Prefix {
                prefix,
                stops_regexes: true,
            } => write!(out, "^~ {}", String::from_utf8_lossy(prefix)),
            Pattern::Prefix { prefix, .. } => out.write_str(&String::from_utf8_lossy(prefix)),
            Pattern::Regex(regex) => write!(
                out,
                "{} {}",
                if regex.ignores_case() { "~*" } else { "~" },
                regex.text()
            ),
        }
    }
}

/// The locations of one level, indexed by the kind of their pattern.
#[derive(Debug, Default)]
pub struct Locations {
    /// In the order of the file.
    all: Vec<Location>,
    /// Indices of the exact patterns, sorted by path.
    exact: Vec<usize>,
    /// Indices of the prefixes, the longest first.
    prefixes: Vec<usize>,
    /// Indices of the regular expressions, in the order of the file.
    regexes: Vec<usize>,
}

impl From<Vec<Location>> for Locations {
    fn from(all: Vec<Location>) -> Self {
        let indices = |is_kind: fn(&Pattern) -> bool| {
            (0..all.len())
                .filter(|&at| is_kind(&all[at].pattern))
                .collect::<Vec<_>>()
        };
        let mut exact = indices(|pattern| matches!(pattern, Pattern::Exact(_)));
        let mut prefixes = indices(|pattern| matches!(pattern, Pattern::Prefix { .. }));
        let regexes = indices(|pattern| matches!(pattern, Pattern::Regex(_)));
        exact.sort_by(|&a, &b| all[a].pattern.text().cmp(all[b].pattern.text()));
        prefixes.sort_by_key(|&at| std::cmp::Reverse(all[at].pattern.text().len()));
        Self {
            all,
            exact,
            prefixes,
            regexes,
        }
    }
}

impl Deref for Locations {
    type Target = [Location];
    fn deref(&self) -> &[Location] {
        &self.all
    }
}

impl Pattern {
    /// Returns the path or prefix; empty for a regular expression.
    pub(in crate::server) fn text(&self) -> &[u8] {
        match self {
            Pattern::Exact(path) => path,
            Pattern::Prefix { prefix, .. } => prefix,
            Pattern::Regex(_) => b"",
        }
    }
}

/// A location that matches a request.
pub(in crate::server::config::model) struct LocationMatch<'a> {
    pub(in crate::server::config::model) location: &'a Location,
    /// Captures of the last regular expression that matched; `None` = none did.
    pub(in crate::server::config::model) captures: Option<Captures>,
    /// Regular expressions of outer levels do not take precedence over this match.
    is_final: bool,
}

impl Locations {
    /// Finds the location in nginx's order: the exact match; the longest prefix with its nested
    /// locations, if that match is final; the first regular expression with its nested locations;
    /// the longest prefix.
    pub(in crate::server::config::model) fn locate(
        &self,
        path: &[u8],
    ) -> Option<LocationMatch<'_>> {
        if let Ok(at) = self
            .exact
            .binary_search_by(|&at| self.all[at].pattern.text().cmp(path))
        {
            return Some(LocationMatch {
                location: &self.all[self.exact[at]],
                captures: None,
                is_final: true,
            });
        }
        let mut found = None;
        let mut tries_regexes = true;
        if let Some(location) = self.longest_prefix(path) {
            tries_regexes = !matches!(
                location.pattern,
                Pattern::Prefix {
                    stops_regexes: true,
                    ..
                }
            );
            let outer = LocationMatch {
                location,
                captures: None,
                is_final: false,
            };
            let inner = location.nested.locate(path).unwrap_or(outer);
            if inner.is_final || !tries_regexes {
                return Some(inner);
            }
            found = Some(inner);
        }
        self.first_regex(path).filter(|_| tries_regexes).or(found)
    }

    fn longest_prefix(&self, path: &[u8]) -> Option<&Location> {
        self.prefixes
            .iter()
            .map(|&at| &self.all[at])
            .find(|location| path.starts_with(location.pattern.text()))
    }

    fn first_regex(&self, path: &[u8]) -> Option<LocationMatch<'_>> {
        self.regexes
            .iter()
            .map(|&at| &self.all[at])
            .find_map(|location| {
                let Pattern::Regex(regex) = &location.pattern else {
                    return None;
                };
                let outer = LocationMatch {
                    location,
                    captures: Some(regex.captures(path)?),
                    is_final: true,
                };
                let Some(inner) = location.nested.locate(path) else {
                    return Some(outer);
                };
                // A nested prefix keeps the captures of the outer expression.
                let captures = inner.captures.or(outer.captures);
                Some(LocationMatch {
                    captures,
                    is_final: true,
                    ..inner
                })
            })
    }
}
