//! Regular expressions of a configuration: of locations, conditions, maps and server names.
//!
//! The engine is PCRE2, as in nginx, so that a rule has exactly the same meaning. It is linked
//! statically and runs without JIT, which is nginx's default, too.
//!
//! A search that exceeds a limit of the engine fails. A failure is not a mismatch, which could skip
//! a rule that rejects the request. It is recorded per thread, and the router responds with 500
//! (see [`take_failure`]), as nginx does. Until the failure is taken, all further searches fail,
//! too.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use pcre2::bytes::{Regex, RegexBuilder};
use smallvec::SmallVec;

/// Maximum number of steps of a search: about 10 ms. nginx allows ten times as many.
const MAX_STEPS: u64 = 1_000_000;

/// Maximum memory of a search for backtracking, in KiB.
const MAX_HEAP_KIB: u64 = 16 * 1024;

/// The memory of a search is kept for the next one, except for subjects longer than this, which may
/// need much of it.
const MAX_KEPT_SUBJECT_BYTES: usize = 1024;

/// An invalid regular expression, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression \"{pattern}\": {reason}")]
pub struct BadRegex {
    /// The expression as it was written.
    pub pattern: String,
    /// The reason, in one line.
    pub reason: String,
}

/// A regular expression with the names of its groups.
#[derive(Clone, Debug)]
pub struct RegexPattern {
    text: Arc<str>,
    regex: Regex,
    ignores_case: bool,
    names: Arc<[(String, usize)]>,
}

/// A search that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchFailure {
    /// The expression.
    pub pattern: Arc<str>,
    /// The reason, from the engine.
    pub reason: String,
}

thread_local! {
    /// The first failure since the last call of [`take_failure`].
    static FAILURE: RefCell<Option<SearchFailure>> = const { RefCell::new(None) };
}

/// Takes the first failed search of this thread since the last call. The caller must reject the
/// request that caused it.
pub fn take_failure() -> Option<SearchFailure> {
    FAILURE.with_borrow_mut(Option::take)
}

/// Whether a search of this thread has failed since the last call of [`take_failure`].
#[must_use]
pub fn has_failure() -> bool {
    FAILURE.with_borrow(Option::is_some)
}

/// Runs `work` in isolation from the request that this thread routes: failed searches of one do not
/// affect the other.
///
/// # Errors
/// The first failed search in `work`.
pub fn isolated<T>(work: impl FnOnce() -> T) -> Result<T, SearchFailure> {
    let outer = take_failure();
    let value = work();
    FAILURE.replace(outer).map_or(Ok(value), Err)
}

/// As [`isolated`], for work that waits while this thread serves other requests. It keeps its
/// failure from one poll to the next; the failure is dropped at the end.
pub fn isolated_async<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let mut work = Box::pin(work);
    let mut own = None;
    std::future::poll_fn(move |cx| {
        let outer = FAILURE.replace(own.take());
        let polled = work.as_mut().poll(cx);
        own = FAILURE.replace(outer);
        polled
    })
}

/// Ranges of the groups in a subject.
type Groups = SmallVec<[Option<Range<usize>>; 4]>;

impl RegexPattern {
    /// Compiles `pattern`. Subjects are bytes; classes such as `\w` are ASCII, as in nginx, unless
    /// the pattern begins with `(*UTF)`.
    ///
    /// # Errors
    /// The expression is invalid, or its meaning depends on the version of PCRE2.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, BadRegex> {
        if let Some(braces) = ambiguous_quantifier(pattern) {
            let reason = format!(
                "\"{braces}\" repeats since PCRE2 10.43 and is text before: write {{0,N}} or \
                 \\{braces}"
            );
            return Err(BadRegex {
                pattern: pattern.to_owned(),
                reason,
            });
        }
        let limits = format!("(*LIMIT_MATCH={MAX_STEPS})(*LIMIT_HEAP={MAX_HEAP_KIB})");
        let built = RegexBuilder::new()
            .caseless(ignore_case)
            .build(&format!("{limits}{pattern}"));
        let regex = built.map_err(|error| BadRegex {
            pattern: pattern.to_owned(),
            reason: reason(&error, limits.len()),
        })?;
        let named = |(number, name): (usize, &Option<String>)| Some((name.clone()?, number));
        let names = regex
            .capture_names()
            .iter()
            .enumerate()
            .filter_map(named)
            .collect();
        Ok(Self {
            text: pattern.into(),
            regex,
            ignores_case: ignore_case,
            names,
        })
    }

    /// Returns the expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the expression ignores case: `~*`.
    #[must_use]
    pub fn ignores_case(&self) -> bool {
        self.ignores_case
    }

    /// Returns the names of the named groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    /// Whether the expression matches `subject`. False if the search fails; the failure is
    /// recorded.
    #[must_use]
    pub fn is_match(&self, subject: &[u8]) -> bool {
        self.with_engine(subject, |regex| regex.is_match(subject))
            .unwrap_or(false)
    }

    /// Searches `subject` and returns the captures. `None` if it does not match, or if the search
    /// fails; the failure is recorded.
    #[must_use]
    pub fn captures(&self, subject: &[u8]) -> Option<Captures> {
        if self.regex.captures_len() == 1 {
            return self.is_match(subject).then(Captures::default);
        }
        let groups = self.with_engine(subject, |regex| {
            let mut locations = regex.capture_locations();
            let found = regex.captures_read(&mut locations, subject)?;
            let group = |number| locations.get(number).map(|(start, end)| start..end);
            Ok(found.map(|_| (0..locations.len()).map(group).collect::<Groups>()))
        })??;
        Some(Captures {
            subject: Bytes::copy_from_slice(subject),
            groups,
            names: Some(Arc::clone(&self.names)),
        })
    }

    /// Runs a search, unless an earlier one of this request has failed: the request is rejected in
    /// any case, and must not reach the limit of steps once per expression of the configuration.
    fn with_engine<T>(
        &self,
        subject: &[u8],
        search: impl FnOnce(&Regex) -> Result<T, pcre2::Error>,
    ) -> Option<T> {
        if has_failure() {
            return None;
        }
        let result = if subject.len() > MAX_KEPT_SUBJECT_BYTES {
            search(&self.regex.clone())
        } else {
            search(&self.regex)
        };
        result.map_err(|error| self.record(&error)).ok()
    }

    fn record(&self, error: &pcre2::Error) {
        let failure = || SearchFailure {
            pattern: Arc::clone(&self.text),
            reason: reason(error, 0),
        };
        FAILURE.with_borrow_mut(|first| {
            first.get_or_insert_with(failure);
        });
    }
}

/// Finds the first braces in `pattern` that are a quantifier since PCRE2 10.43 and were literal
/// text before (most builds of nginx use an older version): `{,3}`, or braces with spaces.
fn ambiguous_quantifier(pattern: &str) -> Option<&str> {
    let mut is_in_class = false;
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '[', ']', '{']) {
        let here = &rest[at..];
        let length = match here.as_bytes() {
            [b'\\', b'Q', ..] => here.find("\\E").map_or(here.len(), |end| end + 2),
            [b'\\', ..] => 1 + here[1..].chars().next().map_or(0, char::len_utf8),
            [b'[', b':', ..] if is_in_class => 2,
            [b'[', ..] if !is_in_class => {
                is_in_class = true;
                // A bracket at the begin of a class is a member of it.
                1 + here[1..].starts_with('^') as usize
                    + here[1..].trim_start_matches('^').starts_with(']') as usize
            }
            [b']', ..] => {
                is_in_class = false;
                1
            }
            [b'{', ..] if !is_in_class => match here
                .find('}')
                .map(|end| &here[..=end])
                .filter(|braces| is_ambiguous(braces))
            {
                Some(braces) => return Some(braces),
                None => 1,
            },
            _ => 1,
        };
        rest = &here[length..];
    }
    None
}

/// Whether braces are a quantifier only since PCRE2 10.43.
fn is_ambiguous(braces: &str) -> bool {
    let inner = &braces[1..braces.len() - 1];
    let numbers: Vec<&str> = inner
        .split(',')
        .map(|number| number.trim_matches([' ', '\t']))
        .collect();
    let is_quantifier = numbers.len() <= 2
        && numbers
            .iter()
            .all(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        && numbers.iter().any(|number| !number.is_empty());
    is_quantifier && (inner.starts_with(',') || inner.contains([' ', '\t']))
}

/// The error text of the engine, with positions relative to the pattern as it was written.
fn reason(error: &pcre2::Error, offset: usize) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(": ")
        .map_or(text.as_str(), |(_, text)| text);
    match error.offset() {
        Some(position) => format!("{text} at offset {}", position.saturating_sub(offset)),
        None => text.to_owned(),
    }
}

/// Captures of a match: one copy of the subject and the ranges of the groups in it. Allocates
/// nothing if the expression has no groups.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    subject: Bytes,
    groups: Groups,
    names: Option<Arc<[(String, usize)]>>,
}

impl Captures {
    /// Returns group `$1` and so on; 0 is the whole match.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        self.groups
            .get(number)?
            .as_ref()
            .and_then(|range| self.subject.get(range.clone()))
    }

    /// Whether the expression has named groups.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.names.as_ref().is_some_and(|names| !names.is_empty())
    }

    /// Returns a named capture, empty if its group is not part of the match. Names are compared
    /// without case, like all variable names.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<&[u8]> {
        let (_, number) = self
            .names
            .as_ref()?
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(self.get(*number).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
