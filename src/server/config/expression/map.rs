//! `map`: a variable whose value depends on that of another text (nginx `ngx_http_map_module`).
//!
//! Evaluated on demand. The order of matching is that of nginx: exact texts, without case; with
//! `hostnames` the longest `*.x`, then the longest `x.*`; regular expressions in the order of the
//! file; the default.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::regex_pattern::{Captures, RegexPattern};
use super::{Expression, Variables};

/// Maximum nesting of maps. A deeper one is circular, and its value empty.
const MAX_DEPTH: u8 = 16;

/// The table of a `map`.
#[derive(Debug, Default)]
pub struct Map {
    /// The text whose value is matched.
    pub source: Expression,
    /// Keys such as `*.example` are patterns of host names.
    pub hostnames: bool,
    /// Values by exact key, in lower case.
    pub exact: HashMap<Vec<u8>, Expression>,
    /// `.example` for `*.example`, in lower case.
    pub endings: Vec<(Vec<u8>, Expression)>,
    /// `www.` for `www.*`, in lower case.
    pub beginnings: Vec<(Vec<u8>, Expression)>,
    /// Values by regular expression, in the order of the file.
    pub regexes: Vec<(RegexPattern, Expression)>,
    /// Value if no key matches.
    pub default: Expression,
}

/// The variable of a `map`. It can be used in expressions before its table is parsed.
#[derive(Clone, Default)]
pub struct MapVariable(Arc<OnceLock<Map>>);

impl fmt::Debug for MapVariable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not derived: maps may refer to each other.
        out.write_str("MapVariable")
    }
}

impl PartialEq for MapVariable {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MapVariable {}

thread_local! {
    static DEPTH: Cell<u8> = const { Cell::new(0) };
}

impl MapVariable {
    /// Sets the table.
    pub fn define(&self, map: Map) {
        // The parser has reported a second table already.
        drop(self.0.set(map));
    }

    /// Returns the table, if it is set.
    #[must_use]
    pub fn table(&self) -> Option<&Map> {
        self.0.get()
    }

    /// Evaluates the map for a request, at most once per request.
    #[must_use]
    pub fn value(&self, variables: &dyn Variables) -> Vec<u8> {
        match variables.memo() {
            Some(memo) => memo.map(self, || self.evaluate(variables)),
            None => self.evaluate(variables),
        }
    }

    fn evaluate(&self, variables: &dyn Variables) -> Vec<u8> {
        let depth = DEPTH.get();
        let Some(map) = self.0.get().filter(|_| depth < MAX_DEPTH) else {
            return Vec::new();
        };
        DEPTH.set(depth + 1);
        let value = map.value(variables);
        DEPTH.set(depth);
        value
    }
}

impl Map {
    fn value(&self, variables: &dyn Variables) -> Vec<u8> {
        let source = self.source.evaluate(variables);
        let mut key = source.to_ascii_lowercase();
        if self.hostnames && key.last() == Some(&b'.') {
            key.pop();
        }
        if let Some(value) = self.exact.get(&key).or_else(|| self.find_host(&key)) {
            return value.evaluate(variables).into_owned();
        }
        for (pattern, value) in &self.regexes {
            if let Some(captures) = pattern.captures(&source) {
                return value
                    .evaluate(&MapVariables {
                        variables,
                        captures,
                    })
                    .into_owned();
            }
        }
        self.default.evaluate(variables).into_owned()
    }

    /// Returns the source expression and all possible values.
    pub(in crate::server) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let listed = self
            .endings
            .iter()
            .chain(&self.beginnings)
            .map(|(_, value)| value);
        let found = self
            .exact
            .values()
            .chain(listed)
            .chain(self.regexes.iter().map(|(_, value)| value));
        [&self.source, &self.default].into_iter().chain(found)
    }

    fn find_host(&self, host: &[u8]) -> Option<&Expression> {
        let longest = |(pattern, _): &&(Vec<u8>, Expression)| pattern.len();
        let ending = || {
            self.endings
                .iter()
                .filter(|(ending, _)| host.ends_with(ending))
                .max_by_key(longest)
        };
        let beginning = || {
            self.beginnings
                .iter()
                .filter(|(text, _)| host.starts_with(text))
                .max_by_key(longest)
        };
        ending().or_else(beginning).map(|(_, value)| value)
    }
}

/// The variables of a request with the captures of the matching key.
struct MapVariables<'a> {
    variables: &'a dyn Variables,
    captures: Captures,
}

impl Variables for MapVariables<'_> {
    fn inner(&self) -> Option<&dyn Variables> {
        Some(self.variables)
    }

    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.captures.get(number)
    }

    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.captures
            .name(name)
            .or_else(|| self.variables.named_capture(name))
    }
}
