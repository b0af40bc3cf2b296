//! `map`: a variable whose value depends on that of another text (nginx `ngx_http_map_module`).
//!
//! Evaluated when it is asked for. Texts are compared without case; then, with `hostnames`, the
//! longest `*.x` and `x.*`; then regular expressions in the order of the file; then the default.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::expression::{Expression, Memo, Variables};
use super::regex_pattern::{Captures, RegexPattern};
use super::secure_link::LinkCheck;

/// Most maps within maps: more is a circle, and empty.
const MAX_DEPTH: u8 = 16;

/// The table of a `map`.
#[derive(Debug, Default)]
pub struct Map {
    /// What is looked up.
    pub source: Expression,
    /// Keys such as `*.example` count as patterns of host names.
    pub hostnames: bool,
    /// Texts in lower case.
    pub exact: HashMap<Vec<u8>, Expression>,
    /// `.example` for `*.example`, in lower case.
    pub endings: Vec<(Vec<u8>, Expression)>,
    /// `www.` for `www.*`, in lower case.
    pub beginnings: Vec<(Vec<u8>, Expression)>,
    /// In the order of the file.
    pub regexes: Vec<(RegexPattern, Expression)>,
    /// Of everything else.
    pub default: Expression,
}

/// The variable of a map, which may be used before its table is read.
#[derive(Clone, Default)]
pub struct MapVariable(Arc<OnceLock<Map>>);

impl fmt::Debug for MapVariable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Maps may refer to each other.
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
    /// Gives the variable its table, once.
    pub fn define(&self, map: Map) {
        // A second table is a mistake that was told already.
        drop(self.0.set(map));
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> Option<&Map> {
        self.0.get()
    }

    /// The value for a request, which has one of each map.
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
        if let Some(value) = self.exact.get(&key).or_else(|| self.of_host(&key)) {
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

    /// What it looks up, and all that it may result in.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
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

    fn of_host(&self, host: &[u8]) -> Option<&Expression> {
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

/// The variables of a request with the captures of a key.
struct MapVariables<'a> {
    variables: &'a dyn Variables,
    captures: Captures,
}

impl Variables for MapVariables<'_> {
    fn argument(&self, name: &[u8]) -> Option<&[u8]> {
        self.variables.argument(name)
    }
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.variables.header(name)
    }
    fn capture(&self, number: usize) -> Option<&[u8]> {
        self.captures.get(number)
    }
    fn named_capture(&self, name: &str) -> Option<&[u8]> {
        self.captures
            .name(name)
            .or_else(|| self.variables.named_capture(name))
    }
    fn assigned(&self, slot: usize) -> Option<&[u8]> {
        self.variables.assigned(slot)
    }
    fn builtin(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.variables.builtin(name)
    }
    fn link_check(&self) -> LinkCheck<'_> {
        self.variables.link_check()
    }
    fn memo(&self) -> Option<&Memo> {
        self.variables.memo()
    }
}
